"""What containers of numpy, scipy, pandas, polars, pyarrow and torch hold."""

import array
import collections
import decimal
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from sklearn_mlloss._data.containers import is_missing, stack_rows, to_array, to_float, type_of
from sklearn_mlloss._data.tables import as_rows, as_table, check_same_columns, columns_of
from sklearn_mlloss._data.targets import TargetCodec, plain_targets

pytestmark = [
    pytest.mark.filterwarnings("ignore:the matrix subclass is not the recommended way"),
    pytest.mark.filterwarnings("ignore:Warning. converting a masked element to nan"),
]

NAN = np.nan
NAMES = ["a", "b"]
Y = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
HOLES = np.array([[False, True], [False, False], [True, False], [False, False]])
WITH_HOLES = np.where(HOLES, NAN, Y)


def polars():
    return pytest.importorskip("polars")


def arrow(values):
    pa = pytest.importorskip("pyarrow")
    columns = [pa.array(column.tolist(), from_pandas=True) for column in values.T]
    return pa.table(dict(zip(NAMES, columns, strict=True)))


def arrow_types(values, dtype):
    pytest.importorskip("pyarrow")
    return frame(values, "Float64").astype(f"{dtype}[pyarrow]")


def objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = list(rows)
    return array


def frame(values, dtype=None):
    table = pd.DataFrame(values, columns=NAMES)
    return table if dtype is None else table.astype(dtype)


def bools(values):
    return np.where(np.isnan(values), None, values.astype(bool))


SAME = {
    "list": lambda: Y.tolist(),
    "tuples": lambda: tuple(map(tuple, Y.tolist())),
    "list of rows": lambda: list(Y),
    "deque": lambda: collections.deque(Y.tolist()),
    "bool": lambda: Y.astype(bool),
    "float16": lambda: Y.astype(np.float16),
    "big-endian": lambda: Y.astype(">f8"),
    "objects": lambda: Y.astype(object),
    "decimals": lambda: np.vectorize(decimal.Decimal, otypes=[object])(Y),
    "matrix": lambda: np.asmatrix(Y),
    "no mask": lambda: np.ma.array(Y),
    "memoryview": lambda: memoryview(Y),
    "rows in an array": lambda: objects(Y),
    "rows in a Series": lambda: pd.Series(Y.tolist()),
    "tensor": lambda: torch.tensor(Y),
    "tensors": lambda: list(torch.tensor(Y)),
    "frame": lambda: frame(Y),
    "Int64": lambda: frame(Y, "Int64"),
    "boolean": lambda: frame(Y == 1, "boolean"),
    "category": lambda: frame(Y, "category"),
    "object frame": lambda: frame(Y, object),
    "sparse frame": lambda: frame(Y, pd.SparseDtype(int, 0)),
    "mixed frame": lambda: frame(Y).astype({"a": bool, "b": "Float64"}),
    "columns called like methods": lambda: frame(Y).set_axis(["detach", "compute"], axis=1),
    "polars": lambda: polars().DataFrame(Y, schema=NAMES),
    "polars bool": lambda: polars().DataFrame(Y == 1, schema=NAMES),
    "polars decimals": lambda: polars().DataFrame(Y, schema=NAMES).cast(polars().Decimal(9, 2)),
    "polars lists": lambda: polars().Series(Y.tolist()),
    "polars arrays": lambda: polars().Series("y", Y),
    "arrow": lambda: arrow(Y),
    "arrow batch": lambda: arrow(Y).to_batches()[0],
    "arrow lists": lambda: pytest.importorskip("pyarrow").array(Y.tolist()),
    "arrow types": lambda: arrow_types(Y, "int64"),
}
MISSING = {
    "mask": lambda: np.ma.array(Y, mask=HOLES),
    "mask of floats": lambda: np.ma.array(Y.astype(float), mask=HOLES),
    "mask of bools": lambda: np.ma.array(Y == 1, mask=HOLES),
    "mask of objects": lambda: np.ma.array(Y.astype(object), mask=HOLES),
    "list of masked rows": lambda: list(np.ma.array(Y, mask=HOLES)),
    "masked rows in an array": lambda: objects(np.ma.array(Y, mask=HOLES)),
    "None": lambda: np.where(HOLES, None, Y),
    "NA": lambda: np.where(HOLES, pd.NA, Y.astype(object)),
    "list with None": lambda: np.where(HOLES, None, Y).tolist(),
    "Int64": lambda: frame(WITH_HOLES, "Int64"),
    "Float64": lambda: frame(WITH_HOLES, "Float64"),
    "boolean": lambda: frame(bools(WITH_HOLES), "boolean"),
    "frame with NA": lambda: frame(np.where(HOLES, pd.NA, Y.astype(object))),
    "mixed frame": lambda: frame(WITH_HOLES).astype({"a": "boolean"}),
    "category": lambda: frame(WITH_HOLES, "category"),
    "polars": lambda: polars().DataFrame(np.where(HOLES, None, Y).tolist(), NAMES, orient="row"),
    "polars bool": lambda: polars().DataFrame(bools(WITH_HOLES).tolist(), NAMES, orient="row"),
    "arrow": lambda: arrow(np.where(HOLES, None, Y)),
    "arrow bool": lambda: arrow(bools(WITH_HOLES)),
    "arrow types": lambda: arrow_types(WITH_HOLES, "int64"),
    "arrow bool types": lambda: arrow_types(WITH_HOLES, "bool"),
}
# What numpy would read as one object, or not as it is meant.
REFUSED = {
    "None": (lambda: None, "got None"),
    "text": (lambda: "abc", "got 'abc'"),
    "bytes": (lambda: b"abc", "got b'abc'"),
    "dict": (lambda: {"a": Y[:, 0], "b": Y[:, 1]}, r"got dict: give pandas.DataFrame\(X\)"),
    "set": (lambda: {1, 2}, "got set$"),
    "generator": (lambda: (row for row in Y), r"got generator: give list\(X\)"),
    "iterator": (lambda: iter(Y), r"iterator: give list\(X\)"),
    "map": (lambda: map(list, Y), r"got map: give list\(X\)"),
    "values of a dict": (lambda: {0: 1}.values(), r"got dict_values: give list\(X\)"),
    "records": (
        lambda: frame(Y).to_records(index=False), r"got recarray of records: give pandas.DataFrame"
    ),
    "tensor with a gradient": (
        lambda: torch.ones(2, 2, requires_grad=True), r"got Tensor .*give X.detach\(\).cpu\(\)"
    ),
    "bfloat16": (lambda: torch.ones(2, 2).bfloat16(), r"got Tensor .*X.detach\(\).cpu\(\).float"),
    "sparse tensor": (lambda: torch.eye(2).to_sparse(), r"got Tensor .*give X.to_dense\(\).det"),
    "lazy frame": (lambda: polars().LazyFrame({"a": [1]}), r"got LazyFrame: give X.collect\(\)"),
    "sparse 1-D": (lambda: sp.coo_array(np.ones(3)), r"sparse array of shape \(3,\)|coo_array"),
}  # fmt: skip


def cases(forms):
    return pytest.mark.parametrize("make", forms.values(), ids=list(forms))


@cases(SAME)
def test_containers_of_the_same_numbers(make):
    np.testing.assert_array_equal(to_float(make(), "X"), Y)
    if "categor" not in str(getattr(make(), "dtypes", "")):
        table = as_table(make())
        found = table if isinstance(table, np.ndarray) else to_float(table, "X")
        np.testing.assert_array_equal(found.astype(float), Y)
    codec = TargetCodec().fit(make())
    targets = codec.transform(make())
    np.testing.assert_array_equal(targets, Y)
    assert codec.kind == "multilabel" and targets.dtype == np.uint8


@cases(MISSING)
def test_masked_values_and_nulls_are_missing(make):
    np.testing.assert_array_equal(to_float(make(), "X"), WITH_HOLES)
    np.testing.assert_array_equal(to_float(as_table(make()), "X"), WITH_HOLES)
    np.testing.assert_array_equal(TargetCodec().fit(make()).transform(make()), WITH_HOLES)


@pytest.mark.parametrize("read", [to_array, to_float, as_rows, as_table])
@pytest.mark.parametrize("make, message", REFUSED.values(), ids=list(REFUSED))
def test_objects_that_are_no_tables_are_named(read, make, message):
    with pytest.raises(ValueError, match=f"^X must be .*{message}"):
        read(make(), "X")


@pytest.mark.parametrize(
    "X, message",
    [
        (Y[:, 0], r"X: Expected 2D array, got shape \(4,\) instead. Reshape your data"),
        (array.array("d", [1, 2]), r"Expected 2D array, got shape \(2,\)"),
        (range(3), r"Expected 2D array, got shape \(3,\)"),
        (pd.Series([1, 2]), r"Expected 2D array, got shape \(2,\)"),
        (np.zeros((2, 2, 2)), "Found array with dim 3"),
        (np.array(3), r"X must be array-like, got an array of shape \(\)"),
        (3, "X must be array-like, got 3"),
        (Y + 1j, "Complex data not supported: X"),
        ([[1, 2], [3]], "X has rows of different lengths"),
        ([{"a": 1}, {"a": 2}], r"X has a dict for each row: give pandas.DataFrame\(X\)"),
        (frame(Y).set_axis(["a", "a"], axis=1), "X has several columns of the name 'a'"),
        (
            frame(WITH_HOLES, pd.SparseDtype(float, NAN)),
            r"X has sparse columns that are filled with nan instead of 0: give X.sparse.to_dense",
        ),
    ],
    ids=str,
)
def test_arrays_without_rows_and_columns(X, message):
    with pytest.raises(ValueError, match=message) as caught:
        as_table(X)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("values", [["1", "0"], [b"1"], np.array([1j]), [["a"], [1]]], ids=str)
def test_text_and_complex_numbers_are_no_numbers(values):
    with pytest.raises(ValueError, match="weights must be an array of numbers, got .*could not"):
        to_float(values, "weights")


def test_lists_of_other_objects_stay_lists():
    texts, records = ["a b", "c"], [{"a": 1}, {"b": 2}]
    assert as_rows(texts) is texts and as_rows(records) is records
    series = pd.Series(texts)
    assert as_rows(series) is series
    assert as_table([["x", 1], ["y", 2]]).dtype == object


def test_nothing_is_copied_without_need():
    for given in (Y, Y.astype(float), frame(Y)):
        assert as_table(given) is given
    values = Y.astype(float)
    assert to_float(values, "X") is values
    assert np.shares_memory(to_array(np.ma.array(values), "X"), values)


@pytest.mark.parametrize("values", [["a", "b", "c"], [b"a", b"b", b"c"], [1, 2, 3]], ids=str)
def test_masked_classes_are_missing(values):
    masked = np.ma.array(values, mask=[True, False, False])
    with pytest.raises(ValueError, match="Input y contains NaN: a missing class"):
        TargetCodec().fit(masked)
    unmasked = TargetCodec().fit(np.ma.array(["a", "b", "a"]))
    assert unmasked.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize("missing", [None, NAN, pd.NA, pd.NaT, np.datetime64("NaT")], ids=str)
def test_missing_values(missing):
    assert is_missing(missing)


@pytest.mark.parametrize("value", [0, "", "nan", False, (), [NAN], np.ones(2), torch.ones(2)])
def test_values_that_are_there(value):
    assert not is_missing(value)


def test_rows_are_stacked_where_they_are_alike():
    rows = objects([[1, 2], [3, 4]])
    assert stack_rows(rows, "y").tolist() == [[1, 2], [3, 4]]
    words = np.array(["a", "b"], dtype=object)
    assert stack_rows(words, "y") is words


def test_a_type_in_a_few_characters():
    assert type_of({0: 1.0}) == "{0: 1.0}" and type_of({"a": Y}) == "dict"
    assert len(type_of("a" * 1000)) < 250


# ------------------------------------------------------------------ names of columns


def test_columns_of_tables_only():
    assert columns_of(frame(Y)).tolist() == NAMES
    assert columns_of(Y) is None and columns_of(Y.tolist()) is None
    assert columns_of(pd.Series([1])) is None


def test_columns_of_polars_and_arrow():
    assert columns_of(polars().DataFrame({"a": [1]})).tolist() == ["a"]
    assert columns_of(arrow(Y)).tolist() == NAMES


def test_the_same_columns_in_the_same_order():
    for values in (Y, frame(Y), pd.DataFrame(Y)):
        check_same_columns(values, NAMES, "y", "the first fit")
    check_same_columns(frame(Y), None, "y", "the first fit")
    check_same_columns(frame(Y), [0, 1], "y", "the first fit")
    message = r"y must have the columns \['a', 'b'\] of Y in that order, got \['b', 'a'\]"
    with pytest.raises(ValueError, match=message):
        check_same_columns(frame(Y)[["b", "a"]], NAMES, "y", "Y")
    with pytest.raises(ValueError, match=r"columns \[0, 1\] of Y in that order, got \[1, 0\]"):
        check_same_columns(pd.DataFrame(Y)[[1, 0]], [0, 1], "y", "Y")
    many = pd.DataFrame(np.zeros((1, 500)), columns=[f"label {k}" for k in range(500)])
    with pytest.raises(ValueError, match="and 480 more") as caught:
        check_same_columns(many[many.columns[::-1]], many.columns, "y", "Y")
    assert len(str(caught.value)) < 800


# ------------------------------------------------------------------ y for other estimators


@cases(SAME)
def test_targets_that_other_estimators_take(make):
    found = plain_targets(make())
    values = np.asarray(found)
    assert values.dtype.kind in "biuf" and values.dtype != np.float16
    np.testing.assert_array_equal(values, Y)
    names = columns_of(make())
    assert names is None or columns_of(found).tolist() == names.tolist()


@cases(MISSING)
def test_missing_targets_become_nan(make):
    values = np.asarray(plain_targets(make()))
    assert values.dtype.kind == "f"
    np.testing.assert_array_equal(values, WITH_HOLES)


def test_plain_targets_are_unchanged():
    for given in (Y, Y == 1, frame(Y), np.array(["a", "b"]), sp.csr_array(Y)):
        assert plain_targets(given) is given
    table = frame(Y, "Int64").set_index(pd.Index([7, 5, 3, 1]))
    assert plain_targets(table).index.tolist() == [7, 5, 3, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(plain_targets(sp.csr_array(Y[:, :1])), np.ndarray)


def test_zeros_that_a_sparse_matrix_holds_are_no_labels():
    given = sp.csr_array(np.ones((4, 2), dtype=int))
    given.data[:] = Y.ravel()
    assert plain_targets(given).nnz == Y.sum() and given.nnz == 8
