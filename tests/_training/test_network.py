"""Custom networks: mistakes in them raise errors that name `module`."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training import network
from sklearn_mlloss.networks import Encoding

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
Y = (rng.random((60, 3)) < 0.4).astype(np.uint8)


def net(**params):
    return MultiLabelNetClassifier(**{"max_epochs": 2, "early_stopping": False, **params})


class Changed(nn.Module):
    """A linear layer whose outputs are changed."""

    def __init__(self, n_features, n_outputs, change=lambda outputs: outputs):
        super().__init__()
        self.layer, self.change = nn.Linear(n_features, n_outputs), change

    def forward(self, X):
        return self.change(self.layer(X))


class WithoutInit(nn.Module):
    def __init__(self, n_features, n_outputs):
        self.layer = nn.Linear(n_features, n_outputs)


def changed(change):
    return lambda n_features, n_outputs: Changed(n_features, n_outputs, change)


def frozen(n_features, n_outputs):
    return nn.Linear(n_features, n_outputs).requires_grad_(False)


def raises(n_features, n_outputs):
    return {}["missing"]


MODULES = {
    "no module": (lambda a, b: 3, "must return a torch.nn.Module, got 3"),
    "nothing": (lambda a, b: None, "must return a torch.nn.Module, got None"),
    "a class": (lambda a, b: nn.Linear, "must return a torch.nn.Module, got <class"),
    "a list": (lambda a, b: [nn.Linear(a, b)], "must return a torch.nn.Module"),
    "another class": (dict, "fails for .* inputs and 3 outputs: dict expected at most 1 argument"),
    "one argument": (lambda a: nn.Linear(4, 3), r"must be callable with \(n_features, n_outputs"),
    "three arguments": (lambda a, b, c: nn.Linear(a, b), "missing a required argument: 'c'"),
    "an error": (raises, r"fails for .*KeyError\('missing'\)"),
    "no call of __init__": (WithoutInit, "fails for .*AttributeError"),
    "other features": (lambda a, b: nn.Linear(a + 1, b), r"fails for X of shape \(2, 4\)"),
    "other outputs": (lambda a, b: nn.Linear(a, b + 1), r"must return a tensor of shape \(n, 3\)"),
    "an embedding": (lambda a, b: nn.Embedding(a, b), "fails for X of shape"),
    "an error in forward": (changed(lambda out: out["x"]), "fails for X of shape"),
    "a tuple": (changed(lambda out: (out, 1)), "must return a tensor"),
    "integers": (changed(lambda out: out.long()), "must return finite .*torch.int64"),
    "complex numbers": (changed(lambda out: out + 0j), "must return finite .*torch.complex"),
    "NaN": (changed(lambda out: out * float("nan")), "must return finite .*NaN or infinity"),
    "detached": (changed(lambda out: out.detach()), "must return outputs with a gradient"),
    "frozen": (frozen, "with parameters to train"),
    "no parameters": (lambda a, b: nn.Softmax(-1), "with parameters to train"),
    "lazy": (lambda a, b: nn.LazyLinear(b), "layers of known sizes"),
    "without memory": (lambda a, b: nn.Linear(a, b, device="meta"), "layers of known sizes"),
}


@pytest.mark.parametrize("name", MODULES)
def test_wrong_modules(name):
    module, message = MODULES[name]
    model = net(module=module)
    with pytest.raises((ValueError, TypeError), match=f"^module {message}|^module .*{message}"):
        model.fit(X, Y)
    assert not hasattr(model, "net_")


def test_right_modules():
    for module in (nn.Linear, Changed, lambda a, b, c=1: nn.Linear(a, b, dtype=torch.float64)):
        assert np.isfinite(net(module=module).fit(X, Y).predict_proba(X)).all()


class WrongLayer(Encoding):
    def _fit(self, columns):
        return 4

    def _module(self, dtype):
        return 3


class WrongWidth(WrongLayer):
    def _module(self, dtype):
        return nn.Linear(4, 5)


class Transformer(BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[:, :0]


class FailsInFit(Transformer):
    def fit(self, X, y=None):
        raise KeyError("no")


class FailsInTransform(Transformer):
    def transform(self, X):
        raise RuntimeError("no")


class OneArgument(Transformer):
    def fit(self, X):
        return self


class NoEstimator:
    fit, transform = Transformer.fit, Transformer.transform


@pytest.mark.parametrize(
    "encoding, message",
    [
        (WrongLayer(), "=WrongLayer must make a torch.nn.Module, got 3"),
        (WrongWidth(), " fails for X of shape"),
        (Transformer(), r"=Transformer\(\) must return one row per row of X"),
        (FailsInFit(), r"=FailsInFit\(\) fails: KeyError\('no'\)"),
        (FailsInTransform(), r"=FailsInTransform\(\) fails: RuntimeError\('no'\)"),
        (OneArgument(), r"=OneArgument\(\) fails: .*takes 2 positional"),
        (NoEstimator(), "=.* fails: Cannot clone"),
        (Encoding, "=Encoding cannot be made without arguments"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_encodings(encoding, message):
    model = net(encoding=encoding)
    with pytest.raises((ValueError, TypeError), match=f"^encoding{message}"):
        model.fit(X, Y)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("sizes", [(10**30,), (10**5, 10**7), (3, 10**12), (10**400,), (10**5000,)])
def test_layers_beyond_memory(sizes):
    message = "^hidden_layer_sizes=.* with 32 inputs and 3 outputs takes .* GiB of memory"
    with pytest.raises(ValueError, match=message):
        net(hidden_layer_sizes=sizes).fit(X, Y)


def test_how_much_memory_layers_take(monkeypatch):
    monkeypatch.setattr(network, "_physical_memory", lambda: 8 * 2**30)
    # (9 * 2**30 + (2**30 + 1) * 1) weights, and as many gradients, of 4 bytes
    with pytest.raises(ValueError, match=r"takes 80 GiB of memory .*, and 8 GiB are available"):
        network.check_memory((2**30,), 8, 1, torch.float32)
    with pytest.raises(ValueError, match=r"takes 160 GiB of memory"):
        network.check_memory((2**30,), 8, 1, torch.float64)
    network.check_memory((2**20,), 8, 1, torch.float32)


def test_memory_is_unknown_on_some_systems(monkeypatch):
    monkeypatch.delattr(network.os, "sysconf", raising=False)
    assert network._physical_memory() == 2**63


def test_a_failure_to_make_the_built_in_network_names_its_layers(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("you tried to allocate 4 bytes")

    monkeypatch.setattr(network.MLP, "__init__", fails)
    with pytest.raises(ValueError, match="^hidden_layer_sizes fails for 32 inputs and 3 outputs"):
        net().fit(X, Y)
