"""Build a backbone with transformers: safetensors only, built-in architectures only.

Imports torch and transformers, and so imported only when a network is loaded.
"""

import contextlib

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.utils import logging as transformers_logging

from skembed.base._failures import reason_of
from skembed.exceptions import ModelFormatError
from skembed.models._attention import ATTENTIONS
from skembed.models._config_keys import without_code
from skembed.models._folder import ModelFolder
from skembed.models._modality import imported

# How much larger the network of a config may be than the weights: parts that are never used.
_SIZE_RATIO, _SIZE_SLACK = 4, 100_000_000


class Backbone(nn.Module):
    """Base of the backbones: network inputs -> a tuple of states, one a layer."""

    # How attention may be written into a graph, the fastest first.
    attentions = ("as it is",)

    def attention(self, name):
        """Use the attention implementation `name` inside a block."""
        return contextlib.nullcontext()


class WithStem(Backbone):
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

    # Parts of names of weights that may be missing, because no state depends on them.
    unused: tuple[str, ...] = ("pooler",)

    def __init__(self, model, modality):
        super().__init__()
        self.model = model
        self.input_name = modality.input_name
        self.family = modality.family(model.config.model_type, "The folder")
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
        """Network inputs -> (n_layers + 1) tensors of (n_rows, n_tokens, n_hidden)."""
        if inputs.is_floating_point():
            inputs = inputs.to(self.model.dtype)
        output = self.model(**{self.input_name: inputs}, output_hidden_states=True)
        # Some families normalize after the last layer, outside `hidden_states`.
        return (*output.hidden_states[:-1], output.last_hidden_state)


def pool_any_size(model):
    """Replace a pooler whose window has one size by one that pools maps of any size."""
    pool = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}
    model.pooler = pool[model.config.pooling_type](1)


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


def load_backbone(folder, modality):
    """Load a folder's backbone.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``config.json`` and ``model.safetensors``.
    modality : Modality
        What the network embeds.

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
    if files.config.get("model_type") in modality.networks:
        return _load_own(files, modality)
    family = modality.family(files.config.get("model_type"), folder)
    weights = _loaded(files)
    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        try:
            blank = _blank(without_code(files.config), modality, family, folder)
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
    wrapper = imported(modality.wrapper)
    wrong = {name for name, *_ in report["mismatched_keys"]} | set(report["missing_keys"])
    wrong = {name for name in wrong if not any(part in name for part in wrapper.unused)}
    if wrong:
        raise ModelFormatError(
            f"{folder}: {len(wrong)} weights of {type(model).__name__} are missing or of another "
            f"shape, {min(wrong)} among them; they would be random."
        )
    return wrapper(model, modality).eval()


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


def _blank(config, modality, family, folder):
    """Return the network of a config without memory for its weights, with attention chosen."""
    settings = {name: value for name, value in config.items() if name != "model_type"}
    config = transformers.AutoConfig.for_model(config.get("model_type"), **settings)
    if modality.check_config is not None:  # with the defaults of its family filled in
        modality.check_config(config.to_dict(), folder)
    make = transformers.AutoModel.from_config
    if family.model_class is not None:
        make = getattr(transformers, family.model_class)._from_config
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


def build(config, modality):
    """Return the network of a config, with weights drawn from torch's generator.

    Parameters
    ----------
    config : dict
        Content of ``config.json``.
    modality : Modality
        What the network embeds.

    Returns
    -------
    network : torch.nn.Module
        A `Backbone` of our own, or a model of transformers.
    """
    settings = {name: value for name, value in config.items() if name != "model_type"}
    reference = modality.networks.get(config["model_type"])
    if reference is not None:
        return imported(reference)(**settings)
    config = transformers.AutoConfig.for_model(config["model_type"], **settings)
    return transformers.AutoModel.from_config(config)


def _load_own(files, modality):
    """Load a network of our own."""
    weights = _loaded(files)
    try:
        backbone = build(files.config, modality)
        backbone.load_state_dict(weights)
    except Exception as error:  # names the weights that are missing or of another shape
        raise ModelFormatError(f"{files.path}: {error}") from error
    return backbone.eval()
