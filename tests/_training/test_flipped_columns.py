"""Columns of 0 and 1 that are mostly 1: the rarer value is coded as 1."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics import label_ranking_average_precision_score

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.batches import Table
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.networks import IdentityEncoding, PiecewiseLinearEncoding
from sklearn_mlloss.networks.layers import Flipped

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
N = 151  # odd: no column of 0 and 1 has the mean 1/2
SHARES = np.r_[np.full(40, 0.05), np.full(8, 0.96), 1.0, 0.0]
X = (rng.random((N, len(SHARES))) < SHARES).astype(float)
X[:, -2:] = 1, 0
SIGNAL = X[:, :10].sum(axis=1) - X[:, 40:44].sum(axis=1)
Y = (SIGNAL[:, None] + rng.normal(size=(N, 3)) / 2 > [-3.5, -3, -2.5]).astype(int)
REASON = "all values are 0 or 1, 8 of 50 columns are coded as 1 - x, 2 of 50 are constant"


def make(**params):
    dropout = 0 if params.get("module") is None else "auto"
    defaults = dict(max_epochs=4, batch_size=32, random_state=0, dropout=dropout,
                    early_stopping=False)  # fmt: skip
    return MultiLabelNetClassifier(**defaults | params)


def coded(X):
    """Return X with the rarer value coded as 1."""
    return np.where(X.mean(axis=0) > 0.5, 1 - X, X)


# ------------------------------------------------------------------ the encodings


def test_the_rarer_value_is_coded_as_1():
    encoding = IdentityEncoding(binary=True).fit(X)
    assert encoding.flipped_.tolist() == (X.mean(axis=0) > 0.5).tolist()
    encoded = encoding.module(torch.float64)(torch.tensor(X)).numpy()
    np.testing.assert_array_equal(encoded, coded(X))
    assert encoded.mean(axis=0).max() < 0.5
    plain = IdentityEncoding().fit(X).module(torch.float64)
    np.testing.assert_array_equal(plain(torch.tensor(X)), X)


def test_only_columns_of_0_and_1_are_flipped():
    other = np.column_stack([X[:, 41], 2 * X[:, 41], X[:, 41] - 1, X[:, 41].clip(0.1)])
    for kind in (np.asarray, sp.csr_array):
        encoding = IdentityEncoding(binary=True).fit(kind(other))
        assert encoding.flipped_.tolist() == [True, False, False, False]
        assert np.array_equal(encoding.module(torch.float64)(torch.tensor(other))[:, 1:],
                              other[:, 1:])  # fmt: skip
    with pytest.raises(TypeError, match="^binary must be True or False, got 1"):
        IdentityEncoding(binary=1).fit(X)


def test_as_many_ones_as_zeros_stay_as_they_are_also_with_weights():
    half = np.array([[0.0], [1.0], [1.0]])
    for weight in ([2, 1, 1], [0.2, 0.1, 0.1], [1 / 3, 1 / 6, 1 / 6]):
        for encoding in (IdentityEncoding(binary=True), PiecewiseLinearEncoding()):
            assert not encoding.fit(half, sample_weight=weight).flipped_.any()
            assert encoding.fit(half, sample_weight=[1, 1, 1]).flipped_.all()


def test_missing_values_of_a_flipped_column_are_flipped_means():
    holes = np.array([[1.0], [1.0], [1.0], [0.0], [np.nan]])
    encoding = IdentityEncoding(clip=True, binary=True, missing_indicator=False).fit(holes)
    rows = torch.tensor([[1.0], [0.0], [torch.nan], [10.0], [-10.0], [0.5]])
    expected = np.array([0, 1, 0.25, -1, 2, 0.5]) - 0.25
    assert encoding.module()(rows).flatten().tolist() == expected.tolist()


def test_means_are_subtracted_unless_most_values_are_0():
    balanced = (rng.random((101, 6)) < [0.3, 0.5, 0.5, 0.7, 1.1, -0.1]).astype(float)
    encoding = IdentityEncoding(binary=True).fit(balanced)
    encoded = encoding.module(torch.float64)(torch.tensor(balanced)).numpy()
    flipped = coded(balanced)
    np.testing.assert_allclose(encoded, flipped - flipped.mean(axis=0), atol=1e-6)
    inverted = IdentityEncoding(binary=True).fit(1 - balanced)
    np.testing.assert_array_equal(inverted.center_, encoding.center_)
    assert IdentityEncoding(binary=True).fit(X).center_ is None
    assert IdentityEncoding().fit(balanced).center_ is None
    # Constant columns do not matter.
    wide = np.hstack([balanced, np.ones((101, 90)), np.zeros((101, 90))])
    center = IdentityEncoding(binary=True).fit(wide).center_
    np.testing.assert_array_equal(center, np.r_[encoding.center_, np.zeros(180)])
    numbers = np.hstack([balanced, 7 * balanced])
    assert IdentityEncoding(binary=True).fit(numbers).center_ is None


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_balanced_columns_are_centered_whatever_the_container(kind):
    balanced = np.where(rng.random(X.shape) < 0.4, 1 - X, X)
    centered = coded(balanced)
    centered = centered - centered.mean(axis=0)
    expected = make(encoding=None).fit(centered, Y).predict_proba(centered)
    net = make().fit(kind(balanced), Y)
    np.testing.assert_allclose(net.predict_proba(kind(balanced)), expected, rtol=1e-3)
    for other in (np.asarray, sp.csr_array):
        np.testing.assert_array_equal(
            net.predict_proba(other(balanced)), net.predict_proba(kind(balanced))
        )
    outputs = net.net_.module_(torch.tensor(balanced, dtype=torch.float32)).detach()
    np.testing.assert_allclose(net.loss_.link(outputs), net.predict_proba(balanced), rtol=1e-5)


@pytest.mark.parametrize("values", [(0, 1), (-1, 1), (3, 7.5)])
def test_two_values_give_one_piecewise_linear_output_of_1_for_the_rarer(values):
    column = np.where(X[:, [41, 2]] > 0, *values[::-1])
    encoding = PiecewiseLinearEncoding(center=False).fit(column)
    assert encoding.flipped_.tolist() == [True, False]
    module = encoding.module(torch.float64)
    np.testing.assert_array_equal(module(torch.tensor(column)), X[:, [41, 2]] != [1, 0])
    width = values[1] - values[0]
    outside = torch.tensor([[values[1] + 9 * width] * 2, [values[0] - 9 * width] * 2])
    assert module(outside.double()).tolist() == [[-1, 2], [2, -1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_sparse_rows_are_flipped_as_dense_ones(kind, dtype):
    table = rng.choice([0, 0, 0, 1, 1, 0.5, 3], size=(40, 12)).astype(dtype)
    flipped, constant = np.arange(12) % 3 == 1, np.arange(12) % 6 == 4
    layer = Flipped(flipped, constant, torch.tensor(table).dtype)
    matrix = kind(table)
    # As scipy allows: explicit zeros, unsorted columns, and two entries of one place.
    entry, zero = (kind(([v], [0], np.r_[0, np.ones(40, int)]), shape=(40, 12)) for v in (1, 0))
    parts = [sp.coo_array(part) for part in (matrix, entry, zero)]
    row, column = (np.concatenate([p.coords[i] for p in parts])[::-1] for i in (0, 1))
    order = np.argsort(row, kind="stable")
    data = np.concatenate([p.data for p in parts])[::-1][order].astype(dtype)
    starts = np.r_[0, np.bincount(row, minlength=40).cumsum()].astype(np.int32)
    messy = kind((data, column[order].astype(np.int32), starts), shape=(40, 12))
    for one in (matrix, messy, matrix[:0]):
        result = layer.sparse(one)
        assert type(result) is kind and result.dtype == dtype and (result.data != 0).all()
        expected = layer(torch.tensor(one.toarray())).numpy()
        np.testing.assert_array_equal(result.toarray(), expected)
    assert (layer(torch.tensor(table))[:, constant] == 0).all()
    before = messy.toarray()
    layer.sparse(messy)
    np.testing.assert_array_equal(messy.toarray(), before)


# ------------------------------------------------------------------ networks


def containers(table):
    names = [f"c{j}" for j in range(table.shape[1])]
    return {
        "dense": table,
        "frame": pd.DataFrame(table, columns=names),
        "sparse": sp.csr_array(table),
        "matrix": sp.csr_matrix(table.astype(np.float32)),
        "bool": table.astype(bool),
    }


@pytest.mark.parametrize("module", [None, torch.nn.Linear])
@pytest.mark.parametrize("kind", containers(X))
def test_the_container_does_not_matter(kind, module):
    expected = make(encoding=None, module=module).fit(coded(X), Y).predict_proba(coded(X))
    rows = containers(X)[kind]
    net = make(module=module).fit(rows, Y)
    assert net.encoding_reason_ == REASON and isinstance(net.encoding_, IdentityEncoding)
    np.testing.assert_allclose(net.predict_proba(rows), expected, rtol=2e-5)
    for other, table in containers(X).items():
        if (other == "frame") == (kind == "frame"):
            np.testing.assert_allclose(net.predict_proba(table), expected, rtol=2e-5)
    # The network takes rows of X as they are.
    outputs = net.net_.module_(torch.tensor(X, dtype=torch.float32)).detach()
    np.testing.assert_allclose(net.loss_.link(outputs), expected, rtol=2e-5)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_thin_rows_stay_sparse(early_stopping, monkeypatch):
    thin = sp.csr_array(X)
    assert thin.nnz < 0.25 * X.size

    def refuse(*args):
        raise AssertionError("rows become dense")

    expected = make(early_stopping=early_stopping).fit(X, Y).predict_proba(X)
    monkeypatch.setattr(Table, "batch", refuse)
    monkeypatch.setattr(type(thin), "toarray", refuse)
    net = make(early_stopping=early_stopping).fit(thin, Y)
    np.testing.assert_allclose(net.predict_proba(thin), expected, rtol=2e-5)
    mixed = make(early_stopping=early_stopping, dropout=0.25, mixup=0.2).fit(thin, Y)
    assert np.isfinite(mixed.predict_proba(thin)).all()


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array, pd.DataFrame])
@pytest.mark.parametrize("columns", [slice(0, 1), slice(40, 50), slice(0, 50), slice(0, 50, 3)])
def test_predictions_do_not_depend_on_which_value_is_1(kind, columns):
    inverted = X.copy()
    inverted[:, columns] = 1 - X[:, columns]
    for linear_part in (True, False):
        params = dict(early_stopping=True, linear_part=linear_part)
        one, two = (make(**params).fit(kind(t), Y) for t in (X, inverted))
        expected = one.predict_proba(kind(X))
        np.testing.assert_allclose(two.predict_proba(kind(inverted)), expected, rtol=2e-5)
        if kind is np.asarray and not linear_part:
            np.testing.assert_array_equal(two.predict_proba(inverted), expected)


def test_binary_columns_among_numbers_do_not_depend_on_it_either():
    numbers = rng.normal(size=(N, 2))
    tables = [np.hstack([numbers, t]) for t in (X, 1 - X, 5 - 2 * X)]
    results = [make(early_stopping=True, linear_part=False).fit(t, Y) for t in tables]
    expected = results[0].predict_proba(np.hstack([numbers, X]))
    assert results[0].encoding_reason_ == (
        "52 dense columns give 64 outputs, 8 of 52 columns are coded as 1 - x, 2 of 52 are constant"
    )
    for net, t in zip(results[1:], (1 - X, 5 - 2 * X), strict=True):
        proba = net.predict_proba(np.hstack([numbers, t]))
        np.testing.assert_array_equal(proba, expected)


def test_holes_in_binary_columns():
    holes, inverted = X.copy(), 1 - X
    where = rng.random(X.shape) < 0.1
    holes[where] = inverted[where] = np.nan
    one, two = (make().fit(t, Y) for t in (holes, inverted))
    assert one.encoding_reason_.startswith("all values are 0, 1 or missing, ")
    np.testing.assert_array_equal(one.predict_proba(holes), two.predict_proba(inverted))
    later = make().fit(X, Y)
    assert np.isfinite(later.predict_proba(holes)).all()


def test_nothing_changes_where_no_value_is_mostly_1():
    few = X[:, :40]
    for kind in (np.asarray, sp.csr_array):
        net = make().fit(kind(few), Y)
        assert net.encoding_reason_ == "all values are 0 or 1"
        expected = make(encoding=None).fit(kind(few), Y).predict_proba(kind(few))
        np.testing.assert_array_equal(net.predict_proba(kind(few)), expected)
    assert net.encoding_ is None and net.net_.module_.encoding is None


def test_counts_and_binary_columns_in_a_sparse_table():
    counts = rng.poisson(0.05, size=(N, 20))
    table = np.hstack([X, counts])
    assert table.max() > 1
    tables = table, np.hstack([coded(X), counts])
    nets = [make().fit(sp.csr_array(t), Y) for t in tables]
    assert "8 of 70 columns are coded as 1 - x" in nets[0].encoding_reason_
    assert nets[1].encoding_ is None
    proba = [net.predict_proba(sp.csr_array(t)) for net, t in zip(nets, tables, strict=True)]
    np.testing.assert_allclose(*proba, rtol=2e-5)


def test_values_that_training_rows_did_not_have():
    net, sparse = make().fit(X, Y), make().fit(sp.csr_array(X), Y)
    rows = X[:20].copy()
    at_limit = rows.copy()
    rows[:10, ::2], at_limit[:10, ::2] = 10, 2
    np.testing.assert_array_equal(net.predict_proba(rows), net.predict_proba(at_limit))
    rows[:, :] = 0.5
    assert np.isfinite(net.predict_proba(rows)).all()
    # A constant column has no effect.
    for model, kind in ((net, np.asarray), (sparse, sp.csr_array)):
        other = X.copy()
        other[:, -2] = rng.random(N)
        np.testing.assert_allclose(model.predict_proba(kind(other)),
                                   model.predict_proba(kind(X)), rtol=1e-6)  # fmt: skip


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_partial_fit_keeps_the_coding_of_its_first_rows(kind):
    net = make().partial_fit(kind(X[:100]), Y[:100]).partial_fit(kind(1 - X), Y)
    assert net.encoding_.flipped_.tolist() == (X[:100].mean(axis=0) > 0.5).tolist()
    assert net.partial_fit(kind(X), Y).predict_proba(kind(X)).std() > 0
    few = make().partial_fit(kind(X[:20]), Y[:20])
    assert "first 20 rows" in few.encoding_reason_
    assert few.encoding_ is None or not few.encoding_.flipped_.any()


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("ensemble", [False, True])
def test_each_fold_has_its_coding(kind, ensemble):
    net = make(cv=3, early_stopping=True, ensemble=ensemble).fit(kind(X), Y)
    two = make(cv=3, early_stopping=True, ensemble=ensemble).fit(kind(1 - X), Y)
    assert all(one.encoder_.fitted.flipped_.sum() == 9 for one in net.nets_)
    np.testing.assert_allclose(net.predict_proba(kind(X)), two.predict_proba(kind(1 - X)),
                               rtol=2e-5)  # fmt: skip


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_a_thousand_ones_per_row_do_no_harm(kind):
    numbers, labels = load_yeast(subset="train", return_X_y=True)
    binary = (numbers > np.median(numbers, axis=0)) * 1.0
    wide = np.hstack([binary, rng.random((len(binary), 300)) < 0.99, np.ones((len(binary), 1200))])
    train = np.arange(len(binary)) % 3 > 0
    params = dict(max_epochs=60, early_stopping=True, dropout="auto", learning_rate=0.001,
                  linear_part=False)  # fmt: skip
    scores = []
    for table, encoding in (binary, "auto"), (wide, "auto"), (wide, None):
        net = make(**params, batch_size="auto", encoding=encoding)
        net.fit(kind(table[train]), labels[train])
        proba = net.predict_proba(kind(table[~train]))
        scores.append(label_ranking_average_precision_score(labels[~train], proba))
    plain, flipped, dead = scores
    assert flipped > plain - 0.02 and dead < plain - 0.03
