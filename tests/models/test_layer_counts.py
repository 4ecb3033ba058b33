"""The number of layers of every family, against the states that its backbone gives."""

import json

import pytest
import tiny_images
import tiny_sounds
import torch
import transformers
from skembed.models._architectures import build
from skembed.models._audio_architectures import AUDIO_ARCHITECTURES
from skembed.models._depths import AUDIO_DEPTHS, IMAGE_DEPTHS, n_layers_of

from skembed import AudioEmbedder, CNNImageEmbedder
from skembed.audio._audio import SOUNDS
from skembed.exceptions import ModelFormatError
from skembed.models import _audio_backbone, _image_backbone
from skembed.models._backbone import load_backbone
from skembed.models._folder import ModelFolder

ONE_CHANNEL = {
    "convnext": transformers.ConvNextConfig,
    "convnextv2": transformers.ConvNextV2Config,
    "efficientnet": transformers.EfficientNetConfig,
}
SIZES = {
    "efficientnet": {"width_coefficient": 0.1, "depth_coefficient": 0.3, "hidden_dim": 128},
}
STAGES = {"depths": [1, 2, 1], "hidden_sizes": [8, 12, 16], "num_stages": 3}


def save_one_channel(folder, family):
    """Write a tiny network for images that takes a spectrogram."""
    config = ONE_CHANNEL[family](num_channels=1, **SIZES.get(family, STAGES))
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    settings = {"feature_extractor_type": "skembed", "preset": "birdset"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def save_sounds(folder, family):
    if family in ONE_CHANNEL:
        return save_one_channel(folder, family)
    return tiny_sounds.save_tiny_hearing(folder, family)


def n_states(folder, front, input_name):
    """Count the states that a backbone gives for a probe, the pooled vector left out."""
    backbone = load_backbone(folder, input_name)
    inputs = torch.from_numpy(front.probes()[1])
    with torch.no_grad():
        return len(backbone(front.stem.module()(inputs) if front.stem else inputs)) - 1


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero")
@pytest.mark.parametrize("family", [*tiny_sounds.FAMILIES, *ONE_CHANNEL])
def test_families_of_sounds(family, tmp_path):
    embedder = AudioEmbedder(save_sounds(tmp_path, family))
    folder = ModelFolder(tmp_path)
    n_layers = n_layers_of(folder, AUDIO_DEPTHS, "sounds")
    assert n_states(tmp_path, embedder._front(folder), SOUNDS) == n_layers + 1


@pytest.mark.parametrize("family", tiny_images.FAMILIES)
def test_families_of_images(family, tmp_path):
    embedder = CNNImageEmbedder(tiny_images.save_tiny_cnn(tmp_path, family))
    folder = ModelFolder(tmp_path)
    n_layers = n_layers_of(folder, IMAGE_DEPTHS, "images")
    assert n_states(tmp_path, embedder._front(folder), "pixel_values") == n_layers + 1


@pytest.mark.parametrize("name", AUDIO_ARCHITECTURES)
def test_networks_of_our_own(name):
    """The last layer is the last one that can be pooled."""
    config, _ = AUDIO_ARCHITECTURES[name]
    last = AUDIO_DEPTHS[config["model_type"]](config)
    with torch.no_grad():
        states = build(config).eval()(torch.zeros(1, 96, 64))
    assert len(states) == last + 2


def test_every_family_is_counted():
    """A family that can be loaded has an entry, and is in the tests above."""
    sounds = set(_audio_backbone._FAMILIES)
    own = {name for name in AUDIO_DEPTHS if name.startswith("skembed-")}
    assert sounds == set(AUDIO_DEPTHS) - own
    assert own == {config["model_type"] for config, _ in AUDIO_ARCHITECTURES.values()}
    tested = {getattr(transformers, item[0]).model_type for item in tiny_sounds.FAMILIES.values()}
    assert tested | set(ONE_CHANNEL) == sounds
    tested = {family.config.model_type for family in tiny_images.FAMILIES.values()}
    assert tested | {"skembed-resnet"} == set(IMAGE_DEPTHS)
    assert set(_image_backbone._N_SPECIAL) <= set(IMAGE_DEPTHS)


@pytest.mark.parametrize("layers", [12, 64, -65])
def test_layers_of_an_audio_efficientnet_that_do_not_exist(layers, tmp_path):
    folder = save_one_channel(tmp_path, "efficientnet")
    rows = [(tiny_sounds.sound(0.5), 16000)]
    with pytest.raises(ValueError, match="must be an index from -10 to 9"):
        AudioEmbedder(folder, backend="torch", layers=layers).fit(rows)


def test_unknown_families_are_named(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(
        ModelFormatError, match=r"'bert'\. Families for sounds that skembed supports"
    ):
        n_layers_of(ModelFolder(tmp_path), AUDIO_DEPTHS, "sounds")
