"""scikit-learn's own estimator checks, restated for rows that are not numeric tables.

`check_estimator` skips nearly all of them for such inputs, so they stand here and run on every
embedder and backend of `instances.CASES`.
"""

import inspect
import pickle
import re

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from instances import CASES
from numpydoc.validate import validate
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

from skembed.embedder._neural import NeuralEmbedder
from skembed.exceptions import BadRowsError


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    """Return the case, with the fixtures that its parameters name filled in."""
    parameters = {
        name: request.getfixturevalue(value[1:-1])
        if isinstance(value, str) and value.startswith("{")
        else value
        for name, value in request.param.parameters.items()
    }
    return request.param._replace(parameters=parameters)


@pytest.fixture
def embedder(case):
    return case.estimator_class(**case.parameters)


@pytest.fixture
def rows(case):
    return case.rows


def column(rows):
    """Return rows as a 1-D array of objects, whatever they are."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def close(case, a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=case.tolerance)


# -- construction ---------------------------------------------------------------------------------


def test_init_only_assigns(case):
    """Every parameter is kept as it was given, and nothing else is set."""
    signature = inspect.signature(case.estimator_class.__init__)
    marks = {name: object() for name in signature.parameters if name != "self"}
    assert vars(case.estimator_class(**marks)) == marks


def test_parameters_after_the_first_are_keyword_only(case):
    kinds = [p.kind for p in inspect.signature(case.estimator_class).parameters.values()]
    assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}


def test_get_and_set_params_of_every_parameter(embedder):
    parameters = embedder.get_params()
    assert set(parameters) == set(inspect.signature(type(embedder)).parameters)
    for name in parameters:
        mark = object()
        assert embedder.set_params(**{name: mark}) is embedder
        assert embedder.get_params(deep=False)[name] is mark


def test_every_parameter_has_a_constraint(embedder):
    assert set(embedder._parameter_constraints) == set(embedder.get_params())


def test_every_parameter_is_validated_by_fit_and_fit_transform(case, rows):
    """A value of a wrong kind is refused in scikit-learn's words, and not before fit."""
    for name in case.estimator_class().get_params():
        embedder = case.estimator_class(**case.parameters).set_params(**{name: object()})
        message = rf"The {name!r} parameter of {type(embedder).__name__} must be"
        for method in ("fit", "fit_transform"):
            with pytest.raises(InvalidParameterError, match=re.escape(message)):
                getattr(embedder, method)(rows)


def test_clone_is_equal_and_unfitted(embedder, rows):
    fitted = embedder.fit(rows)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)


def test_mixins_tags_and_repr(embedder):
    assert isinstance(embedder, TransformerMixin)
    assert isinstance(embedder, BaseEstimator)
    tags = get_tags(embedder)
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert not tags.input_tags.sparse
    assert tags.requires_fit
    assert not tags.target_tags.required
    assert type(embedder).__name__ in repr(embedder)
    assert type(embedder).__name__ in embedder._repr_html_()


def test_scikit_learns_own_checks_pass(embedder):
    """Those few that it runs on such an input; it says itself that it skips the rest."""
    with pytest.warns(SkipTestWarning, match="Can't test estimator"):
        results = check_estimator(embedder, on_skip=None)
    assert all(result["status"] == "passed" for result in results)


# -- answers --------------------------------------------------------------------------------------


def test_every_row_has_a_finite_vector_whatever_it_holds(case, embedder, rows):
    """An empty text without special tokens, too."""
    vectors = embedder.fit_transform(rows)
    assert np.isfinite(vectors).all()
    close(case, embedder.transform(rows[2:3])[0], vectors[2])


# -- fit ------------------------------------------------------------------------------------------


def test_fit_returns_self_and_takes_y(embedder, rows):
    assert embedder.fit(rows) is embedder
    assert embedder.fit(rows, np.arange(len(rows))) is embedder
    names = list(inspect.signature(type(embedder).fit).parameters)
    assert names[:3] == ["self", "X", "y"]


def test_fit_changes_no_parameter_and_not_the_rows(embedder, rows):
    before, given = embedder.get_params(), list(rows)
    embedder.fit(given)
    embedder.transform(given)
    after = embedder.get_params()
    assert all(after[name] is value for name, value in before.items())
    assert len(given) == len(rows)
    assert all(a is b for a, b in zip(given, rows, strict=True))


def test_fit_sets_only_attributes_that_end_in_an_underscore_or_begin_with_one(embedder, rows):
    embedder.fit(rows)
    new = set(vars(embedder)) - set(embedder.get_params())
    assert {"n_features_in_", "n_features_out_"} <= new
    assert all(name.endswith("_") or name.startswith("_") for name in new)


def test_fit_is_idempotent(case, embedder, rows):
    first = embedder.fit(rows).transform(rows)
    np.testing.assert_array_equal(embedder.fit(rows).transform(rows), first)


def test_a_refit_forgets_everything(case, embedder, rows):
    """After set_params and fit nothing of the first fit is left."""
    name, value = case.changing
    first = embedder.fit(pd.DataFrame({"a": column(rows), "b": column(rows)}))
    first = first.transform(pd.DataFrame({"a": column(rows), "b": column(rows)}))
    changed = embedder.set_params(**{name: value}).fit(rows)
    fresh = clone(embedder).fit(rows)
    assert {*vars(changed)} == {*vars(fresh)}
    assert not hasattr(changed, "feature_names_in_")
    vectors = changed.transform(rows)
    np.testing.assert_array_equal(vectors, fresh.transform(rows))
    assert vectors.shape[1] * 2 != first.shape[1] or not np.array_equal(
        vectors, first[:, : vectors.shape[1]]
    )


def test_set_params_without_fit_changes_no_answer(case, embedder, rows):
    """A fitted embedder answers as it was fitted."""
    name, value = case.changing
    before = embedder.fit(rows).transform(rows)
    np.testing.assert_array_equal(embedder.set_params(**{name: value}).transform(rows), before)


def test_unfitted_raises(embedder, rows):
    for call in (
        lambda: embedder.transform(rows),
        lambda: embedder.get_feature_names_out(),
    ):
        with pytest.raises(NotFittedError):
            call()


# -- transform ------------------------------------------------------------------------------------


def test_answer_is_float32_c_contiguous_in_the_order_of_X(case, embedder, rows):
    vectors = embedder.fit_transform(rows)
    assert type(vectors) is np.ndarray
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.shape == (len(rows), embedder.n_features_out_)
    assert np.isfinite(vectors).all()
    for position, row in enumerate(rows):
        close(case, embedder.transform([row])[0], vectors[position])


def test_fit_transform_equals_fit_then_transform(embedder, rows):
    together = embedder.fit_transform(rows)
    np.testing.assert_array_equal(together, clone(embedder).fit(rows).transform(rows))


def test_dict_unchanged_by_transform(embedder, rows):
    embedder.fit(rows)
    before = dict(vars(embedder))
    embedder.transform(rows)
    embedder.get_feature_names_out()
    assert vars(embedder) == before


def test_writing_into_an_answer_changes_no_later_answer(embedder, rows):
    """Neither the cache nor a repeated row shares memory with what was given out."""
    first = embedder.fit_transform(rows)
    kept = first.copy()
    first[:] = 7
    np.testing.assert_array_equal(embedder.transform(rows), kept)


def test_methods_sample_order_invariance(case, embedder, rows):
    embedder.fit(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = clone(embedder).fit(rows).transform([rows[i] for i in order])
    close(case, shuffled, embedder.transform(rows)[order])


def test_methods_subset_invariance(case, embedder, rows):
    """Rows in parts, each part with a cache that has never seen the others."""
    import skembed

    whole = embedder.fit_transform(rows)
    parts = []
    for start in range(0, len(rows), 5):
        skembed.memory_cache().clear()
        parts.append(embedder.transform(rows[start : start + 5]))
    close(case, np.concatenate(parts), whole)


def test_one_row(case, embedder, rows):
    """Fitting and transforming one row work, and give what they give among others."""
    vectors = embedder.fit_transform(rows[:1])
    assert vectors.shape == (1, embedder.n_features_out_)
    if not case.learns:
        close(case, vectors[0], clone(embedder).fit_transform(rows)[0])


def test_equal_rows_have_equal_vectors(embedder, rows):
    vectors = embedder.fit_transform([rows[0], rows[1], rows[0]])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_threads_and_batches_change_nothing(case, embedder, rows):
    if "n_threads" not in embedder.get_params():
        pytest.skip("this embedder has no threads and batches")
    import skembed

    reference = embedder.fit_transform(rows)
    for changes in ({"n_threads": 1}, {"n_threads": 2}, {"batch_size": 1}, {"batch_size": 3}):
        if not changes.keys() <= embedder.get_params().keys():
            continue  # embedders without a network have no batches
        skembed.memory_cache().clear()
        close(case, clone(embedder).set_params(**changes).fit_transform(rows), reference)


# -- containers -----------------------------------------------------------------------------------


def test_containers_give_the_same(embedder, rows):
    expected = embedder.fit_transform(rows)
    for container in (tuple(rows), column(rows), column(rows)[:, None]):
        np.testing.assert_array_equal(embedder.fit_transform(container), expected)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda rows: pd.Series(rows, name="a"), id="pandas"),
        pytest.param(lambda rows: pd.Series(rows, name="a", dtype=object), id="pandas-object"),
        pytest.param(lambda rows: pd.Series(rows).array, id="pandas-array"),
        pytest.param(lambda rows: pd.Index(rows, tupleize_cols=False), id="pandas-index"),
        pytest.param(lambda rows: pd.Categorical(rows), id="pandas-categorical"),
        pytest.param(lambda rows: pl.Series("a", rows), id="polars"),
        pytest.param(lambda rows: pa.chunked_array([rows[:2], rows[2:]]), id="pyarrow"),
        pytest.param(lambda rows: pa.array(rows), id="pyarrow-array"),
        pytest.param(lambda rows: pa.record_batch({"a": rows}), id="pyarrow-batch"),
    ],
)
def test_columns_of_data_frame_libraries_give_the_same(embedder, rows, make):
    def is_words(row):
        return isinstance(row, (list, tuple)) and isinstance(row[0], str)

    rows = [" ".join(row) if is_words(row) else row for row in rows]
    expected = embedder.fit_transform(rows)
    np.testing.assert_array_equal(embedder.fit_transform(make(rows)), expected)


def test_rows_are_taken_by_position_not_by_label(embedder, rows):
    labels = np.random.default_rng(0).permutation(len(rows))
    series = pd.Series(column(rows), index=labels)
    np.testing.assert_array_equal(embedder.fit_transform(series), embedder.transform(rows))


def test_columns_of_a_frame_lie_side_by_side(case, embedder, rows):
    frame = pd.DataFrame({"a": column(rows), "b": column(rows[::-1])})
    vectors = embedder.fit_transform(frame)
    assert embedder.n_features_in_ == 2
    half = embedder.n_features_out_ // 2
    single = clone(embedder).fit([*rows, *rows[::-1]])
    close(case, vectors[:, :half], single.transform(rows))
    close(case, vectors[:, half:], single.transform(rows[::-1]))
    assert vectors.flags.c_contiguous


def test_n_features_in_is_checked(embedder, rows):
    embedder.fit(rows)
    assert embedder.n_features_in_ == 1
    two = np.column_stack([column(rows), column(rows)])
    message = f"X has 2 features, but {type(embedder).__name__} is expecting 1 features as input."
    with pytest.raises(ValueError, match=re.escape(message)):
        embedder.transform(two)


@pytest.mark.parametrize("names", [["b", "a"], ["a", "c"], ["a"], ["a", "b", "c"]], ids="-".join)
def test_feature_names_in_are_checked(embedder, rows, names):
    """In scikit-learn's own words: names that are unseen, missing, or in another order."""
    embedder.fit(pd.DataFrame({"a": column(rows), "b": column(rows)}))
    assert embedder.feature_names_in_.tolist() == ["a", "b"]
    own = FunctionTransformer(validate=True).fit(pd.DataFrame({"a": [1.0], "b": [1.0]}))
    with pytest.raises(ValueError, match="feature names should match") as expected:
        own.transform(pd.DataFrame([[1.0] * len(names)], columns=names))
    for frame in (pd.DataFrame, pl.DataFrame):
        other = frame({name: [rows[0], rows[1]] for name in names})
        with pytest.raises(ValueError, match="feature names should match") as raised:
            embedder.transform(other)
        assert str(raised.value) == str(expected.value)


def test_names_that_are_not_all_text_are_refused(embedder, rows):
    with pytest.raises(TypeError, match="Feature names are only supported if all input features"):
        embedder.fit(pd.DataFrame({"a": column(rows), 0: column(rows)}))


def test_read_only_memory_mapped_rows(embedder, rows, tmp_path):
    expected = embedder.fit_transform(rows)
    joblib.dump(column(rows), tmp_path / "rows.joblib")
    mapped = joblib.load(tmp_path / "rows.joblib", mmap_mode="r")
    mapped.flags.writeable = False
    np.testing.assert_array_equal(embedder.fit_transform(mapped), expected)


def test_empty_X_raises_in_scikit_learns_words(embedder, rows):
    for empty in ([], column([])):
        with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\).*minimum of 1"):
            embedder.fit(empty)
    embedder.fit(rows)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\).*minimum of 1"):
        embedder.transform([])


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_what_is_no_collection_of_rows_is_refused(embedder, rows, method):
    embedder.fit(rows)
    for X, error, words in (
        ("one", TypeError, "got one str: 'one'. Wrap it in a list"),
        (b"one", TypeError, "got one bytes"),
        (None, TypeError, "got NoneType"),
        (3, TypeError, "got int"),
        ({"a": 1}, TypeError, "got dict"),
        ((row for row in rows), TypeError, "got generator. Make it a list: list(X)."),
        (np.float32(3), TypeError, "got float32"),
        (np.array(3), TypeError, "array of no dimensions"),
        (np.zeros((3, 2)), ValueError, "X is numeric (dtype float64)"),
        (pd.Series([1, 2], name="age"), ValueError, "column 'age' is numeric"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            getattr(embedder, method)(X)


# -- bad rows -------------------------------------------------------------------------------------


def test_bad_rows_raise_with_their_positions(embedder, rows):
    X = [*rows[:4], None, *rows[4:]]
    for method in ("fit", "fit_transform"):
        with pytest.raises(BadRowsError, match=rf"1 of {len(X)} rows is not .*row 4: None"):
            getattr(embedder, method)(X)
    with pytest.raises(BadRowsError, match="row 4: None"):
        embedder.fit(rows).transform(X)


def test_bad_rows_are_named_by_label_and_column(embedder, rows):
    labels = ["r10", "r20", "r30"]
    three = column([rows[0], None, rows[1]])
    series = pd.Series(three, index=labels, name="city", dtype=object)
    message = r"1 of 3 rows of column 'city' is not .*\(row 1 \(label 'r20'\): None\)"
    for X in (series, series.to_frame()):
        with pytest.raises(BadRowsError, match=message) as raised:
            embedder.fit(X)
        assert raised.value.rows == {(1, "city"): "None"}
    two = pd.DataFrame({"city": series, "town": series})
    with pytest.raises(BadRowsError, match=r"row 1 \(label 'r20'\) of column 'town': None"):
        embedder.fit(two)


@pytest.mark.parametrize("bad_rows", ["raise", "nan"])
def test_find_bad_rows(embedder, rows, bad_rows):
    """Before fit and after it, as records that make a frame."""
    embedder.set_params(bad_rows=bad_rows)
    labels = range(1, len(rows) + 3)
    X = pd.Series(column([None, *rows, 3.5]), index=labels, name="city", dtype=object)
    last = len(rows) + 1
    expected = [(0, "city", 1, "None"), (last, "city", last + 1, "float")]
    assert embedder.find_bad_rows(X) == expected
    assert embedder.fit(rows).find_bad_rows(X) == expected
    frame = pd.DataFrame(embedder.find_bad_rows(X))
    assert frame.columns.tolist() == ["position", "column", "label", "reason"]
    assert embedder.find_bad_rows(rows) == []


def test_skrub_leaves_out_columns_that_are_not_embedded(embedder, rows):
    """By its `RejectColumn`: columns of numbers, and columns of which no row can be embedded."""
    skrub = pytest.importorskip("skrub")
    frame = pd.DataFrame({"city": column(rows), "age": 3, "new": True})
    frame["other"] = column([3] * len(rows))
    embedded = skrub.ApplyToCols(embedder, allow_reject=True).fit_transform(frame)
    assert {"age", "new", "other"} <= set(embedded.columns)
    assert "city" not in embedded.columns
    assert embedded.shape[1] == 3 + clone(embedder).fit(rows).n_features_out_


@pytest.mark.parametrize(("bad_rows", "value"), [("zero", 0.0), ("nan", np.nan)])
def test_bad_rows_spoil_nothing(case, embedder, rows, bad_rows, value):
    X = [None, *rows[:4], float("nan"), *rows[4:]]
    embedder.set_params(bad_rows=bad_rows)
    vectors = embedder.fit_transform(X)
    np.testing.assert_array_equal(vectors[[0, 5]], value)
    close(case, np.delete(vectors, [0, 5], axis=0), embedder.transform(rows))


def test_a_column_in_which_all_is_missing_is_bad_rows(case, embedder):
    """A data-frame library says that such a column is of floats."""
    missing = pd.Series([None, np.nan], dtype=float)
    with pytest.raises(BadRowsError, match="2 of 2 rows are not"):
        embedder.fit(missing)
    if not case.learns:
        assert np.isnan(embedder.set_params(bad_rows="nan").fit_transform(missing)).all()


def test_columns_that_share_a_name_are_taken_by_position(embedder, rows):
    column = pd.Series([rows[0], rows[1]], dtype=object)
    same = pd.concat([column, column[::-1].reset_index(drop=True)], axis=1, keys=["a", "a"])
    expected = embedder.fit_transform(same.set_axis(["a", "b"], axis=1))
    np.testing.assert_array_equal(embedder.fit_transform(same), expected)
    assert embedder.feature_names_in_.tolist() == ["a", "a"]


def test_bad_rows_alone(case, embedder, rows):
    embedder.set_params(bad_rows="zero")
    if case.learns:
        with pytest.raises(ValueError, match="empty vocabulary"):
            embedder.fit([None, None])
    vectors = embedder.fit(rows if case.learns else [None]).transform([None, None])
    assert vectors.shape == (2, embedder.n_features_out_)
    assert not vectors.any()


def test_a_request_holds_no_estimator(case):
    """What goes down to `network` are parameters, and functions that hold no more than these."""
    if not issubclass(case.estimator_class, NeuralEmbedder):
        pytest.skip("this estimator runs no network")
    asked = case.estimator_class(**case.parameters)._request()
    content = pickle.dumps(asked)
    assert case.estimator_class.__name__.encode() in content  # the name, for messages
    assert b"_settings" not in content  # what every pickled estimator has
    assert not isinstance(getattr(asked.make_preprocessor, "__self__", None), NeuralEmbedder)


# -- names and containers of the answer -----------------------------------------------------------


def test_feature_names_out(embedder, rows):
    n = embedder.fit(rows).n_features_out_
    prefix = type(embedder).__name__.lower()
    assert embedder.get_feature_names_out().tolist() == [f"{prefix}{i}" for i in range(n)]
    assert embedder.get_feature_names_out(["a"])[0] == "a_0"
    embedder.fit(pd.Series(column(rows), name="review"))
    assert embedder.get_feature_names_out().tolist() == [f"review_{i}" for i in range(n)]
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        embedder.get_feature_names_out(["other"])
    frame = pd.DataFrame({"a": column(rows), "b": column(rows)})
    names = embedder.fit(frame).get_feature_names_out()
    assert names.tolist() == [f"{c}_{i}" for c in "ab" for i in range(n)]
    assert names.dtype == object


def test_input_features_of_the_wrong_length(embedder, rows):
    with pytest.raises(ValueError, match="input_features should have length equal"):
        embedder.fit(rows).get_feature_names_out(["a", "b"])


def test_set_output_pandas_keeps_the_index(embedder, rows):
    series = pd.Series(column(rows), index=[f"r{i}" for i in range(len(rows))], name="review")
    expected = embedder.fit_transform(series)
    frame = clone(embedder).set_output(transform="pandas").fit_transform(series)
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.equals(series.index)
    assert frame.columns[0] == "review_0"
    np.testing.assert_array_equal(frame.to_numpy(), expected)


def test_set_output_polars(embedder, rows):
    expected = embedder.fit_transform(rows)
    frame = clone(embedder).set_output(transform="polars").fit_transform(rows)
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == embedder.get_feature_names_out().tolist()
    np.testing.assert_array_equal(frame.to_numpy(), expected)


def test_pipeline_consistency(embedder, rows):
    expected = embedder.fit_transform(rows)
    pipeline = make_pipeline(clone(embedder)).fit(rows)
    np.testing.assert_array_equal(pipeline.transform(rows), expected)
    np.testing.assert_array_equal(
        pipeline.get_feature_names_out(), embedder.get_feature_names_out()
    )


# -- pickles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [pickle, cloudpickle], ids=lambda module: module.__name__)
def test_pickles_are_slim_and_answer_the_same(embedder, rows, library):
    """Before and after fit; what fit did not learn is not in them."""
    assert (
        library.loads(library.dumps(embedder)).get_params().keys() == embedder.get_params().keys()
    )
    expected = embedder.fit_transform(rows)
    content = library.dumps(embedder)
    assert len(content) < 20_000
    np.testing.assert_array_equal(library.loads(content).transform(rows), expected)


# -- docstrings -----------------------------------------------------------------------------------

# GL01, GL02, GL03: where a docstring begins and ends; SS06: a summary of one line;
# ES01: an extended summary; SA01, SA04: see also; EX01: an example for every method.
_LEFT_OUT = {"GL01", "GL02", "GL03", "GL08", "SS06", "ES01", "SA01", "SA04", "EX01", "RT03"}


def test_docstrings_follow_numpydoc(case):
    cls = case.estimator_class
    methods = ["fit", "transform", "fit_transform", "get_feature_names_out"]
    # scikit-learn writes set_fit_request and its docstring.
    own = [
        name
        for name in vars(cls)
        if callable(getattr(cls, name)) and not name.startswith(("_", "set_fit_"))
    ]
    path = f"{cls.__module__}.{cls.__name__}"
    for name in [path, *(f"{path}.{method}" for method in {*methods, *own})]:
        errors = [e for e in validate(name)["errors"] if e[0] not in _LEFT_OUT]
        assert not errors, (name, errors)
    assert "Examples" in cls.__doc__
    assert "References" in cls.__doc__
