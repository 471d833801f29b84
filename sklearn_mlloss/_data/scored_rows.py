"""Scores and labels of rows, in memory or in partitions, as thresholds are fitted on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from .partitions import fits
from .reductions import join_partitions, label_blocks, sum_partitions
from .score_checks import check_scores
from .targets import TargetCodec
from .weights import LARGEST_SUM, check_weight, counting_rows, drop_unweighted, row_weight

__all__ = ["ScoredRows"]

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ScoredRows:
    """Scores, labels and weights of rows that count.

    Attributes
    ----------
    parts : tuple
        Scores and labels of shape (n_samples, n_labels), and weights of shape (n_samples,), as a
        decoder takes them; or what `prepare` takes, see `sum_partitions`.
    n_labels : int
    n_rows : int
        Of those that count.
    prepare : callable (*parts) -> scores, labels and weights, optional
        Called with the rows of each partition. It leaves out rows that do not count, so that there
        may be none.
    """

    parts: tuple[Any, ...]
    n_labels: int
    n_rows: int
    prepare: Callable[..., Arrays] | None = None

    @classmethod
    def in_memory(cls, scores: np.ndarray, Y: np.ndarray, weight: np.ndarray) -> ScoredRows:
        """Return rows that are in memory."""
        return cls((scores, Y, weight), scores.shape[1], len(scores))

    @classmethod
    def of_partitions(
        cls, parts: tuple[Any, ...], without_scores: tuple[Any, ...], targets: TargetCodec
    ) -> ScoredRows:
        """Return rows that are not in memory; weights get a mean of 1 over what counts.

        Parameters
        ----------
        parts : tuple of collections (scores, y, sample_weight), or a `RowBlocks` of these
            Scores may have more columns than there are labels, which are left out.
        without_scores : tuple
            The same, with None for the scores: that is read once, for the weights.
        targets : TargetCodec
            Fitted.

        Raises
        ------
        ValueError
            If no row counts.
        """

        def targets_and_weight(y: Any, sample_weight: Any) -> tuple[np.ndarray, Any]:
            Y = targets.transform(y)
            weight = check_weight(sample_weight, Y, targets.kind == "multilabel", LARGEST_SUM)
            return drop_unweighted(Y, weight), weight

        def count(scores: None, y: Any, sample_weight: Any) -> tuple:
            Y, weight = targets_and_weight(y, sample_weight)
            rows = counting_rows(Y, weight)
            if weight is None:
                return rows.sum(), rows.sum(), rows.sum()
            counts = (weight > 0) & (Y >= 0 if weight.ndim == 2 else rows)  # NaN is not
            return rows.sum(), weight[counts].sum(), counts.sum()

        n_rows, total, n_weights = sum_partitions(count, *without_scores)
        if not n_rows:
            raise ValueError("no row is left to learn from: y is NaN in all of them")
        mean = total / n_weights

        def prepare(scores: Any, y: Any, sample_weight: Any) -> Arrays:
            Y, weight = targets_and_weight(y, sample_weight)
            scores = check_scores(scores[:, : targets.n_labels_])
            rows = counting_rows(Y, weight)
            by_row = None if weight is None else row_weight(weight / mean, Y)
            by_row = np.ones(len(Y)) if by_row is None else by_row
            return scores[rows], Y[rows].astype(np.float64), by_row[rows]

        return cls(parts, targets.n_labels_, int(n_rows), prepare)

    @property
    def in_partitions(self) -> bool:
        """Whether rows are not in memory."""
        return self.prepare is not None

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> ScoredRows:
        """Return the same rows with other scores, those that a function returns for these."""

        def with_others(scores: np.ndarray, Y: np.ndarray, weight: np.ndarray) -> Arrays:
            return function(scores), Y, weight

        return replace(self, prepare=self._prepared(with_others))

    def sums(self, function: Callable[..., tuple]) -> tuple:
        """Return the sums over rows that a function of scores, labels and weights returns."""
        return sum_partitions(self._prepared(function), *self.parts)

    def joined(self, function: Callable[..., tuple[np.ndarray, ...]]) -> tuple:
        """Return arrays that a function of scores, labels and weights returns, joined."""
        return join_partitions(self._prepared(function), *self.parts)

    def by_labels(self) -> Iterator[tuple[slice, Arrays]]:
        """Yield scores, labels and weights of all rows, for some labels at a time."""
        if not self.in_partitions:
            yield slice(0, self.n_labels), self.parts
            return

        def labels_first(scores: np.ndarray, Y: np.ndarray, weight: np.ndarray) -> tuple:
            return Y, scores, weight

        checked = self._prepared(labels_first)
        for some, Y, scores, weight in label_blocks(
            checked, self.n_rows, self.n_labels, [np.dtype(np.float64)], *self.parts
        ):
            yield some, (scores, Y, weight)

    def check_entries(self, n_entries: float) -> None:
        """Raise if so many scores, labels and weights are too many to be gathered."""
        if self.in_partitions and not fits(int(n_entries), 3):
            raise ValueError(
                f"a threshold of all labels is chosen among {n_entries:.2g} scores, more than one "
                "process gathers: give a part of the rows, such as X.partitions[:10] and "
                "y.partitions[:10]"
            )

    def _prepared(self, function: Callable[..., tuple]) -> Callable[..., tuple]:
        if self.prepare is None:
            return function
        prepare = self.prepare

        def of_parts(*parts: Any) -> tuple:
            return function(*prepare(*parts))

        return of_parts
