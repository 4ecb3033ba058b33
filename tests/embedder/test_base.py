"""What all embedders share, where one of them is enough to show it."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.pipeline import make_pipeline

from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, Word2VecVectorizer
from skembed.exceptions import BadRowsError, TruncationWarning

LONG = "the cat sat on the mat " * 20


def lines_of_warnings(function, *arguments):
    """Return the files that the warnings of a call point at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    return [item.filename for item in caught]


def test_warnings_point_at_the_callers_line(tiny_bert, word_file):
    """However many layers of ours and of scikit-learn lie between."""
    embedder = BertEmbedder(tiny_bert, max_length=10, backend="torch").fit(["a"])
    assert lines_of_warnings(embedder.transform, [LONG]) == [__file__]
    assert lines_of_warnings(embedder.fit_transform, [LONG]) == [__file__]
    assert lines_of_warnings(embedder.embed_tokens, [LONG]) == [__file__]
    assert lines_of_warnings(make_pipeline(embedder).fit_transform, [LONG]) == [__file__]
    words = Word2VecVectorizer(vectors=word_file).fit(["cat"])
    assert lines_of_warnings(words.transform, ["zzz"]) == [__file__]


def test_one_row_that_is_cut_is_spoken_of_in_the_singular(tiny_bert):
    texts = BertEmbedder(tiny_bert, max_length=10, backend="torch")
    with pytest.warns(TruncationWarning, match="1 of 1 text is longer than .* and was cut there"):
        texts.fit_transform([LONG])
    sounds = AudioEmbedder(
        "cnn-small", pretrained=False, random_state=0, sampling_rate=8000, max_seconds=0.5
    )
    silence = np.zeros(8000, dtype=np.float32)
    with pytest.warns(TruncationWarning, match="1 of 1 sound is longer than .* and was cut there"):
        sounds.fit_transform([silence])


def test_fit_transform_names_bad_rows_of_all_kinds(tiny_bert):
    """What is bad at first sight, and what only preparing shows."""
    embedder = BertEmbedder(tiny_bert, max_length=10, long_texts="error", backend="torch")
    both = r"3 of 4 rows are not text, or are longer than the network takes"
    for call in (embedder.fit_transform, embedder.fit(["a"]).transform):
        with pytest.raises(BadRowsError, match=both) as raised:
            call([LONG, "a", None, LONG])
        assert sorted(raised.value.rows) == [(0, 0), (2, 0), (3, 0)]
    assert [item.position for item in embedder.find_bad_rows([LONG, "a", None, LONG])] == [0, 2, 3]
    with pytest.raises(BadRowsError, match="1 of 3 rows is not text"):
        embedder.fit([LONG, "a", None])  # fit prepares no rows


def test_find_bad_rows_reads_files_whole(tmp_path):
    """Before fit, too."""
    from PIL import Image

    good, cut = tmp_path / "good.png", tmp_path / "cut.png"
    Image.effect_noise((40, 40), 50).save(good)
    cut.write_bytes(good.read_bytes()[:300])
    embedder = CNNImageEmbedder("resnet-small-32", pretrained=False, random_state=0, cache=None)
    found = embedder.find_bad_rows([good, cut, "file:///a.png"])
    assert [item.position for item in found] == [1, 2]
    assert "damaged" in found[0].reason
    assert found[1].reason == "a file URL; pass its path, /a.png"


@pytest.mark.parametrize("make", [pd.DataFrame, pa.Table.from_pandas], ids=["pandas", "pyarrow"])
def test_columns_of_one_name(word_file, make):
    """They are embedded by position, and keep their names, as in scikit-learn."""
    frame = pd.DataFrame([["cat", "dog", "cat"], ["dog", "dog", "cat"]], columns=["x", "x", "y"])
    if make is pa.Table.from_pandas:
        frame = pa.table([frame.iloc[:, i] for i in range(3)], names=["x", "x", "y"])
    embedder = Word2VecVectorizer(vectors=word_file)
    vectors = embedder.fit_transform(frame)
    one = embedder.n_features_out_ // 3
    named = pd.DataFrame([["cat", "dog", "cat"], ["dog", "dog", "cat"]], columns=["a", "b", "c"])
    np.testing.assert_array_equal(
        vectors, Word2VecVectorizer(vectors=word_file).fit_transform(named)
    )
    np.testing.assert_array_equal(embedder.transform(frame), vectors)
    assert embedder.feature_names_in_.tolist() == ["x", "x", "y"]
    names = [f"{name}_{i}" for name in ("x", "x", "y") for i in range(one)]
    assert embedder.get_feature_names_out().tolist() == names
    assert embedder.get_feature_names_out(["x", "x", "y"]).tolist() == names
    embedder.set_output(transform="pandas")
    assert embedder.transform(frame).columns.tolist() == names
    embedder.set_output(transform="default")
    with pytest.raises(ValueError, match=r"feature names should match .*'x', 'x', 'y'.*'a', 'b'"):
        embedder.transform(named)
    with pytest.raises(ValueError, match="feature names should match"):
        Word2VecVectorizer(vectors=word_file).fit(named).transform(frame)
    with pytest.raises(ValueError, match="X has 1 features"):
        embedder.transform(["cat"])


def test_bad_rows_of_columns_of_one_name(word_file):
    frame = pd.DataFrame([["cat", None], [None, "dog"]], columns=["x", "x"])
    with pytest.raises(BadRowsError, match=r"row 1 of column 0: .*, row 0 of column 1: ") as raised:
        Word2VecVectorizer(vectors=word_file).fit(frame)
    assert set(raised.value.rows) == {(1, 0), (0, 1)}
