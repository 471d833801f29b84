"""Fitting and scoring every decision on the scores of the folds, without training anything."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from .._data.folds import Fold
from .._data.targets import TargetCodec
from .._decision.decision import HeldOut, reserve
from .._decision.held_out import row_means
from ..calibration import Calibrator
from ..decoders import Decoder
from ..model_selection.comparison import correct_for_selection
from .candidates import Pair
from .response import Decided
from .scoring import Scoring
from .training import FoldScores

__all__ = ["Outcome", "corrected_score", "evaluate", "mean_scores", "pool"]


@dataclass
class Outcome:
    """How a pair did.

    Attributes
    ----------
    scores : list of dict
        For each fold a score a metric; empty where it failed.
    score_time : list of float
        Seconds for each fold to decide and to score.
    errors : list of str
        What went wrong.
    bootstraps : ndarray of shape (2, n_bootstraps), or None
        Scores on the rows of each bootstrap, and on the rows left out.
    """

    scores: list[dict[str, float]] = field(default_factory=list)
    score_time: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    bootstraps: np.ndarray | None = None


def pool(
    found: Sequence[FoldScores],
    folds: Sequence[Fold],
    Y: np.ndarray,
    weight: np.ndarray | None,
    groups: np.ndarray | None = None,
    without: int | None = None,
) -> HeldOut | None:
    """Return the out-of-fold scores of all folds, in the order of their rows.

    Parameters
    ----------
    found : sequence of FoldScores
        Of one setting; a fold whose training failed has nothing to add.
    folds : sequence of (train, test)
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    weight, groups : ndarray of shape (n_samples,), or None
    without : int, optional
        A fold that is to be scored: neither it nor its rows in other folds, which a repeated
        cross-validation has, are among those returned.

    Returns
    -------
    HeldOut or None
        A row that was scored m times is there m times with a weight of 1 / m: an average of
        scores would be less extreme than those of the one model that is decided on later. It is
        a group then. None if there is no row.
    """
    rows, scores, counts = [], [], []
    for k, ((_, test), part) in enumerate(zip(folds, found, strict=True)):
        if k == without or part.scores is None:
            continue
        kept = np.ones(len(test), bool) if without is None else ~np.isin(test, folds[without][1])
        rows.append(test[kept])
        scores.append(part.scores[kept])
        counts.append(None if part.count is None else part.count[kept])
    if not rows or not any(map(len, rows)):
        return None
    place = np.concatenate(rows)
    order = np.argsort(place, kind="stable")
    place = place[order]
    times = np.bincount(place)[place]
    own = None if weight is None else weight[place]
    if times.max() > 1:
        own = 1 / times if own is None else own / times
        groups = np.arange(len(Y)) if groups is None else groups
    count = None if counts[0] is None else np.concatenate(counts)[order]
    groups = None if groups is None else groups[place]
    return HeldOut(np.concatenate(scores)[order], Y[place], own, count, groups).informative()


def evaluate(
    pairs: Sequence[Pair],
    found: Sequence[FoldScores],
    folds: Sequence[Fold],
    X: Any,
    y: Any,
    Y: np.ndarray,
    weight: np.ndarray | None,
    groups: np.ndarray | None,
    targets: TargetCodec,
    scorer: Any,
    score_params: dict,
    drawn: np.ndarray | None,
    metric: str,
    seed: int,
    raises: bool,
) -> list[Outcome]:
    """Fit and score every decision of one setting.

    The calibrator and the decoder that decide a fold have learned on rows of other folds only.

    Parameters
    ----------
    pairs : sequence of Pair
        Those of the setting.
    found : sequence of FoldScores
        What it says of each fold.
    folds : sequence of (train, test)
    X, y : as they were given to `fit`
        For the scorer.
    Y : ndarray of shape (n_samples, n_labels)
        Target matrix.
    weight : ndarray of shape (n_samples,), or None
        For calibrators and decoders, scaled.
    groups : ndarray of shape (n_samples,), or None
        Rows of one group are reserved together.
    targets : TargetCodec
        Fitted.
    scorer : callable
        One, or scikit-learn's for several metrics.
    score_params : dict
        Metadata for the scorer.
    drawn : ndarray of shape (n_bootstraps, n_samples), or None
        How often each row is drawn, see `draw_for`.
    metric : str
        What is scored on bootstraps.
    seed : int
        Of the rows that are reserved for decoders whose rows may serve nothing else.
    raises : bool
        Whether an error ends the search.

    Returns
    -------
    list of Outcome
        One a pair.
    """
    scoring = Scoring(scorer, metric, X, y, targets, score_params)
    outcomes = [Outcome() for _ in pairs]
    responses: list[list[Decided]] = [[] for _ in pairs]
    for k, (train, test) in enumerate(folds):
        others = pool(found, folds, Y, weight, groups, without=k)
        every = (Y[train], None if weight is None else weight[train])
        calibrations: dict[Any, tuple] = {}
        of_scores: dict[Any, tuple] = {}
        for pair, outcome, own in zip(pairs, outcomes, responses, strict=True):
            start = time.perf_counter()
            scores: dict[str, float] = {}
            try:
                if found[k].error:
                    raise RuntimeError(found[k].error)
                key = (pair.calibration_name, pair.decoder.untouched_rows)
                if key not in calibrations:
                    calibrations[key] = _calibrate(pair.calibrator, others, key[1], seed)
                calibrator, rows = calibrations[key]
                decoder = _fit_decoder(pair.decoder, rows, every)
                own.append(_decide(found[k], calibrator, decoder, targets))
                scores, failed = scoring.fold(own[-1], test, of_scores, key)
                outcome.errors += [f"fold {k}: {message}" for message in failed]
            except Exception as error:
                if raises:
                    raise
                told = found[k].error or _tell(error)
                outcome.errors.append(f"fold {k}: {told}")
            outcome.scores.append(scores)
            outcome.score_time.append(time.perf_counter() - start + found[k].predict_time)
    if drawn is not None:
        tested = np.concatenate([test for _, test in folds])
        known: dict[Any, np.ndarray] = {}
        for pair, outcome, own in zip(pairs, outcomes, responses, strict=True):
            if len(own) < len(folds):
                continue
            # Decoders do not matter to a measure of probabilities.
            key = (pair.calibration_name, pair.decoder.untouched_rows)
            if scoring.chosen.looks_at_decisions:
                key = (*key, pair.decoder_name)
            if key not in known:
                known[key] = scoring.bootstraps(_join(own), tested, drawn)
            outcome.bootstraps = known[key]
    return outcomes


def corrected_score(outcomes: Sequence[Outcome], choose: Callable[[np.ndarray], int]) -> float:
    """Return the score of what is chosen without the luck of having been chosen.

    Parameters
    ----------
    outcomes : sequence of Outcome
    choose : callable ``(scores) -> int``
        Chooses a pair by a score for each, NaN for those that have none.
    """
    drawn = [outcome.bootstraps for outcome in outcomes if outcome.bootstraps is not None]
    if not drawn:
        return np.nan
    nothing = np.full_like(drawn[0], np.nan)
    found = [nothing if own is None else own for own in (o.bootstraps for o in outcomes)]
    return correct_for_selection(*np.stack(found, axis=1), choose).score


def mean_scores(parts: list, folds: list, Y: np.ndarray) -> np.ndarray:
    """Return the mean out-of-fold score of each row, NaN where there is none."""
    found = [
        (test, part.scores)
        for part, (_, test) in zip(parts, folds, strict=True)
        if part.scores is not None
    ]
    if not found:
        return np.full(Y.shape, np.nan)
    tests, scores = zip(*found, strict=True)
    return row_means(tests, scores, len(Y))


def _calibrate(
    calibrator: Calibrator | None, others: HeldOut | None, untouched: bool, seed: int
) -> tuple[Calibrator | None, HeldOut | None]:
    """Return a fitted calibrator, and calibrated scores for a decoder to learn on."""
    if calibrator is None:
        return None, others
    if others is None:
        raise ValueError("there is no other fold for the calibration to learn on")
    rows = others
    if untouched:
        rest, own = reserve(others.Y, seed, groups=others.groups)
        rows, others = others[rest], others[own]
    fitted = clone(calibrator).fit(rows.scores, rows.Y, rows.weight)
    return fitted, HeldOut(fitted.transform(others.scores), others.Y, others.weight, others.count)


def _fit_decoder(decoder: Decoder, rows: HeldOut | None, every: tuple) -> Decoder:
    decoder = clone(decoder)
    if not decoder.requires_fit:
        return decoder
    if rows is None:
        raise ValueError("there is no other fold for the decoder to learn on")
    decoder.fit(rows.scores, rows.Y, rows.weight, rows.count)
    return decoder.learn_sets(*every)


def _decide(
    found: FoldScores, calibrator: Calibrator | None, decoder: Decoder, targets: TargetCodec
) -> Decided:
    scores = found.scores if calibrator is None else calibrator.transform(found.scores)
    return Decided(targets, scores, decoder.decode(scores, found.count))


def _join(parts: Sequence[Decided]) -> Decided:
    return Decided(
        parts[0].targets,
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.decisions for part in parts]),
    )


def _tell(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()
