"""Parameters of the network classifier that are functions, objects or names of parts."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochTimer, PrintLog

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.decoders import AtLeastOne, PerLabelThreshold
from sklearn_mlloss.losses import FocalLoss, WithCount
from sklearn_mlloss.networks import QuantileEncoding

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = (rng.random((60, 3)) < 0.4).astype(np.uint8)


def net(**params):
    return MultiLabelNetClassifier(**{"max_epochs": 2, "hidden_layer_sizes": (3,), **params})


def refuses(params, message):
    model = net(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, Y)
    assert not hasattr(model, "net_")


# --- functions


@pytest.mark.parametrize(
    "monitor, message",
    [
        (lambda Y: 1, r"monitor must be callable with \(Y, scores\), got .*: too many"),
        (lambda Y, scores, k: 1, "monitor must be callable .*: missing a required argument: 'k'"),
        (lambda Y, scores: 1 / 0, r"monitor fails for the 6 held-out rows: ZeroDivisionError"),
        (lambda Y, scores: scores, r"monitor returned ndarray of shape \(6, 3\) for the 6"),
        (lambda Y, scores: 1j, "monitor returned 1j for the 6"),
        (np.ones(3), r"monitor must be 'loss' or a function .*got ndarray of shape"),
        (["loss"], r"monitor must be 'loss' or a function .*got \['loss'\]"),
    ],
)
def test_monitors(monitor, message):
    refuses(dict(monitor=monitor), f"^{message}")


def schedule_of_another(optimizer):
    another = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    return torch.optim.lr_scheduler.StepLR(another, 1)


def infinite(optimizer):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: np.inf if epoch else 1)


@pytest.mark.parametrize(
    "schedule, message",
    [
        (lambda optimizer: None, "must return a torch scheduler .*, got None"),
        (lambda optimizer: 3, "must return a torch scheduler .*, got 3"),
        (schedule_of_another, "must return a torch scheduler of the optimizer that it gets"),
        (lambda optimizer: 1 / 0, "must be a function of the optimizer alone.*division by zero"),
        (lambda optimizer, k: None, "must be a function of the optimizer alone"),
        (torch.optim.lr_scheduler.CyclicLR, "must be a function of the optimizer alone"),
        (lambda o: torch.optim.lr_scheduler.StepLR(o, 0), "fails after epoch 1: ZeroDivision"),
        (infinite, "must give finite learning rates, got .inf. after 1 epoch"),
        (np.ones(3), "must be None, 'cosine', 'plateau' or a callable .*got ndarray of shape"),
        (["cosine"], "must be None, 'cosine', 'plateau' or a callable"),
    ],
)
def test_schedules(schedule, message):
    refuses(dict(lr_schedule=schedule), f"^lr_schedule {message}")


# --- callbacks and what else skorch takes


class OnEpochEnd:
    def on_epoch_end(self, net, **kwargs):
        pass


@pytest.mark.parametrize(
    "callbacks, message",
    [
        ([None], "must hold skorch callbacks"),
        ([("a", 3)], "must hold skorch callbacks"),
        ([(3, PrintLog())], "must hold skorch callbacks"),
        ([("a", EpochTimer(), 1)], "must hold skorch callbacks"),
        ([("a", EpochTimer()), ("a", EpochTimer())], "has the name 'a' twice"),
        ([("early_stopping", EpochTimer())], "has the name 'early_stopping' twice"),
        ([("lr_schedule", EpochTimer())], "has the name 'lr_schedule' twice"),
        ({"a": EpochTimer()}, "must be a list of skorch callbacks"),
        ([OnEpochEnd()], "must hold skorch callbacks"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_callbacks(callbacks, message):
    refuses(dict(callbacks=callbacks), f"^callbacks {message}")


@pytest.mark.parametrize(
    "net_params, message",
    [
        ({1: 2}, r" may hold .*got \[1\]"),
        ({"optimizer__param_groups": 3}, r".*must be a list of pairs \(pattern, dict\), got 3"),
        ({"optimizer__param_groups": [("*",)]}, r".*must hold pairs \(pattern, dict\)"),
        ({"optimizer__param_groups": [(1, {})]}, r".*must hold pairs \(pattern, dict\)"),
        ({"optimizer__param_groups": [("*", {"lr": "a"})]}, ".*'lr' must be a finite number >= 0"),
        ({"optimizer__param_groups": [("*", {"lr": np.nan})]}, ".*'lr' must be a finite number"),
        ({"torch_load_kwargs": 5}, ".*must be None or a dict, got 5"),
        ({"callbacks__nope": 3}, " has 'callbacks__nope', but the callbacks are epoch_timer, pr"),
        ({"callbacks__print_logs__sink": 3}, " has .*did you mean 'print_log'"),
        ({"callbacks__early_stopping__patience": 3}, " has 'callbacks__early_stopping__patience'"),
    ],
)
def test_net_params(net_params, message):
    refuses(dict(net_params=net_params), f"^net_params{message}")


@pytest.mark.parametrize(
    "net_params",
    [
        {"optimizer__param_groups": [("layers.0.*", {"lr": 0.1, "weight_decay": 0})]},
        {"callbacks__mine__sink": print, "torch_load_kwargs": {"weights_only": True}},
        {"callbacks__EpochTimer_1": None, "callbacks__print_log": None},
    ],
)
def test_net_params_that_are_right(net_params):
    callbacks = [EpochTimer(), EpochTimer(), ("mine", PrintLog())]
    net(net_params=net_params, callbacks=callbacks, early_stopping=False).fit(X, Y)


# --- parts by name


def search(**params):
    return LossDecoderSearchCV(net(**params))


def decoded(**params):
    return DecodedClassifierCV(LogisticRegression(), **params)


@pytest.mark.parametrize(
    "model, name, message",
    [
        (net(), "calibration__min_positives", "needs an object as calibration.*calibration=None"),
        (net(), "decoder__nope", "must name a parameter of FixedThreshold, which has threshold"),
        (net(), "loss__gamma", "must name a parameter of BinaryCrossEntropy, which has class_w"),
        (net(loss="focal"), "loss__gama", "must name .* FocalLoss, .*did you mean 'gamma'"),
        (net(encoding="quantile"), "encoding__n_bins", "must name .*QuantileEncoding.*n_quantiles"),
        (net(encoding=StandardScaler()), "encoding__n_bins", "must name .*StandardScaler"),
        (net(loss=WithCount("bce")), "loss__loss__tau", "needs an object as loss__loss"),
        (net(decoder=AtLeastOne("gfm")), "decoder__decoder__beta", "needs an object as decoder__d"),
        (net(), "optimizer__betas", "needs an object as optimizer"),
        (decoded(), "calibration__min_positives", "needs an object as calibration"),
        (decoded(), "decoder__nope", "must name a parameter of PerLabelThreshold"),
        (decoded(), "estimator__nope", "must name a parameter of LogisticRegression"),
    ],
)
def test_nested_names_that_do_not_exist(model, name, message):
    before = model.get_params(deep=False)
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        model.set_params(**{name: 1})
    assert model.get_params(deep=False) == before


def test_nested_names_within_other_estimators():
    for model, name in (
        (search(), "estimator__loss__gamma"),
        (SoftVotingClassifier([("a", net())]), "a__loss__gamma"),
        (make_pipeline(net()), "multilabelnetclassifier__loss__gamma"),
    ):
        with pytest.raises(ValueError, match="^loss__gamma must name a parameter of BinaryCross"):
            model.set_params(**{name: 1})


@pytest.mark.parametrize(
    "model, params",
    [
        (net(), dict(loss="focal", loss__gamma=1)),
        (net(loss=FocalLoss()), dict(loss__gamma=1, loss__class_weight=None)),
        (net(), dict(loss=WithCount(), loss__loss="focal", loss__head="poisson")),
        (net(loss=WithCount()), dict(loss__loss=FocalLoss(), loss__loss__gamma=1)),
        (
            net(),
            dict(decoder="gfm", decoder__beta=2, calibration="beta", calibration__min_positives=1),
        ),
        (net(), dict(decoder=AtLeastOne(PerLabelThreshold()), decoder__decoder__beta=2)),
        (net(encoding=QuantileEncoding()), dict(encoding__n_quantiles=3)),
        (net(encoding=make_pipeline(StandardScaler())), dict(encoding__standardscaler=None)),
        (search(loss="focal"), dict(estimator__loss__gamma=1)),
        (search(), dict(estimator=net(), estimator__max_epochs=1)),
        (DecodedClassifierCV(net(loss="focal")), dict(estimator__loss__gamma=1)),
    ],
)
def test_nested_names_that_exist(model, params):
    assert model.set_params(**params) is model
