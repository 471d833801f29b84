"""The decision of a classifier: a calibrator and a decoder, fitted on held-out scores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from .._data.messages import warn_user
from .._data.scored_rows import ScoredRows
from .._data.targets import TargetCodec
from .._data.validation import is_auto
from .._data.weights import counting_rows, drop_unweighted, row_weight
from ..calibration import Calibrator, get_calibrator
from ..decoders import Argmax, Decoder, GlobalThreshold, get_decoder
from ..model_selection import MultilabelStratifiedShuffleSplit
from ..model_selection.split_groups import stratified_folds

__all__ = ["KEEP", "Decision", "HeldOut", "make_decision", "reserve", "try_metric"]

# Share of the rows reserved for a decoder whose rows may serve nothing else: a fold of a usual cv.
# A bound on a risk leaves 1 / n of n such rows unused, so that 0.1 needs nine at the least.
RESERVED = 0.2


class _Keep:
    def __repr__(self) -> str:
        return "KEEP"


KEEP = _Keep()  # stands for the present decoder or calibrator, as a default


@dataclass(frozen=True)
class HeldOut:
    """Rows that trained no model, with the scores that models gave them.

    Attributes
    ----------
    scores : ndarray of shape (n_samples, n_labels)
        Before calibration.
    Y : ndarray of shape (n_samples, n_labels)
        Targets, NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
        In units of a row, see `scale_weight`.
    count : ndarray of shape (n_samples,), optional
        Predicted numbers of labels, of models that have them.
    groups : ndarray of shape (n_samples,), optional
        Rows of one group serve one purpose only, see `reserve`.
    """

    scores: np.ndarray
    Y: np.ndarray
    weight: np.ndarray | None = None
    count: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.Y)

    def __getitem__(self, rows: np.ndarray) -> HeldOut:
        """Return some of the rows, by numbers or by a mask."""
        weight, count, groups = (
            None if values is None else values[rows]
            for values in (self.weight, self.count, self.groups)
        )
        return HeldOut(self.scores[rows], self.Y[rows], weight, count, groups)

    def informative(self) -> HeldOut:
        """Return the rows with an observed entry of positive weight, with one weight per row."""
        Y = drop_unweighted(self.Y, self.weight)
        rows = counting_rows(Y, self.weight)
        held_out = replace(self, Y=Y, weight=row_weight(self.weight, Y))
        return held_out if rows.all() else held_out[rows]


@dataclass(eq=False)
class Decision:
    """A calibrator, if there is one, and a decoder: what makes label sets of scores.

    Both are fitted here, on the scores of rows that trained no model. Estimators and searches hold
    decisions; a decision knows neither X nor models.

    Attributes
    ----------
    decoder : Decoder
    calibrator : Calibrator or None
        Corrects the scores before the decoder sees them.
    seed : int, default=0
        For the rows that are reserved for a decoder with `untouched_rows`.
    n_rows : dict of int
        The number of rows that "calibration" and "decoder" were fitted on.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss._decision.decision import Decision, HeldOut
    >>> from sklearn_mlloss.calibration import SigmoidCalibrator
    >>> from sklearn_mlloss.decoders import GlobalThreshold
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.uniform(size=(200, 3))
    >>> held_out = HeldOut(scores, scores + rng.normal(0, 0.1, scores.shape) > 0.7)
    >>> decision = Decision(GlobalThreshold(), SigmoidCalibrator()).fit(held_out)
    >>> decision.decide(decision.calibrate(np.array([[0.9, 0.6, 0.1]])))
    array([[ True, False, False]])
    >>> decision.n_rows
    {'calibration': 200, 'decoder': 200}

    Several decoders can share a fitted calibrator:

    >>> calibrated = decision.fit_calibrator(held_out)
    >>> other = Decision(GlobalThreshold("jaccard"), decision.calibrator).fit_decoder(calibrated)
    >>> other.decide(other.calibrate(np.array([[0.9, 0.6, 0.1]])))
    array([[ True, False, False]])
    """

    decoder: Decoder
    calibrator: Calibrator | None = None
    seed: int = 0
    n_rows: dict[str, int] = field(default_factory=dict)

    @property
    def requires_fit(self) -> bool:
        """Whether there is anything to fit."""
        return self.decoder.requires_fit or self.calibrator is not None

    def fit(
        self,
        held_out: HeldOut,
        reserved: HeldOut | None = None,
        all_targets: tuple[np.ndarray, np.ndarray | None] | None = None,
    ) -> Self:
        """Fit the calibrator, if there is one, and the decoder on calibrated scores.

        Parameters
        ----------
        held_out : HeldOut
            What both are fitted on.
        reserved : HeldOut, optional
            What the decoder is fitted on instead. Without it, a decoder with `untouched_rows`
            gets a part of `held_out` that the calibrator is not fitted on.
        all_targets : (Y, weight), optional
            Targets of all rows, those that trained the models as well: label sets need no scores.
            Those of `held_out` if it is not given.
        """
        held_out = held_out.informative()
        if all_targets is None:
            all_targets = held_out.Y, held_out.weight
        return self.fit_decoder(self.fit_calibrator(held_out, reserved), all_targets)

    def fit_calibrator(self, held_out: HeldOut, reserved: HeldOut | None = None) -> HeldOut:
        """Fit the calibrator, if there is one; return calibrated rows to fit the decoder on.

        For parameters see `fit`.
        """
        held_out = held_out.informative()
        if self.calibrator is not None:
            if reserved is None and self.decoder.untouched_rows:
                rest, kept = reserve(held_out.Y, self.seed, groups=held_out.groups)
                held_out, reserved = held_out[rest], held_out[kept]
            self.calibrator.fit(held_out.scores, held_out.Y, held_out.weight)
            self.n_rows["calibration"] = len(held_out)
        rows = held_out if reserved is None else reserved.informative()
        return replace(rows, scores=self.calibrate(rows.scores))

    def fit_decoder(
        self, calibrated: HeldOut, all_targets: tuple[np.ndarray, np.ndarray | None] | None = None
    ) -> Self:
        """Fit the decoder, if it has anything to fit, on what `fit_calibrator` returned.

        For `all_targets` see `fit`.
        """
        if self.decoder.requires_fit:
            self.decoder.fit(calibrated.scores, calibrated.Y, calibrated.weight, calibrated.count)
            self.n_rows["decoder"] = len(calibrated)
            if all_targets is not None:
                Y, weight = all_targets
                self.decoder.learn_sets(Y, row_weight(weight, Y))
        return self

    @property
    def by_partition(self) -> bool:
        """Whether it can be fitted on rows that are not in memory, see `fit_partitions`."""
        calibrates = self.calibrator is None or (
            _is_by_partition(self.calibrator) and not self.decoder.untouched_rows
        )
        return calibrates and (_is_by_partition(self.decoder) or not self.decoder.requires_fit)

    def fit_partitions(self, rows: ScoredRows) -> Self:
        """Fit the calibrator, if there is one, and the decoder on rows that are not in memory."""
        if self.calibrator is not None:
            self.calibrator._fit_partitions(rows)
            self.n_rows["calibration"] = rows.n_rows
            rows = rows.mapped(self.calibrator.transform)
        if self.decoder.requires_fit:
            self.decoder._fit_partitions(rows)
            self.n_rows["decoder"] = rows.n_rows
        return self

    def calibrate(self, scores: np.ndarray) -> np.ndarray:
        """Return calibrated scores, or the scores themselves without a calibrator."""
        if self.calibrator is None:
            return scores
        _check_fitted(self.calibrator)
        return self.calibrator.transform(scores)

    def decide(self, scores: np.ndarray, count: np.ndarray | None = None) -> np.ndarray:
        """Return which labels each row has by calibrated scores, and by counts if there are any."""
        if self.decoder.requires_fit:
            _check_fitted(self.decoder)
        return self.decoder.decode(scores, count)

    def warn_of_fallback(self, advice: str) -> None:
        """Warn if the decoder found too few positives for most labels; `advice` says what to do."""
        if "decoder" not in self.n_rows:
            return
        fallback, n_labels = getattr(self.decoder, "fallback_labels_", ()), self.decoder.n_labels_
        if len(fallback) > n_labels / 2:
            warn_user(
                f"{len(fallback)} of {n_labels} labels have too few positives among the "
                f"{self.n_rows['decoder']} rows that the decoder was fitted on, and use a common "
                f"threshold: use {advice}"
            )


def _is_by_partition(part: Decoder | Calibrator) -> bool:
    """Return whether it can be fitted on partitions: custom classes know nothing of `_fit_rows`."""
    fit = type(part)._fit
    return part._by_partition and fit.__module__.partition(".")[0] == __name__.partition(".")[0]


def make_decision(
    decoder: Any,
    calibration: Any,
    targets: TargetCodec,
    *,
    default: str,
    natural: str | None = None,
    source: str = "",
    seed: int = 0,
) -> Decision:
    """Return an unfitted decision; warn where it does not suit the scores or the targets.

    Parameters
    ----------
    decoder : str or Decoder
    calibration : None, str or Calibrator
    targets : TargetCodec
        Fitted.
    default : str
        What ``decoder="auto"`` stands for.
    natural : str, default=the decoder of `default`
        The decoder that suits the scores even if they are not probabilities: those of a loss
        without probabilities may still have a natural threshold.
    source : str, default=""
        Where scores come from that are not probabilities, for the warning.
    seed : int, default=0
        See `Decision`.
    """
    calibrator = get_calibrator(calibration)
    if calibrator is not None:
        calibrator = clone(calibrator)
        calibrator._check_params()
    rule = clone(get_decoder(default if is_auto(decoder) else decoder))
    if targets.kind == "multiclass":
        # The largest score is to classes what "threshold" is to labels.
        plain = is_auto(decoder) or isinstance(decoder, str) and decoder == "threshold"
        if not isinstance(rule, Argmax) and not plain:
            warn_user(
                f"decoder={decoder!r} is not used: a 1-D multi-class y is decided by the largest "
                "score"
            )
        rule = rule if isinstance(rule, Argmax) else Argmax()
        return Decision(rule, calibrator, seed)
    _try_decoder(rule, targets.n_labels_)
    suits = not source or calibrator is not None
    suits = suits or isinstance(rule, type(get_decoder(natural or default)))
    if rule.needs_probabilities and not suits:
        warn_user(
            f"{rule!r} takes scores for probabilities, but those of {source} are not: use "
            f"calibration='sigmoid', decoder={default!r}, or another decoder that is fitted on "
            "held-out rows"
        )
    return Decision(rule, calibrator, seed)


def _try_decoder(decoder: Decoder, n_labels: int) -> None:
    """Raise before training what a decoder would raise after it."""
    decoder._check_params(n_labels)
    if decoder.requires_fit:
        return
    low = decoder.decode(np.full((1, n_labels), 1e-3))
    if n_labels == 1 and low.all():
        warn_user(
            f"{decoder!r} compares labels of a row, and there is only one, which every row gets: "
            "use decoder='threshold' or 'global_threshold'"
        )


def try_metric(decoder: Decoder, Y: np.ndarray, weight: np.ndarray | None) -> None:
    """Raise before training if a function that the decoder maximises cannot score the targets.

    It is called with the targets as predictions, without any, and with all labels predicted.

    Parameters
    ----------
    decoder : Decoder
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix, NaN where nothing was observed.
    weight : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
    """
    for part in (decoder, *decoder.get_params().values()):
        if isinstance(part, GlobalThreshold) and callable(part.metric):
            rows = HeldOut(np.where(np.nan_to_num(Y) < 0.5, 0.1, 0.9), Y, weight).informative()
            clone(part).fit(rows.scores, rows.Y, rows.weight)


def _check_fitted(part: Decoder | Calibrator) -> None:
    if not hasattr(part, "n_labels_"):
        raise NotFittedError(
            f"{type(part).__name__} has not been fitted, since partial_fit holds no rows out: call "
            "fit_decoder(X, y) with rows that were not trained on"
        )


def reserve(
    Y: np.ndarray, seed: int, weight: np.ndarray | None = None, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to work on, and of those reserved for the decoder alone.

    Parameters
    ----------
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    seed : int
    weight : ndarray of shape (n_samples,), optional
        Rows of weight 0 are not reserved, since the decoder could not learn from them.
    groups : ndarray of shape (n_samples,), optional
        Rows of one group come to the same side.
    """
    counting = np.flatnonzero(counting_rows(Y, weight))
    if groups is None:
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=RESERVED, random_state=seed)
        reserved = counting[next(splitter.split(Y[counting], Y[counting]))[1]]
        return np.setdiff1d(np.arange(len(Y)), reserved), reserved
    n_groups = len(np.unique(groups[counting]))
    if n_groups < 2:
        raise ValueError(
            "groups has only 1 group, and the decoder keeps rows for itself, of other groups than "
            "the rest: give at least 2 groups, or fit without groups"
        )
    n_folds = min(round(1 / RESERVED), n_groups)
    _, test = stratified_folds(n_folds, Y[counting], seed, groups[counting])[0]
    reserved = counting[test]
    return np.flatnonzero(~np.isin(groups, groups[reserved])), reserved
