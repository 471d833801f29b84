"""Checks of the parameters of `MultiLabelNetClassifier` before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from torch import nn

from .._data.messages import describe, did_you_mean
from .._data.validation import (
    check_call,
    check_choice,
    check_flag,
    check_integer,
    check_n_jobs,
    check_number,
    check_verbose,
    is_auto,
)
from ..networks import ACTIVATIONS, ENCODINGS, NORMALIZATIONS, Encoding

__all__ = ["BESIDE_LAYERS", "BUILT_IN_NAMES", "NETWORK", "PRECISIONS", "TRAINING", "check_params"]

# The type of weights; "bf16" changes the products of training only.
PRECISIONS: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "bf16": np.float32}

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
    "linear_part": "auto",
}
# Those that the layers themselves do not know.
BESIDE_LAYERS = ("linear_part",)
# Parameters that the training of networks reads.
TRAINING = (
    *NETWORK, "module", "encoding", "precision", "optimizer", "optimizer_params", "learning_rate",
    "weight_decay", "lr_schedule", "batch_size", "max_epochs", "early_stopping",
    "n_iter_no_change", "monitor", "callbacks", "net_params", "verbose", "n_jobs", "memory",
    "warm_start",
)  # fmt: skip

Check = Callable[[Any, str], None]


def _or_auto(check: Callable[..., None], **options: Any) -> Check:
    """Return a check of values other than "auto"."""

    def check_value(value: Any, name: str) -> None:
        if not is_auto(value):
            check(value, name, **options, other="'auto' or ")

    return check_value


def _check_patience(value: Any, name: str) -> None:
    # Infinite patience, as MLPClassifier takes it: the best of max_epochs.
    if not (isinstance(value, float) and value == np.inf):
        check_integer(value, name, low=1)


def _check_dict(value: Any, name: str) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be None or a dict, got {describe(value)}")


def _check_monitor(monitor: Any, name: str) -> None:
    if callable(monitor):
        check_call(monitor, name, "Y", "scores")
    elif not isinstance(monitor, str) or monitor != "loss":
        raise ValueError(
            f"{name} must be 'loss' or a function (Y, scores) -> float, got {describe(monitor)}"
        )


def _check_memory(memory: Any, name: str) -> None:
    if not (memory is None or isinstance(memory, str) or hasattr(memory, "cache")):
        raise ValueError(
            f"{name} must be None, the name of a folder, or have the same interface as "
            f"joblib.Memory, got {describe(memory)}"
        )


def _check_encoding(encoding: Any, name: str) -> None:
    if encoding is None or (isinstance(encoding, str) and encoding in ("auto", *ENCODINGS)):
        return
    if isinstance(encoding, type):
        if issubclass(encoding, Encoding):
            return
    elif isinstance(encoding, Encoding) or all(
        callable(getattr(encoding, method, None)) for method in ("fit", "transform")
    ):
        return
    names = ", ".join(map(repr, ENCODINGS))
    kind = ValueError if isinstance(encoding, str) else TypeError
    raise kind(
        f"{name} must be None, 'auto', one of {names}, an Encoding, or a transformer of "
        f"scikit-learn, got {describe(encoding)}{did_you_mean(encoding, ENCODINGS)}"
    )


def _check_categorical(features: Any, name: str) -> None:
    if features is None or (isinstance(features, str) and features == "from_dtype"):
        return
    try:
        array = np.asarray(features)
    except ValueError:  # lists of several lengths
        array = np.empty(())
    known = array.ndim == 1 and (array.dtype.kind in "biuU" or not array.size)
    if array.ndim == 1 and array.dtype.kind == "O":
        known = all(isinstance(feature, str) for feature in array)
    if not known:
        raise ValueError(
            f"{name} must be None, 'from_dtype' or an array-like of bool, int or str, got "
            f"{describe(features)}"
        )


def _check_callbacks(callbacks: Any, name: str) -> None:
    if callbacks is None:
        return
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"{name} must be a list of skorch callbacks, got {describe(callbacks)}")
    seen = list(BUILT_IN_NAMES)
    for item in callbacks:
        label, callback = item if isinstance(item, tuple) and len(item) == 2 else ("", item)
        hooks = hasattr(callback, "on_epoch_end") and hasattr(callback, "initialize")
        if not hooks or not isinstance(label, str):
            raise TypeError(
                f"{name} must hold skorch callbacks or pairs (name, callback), got "
                f"{describe(callbacks)}"
            )
        if label and label in seen:
            raise ValueError(f"{name} has the name {label!r} twice: give another")
        seen.append(label)


def _check_sizes(sizes: Any, name: str) -> None:
    if not is_auto(sizes) and not (np.iterable(sizes) and all(map(_is_size, sizes))):
        raise ValueError(
            f"{name} must be 'auto' or a sequence of ints >= 1, such as (256,) for one layer, got "
            f"{describe(sizes)}"
        )


def _is_size(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _check_normalization(value: Any, name: str) -> None:
    if value is not None:
        check_choice(value, name, NORMALIZATIONS, "None or ")


CHECKS: dict[str, Check] = {
    **dict.fromkeys(("max_epochs", "repeats"), partial(check_integer, low=1)),
    **dict.fromkeys(("early_stopping", "warm_start", "ensemble", "store_cv_results"), check_flag),
    **dict.fromkeys(("optimizer_params", "net_params"), _check_dict),
    "n_iter_no_change": _check_patience,
    "verbose": check_verbose,
    "weight_decay": partial(check_number, low=0),
    "validation_fraction": partial(check_number, low=0, high=1, closed="neither"),
    "precision": partial(check_choice, choices=PRECISIONS),
    "batch_size": _or_auto(check_integer, low=1),
    "monitor": _check_monitor,
    "memory": _check_memory,
    "n_jobs": lambda value, name: check_n_jobs(value),
    "encoding": _check_encoding,
    "categorical_features": _check_categorical,
    "callbacks": _check_callbacks,
}
NETWORK_CHECKS: dict[str, Check] = {
    "hidden_layer_sizes": _check_sizes,
    "activation": partial(check_choice, choices=ACTIVATIONS),
    **dict.fromkeys(
        ("dropout", "input_dropout"), _or_auto(check_number, low=0, high=1, closed="left")
    ),
    "mixup": _or_auto(check_number, low=0, high=math.inf, closed="left"),
    "normalization": _check_normalization,
    "linear_part": _or_auto(check_flag),
}


def check_params(estimator: Any) -> None:
    """Raise a ValueError or TypeError that names the first parameter out of range."""
    checks = CHECKS | (NETWORK_CHECKS if estimator.module is None else {})
    for name, check in checks.items():
        check(getattr(estimator, name), name)
    if estimator.learning_rate is not None:
        largest = float(np.finfo(PRECISIONS[estimator.precision]).max)
        rate = partial(check_number, low=0, closed="neither", largest=largest, other="None or ")
        rate(estimator.learning_rate, "learning_rate")
    cv = estimator.cv
    if isinstance(cv, Integral) and int(cv) < 2:
        raise ValueError(f"cv must be None, at least 2, a splitter or splits, got {cv!r}")
    if estimator.repeats > 1 and not isinstance(cv, Integral):
        raise ValueError(f"repeats > 1 works with an int cv only, got cv={describe(cv)}")
    if estimator.warm_start and cv is not None:
        raise ValueError(f"warm_start=True works with cv=None only, got cv={describe(cv)}")
    if estimator.module is not None:
        _check_module(estimator)


def _check_module(estimator: Any) -> None:
    # An instance is callable, too, but with rows, and cannot be initialised again for each fit.
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
