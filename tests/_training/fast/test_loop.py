"""The built-in network without autograd: the ordinary path is the reference."""

import copy
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy import stats
from skorch.callbacks import Callback, Checkpoint, Freezer, PassthroughScoring
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training import net as net_file
from sklearn_mlloss._training.batches import Batches, Table
from sklearn_mlloss._training.fast import loop as fused_file
from sklearn_mlloss._training.fast.loop import FusedTraining, Noise, can_fuse
from sklearn_mlloss._training.fast.sparse import SparseRows
from sklearn_mlloss._training.optimizers import OPTIMIZERS, keep_compiler_out
from sklearn_mlloss.losses import LOSSES, BinaryCrossEntropy, Criterion, FunctionLoss
from sklearn_mlloss.networks import ACTIVATIONS, MLP, Mixup

rng = np.random.default_rng(0)
X = rng.normal(size=(103, 7)).astype(np.float32)
Y = (X @ rng.normal(size=(7, 4)) + rng.normal(size=(103, 4)) > 0.4).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make(**params):
    defaults = dict(hidden_layer_sizes=(16, 12), max_epochs=2, batch_size=16, random_state=0,
                    dropout=0.0, learning_rate=0.01, device="cpu")  # fmt: skip
    if params.get("module") is None:
        defaults["linear_part"] = False
    return MultiLabelNetClassifier(**{**defaults, **params})


@pytest.fixture
def fused(monkeypatch):
    """Count the epochs that were trained without autograd."""
    epochs = []

    class Counted(FusedTraining):
        def epoch(self, batches):
            epochs.append(len(batches))
            return super().epoch(batches)

    monkeypatch.setattr(net_file, "FusedTraining", Counted)
    return epochs


def both_ways(monkeypatch, estimator, X=X, Y=Y, **fit_params):
    """Return the estimator fitted without autograd, and with it."""
    fast = estimator.fit(X, Y, **fit_params)
    slow = make(**estimator.get_params(deep=False))
    with monkeypatch.context() as patch:
        patch.setattr(net_file, "can_fuse", lambda *parts: False)
        slow.fit(X, Y, **fit_params)
    return fast, slow


def weights(estimator):
    return [value.numpy() for value in estimator.net_.module_.state_dict().values()]


def assert_equal(fast, slow, rtol=1e-4, atol=1e-6):
    for ours, theirs in zip(weights(fast), weights(slow), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    assert fast.history_.keys() == slow.history_.keys()
    for name, curve in fast.history_.items():
        np.testing.assert_allclose(curve, slow.history_[name], rtol=rtol, atol=atol)


def accuracy(Y, scores):
    return float(((scores > 0.5) == Y).mean())


@pytest.mark.parametrize(
    "params",
    [
        *[{"optimizer": name} for name in OPTIMIZERS],
        {"optimizer": "sgd", "optimizer_params": {"momentum": 0.9, "nesterov": True}},
        {"optimizer": "sgd", "optimizer_params": {"momentum": 0.9, "dampening": 0.5}},
        {"optimizer_params": {"amsgrad": True}, "weight_decay": 0.1},
        {"optimizer_params": {"maximize": True}, "learning_rate": 1e-3},
        {"optimizer_params": {"foreach": True}},
        {"optimizer": "adagrad", "optimizer_params": {"initial_accumulator_value": 0.5}},
        *[{"activation": name} for name in ACTIVATIONS],
        {"normalization": "layer", "activation": "gelu"},
        # The gradient of a bias before batch normalisation consists of rounding errors only, which
        # Adam would amplify.
        {"normalization": "batch", "optimizer": "sgd", "learning_rate": 0.1},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (5,)},
        {"hidden_layer_sizes": (9, 8, 7)},
        {"batch_size": 1000},
        {"batch_size": 7, "early_stopping": False},
        {"batch_size": 1, "max_epochs": 1},
        {"lr_schedule": "cosine", "max_epochs": 5},
        {"weight_decay": 0.5},
        {"monitor": accuracy},
    ],
    ids=lambda params: ", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in params.items()),
)
def test_weights_and_curves_are_those_of_autograd(monkeypatch, fused, params):
    estimator = make(**params)
    assert_equal(*both_ways(monkeypatch, estimator))
    assert len(fused) == estimator.max_epochs


@pytest.mark.parametrize(
    "precision, tolerance, linear_part", [("float32", 1e-4, False), ("float64", 1e-9, True)]
)
@pytest.mark.parametrize("name", LOSSES)
def test_all_losses(monkeypatch, fused, name, precision, tolerance, linear_part):
    params = dict(loss=name, precision=precision, linear_part=linear_part)
    fast, slow = both_ways(monkeypatch, make(**params))
    assert_equal(fast, slow, rtol=tolerance, atol=tolerance / 100)
    assert len(fused) == 2


TARGETS = {
    "soft": Y * 0.8 + 0.1,
    "missing": np.where(rng.random(Y.shape) < 0.3, np.nan, Y),
    "one label": Y[:, :1],
}


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("weighted", ["no", "rows", "entries"])
@pytest.mark.parametrize("loss", ["bce", "asymmetric", "splc"])
def test_targets_and_weights(monkeypatch, fused, targets, weighted, loss):
    weight = {
        "no": None,
        "rows": rng.integers(1, 4, len(Y)),
        "entries": rng.random(TARGETS[targets].shape) + 0.5,
    }[weighted]
    estimator = make(loss=loss, batch_size=40, early_stopping=False)
    assert_equal(*both_ways(monkeypatch, estimator, Y=TARGETS[targets], sample_weight=weight))
    assert len(fused) == 2


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array, np.asfortranarray])
@pytest.mark.parametrize("hidden", [(), (16, 12)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_kinds_of_input(monkeypatch, fused, kind, share, hidden, precision):
    thinned = np.where(rng.random(X.shape) < share, X, 0)
    thinned[:, 2] = 0
    estimator = make(hidden_layer_sizes=hidden, precision=precision)
    fast, slow = both_ways(monkeypatch, estimator, X=kind(thinned))
    assert_equal(fast, slow)
    for parameter in fast.net_.module_.parameters():
        assert parameter.is_contiguous()
    assert len(fused) == 2


@pytest.mark.parametrize("params", [{}, {"dropout": 0.5}, {"normalization": "layer"}])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_products_in_bfloat16(monkeypatch, fused, params, kind):
    table = kind(np.where(rng.random(X.shape) < 0.2, X, 0))
    common = dict(hidden_layer_sizes=(64, 32), max_epochs=10, early_stopping=False, **params)
    exact = make(**common).fit(table, Y)
    fast, slow = both_ways(monkeypatch, make(precision="bf16", **common), X=table)
    assert len(fused) == 20
    for half in (fast, slow):
        assert half.predict_proba(table).dtype == np.float64
        assert {p.dtype for p in half.net_.module_.parameters()} == {torch.float32}
        if params == {}:
            # Gradients of three digits lead to the same place.
            assert half.history_["train_loss"] != exact.history_["train_loss"]
            np.testing.assert_allclose(
                half.history_["train_loss"], exact.history_["train_loss"], rtol=0.05
            )


def test_sparse_rows_never_become_dense(monkeypatch, fused):
    thin = sp.csr_array(np.where(rng.random(X.shape) < 0.1, X, 0))
    estimator = make(early_stopping=False)
    with monkeypatch.context() as patch:
        patch.setattr(Table, "batch", lambda *arguments: pytest.fail("became dense"))
        estimator.fit(thin, Y)
    assert len(fused) == 2


@pytest.mark.parametrize("hidden", [(), (16, 12)])
def test_sparse_rows_are_predicted_as_dense_ones(hidden):
    thin = np.where(rng.random(X.shape) < 0.1, X, 0)
    many = np.tile(thin, (12, 1))  # more than a block
    estimator = make(hidden_layer_sizes=hidden, encoding=None).fit(thin, Y)
    proba = estimator.predict_proba(sp.csr_matrix(many))
    np.testing.assert_allclose(proba, estimator.predict_proba(many), rtol=1e-5)
    # Independent of the position of a row.
    np.testing.assert_array_equal(proba[: len(X)], proba[-len(X) :])
    np.testing.assert_array_equal(estimator.predict_proba(sp.csr_matrix(many[70:90])), proba[70:90])


def test_columns_that_a_row_has_twice(monkeypatch):
    # Their values add up, and need not be in order.
    indptr = 3 * np.arange(len(X) + 1)
    indices = np.tile([5, 1, 5], len(X))
    twice = sp.csr_matrix((X[:, :3].ravel(), indices, indptr), shape=(len(X), 30))
    fast, slow = both_ways(monkeypatch, make(linear_part=False), X=twice)
    assert_equal(fast, slow)
    dense = make(encoding=None, linear_part=False).fit(twice.toarray(), Y)
    proba = dense.predict_proba(twice.toarray())
    np.testing.assert_allclose(fast.predict_proba(twice), proba, rtol=1e-4)
    # A linear part limits the sums, not the values.
    once = sp.csr_matrix(twice.toarray())
    expected = make(linear_part=True).fit(once, Y).predict_proba(once)
    for table in (twice, once):
        proba = make(linear_part=True).fit(table, Y).predict_proba(twice)
        np.testing.assert_allclose(proba, expected, rtol=1e-4)


class EachBatch(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class EachGradient(Callback):
    def on_grad_computed(self, net, **kwargs):
        pass


class EachEpoch(Callback):
    def on_epoch_end(self, net, **kwargs):
        assert net.fused_ is not None
        self.size = len(pickle.dumps(net))
        assert pickle.loads(pickle.dumps(net)).fused_ is None


def scaled(outputs, targets):
    return ((outputs - targets) ** 2).mean(-1)


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        return ((self.scale * outputs - targets) ** 2).mean(-1)


class Own(MLP):
    """A subclass may have another `forward`."""


FAST = {
    "default": {},
    "callback for epochs": {"callbacks": [EachEpoch()]},
    "reads batches": {"callbacks": [PassthroughScoring("train_loss", on_train=True)]},
    "function as loss": {"loss": FunctionLoss(scaled)},
    "module": {"module": MLP},
}
SLOW = {
    "callback for batches": {"callbacks": [EachBatch()]},
    "callback for gradients": {"callbacks": [EachGradient()]},
    "learned loss": {"loss": FunctionLoss(Learned())},
    "subclass": {"module": Own},
    "other module": {"module": nn.Linear},
    "parameter groups": {"net_params": {"optimizer__param_groups": [("*.bias", {"lr": 0.1})]}},
    "closure": {"optimizer": torch.optim.LBFGS, "weight_decay": 0},
}


@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_when_autograd_is_needed(fused, name):
    params = {**FAST, **SLOW}[name]
    if "module" in params:
        params = {**params, "hidden_layer_sizes": "auto", "dropout": "auto"}
    make(**params).fit(X, Y)
    assert bool(fused) == (name in FAST)


def test_frozen_layers_are_left_alone(fused):
    estimator = make(callbacks=[Freezer("layers.0.*")], max_epochs=3)
    first = make(max_epochs=1).fit(X, Y)
    estimator.fit(X, Y)
    assert fused == [6]  # the epoch of the other one
    layer = estimator.net_.module_.layers[0]
    assert not layer.weight.requires_grad
    assert not np.array_equal(layer.weight.detach(), first.net_.module_.layers[0].weight.detach())


def test_hooks_of_modules_are_called():
    network = MLP(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    criterion = Criterion(BinaryCrossEntropy().fit(Y[:, :2]))
    assert can_fuse(network, criterion, optimizer)
    network.layers[0].register_forward_hook(lambda *arguments: None)
    assert not can_fuse(network, criterion, optimizer)


class Doubled(nn.Linear):
    def forward(self, X):
        return 2 * super().forward(X)


class Twice(nn.Module):
    def forward(self, X):
        return torch.cat([X[:, :4], X[:, :3]], dim=1) * 2


def alter_forward(network):
    original = network.forward
    network.forward = lambda rows: 2 * original(rows)


def put(index, make_layer):
    def alter(network):
        network.layers[index] = make_layer()

    return alter


ALTERED = {
    "other activation": put(1, nn.Mish),
    "learned activation": put(1, nn.PReLU),
    "approximate activation": put(1, lambda: nn.GELU(approximate="tanh")),
    "subclass of a linear layer": put(0, lambda: Doubled(7, 8)),
    "no bias": put(0, lambda: nn.Linear(7, 8, bias=False)),
    "nested": put(1, lambda: nn.Sequential(nn.ReLU(), nn.Tanh())),
    "two activations": lambda network: network.layers.insert(1, nn.Tanh()),
    "dropout of the inputs": lambda network: network.layers.insert(0, nn.Dropout(0.0)),
    "normalised late": lambda network: network.layers.insert(2, nn.LayerNorm(8)),
    "other dropout": lambda network: network.layers.insert(2, nn.AlphaDropout(0.0)),
    "something after the last": lambda network: network.layers.append(nn.Identity()),
    "weight norm": lambda network: nn.utils.parametrizations.weight_norm(network.layers[0]),
    "hook of a weight": lambda network: network.layers[0].weight.register_hook(lambda g: g * 0),
    "forward of its own": alter_forward,
    "other encoding": lambda network: setattr(network, "encoding", Twice()),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_networks_are_trained_by_autograd(monkeypatch, fused, name):
    def factory(n_features, n_outputs):
        network = MLP(n_features, n_outputs, hidden_layer_sizes=(8,))
        ALTERED[name](network)
        return network

    params = {"module": factory, "hidden_layer_sizes": "auto", "dropout": "auto", "encoding": None}
    fast, slow = both_ways(monkeypatch, make(**params))
    np.testing.assert_array_equal(fast.predict_proba(X), slow.predict_proba(X))
    assert fused == []


class Does(Callback):
    """Does something to the net after the first epoch."""

    def __init__(self, what):
        self.what = what

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 1:
            torch.manual_seed(0)  # for initial weights
            self.what(net)


def new_module(net):
    net.initialize_module()
    net.initialize_optimizer()


def load_state(net):
    net.optimizer_.load_state_dict(net.optimizer_.state_dict())
    net.optimizer_.param_groups[0]["lr"] = 0.1


def other_optimizer(net):
    net.optimizer_ = torch.optim.SGD(net.module_.parameters(), lr=0.1, fused=True)


def other_activation(net):
    net.module_.layers[1] = nn.Tanh()


CHANGES = {
    "loaded state": load_state,
    "new optimizer": lambda net: net.initialize_optimizer(),
    "no state": lambda net: net.optimizer_.state.clear(),
    "other optimizer": other_optimizer,
    "new module": new_module,
    "no gradients": lambda net: net.optimizer_.zero_grad(),
    "other activation": other_activation,
    "other mixtures": lambda net: setattr(net.module_, "mixup", Mixup(1.0)),
    "inputs left out": lambda net: setattr(net.module_, "input_dropout", nn.Dropout(0.5)),
    "hook": lambda net: net.module_.layers[0].register_forward_hook(lambda m, i, o: o * 2),
    "hook of the optimizer": lambda net: net.optimizer_.register_step_post_hook(
        lambda *arguments: net.module_.layers[0].weight.data.mul_(0.5)
    ),
}


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
@pytest.mark.parametrize("name", CHANGES)
def test_changes_by_callbacks_have_an_effect(monkeypatch, fused, opposite, name, optimizer):
    # Double, since rmsprop divides by tiny gradients; the new module is of single precision.
    precision = "float32" if name == "new module" else "float64"
    estimator = make(
        callbacks=[Does(CHANGES[name])], optimizer=optimizer, max_epochs=4, weight_decay=0,
        precision=precision,
    )  # fmt: skip
    assert_equal(*both_ways(monkeypatch, estimator), rtol=1e-3, atol=1e-5)
    assert fused


def test_dropout_that_callbacks_raise_is_followed(fused):
    def everything(net):
        for layer in net.module_.layers:
            if isinstance(layer, nn.Dropout):
                layer.p = 1.0 - 1e-7

    estimator = make(dropout=0.5, callbacks=[Does(everything)], max_epochs=4, optimizer="sgd")
    estimator.fit(X, Y)
    short = make(dropout=0.5, max_epochs=1, optimizer="sgd").fit(X, Y)
    first = [m.net_.module_.layers[0].weight.detach().numpy() for m in (estimator, short)]
    # No unit passes, so that the first layer has no gradient any more.
    np.testing.assert_allclose(*first, rtol=0.01)


def test_nothing_of_the_buffers_stays_behind(fused):
    estimator = make(early_stopping=False).partial_fit(X, Y)
    assert fused
    for parameter in estimator.net_.module_.parameters():
        assert parameter.grad is None
        assert parameter.is_contiguous()
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 4
        state = estimator.net_.optimizer_.state[parameter]
        assert state.keys() == {"step", "exp_avg", "exp_avg_sq"}
        for value in state.values():
            assert value.untyped_storage().nbytes() == value.numel() * 4
    steps = [id(state["step"]) for state in estimator.net_.optimizer_.state.values()]
    assert len(set(steps)) == len(steps)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_pass_goes_on_from_the_state_of_the_optimiser(monkeypatch, optimizer):
    fast, slow, mixed = (make(optimizer=optimizer, weight_decay=0.1) for _ in range(3))
    for number in range(3):
        fast.partial_fit(X, Y)
        with monkeypatch.context() as patch:
            patch.setattr(net_file, "can_fuse", lambda *parts: False)
            slow.partial_fit(X, Y)
            if number == 1:
                mixed.partial_fit(X, Y)
        if number != 1:
            mixed.partial_fit(X, Y)
    assert_equal(fast, slow)
    assert_equal(mixed, slow)


def test_failure_in_the_middle_gives_the_memory_back(fused):
    nets = []

    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            nets.append(net)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        make(callbacks=[Fails()]).fit(X, Y)
    (net,) = nets
    assert net.fused_ is None
    for parameter in net.module_.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 4


def test_checkpoints_of_the_weights(tmp_path, fused):
    checkpoint = Checkpoint(dirname=tmp_path, monitor="valid_loss_best", f_pickle="net.pkl")
    estimator = make(callbacks=[checkpoint], max_epochs=4).fit(X, Y)
    assert len(fused) == 4
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert {k: v.shape for k, v in saved.items()} == {
        k: v.shape for k, v in estimator.net_.module_.state_dict().items()
    }
    with open(tmp_path / "net.pkl", "rb") as file:
        assert pickle.load(file).fused_ is None


# ---------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.1, 0.3)])
def test_dropout_is_that_of_the_masks(activation, rates):
    torch.manual_seed(0)
    network = MLP(7, 4, (16, 12), activation=activation, dropout=0.5).double()
    for layer, rate in zip(
        [m for m in network.layers if isinstance(m, nn.Dropout)], rates, strict=True
    ):
        layer.p = rate
    start = [p.detach().clone() for p in network.parameters()]
    criterion = Criterion(BinaryCrossEntropy().fit(Y))
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, fused=True)
    table = Table(X.astype(np.float64), Y.astype(np.uint8))
    training = FusedTraining(network, criterion, optimizer, seed=3)
    drawn = []
    draw = training.noise.draw

    def remembered(*arguments):
        for masks in draw(*arguments):
            drawn.extend(masks)
            yield masks

    training.noise.draw = remembered
    loss = training.epoch(Batches(table, len(X)))
    training.release()
    moved = [(a - p.detach()) for a, p in zip(start, network.parameters(), strict=True)]

    with torch.no_grad():
        for parameter, value in zip(network.parameters(), start, strict=True):
            parameter.copy_(value)
    h, masks = table.X, iter(zip(drawn, rates, strict=True))
    for module in network.layers:
        if isinstance(module, nn.Dropout):
            mask, rate = next(masks)
            h = h * mask / (1 - rate)
        else:
            h = module(h)
    value = criterion(h, table.Y)
    value.backward()
    assert loss == pytest.approx(value.item(), rel=1e-12)
    for ours, parameter in zip(moved, network.parameters(), strict=True):
        np.testing.assert_allclose(ours, parameter.grad, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.1, 0.9, 1e-3, 0.9999, 0.99999])
def test_share_of_units_that_are_dropped(rate):
    masks = Noise([(rate, 500)], seed=0)
    ((mask,),) = masks.draw([4000], torch.zeros(1))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    n = mask.numel()
    assert abs((mask == 0).sum().item() - n * rate) < 5 * np.sqrt(n * rate * (1 - rate))
    # Neighbours are independent, in rows and in columns.
    bound = 5 * rate * (1 - rate) / np.sqrt(n)
    for a, b in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        assert abs(((a - (1 - rate)) * (b - (1 - rate))).mean().item()) < bound
    (again,) = next(iter(Noise([(rate, 500)], seed=0).draw([4000], torch.zeros(1))))
    assert torch.equal(mask, again)
    (other,) = next(iter(masks.draw([4000], torch.zeros(1))))
    assert not torch.equal(mask, other)


def test_dropout_is_reproducible_and_depends_on_the_seed():
    first, again = (make(dropout=0.3).fit(X, Y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = make(dropout=0.3, random_state=1).fit(X, Y).predict_proba(X)
    assert not np.allclose(first, other)


# ---------------------------------------------------------------------------- mixtures


@pytest.fixture
def opposite(monkeypatch):
    """Mix each row with the one that stands opposite in its batch, and leave out third columns."""

    def leave_out(X):
        return X * (torch.arange(X.shape[1]) % 3 > 0)

    def mix(self, X):
        if self.training:
            self.share, self.partners = 0.3, torch.arange(len(X)).flip(0)
            X = torch.lerp(X[self.partners], X, self.share)
        return X

    def pair(self, alpha, sizes):
        partners = [
            at + np.arange(n)[::-1] for at, n in zip(np.cumsum(sizes) - sizes, sizes, strict=True)
        ]
        return np.concatenate(partners), np.full(len(sizes), 0.3)

    monkeypatch.setattr(Mixup, "forward", mix)
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, X: leave_out(X) if self.training else X)
    monkeypatch.setattr(Noise, "pair", pair)
    monkeypatch.setattr(Noise, "drop", lambda self, X, rate: leave_out(X))


@pytest.mark.parametrize("name", LOSSES)
def test_mixtures_with_all_losses(monkeypatch, fused, opposite, name):
    params = dict(loss=name, mixup=1.0, input_dropout=0.5, encoding="standard")
    assert_equal(*both_ways(monkeypatch, make(**params)))
    assert len(fused) == 2


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("weighted", ["no", "rows", "entries"])
@pytest.mark.parametrize("loss", ["bce", "asymmetric", "splc"])
def test_mixtures_of_targets_and_weights(monkeypatch, fused, opposite, targets, weighted, loss):
    weight = {
        "no": None,
        "rows": rng.integers(1, 4, len(Y)),
        "entries": rng.random(TARGETS[targets].shape) + 0.5,
    }[weighted]
    estimator = make(loss=loss, batch_size=40, early_stopping=False, mixup=0.2, encoding=None)
    assert_equal(*both_ways(monkeypatch, estimator, Y=TARGETS[targets], sample_weight=weight))
    assert len(fused) == 2


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [(), (16, 12)])
def test_mixtures_of_sparse_rows(monkeypatch, fused, opposite, hidden, precision):
    thin = sp.csr_array(np.where(rng.random(X.shape) < 0.1, X, 0))
    estimator = make(mixup=1.0, hidden_layer_sizes=hidden, precision=precision)
    assert_equal(*both_ways(monkeypatch, estimator, X=thin))
    assert len(fused) == 2


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_pairs_are_drawn_within_each_batch(alpha):
    sizes = [16] * 500 + [5]
    partners, shares = Noise([], seed=1).pair(alpha, sizes)
    starts = np.cumsum(sizes) - sizes
    for start, size in zip(starts, sizes, strict=True):
        assert sorted(partners[start : start + size]) == list(range(start, start + size))
    # Each place is as likely as any other, and so is the row itself.
    places = np.bincount((partners[:-5].reshape(-1, 16) - starts[:-1, None])[:, 3], minlength=16)
    assert stats.chisquare(places).pvalue > 1e-3
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    again, same = Noise([], seed=1).pair(alpha, sizes)
    assert np.array_equal(again, partners) and np.array_equal(same, shares)


@pytest.mark.parametrize("rate", [0.3125, 0.5, 0.1])
def test_inputs_are_dropped_and_the_rest_scaled_up(rate):
    dense = torch.ones(400, 300)
    dropped = Noise([], seed=0).drop(dense, rate)
    assert torch.equal(dense, torch.ones(400, 300))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept].unique(), torch.tensor([1 / (1 - rate)]))
    assert abs((~kept).double().mean().item() - rate) < 5 * np.sqrt(rate * (1 - rate) / 120_000)
    thin = sp.random_array((400, 300), density=0.05, rng=0, dtype=np.float32).tocsr()
    parts = map(torch.from_numpy, (thin.indices, thin.data, thin.indptr))
    rows = Noise([], seed=0).drop(SparseRows(*parts, 300), rate)
    found = rows.values.numpy() / thin.data
    np.testing.assert_allclose(found[found != 0], 1 / (1 - rate), rtol=1e-6)
    assert abs((found == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / thin.nnz)


@pytest.mark.parametrize("params", [{"mixup": 1.0}, {"input_dropout": 0.3}])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_mixtures_are_reproducible_and_depend_on_the_seed(fused, params, kind):
    table = kind(np.where(rng.random(X.shape) < 0.2, X, 0))
    params = params | {"linear_part": False}
    first, again = (make(**params).fit(table, Y).predict_proba(table) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (make(**params, random_state=1), make(linear_part=False)):
        assert not np.allclose(first, other.fit(table, Y).predict_proba(table))
    assert len(fused) == 8


def test_rows_without_entries_are_mixed_as_dense_ones():
    dense = np.where(rng.random((40, 30)) < 0.1, rng.normal(size=(40, 30)), 0).astype(np.float32)
    dense[::3] = 0
    for table in (dense, np.zeros_like(dense)):
        thin = sp.csr_array(table)
        parts = map(torch.from_numpy, (thin.indices, thin.data, thin.indptr))
        partners, shares = torch.randperm(40), torch.rand(40)
        mixed = SparseRows(*parts, 30).mixed(partners, shares)
        found = mixed.times(torch.eye(30))
        full = torch.from_numpy(table)
        torch.testing.assert_close(found, torch.lerp(full[partners], full, shares[:, None]))


def test_rates_that_callbacks_change_in_place_are_followed(fused):
    def nothing(net):
        net.module_.input_dropout.p = 1 - 1e-7
        net.module_.mixup.alpha = 1e6

    params = dict(input_dropout=0.5, mixup=0.5, optimizer="sgd", hidden_layer_sizes=())
    estimator = make(callbacks=[Does(nothing)], max_epochs=4, **params).fit(X, Y)
    short = make(max_epochs=1, **params).fit(X, Y)
    weight, before = (m.net_.module_.layers[0].weight.detach() for m in (estimator, short))
    # No input passes, so that the weights have no gradient any more.
    np.testing.assert_allclose(weight, before, rtol=0.01)
    assert len(fused) == 5


class OwnMLP(MLP):
    """A network of a user's, for which training is by autograd."""


class Inside(nn.Sequential):
    """A custom network with its own mixup."""

    def __init__(self, n_features, n_outputs):
        super().__init__(Mixup(1.0), nn.Linear(n_features, n_outputs))


def own_mlp(n_features, n_outputs):
    return OwnMLP(n_features, n_outputs, (), mixup=1.0)


@pytest.mark.parametrize("module", [own_mlp, Inside])
@pytest.mark.parametrize("encoding", [None, "standard"])
def test_mixtures_in_a_custom_network_have_a_mixed_loss(monkeypatch, opposite, module, encoding):
    params = dict(encoding=encoding, hidden_layer_sizes=(), dropout="auto", early_stopping=False)
    own = make(module=module, **{**params, "hidden_layer_sizes": "auto"}).fit(X, Y)
    monkeypatch.setattr(net_file, "can_fuse", lambda *parts: False)
    built_in = make(mixup=1.0, **params).fit(X, Y)
    np.testing.assert_allclose(
        own.history_["train_loss"], built_in.history_["train_loss"], rtol=1e-5
    )
    for net in (own.net_, built_in.net_):
        (mixup,) = [m for m in net.module_.modules() if isinstance(m, Mixup)]
        assert mixup.share is None and mixup.partners is None


def test_rows_are_mixed_once():
    def twice(n_features, n_outputs):
        return nn.Sequential(Mixup(1.0), Inside(n_features, n_outputs))

    with pytest.raises(ValueError, match="module may mix rows once, got 2 Mixup layers"):
        make(module=twice, hidden_layer_sizes="auto", dropout="auto").fit(X, Y)


# ---------------------------------------------------------------------------- the machine


class Counts(TorchDispatchMode):
    """Counts the times that a value is read from the device."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", ["bce", "sigmoid_f1"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_value_is_read_from_the_device_once_per_epoch(loss, weighted):
    network, criterion = MLP(7, 4, (8,), dropout=0.5), Criterion(LOSSES[loss]().fit(Y))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    weight = np.ones(len(X), dtype=np.float32) if weighted else None
    batches = Batches(Table(X, Y.astype(np.uint8), weight), 10, shuffle=True)
    training = FusedTraining(network, criterion, optimizer, seed=0)
    with Counts() as counts:
        training.epoch(batches)
    assert counts.reads == 1


def test_training_does_not_import_the_compiler():
    code = """
import pickle, sys, warnings
import numpy as np, torch
from skorch.callbacks import Callback
from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.optimizers import OPTIMIZERS
warnings.simplefilter("ignore")
X = np.arange(120.0).reshape(40, 3); Y = X[:, :2] % 7 > 3
for params in [{"optimizer": name} for name in OPTIMIZERS] + [
    {}, {"lr_schedule": "cosine"}, {"lr_schedule": "plateau"}, {"callbacks": [Callback()]}
]:
    for module in (None, torch.nn.Linear):
        net = MultiLabelNetClassifier(max_epochs=2, device="cpu", module=module, **params)
        net.fit(X, Y).partial_fit(X, Y)
        pickle.loads(pickle.dumps(net)).partial_fit(X, Y).predict(X)
        net.__init__(max_epochs=2, device="cpu", module=module, **params)
        net.partial_fit(X, Y).partial_fit(X, Y)
        assert "torch._dynamo" not in sys.modules, params
print("done")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert result.stdout == "done\n", result.stderr


class Once(torch.optim.SGD):
    """Has a step of its own."""

    def step(self, closure=None):
        self.param_groups[0]["steps"] = self.param_groups[0].get("steps", 0) + 1
        return super().step(closure)


@pytest.mark.parametrize("kind", [torch.optim.RMSprop, torch.optim.NAdam, Once])
def test_steps_without_the_compiler_are_the_same(monkeypatch, kind):
    def trained(keep_out):
        parameter, calls = torch.nn.Parameter(torch.ones(3)), []
        optimizer = kind([parameter], lr=0.1)
        optimizer.register_step_post_hook(lambda *arguments: calls.append("hook"))
        if keep_out:
            with monkeypatch.context() as patch:
                patch.delitem(sys.modules, "torch._dynamo", raising=False)
                keep_compiler_out(optimizer)
        assert ("step" in vars(optimizer)) == (keep_out and kind is not Once)
        for _ in range(3):
            optimizer.zero_grad()
            value = optimizer.step(lambda: parameter.square().sum().backward() or 7.0)
        assert value == 7.0 and torch.is_grad_enabled()
        assert "step" not in vars(copy.deepcopy(optimizer))
        return parameter.tolist(), calls

    found = trained(keep_out=True)
    assert found == trained(keep_out=False) and len(found[1]) >= 3


class Threads(Callback):
    """Remembers the threads of torch, where the step is large enough for more than one."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("threads", torch.get_num_threads())


@pytest.mark.parametrize("width, alone", [(8, True), (4096, False)])
def test_small_steps_run_on_one_thread(width, alone):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        sizes = (width, 100)
        estimator = make(callbacks=[Threads()], hidden_layer_sizes=sizes, batch_size=64).fit(X, Y)
        assert set(estimator.net_.history[:, "threads"]) == {1 if alone else 3}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_weights_are_those_of_autograd_on_a_gpu(monkeypatch, fused, optimizer):
    estimator = make(device="cuda", optimizer=optimizer, precision="float64")
    assert_equal(*both_ways(monkeypatch, estimator), rtol=1e-6)
    assert len(fused) == 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("params", [{"dropout": 0.3}, {"input_dropout": 0.3}, {"mixup": 0.2}])
def test_dropout_and_mixup_on_a_gpu(fused, params):
    estimator = make(device="cuda", max_epochs=20, **params).fit(X, Y)
    assert len(fused) == 20
    assert estimator.history_["train_loss"][-1] < estimator.history_["train_loss"][0]


@pytest.mark.parametrize("early_stopping", [True, False])
def test_callbacks_and_users_find_the_network_in_evaluation_mode(early_stopping):
    class Mode(Callback):
        def on_epoch_end(self, net, **kwargs):
            modes.append(net.module_.training)

    modes = []
    estimator = make(dropout=0.5, callbacks=[Mode()], early_stopping=early_stopping).fit(X, Y)
    # As in skorch: what is done after held-out rows is done in their mode.
    assert modes == [not early_stopping] * 2
    assert not estimator.net_.module_.training
    assert not make(dropout=0.5, early_stopping=early_stopping).fit(X, Y).net_.module_.training


@pytest.mark.parametrize("limit", [0, 1 << 25])
def test_rows_are_encoded_once_or_batch_by_batch(monkeypatch, fused, limit):
    monkeypatch.setattr(fused_file, "ENCODED", limit)
    assert_equal(*both_ways(monkeypatch, make(encoding="piecewise_linear")))
    assert len(fused) == 2


@pytest.mark.slow
def test_parallel_fits_share_the_cores(monkeypatch):
    # joblib gives each process its share, and no fit takes more.
    def threads_of_a_fit():
        class Threads(Callback):
            def on_epoch_end(self, net, **kwargs):
                net.history.record("threads", torch.get_num_threads())

        net = MultiLabelNetClassifier(
            hidden_layer_sizes=(4096, 64), batch_size=64, callbacks=[Threads()], max_epochs=1,
            early_stopping=False, device="cpu",
        )  # fmt: skip
        X = np.random.default_rng(0).normal(size=(100, 5))
        return net.fit(X, X[:, :2] > 0).net_.history[-1, "threads"]

    # Without the limits that the tests themselves run under.
    for name in [name for name in os.environ if "NUM_THREADS" in name]:
        monkeypatch.delenv(name)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(threads_of_a_fit)() for _ in range(4))
    assert max(found) <= max(1, joblib.cpu_count() // 2)
