"""Load backbones: weights from safetensors files, architectures of transformers or skembed.

This module imports torch and transformers; it is imported only when a network is loaded.
"""

import contextlib
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.utils import logging as transformers_logging

from skembed.base._failures import reason_of
from skembed.base._graph_names import STEM
from skembed.exceptions import ModelFormatError
from skembed.models._attention import ATTENTIONS
from skembed.models._config_keys import without_code
from skembed.models._folder import ModelFolder
from skembed.models._modality import imported

# How much larger the network of a config may be than the weights, because of unused parts.
_SIZE_RATIO, _SIZE_SLACK = 4, 100_000_000


class Backbone(nn.Module):
    """Base class of backbones, which map network inputs to a tuple of states, one per layer."""

    # Implementations of attention that can be exported, the fastest first.
    attentions = ("as it is",)
    # Which tokens of padded rows are real, (n_rows, n_tokens). None: no row is padded.
    mask = None

    @contextlib.contextmanager
    def masked(self, mask):
        """Compute padded rows inside a block; only training pads rows."""
        self.mask = mask
        try:
            yield
        finally:
            self.mask = None

    def attention(self, name):
        """Use the attention implementation `name` inside a block."""
        return contextlib.nullcontext()


class WithStem(Backbone):
    """A backbone, preceded by a module that computes its inputs in float32."""

    def __init__(self, stem, backbone):
        super().__init__()
        self.add_module(STEM, stem)
        self.backbone = backbone
        self.attentions = backbone.attentions
        self.attention = backbone.attention

    def forward(self, inputs):
        """Map network inputs to the states of the backbone."""
        dtype = next(self.backbone.parameters()).dtype
        return self.backbone(getattr(self, STEM)(inputs).to(dtype))


class HiddenStates(Backbone):
    """Return the states of all layers of a transformers model with one input."""

    # Parts of the names of weights that may be missing, because no state depends on them.
    unused: tuple[str, ...] = ("pooler",)

    def __init__(self, model, input_name, family):
        super().__init__()
        self.model = model
        self.input_name = input_name
        self.family = family
        self.attentions = ATTENTIONS if self.family.attention else Backbone.attentions
        if self.family.fixed_pooler:
            pool_any_size(model)

    @contextlib.contextmanager
    def attention(self, name):
        """Use the attention implementation `name` inside a block."""
        if not self.family.attention:
            yield
            return
        before = self.model.config._attn_implementation
        self.model.set_attn_implementation(name)
        try:
            yield
        finally:
            self.model.set_attn_implementation(before)

    def forward(self, inputs):
        """Map network inputs to n_layers + 1 tensors of shape (n_rows, n_tokens, n_hidden)."""
        if inputs.is_floating_point():
            inputs = inputs.to(self.model.dtype)
        given = {self.input_name: inputs}
        if self.mask is not None:
            given["attention_mask"] = self.mask
        output = self.model(**given, output_hidden_states=True)
        # Some families normalize after the last layer, outside `hidden_states`.
        return (*output.hidden_states[:-1], output.last_hidden_state)


def pool_any_size(model):
    """Replace a pooler with a window of fixed size by one that pools maps of any size."""
    pool = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
    model.pooler = pool[model.config.pooling_type](1)


@contextlib.contextmanager
def quiet_transformers():
    """Silence the log and the progress bars of transformers inside a ``with`` block."""
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


class Loaded(NamedTuple):
    """A backbone, and the model that it is a part of."""

    backbone: Backbone
    model: Any  # of transformers; the backbone itself if skembed implements the network
    random: frozenset = frozenset()  # names of the model's weights that the folder does not have


def load_backbone(folder, modality):
    """Load a folder's backbone: that of `load_model`."""
    return load_model(folder, modality).backbone


def load_model(folder, modality):
    """Load a folder's network.

    Parameters
    ----------
    folder : pathlib.Path
        The folder with ``config.json`` and ``model.safetensors``.
    modality : Modality
        The modality that the network embeds.

    Returns
    -------
    loaded : Loaded
        On the CPU, in float32, in evaluation mode.

    Raises
    ------
    ModelFormatError
        If the architecture is not supported, or weights are missing or damaged.
    """
    files = ModelFolder(folder)
    if files.config.get("model_type") in modality.networks:
        own = _load_own(files, modality)
        return Loaded(own, own)
    family = modality.family(files.config.get("model_type"), folder)
    model, wrong = _load_transformers(files, modality, family)
    wrapper = imported(modality.wrapper)
    used = {name for name in wrong if not any(part in name for part in wrapper.unused)}
    if used:
        raise ModelFormatError(
            f"{folder}: {len(used)} weights of {type(model).__name__} are missing or have another "
            f"shape, {min(used)} among them; they would be random."
        )
    return Loaded(wrapper(model, modality.input_name, family).eval(), model, frozenset(wrong))


def _load_transformers(files, modality, family):
    """Return a model of transformers, and the names of its missing and mismatched weights."""
    folder = files.path
    weights = _loaded(files)
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        try:
            blank = _blank(without_code(files.config), modality, family, folder)
            _check_size(blank, weights, folder)
            # transformers receives the weights and reads no files. So it uses only files that are
            # part of the fingerprint, and ignores adapters in the folder.
            model, report = type(blank).from_pretrained(
                None,
                config=blank.config,
                state_dict=weights,
                attn_implementation=blank.config._attn_implementation,
                dtype=torch.float32,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # the caller reports them by name
                output_loading_info=True,
            )
        except (ModelFormatError, MemoryError):
            raise
        except Exception as error:  # wrong values in a config can raise any error
            raise ModelFormatError(
                f"{folder} cannot be loaded by transformers {transformers.__version__} without "
                f"code from outside it, which skembed never runs: {reason_of(error)}"
            ) from error
    wrong = {name for name, *_ in report["mismatched_keys"]} | set(report["missing_keys"])
    return model, wrong


def _loaded(files):
    """Return the weights in the files of a folder, by name."""
    weights = {}
    try:
        for path in files.weights:
            weights |= load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ModelFormatError(f"{files.path}: the weights are damaged: {error}") from error
    if not weights:
        raise ModelFormatError(f"{files.path} has no weights in safetensors files.")
    return weights


def _blank(config, modality, family, folder):
    """Build the network of a config without allocating its weights, and choose its attention."""
    settings = {name: value for name, value in config.items() if name != "model_type"}
    config = transformers.AutoConfig.for_model(config.get("model_type"), **settings)
    if modality.check_config is not None:  # on the config with all defaults
        modality.check_config(config.to_dict(), folder)
    make = transformers.AutoModel.from_config
    if family.model_class is not None:
        make = getattr(transformers, family.model_class)._from_config
    with torch.device("meta"):
        try:
            return make(config, attn_implementation="sdpa")
        except ValueError:  # the family does not support "sdpa"
            return make(config, attn_implementation="eager")


def _check_size(blank, weights, folder):
    """Raise a ModelFormatError if the network of a config is far larger than the weights."""
    tensors = [*blank.parameters(), *blank.buffers()]
    described = sum(tensor.numel() for tensor in tensors)
    stored = sum(tensor.numel() for tensor in weights.values())
    if described > _SIZE_RATIO * stored + _SIZE_SLACK:
        raise ModelFormatError(
            f"{folder}: config.json describes a network of {described:,} numbers, and the weights "
            f"contain {stored:,}."
        )


def build(config, modality):
    """Build the network of a config, with weights drawn from torch's global generator.

    Parameters
    ----------
    config : dict
        Content of ``config.json``.
    modality : Modality
        The modality that the network embeds.

    Returns
    -------
    network : torch.nn.Module
        A `Backbone` of skembed, or a model of transformers.
    """
    settings = {name: value for name, value in config.items() if name != "model_type"}
    reference = modality.networks.get(config["model_type"])
    if reference is not None:
        return imported(reference)(**settings)
    config = transformers.AutoConfig.for_model(config["model_type"], **settings)
    return transformers.AutoModel.from_config(config)


def _load_own(files, modality):
    """Load a network that skembed implements."""
    weights = _loaded(files)
    try:
        backbone = build(files.config, modality)
        backbone.load_state_dict(weights)
    except Exception as error:  # lists the weights that are missing or have another shape
        raise ModelFormatError(f"{files.path}: {error}") from error
    return backbone.eval()
