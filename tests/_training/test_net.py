"""The net: the rule of the best weights, schedules, and both paths through an epoch."""

import math

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.callbacks import BestWeights, StopTraining
from sklearn_mlloss.losses import FunctionLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make(**params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=6, batch_size=16, random_state=0,
                    learning_rate=0.02, device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**{**defaults, **params})


class FakeHistory(list):
    def record(self, name, value):
        self[-1][name] = value

    def __getitem__(self, key):
        if isinstance(key, tuple):
            return super().__getitem__(key[0])[key[1]]
        return super().__getitem__(key)


class FakeNet:
    """Weights are the number of the epoch."""

    def __init__(self):
        self.history, self.restored = FakeHistory(), None

    def weights(self):
        return len(self.history)

    def set_weights(self, weights):
        self.restored = weights


def follow(losses, patience, score=None):
    """Return the epochs made, the epoch restored, and the rule."""
    net, rule = FakeNet(), BestWeights(patience, score)
    rule.on_train_begin(net)
    try:
        for loss in losses:
            net.history.append({"valid_loss": loss})
            rule.on_epoch_end(net, dataset_valid=())
    except StopTraining:
        pass
    rule.on_train_end(net)
    return len(net.history), net.restored, rule


@pytest.mark.parametrize(
    "losses, patience, made, restored, improving",
    [
        ([3, 2, 1], 2, 3, 3, True),
        ([3, 2, 2, 2, 1], 2, 4, 2, False),
        ([3, 2, 2, 1, 1], 2, 5, 4, True),
        ([1, 2, 0.5], 1, 2, 1, False),
        # Less than a ten-thousandth is no improvement, for either sign.
        ([1, 0.99995, 0.99992, 0.9998], 3, 4, 4, True),
        ([1, 0.9998, 0.9996], 1, 3, 3, True),
        ([-1, -2, -3], 1, 3, 3, True),
        ([-1, -0.5, -0.7], 2, 3, 1, False),
        ([-1, -1.00005, -1.00009], 2, 3, 1, False),
        ([0, -1e-9], 1, 2, 2, True),
        ([1, 0, -1], 1, 3, 3, True),
    ],
)
def test_rule_of_the_best_weights(losses, patience, made, restored, improving):
    epochs, weights, rule = follow(losses, patience)
    assert (epochs, weights, rule.misses_ < patience) == (made, restored, improving)
    assert rule.state_ is None


def test_rule_of_the_best_weights_with_a_score():
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    epochs, weights, rule = follow([1, 2, 3, 4, 5], 2, lambda net, table: next(scores))
    assert (epochs, weights, rule.misses_) == (4, 2, 2)


@pytest.mark.parametrize("worse, improving", [(0, True), (1, True), (2, False), (7, False)])
def test_rule_reports_whether_training_ended_too_early(worse, improving):
    """A quarter of the patience, here 2 epochs, without improvement is enough for no warning."""
    _, _, rule = follow([3, 2, 1, *range(2, 2 + worse)], 8)
    assert rule.is_improving() is improving


def test_rule_does_nothing_without_held_out_rows():
    net, rule = FakeNet(), BestWeights(1)
    rule.on_train_begin(net)
    for _ in range(3):
        net.history.append({})
        rule.on_epoch_end(net, dataset_valid=None)
    rule.on_train_end(net)
    assert net.restored is None


class Quiet(Callback):
    """A callback of the user's that does nothing, but takes training down the other path."""


@pytest.mark.parametrize(
    "params",
    [
        dict(),
        dict(early_stopping=False),
        dict(loss="factorized", normalization="batch", dropout=0.5),
        dict(optimizer="sgd", lr_schedule="cosine", precision="float64"),
        dict(optimizer=torch.optim.LBFGS, weight_decay=0, batch_size=100, max_epochs=2),
    ],
)
def test_both_paths_give_the_same_bits(params):
    plain, noted = make(**params).fit(X, Y), make(callbacks=[Quiet()], **params).fit(X, Y)
    assert noted.net_._has_user_callbacks() and not plain.net_._has_user_callbacks()
    np.testing.assert_array_equal(plain.predict_proba(X), noted.predict_proba(X))
    assert plain.history_.keys() == noted.history_.keys()
    for name, curve in plain.history_.items():
        assert curve == pytest.approx(noted.history_[name], rel=1e-6)


def test_train_loss_is_the_mean_over_rows():
    seen = []

    class Record(Callback):
        def on_batch_end(self, net, loss, batch, training, **kwargs):
            if training:
                seen.append((len(batch[0]), float(loss.detach())))

    net = make(callbacks=[Record()], early_stopping=False, max_epochs=1, batch_size=40).fit(X, Y)
    assert sum(n for n, _ in seen) == 90 and len(seen) == 3
    mean = sum(n * loss for n, loss in seen) / 90
    assert net.history_["train_loss"] == [pytest.approx(mean, rel=1e-6)]


def test_negative_losses_are_stopped_and_restored():
    # A score to be raised has a negative loss; improvement is measured the same way.
    def negative(outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(
            outputs, targets, reduction="none"
        ) - 5  # fmt: skip

    net = make(loss=FunctionLoss(negative), max_epochs=60, n_iter_no_change=5, learning_rate=0.1)
    net.fit(X, Y)
    curve = net.history_["valid_loss"]
    assert max(curve) < 0 and net.n_iter_ < 60
    best = int(np.argmin(curve))
    assert net.n_iter_ - 1 - best <= 5 + 3


def test_custom_module_gets_the_bias_only_in_its_last_layer():
    made = []

    def factory(n_features, n_outputs):
        made.append(nn.Sequential(nn.Linear(n_features, n_outputs), nn.Tanh(),
                                  nn.Linear(n_outputs, n_outputs)))  # fmt: skip
        made[-1].before = [p.clone() for p in made[-1].parameters()]
        return made[-1]

    net = MultiLabelNetClassifier(
        module=factory, max_epochs=1, optimizer="sgd", learning_rate=1e-30, weight_decay=0,
        early_stopping=False, random_state=0, device="cpu",
    ).fit(X, Y)  # fmt: skip
    module, prior = made[0], Y.mean(0)
    assert torch.equal(module[0].bias, module.before[1])
    np.testing.assert_allclose(
        module[2].bias.detach(), np.log(prior / (1 - prior)), rtol=1e-5, atol=1e-6
    )
    assert torch.equal(module[2].weight, module.before[2])
    assert all(math.isfinite(value) for value in net.history_["train_loss"])
