"""The range of every parameter of the classifier, checked when `fit` begins."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_scalar

from .networks import ACTIVATIONS, NORMALIZATIONS

__all__ = ["NETWORK", "PRECISIONS", "check_params"]

PRECISIONS = {"float32": np.float32, "float64": np.float64}

# Parameters of the built-in network, with their defaults.
NETWORK = {
    "hidden_layer_sizes": (256,),
    "activation": "relu",
    "dropout": 0.1,
    "normalization": None,
}


def check_params(estimator: Any) -> None:
    """Raise a ValueError or TypeError that names the first parameter out of range."""
    for name in ("max_epochs", "n_iter_no_change"):
        check_scalar(getattr(estimator, name), name, Integral, min_val=1)
    for name in ("early_stopping", "warm_start"):
        check_scalar(getattr(estimator, name), name, (bool, np.bool_))
    check_scalar(estimator.weight_decay, "weight_decay", Real, min_val=0)
    check_scalar(estimator.verbose, "verbose", Integral, min_val=0)
    check_scalar(estimator.validation_fraction, "validation_fraction", Real, min_val=0, max_val=1,
                 include_boundaries="neither")  # fmt: skip
    if estimator.learning_rate is not None:
        check_scalar(estimator.learning_rate, "learning_rate", Real, min_val=0,
                     include_boundaries="neither")  # fmt: skip
    if isinstance(estimator.batch_size, str) and estimator.batch_size != "auto":
        raise ValueError(f"batch_size must be 'auto' or an int, got {estimator.batch_size!r}")
    if not isinstance(estimator.batch_size, str):
        check_scalar(estimator.batch_size, "batch_size", Integral, min_val=1)
    if not callable(estimator.monitor) and estimator.monitor != "loss":
        raise ValueError(
            f"monitor must be 'loss' or a callable (Y, scores) -> float, got {estimator.monitor!r}"
        )
    if estimator.precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, got {estimator.precision!r}"
        )
    if estimator.module is None:
        _check_network(estimator)
    else:
        _check_module(estimator)


def _check_network(estimator: Any) -> None:
    sizes = estimator.hidden_layer_sizes
    if not np.iterable(sizes) or not all(isinstance(n, Integral) and n >= 1 for n in sizes):
        raise ValueError(f"hidden_layer_sizes must be a sequence of ints >= 1, got {sizes!r}")
    if estimator.activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, got {estimator.activation!r}"
        )
    check_scalar(estimator.dropout, "dropout", Real, min_val=0, max_val=1,
                 include_boundaries="left")  # fmt: skip
    if estimator.normalization is not None and estimator.normalization not in NORMALIZATIONS:
        raise ValueError(
            f"normalization must be None, {', '.join(map(repr, NORMALIZATIONS))}, got "
            f"{estimator.normalization!r}"
        )


def _check_module(estimator: Any) -> None:
    if not callable(estimator.module):
        raise ValueError(
            "module must be a callable (n_features, n_outputs) -> torch.nn.Module, got "
            f"{estimator.module!r}"
        )
    for name, default in NETWORK.items():
        if getattr(estimator, name) != default:
            raise ValueError(
                f"{name} describes the built-in network and does nothing with module=...: leave "
                f"it at {default!r}, got {getattr(estimator, name)!r}"
            )
