"""Estimators in the formats of skops and MLflow, which ask for their state."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    MultiLabelExtraTreesClassifier,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.losses import SeparableLoss

pytest.importorskip("safetensors")
skops = pytest.importorskip("skops.io")
from sklearn_mlloss.persistence import SKOPS_TYPES  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)).astype(np.float32)
Y = (X + rng.normal(size=X.shape) > 0).astype(int)
FRAME = pd.DataFrame(X, columns=["age", "size", "price"])
NET = MultiLabelNetClassifier("focal", "global_threshold", hidden_layer_sizes=(3,), max_epochs=2,
                              random_state=0)  # fmt: skip
LINEAR = OneVsRestClassifier(LogisticRegression())
MODELS = {
    "net": NET,
    "not fitted": NET,
    "ensemble": clone(NET).set_params(cv=2, calibration="isotonic"),
    "decoded": DecodedClassifierCV(LINEAR, cv=2),
    "vote": SoftVotingClassifier([("net", NET), ("linear", LINEAR)]),
    "linear": MultiLabelLogisticRegressionCV(cv=2),
    "trees": MultiLabelExtraTreesClassifier(n_estimators=3),
    "pipeline": make_pipeline(StandardScaler(), NET),
}


def fitted(name, X=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few epochs
        model = clone(MODELS[name])
        return model if name == "not fitted" else model.fit(X, Y)


@pytest.mark.parametrize("name", MODELS)
def test_skops_loads_what_it_dumps(name):
    model = fitted(name)
    data = skops.dumps(model)
    types = skops.get_untrusted_types(data=data)
    assert len(types) == 1 and set(types) <= set(SKOPS_TYPES)
    loaded = skops.loads(data, trusted=SKOPS_TYPES)
    assert type(loaded) is type(model)
    if name == "not fitted":
        assert repr(loaded) == repr(model) and not hasattr(loaded, "net_")
        return
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_all_types_are_listed():
    names = {f"{type(model).__module__}.{type(model).__name__}" for model in MODELS.values()}
    assert set(SKOPS_TYPES) == names - {"sklearn.pipeline.Pipeline"}


class Named(SeparableLoss):
    def positive(self, s):
        return (1 - s) ** 2

    def negative(self, s):
        return (1 + s) ** 2


def test_skops_cannot_load_classes_of_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(NET).set_params(loss=Named()).fit(X, Y)
    with pytest.raises(ValueError, match="needs Named"):
        skops.loads(skops.dumps(model), trusted=SKOPS_TYPES)


def test_mlflow_saves_and_loads(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own
        mlflow = pytest.importorskip("mlflow.sklearn")
        pyfunc = pytest.importorskip("mlflow.pyfunc")
        model = fitted("ensemble", FRAME)
        for kind in "skops", "cloudpickle":
            trusted = {"skops_trusted_types": SKOPS_TYPES} if kind == "skops" else {}
            path = str(tmp_path / kind)
            # Without a list of requirements it would be found in a new process.
            mlflow.save_model(
                model, path, serialization_format=kind, pip_requirements=[], **trusted
            )
            assert np.array_equal(mlflow.load_model(path).predict(FRAME), model.predict(FRAME))
            assert np.array_equal(pyfunc.load_model(path).predict(FRAME), model.predict(FRAME))
