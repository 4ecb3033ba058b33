"""Networks whose files have moved: found by relocate, refused where they are others."""

import pickle
import shutil

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tiny import add_modules, save_tiny_bert
from tiny_images import noise, save_tiny_cnn

from skembed import BertEmbedder, CNNImageEmbedder
from skembed.exceptions import (
    ModelNotFoundError,
    NetworkChangedError,
)
from skembed.network import _load
from skembed.text import _tokens

TEXTS = ["the cat sat", "a dog"]
DENSE = {"in_features": 16, "out_features": 4, "bias": True}


def forget():
    """Forget all networks, as another process would."""
    for registry in (_load._runners, _load._backbones, _tokens._tokenizers):
        registry.clear()


@pytest.fixture
def moved(tmp_path):
    """A fitted embedder whose folder was renamed: itself, its vectors, the new folder."""
    before = add_modules(save_tiny_bert(tmp_path / "before"), dense=DENSE)
    embedder = BertEmbedder(str(before), backend="torch", cache=None).fit(TEXTS)
    vectors = embedder.transform(TEXTS)
    before.rename(tmp_path / "after")
    forget()
    return pickle.loads(pickle.dumps(embedder)), vectors, tmp_path / "after"


def test_the_message_gives_the_recorded_path_and_the_remedy(moved):
    embedder, _, folder = moved
    with pytest.raises(ModelNotFoundError) as raised:
        embedder.transform(TEXTS)
    text = str(raised.value)
    assert str(folder.with_name("before")) in text
    assert "relocate(folder)" in text
    assert "set_params(model=folder)" in text


def test_relocate_points_to_the_new_place(moved):
    """In a pipeline, too; a pickle and the next fit keep it."""
    embedder, vectors, folder = moved
    pipeline = make_pipeline(embedder, FunctionTransformer())
    assert pipeline[0].relocate(folder) is embedder
    np.testing.assert_array_equal(pipeline.transform(TEXTS), vectors)
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(TEXTS), vectors)
    np.testing.assert_array_equal(again.fit(TEXTS).transform(TEXTS), vectors)
    assert again.fingerprint_ == embedder.fingerprint_


def test_set_params_is_honored_where_the_network_is_the_same(moved):
    embedder, vectors, folder = moved
    embedder.set_params(model=str(folder))
    np.testing.assert_array_equal(embedder.transform(TEXTS), vectors)


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "model.safetensors", "2_Dense/model.safetensors"]
)
def test_another_network_is_refused(moved, file):
    """Whichever of its files is another one."""
    embedder, _, folder = moved
    content = bytearray((folder / file).read_bytes())
    if file == "config.json":
        content = content.replace(b'"gelu"', b'"relu"')
    else:
        content[-2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(NetworkChangedError, match="holds another network"):
        embedder.relocate(folder)
    embedder.set_params(model=str(folder))
    with pytest.raises(NetworkChangedError, match=r"holds another network|another tokenizer"):
        embedder.transform(TEXTS)


def test_relocate_to_nothing(moved):
    embedder, _, folder = moved
    with pytest.raises(ModelNotFoundError, match="does not exist"):
        embedder.relocate(folder / "nothing")


@pytest.mark.parametrize("folder", [None, 3])
def test_relocate_to_what_is_no_path(moved, folder):
    """The message names the argument."""
    with pytest.raises(TypeError, match="folder must be a str or a path"):
        moved[0].relocate(folder)


def test_an_exported_folder_and_a_network_for_images_move_too(tmp_path):
    """By the folder, or by the graph in it."""
    image = noise(40, 40)
    embedder = CNNImageEmbedder(save_tiny_cnn(tmp_path / "a"), cache=None).fit([image])
    vectors = embedder.transform([image])
    embedder.export(tmp_path / "b")
    exported = CNNImageEmbedder(tmp_path / "b", cache=None).fit([image])
    shutil.move(tmp_path / "a", tmp_path / "c")
    shutil.move(tmp_path / "b", tmp_path / "d")
    forget()
    np.testing.assert_array_equal(embedder.relocate(tmp_path / "c").transform([image]), vectors)
    exported.relocate(tmp_path / "d" / "model.onnx")
    np.testing.assert_allclose(exported.transform([image]), vectors, atol=1e-6)
