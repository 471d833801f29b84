"""Checks of the parameters of `MultiLabelNetClassifier` before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from .._data.validation import (
    check_call,
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_number,
    describe,
    did_you_mean,
    is_auto,
)

__all__ = [
    "NETWORK",
    "PRECISIONS",
    "check_params",
]

# The type of weights; "bf16" changes the products of training only.
PRECISIONS = {"float32": np.float32, "float64": np.float64, "bf16": np.float32}

# Names of the callbacks that the estimator adds.
BUILT_IN_NAMES = ("lr_schedule", "early_stopping")
# Parameters of the built-in network, with their defaults.
NETWORK = {
    "hidden_layer_sizes": "auto",
    "activation": "relu",
    "dropout": "auto",
    "normalization": None,
    "input_dropout": "auto",
    "mixup": "auto",
}


def check_params(estimator: Any) -> None:
    """Raise a ValueError or TypeError that names the first parameter out of range."""
    for name in ("max_epochs", "n_iter_no_change", "repeats"):
        value = getattr(estimator, name)
        # Infinite patience, as MLPClassifier takes it: the best of max_epochs.
        if name != "n_iter_no_change" or not (isinstance(value, float) and value == np.inf):
            check_integer(value, name, low=1)
    for name in ("early_stopping", "warm_start", "ensemble", "store_cv_results"):
        check_flag(getattr(estimator, name), name)
    check_integer(estimator.verbose, "verbose", low=0)
    check_number(estimator.weight_decay, "weight_decay", low=0)
    check_number(
        estimator.validation_fraction, "validation_fraction", low=0, high=1, closed="neither"
    )
    check_choice(estimator.precision, "precision", PRECISIONS)
    if estimator.learning_rate is not None:
        check_number(
            estimator.learning_rate,
            "learning_rate",
            low=0,
            closed="neither",
            largest=float(np.finfo(PRECISIONS[estimator.precision]).max),
            other="None or ",
        )
    if not is_auto(estimator.batch_size):
        check_integer(estimator.batch_size, "batch_size", low=1, other="'auto' or ")
    monitor = estimator.monitor
    if callable(monitor):
        check_call(monitor, "monitor", "Y", "scores")
    elif not isinstance(monitor, str) or monitor != "loss":
        raise ValueError(
            f"monitor must be 'loss' or a function (Y, scores) -> float, got {describe(monitor)}"
        )
    for name in ("optimizer_params", "net_params"):
        value = getattr(estimator, name)
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"{name} must be None or a dict, got {describe(value)}")
    memory = estimator.memory
    if not (memory is None or isinstance(memory, str) or hasattr(memory, "cache")):
        raise ValueError(
            "memory must be None, the name of a folder, or have the same interface as "
            f"joblib.Memory, got {describe(memory)}"
        )
    check_n_jobs(estimator.n_jobs)
    if isinstance(estimator.cv, Integral) and estimator.cv < 2:
        raise ValueError(f"cv must be None, at least 2, a splitter or splits, got {estimator.cv!r}")
    if estimator.repeats > 1 and not isinstance(estimator.cv, Integral):
        raise ValueError(f"repeats > 1 works with an int cv only, got cv={describe(estimator.cv)}")
    if estimator.warm_start and estimator.cv is not None:
        cv = describe(estimator.cv)
        raise ValueError(f"warm_start=True works with cv=None only, got cv={cv}")
    _check_encoding(estimator.encoding)
    _check_categorical(estimator.categorical_features)
    _check_callbacks(estimator.callbacks)
    if estimator.module is None:
        _check_network(estimator)
    else:
        _check_module(estimator)


def _check_encoding(encoding: Any) -> None:
    # Here, as below: other classifiers fit without torch.
    from ..networks import ENCODINGS, Encoding

    if encoding is None or (isinstance(encoding, str) and encoding in ("auto", *ENCODINGS)):
        return
    if isinstance(encoding, type):
        if issubclass(encoding, Encoding):
            return
    elif isinstance(encoding, Encoding) or all(
        callable(getattr(encoding, name, None)) for name in ("fit", "transform")
    ):
        return
    names = ", ".join(map(repr, ENCODINGS))
    kind = ValueError if isinstance(encoding, str) else TypeError
    raise kind(
        f"encoding must be None, 'auto', one of {names}, an Encoding, or a transformer of "
        f"scikit-learn, got {describe(encoding)}{did_you_mean(encoding, ENCODINGS)}"
    )


def _check_categorical(features: Any) -> None:
    if features is None or (isinstance(features, str) and features == "from_dtype"):
        return
    try:
        array = np.asarray(features)
    except ValueError:  # lists of several lengths
        array = np.empty(())
    known = array.ndim == 1 and (array.dtype.kind in "biuU" or not array.size)
    if array.ndim == 1 and array.dtype.kind == "O":
        known = all(isinstance(name, str) for name in array)
    if not known:
        raise ValueError(
            "categorical_features must be None, 'from_dtype' or an array-like of bool, int or str, "
            f"got {describe(features)}"
        )


def _check_callbacks(callbacks: Any) -> None:
    if callbacks is None:
        return
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"callbacks must be a list of skorch callbacks, got {describe(callbacks)}")
    seen: list[str] = []
    for item in callbacks:
        name, callback = item if isinstance(item, tuple) and len(item) == 2 else ("", item)
        if not hasattr(callback, "on_epoch_end") or not isinstance(name, str):
            raise TypeError(
                "callbacks must hold skorch callbacks or pairs (name, callback), got "
                f"{describe(callbacks)}"
            )
        if name in BUILT_IN_NAMES or (name and name in seen):
            raise ValueError(f"callbacks has the name {name!r} twice: give another")
        seen.append(name)


def _check_network(estimator: Any) -> None:
    from ..networks import ACTIVATIONS, NORMALIZATIONS

    sizes = estimator.hidden_layer_sizes
    known = np.iterable(sizes) and all(_is_size(n) for n in sizes)
    if not known and not (isinstance(sizes, str) and sizes == "auto"):
        raise ValueError(
            "hidden_layer_sizes must be 'auto' or a sequence of ints >= 1, such as (256,) for one "
            f"layer, got {describe(sizes)}"
        )
    check_choice(estimator.activation, "activation", ACTIVATIONS)
    for name, top in ("dropout", 1.0), ("input_dropout", 1.0), ("mixup", math.inf):
        value = getattr(estimator, name)
        if not is_auto(value):
            check_number(value, name, low=0, high=top, closed="left", other="'auto' or ")
    if estimator.normalization is not None:
        check_choice(estimator.normalization, "normalization", NORMALIZATIONS, "None or ")


def _is_size(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _check_module(estimator: Any) -> None:
    from torch import nn

    # An instance is callable, too, but with rows, and cannot be initialised anew for each fit.
    if not callable(estimator.module) or isinstance(estimator.module, nn.Module):
        raise ValueError(
            "module must be a function or class (n_features, n_outputs) -> torch.nn.Module, got "
            f"{describe(estimator.module)}"
        )
    check_call(estimator.module, "module", "n_features", "n_outputs")
    for name, default in NETWORK.items():
        value = getattr(estimator, name)
        if not isinstance(value, type(default)) or value != default:
            raise ValueError(
                f"{name} describes the built-in network and does nothing with module=...: leave "
                f"it at {default!r}, got {describe(value)}"
            )
