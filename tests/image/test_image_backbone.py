"""Networks for images against transformers' own forward, on its own processors' pixels."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny_images import FAMILIES, noise, save_tiny_cnn

from skembed import CNNImageEmbedder
from skembed.image._cnn import IMAGES
from skembed.models._backbone import load_backbone
from skembed.models._folder import ModelFolder

# Tokens of vision transformers that are not of the image.
N_SPECIAL = {"vit": 1, "deit": 2, "dinov2": 1, "dinov2_with_registers": 4}
SIZES = [(61, 47), (40, 90), (33, 33)]


# One of each kind in every run; all of them, which takes a minute, where slow tests are run.
_ALWAYS = ("resnet", "convnext", "mobilenet_v2", "vit")


@pytest.fixture(
    scope="module",
    params=[
        name if name in _ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES
    ],
)
def folder(request, tmp_path_factory):
    return save_tiny_cnn(tmp_path_factory.mktemp("cnn") / request.param, request.param)


with_one_of_each_kind = pytest.mark.parametrize("folder", ["resnet", "vit"], indirect=True)


@pytest.fixture(scope="module")
def images():
    return [Image.fromarray(noise(*size)) for size in SIZES]


@pytest.fixture(scope="module")
def reference(folder, images):
    """What transformers' processor and model make of the images."""
    pixels = transformers.AutoImageProcessor.from_pretrained(folder)(images, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**pixels, output_hidden_states=True)


def close(ours, theirs):
    """Within 1e-4 of what is largest, or of one."""
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * scale)


def _own_pooling(answer, folder):
    if answer.last_hidden_state.ndim == 3:
        return answer.last_hidden_state[:, 0]
    return answer.pooler_output.flatten(1)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_vectors_are_those_of_transformers(folder, images, reference, backend):
    embedder = CNNImageEmbedder(folder, backend=backend)
    close(embedder.fit_transform(images), _own_pooling(reference, folder).numpy())
    assert embedder.show_runtime()["backend"] == backend


def test_states_are_those_of_transformers(folder, images, reference):
    """As many as the estimator counts, the last of them what the network's own pooling sees."""
    n_states = FAMILIES[folder.name].n_states
    embedder = CNNImageEmbedder(folder, backend="torch").fit(images)
    assert embedder._network.head.layers == (-1,)  # the model's own pooled vector
    assert IMAGES.n_layers(ModelFolder(folder)) == n_states - 1
    pixels, _ = embedder._network.preprocessor.prepare(images, [None] * 3, 1)
    with torch.no_grad():
        states = load_backbone(folder, IMAGES)(
            torch.from_numpy(np.stack([row.inputs[0] for row in pixels]))
        )
    assert len(states) == n_states + 1
    theirs = (*(reference.hidden_states or ()), reference.last_hidden_state)
    n_special = N_SPECIAL.get(folder.name, 0)
    matched = 0
    for state in states[:-1]:
        same = [other[:, n_special:] if n_special else other for other in theirs]
        same = [other for other in same if other.shape == state.shape]
        matched += any(torch.allclose(other, state, atol=1e-4, rtol=1e-4) for other in same)
    assert matched == n_states


@with_one_of_each_kind
@pytest.mark.parametrize(
    ("pooling", "function"),
    [
        ("avg", lambda maps: maps.mean(2)),
        ("max", lambda maps: maps.max(2)),
        ("avg_max", lambda maps: np.concatenate([maps.mean(2), maps.max(2)], axis=1)),
        ("gem", lambda maps: np.cbrt((np.maximum(maps, 1e-6) ** 3).mean(2))),
        ("none", lambda maps: maps.reshape(len(maps), -1)),
    ],
)
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_poolings_are_what_numpy_makes_of_the_map(
    folder, images, reference, backend, pooling, function
):
    state = reference.last_hidden_state.numpy()
    if state.ndim == 3:
        state = state[:, N_SPECIAL[folder.name] :].transpose(0, 2, 1)
    state = state.reshape(*state.shape[:2], -1)
    embedder = CNNImageEmbedder(folder, backend=backend, pooling=pooling)
    close(embedder.fit_transform(images), function(state))
