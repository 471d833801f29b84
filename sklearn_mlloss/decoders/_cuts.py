"""Where a threshold can cut, what is predicted there, and what a metric says of it.

Everything is in counts: `tp` true positives, `predicted` predicted entries, `positives` and
`total` observed ones, all summed with weights; soft labels are fractions.
"""

from collections.abc import Callable

import numpy as np

# Thresholds, true positives and predicted entries of each cut.
Cuts = tuple[np.ndarray, np.ndarray, np.ndarray]
Number = np.ndarray | float

MAX_CUTS = 400
# Bounds the memory that counts per group and cut take at a time.
_BLOCK_ENTRIES = 2**22


def midpoints(distinct: np.ndarray) -> np.ndarray:
    """Thresholds that predict the first 1, 2, ... of the distinct scores, in falling order."""
    below = np.append(distinct[1:], distinct[-1:])
    middle = distinct / 2 + below / 2  # the sum of two large scores may overflow
    return np.where((middle > below) & (middle <= distinct), middle, distinct)


def cuts(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Cuts:
    """Return thresholds in falling order, true positives and predicted entries at each.

    The first predicts nothing. Of the others, only those that end with a positive are kept:
    going on to scores without one adds false positives only, which no metric here rewards.
    """
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    tp = np.cumsum((weight * y)[order])
    predicted = np.cumsum(weight[order])
    last_of_ties = np.ones(ranked.size, dtype=bool)
    last_of_ties[:-1] = ranked[1:] != ranked[:-1]
    tp, predicted = tp[last_of_ties], predicted[last_of_ties]
    keep = np.diff(tp, prepend=0.0) > 0
    thresholds = midpoints(ranked[last_of_ties])[keep]
    return (
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([[0.0], tp[keep]]),
        np.concatenate([[0.0], predicted[keep]]),
    )


def grid(scores: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return candidate thresholds in falling order, thinned as GlobalThreshold documents."""
    distinct = np.unique(scores[~np.isnan(Y)])[::-1]
    thresholds = np.concatenate([[np.inf], midpoints(distinct)])
    if thresholds.size <= MAX_CUTS:
        return thresholds
    positive = np.unique(scores[Y > 0])
    below_positive = distinct.size - np.searchsorted(distinct[::-1], positive)
    picked = [
        ranks[np.linspace(0, ranks.size - 1, MAX_CUTS // 2).round().astype(int)]
        for ranks in (np.arange(thresholds.size), below_positive)
        if ranks.size
    ]
    return thresholds[np.unique(np.concatenate(picked))]


def mean_metric(
    metric: Callable[..., np.ndarray],
    thresholds: np.ndarray,
    scores: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray,
    group_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean over rows (the groups) of a metric within each row, at each threshold."""
    n_groups, n_cuts = len(scores), thresholds.size
    group_weight = np.ones(n_groups) if group_weight is None else group_weight
    total, total_weight = np.zeros(n_cuts), 0.0
    step = max(1, _BLOCK_ENTRIES // max(n_cuts, scores.shape[1]))
    for start in range(0, n_groups, step):
        block = slice(start, start + step)
        weight = np.where(np.isnan(Y[block]), 0.0, weights[block])
        weighted_y = weight * np.nan_to_num(Y[block])
        # The first threshold that an entry reaches; n_cuts if it reaches none.
        first = n_cuts - np.searchsorted(thresholds[::-1], scores[block], side="right")
        cell = first + (n_cuts + 1) * np.arange(len(first))[:, None]
        tp, predicted = (
            np.bincount(cell.ravel(), values.ravel(), len(first) * (n_cuts + 1))
            .reshape(-1, n_cuts + 1)
            .cumsum(axis=1)[:, :-1]
            for values in (weighted_y, weight)
        )
        observed = weight.sum(axis=1, keepdims=True)
        value = metric(tp, predicted, weighted_y.sum(axis=1, keepdims=True), observed)
        share = np.where(observed[:, 0] > 0, group_weight[block], 0.0)
        total += share @ value
        total_weight += share.sum()
    return ratio(total, total_weight)


def dinkelbach(
    label_cuts: list[Cuts],
    fixed_tp: float,
    fixed_predicted: float,
    positives: float,
    beta: float,
) -> list[int]:
    """Return the index of each label's cut in the joint optimum of micro-F-beta."""
    value = 0.0
    while True:
        chosen = [
            first_best((1 + beta**2) * tp - value * predicted) for _, tp, predicted in label_cuts
        ]
        tp = fixed_tp + sum(c[1][k] for c, k in zip(label_cuts, chosen, strict=True))
        predicted = fixed_predicted + sum(c[2][k] for c, k in zip(label_cuts, chosen, strict=True))
        previous, value = value, float(fbeta(tp, predicted, positives, beta))
        if value <= previous:
            return chosen


def first_best(values: np.ndarray) -> int:
    """Return the first index of the maximum, up to rounding, i.e. the largest threshold."""
    tolerance = 1e-13 * np.abs(values).max()
    return int(np.argmax(values >= values.max() - tolerance))


def ratio(numerator: Number, denominator: Number) -> np.ndarray:
    """Divide, with 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    )
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def fbeta(tp: Number, predicted: Number, positives: Number, beta: float) -> np.ndarray:
    """Return F-beta."""
    return ratio((1 + beta**2) * tp, beta**2 * positives + predicted)


def f1(tp: Number, predicted: Number, positives: Number, total: Number) -> np.ndarray:
    """Return F1."""
    return fbeta(tp, predicted, positives, 1.0)


def jaccard(tp: Number, predicted: Number, positives: Number, total: Number) -> np.ndarray:
    """Return the Jaccard index."""
    return ratio(tp, positives + predicted - tp)


def accuracy(tp: Number, predicted: Number, positives: Number, total: Number) -> np.ndarray:
    """Return the share of entries decided right."""
    return ratio(total - positives - predicted + 2 * tp, total)


def balanced_accuracy(
    tp: Number, predicted: Number, positives: Number, total: Number
) -> np.ndarray:
    """Return the mean recall of the classes that are present."""
    negatives = total - positives
    recalls = ratio(tp, positives) + ratio(negatives - predicted + tp, negatives)
    return ratio(recalls, 1.0 * (positives > 0) + (negatives > 0))


METRICS = {
    "f1": f1,
    "jaccard": jaccard,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "hamming": accuracy,
}
