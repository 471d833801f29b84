"""Kinds of y: their conversion to targets and back."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning

from sklearn_mlloss._data import targets as module
from sklearn_mlloss._data.targets import TargetCodec
from sklearn_mlloss.metrics import subset_accuracy

Y = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
NAN = np.nan


def same(y, expected):
    codec = TargetCodec().fit(y)
    targets = codec.transform(y)
    np.testing.assert_array_equal(targets, expected)
    return codec, targets


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int32, np.int64, float, np.float32])
def test_indicator_arrays(dtype):
    y = Y.astype(dtype)
    codec, targets = same(y, Y)
    assert codec.kind == "multilabel" and codec.n_labels_ == 3
    assert targets.dtype == np.uint8
    np.testing.assert_array_equal(codec.classes_, [[0, 1]] * 3)
    np.testing.assert_array_equal(codec.label_names_, [0, 1, 2])
    back = codec.inverse_transform(Y.astype(bool))
    assert back.dtype == y.dtype
    np.testing.assert_array_equal(back, y)


@pytest.mark.parametrize(
    "kind",
    [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.csc_matrix, sp.coo_matrix,
     sp.lil_matrix, sp.dok_array],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [bool, np.int64, float])
def test_sparse_indicators(kind, dtype):
    codec, _ = same(kind(Y.astype(dtype)), Y)
    back = codec.inverse_transform(Y.astype(bool))
    assert isinstance(back, sp.csr_array if issubclass(kind, sp.sparray) else sp.csr_matrix)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.toarray(), Y)


def test_sparse_indicators_may_hold_zeros():
    y = sp.csr_array(Y)
    y.data[0] = 0
    expected = Y.copy()
    expected[0, 1] = 0
    same(y, expected)


def test_frames_name_the_labels():
    frame = pd.DataFrame(Y, columns=["a", "b", "c"], index=[5, 6, 7, 8])
    codec, _ = same(frame, Y)
    assert codec.label_names_.tolist() == ["a", "b", "c"]
    assert isinstance(codec.inverse_transform(Y.astype(bool)), np.ndarray)
    assert codec.inverse_transform(Y.astype(bool)).dtype == frame.dtypes["a"]
    mixed = frame.astype({"a": bool, "b": float})
    codec, _ = same(mixed, Y)
    assert codec.inverse_transform(Y.astype(bool)).dtype == np.int64


def test_frames_of_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(Y, schema=["a", "b", "c"])
    codec, targets = same(frame, Y)
    assert targets.dtype == np.uint8 and codec.label_names_.tolist() == ["a", "b", "c"]
    assert codec.inverse_transform(Y.astype(bool)).dtype == np.int64
    with pytest.raises(ValueError, match="must have the columns \\['a', 'b', 'c'\\]"):
        codec.transform(frame[["b", "a", "c"]])
    np.testing.assert_array_equal(codec.transform(pd.DataFrame(Y, columns=list("abc"))), Y)
    missing = frame.with_columns(b=pl.Series([None, False, False, True]))
    expected = Y.astype(float)
    expected[0, 1] = NAN
    same(missing, expected)
    codec, _ = same(frame[["a"]], Y[:, :1])
    assert codec.kind == "multilabel" and codec.label_names_.tolist() == ["a"]
    with pytest.warns(DataConversionWarning):
        codec = TargetCodec().fit(pl.DataFrame({"a": ["x", "y", "x"]}))
    assert codec.kind == "binary" and codec.label_names_.tolist() == ["y"]
    with pytest.raises(ValueError, match="y must hold 0 and 1"):
        TargetCodec().fit(frame).transform(frame.with_columns(a=pl.lit("x")))


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "Float64", object])
def test_missing_values_of_frames(dtype):
    frame = pd.DataFrame(Y.astype(bool) if dtype == "boolean" else Y).astype(dtype)
    codec, targets = same(frame, Y)
    assert targets.dtype == np.uint8
    frame.iloc[0, 1] = None if dtype is object else pd.NA
    expected = Y.astype(float)
    expected[0, 1] = NAN
    codec, targets = same(frame, expected)
    assert targets.dtype == np.float32
    assert codec.inverse_transform(Y.astype(bool)).dtype == np.int64


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_values_of_object_arrays(missing):
    y = Y.astype(object)
    y[1, 2] = missing
    expected = Y.astype(float)
    expected[1, 2] = NAN
    same(y, expected)


def test_lists():
    codec, _ = same(Y.tolist(), Y)
    assert codec.inverse_transform(Y.astype(bool)).dtype == np.int64
    same([tuple(row) for row in Y.tolist()], Y)
    same([[True, False], [False, False]], [[1, 0], [0, 0]])
    same([[1, None], [0, 1]], [[1, NAN], [0, 1]])
    same(list(Y), Y)


def test_soft_and_missing_targets():
    y = np.array([[0.25, NAN], [1, 0]])
    codec, targets = same(y, y)
    assert targets.dtype == np.float32
    back = codec.inverse_transform(np.array([[True, False]]))
    assert back.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("y", [[[0], [1], [1]], [[0.5], [NAN], [1]], [[True], [False], [True]]])
def test_one_column_of_zeros_and_ones_is_an_indicator(y):
    codec = TargetCodec().fit(y)
    assert codec.kind == "multilabel" and codec.n_labels_ == 1
    assert codec.inverse_transform(np.array([[True], [False]])).shape == (2, 1)


@pytest.mark.parametrize(
    "y, kind",
    [
        ([["a"], ["b"], ["a"]], "binary"),
        ([[0], [2], [2]], "binary"),
        ([[1], [2], [3]], "multiclass"),
    ],
)
def test_one_column_of_classes_is_a_1d_y(y, kind):
    with pytest.warns(DataConversionWarning, match="1d array"):
        codec = TargetCodec().fit(np.array(y))
    assert codec.kind == kind


@pytest.mark.parametrize(
    "classes",
    [[0, 1], [-1, 1], [0, 2], ["no", "yes"], [False, True], [0.0, 1.0], [7, 10**12]],
)
def test_binary_vectors(classes):
    y = np.array(classes)[[1, 0, 0, 1]]
    codec, targets = same(y, [[1], [0], [0], [1]])
    assert codec.kind == "binary" and codec.n_labels_ == 1 and targets.dtype == np.uint8
    assert codec.classes_.tolist() == classes
    assert codec.label_names_.tolist() == classes[1:]
    back = codec.inverse_transform(np.array([[True], [False]]))
    assert back.dtype == y.dtype and back.tolist() == [classes[1], classes[0]]
    same(y.tolist(), [[1], [0], [0], [1]])
    same(pd.Series(y), [[1], [0], [0], [1]])


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string", "category"])
def test_binary_series_of_pandas(dtype):
    y = pd.Series([1, 0, 0, 1]).astype("boolean" if dtype == "boolean" else int).astype(dtype)
    same(y, [[1], [0], [0], [1]])


@pytest.mark.parametrize("classes", [["a", "b", "c"], [1, 5, 9], [-1, 0, 1]])
def test_multiclass_vectors(classes):
    y = np.array(classes)[[2, 0, 1]]
    codec, _ = same(y, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert codec.kind == "multiclass" and codec.n_labels_ == 3
    assert codec.classes_.tolist() == codec.label_names_.tolist() == classes
    back = codec.inverse_transform(np.eye(3, dtype=bool))
    assert back.tolist() == classes and back.dtype == y.dtype


def test_classes_may_include_some_that_y_lacks():
    codec = TargetCodec().fit(["b", "b"], classes=["c", "b", "a"])
    assert codec.kind == "multiclass" and codec.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(codec.transform(["b"]), [[0, 1, 0]])
    with pytest.raises(ValueError, match="classes is for a 1-D y"):
        TargetCodec().fit(Y, classes=[0, 1])


LABEL_SETS = r"label sets.*split_tags\(y\).*MultiLabelBinarizer"
NOT_INDICATOR = "y must hold 0 and 1.*multiclass-multioutput.*MultiOutputClassifier"


def object_rows(rows):
    y = np.empty(len(rows), dtype=object)
    y[:] = rows
    return y


@pytest.mark.parametrize(
    "y, words",
    [
        ([{"a"}, {"a", "b"}], LABEL_SETS),
        ([frozenset({1}), frozenset()], LABEL_SETS),
        ([("a",), ("b", "c")], LABEL_SETS),
        ([("a", "d"), ("b", "c")], LABEL_SETS),
        ([["a", "d"], ["b", "c"]], LABEL_SETS),
        ([[1, 2], [0]], LABEL_SETS),
        ([[], [0]], LABEL_SETS),
        ([[1, 0, 1], [0]], LABEL_SETS),
        (object_rows([["a"], ["a", "b"]]), LABEL_SETS),
        (pd.Series([["a"], ["a", "b"]]), LABEL_SETS),
        ([np.array([1, 2]), np.array([1])], LABEL_SETS),
        ([[1, 2], [0, 3]], "MultiLabelBinarizer"),
        (np.array([[0, 2], [1, 1]]), NOT_INDICATOR),
        (np.array([[0, 2], [0, 2]]), NOT_INDICATOR),
        (np.array([[-1, 1], [1, -1]]), NOT_INDICATOR),
        (np.array([[0.0, 1.5], [1, 0]]), NOT_INDICATOR),
        (np.array([[0.0, np.inf], [1, 0]]), NOT_INDICATOR),
        (np.array([["a", "b"], ["b", "b"]]), NOT_INDICATOR),
        (np.array([["0", "1"], ["1", "1"]]), NOT_INDICATOR),
        (np.array([["0", 1], [1, 1]], dtype=object), NOT_INDICATOR),
        (pd.DataFrame({"a": ["x", "y"], "b": [1, 0]}), NOT_INDICATOR),
        (sp.csr_array([[0, 2], [1, 0]]), NOT_INDICATOR),
        (np.array([[0, 1j], [1, 0]]), NOT_INDICATOR),
        (np.zeros((2, 2, 2)), "1 or 2 dimensions"),
        ([[[0], [1]], [[1], [0]]], "1 or 2 dimensions"),
        (np.zeros((3, 0)), "no columns"),
        (None, "requires y to be passed, but the target y is None"),
        (5, "y must be array-like"),
        (np.array(5), "y must"),
        (iter([0, 1]), "y must be array-like"),
        ([0.0, 1.0, NAN], "NaN"),
        (np.array([0, 1, None], dtype=object), "NaN"),
        (np.array(["a", "b", NAN], dtype=object), "NaN"),
        (pd.Series(["a", "b", None]), "NaN"),
        (pd.Series(["a", "b", pd.NA], dtype="string"), "NaN"),
        (pd.Series([1, 0, pd.NA], dtype="Int64"), "NaN"),
        ([0.0, 1.0, np.inf], "inf"),
        ([0.1, 0.7, 0.3], "continuous"),
        ([1, 1, 1], "only 1 class.*at least 2 classes"),
        (["a", "a"], "only 1 class"),
    ],
    ids=lambda value: None if not isinstance(value, str) else value[:20],
)
def test_invalid_targets(y, words):
    with pytest.raises(ValueError, match=words):
        TargetCodec().fit(y).transform(y)


@pytest.mark.parametrize(
    "form", [np.array, np.float32, pd.DataFrame, sp.csr_matrix, np.ndarray.tolist],
    ids=["int", "float", "DataFrame", "sparse", "lists"],
)  # fmt: skip
def test_minus_one_and_one_are_refused_with_advice(form):
    signs = np.array([[-1, 1], [1, -1], [1, 1]])
    with pytest.raises(ValueError, match=r"got -1 and 1: use \(y > 0\)"):
        TargetCodec().fit(form(signs)).transform(form(signs))
    # A 1-D y has any two classes, and other numbers than these have no such meaning.
    assert TargetCodec().fit(signs[:, 0]).kind == "binary"
    zero = 2 if form is sp.csr_matrix else 0  # which is not stored
    with pytest.raises(ValueError, match="got values such as -1"):
        TargetCodec().fit(signs > 0).transform(form(np.array([[-1, 1], [zero, 1]])))


@pytest.mark.parametrize(
    "y, sep",
    [
        (["a|b", "a", "b"], "|"),
        (np.array(["a | b", "c", "b"], dtype=object), "|"),
        (pd.Series(["a;b", "b;c"] * 2), ";"),
    ],
)
def test_text_that_looks_like_tags_warns(y, sep):
    with pytest.warns(UserWarning, match=rf"split_tags\(y, sep='\{sep}'\)"):
        codec = TargetCodec().fit(y)
    assert codec.classes_.tolist() == sorted(set(y))


@pytest.mark.parametrize("y", [["a|b", "c"], ["yes", "no"], ["a, b", "a"], [1, 2, 3]])
def test_other_classes_do_not_warn(y):
    TargetCodec().fit(y)


@pytest.mark.parametrize(
    "y", [[], np.zeros(0, int), np.zeros(0, "U1"), np.zeros(0, object), pd.Series([], dtype=str),
          pd.Series([], dtype="Int64"), np.zeros((0, 2)), pd.DataFrame({"a": []}),
          sp.csr_array((0, 3))],
    ids=lambda y: f"{type(y).__name__} {getattr(y, 'dtype', '')}",
)  # fmt: skip
def test_no_rows(y):
    with pytest.raises(ValueError, match=r"y has no rows: Found array with 0 sample\(s\)"):
        TargetCodec().fit(y)


@pytest.mark.parametrize(
    "classes, message",
    [
        ([], "classes has only 0 classes: a classifier needs at least 2"),
        (["a"], "classes has only 1 class, 'a': a classifier needs at least 2"),
        ([["a", "b"]], r"classes must be 1-D, got shape \(1, 2\)"),
        (["a", None], "Input classes contains NaN"),
        (np.ma.array(["a", "b"], mask=[0, 1]), "Input classes contains NaN"),
        ({"a"}, "classes must be an array, got set"),
    ],
    ids=str,
)
def test_classes_that_are_none(classes, message):
    with pytest.raises(ValueError, match=message):
        TargetCodec().fit(["a", "b"], classes)


def test_classes_of_an_indicator_may_be_its_columns():
    for classes in (range(3), [0, 1, 2], np.arange(3)):
        assert TargetCodec().fit(Y, classes).kind == "multilabel"
    frame = pd.DataFrame(Y, columns=["a", "b", "c"])
    assert TargetCodec().fit(frame, ["a", "b", "c"]).kind == "multilabel"
    for classes in ([0, 1], [2, 1, 0], ["a", "c", "b"], [0, 1, 2, 3]):
        with pytest.raises(ValueError, match=r"classes is for a 1-D y.* give range\(3\)"):
            TargetCodec().fit(frame, classes)


def test_transform_requires_the_targets_of_fit():
    codec = TargetCodec().fit(Y)
    with pytest.raises(ValueError, match="3 columns.*\\(4, 2\\)"):
        codec.transform(Y[:, :2])
    with pytest.raises(ValueError, match="indicator"):
        codec.transform(Y[:, 0])
    codec = TargetCodec().fit([1, 2, 5])
    with pytest.raises(ValueError, match="classes \\[0, 9\\].*\\[1, 2, 5\\]"):
        codec.transform([1, 9, 0])
    with pytest.raises(ValueError, match="1-D"):
        codec.transform(Y)


def test_targets_on_which_training_can_continue():
    def like(a, b):
        return TargetCodec().fit(a).is_like(TargetCodec().fit(b))

    assert like(Y, sp.csr_array(Y)) and like(Y, Y.astype(float)) and like([0, 1], [1, 0])
    assert not like(Y, Y[:, :2])
    assert not like([0, 1], [0, 2])
    assert not like([0, 1, 2], np.eye(3, dtype=int))
    assert not like([0, 1], [[0], [1]])


@pytest.mark.parametrize(
    "y", [Y, Y.astype(float), Y.astype(object), pd.DataFrame(Y), sp.csr_array(Y)]
)
def test_y_is_not_written_to(y):
    before = y.copy()
    targets = TargetCodec().fit(y).transform(y)
    targets[:] = 0
    if sp.issparse(y):
        np.testing.assert_array_equal(y.toarray(), before.toarray())
    else:
        np.testing.assert_array_equal(y, before)


# ------------------------------------------------------------------ large tables


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_bytes_are_not_copied(dtype):
    y = Y.astype(dtype)
    assert np.shares_memory(TargetCodec().fit(y).transform(y), y)
    y = np.asfortranarray(y)
    y.flags.writeable = False
    assert same(y, Y)[1].flags.c_contiguous


def test_sparse_duplicates_are_summed():
    y = sp.coo_array(([0.25, 0.25, 1, 1, -1], ([0, 0, 1, 2, 2], [0, 0, 1, 0, 0])), shape=(3, 2))
    csr = sp.csr_array(([0.25, 0.25, 1], [0, 0, 1], [0, 2, 3, 3]), shape=(3, 2))
    for given in (y, csr):
        _, targets = same(given, [[0.5, 0], [0, 1], [0, 0]])
        assert targets.dtype == np.float32
    assert csr.nnz == 3


def test_frames_of_several_types():
    frame = pd.DataFrame({"a": [True, False], "b": [0, 1], "c": [1.0, 0.0]})
    assert same(frame, [[1, 0, 1], [0, 1, 0]])[1].dtype == np.uint8
    frame["c"] = [0.5, NAN]
    assert same(frame, [[1, 0, 0.5], [0, 1, NAN]])[1].dtype == np.float32


@pytest.mark.parametrize("last", [0, 1, 0.5, NAN, 2, -1])
def test_blocks_make_no_difference(last, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 7)
    y = np.vstack([Y.astype(float)] * 5)
    y[-1, -1] = last
    if last in (2, -1):
        with pytest.raises(ValueError, match=f"y must hold 0 and 1.*{float(last)}"):
            TargetCodec().fit(y).transform(y)
    else:
        assert same(y, y)[1].dtype == (np.uint8 if last in (0, 1) else np.float32)


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: y.astype(np.int64),
        lambda y: y.astype(np.float32),
        lambda y: y.astype(float),
        lambda y: sp.csr_array(y.astype(np.int64)),
        lambda y: pd.DataFrame(y.astype(np.int64)),
        lambda y: np.asfortranarray(y),
    ],
)
def test_little_more_than_the_result_is_allocated(convert):
    rng = np.random.default_rng(0)
    y = convert(rng.random((100_000, 20)) < 0.1)
    codec = TargetCodec().fit(y)
    tracemalloc.start()
    try:
        targets = codec.transform(y)
        assert tracemalloc.get_traced_memory()[1] < 1.6 * targets.nbytes
    finally:
        tracemalloc.stop()


def test_score_leaves_out_what_is_missing():
    y = np.array([[1, np.nan], [0, 1], [np.nan, np.nan], [1, 1]])
    predicted = np.array([[1, 0], [0, 0], [1, 1], [1, 1]])
    codec = TargetCodec().fit(y)
    assert codec.score(y, predicted) == subset_accuracy(y, predicted) == 2 / 3
    weight = [1, 2, 5, 1]
    assert codec.score(y, predicted, weight) == subset_accuracy(y, predicted, sample_weight=weight)
    assert codec.score(y, sp.csr_matrix(predicted)) == 2 / 3
    with pytest.raises(ValueError, match="soft labels.*multilabel_brier_score"):
        codec.score(np.where(np.isnan(y), 0.3, y), predicted)
    with pytest.raises(ValueError, match="y is NaN in all rows"):
        codec.score(np.full((4, 2), np.nan), predicted)


@pytest.mark.parametrize(
    "y, message",
    [
        (np.array([["no", "yes"], ["yes", "no"]]), r"got 'no' and 'yes': use \(y == 'yes'\)"),
        (np.array([["False"], ["True"]] * 2).reshape(2, 2), r"'true': use \(y == 'True'\)"),
        (pd.DataFrame({"a": ["0", "1"], "b": ["1", "1"]}), r"got '0' and '1': use \(y == '1'\)"),
        (pd.DataFrame({"a": [0, 1], "b": ["no", "yes"]}), r"\(y == 'yes'\) in column 'b'. Sev"),
        (pd.DataFrame({"a": [0, 1], "index": [0, 7]}), "got values such as 7 in column 'index'"),
        (pl.DataFrame({"a": [0, 1], "id": [5, 7]}), "got values such as 5 in column 'id'"),
        (pd.DataFrame({"a": [-1, 1], "b": [1, -1]}), r"got -1 and 1: use \(y > 0\)"),
        (pd.DataFrame({"a": ["x", "y"], "b": ["z", "y"]}), "got values that are no numbers"),
    ],
)
def test_what_is_no_indicator_is_named(y, message):
    with pytest.raises(ValueError, match=message):
        TargetCodec().fit(y).transform(y)
