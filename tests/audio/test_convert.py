"""PANNs' published checkpoint into a folder, and the command that does it."""

import pickle
import subprocess
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from skembed.__main__ import main
from skembed.audio._audio import SOUNDS
from skembed.audio._cnns import Cnn14
from skembed.audio._convert import convert_panns
from skembed.base._digest import file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._backbone import load_backbone


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Cnn14().eval()


@pytest.fixture(scope="module")
def checkpoint(network, tmp_path_factory):
    """A file in the layout of the published ones: preprocessor and classifier among the weights."""
    weights = OrderedDict(network.state_dict())
    weights["spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(513, 1, 1024)
    weights["spectrogram_extractor.stft.conv_imag.weight"] = torch.zeros(513, 1, 1024)
    weights["logmel_extractor.melW"] = torch.zeros(513, 64)
    path = tmp_path_factory.mktemp("panns") / "Cnn14.pth"
    torch.save({"iteration": 600000, "model": weights}, path)
    return path


def test_a_published_checkpoint_becomes_a_folder(network, checkpoint, tmp_path, capsys):
    """The command prints the digest of what it wrote; the folder gives the network's outputs."""
    folder = tmp_path / "new" / "cnn14"
    assert main(["convert", "panns", str(checkpoint), str(folder)]) == 0
    digest = file_sha256(folder / "model.safetensors")
    assert capsys.readouterr().out == f"{folder}/model.safetensors, SHA-256 {digest}\n"
    assert len(load_file(folder / "model.safetensors")) == len(network.state_dict())
    backbone = load_backbone(folder, SOUNDS)
    log_mel = torch.from_numpy(np.random.default_rng(0).normal(-40, 20, (1, 40, 64))).float()
    with torch.no_grad():
        expected, found = network(log_mel)[-1], backbone(log_mel)[-1]
    assert torch.equal(found, expected)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cnn14"]


def test_what_is_no_checkpoint_is_refused(checkpoint, tmp_path):
    """And leaves nothing behind."""
    (tmp_path / "text.pth").write_text("no checkpoint")
    torch.save({"model": {"bn0.weight": torch.ones(64)}}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with open(tmp_path / "code.pth", "wb") as file:
        pickle.dump({"model": subprocess.Popen}, file)
    slower = {"logmel_extractor.melW": torch.zeros(257, 64)}  # of 16 kHz
    torch.save({"model": slower}, tmp_path / "slower.pth")
    for name, message in [
        ("slower.pth", "is not a checkpoint for a sampling rate of 32 kHz"),
        ("text.pth", "cannot be read as a checkpoint"),
        ("other.pth", "is not a checkpoint of CNN14"),
        ("list.pth", "does not contain weights by name"),
        ("code.pth", "cannot be read as a checkpoint"),
    ]:
        with pytest.raises(ModelFormatError, match=message):
            convert_panns(tmp_path / name, tmp_path / "folder")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere\.pth"):
        convert_panns(tmp_path / "nowhere.pth", tmp_path / "folder")
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        convert_panns(checkpoint, tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
