"""What a search has found, as columns and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from .._data.validation import warn_user
from .._sklearn import _MultimetricScorer
from ..model_selection.comparison import corrected_t_test, practical_difference
from .candidates import Pair, Setting
from .evaluate import Outcome
from .training import FoldScores

__all__ = [
    "chooser",
    "columns_of",
    "compare",
    "describe_choice",
    "metrics_of",
    "nothing_scored",
    "tabulate",
    "tell_failures",
]

LEVEL = 0.05  # of the tests that words are chosen by
SAME = "not significantly different"
NAMES = ("param_loss", "param_decoder", "param_calibration")


def tabulate(
    settings: Sequence[Setting],
    pairs: Sequence[Pair],
    outcomes: Sequence[Outcome],
    found: Sequence[Sequence[FoldScores]],
    prefix: str,
    metrics: Sequence[str],
    error_score: float,
) -> dict[str, Any]:
    """Return results in the layout of `GridSearchCV`, a row a pair."""
    results: dict[str, Any] = {}
    fit_time = [[part.fit_time for part in found[pair.setting]] for pair in pairs]
    score_time = [outcome.score_time for outcome in outcomes]
    for name, times in (("fit_time", fit_time), ("score_time", score_time)):
        results[f"mean_{name}"] = np.mean(times, axis=1)
        results[f"std_{name}"] = np.std(times, axis=1)
    results["param_loss"] = _column([settings[pair.setting].loss for pair in pairs])
    grids = [settings[pair.setting].grid for pair in pairs]
    for key in dict.fromkeys(key for grid in grids for key in grid):
        results[f"param_{key}"] = _column(
            [grid.get(key) for grid in grids], [key not in grid for grid in grids]
        )
    results["param_calibration"] = _column([pair.calibration_name for pair in pairs])
    results["param_decoder"] = _column([pair.decoder_name for pair in pairs])
    results["params"] = [
        settings[pair.setting].params
        | {
            prefix + "calibration": pair.calibration_spec,
            prefix + "decoder": pair.decoder_spec,
        }
        for pair in pairs
    ]
    results["setting"] = np.array([pair.setting for pair in pairs])
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
        # As in GridSearchCV, what has failed shares the last rank.
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
    settings: Sequence[Setting],
    pairs: Sequence[Pair],
) -> Callable[[np.ndarray], int]:
    """Return what takes a pair by a score for each: by the mean of the folds, or a bootstrap.

    With "one_std_error" the simplest of those whose difference to the best is at most its own
    standard error: losses with their default hyperparameters before others, decoders that learn
    nothing before those that do, no calibration before one, and what was listed first.
    """
    scores = _splits(results, metric)
    efforts = [
        (settings[pair.setting].tuned, pair.decoder.requires_fit, pair.calibrator is not None)
        for pair in pairs
    ]
    errors: dict[int, np.ndarray] = {}

    def choose(values: np.ndarray) -> int:
        best = int(np.where(np.isnan(values), -np.inf, values).argmax())
        if rule == "best" or np.isnan(values[best]):
            return best
        if best not in errors:  # many bootstraps have the same best pair
            test = corrected_t_test(scores - scores[best], *sizes)
            errors[best] = np.nan_to_num(test.std_error)
        near = np.flatnonzero(values >= values[best] - errors[best])
        return int(min(near, key=lambda number: (*efforts[number], number)))

    return choose


def columns_of(results: dict[str, Any]) -> list[str]:
    """Return the names of the columns that tell pairs apart."""
    grid = [name for name in results if name.startswith("param_") and name not in NAMES]
    shown = ["param_loss", *grid, "param_decoder"]
    several = len(set(results["param_calibration"].tolist())) > 1
    return [*shown, "param_calibration"] if several else shown


def compare(
    results: dict[str, Any], metric: str, sizes: tuple[float, float], rope: float
) -> dict[str, np.ndarray]:
    """Return each pair against the best, the best first."""
    scores = _splits(results, metric)
    mean = results[f"mean_test_{metric}"]
    order = np.argsort(results[f"rank_test_{metric}"], kind="stable")
    differences = scores - scores[order[0]]
    test = corrected_t_test(differences, *sizes)
    likely = practical_difference(differences, *sizes, rope)
    columns = {
        # A list has None for what is masked.
        name.removeprefix("param_"): np.array([*results[name].tolist(), None], dtype=object)[:-1]
        for name in columns_of(results)
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


def describe_choice(
    table: dict[str, np.ndarray],
    metric: str,
    n_splits: int,
    chosen: int | None,
    corrected: float | None,
    rope: float,
    n_rows: int | None,
) -> str:
    """Return a table of the first pairs, and in words what can be told from it."""
    n_pairs = len(table["score"])
    works = np.isfinite(table["score"])
    verdicts = table["verdict"].tolist()
    first = int(table["index"][0])
    stop = list(table).index("score")
    names = list(table)[:stop]
    rows = [[*names, metric, "difference", "p", "worse in practice", ""]]
    n_rows = n_pairs if n_rows is None else n_rows
    shown = [row for row in range(n_pairs) if row < n_rows or table["index"][row] == chosen]
    for row in shown:
        cells = ["-" if table[name][row] is None else str(table[name][row]) for name in names]
        numbers = [
            f"{table['score'][row]:.3f}",
            "" if row == 0 else f"{table['difference'][row]:+.3f}",
            "" if row == 0 else f"{table['p_value'][row]:.2f}",
            "" if row == 0 else f"{table['worse'][row]:.0%}",
        ]
        mark = " (chosen)" if table["index"][row] == chosen and chosen != first else ""
        numbers = ["" if "nan" in number else number for number in numbers]
        rows.append([*cells, *numbers, verdicts[row] + mark])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < stop or i == len(widths) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    if len(shown) < n_pairs:
        lines.append(f"... and {n_pairs - len(shown)} more: compare() has them all")
    lines.append("")
    lines += _words(table, verdicts, works, n_splits, rope)
    if corrected is not None and np.isfinite(corrected):
        score = table["score"][0]
        lines.append(
            f"Chosen as the best of {works.sum()}, its {metric} of {score:.3f} is optimistic: "
            f"{corrected:.3f} is to be expected on new rows."
            if chosen == first and works.sum() > 1 and round(corrected, 3) < round(score, 3)
            else f"{metric} {corrected:.3f} is to be expected of the chosen pair on new rows."
        )
    if not works.all():
        failed = np.flatnonzero(~works)
        lines.append(f"{_count(len(failed), 'pair')} failed, such as the one with")
        error = (str(table["error"][failed[0]]) or "its score is not finite").splitlines()[0]
        lines.append(f"  {', '.join(str(table[name][failed[0]]) for name in names)}: {error}")
    return "\n".join(lines)


def tell_failures(errors: list[str]) -> None:
    """Warn of trainings that failed; raise if all did."""
    failed = [error for error in errors if error]
    if not failed:
        return
    told = f"{len(failed)} of {len(errors)} trainings failed. The errors were:\n"
    told += most_common(failed)
    if len(failed) == len(errors):
        raise ValueError(told)
    warn_user(told, FitFailedWarning)


def most_common(errors: list[str]) -> str:
    """Return each error with how often it came."""
    return "\n".join(f"{n} times: {error}" for error, n in Counter(errors).most_common())


def metrics_of(scorer: Any, outcomes: list) -> list[str]:
    """Return the names of the metrics; a callable may have several that its results tell."""
    if isinstance(scorer, _MultimetricScorer):
        return list(scorer._scorers)
    found = list(dict.fromkeys(name for o in outcomes for fold in o.scores for name in fold))
    if found:
        return found
    raise nothing_scored([outcome.errors[0] for outcome in outcomes if outcome.errors])


def nothing_scored(errors: list[str]) -> ValueError:
    """Return the error to raise where every decision or every score failed."""
    told = most_common(errors) or "scoring returned no score"
    return ValueError(
        f"no pair could be scored. The errors were:\n{told}\n"
        "With memory=... of the classifier, what was trained is not trained again"
    )


def _verdicts(
    mean: np.ndarray, p_value: np.ndarray, equivalent: np.ndarray, best: int, n_splits: int
) -> np.ndarray:
    """Return in a word how each pair compares with the best; nothing after a single split."""
    if n_splits == 1:
        words = np.full(len(mean), "", dtype=object)
    else:
        words = np.where(p_value < LEVEL, "worse", SAME).astype(object)
        words[equivalent >= 1 - LEVEL] = "equivalent"
    words[~np.isfinite(mean)] = "failed"
    words[best] = "best" if np.isfinite(mean[best]) else "failed"
    return words


def _words(
    table: dict[str, np.ndarray],
    verdicts: list[str],
    works: np.ndarray,
    n_splits: int,
    rope: float,
) -> list[str]:
    others = int(works.sum()) - 1
    if n_splits == 1:
        return ["One split says nothing about chance: use cv=5."]
    if others < 1:
        return ["There is nothing to compare."]
    same = [row for row, verdict in enumerate(verdicts) if verdict in ("equivalent", SAME)]
    if not same:
        return [f"The best is better than the {_count(others, 'other pair')} (p < {LEVEL})."]
    lines = [
        f"{len(same)} of the {_count(others, 'other pair')} {'is' if len(same) == 1 else 'are'} "
        f"not significantly different from the best (corrected t-test, p >= {LEVEL})."
    ]
    certain = sum(verdict == "equivalent" for verdict in verdicts)
    if certain:
        lines.append(
            f"{certain} of them {'is' if certain == 1 else 'are'} equivalent: the difference is "
            f"below {rope:g} with a probability of {1 - LEVEL:.0%}."
        )
    for name in ("loss", "decoder"):
        tried = dict.fromkeys(table[name][works].tolist())
        left = dict.fromkeys(table[name][[0, *same]].tolist())
        if len(tried) > 1:
            shown = f"all {_count(len(tried), name)}"
            if len(left) < len(tried):
                of = _count(len(tried), name)
                shown = f"{len(left)} of {of}: {', '.join(map(str, left))}"
            lines.append(f"They and the best have {shown}.")
    return lines


def _count(number: int, noun: str) -> str:
    plural = "losses" if noun == "loss" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _splits(results: dict[str, Any], metric: str) -> np.ndarray:
    """Return the scores of all splits, of shape (n_pairs, n_splits)."""
    splits, k = [], 0
    while f"split{k}_test_{metric}" in results:
        splits.append(results[f"split{k}_test_{metric}"])
        k += 1
    return np.stack(splits, axis=1)


def _column(values: list, mask: list[bool] | None = None) -> np.ma.MaskedArray:
    """Return a column that is masked where a pair has no such parameter."""
    column = np.ma.MaskedArray(np.empty(len(values), dtype=object), mask=True)
    for row, value in enumerate(values):
        if mask is None or not mask[row]:
            column[row] = value
    return column
