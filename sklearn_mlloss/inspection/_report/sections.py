"""Sections of the report, from the data to the versions of packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..._data.counts import fbeta, ratio
from ..._data.responses import inside
from ..._versions import __version__, package_versions
from ...metrics import expected_calibration_error, macro_average_precision
from ..calibration import CalibrationDisplay
from ..confusion import ConfusionMatrixDisplay
from ..cooccurrence import CooccurrenceDisplay
from ..importance import LabelImportances
from ..label_counts import LabelCountDisplay
from ..precision_recall import PrecisionRecallDisplay
from .baselines import PRIORS, REGRESSION, Baselines
from .evidence import Evidence
from .intervals import METRICS, Interval
from .page import Cell, Html, bar, beside, draw, figures, join, number, percent, table, tag

__all__ = [
    "MODEL",
    "compare_scores",
    "describe_data",
    "describe_model",
    "list_labels",
    "plot_labels",
    "rank_columns",
    "show_mistakes",
    "sum_up",
]

MODEL = "model"
# Labels of a heat map, of a cell of the table of mistakes, and of that of prevalences.
_MOST_CELLS, _MOST_NAMES, _MOST_ROWS = 30, 8, 15
# Columns per label, and in all.
_N_BEST, _N_OVERALL = 5, 20

Scores = Mapping[str, Sequence[Interval]]


def sum_up(evidence: Evidence, scores: Scores, differences: Scores, problems: list[str]) -> Html:
    """Return the key numbers, what they mean, and the problems that were found."""
    Y = evidence.Y
    names = [metric.name for metric in METRICS]
    cards: list[tuple[str, str]] = [
        (f"{len(Y):,}", "held-out rows"),
        (f"{len(evidence.names):,}", "labels" if len(evidence.names) != 1 else "label"),
    ]
    for name in ("macro F1", "micro F1", "macro average precision", "log loss"):
        score = scores[MODEL][names.index(name)]
        cards.append((number(score.value), join([f"{name} ", tag("span", _limits(score))])))
    boxes = [tag("div", tag("b", value), text) for value, text in cards]
    where = " cross-validated on these rows" if evidence.Y_train is None else ""
    sentences = [
        _verdict(f"{other}{where}", differences[other])
        for other in (REGRESSION, PRIORS)
        if other in differences
    ]
    found = tag("ul", *(tag("li", text) for text in problems))
    return join(
        [
            tag("div", *boxes, class_="cards"),
            *(tag("p", text) for text in sentences),
            tag("h3", "Warnings"),
            found if problems else tag("p", "None."),
        ]
    )


def _verdict(other: str, differences: Sequence[Interval]) -> str:
    """Return which metrics of the model are better and worse than those of a baseline."""
    kinds: dict[str, list[str]] = {"better": [], "worse": [], "": []}
    for metric, difference in zip(METRICS, differences, strict=True):
        kinds[_judge(difference, metric.greater_is_better)].append(metric.name)
    words = {"better": "better", "worse": "worse", "": "not significantly different"}
    parts = [
        f"{words[kind]} in {'all metrics' if len(names) == len(METRICS) else ', '.join(names)}"
        for kind, names in kinds.items()
        if names
    ]
    return f"Compared to {other}, the model is {'; '.join(parts)}."


def _judge(difference: Interval, greater_is_better: bool) -> str:
    if np.isnan(difference.low) or difference.low <= 0 <= difference.high:
        return ""
    return "better" if (difference.low > 0) == greater_is_better else "worse"


def _limits(score: Interval) -> str:
    return "" if np.isnan(score.low) else f"[{number(score.low)}, {number(score.high)}]"


def describe_data(evidence: Evidence) -> Html:
    """Return what the rows and labels are."""
    Y, positives, names = evidence.Y, evidence.positives, evidence.names
    observed = ~np.isnan(Y)
    known = observed.any(axis=1)
    per_row = np.nansum(Y, axis=1)[known]
    facts = [("held-out rows", f"{len(Y):,}")]
    if evidence.Y_train is not None:
        facts.append(("training rows", f"{len(evidence.Y_train):,}"))
    columns = evidence.columns
    if columns.names:
        kinds = f", {columns.is_categorical.sum():,} of categories"
        several = kinds if columns.is_categorical.any() else ""
        facts.append(("columns of X", f"{len(columns.names):,}{several}"))
    facts += [
        ("classes" if evidence.targets.kind == "multiclass" else "labels", f"{len(names):,}"),
        ("observed entries of y", f"{percent(observed.mean())}"),
    ]
    if evidence.targets.kind == "multilabel":
        sets = len(np.unique(np.nan_to_num(Y, nan=2), axis=0))
        facts += [
            ("labels per row", f"mean {number(per_row.mean() if per_row.size else np.nan, 2)}, "
             f"median {number(np.median(per_row) if per_row.size else np.nan, 0)}, "
             f"most {number(per_row.max(initial=0), 0)}"),
            ("different sets of labels", f"{sets:,}"),
        ]  # fmt: skip
    prevalence = ratio(positives, observed.sum(axis=0), np.nan)
    shown = evidence.order[:_MOST_CELLS]
    rows = [
        (names[k], Cell(bar(prevalence[k], percent(prevalence[k])), prevalence[k]), positives[k])
        for k in evidence.order[:_MOST_ROWS]
    ]
    numbers = [
        table([], facts, text_columns=(0, 1)),
        tag("h3", "Prevalence of the labels"),
        _left_out(len(rows), len(names), "The table of labels has all of them."),
        table(["label", "prevalence", "positives"], rows, text_columns=(0, 1)),
    ]
    if evidence.targets.kind != "multilabel" or len(names) == 1:
        return join(numbers)
    size = 2.6 + 0.36 * len(shown)
    counts = [
        tag("h3", "Labels per row"),
        tag(
            "p",
            "Number of rows by their number of true and of predicted labels. Framed cells: "
            "the right number.",
            class_="note",
        ),
        *draw(
            lambda axes: LabelCountDisplay.from_predictions(Y, evidence.Y_hat, ax=axes[0]),
            5.2,
            5.2,
            ["Heat map of the predicted against the true number of labels per row"],
        ),
    ]
    together = [
        tag("h3", "Labels that occur together"),
        tag(
            "p",
            "The share of the rows with the label on the left that have the label above, in "
            "percent. The bottom line is the prevalence of each label in all rows.",
            class_="note",
        ),
        _left_out(len(shown), len(names)),
        *draw(
            lambda axes: CooccurrenceDisplay.from_labels(
                Y, label_names=names, max_labels=_MOST_CELLS, ax=axes[0]
            ),
            size,
            size - 0.4,
            ["Heat map of the co-occurrence of labels"],
            wide=True,
        ),
    ]
    return join([beside(numbers, counts), *together])


def compare_scores(
    scores: Scores, differences: Scores, baselines: Baselines, confidence: float, n_bootstrap: int
) -> Html:
    """Return the scores of the model and of the baselines."""
    others = [name for name in (REGRESSION, PRIORS) if name in scores]
    head = ["metric", MODEL, *others, *(f"difference to {name}" for name in others[:1])]
    rows = []
    for k, metric in enumerate(METRICS):
        row: list[Any] = [f"{metric.name} {'↑' if metric.greater_is_better else '↓'}"]
        row += [_with_limits(scores[name][k]) for name in (MODEL, *others)]
        for name in others[:1]:
            difference = differences[name][k]
            verdict = _judge(difference, metric.greater_is_better)
            kind = {"better": "right", "worse": "wrong", "": "note"}[verdict]
            words = tag("div", verdict or "not significantly different", class_=kind)
            row.append(join([_with_limits(difference, "+"), words]))
        rows.append(row)
    how = (
        f"In brackets: {confidence:.0%} intervals by a bootstrap of the rows, the percentiles of "
        f"{n_bootstrap:,} samples with replacement, the same samples for the model and the "
        "baselines. They show how much the scores depend on the choice of these rows, not how much "
        "on that of the training rows or on the randomness of training."
        if n_bootstrap
        else "Without intervals: n_bootstrap is 0."
    )
    notes = [
        tag("p", note, class_="note") for note in (how, baselines.how, *baselines.errors) if note
    ]
    meanings = [tag("li", f"{metric.name}: {metric.note}") for metric in METRICS]
    arrows = tag("p", "↑ greater is better, ↓ smaller is better.", class_="note")
    return join(
        [
            table(head, rows),
            arrows,
            *notes,
            tag("details", tag("summary", "What the metrics are"), tag("ul", *meanings)),
        ]
    )


def _with_limits(score: Interval, sign: str = "") -> Html:
    text = number(score.value)
    if sign and not text.startswith("−"):
        text = f"{sign}{text}"
    return join([tag("b", text), tag("div", _limits(score), class_="note")])


def list_labels(evidence: Evidence) -> Html:
    """Return the table of all labels."""
    Y, Y_hat, names = evidence.Y, evidence.Y_hat, evidence.names
    observed = ~np.isnan(Y)
    truth, guess = np.nan_to_num(Y), Y_hat * observed
    positives, predicted = truth.sum(axis=0), guess.sum(axis=0)
    tp = (truth * guess).sum(axis=0)
    columns = {
        "prevalence": ratio(positives, observed.sum(axis=0), np.nan),
        "threshold": evidence.thresholds,
        "precision": ratio(tp, predicted, np.nan),
        "recall": ratio(tp, positives, np.nan),
        "F1": fbeta(tp, predicted, positives, undefined=np.nan),
        "average precision": np.asarray(macro_average_precision(Y, evidence.scores, average=None)),
        "calibration error": np.asarray(
            expected_calibration_error(Y, evidence.scores, average=None)
        ),
    }
    counts = {
        "positives": positives,
        "TP": tp,
        "FP": predicted - tp,
        "FN": positives - tp,
        "TN": observed.sum(axis=0) - positives - predicted + tp,
    }
    known = {name: values for name, values in columns.items() if values is not None}
    fallback = set(np.ravel(getattr(evidence.decoder, "fallback_labels_", [])).tolist())
    rows = []
    for k in evidence.order:
        row: list[Any] = [names[k], Cell(f"{positives[k]:.0f}", positives[k])]
        for name, values in known.items():
            text: Any = number(values[k])
            if name == "prevalence":
                text = percent(values[k])
            elif name in ("F1", "average precision"):
                text = bar(values[k], text)
            elif name == "threshold" and k in fallback:
                text = f"{text} *"
            row.append(Cell(text, values[k]))
        row += [Cell(f"{counts[name][k]:.0f}", counts[name][k]) for name in list(counts)[1:]]
        rows.append(row)
    head = ["label", "positives", *known, *list(counts)[1:]]
    notes = [
        "Labels with the most positives first; click a heading to sort. A dash is 0/0: precision "
        "without predictions, recall and average precision without positives. The calibration "
        "error is the expected calibration error in 15 bins of equal width. TP, FP, FN and TN are "
        "true and false positives, false and true negatives."
    ]
    if evidence.thresholds is None:
        rule = type(evidence.decoder).__name__ if evidence.decoder is not None else None
        notes.append(
            "The model does not name its decision rule, so that there are no thresholds."
            if rule is None
            else f"The decoder {rule} has no threshold per label."
        )
    elif fallback:
        notes.append("* a common threshold, since there were too few positives to tune one.")
    return join(
        [
            *(tag("p", note, class_="note") for note in notes),
            table(head, rows, sortable=True),
        ]
    )


def plot_labels(
    evidence: Evidence, baselines: Baselines, max_labels: int
) -> list[tuple[str, str, Html]]:
    """Return sections with precision-recall curves, reliability diagrams and confusion."""
    Y, names = evidence.Y, evidence.names
    shown = evidence.order[:max_labels]
    sets = {MODEL: evidence.scores}
    if REGRESSION in baselines.predictions:
        sets[REGRESSION] = baselines.predictions[REGRESSION][0]
    chosen: dict[str, Any] = {"labels": shown, "label_names": list(map(str, names))}

    def drop_legend(ax: Any) -> None:
        if ax.get_legend() is not None:  # the text above the figures explains them
            ax.get_legend().remove()

    def curves(axes: list[Any]) -> None:
        PrecisionRecallDisplay.from_predictions(
            Y, sets, y_pred={MODEL: evidence.Y_hat}, ax=axes, **chosen
        )
        drop_legend(axes[0])

    def reliability(axes: list[Any]) -> None:
        CalibrationDisplay.from_predictions(Y, {MODEL: evidence.scores}, ax=axes, **chosen)
        drop_legend(axes[0])

    def confusion(axes: list[Any]) -> None:
        ConfusionMatrixDisplay.from_predictions(Y, evidence.Y_hat, ax=axes, **chosen)

    more = _left_out(len(shown), len(names), "The table of labels has the numbers of all.")
    compared = f" Orange: {REGRESSION}." if len(sets) > 1 else ""
    parts: list[tuple[str, str, Any, float, str]] = [
        ("curves", "Precision and recall", curves, 2.9,
         "Each curve has the precision and recall at all thresholds. Blue: the model, with a "
         f"diamond at what it predicts.{compared} Dotted: the prevalence, the precision of "
         "random predictions. In the titles: the area below the curve."),
        ("calibration", "Calibration", reliability, 3.0,
         "Each point is a tenth of the rows: their mean predicted probability, and the share of "
         "positives among them with a 90% interval. Calibrated probabilities lie on the dotted "
         "line; points below it are overconfident. The histogram at the bottom shows how the "
         "probabilities are distributed."),
        ("confusion", "Confusion", confusion, 2.6,
         "Numbers of rows, and their share of the rows with the same true value."),
    ]  # fmt: skip
    sections = []
    for name, title, plot, height, text in parts:
        images = draw(plot, 2.9, height, [f"{title}: {names[k]}" for k in shown])
        content = join([tag("p", text, class_="note"), more, figures(images)])
        sections.append((name, title, content))
    return sections


def show_mistakes(evidence: Evidence, n_mistakes: int) -> Html:
    """Return the rows with the largest log loss."""
    Y, scores, Y_hat = evidence.Y, inside(evidence.scores), evidence.Y_hat
    observed = ~np.isnan(Y)
    cost = np.where(observed, -np.log(np.where(Y == 1, scores, 1 - scores)), 0)
    total = cost.sum(axis=1)
    worst = np.argsort(-total, kind="stable")[:n_mistakes]

    def labels(row: int, which: np.ndarray, right: np.ndarray) -> Html:
        picked = np.flatnonzero(which[row])
        picked = picked[np.argsort(-cost[row, picked], kind="stable")]
        items = [
            tag("span", f"{evidence.names[k]} ({_probability(scores[row, k])})",
                class_="label right" if right[row, k] else "label wrong" if observed[row, k]
                else "label")
            for k in picked[:_MOST_NAMES]
        ]  # fmt: skip
        if len(picked) > _MOST_NAMES:
            items.append(tag("span", f"and {len(picked) - _MOST_NAMES} more", class_="note"))
        return join(items or [tag("span", "none", class_="note")], " ")

    agree = Y == Y_hat
    rows = [
        (evidence.index[row], number(total[row], 2), labels(row, Y == 1, agree),
         labels(row, Y_hat == 1, agree))
        for row in worst
    ]  # fmt: skip
    head = ["row", "log loss", "true labels", "predicted labels"]
    note = (
        "The rows whose labels the model considers least probable, by the log loss summed over "
        "their observed labels. Each label has its predicted probability, and the costliest stand "
        "first. Green: right. Orange: missed, or predicted wrongly. Mistakes here are often wrong "
        "labels in the data."
    )
    return join([tag("p", note, class_="note"), table(head, rows, text_columns=(0, 2, 3))])


def _probability(p: float) -> str:
    return f"{p:.2f}" if 0.005 <= p < 0.995 else f"{p:.1e}" if p < 0.5 else f"{p:.4f}"


def rank_columns(evidence: Evidence, importances: LabelImportances, max_labels: int) -> Html:
    """Return the most important columns of X, for all labels and for each."""
    means, spread = importances.importances_mean, importances.importances_std
    names = importances.feature_names
    overall = np.nan_to_num(
        ratio(np.nansum(means, axis=1), (~np.isnan(means)).sum(axis=1), np.nan), nan=-np.inf
    )
    best = [k for k in np.argsort(-overall, kind="stable")[:_N_OVERALL] if overall[k] > 0]
    highest = overall[best[0]] if best else 1.0
    top = [(names[k], bar(overall[k] / highest, number(overall[k], 4))) for k in best]
    n_repeats = importances.importances.shape[2]
    rows = []
    shown = evidence.order[:max_labels]
    for label in shown:
        values = np.nan_to_num(means[:, label], nan=-np.inf)
        picked = [k for k in np.argsort(-values, kind="stable")[:_N_BEST] if values[k] > 0]
        texts = [
            tag("span", f"{names[k]} ({number(values[k])}{_spread(spread[k, label], n_repeats)})",
                class_="label")
            for k in picked
        ]  # fmt: skip
        rows.append((evidence.names[label], join(texts or ["none"], " ")))
    repeated = f", mean and standard deviation of {n_repeats} repetitions" if n_repeats > 1 else ""
    note = (
        "Permutation importance: how much lower the average precision of these rows is if the "
        f"values of the column are in a random order{repeated}. Correlated columns share their "
        "importance, since the model can use the one in place of the other."
    )
    overall_part = [
        tag("h3", "Mean over all labels"),
        _left_out(len(top), len(names), "", "columns", "of the largest importance"),
        table(["column", "importance"], top, text_columns=(0, 1)),
    ]
    label_part = [
        tag("h3", "Per label"),
        _left_out(len(shown), len(evidence.names)),
        table(["label", "most important columns"], rows, text_columns=(0, 1)),
    ]
    return join([tag("p", note, class_="note"), beside(overall_part, label_part)])


def _spread(value: float, n_repeats: int) -> str:
    return f" ± {number(value)}" if n_repeats > 1 else ""


def describe_model(evidence: Evidence) -> Html:
    """Return the model with its parameters, and the versions of packages."""
    versions = {"sklearn_mlloss": __version__, "python": platform.python_version()}
    versions |= package_versions()
    parts: list[Any] = [tag("pre", repr(evidence.model), class_="wrap")]
    summary = getattr(evidence.model, "summary", None)
    if callable(summary):
        parts.append(tag("details", tag("summary", "Fitted parameters"), tag("pre", summary())))
    parts += [
        tag("h3", "Versions"),
        table(["package", "version"], versions.items(), text_columns=(0, 1)),
    ]
    return join(parts)


def _left_out(
    n_shown: int,
    n_all: int,
    where: str = "",
    noun: str = "labels",
    which: str = "with the most positives",
) -> Html:
    """Return a sentence on what is not shown, or nothing."""
    if n_shown >= n_all:
        return Html("")
    return tag("p", f"The {n_shown} {noun} {which}, of {n_all:,}. {where}".rstrip(), class_="note")
