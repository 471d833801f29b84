"""Logistic regressions of many labels, each on the score of the label: maps that increase."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

__all__ = ["class_weights", "fit_maps", "label_slices", "smooth_targets"]

_MIN_SLOPE = 1e-6  # the least slope: 0 would turn the ranking of a label into ties
_RIDGE = 1e-6  # pulls slopes that the rows do not determine to 1, those of the identity


def fit_maps(
    X: np.ndarray, y: np.ndarray, w: np.ndarray, g: np.ndarray, n_labels: int, rare: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic map per label; rare labels share the slopes of the pool.

    Returns slopes (n_labels, n_features) and intercepts (n_labels,).
    """
    positives, negatives = class_weights(y, w, g, n_labels)
    slopes, intercepts = np.ones((n_labels, X.shape[1])), np.zeros(n_labels)
    if rare.size:
        pooled = smooth_targets(y, positives.sum(), negatives.sum())
        shared, _ = _increasing(X, pooled, w, np.unique(g, return_inverse=True)[1])
    for label, part in label_slices(g, n_labels):
        t, one = smooth_targets(y[part], positives[label], negatives[label]), np.zeros_like(g[part])
        if label in rare:
            slopes[label] = shared
            _, intercept, _ = _newton(X[part, :0], t, w[part], one, X[part] @ shared)
        else:
            slopes[label], intercept = _increasing(X[part], t, w[part], one)
        intercepts[label] = intercept[0]
    return slopes, intercepts


def label_slices(labels: np.ndarray, n_labels: int) -> list[tuple[int, slice]]:
    """Return each label that has entries with the slice where they lie."""
    ends = np.searchsorted(labels, np.arange(n_labels + 1))
    return [(k, slice(ends[k], ends[k + 1])) for k in range(n_labels) if ends[k] < ends[k + 1]]


def class_weights(y: np.ndarray, w: np.ndarray, g: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the weights of the positives and of the negatives of each label."""
    return np.stack([np.bincount(g, w * v, minlength=n_labels) for v in (y, 1 - y)])


def smooth_targets(y: np.ndarray, positives: ArrayLike, negatives: ArrayLike) -> np.ndarray:
    """Return Platt's targets; a soft label lies between the two by its share."""
    low = 1 / (np.asarray(negatives) + 2)
    return low + y * (1 - 1 / (np.asarray(positives) + 2) - low)


def _increasing(
    X: np.ndarray, t: np.ndarray, w: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best slopes of at least `_MIN_SLOPE` and the intercept of each group.

    The loss is convex: if the free optimum is outside, the optimum lies on a face.
    """
    k = X.shape[1]
    for size in range(k, 0, -1):
        fits = []
        for free in map(list, combinations(range(k), size)):
            slopes = np.full(k, _MIN_SLOPE)
            bound = [j for j in range(k) if j not in free]
            slopes[free], intercepts, value = _newton(
                X[:, free], t, w, g, X[:, bound] @ slopes[bound]
            )
            if slopes.min() >= _MIN_SLOPE:
                fits.append((value, slopes, intercepts))
        if fits:
            return min(fits, key=lambda fit: fit[0])[1:]
    slopes = np.full(k, _MIN_SLOPE)
    return slopes, _newton(X[:, :0], t, w, g, X @ slopes)[1]


def _newton(
    X: np.ndarray, t: np.ndarray, w: np.ndarray, g: np.ndarray, fixed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Minimise the log loss of sigma(fixed + X slopes + intercept of group g).

    Newton steps with halving from slopes of 0; the intercepts, one per group, are eliminated from
    the Hessian, which stays small however many groups there are.
    """

    def by_group(values: np.ndarray) -> np.ndarray:
        return np.bincount(g, values)

    def columns_by_group(values: np.ndarray) -> np.ndarray:
        return np.array([by_group(column) for column in values.T]).reshape(k, total.size)

    def loss(z: np.ndarray, slopes: np.ndarray) -> float:
        softplus = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
        return float(w @ (softplus - t * z) + 0.5 * _RIDGE * ((slopes - 1) ** 2).sum())

    k, total = X.shape[1], by_group(w)
    centre = columns_by_group(w[:, None] * X) / total
    X = X - centre.T[g]
    slopes = np.zeros(k)
    intercepts = logit(by_group(w * t) / total) - by_group(w * fixed) / total
    z = fixed + intercepts[g]
    value = loss(z, slopes)
    for _ in range(100):
        p = expit(z)
        residual, curvature = w * (p - t), w * p * (1 - p)
        down = by_group(residual)
        scale = np.maximum(by_group(curvature), 1e-10)
        gradient = residual @ X + _RIDGE * (slopes - 1)
        WX = curvature[:, None] * X
        cross = columns_by_group(WX)
        hessian = X.T @ WX - (cross / scale) @ cross.T + _RIDGE * np.eye(k)
        slope_step = np.linalg.solve(hessian, gradient - cross @ (down / scale))
        intercept_step = (down - slope_step @ cross) / scale
        decrement = gradient @ slope_step + down @ intercept_step
        z_step = X @ slope_step + intercept_step[g]
        size = 1.0
        while True:
            new = loss(z - size * z_step, slopes - size * slope_step)
            if new <= value + 1e-12 * (1 + abs(value)) or size < 1e-12:
                break
            size /= 2
        slopes, intercepts = slopes - size * slope_step, intercepts - size * intercept_step
        z, value = z - size * z_step, new
        if decrement < 1e-10:
            break
    return slopes, intercepts - slopes @ centre, value
