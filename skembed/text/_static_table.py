"""StaticTable: which table a fitted `StaticEmbedder` uses, and how a text becomes a vector.

All that is pickled is data; tables and tokenizers are read once per process.
"""

import os
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata

from skembed.base._bags import bag_of, weighted_means
from skembed.base._checks import check_truncate_dim
from skembed.base._digest import check_unchanged, digest, file_sha256
from skembed.base._shared import Registry
from skembed.exceptions import ModelFormatError, ModelNotFoundError
from skembed.models._head import Head
from skembed.models._locate import locate
from skembed.models._static import FIRST_MODULE, read_static_folder, read_table
from skembed.text._static_names import DEFAULT_MODEL, ORGANIZATION, POPULAR, SHIPPED
from skembed.text._static_tokens import (
    StaticTokens,
    load_tokenizer,
    median_token_length,
    truncation_length,
    unknown_id,
)

FORMAT = 1  # of fingerprints; raised when skembed itself changes vectors
_tables = Registry(max_items=4)
_version = cache(metadata.version)


@dataclass(frozen=True)
class StaticTable:
    """The table of a fitted embedder: its files by digest, and the settings of texts and vectors.

    It has the attributes that a cache of rows asks for, as a network has them.
    """

    model: str
    revision: str | None
    path: str
    weights: str
    weights_sha256: str
    tokenizer: str
    tokenizer_sha256: str
    is_model2vec: bool
    max_length: int | None
    prompt: str
    head: Head
    width: int = 0  # of the vectors of tokens

    # -- as a cache of rows asks for -------------------------------------------------------------

    @property
    def pieces(self):
        """What is kept of a row: the mean of its tokens' vectors."""
        return self.head.pieces()

    head_pieces = pieces

    @property
    def widths(self):
        """Length of the kept vector."""
        return (self.width,)

    def _run_settings(self):
        settings = asdict(self)
        for name in ("model", "revision", "path", "weights", "tokenizer", "head"):
            del settings[name]
        libraries = {"tokenizers": _version("tokenizers")}
        return settings | {"format": FORMAT, "kind": "static", "libraries": libraries}

    @property
    def fingerprints(self):
        """The fingerprint under which the means of rows are kept."""
        return [digest(self._run_settings())]

    @property
    def fingerprint(self):
        """Digest of everything that can change a vector."""
        return digest([self._run_settings(), self.head.settings()])

    # -- from texts to vectors -------------------------------------------------------------------

    @property
    def n_dims(self):
        """Length of a row's vector."""
        return self.head.n_finished(self.width)

    def loaded(self):
        """Return the `StaticTokens` and the vectors of tokens, (n_tokens, n_dims) float32."""
        settings = (self.weights_sha256, self.tokenizer_sha256)
        return _tables.get((*settings, self.is_model2vec, self.max_length, self.prompt), self._load)

    def _load(self):
        check_unchanged(self.tokenizer, self.tokenizer_sha256, "tokenizer")
        check_unchanged(self.weights, self.weights_sha256, "vectors")
        tokenizer, _ = load_tokenizer(self.tokenizer)
        ids = tokenizer.get_vocab().values()
        if not ids:
            raise ModelFormatError(f"{self.tokenizer} has no tokens.")
        vectors = read_table(self.weights, max(ids) + 1)
        max_chars, unknown = None, None
        if self.is_model2vec:
            unknown = unknown_id(tokenizer)
            if self.max_length is not None:
                max_chars = self.max_length * median_token_length(tokenizer)
        tokens = StaticTokens(
            tokenizer,
            max_length=self.max_length,
            max_chars=max_chars,
            unknown=unknown,
            prompt=self.prompt,
        )
        return tokens, vectors

    def means(self, texts):
        """Return the mean vectors of texts, (n_rows, width) float32, and which texts were cut."""
        tokens, vectors = self.loaded()
        ids, starts, cut = tokens.ids(texts)
        return weighted_means(bag_of(ids, starts, vectors)), cut

    def finished(self, vectors):
        """Truncate and normalize means."""
        return self.head.finished([vectors])

    # -- files -----------------------------------------------------------------------------------

    def found(self, model):
        """Return the table with the paths of this machine; it may be unpickled from another one."""
        if os.path.exists(self.weights) and os.path.exists(self.tokenizer):
            return self
        reasons = []
        for name in dict.fromkeys([os.fspath(model), self.model]):
            try:
                folder = folder_of(name, self.revision)
            except (ModelNotFoundError, ModelFormatError) as error:
                reasons.append(str(error))
                continue
            paths = {"weights": str(folder.weights), "tokenizer": str(folder.tokenizer)}
            return replace(self, path=str(folder.path), **paths)
        raise ModelNotFoundError(
            f"The table that the estimator was fitted with is no longer in {self.path}. If its "
            "folder was moved, call set_params(model=folder). The files are compared with those of "
            "fit.\n" + "\n".join(reasons)
        )


def folder_of(model, revision=None):
    """Return the `StaticFolder` of a model: a shipped table, a folder, or a hub id."""
    name = os.fspath(model)
    if name in SHIPPED:
        return read_static_folder(SHIPPED[name])
    try:
        path = locate(
            model,
            revision,
            organization=ORGANIZATION,
            popular=POPULAR,
            first_module=FIRST_MODULE,
        )
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{error}\n  - use StaticEmbedder(), whose table {DEFAULT_MODEL!r} is part of skembed"
        ) from None
    if not path.is_dir():
        raise ModelFormatError(f"{path} is a graph; a folder of a static model is required.")
    return read_static_folder(path)


def static_table(estimator, model, *, revision, normalize, truncate_dim, max_length, prompt):
    """Return the `StaticTable` of an embedder's parameters.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ValueError
        If there is no such table, or a parameter does not fit it.
    """
    folder = folder_of(model, revision)
    own_max_length = folder.max_length
    if not folder.is_model2vec:
        _, truncation = load_tokenizer(folder.tokenizer)
        own_max_length = truncation_length(folder.tokenizer, truncation)
    own_dim = folder.truncate_dim if truncate_dim is None else None
    table = StaticTable(
        model=os.fspath(model),
        revision=revision,
        path=str(folder.path),
        weights=str(folder.weights),
        weights_sha256=file_sha256(folder.weights),
        tokenizer=str(folder.tokenizer),
        tokenizer_sha256=file_sha256(folder.tokenizer),
        is_model2vec=folder.is_model2vec,
        max_length=own_max_length if max_length is None else max_length,
        prompt=prompt_of(folder, prompt),
        head=Head(
            truncate_dim=truncate_dim or own_dim,
            normalize=folder.normalize if normalize == "auto" else bool(normalize),
            truncate_last=own_dim is not None,
        ),
    )
    width = table.loaded()[1].shape[1]
    check_truncate_dim(estimator, truncate_dim, width)
    return replace(table, width=int(width))


def prompt_of(folder, prompt):
    """Return the text of a prompt: a prompt of the model by name, or the text itself."""
    name = folder.default_prompt if prompt is None else prompt
    if name and name.isidentifier() and name not in folder.prompts:
        raise ValueError(
            f"The model has no prompt named {name!r}; it has {list(folder.prompts)}. To use this "
            f"text as the prompt, add a delimiter: prompt={name + ': '!r}."
        )
    return folder.prompts.get(name, name or "")
