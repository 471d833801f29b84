"""Parameters that users of other libraries look for, and what does the same here."""

from __future__ import annotations

from collections.abc import Collection
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from .messages import did_you_mean

__all__ = ["advise", "advising"]

Class = TypeVar("Class", bound=type)

# What has another name here, if the class has it.
_RENAMED = {
    "alpha": "weight_decay",
    "criterion": "loss",
    "decoder": "decoders",
    "epochs": "max_epochs",
    "folds": "cv",
    "learning_rate_init": "learning_rate",
    "loss": "losses",
    "lr": "learning_rate",
    "max_iter": "max_epochs",
    "n_epochs": "max_epochs",
    "n_folds": "cv",
    "n_splits": "cv",
    "num_epochs": "max_epochs",
    "patience": "n_iter_no_change",
    "random_seed": "random_state",
    "seed": "random_state",
    "solver": "optimizer",
}
HELD_OUT = "rows for early stopping and the decision are held out of X, see the parameter cv"
_INSTEAD = {
    "class_weight": (
        "weight rows by sample_weight in fit, or the positives of labels by a loss such as "
        "BinaryCrossEntropy(pos_weight='balanced'), or set it in the classifier that is wrapped"
    ),
    "threshold": (
        "use decoder=FixedThreshold(0.3), or a decoder that is tuned, such as 'per_label_threshold'"
    ),
    "eval_set": HELD_OUT,
    "metric": "use for_metric(metric)",
    "scoring": "use for_metric(metric), or LossDecoderSearchCV",
    "validation_data": HELD_OUT,
}


def advise(name: str, known: Collection[str]) -> str:
    """Return the end of a message on a parameter that does not exist: what to use, or nothing.

    Parameters
    ----------
    name : str
        The unknown parameter.
    known : collection of str
        The parameters that exist.
    """
    if name in _INSTEAD:
        return f": {_INSTEAD[name]}"
    if _RENAMED.get(name) in known:
        return f": use {_RENAMED[name]}"
    if name.partition("__")[0] in known:
        return f": use set_params({name}=...), or an object with this parameter"
    return did_you_mean(name, known)


def advising(cls: Class) -> Class:
    """Let the constructor of a class advise on parameters that it does not have."""
    init: Any = cls.__init__  # type: ignore[misc]
    known = [*signature(init).parameters][1:]

    @wraps(init)
    def __init__(self: Any, *args: Any, **params: Any) -> None:
        for name in params:
            if name not in known:
                raise TypeError(
                    f"{cls.__name__}() got an unexpected keyword argument {name!r}"
                    f"{advise(name, known)}"
                )
        init(self, *args, **params)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls
