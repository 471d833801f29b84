"""Training that is recalled where it has been made before: the parameter `memory`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import joblib
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_memory

from .._data.validation import LONGEST, describe
from ..losses import Loss
from .build import check_held_out
from .digests import code_digest
from .fit import warn_of_early_end

__all__ = ["train_or_recall"]

# Parameters of an estimator that the training of networks does not see, or is given in another
# form.
NOT_TRAINED = {
    "loss", "decoder", "calibration", "cv", "repeats", "ensemble", "store_cv_results",
    "validation_fraction", "random_state", "device", "n_jobs", "warm_start", "memory",
    "categorical_features", "verbose",
}  # fmt: skip
# Arguments of training that its result does not depend on.
IGNORED = ("n_jobs", "task")


def train_or_recall(
    estimator: BaseEstimator, kind: type[BaseEstimator], train: Callable, loss: Loss, *args: Any
) -> Any:
    """Train with the parameters of an estimator, or recall what came of the same arguments.

    Warns where training diverged, or ended while it still improved.

    Parameters
    ----------
    estimator : MultiLabelNetClassifier
    kind : type
        Its class, or that of which it is a subclass.
    train : callable ``(estimator, loss, *args)``
        Reads parameters, `is_categorical_` and the kind of y.
    loss : Loss
        Fitted.
    *args : object
        Whatever else training depends on.
    """
    check_held_out(estimator)
    found = _train_or_recall(estimator, kind, train, loss, *args)
    warn_of_early_end(found, estimator.max_epochs)
    return found


def _train_or_recall(
    estimator: BaseEstimator, kind: type[BaseEstimator], train: Callable, loss: Loss, *args: Any
) -> Any:
    names = inspect.signature(kind).parameters.keys() - NOT_TRAINED
    params = {name: getattr(estimator, name) for name in sorted(names)}
    trained = kind(**params)
    trained.is_categorical_ = estimator.is_categorical_
    trained._targets = SimpleNamespace(kind=estimator._targets.kind)
    memory = estimator.memory

    @functools.wraps(train)
    def told(trained: BaseEstimator, *args: Any) -> Any:
        # Only now, when the key is made: what is printed changes no result.
        trained.verbose = estimator.verbose
        return train(trained, *args)

    # What goes on from the weights of the last fit is no result of its arguments alone.
    if memory is None or estimator.warm_start:
        return told(trained, loss, *args)
    for name, value in {"loss": loss, **params}.items():
        _check_picklable(name, value, memory)
    trained.code_ = code_digest([loss, *params.values()])
    ignored = [name for name in IGNORED if name in inspect.signature(train).parameters]
    return check_memory(memory).cache(told, ignore=ignored)(trained, loss, *args)


def _check_picklable(name: str, value: Any, memory: Any) -> None:
    """Raise if a parameter cannot be a part of the key; joblib's own message has all arguments."""
    try:
        joblib.hash(value)
    except Exception as error:  # each class fails in its own way
        reason = str(error.args[0]) if error.args else type(error).__name__
        raise ValueError(
            f"memory={describe(memory)} finds networks by what they are trained with, and "
            f"{name}={describe(value)} cannot be pickled: {reason[:LONGEST]}. Define functions "
            "and classes in a module, or set memory=None"
        ) from None
