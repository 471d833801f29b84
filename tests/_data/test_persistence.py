"""What was pickled by another version of the package is loaded with a warning."""

import copy
import importlib
import inspect
import pickle
import re
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data import persistence
from sklearn_mlloss._versions import package_versions
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


LINKED = [
    MultiLabelNetClassifier(), DecodedClassifierCV(LINEAR), SoftVotingClassifier([("a", LINEAR)]),
    LossDecoderSearchCV(), MultiLabelLogisticRegressionCV(), FocalLoss(), GlobalThreshold(),
    SigmoidCalibrator(), StandardEncoding(),
]  # fmt: skip


@pytest.mark.parametrize("estimator", LINKED, ids=lambda one: type(one).__name__)
def test_diagrams_link_to_the_page_of_the_class(estimator, monkeypatch):
    monkeypatch.delenv("SKLEARN_MLLOSS_DOCS_URL", raising=False)
    assert estimator._get_doc_link() == ""
    monkeypatch.setenv("SKLEARN_MLLOSS_DOCS_URL", "https://docs.example/stable/")
    link = estimator._get_doc_link()
    name = re.fullmatch(r"https://docs\.example/stable/api/(.*)\.html", link)[1]
    module, _, name = name.rpartition(".")
    assert getattr(importlib.import_module(module), name) is type(estimator)
    diagram = estimator._repr_html_()
    assert f'href="{link}"' in diagram
    if package_versions()["scikit-learn"] >= "1.9":
        parameters = {*inspect.signature(type(estimator)).parameters}
        described = set(re.findall(r"--doc-link-(\w+);\"\s*rel", diagram))
        # Those of all losses are described by their base class.
        shared = {"class_weight", "label_reduction", "label_smoothing"}
        assert parameters - described <= shared and described


@pytest.mark.skipif(package_versions()["scikit-learn"] < "1.9", reason="without descriptions")
def test_diagrams_describe_parameters_and_attributes_without_an_address(monkeypatch):
    monkeypatch.delenv("SKLEARN_MLLOSS_DOCS_URL", raising=False)
    for estimator in (*LINKED, make_pipeline(LINKED[0])):
        diagram = estimator._repr_html_()
        assert "param-doc-description" in diagram
        assert "MultiLabelNetClassifier</span></a>" not in diagram
    fitted = DecodedClassifierCV(LINEAR, "threshold", cv=2).fit(X, Y)
    assert re.search(r"decoder_: Decoder<br><br>The decoder in use", fitted._repr_html_())


def test_classes_of_users_have_no_link(monkeypatch):
    monkeypatch.setenv("SKLEARN_MLLOSS_DOCS_URL", "https://docs.example")
    assert type("Mine", (GlobalThreshold,), {"__module__": "mine"})()._get_doc_link() == ""
