"""Networks that skembed builds by itself, without a model's folder: their names and configs.

Imports torch and transformers inside functions.
"""

import importlib
from typing import NamedTuple

from skembed.base._optional import import_optional
from skembed.models._audio_architectures import AUDIO_ARCHITECTURES
from skembed.models._image_architectures import IMAGE_ARCHITECTURES


class Architecture(NamedTuple):
    """A network to be built with random weights, as the files of a model's folder.

    ``input_name`` tells what it takes: pixels or waveforms. ``config`` is config.json's content: of
    transformers' kind, or with a ``model_type`` of `OWN` and the parameters of that class.
    ``files`` are further JSON files by name. ``settled``: batch norms get the statistics of images
    of noise, see `_image_backbone.settle`.
    """

    input_name: str
    config: dict
    files: dict
    settled: bool = False


# Names that `pretrained=False` knows.
ARCHITECTURES: dict = {
    name: Architecture(
        "pixel_values", config, {"preprocessor_config.json": processor}, settled=True
    )
    for name, (config, processor) in IMAGE_ARCHITECTURES.items()
} | {
    name: Architecture("waveforms", config, {"preprocessor_config.json": hearing})
    for name, (config, hearing) in AUDIO_ARCHITECTURES.items()
}

# model_type -> module and class of a network of our own: a `Backbone` with the config as arguments.
OWN: dict = {
    "skembed-resnet": ("skembed.models._image_backbone", "SmallResNet"),
    "skembed-cnn14": ("skembed.models._audio_cnns", "Cnn14"),
    "skembed-cnn-small": ("skembed.models._audio_cnns", "CnnSmall"),
    "skembed-vggish": ("skembed.models._audio_cnns", "Vggish"),
}


def build(config):
    """Return the network of a config, with weights drawn from torch's generator.

    Parameters
    ----------
    config : dict
        Content of ``config.json``.

    Returns
    -------
    network : torch.nn.Module
        A `Backbone` of `OWN`, or a model of transformers.
    """
    settings = {name: value for name, value in config.items() if name != "model_type"}
    if config["model_type"] in OWN:
        module, name = OWN[config["model_type"]]
        return getattr(importlib.import_module(module), name)(**settings)
    transformers = import_optional("transformers", extra="torch", purpose="pretrained=False")
    config = transformers.AutoConfig.for_model(config["model_type"], **settings)
    return transformers.AutoModel.from_config(config)
