"""Reliability diagrams of predicted probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from .._data.labels import check_predictions, find_names
from .._data.validation import check_choice, check_integer, check_number
from ..metrics import expected_calibration_error
from ._inputs import check_true, label_probabilities, names_of_labels, select_labels
from ._panels import (
    COLOURS,
    GREY,
    MARKERS,
    check_matplotlib,
    finish,
    label_first,
    make_panels,
    name_panel,
    note_hidden,
    say_empty,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CalibrationDisplay", "ReliabilityCurve"]

# Below the range of the points, where none can cover it, in units of that range.
_HISTOGRAM_BOTTOM, _HISTOGRAM_TOP = -0.25, -0.05
_HISTOGRAM_BINS = 50
# More points than are useful; the edges of more bins would fill memory.
_MOST_BINS = 10**6


class ReliabilityCurve(NamedTuple):
    """Observed shares of one label by predicted probability.

    Attributes
    ----------
    prob_pred : ndarray of shape (n_used_bins,)
        Mean probability of the entries in each bin that has any.
    prob_true : ndarray of shape (n_used_bins,)
        Share of positives among them.
    lower, upper : ndarray of shape (n_used_bins,)
        Wilson interval of that share.
    counts : ndarray of int, shape (n_used_bins,)
        Entries in the bin.
    histogram : ndarray of int, shape (50,)
        Entries by probability, in bins of equal width on [0, 1].
    ece : float
        Expected calibration error, as `sklearn_mlloss.metrics.expected_calibration_error` and
        the report have it: of 15 bins of equal width, independent of the bins of the curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.inspection import CalibrationDisplay
    >>> Y, proba = np.array([[0], [1], [1]]), np.array([[0.2], [0.6], [0.6]])
    >>> display = CalibrationDisplay.from_predictions(Y, proba, strategy="uniform")
    >>> curve = display.curves["predictions"][0]
    >>> print(curve.prob_pred, curve.prob_true, curve.counts)
    [0.2 0.6] [0. 1.] [1 2]
    """

    prob_pred: np.ndarray
    prob_true: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    counts: np.ndarray
    histogram: np.ndarray
    ece: float


class CalibrationDisplay:
    """Reliability diagrams of one or several sets of probabilities, one panel per label.

    Each point is a bin of entries: their mean probability, the share of positives, and a confidence
    interval of that share. Calibrated probabilities lie on the diagonal within these intervals;
    points below it are overconfident. The histogram at the bottom shows how the probabilities are
    distributed, scaled to its highest bar in each panel.

    Use `from_predictions` or `from_estimator` to make one.

    Parameters
    ----------
    curves : dict of str to sequence of ReliabilityCurve or None, of length n_shown
        For each set of probabilities the curves of the labels shown, None for a label without
        positives.
    label_names : sequence of length n_shown
        Their names.
    positives : sequence of int, of length n_shown
        Their numbers of positives.
    confidence : float, default=0.9
        Coverage of the intervals, named in the legend.
    n_labels : int, default=None
        Number of all labels, if those with the most positives are shown: the figure then says how
        many are not. None if the labels were chosen.

    Attributes
    ----------
    curves, label_names, positives, confidence, n_labels
        The parameters.
    axes_ : ndarray of Axes, shape (n_shown,)
        The panels. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    lines_ : dict of str to list of Line2D or None, of length n_shown
        The points per set of probabilities; None for labels without positives.
    bars_ : dict of str to list of LineCollection or None
        Their intervals.
    histograms_ : dict of str to list of StepPatch or None
        Their histograms.

    See Also
    --------
    sklearn_mlloss.metrics.expected_calibration_error : The error in the titles, in the
        order of the sets.
    sklearn.calibration.CalibrationDisplay : The same for one binary problem.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import CalibrationDisplay
    >>> Y = [[0], [0], [1], [0], [1], [1]]
    >>> proba = [[0.1], [0.1], [0.1], [0.6], [0.6], [0.6]]
    >>> display = CalibrationDisplay.from_predictions(Y, proba, n_bins=2, strategy="uniform")
    >>> curve = display.curves["predictions"][0]
    >>> curve.prob_pred.round(2), curve.prob_true.round(2)
    (array([0.1, 0.6]), array([0.33, 0.67]))
    """

    def __init__(
        self,
        curves: Mapping[str, Sequence[ReliabilityCurve | None]],
        *,
        label_names: Sequence[Any],
        positives: Sequence[int],
        confidence: float = 0.9,
        n_labels: int | None = None,
    ) -> None:
        self.curves = curves
        self.label_names = label_names
        self.positives = positives
        self.confidence = confidence
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
        n_bins: int = 10,
        strategy: str = "quantile",
        confidence: float = 0.9,
        name: str | None = None,
        zoom: bool = False,
        ax: Any = None,
    ) -> Self:
        """Draw the diagrams of a fitted classifier.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict_proba`` that gives an array of shape (n_samples, n_labels), or
            a list with one array of shape (n_samples, n_classes) per label, like forests.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which neither the model nor its calibration was fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed.
        labels, label_names, n_bins, strategy, confidence, zoom, ax
            See `from_predictions`. Names of labels are those of `estimator` if y has none.
        name : str, default=None
            What the legend calls the probabilities. None takes the name of the estimator's class.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` has no ``predict_proba``.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> from sklearn_mlloss.inspection import CalibrationDisplay
        >>> X, y = make_multilabel_classification(n_classes=3, random_state=0)
        >>> forest = RandomForestClassifier(10, random_state=0).fit(X[:50], y[:50])
        >>> display = CalibrationDisplay.from_estimator(forest, X[50:], y[50:], labels=[0, 2])
        >>> display.label_names
        [0, 2]
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        Y = check_true(y, estimator)
        proba = label_probabilities(estimator, X, Y.shape[1])
        return cls.from_predictions(
            Y,
            {type(estimator).__name__ if name is None else name: proba},
            labels=labels,
            label_names=names_of_labels(estimator, y, label_names, Y.shape[1]),
            n_bins=n_bins,
            strategy=strategy,
            confidence=confidence,
            zoom=zoom,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike | Mapping[str, ArrayLike],
        *,
        labels: Sequence[Any] | None = None,
        label_names: Sequence[Any] | None = None,
        n_bins: int = 10,
        strategy: str = "quantile",
        confidence: float = 0.9,
        zoom: bool = False,
        ax: Any = None,
    ) -> Self:
        """Draw the diagrams of probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed; such entries are left out.
        y_prob : array-like of shape (n_samples, n_labels), or dict of str to such arrays
            Probabilities in [0, 1]; several by name are drawn in the same panels, such as
            ``{"raw": p, "calibrated": q}``, up to 6 of them.
        labels : sequence of names or indices, default=None
            Labels to show, in this order; names take precedence over indices. None shows the 12
            labels with the most positives, as many as are readable on a page, and the figure says
            how many others there are.
        label_names : sequence of length n_labels, default=None
            None takes the columns of a DataFrame, else numbers.
        n_bins : int, default=10
            Bins of the curve; those that stay empty are left out.
        strategy : {"quantile", "uniform"}, default="quantile"
            Bins with the same number of entries, or of the same width. Quantiles by default,
            since most probabilities of a rare label are near 0: equal widths leave the other
            bins next to empty. Entries with the same probability stay in one bin.
        confidence : float, default=0.9
            Coverage of the Wilson intervals, in (0, 1).
        zoom : bool, default=False
            Whether the axes of each panel are limited to its points, for rare labels, instead of
            [0, 1], for comparison.
        ax : Axes or array of Axes, default=None
            At least one per label shown. None makes a figure.

        Returns
        -------
        CalibrationDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        Y = check_true(y_true)
        check_integer(n_bins, "n_bins", low=1, high=_MOST_BINS)
        check_number(confidence, "confidence", low=0, high=1, closed="neither")
        check_choice(strategy, "strategy", ("quantile", "uniform"))
        sets = y_prob if isinstance(y_prob, Mapping) else {"predictions": y_prob}
        if not 1 <= len(sets) <= len(COLOURS):
            raise ValueError(
                f"y_prob must hold 1 to {len(COLOURS)} sets of probabilities, got {len(sets)}."
            )
        names = find_names(y_true, label_names, Y.shape[1])
        positives = np.nansum(Y, axis=0).astype(int)
        shown = select_labels(labels, names, positives)
        curves = {}
        for name, values in sets.items():
            where = f"y_prob[{name!r}]" if isinstance(y_prob, Mapping) else "y_prob"
            proba = check_predictions(values, where, y_true, Y.shape, "y_true", "probabilities")
            errors = expected_calibration_error(Y[:, shown], proba[:, shown], average=None)
            curves[name] = [
                _reliability(Y[:, k], proba[:, k], n_bins, strategy, confidence, error)
                if positives[k]
                else None
                for k, error in zip(shown, np.asarray(errors).tolist(), strict=True)
            ]
        return cls(
            curves,
            label_names=[names[k] for k in shown],
            positives=positives[shown].tolist(),
            confidence=confidence,
            n_labels=len(names) if labels is None else None,
        ).plot(ax=ax, zoom=zoom)

    def plot(self, ax: Any = None, *, zoom: bool = False) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            At least one per label; the first ones are used. None makes a figure, with the legend
            outside the panels.
        zoom : bool, default=False
            See `from_predictions`.

        Returns
        -------
        CalibrationDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If `ax` holds too few axes.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        self.axes_, self.figure_, is_new = make_panels(
            ax, len(self.label_names), 2.5, share=not zoom
        )
        self.lines_: dict[str, list[Any]] = {name: [] for name in self.curves}
        self.bars_: dict[str, list[Any]] = {name: [] for name in self.curves}
        self.histograms_: dict[str, list[Any]] = {name: [] for name in self.curves}
        diagonals = []
        for i, (panel, label, positives) in enumerate(
            zip(self.axes_, self.label_names, self.positives, strict=True)
        ):
            of_label = [curves[i] for curves in self.curves.values()]
            drawn = [curve for curve in of_label if curve is not None]
            errors = " / ".join(f"{curve.ece:.3f}" for curve in drawn)
            name_panel(panel, label, positives, f"calibration error {errors}" if drawn else "")
            low, high = _range(drawn) if zoom and drawn else (0.0, 1.0)
            size = high - low
            panel.set(
                xlim=(low - 0.03 * size, high + 0.03 * size),
                ylim=(low + _HISTOGRAM_BOTTOM * size, high + 0.03 * size),
                xticks=_ticks(low, high),
                yticks=_ticks(low, high),
            )
            if drawn:
                diagonals += panel.plot(
                    [low, high], [low, high], color=GREY, linestyle=":", label="as predicted"
                )
            else:
                say_empty(panel, is_shared=not zoom)
            for style, (name, curves) in enumerate(self.curves.items()):
                line, bars, histogram = _draw(panel, curves[i], name, style, low, high)
                self.lines_[name].append(line)
                self.bars_[name].append(bars)
                self.histograms_[name].append(histogram)
        handles = label_first(
            [(diagonals, "as predicted"), *((lines, name) for name, lines in self.lines_.items())]
        )
        ylabel = f"observed share\n({self.confidence:.0%} interval)"
        note = note_hidden(len(self.label_names), self.n_labels)
        finish(self.axes_, is_new, handles, "predicted probability", ylabel, "upper left", note)
        return self


def _draw(
    panel: Axes, curve: ReliabilityCurve | None, name: str, style: int, low: float, high: float
) -> tuple[Any, Any, Any]:
    """Draw a curve, its intervals and its histogram; return the artists."""
    if curve is None:
        return None, None, None
    colour = COLOURS[style]
    (line,) = panel.plot(
        curve.prob_pred, curve.prob_true, color=colour, marker=MARKERS[style], markersize=4,
        linewidth=1.2, label=name,
    )  # fmt: skip
    bars = panel.vlines(
        curve.prob_pred, curve.lower, curve.upper, color=colour, alpha=0.45, linewidth=1.5
    )
    bottom = low + _HISTOGRAM_BOTTOM * (high - low)
    height = (_HISTOGRAM_TOP - _HISTOGRAM_BOTTOM) * (high - low) / curve.histogram.max()
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    histogram = panel.stairs(
        bottom + height * curve.histogram,
        edges,
        baseline=bottom,
        fill=True,
        color=colour,
        alpha=0.4,
    )
    return line, bars, histogram


def _reliability(
    y: np.ndarray, proba: np.ndarray, n_bins: int, strategy: str, confidence: float, ece: float
) -> ReliabilityCurve:
    """Return the curve of one label; bins are closed above, as scikit-learn has them."""
    seen = ~np.isnan(y)
    y, proba = y[seen], proba[seen]
    edges = np.linspace(0, 1, n_bins + 1)
    if strategy == "quantile":
        # Not `np.quantile`: its edges differ in the last digit, and ties fall into another bin
        # than scikit-learn's.
        edges = np.percentile(proba, edges * 100)
    bins = np.searchsorted(edges[1:-1], proba)
    counts = np.bincount(bins)
    used = counts > 0
    hits, mass = (np.bincount(bins, values)[used] for values in (y, proba))
    counts = counts[used]
    lower, upper = _wilson(hits, counts, confidence)
    histogram = np.histogram(proba, _HISTOGRAM_BINS, (0, 1))[0]
    return ReliabilityCurve(mass / counts, hits / counts, lower, upper, counts, histogram, ece)


def _wilson(
    hits: np.ndarray, counts: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the Wilson score interval of shares, which has a width even if all entries agree."""
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    centre = (hits + z2 / 2) / (counts + z2)
    half = np.sqrt(z2 * (hits * (counts - hits) / counts + z2 / 4)) / (counts + z2)
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def _range(curves: Sequence[ReliabilityCurve]) -> tuple[float, float]:
    """Return the range of all points and intervals, the same for both axes."""
    low = min(min(curve.prob_pred.min(), curve.lower.min()) for curve in curves)
    high = max(max(curve.prob_pred.max(), curve.upper.max()) for curve in curves)
    return float(low), float(high)


def _ticks(low: float, high: float) -> np.ndarray:
    from matplotlib.ticker import MaxNLocator

    ticks = np.asarray(MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high))
    return ticks[(ticks >= low) & (ticks <= high)]
