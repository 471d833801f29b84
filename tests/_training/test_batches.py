"""Views of rows, and tables of them on every device, without copies of X."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._data.rows import Rows, select
from sklearn_mlloss._training import batches as module
from sklearn_mlloss._training.batches import Batches, Table, blocks, to_tensors

CPU, META = torch.device("cpu"), torch.device("meta")
rng = np.random.default_rng(0)
DENSE = rng.integers(-2, 3, size=(50, 4)).astype(np.float32)
Y = (rng.random((50, 3)) < 0.4).astype(np.uint8)
WEIGHT = rng.random(50)
CHOSEN = rng.permutation(50)[:33]

kinds = pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array])


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def batch_of(table, rows):
    X, (targets, weight) = table.batch(torch.as_tensor(rows))
    return X.cpu().numpy(), targets.cpu().numpy(), None if weight is None else weight.cpu().numpy()


def assert_same_batches(table, other, rows=(4, 0, 0, 32, 7)):
    for one, two in zip(batch_of(table, rows), batch_of(other, rows), strict=True):
        np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------ views


@kinds
@pytest.mark.parametrize("mask", [False, True])
def test_some_rows_are_a_view(kind, mask):
    X = kind(DENSE)
    part = np.isin(np.arange(50), CHOSEN) if mask else CHOSEN
    rows = Rows(X, Y, WEIGHT)[part]
    assert rows.X.matrix is X
    assert rows.X.shape == (33, 4) == (len(rows.X), 4) and rows.X.dtype == np.float32
    np.testing.assert_array_equal(dense(rows.X[:]), DENSE[part])
    np.testing.assert_array_equal(dense(rows.X[5:9]), DENSE[part][5:9])
    np.testing.assert_array_equal(rows.Y, Y[part])
    np.testing.assert_array_equal(rows.weight, WEIGHT[part])
    # A view of a view looks at the whole X, too.
    again = rows[np.array([8, 2, 2])]
    assert again.X.matrix is X
    np.testing.assert_array_equal(dense(again.X[:]), DENSE[part][[8, 2, 2]])


def test_all_rows_are_x_itself():
    rows = Rows(DENSE, Y, WEIGHT)
    assert rows.X is DENSE and rows.informative()[0].X is DENSE and rows.scaled().X is DENSE


@kinds
def test_blocks_of_a_view(kind):
    stacked = [block[:real] for block, real in blocks(select(kind(DENSE), CHOSEN), [8], "cpu")]
    np.testing.assert_array_equal(torch.cat(stacked), DENSE[CHOSEN])


# ------------------------------------------------------------------ tables of views


@kinds
def test_table_of_a_view_has_its_rows(kind):
    rows = Rows(kind(DENSE), Y, WEIGHT)[CHOSEN]
    table = to_tensors(rows, CPU)
    assert len(table) == 33 and table.n_features == 4
    assert table.device == table.index_device == CPU
    assert_same_batches(
        table, Table(DENSE[CHOSEN], Y[CHOSEN], WEIGHT[CHOSEN].astype(np.float32))
    )  # fmt: skip
    passed = torch.cat([X for X, _ in Batches(table, 10)])
    np.testing.assert_array_equal(passed, DENSE[CHOSEN])


def test_table_of_a_view_shares_the_memory_of_x():
    table = to_tensors(Rows(DENSE, Y, None)[CHOSEN][np.arange(20)], CPU)
    assert table.X.data_ptr() == DENSE.ctypes.data and table.X.shape == DENSE.shape
    X = sp.csr_array(DENSE)
    table = to_tensors(Rows(X, Y, None)[CHOSEN], CPU)
    assert table.X is X


@kinds
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_another_device_gets_the_rows_of_a_view_only(kind, precision, monkeypatch):
    monkeypatch.setattr(module, "MOVED_ENTRIES", 28)
    view = select(kind(DENSE.astype(precision)), CHOSEN)
    if kind is np.asarray:
        moved = module._dense_tensor(view, CPU)
        np.testing.assert_array_equal(moved, DENSE[CHOSEN])
        assert Table(view, Y[CHOSEN], None, META).X.shape == (33, 4)
    else:
        values, columns, starts = (part.numpy() for part in module._sparse_tensors(view, CPU))
        np.testing.assert_array_equal(
            sp.csr_array((values, columns, starts), shape=(33, 4)).toarray(), DENSE[CHOSEN]
        )
        table = Table(view, Y[CHOSEN], None, META)
        assert len(table.values) == len(values) and len(table.starts) == 34
    assert Table(view, Y[CHOSEN], None, META).index is None


# ------------------------------------------------------------------ devices that are too small


@kinds
@pytest.mark.parametrize("chosen", [None, CHOSEN])
def test_a_table_that_does_not_fit_sends_batches(kind, chosen, monkeypatch):
    monkeypatch.setattr(module, "_fits", lambda nbytes, device: False)
    rows = Rows(kind(DENSE), Y, WEIGHT)
    table = to_tensors(rows if chosen is None else rows[chosen], META)
    assert table.device == META and table.index_device == CPU
    assert table.Y.device == CPU
    for X, (targets, weight) in Batches(table, 16, shuffle=True):
        assert X.device == targets.device == weight.device == META
        assert len(X) == len(targets) == len(weight) > 10
        assert X.dtype == torch.float32 and X.shape[1] == 4 and targets.shape[1] == 3


@pytest.mark.parametrize("free, fits", [(1999, False), (2000, True), (10**9, True)])
def test_a_table_takes_half_of_the_free_memory_at_most(free, fits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    assert module._fits(1000, torch.device("cuda:0")) is fits
    assert module._fits(10**15, CPU) and module._fits(10**15, META)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_size_of_a_table(index):
    weight = WEIGHT.astype(np.float32)
    assert module._nbytes(DENSE, Y, weight) == 50 * (4 * 4 + 3 + 4)
    assert module._nbytes(select(DENSE, CHOSEN), Y[CHOSEN], None) == 33 * (4 * 4 + 3)
    X = sp.csr_array(DENSE)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    entry = 4 + np.dtype(index).itemsize
    assert module._nbytes(X, Y, None) == X.nnz * entry + 51 * 8 + 50 * 3
    n_values = np.count_nonzero(DENSE[CHOSEN])
    assert module._nbytes(select(X, CHOSEN), Y[CHOSEN], None) == n_values * entry + 34 * 8 + 33 * 3


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@kinds
@pytest.mark.parametrize("chosen", [None, CHOSEN])
def test_cuda_tables_have_the_same_rows_whether_they_fit_or_not(kind, chosen, monkeypatch):
    rows = Rows(kind(DENSE), Y, WEIGHT)
    rows = rows if chosen is None else rows[chosen]
    on_cpu, on_cuda = to_tensors(rows, CPU), to_tensors(rows, torch.device("cuda"))
    monkeypatch.setattr(module, "_fits", lambda nbytes, device: False)
    sent = to_tensors(rows, torch.device("cuda"))
    assert on_cuda.index_device.type == "cuda" and sent.index_device == CPU
    assert on_cuda.device == sent.device == torch.device("cuda", torch.cuda.current_device())
    for table in (on_cuda, sent):
        assert table.batch(torch.arange(3))[0].device == table.device
        assert table.batch(torch.arange(3, device="cuda"))[1][0].device == table.device
        assert_same_batches(table, on_cpu)


# ------------------------------------------------------------------ memory of a fit


@pytest.fixture
def tables(monkeypatch):
    """Collect the tables that are made."""
    made = []

    class Recorded(Table):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr("sklearn_mlloss._training.batches.Table", Recorded)
    return made


# Rows of a fit that imports what the measured one needs.
FEW = 500


def fit_and_measure(X, y, **params):
    """Return the most that numpy held at a time during a fit, in bytes."""
    net = MultiLabelNetClassifier(hidden_layer_sizes=(4,), max_epochs=1, batch_size=512,
                                  random_state=0, device="cpu", **params)  # fmt: skip
    net.fit(X[:FEW], y[:FEW])
    tracemalloc.start()
    try:
        net.fit(X, y)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A memory map of 15 MiB that is not to be written to, and labels."""
    path = tmp_path_factory.mktemp("large") / "X"
    X = np.memmap(path, np.float32, "w+", shape=(20_000, 200))
    X[:] = np.random.default_rng(0).standard_normal(X.shape, dtype=np.float32)
    X.flush()
    X = np.memmap(path, np.float32, "r", shape=X.shape)
    return X, (X[:, :1] > 0.5).astype(np.uint8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "params",
    [
        dict(early_stopping=False),
        dict(),
        dict(decoder="global_threshold", linear_part=False),
        dict(decoder="risk_control", linear_part=False),
        dict(cv=2),
    ],
)
def test_fit_copies_neither_a_memory_map_nor_float32(large, tables, params):
    X, y = large
    for given in (X, np.array(X)):
        tables.clear()
        assert fit_and_measure(given, y, **params) < given.nbytes / 4
        whole = [table for table in tables if len(table.X) == len(given)]
        assert whole and all(table.X.data_ptr() == given.ctypes.data for table in whole)
        assert all(len(table.X) in (FEW, len(given)) for table in tables)


@pytest.mark.parametrize("convert", [
    lambda X: X.astype(np.float64),
    lambda X: (X * 100).astype(np.int64),
    lambda X: (X * 100).astype(np.int16),
    np.asfortranarray,
])  # fmt: skip
def test_other_numbers_are_converted_once(large, convert):
    X, y = large
    assert fit_and_measure(convert(X), y, early_stopping=False) < 1.25 * X.nbytes
