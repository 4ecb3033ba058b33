"""Convolutions in integers: near float32, the same to the bit in any batch, calibrated in fit."""

import pickle

import numpy as np
import onnx
import pytest
from tiny_images import noise, save_tiny_cnn

import skembed
from skembed import CNNImageEmbedder
from skembed.network._load import graph_of

IMAGES = [noise(40, 40, seed) for seed in range(20)]


def embedder(folder, **parameters):
    return CNNImageEmbedder(folder, precision="int8", **parameters)


def operators(fitted):
    graph = onnx.load(graph_of(fitted._network), load_external_data=False).graph
    return {node.op_type for node in graph.node}


@pytest.mark.parametrize("family", ["resnet", pytest.param("mobilenet_v1", marks=pytest.mark.slow)])
def test_vectors_are_near_those_of_float32(family, tmp_path):
    folder = save_tiny_cnn(tmp_path / family, family)
    exact = CNNImageEmbedder(folder).fit_transform(IMAGES)
    fitted = embedder(folder).fit(IMAGES)
    vectors = fitted.transform(IMAGES)
    assert "QuantizeLinear" in operators(fitted)
    assert 0 < np.abs(vectors - exact).max() < 0.15 * np.abs(exact).max()
    cosines = (vectors * exact).sum(1)
    cosines /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.98
    assert fitted.show_runtime()["precision"] == "int8"


def test_a_row_owes_nothing_to_its_neighbors(tiny_cnn):
    fitted = embedder(tiny_cnn, cache=None).fit(IMAGES)
    together = fitted.transform(IMAGES)
    for i in (0, 7, 19):
        np.testing.assert_array_equal(fitted.transform([IMAGES[i]])[0], together[i])
    np.testing.assert_array_equal(fitted.set_params(batch_size=1).transform(IMAGES), together)


def test_scales_are_learned_from_the_rows_of_fit(tiny_cnn):
    """So other rows make another network, under another fingerprint; equal rows the same."""
    first, again = (embedder(tiny_cnn).fit(IMAGES[:10]) for _ in range(2))
    other = embedder(tiny_cnn).fit([image // 4 for image in IMAGES[10:]])
    assert first.fingerprint_ == again.fingerprint_ != other.fingerprint_
    assert np.abs(first.transform(IMAGES) - other.transform(IMAGES)).max() > 0


def test_pickles_take_their_scales_with_them(tiny_cnn, tmp_path):
    """To a process, or a machine, that has no export of theirs."""
    fitted = embedder(tiny_cnn).fit(IMAGES)
    expected = fitted.transform(IMAGES)
    content = pickle.dumps(fitted)
    skembed.memory_cache().clear()
    with skembed.config_context(cache_folder=tmp_path):
        np.testing.assert_array_equal(pickle.loads(content).transform(IMAGES), expected)


def test_bad_rows_do_not_calibrate(tiny_cnn):
    half = [b"\xff\xd8\xff", *IMAGES[:3]]
    assert np.isfinite(embedder(tiny_cnn, bad_rows="nan").fit(half).transform(IMAGES)).all()
    with pytest.raises(ValueError, match="calibrated on rows of fit, and none of them can be"):
        embedder(tiny_cnn, bad_rows="nan").fit(half[:1])


def test_networks_of_matrix_products_need_no_scales(tmp_path):
    """ConvNeXT and vision transformers: a scale for each token, nothing learned in fit."""
    folder = save_tiny_cnn(tmp_path / "convnext", "convnext")
    first, second = embedder(folder).fit(IMAGES[:2]), embedder(folder).fit(IMAGES[2:])
    assert first.fingerprint_ == second.fingerprint_
    assert "MatMulIntegerToFloat" in operators(first)


def test_an_exported_folder_answers_the_same(tiny_cnn, tmp_path):
    fitted = embedder(tiny_cnn).fit(IMAGES)
    folder = fitted.export(tmp_path / "exported")
    served = CNNImageEmbedder(folder).fit(IMAGES)
    np.testing.assert_array_equal(served.transform(IMAGES), fitted.transform(IMAGES))
    assert served.show_runtime()["precision"] == "int8"
