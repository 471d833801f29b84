"""Losses and optimisers are tried before training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._data.rows import Rows
from sklearn_mlloss._training import build
from sklearn_mlloss._training.build import make_loss
from sklearn_mlloss._training.net import TableNet
from sklearn_mlloss._training.optimizers import OPTIMIZERS
from sklearn_mlloss._training.trial import try_loss
from sklearn_mlloss.losses import FocalLoss, FunctionLoss, LDAMLoss, Loss, SeparableLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = (rng.random((60, 3)) < 0.4).astype(np.uint8)
WITH_NAN = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
WEIGHT = rng.random(60)


def net(**params):
    return MultiLabelNetClassifier(
        **{"max_epochs": 2, "hidden_layer_sizes": (3,), "early_stopping": False, **params}
    )


@pytest.fixture
def never_trains(monkeypatch):
    """Let a test fail that trains."""

    def never(*args, **kwargs):
        raise AssertionError("trained")

    monkeypatch.setattr(TableNet, "train", never)


def entries(outputs, targets):
    return binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def write_outputs(outputs, targets):
    return outputs.sub_(targets) ** 2


def write_one_output(outputs, targets):
    outputs[0, 0] = 0
    return (outputs - targets) ** 2


class NeedsMore(nn.Module):
    def __init__(self, size):
        super().__init__()

    def forward(self, outputs, targets):
        return entries(outputs, targets)


class Detached(SeparableLoss):
    def positive(self, s):
        return softplus(-s).detach()

    def negative(self, s):
        return softplus(s).detach()


class WrongSlope(SeparableLoss):
    def positive(self, s):
        return softplus(-s)

    def negative(self, s):
        return softplus(s)

    def slope(self, s, y):
        return s[:1]


class WrongBias(Loss):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return entries(outputs, targets).mean(-1)

    def link(self, outputs):
        return outputs.double().sigmoid()

    def initial_bias(self):
        return np.zeros(7)


class WrongLink(WrongBias):
    def link(self, outputs):
        return outputs[..., :1]


LOSSES = {
    "returns integers": (lambda o, t: (o > t).long(), "func must return floating point.*int64"),
    "returns booleans": (lambda o, t: o > t, "func must return floating point"),
    "returns complex numbers": (lambda o, t: o + 0j, "func must return floating point"),
    "returns nothing": (lambda o, t: None, "func must return a torch tensor, got NoneType"),
    "returns an array": (lambda o, t: np.zeros((60, 3)), "must return a torch tensor, got ndarr"),
    "has no gradient": (lambda o, t: torch.zeros_like(t), "no gradient by outputs"),
    "detaches": (lambda o, t: (o.detach() - t) ** 2, "no gradient by outputs: .* detaching"),
    "uses no_grad": (torch.no_grad()(entries), "no gradient by outputs"),
    "writes into outputs": (write_outputs, "writes into outputs: .*outputs.clone"),
    "writes into one output": (write_one_output, "writes into outputs"),
    "raises": (lambda o, t: 1 / 0, r"ZeroDivisionError\('division by zero'\)"),
    "wants classes": (lambda o, t: nn.functional.nll_loss(o, t), "RuntimeError"),
    "takes one argument": (lambda o: o, r"callable with \(outputs, targets\)"),
    "takes three arguments": (lambda o, t, w: o, "missing a required argument: 'w'"),
    "takes keywords": (lambda *, outputs, targets: outputs, "too many positional"),
    "a module of three arguments": (nn.CosineEmbeddingLoss(), "missing a required argument"),
    "a module of one argument": (nn.Linear(3, 3), r"callable with \(outputs, targets\)"),
    "a class that needs arguments": (NeedsMore, "NeedsMore cannot be made without arguments"),
    "weights of other labels": (nn.BCEWithLogitsLoss(pos_weight=torch.ones(5)), "RuntimeError"),
    "a link of another shape": (FunctionLoss(entries, lambda o: o[:, :1]), "link must keep the"),
    "a link that returns nothing": (FunctionLoss(entries, lambda o: None), "link must return a t"),
    "a link of NaN": (FunctionLoss(entries, lambda o: o * float("nan")), r"link\(\) is NaN"),
    "a loss that detaches": (Detached(), "does not require grad|no gradient"),
    "a slope of another shape": (WrongSlope(), r"gradient\(\) has shape \(1, 3\), not \(32, 3\)"),
    "scores of another shape": (WrongLink(), r"link\(\) has shape \(32, 1\), not \(32, 3\)"),
    "a number too large": (LDAMLoss(scale=3e38), "its value is NaN or infinite, or"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_cannot_be_trained_with(name, never_trains):
    loss, message = LOSSES[name]
    for given in (dict(), dict(sample_weight=WEIGHT)):
        model = net(loss=loss)
        with pytest.raises((ValueError, TypeError), match=f"^loss=.* cannot .*with: .*{message}"):
            model.fit(X, Y, **given)
        assert not hasattr(model, "classes_")
    with pytest.raises((ValueError, TypeError), match="^loss="):
        net(loss=loss).partial_fit(X, Y)


@pytest.mark.parametrize("loss", [object, int, object(), 3, None, [entries], {}, Loss])
def test_functions_that_are_no_loss(loss, never_trains):
    with pytest.raises(TypeError, match="^loss"):
        net(loss=loss).fit(X, Y)


def test_a_class_is_no_function():
    with pytest.raises(TypeError, match="^func must be callable or a torch module, got <class"):
        FunctionLoss(object).fit(Y)


def test_targets_and_weights_that_a_function_takes(never_trains):
    def of_rows(outputs, targets):
        return entries(outputs, targets).mean(-1)

    def scalar(outputs, targets):
        return entries(outputs, targets).mean()

    with pytest.raises(ValueError, match=r"^loss=of_rows .*unobserved targets \(NaN\)"):
        net(loss=of_rows).fit(X, WITH_NAN)
    with pytest.raises(ValueError, match="^loss=scalar .*leave sample_weight out"):
        net(loss=scalar).fit(X, Y, sample_weight=WEIGHT)


def test_writing_into_soft_targets():
    def writes(outputs, targets):
        return targets.sub_(outputs) ** 2

    with pytest.raises(ValueError, match="^loss=writes .*writes into targets"):
        net(loss=writes).fit(X, Y / 2)


def test_an_initial_bias_is_checked():
    with pytest.raises(ValueError, match=r"^loss=WrongBias\(\) must have 3 finite"):
        build._initial_bias(WrongBias().fit(Y))


def test_messages_hold_no_data():
    from functools import partial

    def loss(data, outputs, targets):
        raise ValueError("no")

    with pytest.raises(ValueError, match="^loss=partial cannot be trained with: no$"):
        net(loss=partial(loss, X)).fit(X, Y)


def test_a_trial_leaves_no_trace():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, outputs, targets):
            self.calls += 1
            return entries(outputs * self.factor, targets) + nn.functional.dropout(outputs) ** 2

    loss, state = make_loss(Counting(), Rows(X, Y, None)), torch.get_rng_state()
    try_loss(loss, Rows(X, Y, None), 32)
    assert loss.module.calls == 0 and loss.module.factor.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    with torch.inference_mode():
        try_loss(loss, Rows(X, Y, None), 32)


@pytest.mark.parametrize("precision", ["float32", "float64", "bf16"])
def test_right_losses_pass(precision):
    def scalar(outputs, targets):
        return entries(outputs, targets).mean()

    for loss in (entries, scalar, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss(), FocalLoss(1e-9)):
        net(loss=loss, precision=precision).fit(X, Y)


OPTIONS = [
    ("adam", {"differentiable": True}),
    ("adamw", {"capturable": True}),
    ("adamw", {"foreach": True, "fused": True}),
    ("rmsprop", {"differentiable": True}),
    ("sgd", {"differentiable": True, "momentum": 0.9}),
    ("adagrad", {"foreach": True, "differentiable": True}),
    ("sgd", {"momentum": 1e30}),
    ("adamw", {"params": []}),
    ("adamw", {1: 2}),
    ("adamw", {"betas": (torch.tensor(0.9), 0.99)}),
]


@pytest.mark.parametrize("optimizer, params", OPTIONS)
def test_options_that_an_optimizer_cannot_take(optimizer, params):
    model = net(optimizer=optimizer, optimizer_params=params)
    with pytest.raises(ValueError, match="^optimizer_params"):
        model.fit(X, Y)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_large_rates(optimizer):
    for name in ("learning_rate", "weight_decay"):
        for value in (1e300, 1e39):
            with pytest.raises(ValueError, match=f"^{name} must be .*infinite in float32"):
                net(optimizer=optimizer, **{name: value}).fit(X, Y)
    if optimizer in ("adamw", "sgd"):
        with pytest.raises(ValueError, match=r"^weight_decay=1e\+30, .* makes weights infinite"):
            net(optimizer=optimizer, weight_decay=1e30).fit(X, Y)


@pytest.mark.parametrize(
    "optimizer, message",
    [
        (max, "^optimizer must be a name or a torch optimizer class, got <built-in"),
        (np.ones(2), "^optimizer must be a name or a torch optimizer class, got ndarray"),
        (lambda params, lr: 3, "^optimizer must return a torch optimizer, got 3"),
        (torch.optim.SparseAdam, "^weight_decay=.*SparseAdam fails: .*dense"),
        (torch.optim.lr_scheduler.StepLR, "^optimizer must be a name"),
    ],
)
def test_objects_that_are_no_optimizer(optimizer, message):
    with pytest.raises((ValueError, TypeError), match=message):
        net(optimizer=optimizer, learning_rate=0.1, weight_decay=0).fit(X, Y)


def test_other_optimizers_are_not_tried():
    for optimizer in (torch.optim.LBFGS, torch.optim.Rprop):
        net(optimizer=optimizer, learning_rate=0.1, weight_decay=0).fit(X, Y)


def test_a_search_names_the_loss():
    search = LossDecoderSearchCV(net(), [lambda o, t: 1 / 0], ["threshold"], cv=2)
    with pytest.raises(ValueError, match="loss=<lambda> cannot be trained with: ZeroDivision"):
        search.fit(X, Y)


def test_errors_of_the_user_pass_as_they_are():
    class Reason(Exception):
        pass

    def refuse(*args):
        raise Reason("no such table")

    for params in (dict(loss=refuse), dict(module=refuse), dict(monitor=refuse)):
        with pytest.raises(Reason, match="^no such table$"):
            net(**{"early_stopping": True, "hidden_layer_sizes": "auto", **params}).fit(X, Y)


def test_a_loss_that_needs_many_rows_gets_as_many_as_a_batch():
    def needs_many(outputs, targets):
        if len(outputs) < 20:
            raise ValueError("too few rows")
        return entries(outputs, targets)

    net(loss=needs_many, batch_size=60).fit(X, Y)
    with pytest.raises(ValueError, match="^loss=needs_many cannot be trained with: too few rows"):
        net(loss=needs_many, batch_size=10).fit(X, Y)


def test_training_itself_raises_if_a_function_is_not_finite():
    def not_finite(outputs, targets):
        return entries(outputs, targets) / 0

    with pytest.raises(ValueError, match="loss .*not_finite.* is nan in epoch 1"):
        net(loss=not_finite).fit(X, Y)
