"""Networks that end in a state: on torch and as a graph, each with a fingerprint of its own."""

from dataclasses import replace

import numpy as np
import torch

from skembed import BertEmbedder
from skembed.network import _load
from skembed.network._states import of_state, state_runner

TEXTS = ["the cat sat", "a dog"]


def test_a_network_ends_in_a_state(tiny_bert):
    spec = BertEmbedder(tiny_bert, backend="torch").fit(TEXTS)._network
    ids = np.array([[2, 5, 6, 3]])
    with torch.no_grad():
        states = _load.torch_network(spec, ()).backbone(torch.from_numpy(ids))
    fingerprints = set(spec.fingerprints)
    for layer in (0, 1):
        on_torch = of_state(spec, layer, on_graph=False)
        on_graph = of_state(spec, layer, on_graph=True)
        ((found,),) = state_runner(on_graph).run([ids], 1)
        np.testing.assert_allclose(found, states[layer].numpy(), atol=1e-5)
        fingerprints |= {*on_torch.fingerprints, *on_graph.fingerprints}
    assert len(fingerprints) == 5


def test_a_network_without_a_graph_has_no_graph_of_a_state(tiny_bert, monkeypatch):
    spec = BertEmbedder(tiny_bert, backend="torch").fit(TEXTS)._network
    failed = {"agrees": False, "reason": "it does not export"}
    monkeypatch.setattr(_load, "with_export", lambda spec: replace(spec, report=failed))
    assert of_state(spec, 1, on_graph=True) is None
