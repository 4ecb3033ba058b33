"""From a request to a network: fallbacks, ready-made graphs, missing models."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from time_series import SERIES, SeriesEmbedder

import skembed
from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder
from skembed.exceptions import (
    ExportError,
    ModelFormatError,
    ModelNotFoundError,
    RuntimeFallbackWarning,
)
from skembed.network import _load
from skembed.network._resolve import preprocessor_of, resolve
from skembed.runtime._backends import BACKENDS
from skembed.runtime._export_folder import write_standalone
from skembed.runtime._precisions import PRECISIONS


def test_an_export_that_differs_is_not_used(tiny_electra, tmp_path, texts, monkeypatch):
    """auto warns and uses torch; onnx raises."""
    monkeypatch.setitem(PRECISIONS, "float32", replace(PRECISIONS["float32"], max_difference=-1.0))
    with skembed.config_context(cache_folder=tmp_path):
        with pytest.warns(RuntimeFallbackWarning, match=r"differs from torch by .* Using torch\."):
            embedder = BertEmbedder(tiny_electra).fit(texts)
        assert embedder.show_runtime()["backend"] == "torch"
        with pytest.raises(ExportError, match="Set backend='torch'"):
            BertEmbedder(tiny_electra, backend="onnx").fit(texts)


def test_the_backend_to_fall_back_to_is_a_field_of_the_table(
    tiny_electra, tmp_path, texts, monkeypatch
):
    """A backend of another name: nothing but its entry and that of the precision names it."""
    monkeypatch.setitem(BACKENDS, "mirror", replace(BACKENDS["torch"], label="Mirror"))
    monkeypatch.setitem(BACKENDS, "onnx", replace(BACKENDS["onnx"], fallback="mirror"))
    float32 = replace(PRECISIONS["float32"], backends=("onnx", "mirror"), max_difference=-1.0)
    monkeypatch.setitem(PRECISIONS, "float32", float32)
    with skembed.config_context(cache_folder=tmp_path):
        with pytest.warns(RuntimeFallbackWarning, match=r"Using Mirror\.") as caught:
            embedder = BertEmbedder(tiny_electra, cache=None).fit(texts)
        assert [item.filename for item in caught] == [__file__]
        assert embedder.show_runtime()["backend"] == "mirror"
        with pytest.raises(ExportError, match=r"runs on Mirror\. Fit it with backend='onnx'"):
            embedder.export(tmp_path / "folder")
        with pytest.raises(ExportError, match="Set backend='mirror'"):
            BertEmbedder(tiny_electra, backend="onnx").fit(texts)
        monkeypatch.setitem(BACKENDS, "onnx", replace(BACKENDS["onnx"], fallback=None))
        with pytest.raises(ExportError, match=r"limit -1e\+00\), cosine .*\)\.$"):
            BertEmbedder(tiny_electra).fit(texts)


def test_a_graph_made_elsewhere(tiny_bert, tmp_path, texts):
    """With a mask and token types among its inputs, as optimum and others export it."""
    import warnings

    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(tiny_bert).eval()

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            states = self.model(input_ids, attention_mask, token_type_ids).last_hidden_state
            mask = attention_mask[:, :, None].float()
            return (states * mask).sum(1) / mask.sum(1)

    shutil.copy(tiny_bert / "tokenizer.json", tmp_path)
    ids = torch.ones((2, 5), dtype=torch.long)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Mean().eval(),
            (ids, ids.clone(), torch.zeros_like(ids)),
            dynamo=True,
            input_names=["input_ids", "attention_mask", "token_type_ids"],
            dynamic_shapes=(sizes,) * 3,
            verbose=False,
        )
    program.save(tmp_path / "mine.onnx")
    vectors = BertEmbedder(tmp_path / "mine.onnx", max_length=32).fit_transform(texts)
    expected = BertEmbedder(tiny_bert, backend="torch").fit_transform(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    with pytest.raises(ValueError, match="does not define a maximum length: set max_length"):
        BertEmbedder(tmp_path / "mine.onnx").fit(texts)


def test_a_graph_without_pooling_and_without_axes_is_refused(tiny_bert, tmp_path):
    """Whether an output is pooled is decided by the number of axes that the graph states."""
    shutil.copy(tiny_bert / "tokenizer.json", tmp_path)
    spec = BertEmbedder(tiny_bert).fit(["a"])._network
    states = _load.with_export(replace(spec, head=spec.head.for_tokens()))

    write_standalone(_load.graph_of(states), tmp_path / "states.onnx")
    with pytest.raises(ModelFormatError, match="the graph must state the number of axes"):
        BertEmbedder(tmp_path / "states.onnx", max_length=32).fit(["a"])


@pytest.mark.parametrize(
    ("estimator", "row"),
    [(AudioEmbedder, (np.zeros(800), 8000)), (CNNImageEmbedder, np.zeros((8, 8), np.uint8))],
)
def test_models_that_are_not_found_name_random_weights(estimator, row):
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        estimator("acme/none").fit([row])
    assert f"{estimator.__name__}(" in str(raised.value)
    assert "pretrained=False" in str(raised.value)


def test_texts_have_no_random_weights():
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        BertEmbedder("acme/none").fit(["row"])
    assert "pretrained=" not in str(raised.value)


@pytest.mark.parametrize(
    ("estimator", "row", "model", "extra"),
    [
        (CNNImageEmbedder, np.zeros((8, 8), np.uint8), '"efficientnet-lite0"', "efficientnet"),
        (BertEmbedder, "row", "BertEmbedder()", "minilm"),
    ],
)
@pytest.mark.parametrize("missing", ["acme/none", "./none"])
def test_models_that_are_not_found_name_a_packaged_one(estimator, row, model, extra, missing):
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        estimator(missing).fit([row])
    (remedy,) = [line for line in str(raised.value).splitlines() if f"skembed[{extra}]" in line]
    assert model in remedy


def test_a_packaged_model_is_named_once(monkeypatch):
    """The default model of texts, where its package is missing."""
    monkeypatch.setattr("skembed.models._locate.util.find_spec", lambda name: None)
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        BertEmbedder().fit(["row"])
    assert str(raised.value).count("skembed[minilm]") == 1


def test_a_misspelled_checkpoint_is_told_its_name():
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        CNNImageEmbedder("EfficientNet_Lite0").fit([np.zeros((8, 8), np.uint8)])
    assert "did you mean 'efficientnet-lite0'?" in str(raised.value)


# -- parts of it by themselves --------------------------------------------------------------------


def series_request(**given):
    return SeriesEmbedder(random_state=0, **given)._request()


def no_rows(preprocessor, n_rows):
    return []


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_request_becomes_a_network(backend):
    """Its length is known without embedding a row."""
    request = series_request(backend=backend, pooling="mean_max", layers=[0, 1], truncate_dim=30)
    spec = resolve(request, SERIES, no_rows)
    assert (spec.backend, spec.precision, spec.device) == (backend, "float32", "cpu")
    assert (spec.n_dims, spec.widths) == (30, (8,) * 4)
    assert (spec.model, spec.seed, spec.ready_made) == ("series-cnn", request.seed, False)
    assert spec.preprocessor == preprocessor_of(request, SERIES)
    assert (spec.report is not None) == (backend == "onnx")


def test_truncate_dim_is_checked_when_the_network_has_told_its_length():
    with pytest.raises(ValueError, match=r"'truncate_dim' .* must be at most 8"):
        resolve(series_request(truncate_dim=9), SERIES, no_rows)


def test_int8_needs_a_row_that_can_be_read():
    """Convolutions are calibrated on rows of fit, which are asked for once."""
    asked = []

    def sample(preprocessor, n_rows):
        asked.append(n_rows)
        return []

    with pytest.raises(ValueError, match="calibrated on rows of fit, and none of them can be read"):
        resolve(series_request(precision="int8"), SERIES, sample)
    assert asked == [64]
