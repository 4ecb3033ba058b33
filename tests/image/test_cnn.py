"""CNNImageEmbedder: what is special to images."""

import os
import pickle
from io import BytesIO
from itertools import pairwise

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_images import encode, noise, save_tiny_cnn

import skembed
from skembed import CNNImageEmbedder
from skembed.exceptions import BadRowsError, ModelFormatError

ARRAYS = [noise(40, 30, seed) for seed in range(6)]


def random_network(**parameters):
    return CNNImageEmbedder(
        "resnet-small-32",
        **{"pretrained": False, "random_state": 0, "image_size": 16, "backend": "torch"}
        | parameters,
    )


# -- rows -----------------------------------------------------------------------------------------


def test_rows_of_all_kinds_give_the_same(tiny_cnn, tmp_path):
    """Paths, bytes, PIL images, arrays, a stack of them."""
    contents = [encode(array, "PNG") for array in ARRAYS]
    paths = [tmp_path / f"{i}.png" for i in range(len(ARRAYS))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    images = [Image.fromarray(array) for array in ARRAYS]
    embedder = CNNImageEmbedder(tiny_cnn, cache=None)
    expected = embedder.fit_transform(contents)
    for rows in (
        paths,
        [str(path) for path in paths],
        np.array([str(path) for path in paths]),
        images,
        [Image.open(BytesIO(content)) for content in contents],
        ARRAYS,
        np.stack(ARRAYS),
        [array / 255 for array in ARRAYS],
        [contents[0], paths[1], images[2], *ARRAYS[3:]],
    ):
        np.testing.assert_array_equal(embedder.fit_transform(rows), expected)
    frame = pd.DataFrame({"front": [str(path) for path in paths], "back": contents[::-1]})
    vectors = embedder.set_output(transform="pandas").fit_transform(frame)
    assert vectors.columns[0] == "front_0"
    np.testing.assert_array_equal(vectors.iloc[:, expected.shape[1] :], expected[::-1])


def test_gray_stacks(tiny_cnn):
    gray = np.stack([noise(20, 20, seed, channels=1) for seed in range(3)])
    embedder = CNNImageEmbedder(tiny_cnn)
    expected = embedder.fit_transform([np.stack([image] * 3, axis=2) for image in gray])
    np.testing.assert_array_equal(embedder.fit_transform(gray), expected)


def test_flattened_images(tiny_cnn):
    digits = load_digits()
    embedder = CNNImageEmbedder(tiny_cnn, image_shape=(8, 8), max_value=16)
    expected = embedder.fit_transform(digits.images[:20])
    assert embedder.n_features_in_ == 1
    for table in (digits.data[:20], pd.DataFrame(digits.data[:20])):
        np.testing.assert_array_equal(embedder.fit_transform(table), expected)
    color = np.stack(ARRAYS)
    embedder.set_params(image_shape=(40, 30, 3), max_value=None)
    expected = embedder.fit_transform(color)
    np.testing.assert_array_equal(embedder.fit_transform(color.reshape(6, -1)), expected)
    with pytest.raises(ValueError, match=r"image_shape=\(40, 30, 3\) requires rows of 3600"):
        embedder.fit(digits.data)
    embedder.set_params(image_shape=(8, 8))
    with pytest.raises(BadRowsError, match="float64 array with values from 0 to 15, not from 0 to"):
        embedder.fit(digits.data)


def test_one_image_is_no_collection(tiny_cnn):
    for image, words in (
        (ARRAYS[0], r"got one ndarray of \(40, 30, 3\). Wrap it in a list"),
        (Image.fromarray(ARRAYS[0]), r"got one Image of \(30, 40\)"),
    ):
        with pytest.raises(TypeError, match=words):
            CNNImageEmbedder(tiny_cnn).fit(image)


def test_bad_rows_say_why(tiny_cnn, tmp_path):
    """What can be told at once, in fit; what only decoding tells, in transform."""
    (tmp_path / "note.txt").write_text("no image")
    rows = [ARRAYS[0], None, tmp_path / "gone.png", "https://a.org/b.png", tmp_path / "note.txt", 3]
    with pytest.raises(BadRowsError) as raised:
        CNNImageEmbedder(tiny_cnn).fit(rows)
    assert str(raised.value).startswith("CNNImageEmbedder: 5 of 6 rows are not images (row 1: None")
    assert raised.value.rows[3, 0] == "a URL, https://a.org/b.png; download it first"
    late = [encode(ARRAYS[0]), encode(ARRAYS[1])[:-300], encode(ARRAYS[2])]
    embedder = CNNImageEmbedder(tiny_cnn, max_pixels=1300).fit(late)
    expected = "2 of 4 rows are not readable as images .*row 1: a damaged image.*row 3: an image of"
    with pytest.raises(BadRowsError, match=expected):
        embedder.transform([*late, encode(noise(50, 50))])
    vectors = embedder.set_params(bad_rows="nan").transform([*rows, *late])
    assert np.isnan(vectors).all(axis=1).nonzero()[0].tolist() == [1, 2, 3, 4, 5, 7]
    assert np.isfinite(vectors[[0, 6, 8]]).all()


def test_a_file_that_changes_meanwhile_is_a_bad_row(tiny_cnn, tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    path.write_bytes(encode(ARRAYS[0]))
    embedder = CNNImageEmbedder(tiny_cnn).fit([path])
    check = embedder._check_rows

    def check_and_change(rows):
        answer = check(rows)
        path.write_bytes(encode(ARRAYS[1]))
        return answer

    monkeypatch.setattr(embedder, "_check_rows", check_and_change)
    with pytest.raises(BadRowsError, match="changed while it was being embedded"):
        embedder.transform([path])
    monkeypatch.undo()
    fresh = CNNImageEmbedder(tiny_cnn).fit_transform([ARRAYS[1]])
    np.testing.assert_array_equal(embedder.transform([path]), fresh)


def test_a_file_that_is_moved_is_found_in_the_cache(tiny_cnn, tmp_path):
    (tmp_path / "a.png").write_bytes(encode(ARRAYS[0]))
    embedder = CNNImageEmbedder(tiny_cnn)
    expected = embedder.fit_transform([tmp_path / "a.png"])
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    np.testing.assert_array_equal(embedder.transform([tmp_path / "b.png"]), expected)
    assert skembed.memory_cache().info()["from_cache"] == 1


def test_many_rows_with_bad_ones_among_them():
    """More than a chunk; one row in a hundred is bad."""
    random = np.random.default_rng(0)
    rows = [encode(noise(9, 9, seed), "BMP") for seed in range(300)]
    bad = sorted(random.choice(300, 3, replace=False).tolist())
    for i in bad:
        rows[i] = rows[i][:-20]
    vectors = random_network(bad_rows="nan", cache=None).fit_transform(rows)
    assert np.isnan(vectors).any(axis=1).nonzero()[0].tolist() == bad


# -- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [0, -1, 3, [1, -1], [-4]])
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_layers_pick_stages(tiny_cnn, layers, backend):
    """By their own widths: 8 before the stages, then 8, 12, 16."""
    widths = [8, 8, 12, 16]
    chosen = layers if isinstance(layers, list) else [layers]
    embedder = CNNImageEmbedder(tiny_cnn, layers=layers, backend=backend, pooling="avg")
    vectors = embedder.fit_transform(ARRAYS)
    assert vectors.shape[1] == sum(widths[layer] for layer in chosen)
    auto = CNNImageEmbedder(tiny_cnn, layers=layers, backend=backend).fit_transform(ARRAYS)
    np.testing.assert_allclose(auto, vectors, atol=1e-5)  # a ResNet's own pooling is the average


@pytest.mark.parametrize(("old", "new"), [("avg", "mean"), ("avg_max", "mean_max")])
def test_older_names_of_poolings(tiny_cnn, old, new):
    """The same vectors under the same fingerprint, so that caches stay valid."""
    first, second = (CNNImageEmbedder(tiny_cnn, pooling=name).fit(ARRAYS) for name in (old, new))
    assert first.fingerprint_ == second.fingerprint_
    np.testing.assert_array_equal(first.transform(ARRAYS), second.transform(ARRAYS))


def test_layers_out_of_range_are_refused(tiny_cnn):
    for layers in (4, -5, [0, 9], []):
        with pytest.raises(ValueError, match="must be an index from -4 to 3"):
            CNNImageEmbedder(tiny_cnn, layers=layers).fit(ARRAYS)


def test_own_pooling_of_convnext_is_normalized(tmp_path):
    folder = save_tiny_cnn(tmp_path / "convnext", "convnext")
    auto, average = (
        CNNImageEmbedder(folder, pooling=pooling, backend="torch").fit_transform(ARRAYS)
        for pooling in ("auto", "avg")
    )
    assert np.abs(auto - average).max() > 0.1


def test_networks_of_gray_images(tmp_path):
    folder = save_tiny_cnn(tmp_path / "gray", "resnet", num_channels=1)
    gray = noise(30, 30, channels=1)
    vectors = CNNImageEmbedder(folder).fit_transform([gray, np.stack([gray] * 3, axis=2)])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_image_size_changes_what_the_network_sees(tiny_cnn):
    embedders = [
        CNNImageEmbedder(tiny_cnn, image_size=size, backend="torch")
        for size in (None, 32, (24, 40))
    ]
    vectors = [embedder.fit_transform(ARRAYS) for embedder in embedders]
    assert len({embedder.fingerprint_ for embedder in embedders}) == 3
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(vectors))


def test_families_that_are_not_known_are_refused(tiny_bert, tmp_path):
    with pytest.raises(ModelFormatError, match=r"has no preprocessor_config\.json"):
        CNNImageEmbedder(tiny_bert).fit(ARRAYS)


@pytest.mark.parametrize(
    "architecture",
    ["resnet-18", "resnet-50", "convnext-tiny", "mobilenet-v2", "efficientnet-lite0"],
)
def test_architectures_without_a_hub(architecture):
    """In torch, at a small size: their exports are those of the families."""
    widths = {"resnet-18": 512, "resnet-50": 2048, "convnext-tiny": 768}
    embedder = CNNImageEmbedder(
        architecture, pretrained=False, random_state=0, backend="torch", image_size=64
    )
    vectors = embedder.fit_transform(ARRAYS[:2])
    assert vectors.shape == (2, widths.get(architecture, 1280))
    assert np.isfinite(vectors).all()
    assert np.abs(vectors[0] - vectors[1]).max() > 0


def test_random_state_draws_the_weights():
    embedder = random_network()
    expected = embedder.fit_transform(ARRAYS)
    np.testing.assert_array_equal(random_network().fit_transform(ARRAYS), expected)
    assert np.abs(random_network(random_state=1).fit_transform(ARRAYS) - expected).max() > 1e-3
    drawn = random_network(random_state=np.random.RandomState(0))
    first, second = (drawn.fit(ARRAYS).fingerprint_ for _ in range(2))
    assert first != second  # as scikit-learn's own estimators: the generator goes on
    with pytest.raises(ValueError, match=r"model must be one of \['convnext-tiny', 'effic"):
        CNNImageEmbedder("resnet-51", pretrained=False).fit(ARRAYS)


def test_truncate_dim_is_checked(tiny_cnn):
    embedder = CNNImageEmbedder(tiny_cnn, truncate_dim=5, normalize=True)
    vectors = embedder.fit_transform(ARRAYS)
    assert vectors.shape == (6, 5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="must be at most 16, the length of the model's vectors"):
        embedder.set_params(truncate_dim=17).fit(ARRAYS)


# -- elsewhere ------------------------------------------------------------------------------------


def test_an_exported_folder_answers_the_same(tiny_cnn, tmp_path):
    embedder = CNNImageEmbedder(tiny_cnn, pooling="avg_max", image_size=32)
    expected = embedder.fit_transform(ARRAYS)
    folder = embedder.export(tmp_path / "exported")
    assert sorted(os.listdir(folder)) == ["manifest.json", "model.onnx"]
    served = CNNImageEmbedder(folder, cache=None).fit(ARRAYS)
    np.testing.assert_array_equal(served.transform(ARRAYS), expected)
    CNNImageEmbedder(folder, image_size=32).fit(ARRAYS)
    with pytest.raises(ValueError, match=r"images of size \(32, 32\)\. Got image_size=16"):
        CNNImageEmbedder(folder, image_size=16).fit(ARRAYS)


def foreign_graph(path, n_rows):
    """Write a graph made elsewhere: a sum over the map, and the map's mean; named outputs."""
    float32 = TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceSum", ["image", "axes"], ["sums"], keepdims=0),
        helper.make_node("GlobalAveragePool", ["image"], ["means"]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("image", float32, [n_rows, 3, 12, 12])],
        [
            helper.make_tensor_value_info("sums", float32, [n_rows, 3]),
            helper.make_tensor_value_info("means", float32, [n_rows, 3, 1, 1]),
        ],
        [numpy_helper.from_array(np.array([2, 3]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)


@pytest.mark.parametrize("n_rows", ["n", 1])
def test_graphs_made_elsewhere(n_rows, tmp_path):
    """Any name of the input, an output by its name, one image at a time where it must be."""
    foreign_graph(tmp_path / "model.onnx", n_rows)
    processor = '{"image_processor_type": "ViTImageProcessor", "size": 12, "do_normalize": false}'
    (tmp_path / "preprocessor_config.json").write_text(processor)
    images = [noise(12, 12, seed) for seed in range(5)]
    means = np.stack([image.mean(axis=(0, 1)) / 255 for image in images])
    for layers, expected in ((-1, means * 144), ("sums", means * 144), ("means", means)):
        embedder = CNNImageEmbedder(tmp_path / "model.onnx", layers=layers)
        np.testing.assert_allclose(embedder.fit_transform(images), expected, rtol=1e-4)
    with pytest.raises(ModelFormatError, match="no output 'other'; it has"):
        CNNImageEmbedder(tmp_path / "model.onnx", layers="other").fit(images)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_maps_of_graphs_made_elsewhere_are_pooled(tmp_path, dtype):
    """The graph is in the folder onnx; maps of two outputs are joined."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [helper.make_node("Mul", ["image", "two"], ["twice"])]
    nodes.append(helper.make_node("GlobalAveragePool", ["image"], ["pooler_output"]))
    nodes.append(helper.make_node("Neg", ["twice"], ["last_hidden_state"]))
    names = {"twice": ["h", "w"], "pooler_output": [1, 1], "last_hidden_state": ["h", "w"]}
    outputs = [helper.make_tensor_value_info(n, kind, ["n", 3, *s]) for n, s in names.items()]
    given = [helper.make_tensor_value_info("image", kind, ["n", 3, "h", "w"])]
    weights = [numpy_helper.from_array(np.array([2], dtype=dtype), "two")]
    graph = helper.make_graph(nodes, "foreign", given, outputs, weights)
    (tmp_path / "onnx").mkdir()
    sets = [helper.make_opsetid("", 13)]
    onnx.save(
        helper.make_model(graph, opset_imports=sets, ir_version=7), tmp_path / "onnx" / "model.onnx"
    )
    processor = '{"image_processor_type": "ViTImageProcessor", "size": 12, "do_normalize": false}'
    (tmp_path / "preprocessor_config.json").write_text(processor)
    images = [noise(12, 12, seed) for seed in range(5)]
    means, highest = (
        np.stack([function(image / 255, axis=(0, 1)) for image in images])
        for function in (np.mean, np.max)
    )
    cases = [
        ({}, -2 * means),
        ({"layers": "pooler_output"}, means),
        (
            {"layers": ["last_hidden_state", "twice"], "pooling": "mean"},
            np.hstack([-2 * means, 2 * means]),
        ),
        ({"layers": "twice", "pooling": "max"}, 2 * highest),
    ]
    for parameters, expected in cases:
        embedder = CNNImageEmbedder(tmp_path, **parameters).fit(images)
        vectors = embedder.transform(images)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-5 if dtype == np.float32 else 2e-3)
    folder = embedder.export(tmp_path / "exported")
    np.testing.assert_allclose(CNNImageEmbedder(folder).fit_transform(images), vectors, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet-18", "mobilenet-v2", "efficientnet-lite0"])
def test_random_networks_neither_vanish_nor_explode(name):
    """Whatever their depth: batch norms have been shown what images do to them."""
    embedder = CNNImageEmbedder(
        name, pretrained=False, random_state=0, backend="torch", image_size=64
    )
    vectors = embedder.fit_transform(ARRAYS)
    assert 0.01 < vectors.std() < 100


def test_pickles_without_their_weights():
    embedder = random_network()
    expected = embedder.fit_transform(ARRAYS)
    content = pickle.dumps(embedder)
    assert len(content) < 5000
    skembed.memory_cache().clear()
    np.testing.assert_array_equal(pickle.loads(content).transform(ARRAYS), expected)


def test_in_a_search_with_processes(tmp_path):
    """Random features of digits, in a pipeline, on two workers."""
    digits, target = load_digits(return_X_y=True)
    pipeline = make_pipeline(
        random_network(image_shape=(8, 8), max_value=16, cache=tmp_path / "cache"),
        StandardScaler(),
        LogisticRegression(max_iter=300),
    )
    grid = {"cnnimageembedder__pooling": ["avg", "max"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(digits[:200], target[:200])
    assert search.best_score_ > 0.5
    assert search.score(digits[200:400], target[200:400]) > 0.5
