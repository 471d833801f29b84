"""Results do not depend on the settings of torch in the process, and forked processes compute."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import cache

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._training.device import torch_defaults
from sklearn_mlloss.losses import FunctionLoss, SeparableLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0.5).astype(int)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
]


class OwnLoss(SeparableLoss):
    """Creates tensors without saying of which type."""

    def positive(self, s):
        return torch.nn.functional.softplus(torch.zeros(s.shape) - s) * torch.tensor(1.0)

    def negative(self, s):
        return torch.nn.functional.softplus(s)


class OwnNetwork(torch.nn.Module):
    """Creates tensors without saying of which type."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(n_features, n_outputs)

    def forward(self, X):
        return self.layer(X @ torch.eye(X.shape[1])) / torch.full((), 3.0)


def own_link(outputs):
    # A product, which autocast would compute in bfloat16.
    return (outputs @ torch.eye(outputs.shape[1], dtype=outputs.dtype)).sigmoid()


def net(**params):
    defaults = dict(hidden_layer_sizes=(4,), max_epochs=2, random_state=0, device="cpu")
    return MultiLabelNetClassifier(**(defaults | params))


def bare(**params):
    """Return a classifier around a module of the user's."""
    return net(hidden_layer_sizes="auto", module=OwnNetwork, **params)


NETS = {
    "net": net(),
    "bf16": net(precision="bf16"),
    "own loss": net(loss=OwnLoss(), linear_part=False),
    "own link": net(
        loss=FunctionLoss(torch.nn.BCEWithLogitsLoss, own_link), cv=2, linear_part=False
    ),
    "own module": bare(loss="focal"),
    "quantile": net(encoding="quantile", optimizer="rmsprop", calibration="beta"),
}


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "inference": torch.inference_mode,
}


def settings():
    kinds = "cpu", "cuda", "mps", "xpu"
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        [torch.is_autocast_enabled(kind) for kind in kinds],
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )


@cache
def fitted_once(kind):
    return clone(NETS[kind]).fit(X, Y)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", NETS)
def test_settings_of_torch_do_not_matter(kind, setting):
    plain = copy.deepcopy(fitted_once(kind))
    proba = plain.predict_proba(X)
    with SETTINGS[setting]():
        before = settings()
        other = clone(NETS[kind]).fit(X, Y)
        np.testing.assert_array_equal(other.predict_proba(X), proba)
        np.testing.assert_array_equal(plain.predict_proba(X[:1]), other.predict_proba(X[:1]))
        assert plain.score(X, Y) == other.score(X, Y)
        plain.fit_decoder(X, Y, "global_threshold")
        other.fit_decoder(X, Y, "global_threshold")
        loaded = pickle.loads(pickle.dumps(other))
        assert settings() == before
    assert plain.decoder_.threshold_ == other.decoder_.threshold_
    np.testing.assert_array_equal(loaded.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("make", [net, bare])
def test_settings_of_torch_do_not_matter_for_a_stream(make, setting):
    plain = make().partial_fit(X, Y).partial_fit(X, Y)
    with SETTINGS[setting]():
        other = make().partial_fit(X, Y).partial_fit(X, Y)
        np.testing.assert_array_equal(other.predict_proba(X), plain.predict_proba(X))


AROUND = {
    "DecodedClassifierCV": DecodedClassifierCV(bare(), "threshold", cv=3, random_state=0),
    "SoftVotingClassifier": SoftVotingClassifier(
        [("a", net()), ("b", bare()), ("c", net(loss=OwnLoss(), linear_part=False))]
    ),
    "LossDecoderSearchCV": LossDecoderSearchCV(
        bare(), ["bce", OwnLoss()], ["threshold"], cv=2, random_state=0
    ),
}


@cache
def usual_probabilities(name):
    return clone(AROUND[name]).fit(X, Y).predict_proba(X)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("backend", ["sequential", "threading"])
@pytest.mark.parametrize("name", AROUND)
def test_settings_of_torch_do_not_matter_around_networks(name, backend, setting):
    proba = usual_probabilities(name)
    with SETTINGS[setting](), joblib.parallel_config(backend, n_jobs=2):
        other = clone(AROUND[name]).fit(X, Y)
        np.testing.assert_array_equal(other.predict_proba(X), proba)


def test_an_error_leaves_the_settings_as_they_were():
    def fails(outputs, targets):
        raise RuntimeError("out of memory")

    with default_dtype(torch.float64), torch.autocast("cpu", torch.bfloat16):
        before = settings()
        with pytest.raises(ValueError, match="^loss=fails .*out of memory"):
            net(loss=fails).fit(X, Y)
        assert settings() == before


def test_threads_do_not_restore_the_dtype_of_one_another():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with torch_defaults():
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with default_dtype(torch.float64):
        thread.start()
        assert entered.wait(30)
        with torch_defaults():
            leave.set()
            thread.join()
            assert torch.zeros(1).dtype == torch.float32
        assert torch.zeros(1).dtype == torch.float64


# ------------------------------------------------------------------ forked processes

# Without OMP_NUM_THREADS torch has several threads; the child ends by a signal where it hangs.
FORK = """
import os, signal, threading, warnings
import joblib, multiprocessing, numpy as np, torch
from concurrent.futures import ProcessPoolExecutor
from sklearn_mlloss import MultiLabelNetClassifier, DecodedClassifierCV
from sklearn_mlloss._training import device
warnings.simplefilter("ignore")
torch.set_num_threads(2)
rng = np.random.default_rng(0)
X = rng.normal(size=(1500, 20))
Y = (X[:, :3] > 0).astype(int)
def module(a, b):
    return torch.nn.Sequential(torch.nn.Linear(a, 300), torch.nn.ReLU(), torch.nn.Linear(300, b))
def net(**params):
    return MultiLabelNetClassifier(**(dict(max_epochs=1, device="cpu") | params))
def child(what):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        what()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""
NETWORKS = """
fitted = [net(), net(module=module), DecodedClassifierCV(net(), cv=2)]
for one in fitted:
    one.fit(X, Y).predict(X)
def all_of_them():
    for one in fitted:
        one.predict(X), one.predict(X[:1])
    fitted[0].partial_fit(X, Y)
    for one in fitted:
        one.fit(X, Y)
child(all_of_them)
child(lambda: child(all_of_them))
assert torch.get_num_threads() == 2
child(lambda: (torch.set_num_threads(1), net().fit(X, Y)))
def more_threads():
    assert torch.get_num_threads() == 1
    torch.set_num_threads(2)
    thread = threading.Thread(target=fitted[1].predict, args=[X])  # has a pool of its own
    thread.start()
    thread.join()
    assert torch.get_num_threads() == 2
child(more_threads)
with device._TURN:
    thread = threading.Thread(target=child, args=[lambda: net().fit(X, Y)])
    thread.start()
    thread.join()
one = fitted[1]
proba = one.predict_proba(X)
signal.alarm(60)
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    found = pool.map(one.predict_proba, [X, X])
with ProcessPoolExecutor(2, mp_context=context) as pool:
    found += pool.map(one.predict_proba, [X, X])
for part in found:
    np.testing.assert_allclose(part, proba, rtol=1e-5)  # on one thread
with joblib.parallel_config(backend="multiprocessing"):
    net(cv=2, n_jobs=2).fit(X, Y)
signal.alarm(0)
"""
BUSY_THREADS = """
one = net(hidden_layer_sizes=(500, 500)).fit(X, Y)
torch.set_default_dtype(torch.float64)
stop = threading.Event()
def repeat(what):
    while not stop.is_set():
        what()
work = [lambda: one.predict(X), lambda: net(hidden_layer_sizes=(500, 500)).fit(X, Y)]
threads = [threading.Thread(target=repeat, args=[what]) for what in work]
for thread in threads:
    thread.start()
try:
    for _ in range(2):
        child(lambda: one.predict(X[:1]))
        child(lambda: net().fit(X, Y))
        child(lambda: torch.zeros(1).dtype is torch.float64 or os._exit(1))
finally:
    stop.set()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_processes_compute(monkeypatch):
    for name in "OMP_NUM_THREADS", "MKL_NUM_THREADS":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # other tests need the cores
    code = FORK + NETWORKS + BUSY_THREADS
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)
