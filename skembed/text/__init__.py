"""Reading text, tokens, BertEmbedder, word vectors. Imports neither `image` nor `audio`."""

from skembed.text._bert import BertEmbedder, TokenEmbeddings
from skembed.text._fasttext import FastTextVectorizer
from skembed.text._glove import GloVeVectorizer
from skembed.text._word2vec import Word2VecVectorizer
from skembed.text._word_table import Neighbor

__all__ = [
    "BertEmbedder",
    "FastTextVectorizer",
    "GloVeVectorizer",
    "Neighbor",
    "TokenEmbeddings",
    "Word2VecVectorizer",
]
