"""`StaticEmbedder` against model2vec and Sentence Transformers, and against a loop over texts."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.base import clone
from tiny import save_tiny_static
from tokenizers import Tokenizer

import skembed
from skembed import StaticEmbedder
from skembed.exceptions import ModelFormatError, ModelNotFoundError, TruncationWarning

TEXTS = [
    "The cat sat on a mat, while a dog ran over the hill.",
    "",
    "naïve CAFÉ ☃ ☃",
    "[UNK] zzz [CLS] river",
    "to\ttown\x0bbank\x85 ",
    "the " * 30,
]


def expected(folder, texts, *, sentence=False, normalize=True, prompt=""):
    """Return the means of tokens' vectors in float64, one text after the other."""
    place = folder / "0_StaticEmbedding" if sentence else folder
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tensors = load_file(place / "model.safetensors")
    if sentence:
        table = tensors["embedding.weight"].double().numpy()
    else:
        table = (tensors["embeddings"].double() * tensors["weights"].double()[:, None]).numpy()
    vectors = []
    for text in texts:
        ids = tokenizer.encode(prompt + text, add_special_tokens=False).ids
        ids = ids if sentence else [i for i in ids if i != tokenizer.token_to_id("[UNK]")]
        vector = table[ids].mean(axis=0) if ids else np.zeros(table.shape[1])
        vectors.append(vector / max(np.linalg.norm(vector), 1e-12) if normalize else vector)
    return np.array(vectors)


@pytest.mark.parametrize("sentence", [False, True])
def test_vectors_are_means_of_tokens(tiny_static, tiny_static_sentence, sentence):
    folder = tiny_static_sentence if sentence else tiny_static
    for normalize in (True, False):
        vectors = StaticEmbedder(folder, normalize=normalize).fit_transform(TEXTS)
        means = expected(folder, TEXTS, sentence=sentence, normalize=normalize)
        np.testing.assert_allclose(vectors, means, rtol=1e-6, atol=1e-6)


def test_many_texts_on_threads(tiny_static, monkeypatch):
    monkeypatch.setattr("skembed.text._static._CHUNK", 7)
    texts = [f"{text} {i % 50}" for i in range(20) for text in TEXTS]
    vectors = StaticEmbedder(tiny_static, n_threads=3).fit_transform(texts)
    np.testing.assert_allclose(vectors, expected(tiny_static, texts), atol=1e-6)


def test_unknown_tokens_are_left_out_by_model2vec_alone(tiny_static, tiny_static_sentence):
    for folder, same in ((tiny_static, True), (tiny_static_sentence, False)):
        with_unknown, without = StaticEmbedder(folder).fit_transform(["cat ☃", "cat"])
        assert np.allclose(with_unknown, without) is same


def test_a_text_without_tokens_has_the_zero_vector(tiny_static):
    assert not StaticEmbedder(tiny_static).fit_transform(["", "☃"]).any()


def test_truncate_dim_comes_before_normalization(tiny_static):
    full = StaticEmbedder(tiny_static, normalize=False).fit_transform(TEXTS)[:, :3]
    vectors = StaticEmbedder(tiny_static, truncate_dim=3).fit_transform(TEXTS)
    lengths = np.maximum(np.linalg.norm(full, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(vectors, full / lengths, atol=1e-6)
    with pytest.raises(ValueError, match="'truncate_dim' parameter of StaticEmbedder must be at"):
        StaticEmbedder(tiny_static, truncate_dim=9).fit(TEXTS)


def test_saved_prompts_and_truncate_dim_are_applied(tmp_path):
    config = {"prompts": {"query": "dog: "}, "default_prompt_name": "query", "truncate_dim": 4}
    folder = save_tiny_static(tmp_path, sentence=True, **config)
    vectors = expected(folder, TEXTS, sentence=True, prompt="dog: ")
    np.testing.assert_allclose(
        StaticEmbedder(folder).fit_transform(TEXTS), vectors[:, :4], atol=1e-6
    )
    without = StaticEmbedder(folder, prompt="", truncate_dim=8).fit_transform(TEXTS)
    np.testing.assert_allclose(without, expected(folder, TEXTS, sentence=True), atol=1e-6)
    with pytest.raises(ValueError, match="The model has no prompt named 'passage'"):
        StaticEmbedder(folder, prompt="passage").fit(TEXTS)


def test_max_length_cuts_with_one_warning(tiny_static_sentence):
    embedder = StaticEmbedder(tiny_static_sentence, max_length=3).fit(TEXTS)
    with pytest.warns(TruncationWarning, match="1 of 2 texts is longer than max_length=3 tokens"):
        cut, short = embedder.transform(["the cat sat on a mat", "the cat sat"])
    np.testing.assert_array_equal(cut, short)


@pytest.mark.parametrize("n_tokens", [5, 50])
def test_the_files_own_max_length_holds(tmp_path, n_tokens):
    folder = save_tiny_static(tmp_path, max_length=n_tokens)
    embedder = StaticEmbedder(folder).fit(TEXTS)
    if n_tokens == 5:
        with pytest.warns(TruncationWarning, match="max_length=5"):
            embedder.transform(TEXTS)
    else:
        embedder.transform(["the cat sat on a mat"])


def test_truncation_of_a_tokenizer_holds_in_sentence_transformers_folders(tmp_path):
    folder = save_tiny_static(tmp_path, sentence=True)
    path = folder / "0_StaticEmbedding" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))
    with pytest.warns(TruncationWarning, match="max_length=2"):
        StaticEmbedder(folder).fit_transform(["the cat sat"])


# -- cache and fingerprints -----------------------------------------------------------------------


def test_rows_are_kept_and_read(tiny_static):
    embedder = StaticEmbedder(tiny_static, cache="memory", n_threads=1)
    first = embedder.fit_transform(TEXTS)
    (info,) = skembed.memory_cache().info()
    assert (info["rows"], info["model"]) == (len(TEXTS), str(tiny_static))
    second = clone(embedder).set_params(normalize=False, truncate_dim=3).fit_transform(TEXTS)
    (info,) = skembed.memory_cache().info()
    assert info["hits"] == len(TEXTS)  # normalizing and truncating come after
    np.testing.assert_array_equal(clone(embedder).fit_transform(TEXTS), first)
    plain = StaticEmbedder(tiny_static, normalize=False, truncate_dim=3).fit_transform(TEXTS)
    np.testing.assert_allclose(second, plain, atol=1e-7)


def test_what_changes_vectors_changes_the_fingerprint(tiny_static, tiny_static_sentence, tmp_path):
    def fingerprint(folder, **parameters):
        return StaticEmbedder(folder, **parameters).fit(TEXTS).fingerprint_

    shutil.copytree(tiny_static, tmp_path / "copy")
    base = fingerprint(tiny_static)
    assert fingerprint(tmp_path / "copy", bad_rows="nan", n_threads=2) == base
    others = [{"normalize": False}, {"truncate_dim": 3}, {"max_length": 9}, {"prompt": "a: "}]
    changed = [fingerprint(tiny_static, **other) for other in others]
    changed.append(fingerprint(tiny_static_sentence))
    assert len({base, *changed}) == 6


# -- export ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters", [{}, {"truncate_dim": 3, "normalize": False}, {"max_length": 40}]
)
def test_an_exported_folder_gives_the_same(tiny_static, tmp_path, parameters):
    embedder = StaticEmbedder(tiny_static, **parameters).fit(TEXTS)
    folder = embedder.export(tmp_path / "exported")
    np.testing.assert_allclose(
        StaticEmbedder(folder).fit_transform(TEXTS), embedder.transform(TEXTS), atol=1e-7
    )


def test_prompts_and_late_truncation_are_exported(tmp_path):
    config = {"prompts": {"query": "dog: "}, "default_prompt_name": "query", "truncate_dim": 4}
    folder = save_tiny_static(tmp_path, sentence=True, **config)
    embedder = StaticEmbedder(folder).fit(TEXTS)
    again = StaticEmbedder(embedder.export(tmp_path / "exported")).fit(TEXTS)
    np.testing.assert_array_equal(again.transform(TEXTS), embedder.transform(TEXTS))


def test_export_refuses_what_a_folder_cannot_state(tiny_static, tmp_path):
    with pytest.raises(ValueError, match="Folders of model2vec have no prompt"):
        StaticEmbedder(tiny_static, prompt="a: ").fit(TEXTS).export(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_text("")
    with pytest.raises(FileExistsError):
        StaticEmbedder(tiny_static).fit(TEXTS).export(tmp_path / "b")


# -- the authors' packages ------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["plain", "int8", "weights", "mapping"])
@pytest.mark.parametrize("max_length", [None, 4])
@pytest.mark.filterwarnings("ignore::skembed.exceptions.TruncationWarning")
def test_equal_to_model2vec(tiny_static, tmp_path, layout, max_length):
    model2vec = pytest.importorskip("model2vec", reason="model2vec is not installed")
    tokenizer = Tokenizer.from_file(str(tiny_static / "tokenizer.json"))
    n_tokens, random = tokenizer.get_vocab_size(), np.random.default_rng(0)
    vectors = random.standard_normal((n_tokens, 6)).astype(np.float32)
    more = {}
    if layout == "int8":
        vectors = (vectors * 30).astype(np.int8)
    if layout in ("weights", "mapping"):
        more["weights"] = random.random(n_tokens)
    if layout == "mapping":
        more["token_mapping"] = random.integers(0, 9, n_tokens)
        vectors = vectors[:9]
    for normalize in (True, False):
        model = model2vec.StaticModel(
            vectors, tokenizer, normalize=normalize, max_length=max_length, **more
        )
        model.save_pretrained(tmp_path / str(normalize))
        embedder = StaticEmbedder(tmp_path / str(normalize)).fit(TEXTS)
        np.testing.assert_allclose(
            embedder.transform(TEXTS), model.encode(TEXTS), rtol=1e-6, atol=1e-6
        )


def test_model2vec_reads_what_is_exported(tiny_static, tmp_path):
    model2vec = pytest.importorskip("model2vec", reason="model2vec is not installed")
    embedder = StaticEmbedder(tiny_static, truncate_dim=5).fit(TEXTS)
    model = model2vec.StaticModel.from_pretrained(embedder.export(tmp_path / "exported"))
    np.testing.assert_allclose(model.encode(TEXTS), embedder.transform(TEXTS), atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_equal_to_sentence_transformers(tiny_static, tmp_path, normalize):
    theirs = pytest.importorskip(
        "sentence_transformers", reason="sentence-transformers is not installed"
    )
    from sentence_transformers.sentence_transformer import modules as theirs_modules

    tokenizer = Tokenizer.from_file(str(tiny_static / "tokenizer.json"))
    tokenizer.no_truncation()
    weights = torch.randn(tokenizer.get_vocab_size(), 6)
    modules = [theirs_modules.StaticEmbedding(tokenizer, embedding_weights=weights)]
    modules += [theirs_modules.Normalize()] if normalize else []
    model = theirs.SentenceTransformer(modules=modules, device="cpu")
    model.save(str(tmp_path / "saved"))
    embedder = StaticEmbedder(tmp_path / "saved").fit(TEXTS)
    np.testing.assert_allclose(embedder.transform(TEXTS), model.encode(TEXTS), atol=1e-6)
    again = theirs.SentenceTransformer(str(embedder.export(tmp_path / "exported")), device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), embedder.transform(TEXTS), atol=1e-6)


# -- models that are not there --------------------------------------------------------------------


def test_a_missing_model_has_remedies():
    with pytest.raises(ModelNotFoundError, match=r"use StaticEmbedder\(\), whose table") as raised:
        StaticEmbedder("potion-base-9M").fit(TEXTS)
    assert "minishlab/potion-base-8M" in str(raised.value)


def test_a_transformer_is_refused(tiny_bert, tmp_path):
    with pytest.raises(ModelFormatError, match="has no vectors of tokens"):
        StaticEmbedder(tiny_bert).fit(TEXTS)
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"")
    with pytest.raises(ModelFormatError, match="a folder of a static model is required"):
        StaticEmbedder(graph).fit(TEXTS)


def test_a_tokenizer_with_more_tokens_than_vectors_is_refused(tmp_path):
    folder = save_tiny_static(tmp_path, tensors={"embeddings": torch.ones(5, 2)})
    with pytest.raises(ModelFormatError, match=r"has vectors of 5 tokens, but tokenizer.json has"):
        StaticEmbedder(folder).fit(TEXTS)


def test_the_shipped_table_is_used_by_default(tmp_path, monkeypatch):
    """A folder of that name does not replace it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "static-minilm").mkdir()
    near, far = ["a cat on a mat", "a kitten on a rug"], "stocks fell sharply on Monday"
    a, b, c = StaticEmbedder().fit_transform([*near, far])
    assert a.shape == (256,)
    assert a @ b > 0.5 > 0.3 > a @ c
    assert json.loads(json.dumps(StaticEmbedder().fit(near).fingerprint_))
