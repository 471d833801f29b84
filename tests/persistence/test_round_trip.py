"""Saved models predict the same after loading, and go on."""

import json
import pickle
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from sklearn_mlloss import (
    DecodedClassifierCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.calibration import Calibrator, IsotonicCalibrator
from sklearn_mlloss.decoders import AtLeastOne, Decoder, FixedThreshold, HierarchyClosure
from sklearn_mlloss.losses import LOSSES, FunctionLoss, SeparableLoss, WithCount
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

pytest.importorskip("safetensors")
pytest.importorskip("skops")
from sklearn_mlloss.persistence import load, nets, save  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, :3] + rng.normal(size=(60, 3)) > 0.3).astype(int)
MISSING = np.where(rng.uniform(size=X.shape) < 0.2, np.nan, X)
SPARSE = sp.csr_array(np.where(X > 0.5, 1.0, 0.0))
UNSEEN = np.where(rng.uniform(size=Y.shape) < 0.2, np.nan, Y)
FRAME = pd.DataFrame(
    {
        "size": X[:, 0],
        "count": (X[:, 1] > 0) + (X[:, 1] > 1),
        "colour": pd.Categorical(np.where(X[:, 2] > 0, "red", "blue")),
        "place": pd.Categorical(np.where(X[:, 3] > 0, 7, 3)),
    }
)
COUNTED = FRAME[["size", "count"]]
LABELS = pd.DataFrame(Y, columns=["sports", "politics", "arts"])
CLASSES = np.array(["cat", "dog", "emu"])[Y.sum(axis=1).clip(max=2)]
TREES = ExtraTreesClassifier(3, max_depth=2, random_state=0)


class Logistic(SeparableLoss):
    def positive(self, s):
        return torch.nn.functional.softplus(-s)

    def negative(self, s):
        return torch.nn.functional.softplus(s)


class Lowered(Decoder):
    requires_fit = True

    def __init__(self, by=0.1):
        self.by = by

    def _fit(self, scores, Y, sample_weight, count):
        self.means_ = scores.mean(axis=0)

    def _decode(self, scores, count):
        return scores > self.means_ - self.by


class Shifted(Calibrator):
    def _fit(self, scores, Y, sample_weight):
        self.power_ = 0.9

    def _transform(self, scores):
        return scores**self.power_


class Doubled(BaseEstimator):
    """A transformer that is not of scikit-learn."""

    def fit(self, X, y=None):
        self.factor_ = 2.0
        return self

    def transform(self, X):
        return X * self.factor_


class Wide(torch.nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first = torch.nn.Linear(n_features, 8)
        self.last = torch.nn.Linear(8, n_outputs)
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, X):
        return self.last(torch.relu(self.first(X)) * self.scale)


def make_layers(n_features, n_outputs):
    return torch.nn.Sequential(torch.nn.Linear(n_features, 4), torch.nn.Linear(4, n_outputs))


def margin(outputs, targets):
    return torch.nn.functional.softplus(-(2 * targets - 1) * outputs)


def net(loss="bce", decoder="auto", **params):
    params = {"hidden_layer_sizes": (6,), "max_epochs": 2, "random_state": 0} | params
    return MultiLabelNetClassifier(loss, decoder, **params)


small = partial(net, linear_part=False, encoding="standard")
custom_net = partial(MultiLabelNetClassifier, encoding="standard", max_epochs=2, random_state=0)

# The name, a function that makes the model, X, y, and what `load` needs.
CASES = {
    **{f"loss {name}": (partial(small, name), X, Y, ()) for name in LOSSES},
    "gamma": (lambda: small("focal").set_params(loss__gamma=3.0), X, Y, ()),
    "label weights": (lambda: small(LOSSES["bce"](pos_weight=np.ones(3) * 2)), X, Y, ()),
    "with count": (lambda: small(WithCount("bce"), "cardinality"), X, Y, ()),
    "torch loss": (lambda: small(torch.nn.BCEWithLogitsLoss(pos_weight=torch.ones(3))), X, Y, ()),
    "function": (lambda: small(FunctionLoss(margin)), X, Y, (margin,)),
    "custom loss": (lambda: small(Logistic(label_smoothing=0.1)), X, Y, (Logistic,)),
    **{
        f"decoder {name}": (partial(small, "bce", name), X, Y, ())
        for name in (
            "global_threshold", "per_label_threshold", "proportion", "cost", "top_k",
            "cardinality", "cumulative", "expected_fbeta", "gfm", "label_set",
            "threshold_function", "risk_control",
        )
    },
    "hierarchy": (lambda: small("bce", HierarchyClosure([-1, 0, 0])), X, Y, ()),
    "nested decoder": (lambda: small("bce", AtLeastOne(FixedThreshold([0.4, 0.5, 0.6]))), X, Y, ()),
    "custom decoder": (lambda: small("bce", Lowered()), X, Y, (Lowered,)),
    **{
        f"calibration {name}": (partial(small, calibration=name), X, Y, ())
        for name in ("temperature", "sigmoid", "beta", "isotonic")
    },
    "isotonic regressions": (
        lambda: small(calibration=IsotonicCalibrator(min_positives=2), cv=2), X, Y, ()
    ),
    "isotonic folds": (
        lambda: DecodedClassifierCV(TREES, "threshold", calibration="isotonic", cv=3), X, Y, ()
    ),
    "custom calibrator": (lambda: small(calibration=Shifted()), X, Y, (Shifted,)),
    "auto": (lambda: MultiLabelNetClassifier(max_epochs=2, random_state=0), X, Y, ()),
    "linear part": (net, X, Y, ()),
    "no encoding": (lambda: net(encoding=None), X, Y, ()),
    "quantile": (lambda: net(encoding="quantile"), X, Y, ()),
    "robust": (lambda: net(encoding="robust"), MISSING, Y, ()),
    "missing": (lambda: net(encoding="piecewise_linear"), MISSING, Y, ()),
    "sparse": (net, SPARSE, sp.csr_array(Y), ()),
    "categories": (net, FRAME, LABELS, ()),
    "categories by number": (lambda: net(categorical_features=[1]), COUNTED, Y, ()),
    "polars": (net, pl.DataFrame({"a": X[:, 0], "b": X[:, 1]}), Y, ()),
    "transformer": (lambda: small(encoding=StandardScaler()), X, Y, ()),
    "transformer in folds": (
        lambda: small(encoding=QuantileTransformer(n_quantiles=5), cv=2), X, Y, ()
    ),
    "custom transformer": (lambda: small(encoding=Doubled()), X, Y, (Doubled,)),
    "partially labelled": (net, X, UNSEEN, ()),
    "classes": (lambda: small("softmax_ce"), X, CLASSES, ()),
    "binary": (lambda: small(decoder="global_threshold"), X, Y[:, 0] * 2 - 1, ()),
    "one column": (small, X, Y[:, :1], ()),
    "folds": (lambda: net(cv=3, calibration="beta"), X, Y, ()),
    "folds, one net": (lambda: small(cv=KFold(2), ensemble=False), X, Y, ()),
    "splits": (lambda: small(cv=list(KFold(2).split(X))), X, Y, ()),
    "our splitter": (
        lambda: small(cv=MultilabelStratifiedKFold(2), store_cv_results=True), X, Y, ()
    ),
    "float64": (lambda: net(precision="float64"), X, Y, ()),
    "batch norm": (lambda: small(normalization="batch", hidden_layer_sizes=(6, 4)), X, Y, ()),
    "layer norm": (lambda: small(normalization="layer", activation="gelu"), X, Y, ()),
    "no hidden layer": (lambda: small(hidden_layer_sizes=()), X, Y, ()),
    "sgd": (
        lambda: small(
            optimizer="sgd", learning_rate=0.1, optimizer_params={"momentum": 0.9, "nesterov": True}
        ), X, Y, (),
    ),
    "adagrad class": (lambda: small(optimizer=torch.optim.Adagrad, lr_schedule="cosine"), X, Y, ()),
    "schedule": (
        lambda: small(lr_schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=1)), X, Y, ()
    ),
    "monitor": (
        lambda: small(
            monitor=average_precision_score, lr_schedule="plateau",
            random_state=np.random.RandomState(3), n_iter_no_change=np.inf,
        ), X, Y, (),
    ),
    "module class": (lambda: custom_net(module=Wide), X, Y, (Wide,)),
    "module function": (lambda: custom_net(module=make_layers, cv=2), X, Y, (make_layers,)),
    "no early stopping": (lambda: small(early_stopping=False), X, Y, ()),
    "vote": (lambda: SoftVotingClassifier([("net", small()), ("trees", TREES)]), X, Y, ()),
    "vote with weights": (
        lambda: SoftVotingClassifier(
            [("net", small()), ("trees", "drop"), ("lin", MultiLabelLogisticRegressionCV(cv=2))],
            weights=[1, 0, 2],
        ), X, LABELS, (),
    ),
    "learned weights": (
        lambda: DecodedClassifierCV(
            [("net", small()), ("trees", TREES)], weights="learned", cv=2, random_state=0
        ), X, Y, (),
    ),
    "decoded": (lambda: DecodedClassifierCV(TREES, "global_threshold", cv=2), FRAME[["size"]],
                LABELS, ()),
    "decoded margins": (
        lambda: DecodedClassifierCV(
            LogisticRegression(), response_method="decision_function", calibration="sigmoid", cv=2
        ), X, Y[:, 1], (),
    ),
    "decoded meta-estimator": (
        lambda: DecodedClassifierCV(MultiOutputClassifier(LogisticRegression()), cv=2), X, Y, ()
    ),
    "net within scikit-learn": (
        lambda: DecodedClassifierCV(MultiOutputClassifier(small()), "threshold", cv="oof"), X, Y, ()
    ),
    "linear": (lambda: MultiLabelLogisticRegressionCV(cv=2, random_state=0), X, Y, ()),
    "linear sparse": (lambda: MultiLabelLogisticRegressionCV(cv=2), SPARSE, Y, ()),
    "linear categories": (
        lambda: MultiLabelLogisticRegressionCV(cv=2, store_cv_results=True), FRAME, CLASSES, ()
    ),
}  # fmt: skip


def fitted(case):
    make, X, y, custom = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few rows and epochs
        return make().fit(X, y), X, y, custom


def equal(a, b):
    if sp.issparse(a):
        return type(a) is type(b) and a.dtype == b.dtype and (a != b).nnz == 0
    return a.dtype == b.dtype and np.array_equal(a, b)


# The attributes of all classes in files of the present format.
ATTRIBUTES = {
    name: set(names.split()) for name, names in json.loads(
        (Path(__file__).parent / "attributes.json").read_text()
    ).items()
}  # fmt: skip


def check_attributes(model, path):
    """Check that nothing in the model is new to the format, or left out without a decision."""
    for name, names in attributes_of(path).items():
        new = sorted(names - ATTRIBUTES.get(name, set()))
        assert not new, (
            f"{name} has new attributes in files: {new}. Check that files without them, of earlier "
            "versions, still load (tests/persistence/test_versions.py); then add them to "
            "attributes.json"
        )
    for net in getattr(model, "nets_", ()):
        known = {*nets.SETTINGS, *nets.FITTED, *nets.MADE}
        new = [name for name in vars(net) if name not in known and "optimizer__" not in name]
        assert not new, f"TableNet has new attributes: add {new} to FITTED or MADE of {nets}"


def attributes_of(path):
    """Return the names of the attributes of the objects in a file, by class."""
    head = path.read_bytes()
    head = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
    found = {}

    def look(node):
        if isinstance(node, dict):
            name = node.get("class", "TableNet" if node.get("is") == "net" else None)
            if isinstance(name, str):
                found.setdefault(name, set()).update(node.get("state", ()))
        for part in node.values() if isinstance(node, dict) else node:
            if isinstance(part, dict | list):
                look(part)

    look(json.loads(head["__metadata__"]["model"]))
    return found


@pytest.mark.parametrize("case", CASES)
def test_predictions_are_equal(case, tmp_path):
    model, X, _, custom = fitted(case)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model", custom=custom)
    assert type(loaded) is type(model)
    assert equal(loaded.predict_proba(X), model.predict_proba(X))
    assert equal(loaded.predict(X), model.predict(X))
    assert not hasattr(loaded, "oof_scores_")
    assert not {*vars(model)} - {*vars(loaded)} - {"oof_scores_"}
    check_attributes(model, tmp_path / "model")
    if hasattr(model, "summary"):
        assert loaded.summary() == model.summary()


FRESH = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from sklearn_mlloss.persistence import describe, load

for name in sys.argv[1:]:
    assert describe(name + ".model").startswith("# ")
    assert "torch" not in sys.modules, name
for name in sys.argv[1:]:
    saved = np.load(name + ".npz")
    model = load(name + ".model")
    assert np.array_equal(model.predict_proba(saved["X"]), saved["proba"]), name
    assert np.array_equal(model.predict(saved["X"]), saved["labels"]), name
"""


def test_predictions_in_a_new_process_are_equal(tmp_path):
    cases = ["auto", "isotonic regressions", "folds", "missing", "linear"]
    for case in cases:
        model, X, _, _ = fitted(case)
        save(model, tmp_path / f"{case}.model")
        arrays = {"X": X, "proba": model.predict_proba(X), "labels": model.predict(X)}
        np.savez(tmp_path / f"{case}.npz", **arrays)
    arguments = [sys.executable, "-c", FRESH, *(str(tmp_path / case) for case in cases)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("case", ["folds", "transformer", "categories", "classes", "torch loss"])
def test_training_and_decision_go_on(case, tmp_path):
    model, X, y, custom = fitted(case)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model", custom=custom)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in model, loaded:
            each.partial_fit(X, y).partial_fit(X, y)
        assert equal(loaded.predict_proba(X), model.predict_proba(X))
        for each in model, loaded:
            each.fit_decoder(X, y)
        assert equal(loaded.predict(X), model.predict(X))
        loaded.set_params(warm_start=loaded.cv is None).fit(X, y)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_continues_exactly_with_the_state_of_the_optimiser(optimizer, tmp_path):
    momentum = {"momentum": 0.9} if optimizer == "sgd" else None
    model = small(optimizer=optimizer, optimizer_params=momentum)
    model.partial_fit(X, Y).partial_fit(X, Y)
    for state in False, True:
        save(model, tmp_path / f"{state}", optimizer_state=state)
    without, exact = (load(tmp_path / f"{state}") for state in (False, True))
    for each in model, without, exact:
        each.partial_fit(X, Y)
    assert equal(exact.predict_proba(X), model.predict_proba(X))
    assert not equal(without.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("case", ["no encoding", "adagrad class"])
def test_settings_of_torch_have_no_effect(case, tmp_path):
    model, X, Y, _ = fitted(case)
    save(model, tmp_path / "model")
    with torch.inference_mode(), torch.device("meta"):
        torch.set_default_dtype(torch.float64)
        try:
            loaded = load(tmp_path / "model")
        finally:
            torch.set_default_dtype(torch.float32)
    for each in model, loaded:
        each.partial_fit(X, Y)
    assert equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_of_a_gpu_is_loaded_for_the_cpu(tmp_path):
    model = net(device="cuda", cv=2).fit(X, Y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model").set_params(device="cpu")
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), atol=1e-5)
    loaded.set_params(device="cuda").partial_fit(X, Y)


def test_a_loaded_model_is_pickled_cloned_and_saved_again(tmp_path):
    model, X, _, _ = fitted("auto")
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    again = pickle.loads(pickle.dumps(loaded))
    save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    assert equal(again.predict_proba(X), model.predict_proba(X))
    assert repr(clone(loaded)) == repr(clone(model))
