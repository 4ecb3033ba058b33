"""Evaluation of embeddings: similarity and analogy tasks for words.

Imports `base` and `words`.
"""

from skembed.evaluation._word_tasks import (
    AnalogyAccuracy,
    WordSimilarity,
    word_analogies,
    word_similarity,
)

__all__ = ["AnalogyAccuracy", "WordSimilarity", "word_analogies", "word_similarity"]
