"""The members that `DecodedClassifierCV.for_metric` averages unless an estimator is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from .._data.advice import advise
from .._decision.presets import vote_for
from .._decision.routing import request_metadata
from ..classifier import MultiLabelNetClassifier
from ..voting import SoftVotingClassifier
from .linear import MultiLabelLogisticRegressionCV
from .trees import MultiLabelExtraTreesClassifier

__all__ = ["make_members"]


def make_members(
    metric: Any, linear: bool, params: dict[str, Any], seed: Any, per_fold: Callable[..., Any]
) -> SoftVotingClassifier:
    """Return the soft-voting ensemble that suits a metric: "net", "trees" and perhaps "linear".

    Parameters
    ----------
    metric : str or callable
        As for `MultiLabelNetClassifier.for_metric`.
    linear : bool
        Whether the linear model is a member where weights are learned.
    params : dict
        Parameters of the networks, among them `cv` and `ensemble`, which other members share where
        they have them.
    seed : int, RandomState or None
        The `random_state` of all members.
    per_fold : callable
        `DecodedClassifierCV`, which makes one classifier per fold of the trees.
    """
    known = inspect.signature(MultiLabelNetClassifier).parameters
    for name in params:
        if name not in known:
            raise TypeError(
                f"for_metric() got an unexpected keyword argument {name!r}, which is no parameter "
                f"of DecodedClassifierCV or MultiLabelNetClassifier{_advise(name, known)}"
            )
    params = params | {"random_state": seed, "store_cv_results": True}
    cv, ensemble = params["cv"], params["ensemble"]
    if isinstance(cv, str) and cv in ("oof", "prefit"):
        raise ValueError(
            f"cv={cv!r} needs an estimator: without one, cv is that of the networks and the other "
            "members"
        )
    if isinstance(cv, str):
        raise ValueError(f"cv must be an int, a splitter or splits, got {cv!r}")
    if getattr(cv, "random_state", 0) is None and getattr(cv, "shuffle", True):
        raise ValueError(f"cv={cv!r} would give each member other folds: set its random_state")
    params["cv"] = list(cv) if np.iterable(cv) else 5 if cv is None else cv
    params["ensemble"] = True if isinstance(ensemble, str) and ensemble == "auto" else ensemble

    def common(*names: str) -> dict[str, Any]:
        return {name: params[name] for name in names if name in params}

    # The decision is that of the vote.
    net = MultiLabelNetClassifier.for_metric(metric, **params, decoder="auto", calibration=None)
    trees = MultiLabelExtraTreesClassifier(**common("random_state", "categorical_features"))
    request_metadata(trees, "sample_weight")
    folds = common("cv", "ensemble", "n_jobs", "random_state", "store_cv_results")
    members = [("net", net), ("trees", per_fold(trees, "threshold", **folds))]
    weights = vote_for(metric)
    if linear and weights == "learned":
        names = ("cv", "random_state", "store_cv_results", "categorical_features")
        members.append(("linear", MultiLabelLogisticRegressionCV(**common(*names))))
    for _, member in members:
        request_metadata(member, "sample_weight", "groups")
    return SoftVotingClassifier(members, weights=weights, verbose=params.get("verbose", 0))


def _advise(name: str, known: Collection[str]) -> str:
    """Return the end of a message on a parameter that networks have not."""
    if name in inspect.signature(MultiLabelExtraTreesClassifier).parameters:
        return f": use set_params(estimator__trees__estimator__{name}=...) on what it returns"
    return advise(name, known)
