"""Training that is recalled where it has been made before: the parameter `memory`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pickle import PicklingError
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_memory

from .digests import code_digest
from .losses import Loss

__all__ = ["as_trained", "cached"]

# Parameters that the training of networks does not see, or is given in another form.
NOT_TRAINED = {
    "loss", "decoder", "calibration", "cv", "repeats", "ensemble", "store_cv_results",
    "validation_fraction", "random_state", "device", "n_jobs", "warm_start", "memory",
}  # fmt: skip


def cached(memory: Any, train: Callable, **options: Any) -> Callable:
    """Return a function that trains, or recalls what it made of the same arguments.

    Parameters
    ----------
    memory : None, str or joblib.Memory
    train : callable
    **options : dict
        Of `joblib.Memory.cache`.
    """
    function = check_memory(memory).cache(train, **options)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except PicklingError as error:
            raise ValueError(
                f"memory={memory!r} keeps networks by what they are trained with, and this cannot "
                f"be pickled: {error}"
            ) from error

    return call


def as_trained(kind: type[BaseEstimator], estimator: BaseEstimator, loss: Loss) -> BaseEstimator:
    """Return an estimator of a kind with those parameters that training depends on.

    What else training depends on, such as the fitted loss, is passed along. With `memory` it has
    the code of what it is made of as well.
    """
    names = inspect.signature(kind).parameters.keys() - NOT_TRAINED
    params = {name: getattr(estimator, name) for name in sorted(names)}
    trained = kind(**params)
    if estimator.memory is not None:
        trained.code_ = code_digest([loss, *params.values()])
    return trained
