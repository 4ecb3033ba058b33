"""What is trained: a network or a projection, from what is kept of a row to its vector.

Imports torch, and so imported only when a network is trained.
"""

import copy

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from skembed.base._optional import require_optional
from skembed.base._threads import same_shape_batches
from skembed.models._backbone import WithStem
from skembed.models._folder import ModelFolder
from skembed.models._projection import Projection
from skembed.network._learned import Learned, low_rank_names
from skembed.network._load import torch_network
from skembed.training._augment import of_one_length
from skembed.training._kept import KeptStates
from skembed.training._sampling import parts_of
from skembed.training._upper import Upper

_KEPT_ROWS = 64  # that go through the stem in one go


def mixed_precision(given, device):
    """Tell whether products are computed in bfloat16, for the parameter `mixed_precision`."""
    if given != "auto":
        return given
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without these instructions, bfloat16 is slower than float32.
    return any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


class FinishedHead(nn.Module):
    """Projection, truncation and normalization of vectors, as `Head.finished` does them.

    Parameters
    ----------
    head : Head
        Truncates and normalizes.
    n_dims : int
        Length of the vectors of the head's pieces, concatenated.
    projection_dim : int or None
        Length of projected vectors; None: no projection is learned.
    """

    def __init__(self, head, n_dims, projection_dim):
        super().__init__()
        self._head = head
        self.projection = None
        if projection_dim is not None:
            weight = torch.eye(n_dims)
            if projection_dim != n_dims:
                weight = nn.init.orthogonal_(torch.empty(n_dims, projection_dim))
            self.projection = nn.Parameter(weight)
        n_dims = projection_dim or n_dims
        self.n_dims = min(n_dims, head.truncate_dim or n_dims)

    def forward(self, vectors):
        """(n_rows, n_dims of the pieces) -> (n_rows, n_dims)."""
        head = self._head
        if self.projection is not None:
            vectors = vectors @ self.projection
        if not head.truncate_last:
            vectors = vectors[:, : head.truncate_dim]
        if head.normalize:
            vectors = nn.functional.normalize(vectors, dim=1)
        return vectors[:, : head.truncate_dim]

    def learned(self):
        """Return the `Projection`; None: there is none."""
        if self.projection is None:
            return None
        return Projection.of(self.projection.detach().cpu().numpy())


class TrainedHead(nn.Module):
    """A projection of frozen vectors.

    Parameters
    ----------
    spec : NetworkSpec
        Whose head's vectors are projected; they are the inputs, not yet truncated or normalized.
    n_dims : int
        Their length.
    training : Training
        Its `projection_dim` is used.
    """

    def __init__(self, spec, n_dims, training):
        super().__init__()
        self.head = FinishedHead(spec.head, n_dims, training.projection_dim or n_dims)
        self.n_dims = self.head.n_dims

    def kept(self, inputs):
        """Return what is kept of each input for all epochs."""
        return [torch.from_numpy(item) for item in inputs]

    def input_shape(self, shape):
        """Return the shape of an input of the backbone, for that of a network input."""
        return shape

    def parts_of(self, shapes):
        """Return which items are computed together, as lists of positions."""
        return [list(range(len(shapes)))]

    def forward(self, items, shapes):
        """List of kept items -> vectors, (n_rows, n_dims)."""
        return self.head(torch.stack(items))

    def train_mode(self):
        """Put what is trained into training mode."""
        self.train()

    def learned(self):
        """Return what was learned."""
        return Learned(projection=self.head.learned())


class TrainedNetwork(nn.Module):
    """A copy of a network of which some or all layers are trained.

    Parameters
    ----------
    spec : NetworkSpec
        The network before training.
    training : Training
        Its `trainable`, `projection_dim` and `lora_rank` are used.
    augment : callable or None
        Changes network inputs at random in each step. Then no states are kept.
    **states
        Parameters of `KeptStates`: where states are stored, what computes them.
    """

    def __init__(self, spec, training, augment=None, **states):
        super().__init__()
        network = copy.deepcopy(torch_network(spec, spec.head_pieces))
        stemmed = isinstance(network.backbone, WithStem)
        self.stem = network.backbone.stem if stemmed else None
        self.backbone = network.backbone.backbone if stemmed else network.backbone
        self.pieces = network.pieces
        self.requires_grad_(False)
        self._augment, self._upper, self._states_below = augment, None, None
        self._pretrained = spec.seed is None
        probes = [torch.from_numpy(probe) for probe in spec.preprocessor.probes()]
        probes = [self._stemmed(probe.to(spec.device)) for probe in probes]
        self._dtype, self._device = probes[0].dtype, probes[0].device
        self._mixed = mixed_precision(training.mixed_precision, self._device)
        self._lora = training.trainable == "lora"
        if self._lora:
            self.trained = _add_low_rank(self.backbone, training)
        else:
            self.trained = self._layers(spec, training, probes[0], states)
        self._before = {name: t.clone() for name, t in self.backbone.state_dict().items()}
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(name in self.trained)
        with torch.no_grad():
            states = self.backbone(probes[0])
            n_dims = sum(piece(states).shape[1] for piece in self.pieces)
            self.head = FinishedHead(spec.head, n_dims, training.projection_dim).to(spec.device)
        self._padding, self._n_elements = None, spec.modality.batch_elements
        if spec.modality.padding == "mask" and self._masking_is_exact(probes):
            self._padding = "mask"
        elif spec.modality.padding == "repeat" and self._upper is None:
            self._padding = "repeat"
        self.n_dims = self.head.n_dims

    def _layers(self, spec, training, probe, states):
        """Return the names of the parameters of the layers that are trained."""
        n_last = training.n_last
        if n_last is None:
            return {n for n, p in self.backbone.named_parameters() if p.is_floating_point()}
        layer = _kept_layer(spec, n_last)
        upper = Upper(self.backbone, layer, probe)
        if self._augment is None:
            self._upper = upper
            self._states_below = KeptStates(spec, layer, self._kept, **states)
        return upper.parameters

    def _masking_is_exact(self, probes):
        """Tell whether padded rows have the vectors that they have alone."""
        kept = [self._kept(probe[:1])[0] for probe in probes]
        shapes = [tuple(probe.shape[1:]) for probe in probes]
        with torch.no_grad():
            alone = [self([item], [shape]) for item, shape in zip(kept, shapes, strict=True)]
            return torch.allclose(torch.cat(alone), self(kept, shapes), atol=1e-4)

    def _stemmed(self, inputs):
        with torch.no_grad():
            return inputs if self.stem is None else self.stem(inputs)

    def _kept(self, inputs):
        inputs = self._stemmed(inputs.to(self._device))
        return inputs if self._upper is None else self._upper.kept_state(inputs)

    def kept(self, inputs):
        """Return what is kept of each input for all epochs: its state below, or itself."""
        if self._states_below is not None:
            return self._states_below.of(inputs)
        kept = [None] * len(inputs)
        for group in same_shape_batches(inputs, _KEPT_ROWS, None):
            batch = self._kept(torch.from_numpy(np.stack([inputs[i] for i in group])))
            for i, item in zip(group, batch, strict=True):
                kept[i] = item
        return kept

    def input_shape(self, shape):
        """Return the shape of an input of the backbone, for that of a network input."""
        if self.stem is None:
            return shape
        return tuple(self._stemmed(torch.zeros(1, *shape, device=self._device)).shape[1:])

    def parts_of(self, shapes):
        """Return which items are computed together, as lists of positions."""
        if self._padding == "repeat" and self.training:
            return [list(range(len(shapes)))]
        return parts_of(shapes, self._n_elements, pads=self._padding == "mask")

    def forward(self, items, shapes):
        """List of kept items, and of shapes of the backbone's inputs -> (n_rows, n_dims)."""
        if len(set(shapes)) > 1 and self._padding == "repeat":
            items = list(of_one_length(items))
            shapes = [tuple(item.shape) for item in items]
        if self._upper is not None:  # kept on the CPU, and perhaps in float16
            items = [item.to(self._device, torch.float32) for item in items]
        if len(set(shapes)) == 1:
            states = self._states(torch.stack(items), shapes[0])
            return self.head(self._vectors(states))
        return self.head(self._padded(items, [shape[0] for shape in shapes]))

    def _padded(self, items, lengths):
        """Pad and mask rows of several lengths; a row is pooled over its own length."""
        longest = max(lengths)
        kept = nn.utils.rnn.pad_sequence(items, batch_first=True)
        positions = torch.arange(longest, device=self._device)
        mask = positions < torch.tensor(lengths, device=self._device)[:, None]
        with self.backbone.masked(mask.long()):
            states = self._states(kept, (longest,))
        vectors = [None] * len(items)
        layers = {piece.piece.layers[0] for piece in self.pieces}
        for length in dict.fromkeys(lengths):
            rows = [i for i, other in enumerate(lengths) if other == length]
            found = self._vectors({k: states[k][rows, :length] for k in layers})
            for i, vector in zip(rows, found, strict=True):
                vectors[i] = vector
        return torch.stack(vectors)

    def _states(self, kept, shape):
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            return self._computed(kept, shape)

    def _computed(self, kept, shape):
        if self._upper is not None:
            blank = torch.zeros((), dtype=self._dtype, device=self._device)
            return self._upper(blank.expand(len(kept), *shape), kept)
        if self._augment is not None and self.training:
            kept = _changed(kept, self._augment)
        return self.backbone(kept)

    def _vectors(self, states):
        return torch.cat([piece(states) for piece in self.pieces], dim=1)

    def train_mode(self):
        """Put the modules that are wholly trained into training mode, and the others not.

        Batch norms of a pretrained network keep their statistics: those of a few batches of a
        small set are worse, and the network would be another one in training than afterwards.
        """
        self.eval()
        self.training = True
        for prefix, module in self.backbone.named_modules():
            names = [f"{prefix}.{n}" if prefix else n for n, _ in module.named_parameters()]
            whole = names and self.trained.issuperset(names)
            if whole or (self._lora and isinstance(module, nn.Dropout)):
                module.train()
        if self._pretrained:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def learned(self):
        """Return the tensors of the backbone that changed, and the projection."""
        changed = {
            name: tensor.cpu().contiguous()
            for name, tensor in self.backbone.state_dict().items()
            if not torch.equal(tensor, self._before[name])
        }
        if self._lora:
            changed = _low_rank_products(self.backbone)
        return Learned(weights=save(changed) if changed else b"", projection=self.head.learned())


def _changed(batch, augment):
    """Return what `augment` makes of a batch."""
    changed = augment(batch)
    if not isinstance(changed, torch.Tensor) or changed.shape[:1] != batch.shape[:1]:
        found = getattr(changed, "shape", changed)
        found = f"the shape {tuple(found)}" if isinstance(changed, torch.Tensor) else type(changed)
        raise ValueError(
            "augment takes a tensor and must return one with as many rows. It took the shape "
            f"{tuple(batch.shape)} and returned {found}."
        )
    if not torch.isfinite(changed).all():
        raise ValueError("augment returned NaN or infinite values.")
    return changed


def _kept_layer(spec, n_last):
    n_layers = spec.modality.n_layers(ModelFolder(spec.path))
    if n_layers is None or n_last > n_layers:
        found = "an unknown number of" if n_layers is None else n_layers
        raise ValueError(f"trainable='last:{n_last}': {spec.model} has {found} layers.")
    kept = n_layers - n_last
    n_states = n_layers + 1 + spec.modality.has_pooled_state
    highest = max(range(n_states)[layer] for layer in spec.head.layers)
    if highest <= kept:
        raise ValueError(
            f"trainable='last:{n_last}' trains the layers above {kept}, and the vectors are pooled "
            f"from layer {highest}. Train more layers, or pool a later one."
        )
    return kept


def _add_low_rank(backbone, training):
    """Add matrices of low rank to the linear layers of a backbone; return their names.

    A network without linear layers gets them in its convolutions.
    """
    require_optional("peft", extra="train", purpose="trainable='lora'")
    from peft import LoraConfig, inject_adapter_in_model

    def of_kind(kind):
        return [name for name, module in backbone.named_modules() if isinstance(module, kind)]

    convolutions = [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1
    ]
    targets = of_kind(nn.Linear) or convolutions
    if not targets:
        raise ValueError("trainable='lora' does not work for this network. Use trainable='all'.")
    rank = training.lora_rank
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    inject_adapter_in_model(config, backbone)
    return {name for name, _ in backbone.named_parameters() if ".lora_" in name}


def _low_rank_products(backbone):
    """Return the two matrices of each layer's change; their product is added to its weights."""
    from peft.tuners.lora import LoraLayer

    products = {}
    for name, module in backbone.named_modules():
        if isinstance(module, LoraLayer):
            down, up = (part["default"].weight for part in (module.lora_A, module.lora_B))
            if up.any():
                left, right = low_rank_names(f"{name}.weight")
                products[left] = up.detach().flatten(1).cpu() * module.scaling["default"]
                products[right] = down.detach().flatten(1).cpu().contiguous()
    return products
