"""Precision-recall curves, one panel per label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import precision_recall_curve

from .._data.counts import ratio
from .._data.labels import check_predictions, find_names
from ..metrics import macro_average_precision
from ._inputs import (
    check_true,
    label_probabilities,
    names_of_labels,
    predicted_labels,
    select_labels,
)
from ._panels import (
    COLOURS,
    GREY,
    POINTS,
    check_matplotlib,
    finish,
    label_first,
    make_panels,
    name_panel,
    note_hidden,
    say_empty,
)

__all__ = ["PrecisionRecallCurve", "PrecisionRecallDisplay"]


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall of one label at all thresholds.

    Attributes
    ----------
    precision, recall : ndarray of shape (n_thresholds + 1,)
        As `sklearn.metrics.precision_recall_curve` returns them, without points in between.
    average_precision : float
        The area below the curve, as steps.
    chosen : tuple of float or None
        Recall and precision of the predicted labels; None if there are none.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import PrecisionRecallDisplay
    >>> display = PrecisionRecallDisplay.from_predictions([[0], [1], [1]], [[0.2], [0.6], [0.1]])
    >>> round(display.curves["predictions"][0].average_precision, 3)
    0.833
    """

    precision: np.ndarray
    recall: np.ndarray
    average_precision: float
    chosen: tuple[float, float] | None


class PrecisionRecallDisplay:
    """Precision against recall of one or several sets of scores, one panel per label.

    The curve shows the trade-off that thresholds have to choose from. The diamond is what the
    decoder has chosen: the precision and recall of the predicted labels. A decoder with one
    threshold per label has its diamond on the curve; others cut rows differently, and can lie off
    it. The dotted line is the label's prior, the precision of random predictions. The first set is
    drawn above the others.

    Use `from_predictions` or `from_estimator` to make one.

    Parameters
    ----------
    curves : dict of str to sequence of PrecisionRecallCurve or None, of length n_shown
        For each set of scores the curves of the labels shown, None for a label without positives.
    label_names : sequence of length n_shown
        Their names.
    positives : sequence of int, of length n_shown
        Their numbers of positives.
    priors : sequence of float, of length n_shown
        Their shares of positives.
    n_labels : int, default=None
        Number of all labels, if those with the most positives are shown: the figure then says how
        many are not. None if the labels were chosen.

    Attributes
    ----------
    curves, label_names, positives, priors, n_labels
        The parameters.
    axes_ : ndarray of Axes, shape (n_shown,)
        The panels. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    lines_ : dict of str to list of Line2D or None, of length n_shown
        The curves per set of scores; None for labels without positives.
    chosen_ : dict of str to list of Line2D or None
        The diamonds.

    See Also
    --------
    sklearn_mlloss.metrics.macro_average_precision : Mean of the areas in the titles.
    ThresholdDisplay : A metric against the threshold.
    sklearn.metrics.PrecisionRecallDisplay : The same for one binary problem.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import PrecisionRecallDisplay
    >>> Y, scores = [[0, 1], [1, 1], [1, 0]], [[0.2, 0.9], [0.6, 0.4], [0.1, 0.3]]
    >>> display = PrecisionRecallDisplay.from_predictions(Y, scores, label_names=["a", "b"])
    >>> display.label_names, display.curves["predictions"][1].average_precision
    (['a', 'b'], 1.0)
    """

    def __init__(
        self,
        curves: Mapping[str, Sequence[PrecisionRecallCurve | None]],
        *,
        label_names: Sequence[Any],
        positives: Sequence[int],
        priors: Sequence[float],
        n_labels: int | None = None,
    ) -> None:
        self.curves = curves
        self.label_names = label_names
        self.positives = positives
        self.priors = priors
        self.n_labels = n_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        labels: Sequence[Any] | None = None,
        label_names: Sequence[Any] | None = None,
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of a fitted classifier, and what it predicts.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict`` and ``predict_proba`` that gives an array of shape
            (n_samples, n_labels), or a list with one array of shape (n_samples, n_classes) per
            label, like forests.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which neither the model nor its decoder was fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed.
        labels, label_names, ax
            See `from_predictions`. Names of labels are those of `estimator` if y has none.
        name : str, default=None
            What the legend calls the scores. None takes the name of the estimator's class.

        Returns
        -------
        PrecisionRecallDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` lacks a method.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        Y = check_true(y, estimator)
        name = type(estimator).__name__ if name is None else name
        return cls.from_predictions(
            Y,
            {name: label_probabilities(estimator, X, Y.shape[1])},
            y_pred={name: predicted_labels(estimator, X, Y.shape[1])},
            labels=labels,
            label_names=names_of_labels(estimator, y, label_names, Y.shape[1]),
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike | Mapping[str, ArrayLike],
        *,
        y_pred: ArrayLike | Mapping[str, ArrayLike] | None = None,
        labels: Sequence[Any] | None = None,
        label_names: Sequence[Any] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of scores.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed; such entries are left out.
        y_score : array-like of shape (n_samples, n_labels), or dict of str to such arrays
            Finite scores, usually probabilities; several by name are drawn in the same panels, up
            to 6 of them.
        y_pred : array-like of shape (n_samples, n_labels), or dict of str to such arrays, \
                default=None
            Predicted labels, 0 or 1, whose precision and recall are marked; a dict has names of
            `y_score`. None marks nothing.
        labels : sequence of names or indices, default=None
            Labels to show, in this order; names take precedence over indices. None shows the 12
            labels with the most positives, and the figure says how many others there are.
        label_names : sequence of length n_labels, default=None
            None takes the columns of a DataFrame, else numbers.
        ax : Axes or array of Axes, default=None
            At least one per label shown. None makes a figure.

        Returns
        -------
        PrecisionRecallDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        Y = check_true(y_true)
        sets = dict(y_score) if isinstance(y_score, Mapping) else {"predictions": y_score}
        if not 1 <= len(sets) <= len(COLOURS):
            raise ValueError(
                f"y_score must hold 1 to {len(COLOURS)} sets of scores, got {len(sets)}."
            )
        decided = y_pred if isinstance(y_pred, Mapping) else dict.fromkeys(sets, y_pred)
        unknown = [name for name in decided if name not in sets]
        if unknown:
            raise ValueError(
                f"y_pred has {unknown[0]!r}, which is none of the sets of y_score: "
                f"{', '.join(map(repr, sets))}."
            )
        names = find_names(y_true, label_names, Y.shape[1])
        positives = np.nansum(Y, axis=0).astype(int)
        shown = select_labels(labels, names, positives)
        curves = {}
        for name, values in sets.items():
            where = f"y_score[{name!r}]" if isinstance(y_score, Mapping) else "y_score"
            scores = check_predictions(values, where, y_true, Y.shape, "y_true")
            guess = decided.get(name)
            if guess is not None:
                guess = check_predictions(guess, "y_pred", y_true, Y.shape, "y_true", "labels")
            areas = macro_average_precision(Y[:, shown], scores[:, shown], average=None)
            curves[name] = [
                _curve(Y[:, k], scores[:, k], None if guess is None else guess[:, k], area)
                if positives[k]
                else None
                for k, area in zip(shown, np.asarray(areas).tolist(), strict=True)
            ]
        return cls(
            curves,
            label_names=[names[k] for k in shown],
            positives=positives[shown].tolist(),
            priors=ratio(positives, (~np.isnan(Y)).sum(axis=0), np.nan)[shown].tolist(),
            n_labels=len(names) if labels is None else None,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            At least one per label; the first ones are used. None makes a figure, with the legend
            outside the panels.

        Returns
        -------
        PrecisionRecallDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If `ax` holds too few axes.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        self.axes_, self.figure_, is_new = make_panels(ax, len(self.label_names), 2.4)
        self.lines_: dict[str, list[Any]] = {name: [] for name in self.curves}
        self.chosen_: dict[str, list[Any]] = {name: [] for name in self.curves}
        priors = []
        for i, (panel, label, positives) in enumerate(
            zip(self.axes_, self.label_names, self.positives, strict=True)
        ):
            drawn = [each[i] for each in self.curves.values()]
            areas = " / ".join(f"{c.average_precision:.3f}" for c in drawn if c is not None)
            name_panel(panel, label, positives, f"average precision {areas}" if areas else "")
            panel.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
            panel.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
            if areas:
                priors.append(panel.axhline(self.priors[i], color=GREY, linestyle=":"))
            else:
                say_empty(panel, is_shared=True)
            for name, curve, colour in zip(self.curves, drawn, COLOURS, strict=False):
                line = chosen = None
                if curve is not None:
                    (line,) = panel.plot(
                        curve.recall, curve.precision, color=colour, drawstyle="steps-post",
                        linewidth=1.4, zorder=3 - 0.1 * COLOURS.index(colour),
                    )  # fmt: skip
                    if curve.chosen is not None:
                        (chosen,) = panel.plot(
                            *np.transpose([curve.chosen]), color=colour, marker="D", markersize=7,
                            zorder=4, **POINTS,
                        )  # fmt: skip
                self.lines_[name].append(line)
                self.chosen_[name].append(chosen)
        kinds = [(lines, name) for name, lines in self.lines_.items()]
        marks = [mark for each in self.chosen_.values() for mark in each]
        handles = label_first([*kinds, (marks, "predicted labels"), (priors, "prior")])
        note = note_hidden(len(self.label_names), self.n_labels)
        finish(self.axes_, is_new, handles, "recall", "precision", "lower left", note)
        return self


def _curve(
    y: np.ndarray, scores: np.ndarray, guess: np.ndarray | None, area: float
) -> PrecisionRecallCurve:
    seen = ~np.isnan(y)
    precision, recall, _ = precision_recall_curve(y[seen], scores[seen], drop_intermediate=True)
    chosen = None
    if guess is not None and guess[seen].any():
        hits = float(y[seen] @ guess[seen])
        chosen = hits / float(y[seen].sum()), hits / float(guess[seen].sum())
    return PrecisionRecallCurve(precision, recall, float(area), chosen)
