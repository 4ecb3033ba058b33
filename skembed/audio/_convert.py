"""Published checkpoints that are pickles, turned into folders that skembed loads.

Only tensors are read from them (``weights_only=True``). Imports torch inside functions.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

from skembed.audio._families import ARCHITECTURES
from skembed.base._digest import file_sha256
from skembed.base._optional import import_optional
from skembed.exceptions import ModelFormatError

# Constants of the published network's front end, which are computed here.
_LEFT_OUT = ("spectrogram_extractor.", "logmel_extractor.")
# The shape of one of them at 32 kHz: networks for 16 and 8 kHz differ in nothing else.
_BANDS, _BANDS_SHAPE = "logmel_extractor.melW", (513, 64)


def convert_panns(file, folder):
    """Turn the published checkpoint of PANNs' CNN14 into a model's folder.

    Parameters
    ----------
    file : str or path
        ``Cnn14_mAP=0.431.pth`` or another one of that architecture at 32 kHz.
    folder : str or path
        Must not exist yet, or be empty. It receives ``config.json``, ``model.safetensors`` and
        ``preprocessor_config.json``.

    Returns
    -------
    sha256 : str
        Of the folder's weights.

    Raises
    ------
    FileExistsError
        If the folder has files in it.
    FileNotFoundError
        If there is no such checkpoint.
    ModelFormatError
        If the file is no checkpoint, or of another architecture.
    """
    file, folder = Path(file).expanduser(), Path(folder).expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder.")
    weights = _tensors_of(file)
    from skembed.audio._cnns import Cnn14

    known = ARCHITECTURES["cnn14"]
    n_classes = weights["fc_audioset.bias"].shape[0] if "fc_audioset.bias" in weights else 527
    config = {**known.config, "n_classes": n_classes}
    network = Cnn14(**{name: v for name, v in config.items() if name != "model_type"})
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:  # names the weights that are missing or of another shape
        raise ModelFormatError(f"{file} is not a checkpoint of CNN14: {error}") from error
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        save_file(network.state_dict(), aside / "model.safetensors")
        for name, content in {"config.json": config, **known.files}.items():
            (aside / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        sha256 = file_sha256(aside / "model.safetensors")
        if folder.exists():
            folder.rmdir()
        os.chmod(aside, 0o755)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sha256


def _tensors_of(file):
    """Return a checkpoint's weights by name."""
    torch = import_optional("torch", extra="torch", purpose="Converting a checkpoint")
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler and the archive's reader raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFormatError(f"{file} cannot be read as a checkpoint: {reason[0]}") from error
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(torch.is_tensor(w) for w in weights.values()):
        raise ModelFormatError(f"{file} does not hold weights by name.")
    if _BANDS in weights and tuple(weights[_BANDS].shape) != _BANDS_SHAPE:
        raise ModelFormatError(
            f"{file} is a checkpoint for another sampling rate than 32 kHz: {_BANDS} has the shape "
            f"{tuple(weights[_BANDS].shape)}, not {_BANDS_SHAPE}."
        )
    return {name: w for name, w in weights.items() if not name.startswith(_LEFT_OUT)}
