"""Tiny seeded networks, a cache folder of the session, and no network."""

import functools
import json
import os
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from joblib.externals.loky import reusable_executor
from onnx_files import export_bert
from tiny import save_tiny_bert, save_tiny_model, save_tiny_static
from tiny_images import save_tiny_cnn
from tiny_sounds import save_tiny_hearing

import skembed
from skembed.runtime import _export

collect_ignore_glob = ["typing/*"]  # samples for mypy: nothing runs them
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory):
    """Exports go to the session's folder, in worker processes too; the hub is never asked."""
    variables = {
        "SKEMBED_CACHE": str(tmp_path_factory.mktemp("skembed-cache")),
        "HF_HOME": str(tmp_path_factory.mktemp("hf-home")),
        "HF_HUB_OFFLINE": "1",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    yield
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Whoever opens a connection to another machine fails the test."""
    connect = socket.socket.connect

    def refuse(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"a test tried to connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session", autouse=True)
def _exports_in_this_process():
    """Tiny networks are exported in less time than another process takes to import torch."""
    before, _export.in_child = _export.in_child, False
    yield
    _export.in_child = before


@pytest.fixture(autouse=True)
def _empty_memory_cache():
    skembed.memory_cache().clear()


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """Folder of a BERT of two layers and 16 dimensions, in transformers' layout."""
    return save_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_electra(tmp_path_factory):
    """Folder of a network of two layers whose graph is exported from torch, as of most families."""
    return save_tiny_model(
        tmp_path_factory.mktemp("tiny-electra"),
        transformers.ElectraConfig,
        transformers.ElectraModel,
        embedding_size=16,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
    )


@pytest.fixture(scope="session")
def tiny_plain(tmp_path_factory):
    """The same with a tokenizer that adds no special tokens."""
    folder = save_tiny_bert(tmp_path_factory.mktemp("tiny-plain"))
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": None}))
    return folder


@pytest.fixture(scope="session")
def tiny_graph(tiny_bert, tmp_path_factory):
    """Folder of the tiny BERT as an ONNX file made elsewhere, whose output is pooled."""
    path = tmp_path_factory.mktemp("tiny-graph") / "model.onnx"
    return export_bert(tiny_bert, path).parent


@pytest.fixture(scope="session")
def tiny_static(tmp_path_factory):
    """Folder of a static model in model2vec's layout: int8 vectors with weights."""
    return save_tiny_static(tmp_path_factory.mktemp("tiny-static"))


@pytest.fixture(scope="session")
def tiny_static_sentence(tmp_path_factory):
    """Folder of a static model in Sentence Transformers' layout."""
    return save_tiny_static(tmp_path_factory.mktemp("tiny-static"), sentence=True)


@pytest.fixture(scope="session")
def tiny_cnn(tmp_path_factory):
    """Folder of a ResNet of three stages, in transformers' layout."""
    return save_tiny_cnn(tmp_path_factory.mktemp("tiny-cnn"))


@pytest.fixture(scope="session")
def tiny_hearing(tmp_path_factory):
    """Folder of an AST of two layers, in transformers' layout."""
    with warnings.catch_warnings():  # transformers', of bands narrower than a bin
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero")
        return save_tiny_hearing(tmp_path_factory.mktemp("tiny-hearing"))


@pytest.fixture(scope="session")
def word_file(tmp_path_factory):
    """File of the vectors of some words, in GloVe's text format."""
    words = "the cat sat on mat dog ran over hill and naïve café to town who bank river".split()
    vectors = np.random.default_rng(0).standard_normal((len(words), 5))
    path = tmp_path_factory.mktemp("word-vectors") / "words.txt"
    lines = [
        f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, vectors, strict=True)
    ]
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def texts():
    """Texts of many lengths, an empty one and two equal ones among them."""
    random = np.random.default_rng(0)
    words = "the cat sat on a mat while dogs ran over hills and rivers to town".split()
    rows = [" ".join(random.choice(words, n)) for n in random.integers(1, 20, 40)]
    return [*rows, "", rows[3], "Zebra crossing?", "naïve café — déjà vu"]


@pytest.fixture(scope="session")
def shared_text():
    """Folder of real text beside the checkout; skips where it is absent."""
    folder = SHARED / "data" / "text"
    if not folder.is_dir():
        pytest.skip("shared/data/text does not lie beside the checkout")
    return folder


@pytest.fixture(scope="session")
def shared_images():
    """Folder of real images beside the checkout; skips where it is absent."""
    folder = SHARED / "data" / "image"
    if not folder.is_dir():
        pytest.skip("shared/data/image does not lie beside the checkout")
    return folder


@pytest.fixture(scope="module")
def reference(tiny_bert):
    """Transformers' own forward: text -> hidden states of all layers, (n_tokens, n_dims) each."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    model = transformers.AutoModel.from_pretrained(tiny_bert).eval()

    @functools.cache
    def states(text, max_length=32):
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
        with torch.no_grad():
            answer = model(**inputs, output_hidden_states=True)
        return [state[0].numpy() for state in answer.hidden_states]

    return states


@pytest.fixture
def bare_folder(tmp_path):
    """A folder of a model, as far as preprocessing reads it."""
    (tmp_path / "config.json").write_text('{"model_type": "any"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


@pytest.fixture(autouse=True, scope="module")
def fresh_workers():
    """End joblib's worker processes after each module.

    With psutil installed, a worker whose memory grows, as it does when a later test loads torch in
    it, leaves, and joblib can wait forever when all workers leave at once.
    """
    yield
    executor = reusable_executor._executor
    if executor is not None:
        executor.shutdown(wait=True)
