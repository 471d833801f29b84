"""Tables, batches, rows, optimiser settings, devices and seeds."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sklearn_mlloss._data.rows import Rows
from sklearn_mlloss._training.batches import Batches, Table, blocks, to_tensors
from sklearn_mlloss._training.device import resolve_device, seeded
from sklearn_mlloss._training.optimizers import OPTIMIZERS, get_schedule, optimizer_settings

CPU = torch.device("cpu")


def sparse_table(kind=sp.csr_matrix, index=np.int32):
    """Return a CSR matrix with a repeated entry, an explicit zero and empty rows."""
    data = np.array([1.0, 2.0, 4.0, 0.0, -1.0, 3.0], dtype=np.float32)
    indices = np.array([2, 0, 2, 1, 3, 3], dtype=index)
    indptr = np.array([0, 0, 3, 3, 4, 6, 6], dtype=index)
    return kind((data, indices, indptr), shape=(6, 4))


def dense_of(X):
    rows = np.zeros(X.shape, dtype=X.dtype)
    for i in range(X.shape[0]):
        for j in range(X.indptr[i], X.indptr[i + 1]):
            rows[i, X.indices[j]] += X.data[j]
    return rows


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [4], [5, 1, 1, 0, 4], [2, 0, 5]])
def test_batches_are_rows_of_the_table(kind, index, order):
    X = sparse_table(index=index) if kind is np.asarray else sparse_table(kind, index)
    dense = dense_of(X)
    Y = np.arange(12, dtype=np.float32).reshape(6, 2)
    weight = np.arange(6, dtype=np.float32)
    table = Table(dense if kind is np.asarray else X, Y, weight)
    batch, (targets, weights) = table.batch(torch.tensor(order))
    np.testing.assert_array_equal(batch.numpy(), dense[order])
    np.testing.assert_array_equal(targets.numpy(), Y[order])
    np.testing.assert_array_equal(weights.numpy(), weight[order])
    assert len(table) == 6 and table.n_features == 4
    assert Table(X, Y).batch(torch.tensor(order))[1][1] is None


def test_dense_tables_share_memory_even_if_read_only():
    X = np.arange(12, dtype=np.float32).reshape(6, 2)
    X.flags.writeable = False
    table = Table(X, np.zeros((6, 1), np.uint8))
    assert table.X.data_ptr() == X.ctypes.data
    assert not X.flags.writeable


def table_of(n):
    return Table(np.arange(n, dtype=np.float32).reshape(n, 1), np.zeros((n, 1), np.uint8))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 10, 33, 64, 65, 100])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 32, 64, 1000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_equal_in_size_and_complete(n, batch_size, shuffle):
    batches = Batches(table_of(n), batch_size, shuffle, torch.Generator().manual_seed(0))
    rows = [X[:, 0].tolist() for X, _ in batches]
    sizes = [len(row) for row in rows]
    assert len(rows) == len(batches)
    assert sorted(sum(rows, [])) == list(range(n))
    assert max(sizes) - min(sizes) <= 1
    if batch_size == 1:
        assert set(sizes) == {1}
    else:
        assert min(sizes) > 1 or n == 1
        # Two of three rows would leave one alone; nothing else exceeds the limit.
        assert max(sizes) <= max(batch_size, 3)


def test_order_of_the_rows_is_drawn_from_the_generator():
    def passes(seed):
        batches = Batches(table_of(20), 6, True, torch.Generator().manual_seed(seed))
        return [[X[:, 0].tolist() for X, _ in batches] for _ in range(2)]

    before = torch.get_rng_state()
    assert passes(0) == passes(0)
    assert passes(0) != passes(1)
    assert passes(0)[0] != passes(0)[1]
    assert (torch.get_rng_state() == before).all()
    plain = Batches(table_of(20), 6)
    assert sum([X[:, 0].tolist() for X, _ in plain], []) == list(range(20))


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_blocks_have_one_shape(kind):
    X = np.arange(1, 15, dtype=np.float32).reshape(7, 2)
    made = list(blocks(kind(X), [3], "cpu"))
    assert [block.shape for block, _ in made] == [(3, 2)] * 3
    assert [real for _, real in made] == [3, 3, 1]
    stacked = torch.cat([block[:real] for block, real in made])
    np.testing.assert_array_equal(stacked.numpy(), X)
    assert (made[-1][0][1:] == 0).all()


# ------------------------------------------------------------------ rows


def rows(Y, weight=None):
    Y = np.asarray(Y)
    X = np.arange(len(Y), dtype=np.float32).reshape(-1, 1)
    return Rows(X, Y, None if weight is None else np.asarray(weight, dtype=float))


NAN = np.nan


@pytest.mark.parametrize(
    "Y, weight, kept",
    [
        (np.eye(3, dtype=np.uint8), None, [0, 1, 2]),
        (np.eye(3, dtype=np.uint8), [1, 0, 2], [0, 2]),
        (np.array([[NAN, NAN], [NAN, 1], [0, 1]]), None, [1, 2]),
        (np.array([[NAN, NAN], [NAN, 1], [0, 1]]), [1, 1, 0], [1]),
        # Row 1: what was observed has weight 0, and what has weight was not observed.
        (np.array([[0, 1], [NAN, 1], [0, 1]]), [[0, 1], [1, 0], [0, 0]], [0]),
    ],
)
def test_informative_rows(Y, weight, kept):
    left, _ = rows(Y, weight).informative()
    assert left.X[:][:, 0].tolist() == kept
    assert len(left) == len(left.Y) == len(kept)
    if weight is not None:
        given = np.asarray(weight)[kept]
        ratio = left.weight[given > 0] / given[given > 0]
        np.testing.assert_allclose(ratio, ratio[0])


@pytest.mark.parametrize("Y, weight", [([[NAN], [NAN]], None), ([[0], [1]], [0, 0])])
def test_no_row_left_is_an_error(Y, weight):
    with pytest.raises(ValueError, match="no row is left.*NaN.*sample_weight"):
        rows(Y, weight).informative()


def test_weights_of_a_table_have_mean_one():
    table = to_tensors(rows(np.eye(4, dtype=np.uint8), [1, 2, 3, 4]).scaled(), CPU)
    np.testing.assert_allclose(table.sample_weight, [0.4, 0.8, 1.2, 1.6], rtol=1e-6)
    assert table.sample_weight.dtype == torch.float32
    Y = np.array([[NAN, 1], [0, 1]])
    table = to_tensors(rows(Y, [[7, 2], [4, 6]]).scaled(), CPU)
    np.testing.assert_allclose(table.sample_weight[~np.isnan(Y)], [0.5, 1, 1.5], rtol=1e-6)


# ------------------------------------------------------------------ optimisers

DEFAULTS = dict(
    adadelta=1.0, adagrad=0.01, adam=0.001, adamw=0.001, nadam=0.002, rmsprop=0.01, sgd=0.001
)


def test_all_optimisers_are_tested_here():
    assert DEFAULTS.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_keep_their_own_learning_rate(name):
    cls, settings = optimizer_settings(name, None, 0.0, None, CPU)
    assert cls is OPTIMIZERS[name] and settings["lr"] == DEFAULTS[name]
    by_class = optimizer_settings(cls, None, 0.0, None, CPU)
    assert by_class == (cls, settings)
    _, settings = optimizer_settings(name, 0.5, 0.25, None, CPU)
    assert settings["lr"] == 0.5 and settings["weight_decay"] == 0.25
    cls([torch.nn.Parameter(torch.zeros(2))], **settings)


def test_optimiser_params_are_passed_on():
    _, settings = optimizer_settings("sgd", None, 0, {"momentum": 0.9}, CPU)
    assert settings["momentum"] == 0.9 and settings["fused"]
    _, settings = optimizer_settings("adam", None, 0, {"foreach": True}, CPU)
    assert settings["foreach"] and "fused" not in settings


def test_given_params_are_not_written_to():
    params = {"momentum": 0.9}
    optimizer_settings("sgd", None, 0, params, CPU)
    assert params == {"momentum": 0.9}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("adm", None, 0, None), "optimizer must be one of adadelta.*'adm'"),
        ((5, None, 0, None), "optimizer must be a name or a torch optimizer class"),
        (("sgd", None, 0, {"lr": 1}), "'lr' as learning_rate="),
        (("sgd", None, 0, {"weight_decay": 1}), "'weight_decay' as weight_decay="),
        (("sgd", None, 0, {"momentun": 1}), "optimizer_params has 'momentun'.*SGD.*momentum"),
        ((torch.optim.LBFGS, None, 0.01, None), "weight_decay must be 0: LBFGS"),
        ((lambda params, lr: None, None, 0, None), "learning_rate must be given"),
    ],
)
def test_wrong_optimisers_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        optimizer_settings(*arguments, CPU)


def test_schedules():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=1.0)
    assert get_schedule(None, 10, 6) is None
    assert get_schedule(len, 10, 6) is len
    assert get_schedule("cosine", 10, 6)(optimizer).T_max == 10
    plateau = get_schedule("plateau", 10, 6)(optimizer)
    assert plateau.patience == 2 and plateau.factor == 0.3
    with pytest.raises(ValueError, match="lr_schedule must be None, 'cosine', 'plateau'.*'cos'"):
        get_schedule("cos", 10, 6)


# ------------------------------------------------------------------ device and seeds


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_devices(no_cuda):
    assert resolve_device("auto") == resolve_device("cpu") == resolve_device(CPU) == CPU
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ValueError, match=f"device='{name}'.*no CUDA device"):
            resolve_device(name)
    with pytest.warns(UserWarning, match="device='cuda'.*predicting on the CPU"):
        assert resolve_device("cuda", fall_back=True) == CPU


@pytest.mark.parametrize("device", ["nonsense", "gpu", None, [1], "cpu:x"])
def test_nonsense_is_no_device(device):
    with pytest.raises(ValueError, match="device must be 'auto'"):
        resolve_device(device)


def test_device_that_cannot_hold_values():
    with pytest.raises(ValueError, match="device='meta': torch cannot use it"):
        resolve_device("meta")


def test_cuda_by_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="device='cuda:2'.*sees 2 CUDA device"):
        resolve_device("cuda:2")


def test_seeded_borrows_the_generator():
    before = torch.get_rng_state()
    with seeded(3, CPU):
        first = torch.rand(4)
    assert (torch.get_rng_state() == before).all()
    with pytest.raises(KeyError), seeded(3, CPU):
        assert (torch.rand(4) == first).all()
        raise KeyError
    assert (torch.get_rng_state() == before).all()
    with seeded(4, CPU):
        assert (torch.rand(4) != first).any()
