"""Folders in the layout of transformers: with what was learned, for every kind of network."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from processes import run_python
from safetensors.torch import save
from sklearn.base import clone
from tiny import save_tiny_bert, save_tiny_model
from tiny_images import FAMILIES as IMAGE_FAMILIES
from tiny_images import noise, save_tiny_cnn
from tiny_sounds import FAMILIES as SOUND_FAMILIES
from tiny_sounds import save_tiny_hearing, sound

from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, Training
from skembed.exceptions import ExportError, NetworkChangedError
from skembed.models._backbone import load_backbone
from skembed.models._folder import ModelFolder
from skembed.models._projection import Projection
from skembed.network._learned import Learned
from skembed.network._transformers_folder import write_transformers_folder

TEXTS = ["the cat sat on the mat", "a cat ran", "over the hill", "a river to town", "dog"]
LABELS = [0, 0, 1, 1, 0]
IMAGES = [noise(30 + 3 * i, 40, i) for i in range(4)]
SOUNDS = [(sound(0.8 + 0.1 * i, seed=i), 16000) for i in range(3)]
PLAIN = {"cache": None, "backend": "torch", "n_threads": 1}
FAST = Training("classification", trainable="last:1", epochs=3, batch_size=5, learning_rate=1e-2)


def learned(embedder):
    """Let a fitted embedder have other weights than its folder, as if it had been trained."""
    spec = embedder._network
    backbone = load_backbone(ModelFolder(spec.path).backbone_path, spec.modality)
    changed = {
        name: torch.as_tensor(value * 1.1 + 0.01).contiguous()
        for name, value in backbone.state_dict().items()
        if value.is_floating_point() and value.ndim > 1
    }
    embedder._network = replace(spec, learned=Learned(weights=save(changed)))
    return embedder


def assert_same_again(embedder, rows, folder, *, before=None, **given):
    """Export, load as a model, compare; the vectors are not those of `before`."""
    vectors = embedder.transform(rows)
    if before is not None:
        assert np.abs(vectors - before).max() > 1e-4
    assert embedder.export(folder, format="transformers") == folder
    again = type(embedder)(folder, **PLAIN, **given).fit(rows)
    np.testing.assert_allclose(again.transform(rows), vectors, atol=1e-5)
    return again


# -- texts ----------------------------------------------------------------------------------------


def test_a_trained_embedder_is_loaded_and_trained_further(tiny_bert, tmp_path):
    frozen = BertEmbedder(tiny_bert, **PLAIN).fit_transform(TEXTS)
    embedder = BertEmbedder(tiny_bert, training=FAST, random_state=0, **PLAIN).fit(TEXTS, LABELS)
    folder = tmp_path / "trained"
    assert_same_again(embedder, TEXTS, folder, before=frozen)
    assert not list(folder.rglob("*.bin")) + list(folder.rglob("*.pkl"))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        state = model(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state
    tokens = embedder.embed_tokens(TEXTS[:1])[0]
    np.testing.assert_allclose(state[0, 1:-1], tokens.vectors, atol=1e-5)
    further = BertEmbedder(folder, training=FAST, random_state=1, **PLAIN).fit(TEXTS, LABELS)
    assert np.abs(further.transform(TEXTS) - embedder.transform(TEXTS)).max() > 1e-3


def test_a_folder_of_an_embedder_that_runs_on_onnx(tiny_bert, tmp_path):
    """Its weights are those of torch, whatever runs them."""
    embedder = BertEmbedder(tiny_bert, backend="onnx", cache=None).fit(TEXTS)
    assert_same_again(embedder, TEXTS, tmp_path / "folder")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Roberta", {"hidden_size": 16, "max_position_embeddings": 42, "pad_token_id": 0}),
        ("MPNet", {"hidden_size": 16, "max_position_embeddings": 42, "pad_token_id": 0}),
        ("DistilBert", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
        ("T5", {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}),
    ],
)
def test_other_families_of_texts(name, settings, tmp_path):
    small = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    given = {**settings, **({} if name in ("DistilBert", "T5") else small)}
    source = save_tiny_model(
        tmp_path / "source",
        getattr(transformers, f"{name}Config"),
        getattr(transformers, f"{name}Model"),
        **given,
    )
    embedder = BertEmbedder(source, max_length=30, **PLAIN).fit(TEXTS)
    before = embedder.transform(TEXTS)
    assert_same_again(learned(embedder), TEXTS, tmp_path / "folder", before=before)


def test_weights_that_the_source_does_not_have_are_not_invented(tmp_path):
    """A pooler that no vector depends on: transformers would draw it at random."""
    source = save_tiny_bert(tmp_path / "source")
    model = transformers.BertModel.from_pretrained(source, add_pooling_layer=False)
    model.save_pretrained(source)
    embedder = BertEmbedder(source, **PLAIN).fit(TEXTS)
    assert_same_again(embedder, TEXTS, tmp_path / "folder")
    (weights,) = ModelFolder(tmp_path / "folder").weights
    assert b"pooler" not in weights.read_bytes()


# -- images and sounds ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["resnet", "convnext", "vit", "mobilenet_v2", "efficientnet"])
def test_images(family, tmp_path):
    assert family in IMAGE_FAMILIES
    source = save_tiny_cnn(tmp_path / "source", family)
    embedder = CNNImageEmbedder(source, **PLAIN).fit(IMAGES)
    before = embedder.transform(IMAGES)
    folder = tmp_path / "folder"
    assert_same_again(learned(embedder), IMAGES, folder, before=before)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
    again = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    assert again.to_dict() == processor.to_dict()
    pixels = torch.from_numpy(embedder._network.preprocessor.probes()[0])
    with torch.no_grad():
        states = load_backbone(folder, embedder._modality)(pixels)
        found = model(pixel_values=pixels, output_hidden_states=True).hidden_states[1]
    special = 1 if family == "vit" else 0
    found = found[:, special:] if found.ndim == 3 else found
    np.testing.assert_allclose(found, states[1], atol=1e-5)


@pytest.mark.parametrize("image_size", [24, (20, 36)])
def test_a_size_of_images_is_stored(image_size, tiny_cnn, tmp_path):
    embedder = CNNImageEmbedder(tiny_cnn, image_size=image_size, **PLAIN).fit(IMAGES)
    assert_same_again(embedder, IMAGES, tmp_path / "folder")


@pytest.mark.parametrize("family", SOUND_FAMILIES)
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero")
def test_sounds(family, tmp_path):
    source = save_tiny_hearing(tmp_path / "source", family)
    embedder = AudioEmbedder(source, sampling_rate=16000, **PLAIN).fit(SOUNDS)
    before = embedder.transform(SOUNDS)
    folder = tmp_path / "folder"
    assert_same_again(learned(embedder), SOUNDS, folder, before=before)
    transformers.AutoModel.from_pretrained(folder)
    transformers.AutoFeatureExtractor.from_pretrained(folder)


def test_a_front_end_that_no_file_states_is_refused(tiny_hearing, tmp_path):
    front_end = {"preset": "ast", "n_mels": 32, "n_frames": 100, "f_max": 4000}
    embedder = AudioEmbedder(tiny_hearing, front_end=front_end, **PLAIN).fit(SOUNDS)
    with pytest.raises(ExportError, match="because front_end was set"):
        embedder.export(tmp_path / "folder", format="transformers")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("estimator", "model", "rows"),
    [(AudioEmbedder, "cnn-small", SOUNDS), (CNNImageEmbedder, "resnet-small-32", IMAGES)],
)
def test_networks_of_our_own_are_loaded_and_trained_further(estimator, model, rows, tmp_path):
    given = {"pretrained": False, "random_state": 0, **PLAIN}
    before = estimator(model, **given).fit_transform(rows)
    training = clone(FAST).set_params(trainable="all")
    labels = [0, 1, 0, 1][: len(rows)]
    embedder = estimator(model, training=training, **given).fit(rows, labels)
    folder = tmp_path / "folder"
    assert_same_again(embedder, rows, folder, before=before)
    further = estimator(folder, training=training, random_state=1, **PLAIN).fit(rows, labels)
    assert np.abs(further.transform(rows) - embedder.transform(rows)).max() > 1e-4


def projected(embedder):
    """Return the network of a fitted embedder with a projection to three numbers, as learned."""
    spec = embedder._network
    matrix = np.random.default_rng(0).standard_normal((spec.n_dims, 3)).astype(np.float32)
    head = replace(spec.head, projection=Projection.of(matrix), normalize=True)
    return replace(spec, head=head, n_dims=3), matrix


def test_a_learned_projection_is_a_dense_layer(tiny_bert, tmp_path):
    embedder = BertEmbedder(tiny_bert, **PLAIN).fit(TEXTS)
    network, matrix = projected(embedder)
    folder = write_transformers_folder(network, tmp_path / "folder")
    expected = embedder.transform(TEXTS) @ matrix
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    again = BertEmbedder(folder, **PLAIN).fit_transform(TEXTS)
    np.testing.assert_allclose(again, expected, atol=1e-5)


def test_a_projection_of_images_is_refused(tiny_cnn, tmp_path):
    network, _ = projected(CNNImageEmbedder(tiny_cnn, **PLAIN).fit(IMAGES))
    with pytest.raises(ExportError, match="do not store the projection that fit learned for image"):
        write_transformers_folder(network, tmp_path / "folder")


# -- what is refused ------------------------------------------------------------------------------


def test_a_ready_made_graph_has_no_weights_to_write(tiny_bert, tmp_path):
    graph = BertEmbedder(tiny_bert, backend="onnx").fit(TEXTS).export(tmp_path / "graph")
    served = BertEmbedder(graph).fit(TEXTS)
    with pytest.raises(ExportError, match="Give the folder of the model that the graph was made"):
        served.export(tmp_path / "folder", format="transformers")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": [-1, -2]}, "and layers=[-1, -2]. Fit with layers=-1, or use format='onnx'"),
        ({"layers": 0}, "and layers=0. Fit with layers=-1"),
        ({"long_texts": "chunk"}, "Fit with long_texts='truncate', or use format='onnx'"),
    ],
)
def test_what_no_module_states_is_refused(given, message, tiny_bert, tmp_path):
    embedder = BertEmbedder(tiny_bert, **given, **PLAIN).fit(TEXTS)
    with pytest.raises(ExportError, match=re.escape(message)):
        embedder.export(tmp_path / "folder", format="transformers")
    assert list(tmp_path.iterdir()) == []  # not half a folder either


def test_a_folder_is_never_overwritten(tiny_bert, tmp_path):
    embedder = BertEmbedder(tiny_bert, **PLAIN).fit(TEXTS)
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        embedder.export(tmp_path, format="transformers")
    with pytest.raises(ValueError, match=re.escape("one of ['onnx', 'transformers']. Got 'torch'")):
        embedder.export(tmp_path / "folder", format="torch")


def test_a_source_that_has_changed_is_noticed(tmp_path):
    source = save_tiny_bert(tmp_path / "source")
    embedder = BertEmbedder(source, **PLAIN).fit(TEXTS)
    save_tiny_bert(source, seed=1)
    with pytest.raises(NetworkChangedError):
        embedder.export(tmp_path / "folder", format="transformers")
    assert not (tmp_path / "folder").exists()


def test_without_torch_the_error_names_the_extra(tiny_bert, tmp_path):
    """An embedder of a machine with an export: the ONNX format needs no torch."""
    BertEmbedder(tiny_bert, backend="onnx").fit(TEXTS)
    code = f"""
    import sys

    class NotInstalled:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "transformers"):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, NotInstalled())
    from skembed import BertEmbedder
    from skembed.exceptions import MissingDependencyError
    embedder = BertEmbedder({str(tiny_bert)!r}, backend="onnx").fit(["a"])
    try:
        embedder.export({str(tmp_path / "folder")!r}, format="transformers")
    except MissingDependencyError as error:
        print(error)
    """
    assert "skembed[torch]" in run_python(code)


def test_config_names_no_place(tiny_bert, tmp_path):
    BertEmbedder(tiny_bert, **PLAIN).fit(TEXTS).export(tmp_path / "a", format="transformers")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config.get("_name_or_path", "") == ""
    assert str(tiny_bert) not in (tmp_path / "a" / "config.json").read_text()
