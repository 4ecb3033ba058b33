"""BertEmbedder against Sentence Transformers' own vectors, for all that its folders may say."""

import json

import numpy as np
import pytest
import torch
import transformers
from tiny import add_modules, save_pieces_tokenizer, save_tiny_bert
from tokenizers import Tokenizer, normalizers

import skembed
from skembed.exceptions import ModelFormatError

sentence_transformers = pytest.importorskip("sentence_transformers")
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer import modules as st_models  # noqa: E402
from torch import nn  # noqa: E402

# Both libraries cut texts at 24 tokens here; skembed says so.
pytestmark = pytest.mark.filterwarnings("ignore::skembed.exceptions.TruncationWarning")

FLAGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
    "weighted_mean": "pooling_mode_weightedmean_tokens",
    "last": "pooling_mode_lasttoken",
}
PROMPTS = {"query": "query: ", "passage": "the passage : ", "shout": "QUERY! "}


def flags(*names):
    return {flag: name in names for name, flag in FLAGS.items()}


@pytest.fixture
def folder(tmp_path):
    return save_tiny_bert(tmp_path / "model")


def assert_same_vectors(folder, texts, *, prompt_name=None, prompt=None, **parameters):
    """Compare with what Sentence Transformers makes of the same folder."""
    reference = SentenceTransformer(str(folder), device="cpu")
    expected = reference.encode(
        texts, prompt_name=prompt_name, prompt=prompt, show_progress_bar=False
    )
    given = prompt_name if prompt is None else prompt
    embedder = skembed.BertEmbedder(folder, backend="torch", prompt=given, **parameters)
    vectors = embedder.fit_transform(texts)
    assert vectors.shape == expected.shape
    np.testing.assert_allclose(vectors, expected, atol=1e-5, rtol=0)
    return vectors


@pytest.mark.parametrize("name", FLAGS)
def test_each_pooling(folder, texts, name):
    """Of the folder, and of the same name where it is asked for."""
    add_modules(folder, pooling=flags(name))
    vectors = assert_same_vectors(folder, texts)
    asked = skembed.BertEmbedder(folder, backend="torch", pooling=name).fit_transform(texts)
    np.testing.assert_array_equal(asked, vectors)


@pytest.mark.parametrize("names", [("mean", "cls"), ("cls", "max", "last"), tuple(FLAGS)])
def test_several_poolings_at_once(folder, texts, names):
    """In Sentence Transformers' order, which is not that of the flags."""
    vectors = assert_same_vectors(add_modules(folder, pooling=flags(*names)), texts)
    assert vectors.shape == (len(texts), 16 * len(names))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["activation.Tanh", "linear.Identity", "activation.GELU"])
def test_dense_layers(folder, texts, activation, bias, normalize):
    """With and without bias, with and without normalizing after them."""
    dense = {
        "in_features": 16,
        "out_features": 6,
        "bias": bias,
        "activation_function": f"torch.nn.modules.{activation}",
    }
    assert_same_vectors(add_modules(folder, dense=dense, normalize=normalize), texts)


def test_a_dense_layer_that_names_no_activation(folder, texts):
    """It is a tanh."""
    dense = {"in_features": 16, "out_features": 6, "bias": True}
    assert_same_vectors(add_modules(folder, dense=dense), texts)


def test_normalize(folder, texts):
    """And undone where it is not wanted."""
    add_modules(folder, normalize=True)
    vectors = assert_same_vectors(folder, texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    raw = skembed.BertEmbedder(folder, backend="torch", normalize=False).fit_transform(texts)
    np.testing.assert_allclose(
        raw / np.linalg.norm(raw, axis=1, keepdims=True), vectors, atol=1e-6, rtol=0
    )


def test_truncated_dimensions(folder, texts):
    """Cut before they are normalized again, as `truncate_dim` of both libraries does."""
    add_modules(folder, pooling=flags("mean"))
    reference = SentenceTransformer(str(folder), device="cpu", truncate_dim=5)
    expected = reference.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    embedder = skembed.BertEmbedder(folder, backend="torch", truncate_dim=5, normalize=True)
    np.testing.assert_allclose(embedder.fit_transform(texts), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_folders_own_truncate_dim(folder, texts, normalize):
    """Applied after the modules; asked for, another length or unit length comes first."""
    add_modules(folder, normalize=normalize)
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncate_dim": 5}))
    assert assert_same_vectors(folder, texts).shape[1] == 5
    reference = SentenceTransformer(str(folder), device="cpu")
    expected = reference.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    unit = skembed.BertEmbedder(folder, backend="torch", normalize=True).fit_transform(texts)
    np.testing.assert_allclose(unit, expected, atol=1e-5, rtol=0)
    asked = skembed.BertEmbedder(folder, backend="torch", truncate_dim=16).fit_transform(texts)
    assert asked.shape[1] == 16


def test_chunks_of_a_folder_that_truncates(folder):
    """They are averages of what one window gives."""
    add_modules(folder, normalize=True)
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({"truncate_dim": 5}))
    embedder = skembed.BertEmbedder(folder, backend="torch", long_texts="chunk", max_length=12)
    one, two = embedder.fit_transform(["the cat sat on a mat", "the cat sat on a mat " * 4])
    assert np.linalg.norm(one) < 1
    assert np.linalg.norm(two) < 1


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("name", [None, "query", "passage"])
def test_prompts_by_name(folder, texts, name, include_prompt):
    """Pooled with the text, or left out of the pooling, whatever the pooling."""
    pooling = {**flags(*FLAGS), "include_prompt": include_prompt}
    add_modules(folder, pooling=pooling, prompts=PROMPTS)
    assert_same_vectors(folder, texts, prompt_name=name)


def test_prompts_by_text(folder, texts):
    """Any text before each text."""
    add_modules(folder, pooling={**flags("mean"), "include_prompt": False})
    assert_same_vectors(folder, texts, prompt="a river : ")


@pytest.mark.parametrize("include_prompt", [True, False])
def test_the_default_prompt(folder, texts, include_prompt):
    """Put before each text unasked; "" is none."""
    pooling = {**flags("mean", "cls"), "include_prompt": include_prompt}
    add_modules(folder, pooling=pooling, prompts=PROMPTS, default="query")
    with_prompt = assert_same_vectors(folder, texts)
    without = assert_same_vectors(folder, texts, prompt="")
    assert np.abs(with_prompt - without).max() > 1e-2


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_do_lower_case(folder, do_lower_case):
    """Of prompt and text, for a tokenizer that tells capitals from small letters."""
    add_modules(folder, prompts=PROMPTS)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"max_seq_length": 24, "do_lower_case": do_lower_case}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    texts = ["The CAT sat", "the cat sat", "ÉTÉ", "a [SEP] b"]
    vectors = assert_same_vectors(folder, texts, prompt_name="shout")
    assert np.array_equal(vectors[0], vectors[1]) is do_lower_case


@pytest.mark.parametrize(("max_seq_length", "model_max_length"), [(8, 32), (32, 8), (None, 8)])
def test_texts_are_cut_at_the_same_token(folder, max_seq_length, model_max_length):
    """Whichever file says so."""
    add_modules(folder, prompts=PROMPTS)
    settings = {} if max_seq_length is None else {"max_seq_length": max_seq_length}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["model_max_length"] = model_max_length
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    texts = ["the cat sat on a mat " * n for n in (1, 2, 5, 20)]
    assert_same_vectors(folder, texts, prompt_name="query")


def test_a_backbone_in_a_folder_of_its_own(tmp_path, texts):
    """As Sentence Transformers wrote its first models."""
    folder = tmp_path / "old"
    save_tiny_bert(folder / "0_Transformer")
    add_modules(folder, pooling=flags("cls"))
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").rename(
        folder / "0_Transformer" / "sentence_bert_config.json"
    )
    assert_same_vectors(folder, texts)


# -- folders that the installed version writes -----------------------------------------------------


def transformer(folder):
    return st_models.Transformer(str(save_tiny_bert(folder)), max_seq_length=24)


@pytest.mark.parametrize(
    "parts",
    [
        lambda: [st_models.Pooling(16, pooling_mode="mean")],
        lambda: [st_models.Pooling(16, pooling_mode="lasttoken"), st_models.Normalize()],
        lambda: [
            st_models.Pooling(16, pooling_mode="cls"),
            st_models.Dense(16, 6),
            st_models.Normalize(),
        ],
        lambda: [
            st_models.Pooling(16, pooling_mode=("max", "weightedmean", "mean")),
            st_models.Dense(48, 12, bias=False, activation_function=nn.Identity()),
            st_models.Dense(12, 12, activation_function=nn.GELU(), use_residual=True),
            st_models.Dense(12, 6, use_residual=True),
            st_models.Dropout(0.5),
            st_models.Normalize(),
        ],
    ],
    ids=["mean", "last, normalized", "cls, dense, normalized", "all that there is"],
)
def test_folders_saved_by_the_installed_version(tmp_path, texts, parts):
    """Its layout is newer than the published one that the other tests write by hand."""
    model = SentenceTransformer(
        modules=[transformer(tmp_path / "bert"), *parts()],
        prompts=PROMPTS,
        default_prompt_name="passage",
        device="cpu",
    )
    model.save(str(tmp_path / "saved"))
    vectors = assert_same_vectors(tmp_path / "saved", texts)
    np.testing.assert_allclose(
        model.encode(texts, show_progress_bar=False), vectors, atol=1e-5, rtol=0
    )
    assert_same_vectors(tmp_path / "saved", texts, prompt_name="query")


def test_a_saved_folder_that_leaves_prompts_out_of_its_pooling(tmp_path, texts):
    """`include_prompt` is written by both versions under one name."""
    pooling = st_models.Pooling(16, pooling_mode=("mean", "cls"), include_prompt=False)
    model = SentenceTransformer(
        modules=[transformer(tmp_path / "bert"), pooling], prompts=PROMPTS, device="cpu"
    )
    model.save(str(tmp_path / "saved"))
    assert_same_vectors(tmp_path / "saved", texts, prompt_name="passage")


def test_a_folder_without_modules_is_what_sentence_transformers_makes_of_it(folder, texts):
    """The mean, not normalized."""
    assert_same_vectors(folder, texts)


# -- encoders of encoder-decoder models ------------------------------------------------------------

T5_SIZES = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}


def save_t5(folder, name, config="T5Config"):
    special = ["<pad>", "</s>", "<unk>"]
    settings = {"extra_ids": 0, "additional_special_tokens": [], "pad_token": "<pad>"}
    size = save_pieces_tokenizer(folder, "T5Tokenizer", "$A </s>", special, 2, **settings)
    torch.manual_seed(0)
    config = getattr(transformers, config)(vocab_size=size, **T5_SIZES)
    getattr(transformers, name)(config).save_pretrained(folder)
    return add_modules(folder, normalize=True)


@pytest.mark.parametrize(
    "names",
    [
        ("T5EncoderModel",),
        ("T5Model",),
        ("T5ForConditionalGeneration",),
        ("MT5EncoderModel", "MT5Config"),
        ("UMT5EncoderModel", "UMT5Config"),
    ],
    ids=lambda names: names[0],
)
def test_the_encoder_of_t5(tmp_path, texts, names):
    """Saved alone or with its decoder, which is left out."""
    folder = save_t5(tmp_path / "t5", *names)
    vectors = assert_same_vectors(folder, texts)
    if names == ("T5EncoderModel",):
        exported = skembed.BertEmbedder(folder, backend="onnx").fit_transform(texts)
        np.testing.assert_allclose(exported, vectors, atol=1e-5, rtol=0)


def test_other_encoder_decoder_models_are_refused_by_name(folder):
    """Sentence Transformers embeds with the decoder of BART."""
    config = transformers.BartConfig(vocab_size=99, d_model=16, encoder_layers=1, decoder_layers=1)
    transformers.BartModel(config).save_pretrained(folder)
    with pytest.raises(ModelFormatError, match=r"'bart' is an unsupported encoder-decoder model"):
        skembed.BertEmbedder(folder, backend="torch").fit(["a"])
