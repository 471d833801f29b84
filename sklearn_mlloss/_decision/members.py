"""Classifiers with named members: a parameter that is a list of (name, classifier), and weights."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from sklearn.base import MetaEstimatorMixin, is_classifier

from .._data.messages import describe
from .._data.validation import check_number
from .._sklearn import _BaseComposition

__all__ = ["Composition", "is_dropped", "least_log_loss"]

# Probabilities this near to 0 or 1 count as so near: a forest is often sure, and sometimes wrong.
SURE = 1e-6


class Composition(MetaEstimatorMixin, _BaseComposition):
    """Base class of classifiers with named members and the parameter `weights`."""

    # The parameter that is a list of members.
    _members_of = "estimators"
    weights: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of this object and, if `deep`, the members and their parameters."""
        if isinstance(getattr(self, self._members_of), list):
            return self._get_params(self._members_of, deep=deep)
        return super().get_params(deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, members by name or parameters of members.

        Parameters
        ----------
        **params : dict
            Such as ``trees__max_depth=3``, or ``trees="drop"`` to leave a member out.

        Returns
        -------
        self
        """
        if isinstance(params.get(self._members_of, getattr(self, self._members_of)), list):
            return self._set_params(self._members_of, **params)
        return super().set_params(**params)

    def _members(self) -> list[tuple[str, Any]]:
        """Return names and classifiers that are not dropped."""
        return [pair for pair in getattr(self, self._members_of) if not is_dropped(pair[1])]

    def _check_members(self) -> None:
        """Raise unless the parameter is a list of classifiers with `predict_proba`."""
        parameter, members = self._members_of, getattr(self, self._members_of)
        try:
            if not isinstance(members, list):
                raise TypeError(f"it is a {type(members).__name__}")
            if not members or not all(map(_is_pair, members)):
                raise ValueError("it must have pairs of a string and a classifier")
            self._validate_names([name for name, _ in members])
            if not self._members():
                raise ValueError("All estimators are dropped: at least one is needed")
            for name, member in self._members():
                if isinstance(member, type) or not hasattr(member, "fit"):
                    raise TypeError(
                        f"{name!r} must be an instance of a classifier, or 'drop' to leave it out, "
                        f"got {describe(member)}"
                    )
                if not is_classifier(member):
                    raise ValueError(f"{name!r} should be a classifier")
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{parameter} must be a list of pairs (name, classifier) with different names, got "
                f"{describe(members)}: {error}"
            ) from error
        for name, member in self._members():
            if not hasattr(member, "predict_proba"):
                raise TypeError(
                    f"{parameter} must have predict_proba, and {name!r} has none, got "
                    f"{describe(member)}: use DecodedClassifierCV({type(member).__name__}(...), "
                    "calibration='sigmoid')"
                )

    def _learns_weights(self) -> bool:
        return isinstance(self.weights, str) and self.weights == "learned"

    def _shares(self) -> np.ndarray:
        """Return the weights of the members that are not dropped, scaled to sum 1."""
        parameter, members = self._members_of, getattr(self, self._members_of)
        weights = np.ones(len(members)) if self.weights is None else self.weights
        weights = list(weights) if np.iterable(weights) else []
        if len(weights) != len(members) or not all(map(_is_weight, weights)):
            raise ValueError(
                f"weights must be None, 'learned' or {len(members)} numbers >= 0, one for each of "
                f"{parameter}, got {describe(self.weights)}"
            )
        kept = np.array(
            [w for w, (_, m) in zip(weights, members, strict=True) if not is_dropped(m)],
            dtype=np.float64,
        )
        if not kept.any():
            raise ValueError(
                f"weights must be above 0 for one of {parameter} at least that is not dropped, got "
                f"{describe(self.weights)}"
            )
        return kept / kept.sum()


def least_log_loss(
    scores: list[np.ndarray], Y: np.ndarray, weight: np.ndarray | None
) -> np.ndarray:
    """Return the weights, with sum 1, of the mean of scores with the least log loss.

    Parameters
    ----------
    scores : list of ndarray of shape (n_samples, n_labels)
        Out-of-fold scores of each member; NaN in rows that have none.
    Y : ndarray of shape (n_samples, n_labels)
        NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), or None
    """
    weight = np.ones(len(Y)) if weight is None else weight
    weight = weight[:, None] if weight.ndim == 1 else weight
    seen = ~np.isnan(Y)
    for part in scores:
        seen &= ~np.isnan(part)
    parts = np.empty((len(scores), np.count_nonzero(seen)))
    for part, kept in zip(scores, parts, strict=True):
        np.clip(part[seen], SURE, 1 - SURE, out=kept)
    targets = Y[seen].astype(np.float64)
    weight = np.broadcast_to(weight, Y.shape)[seen]
    if not weight.sum() > 0:
        raise ValueError(
            "weights='learned' needs rows of weight above 0 that all members have out-of-fold "
            "scores of, and there are none: give all of them the same folds"
        )
    weight = weight / weight.sum()

    def loss(shares: np.ndarray) -> tuple[float, np.ndarray]:
        mean = shares @ parts
        value = -weight @ (targets * np.log(mean) + (1 - targets) * np.log1p(-mean))
        return value, parts @ (weight * (mean - targets) / (mean * (1 - mean)))

    n = len(parts)
    total = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
    result = minimize(
        loss, np.full(n, 1 / n), jac=True, method="SLSQP", bounds=[(0, 1)] * n, constraints=total,
        options={"ftol": 1e-9},
    )  # fmt: skip
    # Steps of the solver may leave the bounds by rounding.
    shares = result.x.clip(0, 1)
    return shares / shares.sum()


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str)


def is_dropped(member: Any) -> bool:
    """Return whether a member is left out."""
    return isinstance(member, str) and member == "drop"


def _is_weight(value: Any) -> bool:
    try:
        check_number(value, "weights", low=0)
    except ValueError:
        return False
    return True
