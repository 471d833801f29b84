"""The results of a search, as columns and in words, and its progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning

from .._data.messages import warn_user
from .._sklearn import _MultimetricScorer
from ..model_selection.comparison import corrected_t_test, practical_difference
from .candidates import Candidate, Setting
from .evaluate import Outcome
from .training import FoldScores

if TYPE_CHECKING:
    from .search import LossDecoderSearchCV

__all__ = [
    "Countdown",
    "chooser",
    "compare",
    "describe_results",
    "describe_seconds",
    "metrics_of",
    "nothing_scored",
    "tabulate",
    "warn_of_doubts",
    "warn_of_failures",
]

LEVEL = 0.05  # of the tests that the verdicts follow from
SAME = "not significantly different"
# With two splits there is one degree of freedom: even .12 and .64 differ by chance.
FEWEST, TOO_FEW = 3, "too few folds to judge"
# Seconds from one line of progress to the next, where not each training has one.
INTERVAL = 5.0


# ---------------------------------------------------------------------- progress


class Countdown:
    """Prints a line for trainings that are over; to be called with the number of each, as it ends.

    The time left is that for the remaining trainings at the pace so far, and for those on all
    rows. It is shown as soon as as many have ended as run at a time.

    Parameters
    ----------
    names : sequence of str
        Of the trainings.
    n_more : int
        Trainings on all rows that will follow.
    n_jobs : int or None
        As in joblib.
    each : bool
        Whether each training has a line; otherwise there is one every few seconds, and at the end.
    """

    def __init__(self, names: Sequence[str], n_more: int, n_jobs: int | None, each: bool):
        self.names = names
        self.n_more = n_more
        self.at_a_time = min(effective_n_jobs(n_jobs), len(names))
        self.each = each
        self.n_done = 0
        self.busy = 0.0
        self.start = self.last_line = time.perf_counter()

    def __call__(self, number: int, result: FoldScores) -> None:
        """Count a training that is over, and print a line if it is time for one."""
        self.n_done += 1
        self.busy += result.fit_time
        now = time.perf_counter()
        n_left = len(self.names) - self.n_done
        if not self.each and n_left and now - self.last_line < INTERVAL:
            return
        self.last_line, elapsed = now, now - self.start
        line = f"[{self.n_done}/{len(self.names)}] {self.names[number]}: "
        line += result.error or describe_seconds(result.fit_time)
        line += f"; {describe_seconds(elapsed)} so far"
        left = (elapsed * n_left + self.busy * self.n_more) / self.n_done
        if left and self.n_done >= self.at_a_time:
            line += f", about {describe_seconds(left)} left"
        print(line, flush=True)


def describe_seconds(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> [describe_seconds(t) for t in (0.31, 59.4, 59.6, 3599.6, 7260)]
    ['0.3 s', '59 s', '1 min 00 s', '1 h 00 min', '2 h 01 min']
    """
    if round(seconds) < 10:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


# ---------------------------------------------------------------------- failures


def warn_of_failures(errors: Sequence[str]) -> None:
    """Warn of trainings that failed; raise if all did."""
    failed = [error for error in errors if error]
    if not failed:
        return
    message = f"{len(failed)} of {len(errors)} trainings failed. The errors were:\n"
    message += _most_common(failed)
    if len(failed) == len(errors):
        raise ValueError(message)
    warn_user(message, FitFailedWarning)


def warn_of_doubts(
    settings: Sequence[Setting], fold_scores: Sequence[Sequence[FoldScores]], of_refit: list[str]
) -> None:
    """Warn once of trainings that did not converge, with the names of their losses.

    Parameters
    ----------
    settings, fold_scores
        The trainings.
    of_refit : list of str
        What the training on all rows warned of.
    """
    where, messages = [], []
    for setting, parts in zip(settings, fold_scores, strict=True):
        folds = [str(k) for k, part in enumerate(parts, 1) if part.doubts]
        messages += [message for part in parts for message in part.doubts]
        if folds:
            where.append(f"{setting.title} (fold{'s' * (len(folds) > 1)} {', '.join(folds)})")
    if of_refit:
        where.append("the chosen one on all rows")
    messages += of_refit
    if messages:
        warn_user(
            f"some trainings may not have converged: {', '.join(where)}. The first: {messages[0]}",
            ConvergenceWarning,
        )


def nothing_scored(outcomes: Sequence[Outcome]) -> ValueError:
    """Return the error to raise where each decision or each score failed."""
    errors = [outcome.errors[0] for outcome in outcomes if outcome.errors]
    return ValueError(
        "no candidate could be scored. The errors were:\n"
        f"{_most_common(errors) or 'scoring returned no score'}\n"
        "With memory=... of the classifier, what was trained is not trained again"
    )


def _most_common(errors: Sequence[str]) -> str:
    return "\n".join(f"{n} times: {error}" for error, n in Counter(errors).most_common())


# ---------------------------------------------------------------------- results


def metrics_of(scorer: Any, outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of the metrics; of a callable, those that it returned."""
    if isinstance(scorer, _MultimetricScorer):
        return list(scorer._scorers)
    names = dict.fromkeys(
        name for outcome in outcomes for scores in outcome.scores for name in scores
    )
    if not names:
        raise nothing_scored(outcomes)
    return list(names)


def tabulate(
    candidates: Sequence[Candidate],
    outcomes: Sequence[Outcome],
    fold_scores: Sequence[Sequence[FoldScores]],
    metrics: Sequence[str],
    error_score: float,
) -> dict[str, Any]:
    """Return results in the layout of `GridSearchCV`, one row per candidate."""
    results: dict[str, Any] = {}
    settings = [candidate.setting for candidate in candidates]
    fit_time = [[part.fit_time for part in fold_scores[setting.number]] for setting in settings]
    score_time = [outcome.score_time for outcome in outcomes]
    for name, times in (("fit_time", fit_time), ("score_time", score_time)):
        results[f"mean_{name}"] = np.mean(times, axis=1)
        results[f"std_{name}"] = np.std(times, axis=1)
    results["param_loss"] = _column([setting.loss_name for setting in settings])
    for key in dict.fromkeys(key for setting in settings for key in setting.grid):
        results[f"param_{key}"] = _column(
            [setting.grid.get(key) for setting in settings],
            [key in setting.grid for setting in settings],
        )
    results["param_calibration"] = _column([candidate.calibration_name for candidate in candidates])
    results["param_decoder"] = _column([candidate.decoder_name for candidate in candidates])
    results["params"] = [candidate.params for candidate in candidates]
    results["setting"] = np.array([setting.number for setting in settings])
    for metric in metrics:
        scores = np.array(
            [[fold.get(metric, error_score) for fold in outcome.scores] for outcome in outcomes],
            dtype=np.float64,
        )
        for k, column in enumerate(scores.T):
            results[f"split{k}_test_{metric}"] = column
        mean = scores.mean(axis=1)
        results[f"mean_test_{metric}"] = mean
        results[f"std_test_{metric}"] = scores.std(axis=1)
        # As in GridSearchCV, failed candidates share the last rank.
        worst = np.nanmin(mean) - 1 if np.isfinite(mean).any() else 0.0
        ranks = rankdata(-np.where(np.isnan(mean), worst, mean), method="min")
        results[f"rank_test_{metric}"] = ranks.astype(np.int32)
    results["error"] = np.array(
        ["; ".join(dict.fromkeys(outcome.errors)) for outcome in outcomes], dtype=object
    )
    return results


def chooser(
    results: dict[str, Any],
    metric: str,
    rule: str,
    sizes: tuple[float, float],
    candidates: Sequence[Candidate],
) -> Callable[[np.ndarray], int]:
    """Return a function that chooses a candidate by a score for each.

    The scores are the means over the folds, or those of a bootstrap. With "one_std_error" it
    chooses the simplest candidate whose difference to the best is at most its standard error:
    losses with their default hyperparameters before others, decoders without a fit before those
    that need one, no calibration before one, and what was listed first.
    """
    scores = _splits(results, metric)
    errors: dict[int, np.ndarray] = {}

    def choose(values: np.ndarray) -> int:
        best = int(np.where(np.isnan(values), -np.inf, values).argmax())
        if rule == "best" or np.isnan(values[best]):
            return best
        if best not in errors:  # many bootstraps have the same best candidate
            test = corrected_t_test(scores - scores[best], *sizes)
            errors[best] = np.nan_to_num(test.std_error)
        near = np.flatnonzero(values >= values[best] - errors[best]).tolist()
        return min(near, key=lambda number: (candidates[number].complexity, number))

    return choose


def _splits(results: dict[str, Any], metric: str) -> np.ndarray:
    """Return the scores of all splits, of shape (n_candidates, n_splits)."""
    names = takewhile(results.__contains__, (f"split{k}_test_{metric}" for k in count()))
    return np.stack([results[name] for name in names], axis=1)


def _column(values: Sequence[Any], is_there: Sequence[bool] | None = None) -> np.ma.MaskedArray:
    """Return a column that is masked where a candidate has no such parameter."""
    mask = [False] * len(values) if is_there is None else np.logical_not(is_there)
    return np.ma.MaskedArray(np.fromiter(values, dtype=object), mask=mask)


# ---------------------------------------------------------------------- comparison


def compare(
    results: dict[str, Any], metric: str, sizes: tuple[float, float], rope: float
) -> dict[str, np.ndarray]:
    """Return each candidate against the best, the best first."""
    scores = _splits(results, metric)
    mean = results[f"mean_test_{metric}"]
    order = np.argsort(results[f"rank_test_{metric}"], kind="stable")
    differences = scores - scores[order[0]]
    test = corrected_t_test(differences, *sizes)
    likely = practical_difference(differences, *sizes, rope)
    columns = {
        # A list has None for masked values.
        name.removeprefix("param_"): np.array([*results[name].tolist(), None], dtype=object)[:-1]
        for name in _names_of_params(results)
    }
    if "calibration" in columns:  # None would become NaN in a DataFrame
        columns["calibration"] = np.array([name or "none" for name in columns["calibration"]])
    columns |= {
        "score": mean,
        "difference": test.difference,
        "std_error": test.std_error,
        "p_value": test.p_value,
        "better": likely.better,
        "equivalent": likely.equivalent,
        "worse": likely.worse,
        "verdict": _verdicts(mean, test.p_value, likely.equivalent, order[0], scores.shape[1]),
        "error": results["error"],
        "index": np.arange(len(mean)),
    }
    return {name: np.asarray(values)[order] for name, values in columns.items()}


def _names_of_params(results: dict[str, Any]) -> list[str]:
    """Return the names of the columns that identify candidates."""
    last = "param_calibration"
    names = [name for name in results if name.startswith("param_") and name != last]
    return [*names, last] if len(set(results[last].tolist())) > 1 else names


def _verdicts(
    mean: np.ndarray, p_value: np.ndarray, equivalent: np.ndarray, best: int, n_splits: int
) -> np.ndarray:
    """Return in a word how each candidate compares with the best; nothing after a single split."""
    if n_splits == 1:
        words = np.full(len(mean), "", dtype=object)
    else:
        alike = SAME if n_splits >= FEWEST else TOO_FEW
        words = np.where(p_value < LEVEL, "worse", alike).astype(object)
        words[equivalent >= 1 - LEVEL] = "equivalent"
    words[~np.isfinite(mean)] = "failed"
    words[best] = "best" if np.isfinite(mean[best]) else "failed"
    return words


def describe_results(
    search: LossDecoderSearchCV, metric: str, rope: float, n_rows: int | None
) -> str:
    """Return a table of the best candidates of a fitted search, and conclusions in words."""
    table = compare(search.cv_results_, metric, search._sizes, rope)
    chosen = corrected = None
    if metric == getattr(search, "_best_metric", None):
        chosen, corrected = search.best_index_, search.best_score_corrected_
    if metric == "score" and isinstance(search.scoring, str):
        metric = search.scoring
    n_candidates = len(table["score"])
    works = np.isfinite(table["score"])
    n_rows = n_candidates if n_rows is None else n_rows
    shown = [row for row in range(n_candidates) if row < n_rows or table["index"][row] == chosen]
    lines = _align(table, metric, shown, chosen)
    if len(shown) < n_candidates:
        lines.append(f"... and {n_candidates - len(shown)} more: compare() has them all")
    lines += ["", *_conclusions(table, works, search.n_splits_, rope)]
    if corrected is not None and np.isfinite(corrected):
        score = table["score"][0]
        is_best = chosen == table["index"][0]
        lines.append(
            f"Chosen as the best of {works.sum()}, its {metric} of {score:.3f} is optimistic: "
            f"expect {corrected:.3f} on new rows."
            if is_best and works.sum() > 1 and round(corrected, 3) < round(score, 3)
            else f"Expect {metric} {corrected:.3f} from the chosen candidate on new rows."
        )
    if not works.all():
        first, n_failed = int(np.flatnonzero(~works)[0]), int((~works).sum())
        error = (str(table["error"][first]) or "its score is not finite").splitlines()[0]
        lines.append(f"{_count(n_failed, 'candidate')} failed, such as the one with")
        lines.append(f"  {', '.join(str(table[name][first]) for name in _names(table))}: {error}")
    return "\n".join(lines)


def _names(table: dict[str, np.ndarray]) -> list[str]:
    """Return the names of the columns that identify candidates."""
    return list(table)[: list(table).index("score")]


def _align(
    table: dict[str, np.ndarray], metric: str, shown: list[int], chosen: int | None
) -> list[str]:
    """Return lines of aligned cells, a header and one per candidate shown."""
    names = _names(table)
    rows = [[*names, metric, "difference", "p", "worse in practice", ""]]
    for row in shown:
        cells = ["-" if table[name][row] is None else str(table[name][row]) for name in names]
        numbers = [f"{table['score'][row]:.3f}", "", "", ""]
        if row:
            numbers[1] = f"{table['difference'][row]:+.3f}"
            numbers[2] = f"{table['p_value'][row]:.2f}"
            numbers[3] = f"{table['worse'][row]:.0%}"
        numbers = ["" if "nan" in number else number for number in numbers]
        mark = " (chosen)" if row and table["index"][row] == chosen else ""
        rows.append([*cells, *numbers, table["verdict"][row] + mark])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<"] * len(names) + [">"] * 4 + ["<"]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _conclusions(
    table: dict[str, np.ndarray], works: np.ndarray, n_splits: int, rope: float
) -> list[str]:
    others, verdicts = int(works.sum()) - 1, table["verdict"].tolist()
    if n_splits == 1:
        return ["One split says nothing about chance: use cv=5."]
    if others < 1:
        return ["There is nothing to compare."]
    if TOO_FEW in verdicts:
        number = verdicts.count(TOO_FEW)
        return [
            f"{n_splits} folds are too few to judge {number} of the "
            f"{_count(others, 'other candidate')}: use cv=5."
        ]
    same = [row for row, verdict in enumerate(verdicts) if verdict in ("equivalent", SAME)]
    if not same:
        return [f"The best is better than the {_count(others, 'other candidate')} (p < {LEVEL})."]
    lines = [
        f"{len(same)} of the {_count(others, 'other candidate')} {_is(len(same))} {SAME} from the "
        f"best (corrected t-test, p >= {LEVEL})."
    ]
    certain = verdicts.count("equivalent")
    if certain:
        lines.append(
            f"{certain} of them {_is(certain)} equivalent: the difference is below {rope:g} with a "
            f"probability of {1 - LEVEL:.0%}."
        )
    for name in ("loss", "decoder"):
        tried = dict.fromkeys(table[name][works].tolist())
        left = dict.fromkeys(table[name][[0, *same]].tolist())
        if len(tried) > 1:
            shown = f"all {_count(len(tried), name)}"
            if len(left) < len(tried):
                shown = f"{len(left)} of {_count(len(tried), name)}: {', '.join(map(str, left))}"
            lines.append(f"They and the best have {shown}.")
    return lines


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _count(number: int, noun: str) -> str:
    plural = "losses" if noun == "loss" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
