"""Reading text, tokens, BertEmbedder. Imports neither `image` nor `audio`."""

from skembed.text._bert import BertEmbedder, TokenEmbeddings

__all__ = ["BertEmbedder", "TokenEmbeddings"]
