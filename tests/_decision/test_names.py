"""Predictions by the names of the labels: `predict_labels` and `predict_frame`."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3))
LABELS = ["sea", "hill", "sun"]
Y = pd.DataFrame((X @ rng.normal(size=(3, 3)) > 0.3).astype(int), columns=LABELS)
NAMED = pd.DataFrame(X, columns=list("abc"), index=[f"row {i}" for i in range(90)])
NET = MultiLabelNetClassifier(
    max_epochs=4, hidden_layer_sizes=(4,), linear_part=False, device="cpu", random_state=0
)
LINEAR = OneVsRestClassifier(LogisticRegression())
ESTIMATORS = {
    "net": NET,
    "decoded": DecodedClassifierCV(LINEAR, "top_k", cv=2, random_state=0),
    "voting": SoftVotingClassifier([("a", LINEAR), ("b", LINEAR)]),
    "linear": MultiLabelLogisticRegressionCV(cv=2, random_state=0),
    "search": LossDecoderSearchCV(NET, ["bce"], ["threshold"], cv=2, random_state=0),
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fitted():
    return {name: est.fit(NAMED, Y) for name, est in ESTIMATORS.items()}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_all_estimators_predict_by_name(fitted, name):
    model = fitted[name]
    some = NAMED[5:40]
    labels, frame = model.predict_labels(some), model.predict_frame(some)
    binarizer = MultiLabelBinarizer(classes=LABELS).fit([])
    assert labels == binarizer.inverse_transform(model.predict(some))
    assert 0 < sum(map(len, labels)) < 3 * 35
    assert frame.index.equals(some.index) and frame.shape == (35, 6)
    for part, values in ("probability", model.predict_proba), ("decision", model.predict):
        assert frame[part].columns.tolist() == LABELS
        np.testing.assert_array_equal(frame[part], values(some))
    assert set(frame["decision"].dtypes) == {np.dtype(bool)}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_frames_of_polars_have_structs(fitted, name):
    frame = fitted[name].predict_frame(pl.DataFrame(X[:9], schema=list("abc")))
    pandas = fitted[name].predict_frame(NAMED[:9])
    assert isinstance(frame, pl.DataFrame) and frame.columns == ["probability", "decision"]
    for part in frame.columns:
        unnested = frame.select(part).unnest(part)
        assert unnested.columns == LABELS
        np.testing.assert_array_equal(unnested.to_numpy(), pandas[part])
    assert unnested.dtypes == [pl.Boolean] * 3


def test_rows_without_an_index_are_numbered(fitted):
    frame = SoftVotingClassifier([("a", LINEAR)]).fit(X, Y).predict_frame(X[:4])
    assert frame.index.tolist() == [0, 1, 2, 3]
    twice = NAMED.iloc[[0, 0, 1]]
    assert fitted["voting"].predict_frame(twice).index.equals(twice.index)


def test_labels_without_names_are_numbers():
    model = SoftVotingClassifier([("a", LINEAR)]).fit(NAMED, sp.csr_array(Y.to_numpy()))
    expected = [tuple(row.nonzero()[0].tolist()) for row in model.predict(NAMED).toarray()]
    assert model.predict_labels(NAMED) == expected
    assert model.predict_frame(NAMED).columns.tolist()[:2] == [
        ("probability", 0),
        ("probability", 1),
    ]
    frame = model.predict_frame(pl.DataFrame(X, schema=list("abc")))
    assert frame.unnest("decision").columns == ["probability", "0", "1", "2"]


def test_names_may_be_set_after_the_fit():
    model = SoftVotingClassifier([("a", LINEAR)]).fit(X, Y.to_numpy())
    expected = SoftVotingClassifier([("a", LINEAR)]).fit(X, Y)
    for names in (list(LABELS), np.array(LABELS), Y.columns):
        model.label_names_ = names
        assert model.predict_labels(X) == expected.predict_labels(X)
        pd.testing.assert_frame_equal(model.predict_frame(X), expected.predict_frame(X))
    for names in (["a", "b"], "abc", None):
        model.label_names_ = names
        with pytest.raises(ValueError, match="label_names_ must hold 3 names, one per label, got"):
            model.predict_labels(X)


def test_names_of_a_binarizer():
    tags = [tuple(Y.columns[row == 1]) for row in Y.to_numpy()]
    for sparse, frame in (
        (False, lambda Y, names: pd.DataFrame(Y, columns=names)),
        (False, lambda Y, names: pl.DataFrame(Y, schema=list(names))),
        (True, lambda Y, names: pd.DataFrame.sparse.from_spmatrix(Y, columns=names)),
    ):
        binarizer = MultiLabelBinarizer(sparse_output=sparse)
        y = frame(binarizer.fit_transform(tags), binarizer.classes_)
        model = SoftVotingClassifier([("a", LINEAR)]).fit(X, y)
        assert model.label_names_.tolist() == ["hill", "sea", "sun"]
        assert model.predict_labels(X) == binarizer.inverse_transform(model.predict(X))


@pytest.mark.parametrize("classes", [["no", "yes"], ["x", "y", "z"]])
def test_one_label_per_class_of_a_column(classes):
    y = np.array(classes)[rng.integers(len(classes), size=90)]
    model = SoftVotingClassifier([("a", LogisticRegression())]).fit(X, y)
    assert model.predict_labels(X) == [(name,) for name in model.predict(X)]
    frame = model.predict_frame(X)
    np.testing.assert_array_equal(frame["probability"], model.predict_proba(X))
    assert frame["probability"].columns.tolist() == classes
    assert (frame["decision"].idxmax(axis=1) == model.predict(X)).all()
    assert (frame["decision"].sum(axis=1) == 1).all()


def test_without_probabilities_there_are_labels_only():
    model = DecodedClassifierCV(OneVsRestClassifier(RidgeClassifier()), "top_k", cv=2).fit(X, Y)
    assert not hasattr(model, "predict_frame")
    assert {len(row) for row in model.predict_labels(X)} == {1}


def test_a_search_over_a_pipeline_has_no_names():
    search = LossDecoderSearchCV(make_pipeline(StandardScaler(), NET), ["bce"], ["threshold"], cv=2)
    assert not hasattr(search, "predict_labels") and hasattr(search, "predict")


def test_frames_of_arrays_need_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    model = MultiLabelLogisticRegressionCV(cv=2, random_state=0).fit(X, Y)
    with pytest.raises(ImportError, match="for X of type ndarray is one of pandas.*predict_labels"):
        model.predict_frame(X)
    assert len(model.predict_labels(X)) == 90


def test_an_estimator_must_be_fitted():
    for name in "predict_labels", "predict_frame":
        with pytest.raises(ValueError, match="not fitted"):
            getattr(MultiLabelNetClassifier(), name)(X)
