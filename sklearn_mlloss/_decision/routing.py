"""Which arguments of `fit` reach the estimator and the splitter, with and without routing."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from sklearn import config_context
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import has_fit_parameter

from .._data.advice import advise
from .._data.folds import check_groups
from .._data.messages import warn_user
from .._sklearn import _routing_enabled
from .members import Composition

__all__ = ["Routed", "check_keywords", "request_metadata", "route", "takes_keyword"]


class Routed(NamedTuple):
    """Who gets what of the arguments of `fit`.

    Attributes
    ----------
    fit, split : dict
        For `fit` of the estimator, and for the splitter.
    groups : ndarray of shape (n_samples,), or None
        For rows that are kept from both.
    """

    fit: dict
    split: dict
    groups: np.ndarray | None


def route(
    owner: Any,
    estimator: Any,
    sample_weight: Any,
    params: dict[str, Any],
    n_rows: int,
    prefit: bool,
) -> Routed:
    """Return what reaches whom of the arguments of `fit`; raise for what nobody takes.

    Parameters
    ----------
    owner : DecodedClassifierCV
    estimator : classifier
        What it fits.
    sample_weight : array-like or None
    params : dict
        Other arguments of `fit` of `owner`.
    n_rows : int
    prefit : bool
        Whether the estimator is not to be fitted.
    """
    own_folds, name = isinstance(owner.cv, str), type(estimator).__name__
    if _routing_enabled():
        routed = process_routing(owner, "fit", sample_weight=sample_weight, **params)
        fit, split = dict(routed.estimator.fit), dict(routed.splitter.split)
        groups = split.get("groups", params.get("groups"))
    else:
        fit, split = dict(params), {}
        groups = fit.pop("groups", None)
        check_keywords(owner, None if prefit else estimator, fit)
        if sample_weight is not None and not prefit:
            if has_fit_parameter(estimator, "sample_weight"):
                fit["sample_weight"] = sample_weight
            else:
                warn_user(
                    f"{name}.fit takes no sample_weight: the weights are used for calibration and "
                    "decoder only"
                )
    if groups is None:
        return Routed(fit, split, None)
    groups = check_groups(groups, n_rows, None if own_folds else estimator)
    if not own_folds:
        split["groups"] = groups
    elif owner.cv == "oof" and not _routing_enabled():
        # The only folds there may be are those of the estimator.
        if not takes_keyword(estimator, "groups"):
            raise TypeError(
                f"{name}.fit takes no groups, and with cv='oof' the folds are its own: give it the "
                "splits, cv=list(GroupKFold().split(X, y, groups)), or use cv=5 here"
            )
        fit["groups"] = groups
    return Routed(fit, split, groups)


def request_metadata(estimator: Any, *names: str) -> Any:
    """Return the estimator, which requests arguments of `fit` where there is metadata routing."""
    with config_context(enable_metadata_routing=True):
        return estimator.set_fit_request(**dict.fromkeys(names, True))


def check_keywords(owner: Any, estimator: Any, names: Iterable[str]) -> None:
    """Raise a TypeError for the first keyword that `fit` of an estimator does not take.

    Parameters
    ----------
    owner : object
        Whose `fit` was called, and passes keywords on.
    estimator : object
        Whose `fit` is to get them; None if there is none.
    names : iterable of str
        The keywords.
    """
    for name in names:
        if estimator is not None and takes_keyword(estimator, name):
            continue
        other = "" if estimator is None else f", and {type(estimator).__name__}.fit takes none such"
        params = {key.rpartition("__")[2] for key in owner.get_params()}
        if name in params:
            hint = ": it is a parameter, which the constructor and set_params take"
        else:
            hint = advise(name, {"sample_weight", "groups"} | params)
        raise TypeError(
            f"{type(owner).__name__}.fit() got an unexpected keyword argument {name!r}{other}{hint}"
        )


def takes_keyword(estimator: Any, name: str) -> bool:
    """Return whether `fit` has a keyword, or passes on all keywords, as a search does."""
    if isinstance(estimator, Pipeline):
        step, _, rest = name.partition("__")
        inner = estimator.named_steps.get(step)
        return bool(rest) and hasattr(inner, "fit") and takes_keyword(inner, rest)
    if isinstance(estimator, Composition) and estimator._members_of == "estimators":
        return name in ("sample_weight", "groups")  # others need metadata routing
    keywords = signature(estimator.fit).parameters
    return name in keywords or any(p.kind is p.VAR_KEYWORD for p in keywords.values())
