"""Read and write folders of static models: a table of token vectors, and its tokenizer.

Folders of model2vec and of Sentence Transformers' StaticEmbedding differ in names and in what they
do with a text. The name of the tensor tells who wrote a folder.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skembed.exceptions import ModelFormatError
from skembed.models._files import file_in, inside, read_json
from skembed.models._sentence import check_modules, model_settings
from skembed.models._tensors import read_tensors, tensor_shapes, write_tensors

FIRST_MODULE = "StaticEmbedding"
_MODEL2VEC, _SENTENCE = "embeddings", "embedding.weight"
_MODEL2VEC_MAX_LENGTH = 512  # tokens, if config.json does not state it
_TYPES = "sentence_transformers.models"


@dataclass(frozen=True)
class StaticFolder:
    """Files and settings of a folder of a static model."""

    path: Path
    weights: Path
    tokenizer: Path
    is_model2vec: bool  # rather than Sentence Transformers'
    normalize: bool = False
    max_length: int | None = None  # tokens; None: no limit, or that of tokenizer.json
    truncate_dim: int | None = None  # applied after `normalize`
    prompts: dict = field(default_factory=dict)
    default_prompt: str | None = None


def read_static_folder(path):
    """Return the `StaticFolder` of a path.

    Raises
    ------
    ModelFormatError
        If it has no table or no tokenizer, or a setting is not supported.
    """
    path = Path(path)
    modules = check_modules(path, FIRST_MODULE)
    place = inside(path, modules[0][1]) if modules else path
    weights, tokenizer = (file_in(place, n) for n in ("model.safetensors", "tokenizer.json"))
    if weights is None:
        raise ModelFormatError(f"{place} has no model.safetensors with vectors of tokens.")
    shapes = tensor_shapes(weights)
    found = [name for name in (_MODEL2VEC, _SENTENCE) if name in shapes]
    if not found:
        raise ModelFormatError(
            f"{weights} has no vectors of tokens: a tensor named {_MODEL2VEC!r} (model2vec) or "
            f"{_SENTENCE!r} (StaticEmbedding of Sentence Transformers). It has "
            f"{len(shapes)} others. Is it a transformer?"
        )
    if tokenizer is None:
        raise ModelFormatError(
            f"{place} has no tokenizer.json, which static models are saved with."
        )
    normalize = any(kind == "Normalize" for kind, _ in modules)
    files = {"path": path, "weights": weights, "tokenizer": tokenizer}
    if found[0] == _MODEL2VEC:
        settings = _model2vec_settings(place / "config.json", normalize)
        return StaticFolder(**files, is_model2vec=True, **settings)
    settings = model_settings(path)
    return StaticFolder(**files, is_model2vec=False, normalize=normalize, **settings)


def _model2vec_settings(file, normalize):
    """Return the settings of model2vec's config.json; its other keys do not change vectors."""
    config = read_json(file)
    if config is None:
        return {"normalize": normalize, "max_length": _MODEL2VEC_MAX_LENGTH}
    settings = {
        "normalize": config.get("normalize", False),
        "max_length": config.get("max_length", _MODEL2VEC_MAX_LENGTH),
    }
    max_length = settings["max_length"]
    if type(settings["normalize"]) is not bool:
        raise ModelFormatError(f"{file}: normalize must be true or false.")
    if max_length is not None and not (type(max_length) is int and max_length > 0):
        raise ModelFormatError(f"{file}: max_length must be null or a positive integer.")
    return settings


def read_table(path, n_tokens):
    """Return the vector of each token.

    Parameters
    ----------
    path : path
        ``model.safetensors`` of a static model.
    n_tokens : int
        The tokenizer's ids are below this number.

    Returns
    -------
    vectors : ndarray of shape (n_tokens or more, n_dims), float32

    Raises
    ------
    ModelFormatError
        If shapes do not fit, or a value is not finite.
    """
    tensors = read_tensors(path, (_MODEL2VEC, _SENTENCE, "weights", "mapping"))
    is_model2vec = _MODEL2VEC in tensors
    vectors = tensors[_MODEL2VEC if is_model2vec else _SENTENCE]
    if vectors.ndim != 2 or not vectors.size:
        raise ModelFormatError(
            f"{path}: vectors of tokens must be a matrix. Got the shape {vectors.shape}."
        )
    if is_model2vec and "mapping" in tensors:
        vectors = vectors[_checked_mapping(path, tensors["mapping"], len(vectors))]
    if len(vectors) < n_tokens:
        raise ModelFormatError(
            f"{path} has vectors of {len(vectors)} tokens, but tokenizer.json has {n_tokens}."
        )
    vectors = vectors.astype(np.float32, copy=False)
    if is_model2vec and "weights" in tensors:
        weights = tensors["weights"].astype(np.float32)
        if weights.shape != (len(vectors),):
            raise ModelFormatError(
                f"{path}: weights must have the shape ({len(vectors)},). Got {weights.shape}."
            )
        vectors = vectors * weights[:, None]
    if not np.isfinite(vectors).all():
        raise ModelFormatError(f"{path}: vectors of tokens contain NaN or infinity.")
    return vectors


def _checked_mapping(path, mapping, n_vectors):
    """Return model2vec's mapping from tokens to vectors, if its values are rows of the table."""
    whole = mapping.ndim == 1 and mapping.dtype.kind in "iu" and mapping.size
    if not whole or not 0 <= mapping.min() <= mapping.max() < n_vectors:
        raise ModelFormatError(f"{path}: mapping must be indices of {n_vectors} vectors.")
    return mapping


def write_static_folder(
    folder,
    tokenizer,
    vectors,
    *,
    weights=None,
    normalize=True,
    max_length=None,
    prompt="",
    truncate_dim=None,
    is_model2vec=True,
):
    """Write a folder that skembed, model2vec and Sentence Transformers read.

    Parameters
    ----------
    folder : pathlib.Path
        The folder, which exists.
    tokenizer : tokenizers.Tokenizer
        Written as ``tokenizer.json``.
    vectors : ndarray of shape (n_tokens, n_dims)
        Floats, or int8 with `weights`.
    weights : ndarray of shape (n_tokens,), default=None
        Factor of each vector.
    normalize : bool, default=True
        Whether vectors of texts have unit length.
    max_length : int, default=None
        Maximum number of tokens. None: no limit.
    prompt : str, default=""
        Text that precedes each text. Only Sentence Transformers' layout has one.
    truncate_dim : int, default=None
        Number of dimensions to keep after normalization; in Sentence Transformers' layout only.
    is_model2vec : bool, default=True
        Whether to write model2vec's layout rather than Sentence Transformers'. model2vec leaves out
        unknown tokens; Sentence Transformers pools their vector.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_length is not None:
        tokenizer.enable_truncation(max_length)
    place = folder if is_model2vec else folder / "0_StaticEmbedding"
    place.mkdir(exist_ok=True)
    tokenizer.save(str(place / "tokenizer.json"), pretty=False)
    tensors = {_MODEL2VEC if is_model2vec else _SENTENCE: vectors}
    if weights is not None:
        tensors["weights"] = weights
    write_tensors(place / "model.safetensors", tensors)
    paths = ["." if is_model2vec else place.name, "1_Normalize"]
    kinds = [FIRST_MODULE, "Normalize"] if normalize else [FIRST_MODULE]
    modules = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"{_TYPES}.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    files = {"modules.json": modules}
    if is_model2vec:
        files["config.json"] = {
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": vectors.shape[1],
            "normalize": normalize,
            "max_length": max_length,
            "embedding_dtype": vectors.dtype.name,
        }
    else:
        prompts = {"prompts": {"default": prompt}, "default_prompt_name": "default"}
        settings = (prompts if prompt else {}) | {"truncate_dim": truncate_dim}
        files["config_sentence_transformers.json"] = settings
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
