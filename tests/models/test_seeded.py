"""Networks with random weights as folders: seeded, whole, made once."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skembed.exceptions import ModelFormatError
from skembed.models._backbone import Backbone, load_backbone
from skembed.models._folder import ModelFolder, read_json
from skembed.models._modality import Architecture, Modality
from skembed.models._seeded import seeded_folder


class Doubling(Backbone):
    """A network of our own: two layers, each a state."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = torch.nn.Linear(3, width), torch.nn.Linear(width, 2 * width)

    def forward(self, inputs):
        first = self.first(inputs)
        return first, self.second(first)


ROWS = Modality(
    reference=f"{__name__}:ROWS",
    kind="rows",
    input_name="x",
    poolings={"mean": ("mean",)},
    networks={"skembed-doubling": f"{__name__}:Doubling"},
    architectures={
        "doubling": Architecture(
            {"model_type": "skembed-doubling", "width": 4}, {"extra.json": {"a": [1]}}
        )
    },
)
BERT = {
    "model_type": "bert",
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}
TOKENS = replace(
    ROWS, input_name="input_ids", any_family=True, architectures={"bert": Architecture(BERT, {})}
)


@pytest.mark.parametrize(("name", "modality"), [("doubling", ROWS), ("bert", TOKENS)])
def test_a_seed_names_the_weights(name, modality):
    """The folder is found again; another seed has another one; torch's own seed is left alone."""
    torch.manual_seed(3)
    state = torch.get_rng_state()
    folder = seeded_folder(name, 0, modality)
    assert torch.equal(torch.get_rng_state(), state)
    assert seeded_folder(name, 0, modality) == folder
    assert seeded_folder(name, 1, modality) != folder
    digests = {ModelFolder(seeded_folder(name, seed, modality)).digest for seed in (0, 1, 0)}
    assert len(digests) == 2
    inputs = np.array([[1, 2, 3]])
    inputs = torch.from_numpy(inputs if name == "bert" else inputs.astype(np.float32))
    states = load_backbone(folder, modality)(inputs)
    assert len(states) == 2
    assert not list(folder.parent.glob(".seeded-*"))


def test_further_files_are_written():
    """What the preprocessor reads lies beside the weights."""
    folder = seeded_folder("doubling", 0, ROWS)
    assert read_json(folder / "extra.json") == {"a": [1]}
    assert read_json(folder / "config.json")["width"] == 4


def test_names_that_are_not_known_are_refused():
    for name in ("resnet-5000", "bert"):
        with pytest.raises(ValueError, match=rf"must be one of \['doubling'\], .* Got '{name}'"):
            seeded_folder(name, 0, ROWS)


def test_damaged_weights_of_our_own_are_refused(tmp_path):
    folder = seeded_folder("doubling", 0, ROWS)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-5])
    with pytest.raises(ModelFormatError, match="the weights are damaged"):
        load_backbone(tmp_path, ROWS)
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "config.json").write_text('{"model_type": "skembed-doubling", "width": 5}')
    with pytest.raises(ModelFormatError, match=r"size mismatch for first\.weight"):
        load_backbone(tmp_path, ROWS)
