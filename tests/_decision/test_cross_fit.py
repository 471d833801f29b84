"""Folds, a model per fold, and pooled scores of held-out rows."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from sklearn_mlloss._data.rows import Rows
from sklearn_mlloss._data.targets import TargetCodec
from sklearn_mlloss._decision.cross_fit import (
    CrossFit,
    cross_fit,
    hold_out,
    make_folds,
    make_folds_of_kept,
    row_means,
)
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold
from sklearn_mlloss.model_selection.split_groups import MultilabelStratifiedGroupKFold

rng = np.random.default_rng(0)
X = np.arange(60.0).reshape(30, 2)
Y = (rng.random((30, 3)) < 0.4).astype(np.uint8)


def assert_same(folds, others):
    for fold, other in zip(folds, others, strict=True):
        for rows, expected in zip(fold, other, strict=True):
            np.testing.assert_array_equal(rows, expected)


def test_a_number_of_folds_is_stratified_by_label():
    expected = list(MultilabelStratifiedKFold(3, random_state=7).split(Y, Y))
    assert_same(make_folds(3, X, Y, Y, 7), expected)
    assert len(make_folds(None, X, Y, Y, 7)) == 5
    groups = np.arange(30) // 3
    by_group = MultilabelStratifiedGroupKFold(3, random_state=7).split(Y, Y, groups)
    assert_same(make_folds(np.int64(3), X, Y, Y, 7, groups=groups), list(by_group))
    twice = make_folds(3, X, Y, Y, 7, repeats=2)
    assert_same(twice[:3], expected)
    assert_same(twice[3:], make_folds(3, X, Y, Y, 8))


def test_splitters_and_lists():
    folds = list(KFold(3).split(X))
    for cv in (KFold(3), folds, iter(folds)):
        assert_same(make_folds(cv, X, Y, Y, 0), folds)
    groups = np.arange(30) // 3
    expected = list(GroupKFold(5).split(X, Y, groups))
    assert_same(make_folds(GroupKFold(5), X, Y, Y, 0, groups=groups), expected)


@pytest.mark.parametrize("cv", [3, KFold(3)], ids=str)
def test_rows_that_are_left_out(cv):
    kept = np.arange(30) % 4 > 0
    folds = make_folds(cv, X, Y, Y, 0, kept=kept)
    used = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(used), np.flatnonzero(kept))
    assert all(kept[train].all() for train, _ in folds)
    # The same folds in numbers of the rows that are left.
    rows = Rows(X[kept], Y[kept], None)
    place = np.cumsum(kept) - 1
    expected = [(place[train], place[test]) for train, test in folds]
    assert_same(make_folds_of_kept(cv, rows, kept, TargetCodec().fit(Y), 0), expected)


def test_held_out_rows():
    train, test = hold_out(Y, 0.2, 0)
    assert len(test) == 6 and sorted([*train, *test]) == list(range(30))
    with pytest.raises(ValueError, match="n_samples=1: rows must be held out"):
        hold_out(Y[:1], 0.2, 0)


def fit_one(number, train, test, X):
    """A model is the mean of its rows; the score of a row is its difference to it."""
    model = X[train].mean()
    return model, None if test is None else X[test] - model, None if test is None else test + 0.5


def test_scores_of_all_folds_in_the_order_of_the_rows():
    folds = make_folds(3, X, Y, Y, 0)
    fitted = cross_fit(fit_one, [*folds, (np.arange(30), None)], X=X)
    assert len(fitted.models) == 4 and fitted.models[3] == X.mean()
    assert fitted.rows.tolist() == list(range(30))
    for model, (_, test) in zip(fitted.models, folds, strict=False):
        np.testing.assert_array_equal(fitted.scores[test], X[test] - model)
    np.testing.assert_array_equal(fitted.count, np.arange(30) + 0.5)
    two = cross_fit(fit_one, folds, 2, X=X)
    np.testing.assert_array_equal(two.scores, fitted.scores)


def test_rows_that_are_tested_several_times_or_never():
    folds = list(ShuffleSplit(4, test_size=8, random_state=0).split(X))
    fitted = CrossFit.pool(folds, [fit_one(0, *fold, X) for fold in folds])
    times = np.bincount(fitted.rows, minlength=30)
    assert len(fitted.rows) == 32 and (np.diff(fitted.rows) >= 0).all() and times.max() > 1
    scores, count = fitted.means(30)
    np.testing.assert_array_equal(np.isnan(scores).all(axis=1), times == 0)
    assert not times.all()
    row = int(times.argmax())
    np.testing.assert_allclose(scores[row], fitted.scores[fitted.rows == row].mean(axis=0))
    assert count[row] == row + 0.5


def test_means_of_values():
    found = row_means(np.array([0, 2, 2]), np.array([1.0, 2, 4]), 4)
    np.testing.assert_array_equal(found, [1, np.nan, 3, np.nan])
