"""Types of the signatures for word vectors. Only type checkers import this module.

Imports nothing of skembed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import ArrayLike


class KeyedVectors(Protocol):
    """gensim's objects with word vectors; gensim itself has no types."""

    def get_vector(self, key: Any) -> Any: ...
    def most_similar(self, positive: Any) -> Any: ...


class ComparesWords(Protocol):
    """An object with similarities of words, to be compared with human judgments."""

    def similarity(self, a: Any, b: Any, /) -> Any: ...


Word: TypeAlias = str | ArrayLike
WordPooling: TypeAlias = Literal["mean", "sum", "max", "min_max", "tfidf", "sif", "usif"]
Preprocessor: TypeAlias = Callable[[str], str]
Tokenizer: TypeAlias = Callable[[str], list[str]]
StopWords: TypeAlias = (
    Literal["english"] | list[str] | set[str] | tuple[str, ...] | frozenset[str] | None
)
Analogy: TypeAlias = Literal["3cosadd", "3cosmul"]
VectorFormat: TypeAlias = Literal["auto", "text", "binary", "glove", "fasttext"]
