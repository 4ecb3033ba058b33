"""What the layers below a modality need of it, as data: a `Modality` and families of networks.

The layers that load and run networks receive a `Modality`; they name no modality themselves.
Imports only `exceptions`.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skembed.exceptions import ModelFormatError


def imported(reference):
    """Return the object that ``"module:name"`` refers to.

    Examples
    --------
    >>> imported("math:floor")(2.5)
    2
    """
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Family:
    """Networks of one ``model_type``. A modality that needs more makes a subclass.

    Parameters
    ----------
    n_layers : callable, default=None
        Takes the content of config.json, returns how many layers follow the first state. None:
        the config says it under one of the usual names.
    model_class : str, default=None
        Class of transformers to load. None: the one that AutoModel takes.
    attention : bool, default=True
        Whether transformers offers a choice of attention implementations for the network.
    fixed_pooler : bool, default=False
        Whether the model's own pooler has a window of one size, to be replaced by one that pools
        maps of any size.
    graph : str, default=None
        ``"module:name"`` of the description from which the graph is built without torch. None: it
        is exported from torch.
    """

    n_layers: Callable | None = None
    model_class: str | None = None
    attention: bool = True
    fixed_pooler: bool = False
    graph: str | None = None


@dataclass(frozen=True)
class Architecture:
    """A network without weights, as the files of a model's folder.

    Parameters
    ----------
    config : dict
        Content of config.json: for transformers, or with a ``model_type`` of `Modality.networks`
        and the parameters of that class.
    files : dict
        Further JSON files, by name.
    prepare : str, default=None
        ``"module:name"`` of a function that is called with a new network of random weights.
    fixed : bool, default=False
        Whether the weights are computed, not drawn. Then ``pretrained=True`` builds it, too.
    """

    config: dict
    files: dict
    prepare: str | None = None
    fixed: bool = False

    def write(self, folder, weights=None):
        """Write the files to a folder.

        Parameters
        ----------
        folder : pathlib.Path
            The folder.
        weights : dict of str to tensor, default=None
            Also write them and config.json. None: transformers has written both.
        """
        files = dict(self.files)
        if weights is not None:
            from safetensors.torch import save_file

            weights = {name: weight.contiguous() for name, weight in weights.items()}
            save_file(weights, folder / "model.safetensors")
            files["config.json"] = self.config
        for name, content in files.items():
            text = json.dumps(content, indent=1) + "\n"
            (folder / name).write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Checkpoint:
    """Pretrained weights in a file of a package on the package index.

    Parameters
    ----------
    package, version : str
        Name of the package as a module, and its version.
    file : str
        Path of the file inside the package. It is a pickle that contains tensors by name.
    sha256 : str
        SHA-256 of the file. No other file is read.
    extra : str
        The extra of skembed that installs the package.
    convert : str
        ``"module:name"`` of a function from these tensors to the weights of the architecture.
    """

    package: str
    version: str
    file: str
    sha256: str
    extra: str
    convert: str


@dataclass(frozen=True, eq=False)
class Modality:
    """A kind of rows and the networks that embed them. Pickles hold its `reference` only.

    Parameters
    ----------
    reference : str
        ``"module:name"`` of the module-level variable that holds this value.
    kind : str
        What X holds, in the plural, for messages: ``"images"``.
    input_name : str
        Name of the network's input.
    poolings : dict
        Values of the parameter `pooling`, each with the names of the poolings to concatenate.
    wrapper : str, default="skembed.models._backbone:HiddenStates"
        ``"module:name"`` of the class that makes a model of transformers a `Backbone`. It is
        called with the model, the name of the input and the model's `Family`.
    any_input_name : bool, default=True
        Whether the input of a ready-made graph may have any name.
    implied_inputs : dict, default={}
        Functions of the input, by name: further inputs that a ready-made graph may have.
    families : dict, default={}
        `Family` by ``model_type``.
    any_family : bool, default=False
        Whether networks of other families are loaded, too.
    networks : dict, default={}
        ``"module:name"`` of `Backbone` classes of our own, by ``model_type``.
    architectures : dict, default={}
        `Architecture` by name: what ``pretrained=False`` builds.
    checkpoints : dict, default={}
        `Checkpoint` by name of an architecture: what ``pretrained=True`` loads for this name.
    auto_pooling : tuple of str, default=("mean",)
        Pooling of a model whose files do not name one.
    has_pooled_state : bool, default=True
        Whether the last of the backbone's states is the model's own pooled vector.
    sentence_modules : bool, default=False
        Whether a head is written to a folder as modules of Sentence Transformers.
    width_in_config : bool, default=False
        Whether config.json gives the length of a layer's pooled state.
    padding : {"mask", "repeat"}, default=None
        How rows of several lengths get into one batch while a network is trained: padded with
        zeros and masked, or repeated. None: rows of each length are computed by themselves.
    may_have_convolutions : bool, default=True
        Whether networks may consist of convolutions, which are calibrated for int8.
    chunk : int, default=256
        Rows that are looked up, prepared and claimed at a time. Memory stays flat however many
        rows there are, and processes that embed the same rows share them in such parts.
    batch_elements : int, default=512
        Elements (tokens, pixels) in a batch: enough to keep a matrix product busy, few enough that
        the activations stay in the processor's cache.
    organization : str, default=None
        Owner on the hub of models that are given by a short name.
    popular : tuple of str, default=()
        Ids of models that the message about a model that was not found may suggest.
    manifest_types : dict, default={}
        Types of the preprocessor's settings in an exported folder, by name.
    check_settings : callable, default=None
        Called with these settings, whose types are right, and the path of the manifest; raises
        ModelFormatError for values that are not allowed.
    check_config : callable, default=None
        Called with config.json's content and the folder's path; raises ModelFormatError for
        networks that are not supported.
    packaged_remedy, untrained_remedy : str, default=""
        What to do without a hub, and without pretrained weights, for the message about a model that
        was not found.
    """

    reference: str
    kind: str
    input_name: str
    poolings: Mapping
    wrapper: str = "skembed.models._backbone:HiddenStates"
    any_input_name: bool = True
    implied_inputs: Mapping = field(default_factory=dict)
    families: Mapping = field(default_factory=dict)
    any_family: bool = False
    networks: Mapping = field(default_factory=dict)
    architectures: Mapping = field(default_factory=dict)
    checkpoints: Mapping = field(default_factory=dict)
    auto_pooling: tuple = ("mean",)
    has_pooled_state: bool = True
    sentence_modules: bool = False
    width_in_config: bool = False
    padding: str | None = None
    may_have_convolutions: bool = True
    chunk: int = 256
    batch_elements: int = 512
    organization: str | None = None
    popular: tuple = ()
    manifest_types: Mapping = field(default_factory=dict)
    check_settings: Callable | None = None
    check_config: Callable | None = None
    packaged_remedy: str = ""
    untrained_remedy: str = ""

    def __reduce__(self):
        return imported, (self.reference,)

    @property
    def all_poolings(self):
        """Names of all poolings that a head may have, each once."""
        return tuple(dict.fromkeys(part for names in self.poolings.values() for part in names))

    def family(self, model_type, path):
        """Return the `Family` of a ``model_type``.

        Raises
        ------
        ModelFormatError
            If networks of that family are not supported; the message names `path`.
        """
        family = self.families.get(model_type)
        if family is None and self.any_family:
            return Family()
        if family is None:
            raise ModelFormatError(
                f"{path} holds a network of the family {model_type!r}. Families for {self.kind} "
                f"that skembed supports: {', '.join(sorted(self.families))}."
            )
        return family

    def n_layers(self, folder):
        """Return how many layers follow the first state of a folder's network; None: not known."""
        family = self.family(folder.config.get("model_type"), folder.path)
        return folder.n_layers if family.n_layers is None else family.n_layers(folder.config)

    def n_hidden(self, folder):
        """Return the length of a layer's pooled state; None: known only after a run."""
        return folder.n_hidden if self.width_in_config else None
