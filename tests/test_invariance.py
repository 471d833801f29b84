"""The default network predicts as well after transformations of X that lose little.

Its LRAP on held-out rows is at most 0.02 below the lower of its LRAP before the transformation and
that of a logistic regression on the transformed columns.
"""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformations import NAMES, TRANSFORMATIONS, transform

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.metrics import label_ranking_average_precision

TOLERANCE = 0.02


def yeast(n_train=500):
    X, Y = load_yeast(subset="train", return_X_y=True)
    return X[:n_train], Y[:n_train], *load_yeast(subset="test", return_X_y=True)


def linear(n_train=500):
    """Return a table whose labels depend on few of the columns, linearly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_train + 1500, 60))
    Y = (rng.random((len(X), 8)) < expit(2 * X[:, :8] @ rng.normal(size=(8, 8)) - 2)).astype(int)
    return X[:n_train], Y[:n_train], X[n_train:], Y[n_train:]


TABLES = {
    "yeast": yeast,
    "linear": linear,
    "yeast, more rows": lambda: yeast(1000),
    "linear, more rows": lambda: linear(1000),
}
SMALL = ("yeast", "linear")


def lrap(model, X, Y, X_test, Y_test):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return label_ranking_average_precision(Y_test, model.fit(X, Y).predict_proba(X_test))


def of_network(*table):
    return lrap(MultiLabelNetClassifier(random_state=0), *table)


def of_logistic_regression(*table):
    """Return the LRAP with the better of two penalties."""
    return max(
        lrap(
            make_pipeline(
                StandardScaler(with_mean=isinstance(table[0], np.ndarray)),
                OneVsRestClassifier(LogisticRegression(C=C, max_iter=1000)),
            ),
            *table,
        )
        for C in (0.01, 0.3)
    )


@pytest.fixture(
    scope="module",
    params=[
        name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in TABLES
    ],
)
def table(request):
    table = TABLES[request.param]()
    return table, of_network(*table)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_predicts_as_well_after_a_transformation(table, name):
    table, before = table
    transformed = transform(name, *table)
    after = of_network(*transformed)
    if after < before - TOLERANCE:
        logistic = of_logistic_regression(*transformed)
        assert after >= logistic - TOLERANCE, f"{before:.3f} before"


def test_transformations_keep_rows_and_change_columns():
    X, Y, X_test, Y_test = linear()
    for name, function in TRANSFORMATIONS.items():
        new, new_test = function(X, X_test)
        assert new.shape[0] == len(X) and new_test.shape[0] == len(X_test), name
        assert new.shape[1] == new_test.shape[1], name
        assert new.shape != X.shape or not np.allclose(new, X), name
