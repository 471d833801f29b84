"""Metrics of all labels in one dot plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._data.labels import check_predictions, find_names
from .._data.messages import describe
from .._data.validation import check_integer
from ..metrics import multilabel_report
from ._inputs import check_true, label_probabilities, names_of_labels, predicted_labels
from ._panels import (
    COLOURS,
    GREY,
    MARKERS,
    POINTS,
    axes_width,
    check_matplotlib,
    keep_inside,
    legend_columns,
    make_axes,
    name_rows,
    shorten,
)

if TYPE_CHECKING:
    import pandas

__all__ = ["LabelReportDisplay"]

_OF_DECISIONS = ("precision", "recall", "f1")
_OF_PROBABILITIES = ("average_precision", "roc_auc", "ece", "mean_proba")
# How the legend writes metrics.
_NAMES = {"f1": "F1", "roc_auc": "ROC AUC", "ece": "calibration error"}


class LabelReportDisplay:
    """Dot plot with one row per label and one dot per metric, the most frequent labels on top.

    The tick in each row is the label's prior, its share of positives: the precision of random
    predictions, and the average precision of a random ranking. The numbers of positives stand on
    the right. The averages stand below the labels: "micro" of all entries pooled, "macro" the mean
    over labels. A metric that is 0/0, such as the precision of a label that was never predicted,
    has no dot.

    Use `from_predictions` or `from_estimator` to make one.

    Parameters
    ----------
    report : pandas.DataFrame
        As `sklearn_mlloss.metrics.multilabel_report` returns it.
    columns : sequence of str, default=("precision", "recall", "f1")
        Which metrics to show, up to 6 of "precision", "recall", "f1", "average_precision",
        "roc_auc", "ece" and "mean_proba", those that lie in [0, 1].

    Attributes
    ----------
    report, columns
        The parameters.
    ax_ : Axes
        The axes. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    lines_ : list of Line2D, of length n_columns
        The dots of each metric, the labels from top to bottom, then "micro" and "macro".
    priors_ : Line2D
        The reference marks.

    See Also
    --------
    sklearn_mlloss.metrics.multilabel_report : The numbers.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import LabelReportDisplay
    >>> display = LabelReportDisplay.from_predictions(
    ...     [[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 0], [1, 0]], label_names=["a", "b"])
    >>> display.report.loc[["a", "b"], "recall"].tolist()
    [1.0, 0.0]
    """

    def __init__(self, report: pandas.DataFrame, *, columns: Sequence[str] = _OF_DECISIONS) -> None:
        self.report = report
        self.columns = columns

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        columns: Sequence[str] = _OF_DECISIONS,
        label_names: Sequence[Any] | None = None,
        max_labels: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the metrics of a fitted classifier.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict`` and, for metrics of probabilities, ``predict_proba`` that
            gives an array of shape (n_samples, n_labels), or a list with one array of shape
            (n_samples, n_classes) per label, like forests.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which neither the model nor its decoder was fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed.
        columns, label_names, max_labels, ax
            See `from_predictions`. Names of labels are those of `estimator` if y has none.

        Returns
        -------
        LabelReportDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib or pandas.

        Examples
        --------
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> from sklearn_mlloss.inspection import LabelReportDisplay
        >>> X, y = make_multilabel_classification(n_classes=3, random_state=0)
        >>> knn = KNeighborsClassifier().fit(X[:50], y[:50])
        >>> display = LabelReportDisplay.from_estimator(
        ...     knn, X[50:], y[50:], columns=["f1", "roc_auc"])
        >>> len(display.lines_)
        2
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        _check_columns(columns)
        Y = check_true(y, estimator)
        y_pred = predicted_labels(estimator, X, Y.shape[1])
        needed = any(column in _OF_PROBABILITIES for column in columns)
        return cls.from_predictions(
            Y,
            y_pred,
            label_probabilities(estimator, X, Y.shape[1]) if needed else None,
            columns=columns,
            label_names=names_of_labels(estimator, y, label_names, Y.shape[1]),
            max_labels=max_labels,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        y_prob: ArrayLike | None = None,
        *,
        columns: Sequence[str] = _OF_DECISIONS,
        label_names: Sequence[Any] | None = None,
        max_labels: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the metrics of predicted labels and probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed; such entries are left out.
        y_pred : array-like of shape (n_samples, n_labels)
            Predicted labels, 0 or 1.
        y_prob : array-like of shape (n_samples, n_labels), default=None
            Probabilities in [0, 1]. None is enough if no column needs them; the report then uses
            the predicted labels as probabilities.
        columns : sequence of str, default=("precision", "recall", "f1")
            Which metrics to show, up to 6 of "precision", "recall", "f1", and of those that need
            `y_prob`: "average_precision", "roc_auc", "ece" and "mean_proba".
        label_names : sequence of length n_labels, default=None
            None takes the columns of a DataFrame, else numbers.
        max_labels : int, default=30
            As many rows as are readable on a page. Of more labels, those with the most positives
            are shown, with a note in the title; the averages are of all labels.
        ax : Axes, default=None
            None makes a figure that is high enough for the rows.

        Returns
        -------
        LabelReportDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or a column needs `y_prob` and it is None.
        ImportError
            Without matplotlib or pandas.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        _check_columns(columns)
        Y = check_true(y_true)
        decisions = check_predictions(y_pred, "y_pred", y_true, Y.shape, "y_true", "labels")
        missing = [column for column in columns if column in _OF_PROBABILITIES]
        if y_prob is None and missing:
            raise ValueError(f"columns has {missing[0]!r}, which needs y_prob, and it is None.")
        proba = decisions
        if y_prob is not None:
            proba = check_predictions(y_prob, "y_prob", y_true, Y.shape, "y_true", "probabilities")
        report = multilabel_report(Y, proba, decisions, find_names(y_true, label_names, Y.shape[1]))
        return cls(report, columns=tuple(columns)).plot(ax=ax, max_labels=max_labels)

    def plot(self, ax: Any = None, *, max_labels: int = 30) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a figure that is high enough for the rows, with the legend above them.
        max_labels : int, default=30
            See `from_predictions`.

        Returns
        -------
        LabelReportDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If `max_labels` is not a positive integer, or a column is unknown.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        check_integer(max_labels, "max_labels", low=1)
        _check_columns(self.columns)
        order = np.argsort(-self.report["support"].to_numpy()[:-2], kind="stable")[:max_labels]
        shown = self.report.iloc[[*order, -2, -1]]
        labels = shown.iloc[:-2]
        ax, self.figure_, is_new = make_axes(ax, 7, 0.26 * (len(labels) + 2) + 1.3)
        self.ax_ = ax

        # The averages stand apart from the labels by half a row.
        rows = np.append(np.arange(len(labels)), len(labels) + np.array([0.5, 1.5]))
        values = shown[list(self.columns)].to_numpy(float)
        low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        ax.hlines(rows, 0, 1, color="0.93", linewidth=1, zorder=0)
        ax.hlines(rows, low, high, color="0.75", linewidth=2, zorder=1)
        prior = shown["prevalence"].to_numpy(float)
        (self.priors_,) = ax.plot(prior, rows, "k|", markersize=11, zorder=3, label="prior")
        self.lines_ = []
        for column, dots, marker, colour in zip(
            self.columns, values.T, MARKERS, COLOURS, strict=False
        ):
            style = {
                "color": colour,
                "marker": marker,
                "label": _NAMES.get(column, column.replace("_", " ")),
            }
            self.lines_ += ax.plot(dots, rows, markersize=7, alpha=0.9, **POINTS, **style)
        for row in np.flatnonzero(labels["support"] == 0):
            ax.text(0.03, row, "no positives", va="center", fontsize="small", color=GREY)
        names = [*(shorten(name, 30) for name in labels.index), "micro", "macro"]
        ax.set(xlim=(-0.02, 1.02), ylim=(rows[-1] + 0.6, -0.6))
        ax.axhline(len(labels) - 0.25, color=GREY, linewidth=0.8)
        name_rows(ax, rows, names, [f"{n:g}" for n in labels["support"]], "positives")
        hidden = len(self.report) - 2 - len(labels)
        if hidden:
            ax.set_title(
                f"The {len(labels)} labels with the most positives of {len(labels) + hidden}",
                fontsize="medium",
            )
        handles = [*self.lines_, self.priors_]
        n_columns = legend_columns(
            handles, self.figure_.get_figwidth() if is_new else axes_width(ax)
        )
        marks: dict[str, Any] = {"handles": handles, "ncols": n_columns, "frameon": False}
        if is_new:
            self.figure_.legend(loc="outside upper center", **marks)
        else:  # below the ticks
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=2.5, **marks)
            keep_inside([ax])
        return self


def _check_columns(columns: Sequence[str]) -> None:
    allowed = (*_OF_DECISIONS, *_OF_PROBABILITIES)
    wanted = f"columns must be 1 to {len(COLOURS)} of {', '.join(map(repr, allowed))}"
    if isinstance(columns, str) or not 1 <= len(columns) <= len(COLOURS):
        raise ValueError(f"{wanted}, got {describe(columns)}.")
    for column in columns:
        if column not in allowed:
            raise ValueError(f"{wanted}, got {describe(column)}.")
