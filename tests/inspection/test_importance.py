"""Permutation importance per label."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from joblib import parallel_config
from sklearn import inspection as sk
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss.inspection import permutation_importance

rng = np.random.default_rng(0)
X = np.where(rng.random((80, 3)) < 0.3, 0, rng.normal(size=(80, 3)))
Y = np.column_stack([X[:, 0] > 0, X[:, 1] > 0.2]).astype(int)
NAMED = pd.DataFrame(X, columns=["heat", "wind", "rain"], index=np.arange(80) + 1000)


class Known(ClassifierMixin, BaseEstimator):
    """The probabilities of the labels are the sigmoids of the first columns."""

    n_calls = 0

    def __init__(self):
        self.classes_ = np.tile([0, 1], (2, 1))

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        self.n_calls += 1
        X = X.toarray() if sp.issparse(X) else np.asarray(X, dtype=float)
        return 1 / (1 + np.exp(-3 * X[:, :2]))


def test_importances_are_the_losses_of_the_metric_by_permuting():
    model, names = Known(), ["average_precision", "roc_auc", "log_loss", "brier_score"]
    results = permutation_importance(model, X, Y, metric=names, n_repeats=3, random_state=7)
    # One call serves all labels and metrics.
    assert model.n_calls == 1 + 3 * 3
    of_scikit_learn = [average_precision_score, roc_auc_score, log_loss, brier_score_loss]
    generator = np.random.RandomState(7)
    orders = [generator.permutation(80) for _ in range(3)]
    for name, metric in zip(names, of_scikit_learn, strict=True):
        result = results[name]
        sign = -1 if metric in (log_loss, brier_score_loss) else 1
        assert result.metric == name and result.importances.shape == (3, 2, 3)
        for label in range(2):
            before = metric(Y[:, label], model.predict_proba(X)[:, label])
            assert result.scores[label] == pytest.approx(before)
            for column in range(3):
                for repeat, order in enumerate(orders):
                    table = X.copy()
                    table[:, column] = X[order, column]
                    after = metric(Y[:, label], model.predict_proba(table)[:, label])
                    got = result.importances[column, label, repeat]
                    assert got == pytest.approx(sign * (before - after))
        # The third column has no effect, and each label depends on one column.
        assert (result.importances_mean > 0.1).tolist() == [[1, 0], [0, 1], [0, 0]]
        assert (result.importances[2] == 0).all() and (result.importances_std[2] == 0).all()


def test_one_label_is_as_important_as_for_scikit_learn():
    model = DecodedClassifierCV(OneVsRestClassifier(LogisticRegression()), cv=2, random_state=0)
    model.fit(X, Y)
    ours = permutation_importance(model, X, Y, n_repeats=20, random_state=0)
    theirs = sk.permutation_importance(
        model.label(1), X, Y[:, 1], scoring="average_precision", n_repeats=20, random_state=0
    )
    np.testing.assert_allclose(ours.importances_mean[:, 1], theirs.importances_mean, atol=0.05)


@pytest.mark.parametrize(
    "table",
    [NAMED, pl.DataFrame(X, schema=["heat", "wind", "rain"]), X.tolist(), sp.csr_array(X),
     sp.csc_matrix(X), sp.coo_array(X)],
    ids=["pandas", "polars", "list", "csr", "csc", "coo"],
)  # fmt: skip
def test_containers_do_not_matter_and_are_not_changed(table):
    before = table if isinstance(table, list) else table.copy() if sp.issparse(table) else None
    expected = permutation_importance(Known(), X, Y, n_repeats=2, random_state=0)
    result = permutation_importance(Known(), table, Y, n_repeats=2, random_state=0)
    np.testing.assert_array_equal(result.importances, expected.importances)
    if sp.issparse(table):
        assert (table != before).nnz == 0
    named = not isinstance(table, list) and not sp.issparse(table)
    assert result.feature_names == (["heat", "wind", "rain"] if named else [0, 1, 2])
    np.testing.assert_array_equal(NAMED, X)


def test_parallel_jobs_do_not_matter():
    expected = permutation_importance(Known(), X, Y, random_state=0)
    with parallel_config(backend="threading"):
        result = permutation_importance(Known(), X, Y, random_state=0, n_jobs=2)
    np.testing.assert_array_equal(result.importances, expected.importances)


def test_missing_labels_are_left_out_and_weights_count():
    missing = Y.astype(float)
    missing[:40, 0] = np.nan
    result = permutation_importance(Known(), X, missing, random_state=0)
    weighted = permutation_importance(
        Known(), X, Y, random_state=0, sample_weight=np.repeat([0.0, 1.0], 40)
    )
    np.testing.assert_allclose(result.importances[:, 0], weighted.importances[:, 0])
    assert not np.allclose(result.importances[:, 1], weighted.importances[:, 1])
    empty = permutation_importance(Known(), X, Y * [1, 0], random_state=0)
    assert np.isfinite(empty.importances[:, 0]).all() and np.isnan(empty.importances[:, 1]).all()


def test_names_and_frame():
    labels = pd.DataFrame(Y, columns=["sea", "hill"])
    forest = DecodedClassifierCV(RandomForestClassifier(5, random_state=0), cv=2, random_state=0)
    model = forest.fit(NAMED, labels)
    for y in (labels, Y):
        result = permutation_importance(model, NAMED, y, random_state=0)
        frame = result.to_frame()
        assert frame.index.tolist() == ["heat", "wind", "rain"]
        assert frame.idxmax().to_dict() == {"sea": "heat", "hill": "wind"}
        np.testing.assert_array_equal(frame, result.importances_mean)
    # A list of arrays per label, of a classifier that knows no names.
    plain = RandomForestClassifier(5, random_state=0).fit(X, Y)
    assert permutation_importance(plain, X, labels).label_names == ["sea", "hill"]


def test_categories_and_missing_values():
    table = NAMED.assign(
        site=pd.Categorical(np.where(X[:, 0] > 0, "north", "south")),
        wind=NAMED["wind"].mask(X[:, 1] > 1),
    )
    encode = make_pipeline(OrdinalEncoder(), RandomForestClassifier(5, random_state=0))
    model = encode.fit(table[["site"]], Y)
    result = permutation_importance(model, table[["site"]], Y, random_state=0)
    assert result.importances_mean[0, 0] > 0.2
    net = MultiLabelNetClassifier(
        max_epochs=2, hidden_layer_sizes=(4,), linear_part=False, early_stopping=False,
        decoder="threshold", device="cpu", random_state=0,
    )  # fmt: skip
    net.fit(table, Y)
    result = permutation_importance(net, table, Y, n_repeats=1, random_state=0)
    assert result.importances.shape == (4, 2, 1) and np.isfinite(result.importances).all()


def test_classes_and_decision_functions():
    kinds = np.array(["ant", "bee", "cat"])[X.argmax(axis=1)]
    model = LogisticRegression().fit(X, kinds)
    result = permutation_importance(model, X[kinds != "bee"], kinds[kinds != "bee"], random_state=0)
    assert result.label_names == ["ant", "bee", "cat"]
    assert np.isnan(result.scores).tolist() == [False, True, False]
    two = permutation_importance(LogisticRegression().fit(X, kinds == "ant"), X, kinds == "ant")
    assert two.label_names == [True] and two.importances_mean[0, 0] > 0.1
    ridge = OneVsRestClassifier(RidgeClassifier()).fit(X, Y)
    assert permutation_importance(ridge, X, Y).importances_mean[0, 0] > 0.1
    with pytest.raises(ValueError, match=r"metric='log_loss' needs .* OneVsRest.* use one of 'av"):
        permutation_importance(ridge, X, Y, metric="log_loss")


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"metric": "log_los"}, ValueError, "metric must be .* did you mean 'log_loss'"),
        ({"metric": []}, ValueError, "metric must be a name or a sequence of names"),
        ({"metric": 3}, ValueError, "metric must be a name or a sequence of names"),
        ({"metric": ["roc_auc", "x"]}, ValueError, "metric must be .* got 'x'"),
        ({"n_repeats": 0}, ValueError, "n_repeats must be an integer >= 1"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"random_state": "x"}, ValueError, "seed"),
        ({"X": X[:5]}, ValueError, "inconsistent numbers of samples"),
        ({"X": ["text"] * 80}, ValueError, "2D"),
        ({"y": Y + 1}, ValueError, "y must hold 0 and 1"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
        ({"estimator": OrdinalEncoder()}, TypeError, "predict_proba or decision_function"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_permuted(wrong, error, message):
    model = Known()
    arguments = {"estimator": model, "X": X, "y": Y} | wrong
    with pytest.raises(error, match=message):
        permutation_importance(**arguments)
    assert model.n_calls <= 1


def test_labels_of_another_order_are_refused():
    labels = pd.DataFrame(Y, columns=["sea", "hill"])
    model = DecodedClassifierCV(RandomForestClassifier(2), cv=2, random_state=0).fit(X, labels)
    with pytest.raises(ValueError, match="y must have the columns"):
        permutation_importance(model, X, labels[["hill", "sea"]])


def test_frames_need_pandas(monkeypatch):
    result = permutation_importance(Known(), X, Y, n_repeats=1)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="LabelImportances.to_frame returns a DataFrame"):
        result.to_frame()


def test_metrics_have_the_spellings_of_other_doors():
    plain = permutation_importance(Known(), X, Y, metric="roc_auc", n_repeats=1, random_state=0)
    results = permutation_importance(
        Known(), X, Y, metric=["AUROC", "neg_log_loss"], n_repeats=1, random_state=0
    )
    assert list(results) == ["AUROC", "neg_log_loss"]
    assert results["AUROC"].metric == "roc_auc" and results["neg_log_loss"].metric == "log_loss"
    np.testing.assert_array_equal(results["AUROC"].importances, plain.importances)
    with pytest.raises(ValueError, match="'pr_auc'; did you mean 'average_precision'"):
        permutation_importance(Known(), X, Y, metric="pr_auc")
