"""`StaticEmbedder.distill`: vectors of single tokens, PCA, weights, a regression to texts."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from skembed import BertEmbedder, StaticEmbedder
from skembed.exceptions import BadRowsError
from skembed.network._load import with_export
from skembed.text._distill import (
    _RIDGE,
    fitted,
    principal_directions,
    rounded,
    spread_rows,
    token_vectors,
)

TEXTS = [f"{a} {b} {c}" for a in ("the cat", "a dog") for b in ("sat", "ran") for c in "abcdefg"]


@pytest.fixture(scope="module")
def teacher(tiny_bert):
    return BertEmbedder(tiny_bert, normalize=True, n_threads=1)


def test_vectors_of_tokens_are_those_of_texts_of_one_token(teacher):
    teacher = teacher.fit(["a"])
    vectors = token_vectors(teacher, with_export(teacher._found()))
    vocabulary = teacher._network.preprocessor.tokenizer_object().get_vocab()
    words = ["cat", "river", "a"]
    expected = teacher.transform(words)
    np.testing.assert_allclose(vectors[[vocabulary[w] for w in words]], expected, atol=1e-6)


def test_prompts_of_the_teacher_precede_tokens(tiny_bert):
    teacher = BertEmbedder(tiny_bert, prompt="query: ").fit(["a"])
    vectors = token_vectors(teacher, with_export(teacher._found()))
    vocabulary = teacher._network.preprocessor.tokenizer_object().get_vocab()
    np.testing.assert_allclose(
        vectors[vocabulary["river"]], teacher.transform(["river"])[0], atol=1e-5
    )


def test_the_embedder_reads_the_folder_and_survives_clone(teacher, tmp_path):
    embedder = StaticEmbedder.distill(teacher, tmp_path / "made", TEXTS, n_components=5)
    vectors = clone(embedder).fit(TEXTS).transform(TEXTS)
    assert vectors.shape == (len(TEXTS), 5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert embedder.model == tmp_path / "made"


def test_the_result_is_the_same_again(teacher, tmp_path):
    made = [
        StaticEmbedder.distill(teacher, tmp_path / name, TEXTS, n_components=4) for name in "ab"
    ]
    a, b = (embedder.fit_transform(TEXTS) for embedder in made)
    np.testing.assert_array_equal(a, b)


def test_frequent_tokens_have_small_weights(teacher, tmp_path):
    """Without the regression, the length of a token's vector is its weight."""
    texts = ["the cat"] + ["the"] * 99
    embedder = StaticEmbedder.distill(
        teacher, tmp_path / "a", texts, n_components=16, max_fit_rows=0
    )
    embedder.set_params(normalize=False).fit(texts)
    the, river = np.linalg.norm(embedder.transform(["the", "river"]), axis=1)
    assert the < river / 100


def test_the_regression_comes_closer_to_the_teacher(teacher, tmp_path):
    expected = teacher.fit(TEXTS).transform(TEXTS)

    def similarity(max_fit_rows):
        made = StaticEmbedder.distill(
            teacher,
            tmp_path / str(max_fit_rows),
            TEXTS,
            n_components=16,
            max_fit_rows=max_fit_rows,
        )
        vectors = made.fit_transform(TEXTS)
        a, b = vectors @ vectors.T, expected @ expected.T
        return np.corrcoef(a.ravel(), b.ravel())[0, 1]

    assert similarity(len(TEXTS)) > similarity(0)


def test_int8_is_close_and_small(teacher, tmp_path):
    a = StaticEmbedder.distill(teacher, tmp_path / "a", TEXTS, n_components=16)
    b = StaticEmbedder.distill(teacher, tmp_path / "b", TEXTS, n_components=16, int8=True)
    cosines = (a.fit_transform(TEXTS) * b.fit_transform(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.998
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in "ab"]
    assert sizes[1] < sizes[0] / 2.5


def test_wrong_parameters_are_refused_before_the_work(teacher, tmp_path):
    with pytest.raises(ValueError, match=r"StaticEmbedder.distill must be at most 16"):
        StaticEmbedder.distill(teacher, tmp_path / "a", TEXTS, n_components=17)
    with pytest.raises(BadRowsError, match="1 of 2 rows"):
        StaticEmbedder.distill(teacher, tmp_path / "a", ["a", None])
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        StaticEmbedder.distill("there is no such teacher", tmp_path, TEXTS)
    for name, value in (("n_components", 0), ("max_fit_rows", -1)):
        with pytest.raises(ValueError, match=f"{name} == {value}, must be"):
            StaticEmbedder.distill(teacher, tmp_path / "a", TEXTS, **{name: value})


def test_the_teacher_is_not_changed(tiny_bert, tmp_path):
    teacher = BertEmbedder(tiny_bert)
    StaticEmbedder.distill(teacher, tmp_path / "a", TEXTS, n_components=4)
    assert not hasattr(teacher, "fingerprint_")


def test_principal_directions_are_those_of_a_decomposition():
    vectors = np.random.default_rng(0).standard_normal((5000, 6)).astype(np.float32)
    vectors *= np.arange(1, 7)
    center, directions = principal_directions(vectors, 3)
    expected = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:3].T
    np.testing.assert_allclose(np.abs(directions), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(center, vectors.mean(axis=0), atol=1e-5)


def test_the_regression_solves_its_equations():
    random = np.random.default_rng(0)
    counts = sparse.random(12, 9, 0.4, format="csr", random_state=0, dtype=np.float32)
    table = random.standard_normal((9, 4)).astype(np.float32)
    targets = random.standard_normal((12, 4))
    sums = counts @ table
    lengths = np.linalg.norm(sums, axis=1)
    used = lengths > 0
    a = counts.toarray()[used] / lengths[used, None]
    goal = targets[used]
    goal /= np.linalg.norm(goal, axis=1, keepdims=True)
    sizes = np.diag(np.linalg.norm(table, axis=1))
    a = a @ sizes
    change = a.T @ np.linalg.solve(
        a @ a.T + _RIDGE * np.eye(len(a)), goal - sums[used] / lengths[used, None]
    )
    np.testing.assert_allclose(
        fitted(table, counts, targets), table + sizes @ change, rtol=1e-4, atol=1e-4
    )


def test_rounding_keeps_half_a_step():
    table = np.random.default_rng(0).standard_normal((20, 7)).astype(np.float32)
    codes, scales = rounded(table)
    assert (np.abs(codes * scales[:, None] - table) <= scales[:, None] * 0.501).all()


@pytest.mark.parametrize(("n_rows", "n_most", "expected"), [(10, 3, [0, 3, 6]), (2, 9, [0, 1])])
def test_rows_are_spread(n_rows, n_most, expected):
    assert spread_rows(n_rows, n_most).tolist() == expected
