"""Networks that end in a state of the backbone, which training keeps. Names no modality."""

from dataclasses import replace

from skembed.base._digest import digest
from skembed.models._head import Head
from skembed.network import _load
from skembed.runtime._backends import BACKENDS, backends_of_graphs


class _StateSource(_load._Source):
    """The graph of one state. Its user compares it with torch."""

    def graph(self):
        return _load._joined(self.spec, self.spec.pieces), ("piece_0",)


def of_state(spec, layer, *, on_graph):
    """Return the spec of a network that ends in one of the backbone's states.

    Parameters
    ----------
    spec : NetworkSpec
        On torch, in float32.
    layer : int
        Which state; 0 is the embedding layer.
    on_graph : bool
        Whether it is run as a graph, which is exported if necessary. It gives maps as tokens.

    Returns
    -------
    spec : NetworkSpec or None
        None: the network does not run as a graph.
    """
    if on_graph:
        spec = replace(spec, backend=backends_of_graphs()[0], widths=())
        # Not `with_export` for the state: it would compare it with torch in another process.
        spec = _load.with_export(spec)
        if not spec.report["agrees"]:
            return None
        _load._ensure_exported(spec, spec.head_pieces, verify=True)
    return replace(spec, head=Head(layers=(layer,), pooling=()), precomputed=())


def state_runner(spec):
    """Return the runner of a network that `of_state` returned, to be run as a graph."""
    backend = BACKENDS[spec.backend]
    return _load._runners.get(
        digest(spec.fingerprints), lambda: backend.load(_StateSource(spec), spec.device)
    )
