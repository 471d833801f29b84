"""Metrics as functions of counts."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from sklearn_mlloss._data import counts


@pytest.mark.parametrize(
    ("name", "score", "options"),
    [
        ("fbeta", f1_score, {}),
        ("fbeta", fbeta_score, {"beta": 2.0}),
        ("precision", precision_score, {}),
        ("recall", recall_score, {}),
        ("jaccard", jaccard_score, {}),
        ("accuracy", accuracy_score, {}),
        ("balanced_accuracy", balanced_accuracy_score, {}),
    ],
)
def test_metrics_of_counts_are_those_of_scikit_learn(name, score, options):
    rng = np.random.default_rng(0)
    y, predicted = rng.random((2, 50)) < 0.4
    value = getattr(counts, name)((y & predicted).sum(), predicted.sum(), y.sum(), 50, **options)
    np.testing.assert_allclose(value, score(y, predicted, **options))


def test_zero_divided_by_zero():
    assert counts.fbeta(0, 0, 0) == 0
    assert np.isnan(counts.fbeta(0, 0, 0, undefined=np.nan))
    np.testing.assert_array_equal(counts.ratio([1.0, 0.0], [2.0, 0.0], np.nan), [0.5, np.nan])
    assert counts.ratio(np.array(3), np.array(2)) == 1.5
