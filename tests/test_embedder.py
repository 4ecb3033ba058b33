"""What all embedders share, where one of them is enough to show it."""

import warnings

import pytest
from sklearn.pipeline import make_pipeline

from skembed import BertEmbedder, CNNImageEmbedder, Word2VecVectorizer
from skembed.exceptions import BadRowsError

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
