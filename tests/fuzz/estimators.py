"""Random estimators: small ones, with values of every parameter, now and then a wrong one."""

import copy
import inspect
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RepeatedKFold, ShuffleSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import GradientNormClipping, LRScheduler

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss import model_selection as ms
from sklearn_mlloss._decision.presets import PRESETS
from sklearn_mlloss._training.optimizers import OPTIMIZERS, SCHEDULES
from sklearn_mlloss.calibration import CALIBRATORS
from sklearn_mlloss.decoders import DECODERS
from sklearn_mlloss.losses import LOSSES, FunctionLoss, WithCount
from sklearn_mlloss.networks import ACTIVATIONS, ENCODINGS, NORMALIZATIONS

Draw = Callable[[np.random.Generator], Any]


FOLDER = tempfile.TemporaryDirectory()


def pick(rng: np.random.Generator, values: Any) -> Any:
    return list(values)[rng.integers(len(values))]


def one_of(*values: Any) -> Draw:
    # A copy, so that no case changes what another gets.
    return lambda rng: copy.deepcopy(pick(rng, values))


# ------------------------------------------------------------------ what users write


class OwnModule(torch.nn.Module):
    def __init__(self, n_features: int, n_outputs: int):
        super().__init__()
        self.first, self.last = torch.nn.Linear(n_features, 3), torch.nn.Linear(3, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(X)))


class OwnClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of labels whose probabilities have the shape (n, n_labels, 2)."""

    def fit(self, X: Any, y: Any) -> "OwnClassifier":
        if getattr(y, "ndim", 0) != 2:
            raise ValueError("y must be a matrix")
        self.means_ = np.nan_to_num(np.asarray(y, dtype=float)).mean(axis=0)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        ones = np.tile(self.means_, (np.shape(X)[0], 1))
        return np.stack([1 - ones, ones], axis=2)


def own_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (torch.sigmoid(outputs) - targets) ** 2


def own_mean(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return own_loss(outputs, targets).mean()


def own_metric(Y: np.ndarray, scores: np.ndarray) -> float:
    return float(np.mean((scores > 0.5) == (Y > 0.5)))


def own_scorer(estimator: Any, X: Any, y: Any) -> float:
    return 0.5


def anything(*args: Any) -> float:
    return np.nan


class Thing:
    def __init__(self, *args: Any):
        self.args = args


# What no parameter takes, or few do.
WRONG = [
    None, np.nan, np.inf, -np.inf, -1, 0, 0.5, 1.5, 1e300, True, "", "x", "auto", b"x", [], (), {},
    set(), object(), [np.nan], [0.5, "x"], (2, -1), {"x": 1}, np.array([1.0, 2.0]), pd.NA, Thing,
    np.float32("nan"), 1j, np.datetime64("2020"), anything, 2**70, -(10**400),
]  # fmt: skip
# Parameters of which a large number takes long, or all memory.
COSTLY = ("max_epochs", "n_iter_no_change", "repeats", "n_bins", "n_quantiles", "n_jobs")


def draw_wrong(rng: np.random.Generator, name: str) -> Any:
    value = pick(rng, WRONG)
    if name == "memory" and isinstance(value, str):
        return FOLDER.name  # not a new folder wherever this runs
    return None if name in COSTLY and isinstance(value, int) and value > 1 else value


def draw_value(rng: np.random.Generator, name: str, default: Any) -> Any:
    """Return a value for a parameter of a part, as a rule a possible one."""
    if rng.random() < 0.15:
        return draw_wrong(rng, name)
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        value = default * pick(rng, [0, 0.5, 1, 2]) + pick(rng, [0, 0, 0.1, 1])
        return round(value) if isinstance(default, int) else value
    names = {"average": ["micro", "macro", "samples"], "label_reduction": ["mean", "sum"]}
    names["decoder"] = list(DECODERS)
    return pick(rng, names.get(name, ["balanced", "inverse", "f1", 0.5, [1.0, 2.0], None]))


def part_of(registry: dict[str, type], *others: Any) -> Draw:
    """Draw a name of a registry, or an object, perhaps with another parameter; or of others."""

    def draw(rng: np.random.Generator) -> Any:
        part = pick(rng, [*registry, *others])
        if not isinstance(part, str) or part not in registry or rng.random() < 0.4:
            return part
        parameters = inspect.signature(registry[part]).parameters.values()
        known = [p for p in parameters if p.default is not p.empty]
        if not known or rng.random() < 0.3:
            return registry[part]()
        one = pick(rng, known)
        return registry[part](**{one.name: draw_value(rng, one.name, one.default)})

    return draw


def list_of(draw: Draw) -> Draw:
    def draw_list(rng: np.random.Generator) -> Any:
        parts = [draw(rng) for _ in range(rng.integers(1, 3))]
        return dict(enumerate(parts)) if rng.random() < 0.1 else parts

    return draw_list


# ------------------------------------------------------------------ parameters

FLAG = one_of(True, False)
SEED = one_of(0, 1, 2**32 - 1, np.random.RandomState(0), None)
CV = one_of(
    2, 2, 2, 3, 3, 30, KFold(2), GroupKFold(2), ShuffleSplit(2, random_state=0),
    RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    ms.MultilabelStratifiedKFold(2, random_state=0),
    ms.MultilabelStratifiedShuffleSplit(1, test_size=0.4, random_state=0),
    [([0, 1, 2, 3], [4, 5]), ([4, 5], [0, 1])], [(np.arange(3), np.arange(40))],
)  # fmt: skip
LOSS = part_of(
    LOSSES, FunctionLoss(own_loss), own_loss, own_mean, torch.nn.BCEWithLogitsLoss(), WithCount()
)
DECODER = part_of(DECODERS, "auto", "auto")
CALIBRATION = part_of(CALIBRATORS, None)
NET: dict[str, Draw] = {
    "loss": LOSS,
    "decoder": DECODER,
    "encoding": part_of(ENCODINGS, None, "auto", MinMaxScaler(), PCA(1)),
    "categorical_features": one_of(None, [0], [False, True], ["column 0"], [-1]),
    "hidden_layer_sizes": one_of((), (3,), (8,), (3, 2), [5]),
    "activation": one_of(*ACTIVATIONS),
    "dropout": one_of(0, 0.0, 0.5, 0.9),
    "normalization": one_of(None, *NORMALIZATIONS),
    "input_dropout": one_of(0, 0.3),
    "mixup": one_of(0, 0.2, 2),
    "optimizer": one_of(*OPTIMIZERS, torch.optim.SGD, torch.optim.LBFGS),
    "learning_rate": one_of(None, 1e-3, 0.1, 1, 1e3, 1e30),
    "weight_decay": one_of(0, 0.01, 1.0),
    "optimizer_params": one_of(None, {}, {"eps": 1e-3}, {"momentum": 0.9}),
    "lr_schedule": one_of(None, *SCHEDULES),
    "batch_size": one_of(1, 2, 7, 32, 1000),
    "early_stopping": FLAG,
    "validation_fraction": one_of(0.1, 0.5, 0.99, 1e-6),
    "n_iter_no_change": one_of(1, 2, 10),
    "monitor": one_of("loss", own_metric, anything),
    "precision": one_of("float32", "float64", "bf16"),
    "random_state": SEED,
    "calibration": CALIBRATION,
    "cv": CV,
    "repeats": one_of(1, 2),
    "ensemble": FLAG,
    "store_cv_results": FLAG,
    "n_jobs": one_of(1),
    "warm_start": FLAG,
    "callbacks": one_of([], [LRScheduler()], [("clip", GradientNormClipping(1))]),
    "net_params": one_of(None, {}, {"verbose": 0}, {"x": 1}),
    "memory": one_of(FOLDER.name),
    "device": one_of("auto", "cpu", torch.device("cpu"), "cuda"),
}
DECODED: dict[str, Draw] = {
    "decoder": DECODER,
    "calibration": CALIBRATION,
    "cv": lambda rng: pick(rng, ["oof", None]) if rng.random() < 0.2 else CV(rng),
    "ensemble": one_of(True, False, "auto"),
    "response_method": one_of("auto", "predict_proba", "decision_function"),
    "store_cv_results": FLAG,
    "n_jobs": one_of(1),
    "random_state": SEED,
}
VOTE: dict[str, Draw] = {
    "weights": one_of(None, None, "learned", [1], [0, 2], [0.3, 0.6, 0.1]),
    "n_jobs": one_of(1),
}
SEARCH: dict[str, Draw] = {
    "decoders": lambda rng: "default" if rng.random() < 0.3 else list_of(DECODER)(rng),
    "calibrations": list_of(CALIBRATION),
    "param_grid": one_of(None, {"loss__gamma": [1.0]}, {"max_epochs": [1, 2]}, {"x": [1]}),
    "scoring": one_of(
        None, "f1_micro", "roc_auc", "average_precision", "accuracy", "neg_log_loss",
        "jaccard_samples", ["f1_micro", "accuracy"], {"own": own_scorer}, anything,
    ),
    "cv": CV,
    "repeats": one_of(1, 2),
    "refit": one_of(True, False, "f1_micro"),
    "rule": one_of("best", "one_std_error"),
    "n_jobs": one_of(1),
    "random_state": SEED,
    "error_score": one_of("raise", 0.0, np.nan),
    "store_cv_results": FLAG,
}  # fmt: skip


def draw_params(rng: np.random.Generator, domain: dict[str, Draw], **usual: Any) -> dict[str, Any]:
    """Return the usual parameters and a few others, one of which may be wrong."""
    few = [name for name in domain if rng.random() < min(0.5, 4 / len(domain))]
    params = usual | {name: domain[name](rng) for name in few}
    if rng.random() < 0.15:
        name = pick(rng, [*domain, *usual])
        params[name] = draw_wrong(rng, name)
    return params


# ------------------------------------------------------------------ estimators

TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
LINEAR = LogisticRegression(max_iter=20)
CLASSIFIERS = [
    TREE, ExtraTreesClassifier(5, bootstrap=True, oob_score=True, random_state=0), LINEAR,
    KNeighborsClassifier(2), OneVsRestClassifier(LINEAR), MultiOutputClassifier(GaussianNB()),
    ClassifierChain(TREE, random_state=0), GaussianNB(),
    make_pipeline(StandardScaler(), OneVsRestClassifier(LINEAR)), RidgeClassifier(),
    OneVsRestClassifier(LinearSVC(random_state=0)), CalibratedClassifierCV(LINEAR, cv=2),
    HistGradientBoostingClassifier(max_iter=2, random_state=0), OwnClassifier(),
    MultiLabelLogisticRegressionCV(cv=2, store_cv_results=True, random_state=0),
]  # fmt: skip


def draw_net(rng: np.random.Generator, **fixed: Any) -> MultiLabelNetClassifier:
    usual = {"hidden_layer_sizes": (4,), "max_epochs": int(rng.integers(1, 5)), "random_state": 0}
    usual["learning_rate"] = 0.05
    if rng.random() < 0.1:
        usual["cv"] = pick(rng, [2, None])
        return MultiLabelNetClassifier.for_metric(pick(rng, PRESETS), **usual | fixed)
    params = draw_params(rng, NET, **usual) | fixed
    if rng.random() < 0.06:
        params["module"] = OwnModule
        if rng.random() < 0.8:
            params.pop("hidden_layer_sizes")
    return MultiLabelNetClassifier(**params)


def draw_classifier(rng: np.random.Generator) -> Any:
    if rng.random() < 0.4:
        return draw_net(rng, cv=pick(rng, [None, 2]), store_cv_results=True)
    return pick(rng, CLASSIFIERS)


def draw_decoded(rng: np.random.Generator) -> DecodedClassifierCV:
    inner = (draw_vote if rng.random() < 0.1 else draw_classifier)(rng)
    usual = {"cv": 2, "random_state": 0}
    if rng.random() < 0.1:
        return DecodedClassifierCV.for_metric(pick(rng, PRESETS), inner, **usual)
    return DecodedClassifierCV(inner, **draw_params(rng, DECODED, **usual))


def draw_vote(rng: np.random.Generator) -> SoftVotingClassifier:
    members = [(f"m{i}", draw_classifier(rng)) for i in range(rng.integers(1, 4))]
    if rng.random() < 0.1:
        members[0] = ("m0", "drop")
    return SoftVotingClassifier(members, **draw_params(rng, VOTE))


def draw_search(rng: np.random.Generator) -> Any:
    net = draw_net(rng, cv=pick(rng, [None, None, 2]), repeats=1)
    if rng.random() < 0.15:
        grid = {"loss": [LOSS(rng)], "decoder": ["threshold", DECODER(rng)]}
        return GridSearchCV(net, grid, scoring=pick(rng, [None, "f1_micro"]), cv=2)
    net = make_pipeline(StandardScaler(), net) if rng.random() < 0.1 else net
    usual = {"decoders": ["threshold", "global_threshold"], "cv": 2, "random_state": 0}
    return LossDecoderSearchCV(net, list_of(LOSS)(rng), **draw_params(rng, SEARCH, **usual))


def draw_estimator(rng: np.random.Generator) -> Any:
    draws = [draw_net] * 11 + [draw_decoded] * 4 + [draw_vote] * 3 + [draw_search] * 2
    return pick(rng, draws)(rng)
