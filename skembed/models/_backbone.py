"""Build a backbone with transformers: safetensors only, built-in architectures only.

Imports torch and transformers, and so imported only when a network is loaded.
"""

import contextlib
import importlib

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.utils import logging as transformers_logging

from skembed.base._failures import reason_of
from skembed.exceptions import ModelFormatError
from skembed.models._architectures import OWN, build
from skembed.models._attention import ATTENTIONS
from skembed.models._config_keys import without_code
from skembed.models._encoders import ENCODERS, check_encoder
from skembed.models._folder import ModelFolder

# How much larger the network of a config may be than the weights: parts that are never used.
_SIZE_RATIO, _SIZE_SLACK = 4, 100_000_000


class Backbone(nn.Module):
    """Base of the backbones: network inputs -> a tuple of states, one a layer."""

    # How attention may be written into a graph, the fastest first.
    attentions = ("as it is",)

    def attention(self, name):
        """Compute attention otherwise inside a block."""
        return contextlib.nullcontext()


class Stemmed(Backbone):
    """A backbone and what comes before it in the graph, which computes in float32."""

    def __init__(self, stem, backbone):
        super().__init__()
        self.stem = stem
        self.backbone = backbone
        self.attentions = backbone.attentions
        self.attention = backbone.attention

    def forward(self, inputs):
        """Network inputs -> the backbone's states."""
        dtype = next(self.backbone.parameters()).dtype
        return self.backbone(self.stem(inputs).to(dtype))


class HiddenStates(Backbone):
    """A transformers model, called with one input, that gives the states of all its layers."""

    # What of a model may be missing in its file, by parts of names: no state comes from it.
    unused = ("pooler",)

    def __init__(self, model, input_name):
        super().__init__()
        self.model = model
        self.input_name = input_name

    attentions = ATTENTIONS

    @contextlib.contextmanager
    def attention(self, name):
        """Compute attention otherwise inside a block."""
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation(name)
        try:
            yield
        finally:
            self.model.set_attn_implementation(before)

    def forward(self, inputs):
        """Network inputs -> (n_layers + 1) tensors of (n_rows, n_tokens, n_hidden)."""
        if inputs.is_floating_point():
            inputs = inputs.to(self.model.dtype)
        answer = self.model(**{self.input_name: inputs}, output_hidden_states=True)
        # Some families normalize after the last layer, outside `hidden_states`.
        return (*answer.hidden_states[:-1], answer.last_hidden_state)


@contextlib.contextmanager
def quiet_transformers():
    """Silence transformers' log and progress bar for a block, and put them back."""
    level = transformers_logging.get_verbosity()
    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bar:
            transformers_logging.enable_progress_bar()


def load_backbone(folder, input_name):
    """Load a folder's backbone.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``config.json`` and ``model.safetensors``.
    input_name : str
        Name of the model's input: ``"input_ids"``, ``"pixel_values"``, ...

    Returns
    -------
    backbone : Backbone
        On the CPU, in float32, in evaluation mode.

    Raises
    ------
    ModelFormatError
        If transformers has no such architecture, or weights are missing or damaged.
    """
    files = ModelFolder(folder)
    if files.config.get("model_type") in OWN:
        return _load_own(files)
    weights = _loaded(files)
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        try:
            blank = _blank(without_code(files.config), input_name, folder)
            _check_size(blank, weights, folder)
            # Given the weights, transformers reads no file: neither others than those that the
            # fingerprint is made of nor an adapter beside them.
            model, report = type(blank).from_pretrained(
                None,
                config=blank.config,
                state_dict=weights,
                attn_implementation=blank.config._attn_implementation,
                dtype=torch.float32,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
            )
        except (ModelFormatError, MemoryError):
            raise
        except Exception as error:  # a config of wrong values raises whatever they cause
            raise ModelFormatError(
                f"{folder} cannot be loaded by transformers {transformers.__version__} without "
                f"code from outside it, which skembed never runs: {reason_of(error)}"
            ) from error
    module, name = WRAPPERS[input_name]
    wrapper = getattr(importlib.import_module(module), name)
    wrong = {name for name, *_ in report["mismatched_keys"]} | set(report["missing_keys"])
    wrong = {name for name in wrong if not any(part in name for part in wrapper.unused)}
    if wrong:
        raise ModelFormatError(
            f"{folder}: {len(wrong)} weights of {type(model).__name__} are missing or of another "
            f"shape, {min(wrong)} among them; they would be random."
        )
    return wrapper(model, input_name).eval()


def _loaded(files):
    """Return the weights in a folder's files, by their names."""
    weights = {}
    try:
        for path in files.weights:
            weights |= load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelFormatError(f"{files.path}: the weights are damaged: {error}") from error
    if not weights:
        raise ModelFormatError(f"{files.path} has no weights in safetensors files.")
    return weights


def _blank(config, input_name, folder):
    """Return the network of a config without memory for its weights, with attention chosen."""
    settings = {name: value for name, value in config.items() if name != "model_type"}
    config = transformers.AutoConfig.for_model(config.get("model_type"), **settings)
    make = transformers.AutoModel.from_config
    if input_name == "input_ids":
        check_encoder(config.to_dict(), folder)
        if config.model_type in ENCODERS:
            make = getattr(transformers, ENCODERS[config.model_type])._from_config
    with torch.device("meta"):
        try:
            return make(config, attn_implementation="sdpa")
        except ValueError:  # of a family that has no other
            return make(config, attn_implementation="eager")


def _check_size(blank, weights, folder):
    """Raise a ModelFormatError if a config describes a far larger network than the weights are."""
    tensors = [*blank.parameters(), *blank.buffers()]
    described = sum(tensor.numel() for tensor in tensors)
    held = sum(tensor.numel() for tensor in weights.values())
    if described > _SIZE_RATIO * held + _SIZE_SLACK:
        raise ModelFormatError(
            f"{folder}: config.json describes a network of {described:,} numbers, and the weights "
            f"have {held:,}."
        )


def _load_own(files):
    """Load an architecture of `_architectures.OWN`."""
    weights = _loaded(files)
    try:
        backbone = build(files.config)
        backbone.load_state_dict(weights)
    except Exception as error:  # names the weights that are missing or of another shape
        raise ModelFormatError(f"{files.path}: {error}") from error
    return backbone.eval()


# Name of the network's input -> module and class that make a transformers model a `Backbone`.
WRAPPERS = {
    "input_ids": (__name__, "HiddenStates"),
    "pixel_values": ("skembed.models._image_backbone", "ImageStates"),
    "waveforms": ("skembed.models._audio_backbone", "AudioStates"),
}
