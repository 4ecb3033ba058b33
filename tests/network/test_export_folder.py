"""Exported folders: what they hold, and that they run without torch."""

import json
import re

import numpy as np
import pytest
from processes import run_python

from skembed import BertEmbedder
from skembed.exceptions import (
    ExportError,
)


@pytest.fixture(scope="module")
def exported(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    embedder = BertEmbedder(
        tiny_bert, pooling=["mean", "max"], truncate_dim=20, prompt="query: ", max_length=40
    )
    assert embedder.fit(["a"]).export(folder) == folder
    return embedder, folder


def test_an_exported_folder_gives_the_same_vectors(exported, texts):
    embedder, folder = exported
    loaded = BertEmbedder(folder).fit(texts)
    np.testing.assert_allclose(loaded.transform(texts), embedder.transform(texts), atol=1e-6)
    assert loaded.n_features_out_ == 20
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "manifest.json",
        "tokenizer.json",
    }
    assert json.loads((folder / "manifest.json").read_text())["parity"]["agrees"]


def test_an_exported_folder_runs_without_torch_and_transformers(exported, texts):
    embedder, folder = exported
    code = f"""
    import sys

    class NotInstalled:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "transformers", "onnx", "onnxscript"):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, NotInstalled())
    from skembed import BertEmbedder
    vectors = BertEmbedder({str(folder)!r}).fit_transform({texts!r})
    print(vectors.astype(float).tolist())
    """
    vectors = np.array(json.loads(run_python(code)))
    np.testing.assert_allclose(vectors, embedder.transform(texts), atol=1e-6)


def test_an_exported_folder_is_what_it_is(exported):
    _, folder = exported
    with pytest.raises(ValueError, match="so pooling and layers cannot be set"):
        BertEmbedder(folder, pooling="max", layers=0).fit(["a"])
    with pytest.raises(
        ValueError, match=re.escape("an ONNX graph in float32 and is run unchanged")
    ):
        BertEmbedder(folder, backend="torch").fit(["a"])
    with pytest.raises(ValueError, match="one vector a text"):
        BertEmbedder(folder).fit(["a"]).embed_tokens(["a"])


def test_export_overwrites_nothing(exported, tiny_bert):
    _, folder = exported
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        BertEmbedder(tiny_bert).fit(["a"]).export(folder)
    with pytest.raises(ExportError, match="Fit it with backend='onnx'"):
        BertEmbedder(tiny_bert, backend="torch").fit(["a"]).export(folder / "new")
    assert not (folder / "new").exists()
