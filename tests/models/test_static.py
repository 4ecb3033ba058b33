"""Folders of static models: settings, tables, hostile files; folders that are written."""

import json

import numpy as np
import pytest
import torch
from tiny import save_tiny_static
from tokenizers import Tokenizer

from skembed.exceptions import ModelFormatError
from skembed.models._static import read_static_folder, read_table, write_static_folder

N = 100  # more tokens than the tiny tokenizer has


def table_of(folder, tensors, n_tokens=3):
    save_tiny_static(folder, tensors=tensors)
    return read_table(folder / "model.safetensors", n_tokens)


@pytest.mark.parametrize(
    ("config", "normalize", "max_length"),
    [
        ({"normalize": True, "max_length": 7}, True, 7),
        ({"normalize": False, "max_length": None}, False, None),
        ({"seq_length": 1_000_000}, True, None),
    ],
)
def test_settings_of_model2vec(tmp_path, config, normalize, max_length):
    folder = read_static_folder(save_tiny_static(tmp_path, **config))
    assert (folder.normalize, folder.max_length) == (normalize, max_length)
    assert folder.is_model2vec


def test_defaults_of_model2vec(tmp_path):
    save_tiny_static(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    folder = read_static_folder(tmp_path)
    assert (folder.normalize, folder.max_length) == (False, 512)


def test_settings_of_sentence_transformers(tmp_path):
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query", "truncate_dim": 4}
    folder = read_static_folder(save_tiny_static(tmp_path, sentence=True, **prompts))
    assert folder.normalize
    assert folder.truncate_dim == 4
    assert (folder.default_prompt, folder.prompts) == ("query", {"query": "query: "})
    assert not folder.is_model2vec


def test_newer_folders_of_sentence_transformers_have_the_table_at_the_top(tmp_path):
    save_tiny_static(tmp_path, tensors={"embedding.weight": torch.ones(N, 2)})
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[0]["path"] = ""
    (tmp_path / "modules.json").write_text(json.dumps(modules[:1]))
    folder = read_static_folder(tmp_path)
    assert folder.weights == tmp_path / "model.safetensors"
    assert not folder.normalize


def test_weights_and_mapping_of_model2vec(tmp_path):
    tensors = {
        "embeddings": torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64),
        "mapping": torch.tensor([1, 0, 1]),
        "weights": torch.tensor([1.0, 2.0, 0.5]),
    }
    table = table_of(tmp_path, tensors)
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, [[3, 4], [2, 4], [1.5, 2]])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"embeddings": torch.ones(N)}, "must be a matrix. Got the shape"),
        ({"embeddings": torch.ones(N, 0)}, "must be a matrix. Got the shape"),
        ({"embeddings": torch.ones(2, 2)}, "has vectors of 2 tokens, but tokenizer.json has 3"),
        ({"embeddings": torch.full((N, 2), torch.nan)}, "contain NaN or infinity"),
        ({"embedding.weight": torch.full((N, 2), torch.inf)}, "contain NaN or infinity"),
        ({"embeddings": torch.ones(N, 2), "weights": torch.ones(2)}, "weights must have the shape"),
        (
            {"embeddings": torch.ones(N, 2), "weights": torch.full((N,), torch.nan)},
            "contain NaN or infinity",
        ),
        (
            {"embeddings": torch.ones(2, 2), "mapping": torch.tensor([0, 1, 2])},
            "mapping must be indices of 2 vectors",
        ),
        (
            {"embeddings": torch.ones(2, 2), "mapping": torch.tensor([0, -1, 1])},
            "mapping must be indices of 2 vectors",
        ),
        (
            {"embeddings": torch.ones(2, 2), "mapping": torch.ones(3)},
            "mapping must be indices of 2 vectors",
        ),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, tensors, message):
    with pytest.raises(ModelFormatError, match=message):
        table_of(tmp_path, tensors)


def test_other_tensors_are_refused(tmp_path):
    save_tiny_static(tmp_path, tensors={"layer.0.weight": torch.ones(2, 2)})
    with pytest.raises(ModelFormatError, match="has no vectors of tokens: a tensor named"):
        read_static_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("tokenizer.json", "has no tokenizer.json"), ("model.safetensors", "has no model.safet")],
)
def test_missing_files_are_named(tmp_path, name, message):
    save_tiny_static(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelFormatError, match=message):
        read_static_folder(tmp_path)


@pytest.mark.parametrize("path", ["../other", "/etc", "0_Static/../../other"])
def test_paths_that_lead_out_are_refused(tmp_path, path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_tiny_static(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelFormatError, match="leaves the model's folder"):
        read_static_folder(folder)


def test_links_that_lead_out_are_refused(tmp_path):
    (tmp_path / "model").mkdir()
    folder = save_tiny_static(tmp_path / "model")
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (folder / "tokenizer.json").symlink_to(tmp_path / "tokenizer.json")
    with pytest.raises(ModelFormatError, match="outside the model's folder"):
        read_static_folder(folder)


@pytest.mark.parametrize(
    "kinds",
    [["Transformer", "Pooling"], ["StaticEmbedding", "Dense"], ["Normalize", "StaticEmbedding"]],
)
def test_other_modules_are_refused(tmp_path, kinds):
    save_tiny_static(tmp_path)
    types = [f"sentence_transformers.models.{kind}" for kind in kinds]
    modules = [{"type": kind, "path": str(i)} for i, kind in enumerate(types)]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelFormatError, match="supports StaticEmbedding, then Normalize"):
        read_static_folder(tmp_path)


@pytest.mark.parametrize(
    "config",
    [{"normalize": "yes"}, {"max_length": 0}, {"max_length": "many"}, {"max_length": True}],
)
def test_settings_of_a_wrong_type_are_refused(tmp_path, config):
    with pytest.raises(ModelFormatError, match=r"config.json: (normalize|max_length) must be"):
        read_static_folder(save_tiny_static(tmp_path, **config))


@pytest.mark.parametrize("is_model2vec", [True, False])
def test_what_is_written_is_read(tmp_path, tiny_static, is_model2vec):
    tokenizer = Tokenizer.from_file(str(tiny_static / "tokenizer.json"))
    vectors = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 4))
    write_static_folder(
        tmp_path, tokenizer, vectors, normalize=False, max_length=5, is_model2vec=is_model2vec
    )
    folder = read_static_folder(tmp_path)
    assert (folder.is_model2vec, folder.normalize) == (is_model2vec, False)
    assert folder.max_length == (5 if is_model2vec else None)  # the other's is in tokenizer.json
    np.testing.assert_array_equal(read_table(folder.weights, 3), vectors.astype(np.float32))
