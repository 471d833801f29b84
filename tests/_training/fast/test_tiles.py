"""Predictions of few rows: small blocks, with the bits of large ones, on one thread."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.fast import sparse, tiles
from sklearn_mlloss._training.fast.sparse import SparseRows
from sklearn_mlloss.networks import MLP

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(1200, 12))
THIN = sp.random_array((1200, 300), density=0.02, random_state=0, format="csr")
Y = (X @ rng.normal(size=(12, 5)) + rng.normal(size=(1200, 5)) > 0.5).astype(int)
TABLES = {"dense": X, "sparse": THIN}


def fit(X, **params):
    defaults = dict(max_epochs=2, early_stopping=False, device="cpu", random_state=0)
    return MultiLabelNetClassifier(**(defaults | params)).fit(X, Y)


@pytest.fixture(scope="module")
def fitted():
    return {
        name: [fit(table, linear_part=part, **params) for part in (False, True)]
        for name, table in TABLES.items()
        for params in [{"hidden_layer_sizes": (40,)}]
    }


def test_parts_are_filled_up_to_the_next_size():
    sizes = (2, 4, 8)
    assert list(tiles.tiles(0, sizes)) == []
    assert list(tiles.tiles(1, sizes)) == [(slice(0, 1), 2)]
    assert list(tiles.tiles(5, sizes)) == [(slice(0, 5), 8)]
    assert list(tiles.tiles(19, sizes)) == [
        (slice(0, 8), 8), (slice(8, 16), 8), (slice(16, 19), 4)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("n", [1, 2, 16, 17, 100, 129, 1024, 1030])
def test_a_row_does_not_depend_on_its_neighbours(fitted, kind, n):
    table = TABLES[kind]
    for model in fitted[kind]:
        whole = model.predict_proba(table)
        for start in (0, 7, 1200 - n):
            part = model.predict_proba(table[start : start + n])
            np.testing.assert_allclose(part, whole[start : start + n], rtol=0, atol=1e-7)


def sizes_of_calls(model, table, n):
    """Return the numbers of rows that the activation of the hidden layer gets."""
    sizes = []
    handle = model.net_.module_.layers[1].register_forward_hook(
        lambda layer, inputs, outputs: sizes.append(len(outputs))
    )
    model.predict(table[:n])
    handle.remove()
    return sizes


@pytest.mark.parametrize("kind", TABLES)
def test_few_rows_are_computed_in_small_blocks(fitted, kind, monkeypatch):
    monkeypatch.setattr(tiles, "_same_bits", lambda *shape: frozenset(tiles.FEW_ROWS))
    tiles.sizes_for.cache_clear()
    model, table = fitted[kind][1], TABLES[kind]
    for n, sizes in (1, [16]), (20, [32]), (100, [128]), (200, [1024]), (1040, [1024, 16]):
        assert sizes_of_calls(model, table, n) == sizes
    # Where other kernels give other bits, all blocks have one size.
    monkeypatch.setattr(tiles, "_same_bits", lambda *shape: frozenset(tiles.FEW_ROWS[:1]))
    tiles.sizes_for.cache_clear()
    assert sizes_of_calls(model, table, 20) == [1024]
    tiles.sizes_for.cache_clear()


def test_sizes_with_other_bits_are_not_used(monkeypatch):
    def rounded(rows, matrix, bias):
        product = torch.addmm(bias, rows, matrix)
        return product if len(rows) in (16, 1024) else product * (1 + 1e-6)

    tiles._same_bits.cache_clear()
    monkeypatch.setattr(tiles, "_product", rounded)
    assert tiles._same_bits(20, 8, torch.float32, True, 1) == {16}
    # Nor any, where one thread gives other bits than several.
    tiles._same_bits.cache_clear()
    counts = iter([1.0, 1 + 1e-6])
    monkeypatch.setattr(tiles, "_product", lambda rows, *_: rows * next(counts))
    assert tiles._same_bits(5, 8, torch.float64, True, 2) == set()
    tiles._same_bits.cache_clear()


def test_the_shapes_are_those_of_all_products():
    network = MLP(3, 2, hidden_layer_sizes=(4,), dropout=0.1)
    float32 = torch.float32
    assert tiles.weight_shapes(network) == ((4, 3, float32, True), (2, 4, float32, True))
    assert tiles.weight_shapes(network, sparse=True) == ((2, 4, float32, True),)


def test_a_model_with_linear_part_has_its_shape_too(fitted):
    *_, last = tiles.weight_shapes(fitted["dense"][1].net_.module_)
    assert last == (5, fitted["dense"][1].net_.module_.linear.weight.shape[0], torch.float32, False)


def test_few_rows_are_predicted_on_one_thread(fitted, monkeypatch):
    before, set_threads, calls = torch.get_num_threads(), torch.set_num_threads, []
    model = fitted["dense"][0]
    try:
        set_threads(2)
        model.predict(X)  # checks the sizes of blocks
        monkeypatch.setattr(torch, "set_num_threads", lambda n: (calls.append(n), set_threads(n)))
        model.predict(X[:100])
        assert calls == [1, 2] and torch.get_num_threads() == 2
        monkeypatch.setattr("sklearn_mlloss._training.net.SMALL_PREDICTION", 1e3)
        model.predict(X[:100])
        assert calls == [1, 2]
    finally:
        set_threads(before)


def test_predictions_leave_nothing_in_a_model(fitted):
    for model in fitted["dense"] + fitted["sparse"]:
        before = pickle.dumps(model)
        model.predict(TABLES["dense" if model.n_features_in_ == 12 else "sparse"][:3])
        assert pickle.dumps(model) == before


def test_the_product_of_few_sparse_rows_needs_some_columns_only():
    weight, few = torch.randn(7, 300), THIN[:4].astype(np.float32)
    rows = SparseRows.of(few)
    expected = rows.times(weight.t().contiguous())
    np.testing.assert_array_equal(rows.times_columns_of(weight), expected)
    empty = SparseRows.of(0 * few)
    assert not empty.times_columns_of(weight).any() and sparse.is_thin(few)
