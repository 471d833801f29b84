"""Fitting and scoring each decision on the scores of the folds, without training anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from .._data.messages import describe_error
from .._data.parallel import call_in_parallel
from .._decision.cross_fit import CrossFit
from .._decision.decision import Decision, HeldOut
from ..model_selection.comparison import correct_for_selection
from .candidates import Candidate
from .data import SearchData
from .scored_rows import ScoredRows
from .training import FoldScores

__all__ = ["Outcome", "corrected_score", "evaluate", "held_out_rows", "mean_scores", "pool"]

Targets = tuple[np.ndarray, np.ndarray | None]


@dataclass
class Outcome:
    """Scores of a candidate.

    Attributes
    ----------
    scores : list of dict
        For each fold one score per metric; empty where it failed.
    score_time : list of float
        Seconds for each fold to decide and to score.
    errors : list of str
        What went wrong.
    bootstraps : ndarray of shape (2, n_bootstraps)
        Scores on the rows of each bootstrap, and on the rows left out; NaN where there is none.
    """

    bootstraps: np.ndarray
    scores: list[dict[str, float]] = field(default_factory=list)
    score_time: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def pool(data: SearchData, fold_scores: Sequence[FoldScores]) -> CrossFit | None:
    """Return the scores of the folds of a setting that were trained, if there are any."""
    trained = [
        (fold, (None, part.scores, part.count))
        for fold, part in zip(data.folds, fold_scores, strict=True)
        if part.scores is not None
    ]
    return CrossFit.pool(*zip(*trained, strict=True)) if trained else None


def held_out_rows(
    data: SearchData, pooled: CrossFit | None, excluded: np.ndarray | None = None
) -> HeldOut | None:
    """Return out-of-fold scores with their targets and weights, to fit a decision on.

    Parameters
    ----------
    data : SearchData
    pooled : CrossFit or None
        The scores of a setting, see `pool`.
    excluded : ndarray of int, optional
        Rows to leave out, of whatever fold: those that the decision will be scored on.

    Returns
    -------
    HeldOut or None
        A row that was scored m times is there m times with a weight of 1 / m: an average of
        scores would be less extreme than those of the one model that is decided on later. It is
        a group then. None if there is no row.
    """
    if pooled is None:
        return None
    kept = np.ones(len(pooled.rows), bool)
    if excluded is not None:
        kept = ~np.isin(pooled.rows, excluded)
    rows = pooled.rows[kept]
    if not len(rows):
        return None
    times = np.bincount(rows)[rows]
    weight = None if data.weight is None else data.weight[rows]
    groups = data.groups
    if times.max() > 1:
        weight = 1 / times if weight is None else weight / times
        groups = np.arange(len(data.Y)) if groups is None else groups
    return HeldOut(
        pooled.scores[kept],
        data.Y[rows],
        weight,
        None if pooled.count is None else pooled.count[kept],
        None if groups is None else groups[rows],
    ).informative()


def evaluate(
    data: SearchData,
    candidates: Sequence[Candidate],
    fold_scores: Sequence[Sequence[FoldScores]],
    *,
    n_jobs: int | None,
) -> list[Outcome]:
    """Fit the decision of each candidate in each fold on the other folds, and score it.

    Parameters
    ----------
    data : SearchData
    candidates : sequence of Candidate
    fold_scores : sequence of sequences of FoldScores
        Of each setting and fold.
    n_jobs : int or None
        Settings at a time.

    Returns
    -------
    list of Outcome
        One per candidate.
    """
    by_setting: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        by_setting.setdefault(candidate.setting.number, []).append(candidate)
    calls = ((group, fold_scores[number]) for number, group in by_setting.items())
    outcomes = call_in_parallel(_evaluate_setting, calls, n_jobs, common=vars(data))
    return [outcome for group in outcomes for outcome in group]


def corrected_score(outcomes: Sequence[Outcome], choose: Callable[[np.ndarray], int]) -> float:
    """Return the score of the chosen candidate without selection bias.

    Parameters
    ----------
    outcomes : sequence of Outcome
    choose : callable ``(scores) -> int``
        Chooses a candidate by a score for each, NaN for those that have none.
    """
    in_bag, out_of_bag = np.stack([outcome.bootstraps for outcome in outcomes], axis=1)
    return correct_for_selection(in_bag, out_of_bag, choose).score


def mean_scores(data: SearchData, fold_scores: Sequence[FoldScores]) -> np.ndarray:
    """Return the mean out-of-fold score of each row, NaN where there is none."""
    pooled = pool(data, fold_scores)
    return np.full(data.Y.shape, np.nan) if pooled is None else pooled.means(len(data.Y))[0]


@dataclass(frozen=True)
class _Calibrated:
    """Calibrated scores of a fold, which several decoders share."""

    others: HeldOut | None  # of the other folds, to fit decoders on
    tested: np.ndarray  # of the fold
    metrics: dict[str, Any] = field(default_factory=dict)  # scores of probabilities


def _evaluate_setting(
    candidates: Sequence[Candidate], fold_scores: Sequence[FoldScores], /, **fields: Any
) -> list[Outcome]:
    """Return the outcomes of the candidates of one setting."""
    data = SearchData(**fields)
    scoring, pooled = data.make_scoring(), pool(data, fold_scores)
    outcomes = [Outcome(np.full((2, len(data.drawn)), np.nan)) for _ in candidates]
    predictions: list[list[ScoredRows]] = [[] for _ in candidates]
    for k, ((train, test), part) in enumerate(zip(data.folds, fold_scores, strict=True)):
        others = held_out_rows(data, pooled, excluded=test)
        all_targets = data.Y[train], None if data.weight is None else data.weight[train]
        shared: dict[tuple, _Calibrated] = {}
        for candidate, outcome, predicted in zip(candidates, outcomes, predictions, strict=True):
            start = time.perf_counter()
            scores: dict[str, float] = {}
            try:
                if part.scores is None:
                    raise RuntimeError(part.error)
                key = candidate.calibration_key
                if key not in shared:
                    shared[key] = _calibrate(candidate, part.scores, others, data.seed)
                decisions = _decide(candidate, shared[key], all_targets, part.count)
                predicted.append(ScoredRows(data.targets, shared[key].tested, decisions))
                scores, errors = scoring.score_fold(predicted[-1], test, shared[key].metrics)
                outcome.errors += [f"fold {k}: {error}" for error in errors]
            except Exception as error:
                if data.raises:
                    raise
                outcome.errors.append(f"fold {k}: {part.error or describe_error(error)}")
            outcome.scores.append(scores)
            outcome.score_time.append(time.perf_counter() - start + part.predict_time)
    rows = np.concatenate([test for _, test in data.folds])
    known: dict[tuple, np.ndarray] = {}
    for candidate, outcome, predicted in zip(candidates, outcomes, predictions, strict=True):
        if len(predicted) == len(data.folds):
            # Decoders do not matter to a metric of probabilities.
            decoder = candidate.decoder_name if scoring.chosen.needs_decisions else None
            which = (*candidate.calibration_key, decoder)
            if which not in known:
                joined = ScoredRows.concatenate(predicted)
                known[which] = scoring.bootstraps(joined, rows, data.drawn)
            outcome.bootstraps = known[which]
    return outcomes


def _calibrate(
    candidate: Candidate, scores: np.ndarray, others: HeldOut | None, seed: int
) -> _Calibrated:
    """Fit the calibration on the other folds, and apply it."""
    decision = Decision(candidate.decoder, clone(candidate.calibrator, safe=False), seed)
    if candidate.calibrator is not None:
        if others is None:
            raise ValueError("there is no other fold to fit the calibration on")
        others = decision.fit_calibrator(others)
    return _Calibrated(others, decision.calibrate(scores))


def _decide(
    candidate: Candidate, calibrated: _Calibrated, all_targets: Targets, count: np.ndarray | None
) -> np.ndarray:
    """Fit the decoder on the other folds, and return its decisions for the fold."""
    decision = Decision(clone(candidate.decoder))
    if candidate.decoder.requires_fit:
        if calibrated.others is None:
            raise ValueError("there is no other fold to fit the decoder on")
        decision.fit_decoder(calibrated.others, all_targets)
    return decision.decide(calibrated.tested, count)
