"""Cached training: the parameter `memory`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
from sklearn.utils.validation import check_memory

from .._data.validation import LONGEST, describe
from .build import Plan
from .callbacks import check_callbacks
from .digests import code_digest
from .fit import warn_of_early_end

__all__ = ["train_cached"]

# Parameters of an estimator that the training of networks does not read, or only to print or to
# share work. `loss` and `device` are keyed as they are in the plan.
NOT_IN_KEY = {
    "loss", "decoder", "calibration", "cv", "repeats", "ensemble", "store_cv_results",
    "validation_fraction", "random_state", "device", "n_jobs", "warm_start", "memory",
    "categorical_features", "verbose",
}  # fmt: skip


def train_cached(train: Callable[..., Any], plan: Plan, *args: Any) -> Any:
    """Return ``train(plan, *args)``, from the cache if it has been called with equal arguments.

    Raises for callbacks that cannot work. Warns if training diverged, or ended while it still
    improved.
    """
    params = plan.params
    check_callbacks(
        params.callbacks or (),
        scored=params.early_stopping,
        # With ensemble=False the last network is trained on all rows.
        monitored=params.early_stopping and (params.cv is None or params.ensemble),
    )
    # What continues from the weights of the last fit is not a function of its arguments alone.
    if params.memory is None or params.warm_start:
        result = train(plan, *args)
    else:
        cached = check_memory(params.memory).cache(_call, ignore=["train", "plan"])
        result = cached(train, train.__name__, _key(plan), plan, *args)
    warn_of_early_end(result, params.max_epochs)
    return result


def _call(train: Callable[..., Any], name: str, key: dict[str, str], plan: Plan, *args: Any) -> Any:
    """Train; the cache compares all arguments except `train` and `plan`."""
    return train(plan, *args)


def _key(plan: Plan) -> dict[str, str]:
    """Return hashes of all that training reads of a plan, and of the code that it runs."""
    values = {name: value for name, value in vars(plan.params).items() if name not in NOT_IN_KEY}
    values["loss"] = plan.loss
    key = {"code": code_digest(list(values.values()))}
    values |= {
        "device": str(plan.device),
        "is_categorical": plan.is_categorical,
        "exclusive": plan.exclusive,
    }
    for name, value in values.items():
        try:
            key[name] = joblib.hash(value)
        except Exception as error:  # each class fails in its own way
            reason = str(error.args[0]) if error.args else type(error).__name__
            raise ValueError(
                f"memory={describe(plan.params.memory)} finds networks by what they are trained "
                f"with, and {name}={describe(value)} cannot be pickled: {reason[:LONGEST]}. Define "
                "functions and classes in a module, or set memory=None"
            ) from None
    return key
