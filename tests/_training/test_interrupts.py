"""Interrupts and errors at any place: nothing of torch is left changed."""

import os
import sys
import threading
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import nn

import sklearn_mlloss
from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._training import device
from sklearn_mlloss._training.fast import tiles

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 4))
Y = (X @ rng.normal(size=(4, 2)) + rng.normal(size=(40, 2)) > 0).astype(int)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*too few positives"),
]

PACKAGE = os.path.dirname(sklearn_mlloss.__file__)
# Where contexts are entered and left.
CONTEXTS = ("contextlib.py", "grad_mode.py")
# Places of each action that are tried.
PLACES = 12


class Injected(Exception):
    """An error that nobody expects."""


def make(**params):
    defaults = dict(hidden_layer_sizes=(4,), max_epochs=2, batch_size=20, random_state=0,
                    device="cpu", decoder="threshold")  # fmt: skip
    if "module" in params:
        del defaults["hidden_layer_sizes"]
    return MultiLabelNetClassifier(**{**defaults, **params})


def two_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 4), nn.Dropout(), nn.Linear(4, n_outputs))


def search():
    return LossDecoderSearchCV(
        make(linear_part=False), losses=["bce"], decoders=["threshold"], cv=2, error_score="raise"
    )


FITTED = make(early_stopping=False).fit(X, Y)


def predict():
    # Else only the first prediction of a process would choose the sizes of blocks.
    for cached in (tiles.sizes_for, tiles._same_bits):
        cached.cache_clear()
    return FITTED.predict(X)


ACTIONS = {
    "fit": lambda: make().fit(X, Y),
    "fit a module": lambda: make(module=two_layers, early_stopping=False).fit(X, Y),
    "fit in bf16": lambda: make(precision="bf16", linear_part=False).fit(X, Y),
    "fit with cv": lambda: make(cv=2, max_epochs=1, linear_part=False).fit(X, Y),
    "partial_fit": lambda: make().partial_fit(X, Y),
    "predict": predict,
    "net_": lambda: FITTED.net_.predict(X),
    "search": lambda: search().fit(X, Y),
}


@contextmanager
def unusual():
    """Change all that a user may have changed."""
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    try:
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)


SETTINGS = {"usual": nullcontext, "unusual": unusual, "inference": torch.inference_mode}


def state():
    """Return the settings of torch and of numpy's generator, and if others can train."""
    free = []

    def take():
        free.append(device._TURN.acquire(blocking=False))
        if free[0]:
            device._TURN.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "contexts of autocast": device._autocast_depth(),
        "generator": torch.get_rng_state().numpy().tobytes(),
        "numpy": np.random.get_state()[1].tobytes(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "others may train": free[0],
    }


def raise_at(action, place, error):
    """Return the places that an action comes by, in order; raise at one of them."""
    places = {}

    def trace(frame, event, arg):
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) and not file.endswith(CONTEXTS):
            return None
        if event == "line":
            here = (file, frame.f_lineno)
            if here not in places:
                places[here] = None
                if here == place:
                    sys.settrace(None)
                    raise error
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return list(places)


@pytest.mark.parametrize(
    "settings, kind",
    [("usual", Injected), *((settings, KeyboardInterrupt) for settings in SETTINGS)],
)
@pytest.mark.parametrize("name", ACTIONS)
def test_nothing_of_torch_is_left_changed(name, settings, kind):
    action = ACTIONS[name]
    action()  # The first call imports more than others.
    with SETTINGS[settings]():
        before = state()
        places = raise_at(action, None, None)
        assert state() == before
        chosen = places[:: max(1, len(places) // PLACES)]
        for place in chosen:
            # The traceback is kept, as a notebook does.
            # Where a parameter is tried, an error is one of its values.
            with pytest.raises((kind, ValueError), match="injected") as kept:
                raise_at(action, place, kind("injected"))
            changed = [key for key, value in state().items() if value != before[key]]
            assert not changed, (place, changed)
            assert kept is not None
    assert len(chosen) >= min(PLACES, len(places))


@pytest.mark.parametrize("what", ["seeded", "threads_for"])
@pytest.mark.parametrize("method", ["__enter__", "__exit__"])
def test_an_interrupt_within_a_context_of_training(what, method, monkeypatch):
    """At each line of `contextlib` that enters or leaves the context."""
    before = state()
    lines = {"__enter__": 3, "__exit__": 6}[method]
    for line in range(lines):
        count = []

        def trace(frame, event, arg, line=line, count=count):
            code = frame.f_code
            if code.co_name != method or not code.co_filename.endswith("contextlib.py"):
                return trace if code.co_filename.startswith(PACKAGE) else None
            context = frame.f_locals.get("self")
            if getattr(getattr(context, "gen", None), "__name__", None) != what:
                return None
            if event == "line":
                count.append(1)
                if len(count) == line + 1:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        old = sys.gettrace()
        sys.settrace(trace)
        torch.set_num_threads(2)
        try:
            make(max_epochs=1).fit(X, Y)
        except KeyboardInterrupt as error:
            kept = error
        finally:
            sys.settrace(old)
        changed = {key for key, value in state().items() if value != before[key]} - {"threads"}
        assert not changed and torch.get_num_threads() == 2, line
    torch.set_num_threads(before["threads"])
    assert kept is not None
