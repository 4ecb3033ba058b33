"""How good embeddings are: similarity and analogy tasks for words.

Imports `text` and the layers below it.
"""

from skembed.evaluation._word_tasks import (
    AnalogyAccuracy,
    WordSimilarity,
    word_analogies,
    word_similarity,
)

__all__ = ["AnalogyAccuracy", "WordSimilarity", "word_analogies", "word_similarity"]
