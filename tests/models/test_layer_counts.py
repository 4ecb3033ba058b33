"""The number of layers of every family, against the states that its backbone gives.

This runs every entry of `image/_families` and `audio/_families`, which are tables.
"""

import json

import pytest
import tiny_images
import tiny_sounds
import torch
import transformers

from skembed import AudioEmbedder, CNNImageEmbedder
from skembed.audio._audio import SOUNDS
from skembed.exceptions import ModelFormatError
from skembed.image._cnn import IMAGES
from skembed.models._backbone import build, load_backbone
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


def n_states(folder, preprocessor, modality):
    """Count the states that a backbone gives for a probe, the pooled vector left out."""
    backbone = load_backbone(folder, modality)
    inputs = torch.from_numpy(preprocessor.probes()[1])
    with torch.no_grad():
        return (
            len(backbone(preprocessor.stem.module()(inputs) if preprocessor.stem else inputs)) - 1
        )


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero")
@pytest.mark.parametrize("family", [*tiny_sounds.FAMILIES, *ONE_CHANNEL])
def test_families_of_sounds(family, tmp_path):
    embedder = AudioEmbedder(save_sounds(tmp_path, family))
    folder = ModelFolder(tmp_path)
    n_layers = SOUNDS.n_layers(folder)
    assert n_states(tmp_path, embedder._preprocessor()(folder), SOUNDS) == n_layers + 1


@pytest.mark.parametrize("family", tiny_images.FAMILIES)
def test_families_of_images(family, tmp_path):
    embedder = CNNImageEmbedder(tiny_images.save_tiny_cnn(tmp_path, family))
    folder = ModelFolder(tmp_path)
    n_layers = IMAGES.n_layers(folder)
    assert n_states(tmp_path, embedder._preprocessor()(folder), IMAGES) == n_layers + 1


OWN = [
    pytest.param(modality, architecture.config, shape, id=name)
    for modality, shape in ((SOUNDS, (1, 96, 64)), (IMAGES, (1, 3, 32, 32)))
    for name, architecture in modality.architectures.items()
    if architecture.config["model_type"] in modality.networks
]


@pytest.mark.parametrize(("modality", "config", "shape"), OWN)
def test_networks_of_our_own(modality, config, shape):
    """The last layer is the last one that can be pooled."""
    last = modality.families[config["model_type"]].n_layers(config)
    with torch.no_grad():
        states = build(config, modality).eval()(torch.zeros(shape))
    assert len(states) == last + 2


def test_every_family_is_tested():
    """A family that can be loaded is in the tests above; every network of our own is a family."""
    own = {name for name in SOUNDS.families if name.startswith("skembed-")}
    assert own == set(SOUNDS.networks)
    assert own == {item.config["model_type"] for item in SOUNDS.architectures.values()}
    tested = {getattr(transformers, item[0]).model_type for item in tiny_sounds.FAMILIES.values()}
    assert tested | set(ONE_CHANNEL) | own == set(SOUNDS.families)
    tested = {family.config.model_type for family in tiny_images.FAMILIES.values()}
    assert tested | set(IMAGES.networks) == set(IMAGES.families)
    own = {item.config["model_type"] for item in IMAGES.architectures.values()}
    assert set(IMAGES.networks) <= own


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
        SOUNDS.n_layers(ModelFolder(tmp_path))
