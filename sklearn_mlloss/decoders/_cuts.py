"""Candidate thresholds (cuts), and the best of them for a metric of counts.

For the counts see `sklearn_mlloss._data.counts`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from .._data.counts import fbeta, ratio
from .._data.rows import row_blocks
from .._data.scored_rows import ScoredRows

# Thresholds, true positives and predicted entries of each cut.
Cuts = tuple[np.ndarray, np.ndarray, np.ndarray]

MAX_CUTS = 400
# Bounds the memory that counts per group and cut take at a time.
_BLOCK_ENTRIES = 2**22
# `best_pooled_cut` sorts at most this many entries, where it can; more are first narrowed down by
# this many bins, with this many entries at a time, which stay in the cache.
_SORTED_ENTRIES = 2**18
_BINS = 2**16
_STRIP_ENTRIES = 2**18
# A bin is left out if its cuts stay this much below the best (relative): far above the rounding
# errors of sums in another order, so that none is left out wrongly.
_SLACK = 1e-9


def midpoints(distinct: np.ndarray) -> np.ndarray:
    """Thresholds that predict the first 1, 2, ... of the distinct scores, in descending order."""
    below = np.append(distinct[1:], distinct[-1:])
    middle = distinct / 2 + below / 2  # the sum of two large scores may overflow
    return np.where((middle > below) & (middle <= distinct), middle, distinct)


def cuts(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Cuts:
    """Return thresholds in descending order, true positives and predicted entries at each.

    The first predicts nothing. Of the others, only those that end with a positive are kept:
    further scores without one add false positives only, which improves no metric here.
    """
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    tp = np.cumsum((weight * y)[order])
    predicted = np.cumsum(weight[order])
    last_of_ties = np.ones(ranked.size, dtype=bool)
    last_of_ties[:-1] = ranked[1:] != ranked[:-1]
    tp, predicted = tp[last_of_ties], predicted[last_of_ties]
    keep = np.flatnonzero(np.diff(tp, prepend=0.0) > 0)
    thresholds = midpoints(ranked[last_of_ties])[keep]
    return (
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([[0.0], tp[keep]]),
        np.concatenate([[0.0], predicted[keep]]),
    )


def best_pooled_cut(metric: Callable[..., np.ndarray], rows: ScoredRows) -> tuple[float, float]:
    """Return the best single threshold for all observed entries pooled, and its metric.

    It is the best of `cuts`, found without sorting all entries. Sums over bins of scores give the
    exact metric at the edges of bins. Inside a bin no cut is better than one that takes all its
    positives and nothing else: no metric here decreases with true positives, or increases with
    false ones. So the best cut lies among the bins whose bound reaches the best edge, and only the
    entries between the first and the last of them are kept, until they are few enough to sort.

    Of rows in partitions, that are three passes and more entries in memory than are sorted: those
    of the first bins that are kept.
    """
    tp_above = predicted_above = 0.0
    below, sums = -np.inf, None
    while rows.n_rows * rows.n_labels > _SORTED_ENTRIES:
        lowest, highest = rows.joined(_range)
        low, width = float(lowest.min()), float(highest.max()) - float(lowest.min())
        # Just below the number of bins, so that rounding cannot bring the highest score there.
        scale = (_BINS - 0.5) / width if width > 0 else np.inf
        if not 0 < scale < np.inf:
            break  # all equal, or too far apart or too close for a float

        def bin_of(s: np.ndarray, low: float = low, scale: float = scale) -> np.ndarray:
            return _BINS - 1 - ((s - low) * scale).astype(np.intp)  # in descending order

        tp, predicted, n_entries = rows.sums(partial(_bin_sums, bin_of, rows.in_partitions))
        sums = (tp.sum(), predicted.sum()) if sums is None else sums
        tp_after, predicted_after = tp_above + tp.cumsum(), predicted_above + predicted.cumsum()
        at_edge = metric(tp_after, predicted_after, *sums)
        bound = metric(tp_after, predicted_after - predicted + tp, *sums)
        nothing = float(metric(0.0, 0.0, *sums))
        best = max(at_edge.max(), nothing)
        hopeful = np.flatnonzero((tp > 0) & (bound >= best - _SLACK * abs(best)))
        if not hopeful.size:
            return np.inf, nothing
        first, last = hopeful[0], hopeful[-1]
        lower = last + 1 + np.flatnonzero(predicted[last + 1 :])[:1]
        before = rows.n_rows * rows.n_labels
        rows.check_entries(n_entries[first : last + 1].sum())
        s, y, weight, highest = rows.joined(partial(_kept_entries, bin_of, first, last, lower))
        below = highest.max() if lower.size else below
        rows = ScoredRows.in_memory(s[:, None], y[:, None], weight)
        tp_above = tp_after[first] - tp[first]
        predicted_above = predicted_after[first] - predicted[first]
        if s.size > before / 2 and last - first > _BINS / 1000:
            break  # the metric is too flat for bins to be worth it

    rows.check_entries(rows.n_rows * rows.n_labels)
    s, y, weight = rows.joined(entries)
    sums = (weight @ y, weight.sum()) if sums is None else sums
    if below > -np.inf:
        # Not to be predicted, but the lowest cut lies halfway to it.
        s, y, weight = np.append(s, below), np.append(y, 0.0), np.append(weight, 0.0)
    thresholds, tp, predicted = cuts(s, y, weight)
    tp[1:] += tp_above
    predicted[1:] += predicted_above
    values = metric(tp, predicted, *sums)
    best = first_best(values)
    return float(thresholds[best]), float(values[best])


def _range(scores: np.ndarray, Y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    return np.array([scores.min(initial=np.inf)]), np.array([scores.max(initial=-np.inf)])


def _bin_sums(
    bin_of: Callable[[np.ndarray], np.ndarray], counted: bool, *arrays: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positives, predicted entries and, if asked for, the number of entries in each bin."""
    tp, predicted, n_entries = np.zeros(_BINS), np.zeros(_BINS), np.zeros(_BINS)
    for s, y, weight in _strips(*arrays):
        index = bin_of(s)
        tp += np.bincount(index, weight * y, _BINS)
        predicted += np.bincount(index, weight, _BINS)
        if counted:
            n_entries += np.bincount(index, minlength=_BINS)
    return tp, predicted, n_entries


def _kept_entries(
    bin_of: Callable[[np.ndarray], np.ndarray],
    first: int,
    last: int,
    lower: np.ndarray,
    *arrays: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Return the entries in a range of bins, and the highest score of the bin `lower`, if any."""
    strips, below = [], -np.inf
    for s, y, weight in _strips(*arrays):
        index = bin_of(s)
        kept = (index >= first) & (index <= last)
        strips.append((s[kept], y[kept], weight[kept]))
        if lower.size:
            below = s[index == lower].max(initial=below)
    return *_concatenate(strips), np.array([below])


def entries(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return scores, labels and weights of the observed entries, flat."""
    return _concatenate(list(_strips(*arrays)))


def _concatenate(strips: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    strips = strips or [(np.empty(0),) * 3]  # of a partition without rows that count
    return tuple(np.concatenate(part) for part in zip(*strips, strict=True))


def _strips(
    scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield scores, labels and weights of the observed entries of some rows at a time, flat."""
    for rows in row_blocks(len(scores), scores.shape[1], _STRIP_ENTRIES):
        observed = ~np.isnan(Y[rows])
        weight = np.broadcast_to(sample_weight[rows, None], observed.shape)
        if observed.all():
            yield scores[rows].ravel(), Y[rows].ravel(), weight.ravel()
        else:
            yield scores[rows][observed], Y[rows][observed], weight[observed]


def grid(scores: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return candidate thresholds in descending order, thinned as GlobalThreshold documents."""
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
    for block in row_blocks(n_groups, max(n_cuts, scores.shape[1]), _BLOCK_ENTRIES):
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
        previous, value = value, float(fbeta(tp, predicted, positives, beta=beta))
        if value <= previous:
            return chosen


def first_best(values: np.ndarray) -> int:
    """Return the first index of the maximum, up to rounding, i.e. the largest threshold."""
    tolerance = 1e-13 * np.abs(values).max()
    return int(np.argmax(values >= values.max() - tolerance))
