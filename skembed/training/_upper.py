"""The upper part of a network, run from a state that was computed before.

Imports torch, and so imported only when a network is trained.
"""

import contextlib

import torch

from skembed.base._failures import reason_of
from skembed.models._backbone import HiddenStates


class Upper:
    """The layers of a backbone above one of its states.

    A state is found as the output of a module, by identity. To run the upper part, the modules that
    give this state and those below it return the kept state at once, and the rest of the network
    runs as usual. Of the network's inputs only the shape is used then.

    Parameters
    ----------
    backbone : Backbone
        In evaluation mode.
    layer : int
        Which of its states is kept; 0 is the embedding layer.
    probe : tensor
        A network input.

    Raises
    ------
    ValueError
        If the network cannot be divided there.
    """

    def __init__(self, backbone, layer, probe):
        self._backbone = backbone
        with torch.no_grad():
            givers, raw = _givers_of_states(backbone, probe)
            missing = [i for i in range(layer + 1) if i not in givers]
            if missing:
                raise _indivisible(f"no module returns the state {missing[0]}")
            self._givers = [givers[i] for i in range(layer + 1)]
            expected = backbone(probe)[layer + 1 :]
            try:
                answers = self(probe, raw[layer])[layer + 1 :]
            except Exception as error:  # whatever a network raises that misses a state
                raise _indivisible(reason_of(error)) from error
            if any(answer is None for answer in answers):
                raise _indivisible("the layers above need more than this state")
        if not expected or not all(
            torch.allclose(a, b, atol=1e-4) for a, b in zip(answers, expected, strict=True)
        ):
            raise _indivisible("the layers above need more than this state")
        self.parameters = self._parameters_above(probe, raw[layer], layer)

    def __call__(self, inputs, state):
        """Return the backbone's states. Those below the kept one are not to be used."""
        with contextlib.ExitStack() as stack:
            for module, n_outputs in self._givers:
                stack.enter_context(_returning(module, state, n_outputs))
            return self._backbone(inputs)

    def kept_state(self, inputs):
        """Return the state to be kept, for network inputs."""

        def stop(module, given, output):
            raise _StateFoundError(_tensor(output))

        module, _ = self._givers[-1]
        handle = module.register_forward_hook(stop)
        try:
            with torch.no_grad():
                self._backbone(inputs)
        except _StateFoundError as found:
            return found.state
        finally:
            handle.remove()
        raise AssertionError("the module that gives the state was not called")

    def _parameters_above(self, probe, state, layer):
        """Return the names of the parameters above the state; none may be used below it, too."""
        named = {n: p for n, p in self._backbone.named_parameters() if p.is_floating_point()}
        before = {name: p.requires_grad for name, p in named.items()}
        for parameter in named.values():
            parameter.requires_grad_(True)
        with torch.enable_grad():
            above = _reached(self(probe, state)[layer + 1 :], named)
            found = []
            module, _ = self._givers[-1]
            handle = module.register_forward_hook(lambda *call: found.append(_tensor(call[2])))
            try:
                self._backbone(probe)
            finally:
                handle.remove()
            below = _reached([found[-1]], named)
        for name, parameter in named.items():
            parameter.requires_grad_(before[name])
        if above & below:
            raise _indivisible(f"its layers share weights, {min(above & below)} among them")
        return above


class _StateFoundError(Exception):
    """Ends a run of the network: the layers above the state are not needed."""

    def __init__(self, state):
        super().__init__()
        self.state = state


def _indivisible(reason):
    return ValueError(
        f"trainable='last:N' does not work for this network: {reason}. Use trainable='all'."
    )


def _tensor(output):
    """Return the tensor that a module returns, alone or first; None: there is none."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def _givers_of_states(backbone, probe):
    """Return the module that gives each state, with the length of its answer, and the states."""
    calls, answers = [], []

    def record(module, given, output):
        n_outputs, tensor = len(output) if isinstance(output, tuple) else None, _tensor(output)
        if not any(item is tensor for item in given):  # identities only pass a state on
            calls.append((module, n_outputs, tensor))

    handles = [module.register_forward_hook(record) for module in backbone.modules()]
    if isinstance(backbone, HiddenStates):
        keep = backbone.model.register_forward_hook(lambda *call: answers.append(call[2]))
        handles.append(keep)
    try:
        states = backbone(probe)
    finally:
        for handle in handles:
            handle.remove()
    raw = answers[-1].hidden_states if answers else states
    givers = {}
    for i, state in enumerate(raw):
        found = [(module, n) for module, n, tensor in calls if tensor is state]
        if found:
            givers[i] = found
    return {i: _outermost(i, givers) for i in givers}, raw


def _outermost(i, givers):
    """Return the largest module that gives the state `i` and computes no other state."""
    others = {id(module) for k in givers if k != i for module, _ in givers[k]}

    def alone(module):
        return not any(id(inner) in others for inner in module.modules())

    found = [(module, n) for module, n in givers[i] if alone(module)] or givers[i][:1]
    return max(found, key=lambda item: sum(1 for _ in item[0].modules()))


@contextlib.contextmanager
def _returning(module, state, n_outputs):
    """Let a module return a state, in the form of its usual answer, inside a block."""
    answer = state if n_outputs is None else (state, *[None] * (n_outputs - 1))
    module.forward = lambda *given, **named: answer
    try:
        yield
    finally:
        del module.forward


def _reached(outputs, named):
    """Return the names of the parameters that outputs depend on."""
    outputs = [output.float().sum() for output in outputs if output.requires_grad]
    if not outputs:
        return set()
    gradients = torch.autograd.grad(sum(outputs), list(named.values()), allow_unused=True)
    return {name for name, g in zip(named, gradients, strict=True) if g is not None}
