"""What was pickled by another version of the package is loaded with a warning."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data import persistence
from sklearn_mlloss.calibration import SigmoidCalibrator
from sklearn_mlloss.decoders import GlobalThreshold
from sklearn_mlloss.losses import FocalLoss
from sklearn_mlloss.networks import StandardEncoding

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = (X > 0).astype(int)
SCORES = rng.uniform(0.1, 0.9, Y.shape)

NET = MultiLabelNetClassifier(hidden_layer_sizes=(), max_epochs=1, early_stopping=False)
LINEAR = OneVsRestClassifier(LogisticRegression())
MAKE = {
    "net": lambda: NET.fit(X, Y),
    "decoded": lambda: DecodedClassifierCV(LINEAR, "threshold", cv=2).fit(X, Y),
    "voting": lambda: SoftVotingClassifier([("a", LINEAR)]).fit(X, Y),
    "search": lambda: LossDecoderSearchCV(NET, ["bce"], ["threshold"], cv=2).fit(X, Y),
    "linear": lambda: MultiLabelLogisticRegressionCV(cv=2).fit(X, Y),
    "not fitted": lambda: clone(NET),
    "loss": lambda: FocalLoss().fit(Y),
    "decoder": lambda: GlobalThreshold().fit(SCORES, Y),
    "calibrator": lambda: SigmoidCalibrator().fit(SCORES, Y),
    "encoding": lambda: StandardEncoding().fit(X),
}


@pytest.fixture
def before(monkeypatch):
    """Pickle as an earlier version."""

    def dumps(value):
        with monkeypatch.context() as patch:
            patch.setattr(persistence, "__version__", "0.0.1")
            return pickle.dumps(value)

    return dumps


@pytest.mark.parametrize("kind", MAKE)
def test_another_version_warns(before, kind):
    value = MAKE[kind]()
    pickled = before(value)
    name = f"{type(value).__name__} of sklearn_mlloss from version 0.0.1 when using version"
    # Its parts warn before the whole does.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = pickle.loads(pickled)
    assert name in str(caught[-1].message)
    assert all(w.category is InconsistentVersionWarning for w in caught)
    assert caught[-1].filename == __file__
    assert type(loaded) is type(value) and vars(loaded).keys() == vars(value).keys()
    assert persistence.KEY not in vars(loaded)


@pytest.mark.parametrize("kind", MAKE)
def test_the_same_version_is_silent(tmp_path, kind):
    value = MAKE[kind]()
    joblib.dump(value, tmp_path / "value")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in (
            pickle.loads(pickle.dumps(value)),
            joblib.load(tmp_path / "value"),
            copy.copy(value),
            copy.deepcopy(value),
            clone(value),
        ):
            assert persistence.KEY not in vars(other)


class OwnState(FocalLoss):
    """Has a state of its own."""

    def __getstate__(self):
        return dict(vars(self))


def test_a_state_without_a_version_is_silent(before):
    assert vars(pickle.loads(before(OwnState(gamma=3)))) == vars(OwnState(gamma=3))
