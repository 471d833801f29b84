"""Threshold curves: a metric of each label against the threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._data.labels import check_predictions, find_names
from .._data.validation import check_integer, check_number
from ..decoders import CostSensitiveThreshold, Decoder, FixedThreshold
from ._curves import ThresholdCurve, resolve_metric, threshold_curve
from ._inputs import check_true, label_probabilities, names_of_labels, select_labels
from ._panels import (
    BLUE,
    POINTS,
    VERMILLION,
    check_matplotlib,
    finish,
    label_first,
    make_panels,
    name_panel,
    note_hidden,
    say_empty,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ThresholdDisplay", "thresholds_of"]

# A curve of up to 400 points for each.
_MOST_BOOTSTRAPS = 10**5


class ThresholdDisplay:
    """A metric against the threshold with bootstrap intervals, one panel per label.

    Each panel shows the metric at every threshold, the threshold that a decoder chose, and the best
    threshold on the rows shown. A bootstrap over rows shows how far the curve and the best
    threshold would move on another sample. If the curve is flat and the interval wide, the
    threshold hardly matters. If the interval contains the chosen threshold, it is not significantly
    different from the best one.

    Use `from_predictions` or `from_estimator` to make one.

    Parameters
    ----------
    curves : sequence of ThresholdCurve or None, of length n_shown
        One curve per label shown, None for a label without positives.
    label_names : sequence of length n_shown
        Their names.
    positives : sequence of int, of length n_shown
        Their numbers of positives.
    chosen : array-like of shape (n_shown,), default=None
        The chosen thresholds. None marks none.
    metric_name : str, default="metric"
        Name of the metric, on the axis and in the legend.
    confidence : float, default=0.9
        Coverage of the intervals, named in the legend.
    n_labels : int, default=None
        Number of all labels, if those with the most positives are shown: the figure then says how
        many are not. None if the labels were chosen.

    Attributes
    ----------
    curves, label_names, positives, chosen, metric_name, confidence, n_labels
        The parameters.
    axes_ : ndarray of Axes, shape (n_shown,)
        The panels. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    lines_ : list of Line2D or None, of length n_shown
        The curves; None for labels without positives, here and below.
    bands_ : list of artists or None
        Bootstrap bands of the curves; None without a bootstrap.
    best_ : list of Line2D or None
        Marks of the best thresholds.
    intervals_ : list of Line2D or None
        Bars along the bottom, the bootstrap intervals of the best thresholds.
    chosen_ : list of Line2D or None
        Lines at the chosen thresholds.

    See Also
    --------
    sklearn_mlloss.decoders.PerLabelThreshold : Tunes one threshold per label.
    CalibrationDisplay : Whether the scores are probabilities.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import PerLabelThreshold
    >>> from sklearn_mlloss.inspection import ThresholdDisplay
    >>> scores = [[0.9, 0.2], [0.8, 0.1], [0.6, 0.3], [0.5, 0.0]]
    >>> Y = [[1, 1], [1, 0], [0, 1], [0, 0]]
    >>> decoder = PerLabelThreshold(min_positives=2).fit(scores, Y)
    >>> display = ThresholdDisplay.from_predictions(
    ...     Y, scores, decoder=decoder, label_names=["a", "b"], random_state=0)
    >>> round(display.curves[0].best, 3), display.curves[0].values.round(2)
    (0.7, array([0.67, 0.8 , 1.  , 0.67, 0.  ]))
    """

    def __init__(
        self,
        curves: Sequence[ThresholdCurve | None],
        *,
        label_names: Sequence[Any],
        positives: Sequence[int],
        chosen: ArrayLike | None = None,
        metric_name: str = "metric",
        confidence: float = 0.9,
        n_labels: int | None = None,
    ) -> None:
        self.curves = curves
        self.label_names = label_names
        self.positives = positives
        self.chosen = chosen
        self.metric_name = metric_name
        self.confidence = confidence
        self.n_labels = n_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        decoder: Any = None,
        labels: Sequence[Any] | None = None,
        label_names: Sequence[Any] | None = None,
        metric: str | Callable[..., float] = "f1",
        beta: float = 1.0,
        n_bootstrap: int = 100,
        confidence: float = 0.9,
        random_state: Any = None,
        zoom: bool = False,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of a fitted classifier.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict_proba`` that gives an array of shape (n_samples, n_labels), or
            a list with one array of shape (n_samples, n_classes) per label, like forests.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which neither the model nor its decoder was fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed.
        decoder : Decoder or array-like, default=None
            See `from_predictions`. None takes the estimator's ``decoder_`` if it has one threshold
            per label.
        labels, label_names, metric, beta, n_bootstrap, confidence, random_state, zoom, ax
            See `from_predictions`. Names of labels are those of `estimator` if y has none.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` has no ``predict_proba``.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> from sklearn_mlloss.inspection import ThresholdDisplay
        >>> X, y = make_multilabel_classification(n_classes=3, random_state=0)
        >>> knn = KNeighborsClassifier().fit(X[:50], y[:50])
        >>> display = ThresholdDisplay.from_estimator(
        ...     knn, X[50:], y[50:], decoder=0.5, random_state=0)
        >>> len(display.lines_)
        3
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        Y = check_true(y, estimator)
        if decoder is None:
            decoder = getattr(estimator, "decoder_", None)
            if decoder is not None and thresholds_of(decoder, Y.shape[1]) is None:
                decoder = None
        return cls.from_predictions(
            Y,
            label_probabilities(estimator, X, Y.shape[1]),
            decoder=decoder,
            labels=labels,
            label_names=names_of_labels(estimator, y, label_names, Y.shape[1]),
            metric=metric,
            beta=beta,
            n_bootstrap=n_bootstrap,
            confidence=confidence,
            random_state=random_state,
            zoom=zoom,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        decoder: Any = None,
        labels: Sequence[Any] | None = None,
        label_names: Sequence[Any] | None = None,
        metric: str | Callable[..., float] = "f1",
        beta: float = 1.0,
        n_bootstrap: int = 100,
        confidence: float = 0.9,
        random_state: Any = None,
        zoom: bool = False,
        ax: Any = None,
    ) -> Self:
        """Draw the curves of scores.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed; such entries are left out.
        y_score : array-like of shape (n_samples, n_labels)
            Finite scores, usually probabilities.
        decoder : Decoder or array-like of shape (n_labels,) or float, default=None
            Chosen thresholds to mark: a fitted decoder with one per label (`FixedThreshold`,
            `CostSensitiveThreshold`, or any with ``thresholds_``, ``threshold_`` or
            ``best_threshold_``), or the numbers. None marks none.
        labels : sequence of names or indices, default=None
            Labels to show, in this order; names take precedence over indices. None shows the 12
            labels with the most positives, as many as are readable on a page, and the figure says
            how many others there are.
        label_names : sequence of length n_labels, default=None
            None takes the columns of a DataFrame, else numbers.
        metric : str or callable, default="f1"
            "f1", "fbeta", "precision", "recall", "jaccard", "balanced_accuracy", "accuracy", or
            a function. A ratio 0/0 counts as 0; balanced accuracy averages over the classes that
            are present.
            A callable ``metric(y_true, y_pred) -> float``, greater is better, gets the 0/1 arrays
            of one label. It is called at up to 50 thresholds of each bootstrap sample, which takes
            seconds per label: a smaller `n_bootstrap` helps.
        beta : float, default=1.0
            Weight of recall against precision, > 0. Only used with "fbeta".
        n_bootstrap : int, default=100
            Number of bootstrap samples of the label's observed rows. The default is enough for the
            limits of a 90% interval. 0 draws neither bands nor intervals.
        confidence : float, default=0.9
            Share of the bootstrap samples within the band at each threshold, and within the
            interval of the best threshold; in (0, 1).
        random_state : int, RandomState or None, default=None
            Controls the randomness of the bootstrap.
        zoom : bool, default=False
            Whether each panel has the range of its scores and values, for rare labels, instead of a
            common range, for comparison.
        ax : Axes or array of Axes, default=None
            At least one per label shown. None makes a figure.

        Returns
        -------
        ThresholdDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `decoder` has not one threshold per label.
        NotFittedError
            If `decoder` learns its thresholds and is not fitted.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        Y = check_true(y_true)
        scores = check_predictions(y_score, "y_score", y_true, Y.shape, "y_true")
        check_integer(n_bootstrap, "n_bootstrap", low=0, high=_MOST_BOOTSTRAPS)
        check_number(confidence, "confidence", low=0, high=1, closed="neither")
        function, metric_name = resolve_metric(metric, beta)
        names = find_names(y_true, label_names, Y.shape[1])
        positives = np.nansum(Y, axis=0).astype(int)
        shown = select_labels(labels, names, positives)
        chosen = np.full(Y.shape[1], np.nan)
        if decoder is not None:
            thresholds = thresholds_of(decoder, Y.shape[1])
            if thresholds is None:
                raise ValueError(
                    f"decoder {decoder!r} has no thresholds per label to mark; leave decoder=None."
                )
            chosen[:] = thresholds
        random = check_random_state(random_state)
        curves = []
        for label in shown:
            seen = ~np.isnan(Y[:, label])
            curves.append(
                threshold_curve(
                    Y[seen, label],
                    scores[seen, label],
                    function,
                    not callable(metric),
                    chosen[label],
                    n_bootstrap,
                    confidence,
                    random,
                )
                if positives[label]
                else None
            )
        return cls(
            curves,
            label_names=[names[label] for label in shown],
            positives=positives[shown].tolist(),
            chosen=None if decoder is None else chosen[shown],
            metric_name=metric_name,
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
        ThresholdDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If `ax` holds too few axes.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        self.axes_, self.figure_, is_new = make_panels(ax, len(self.curves), 2.1, share=not zoom)
        chosen = np.full(len(self.curves), np.nan)
        if self.chosen is not None:
            chosen[:] = self.chosen
        low, high = _limits(self.curves, chosen)
        artists = []
        for panel, curve, cut, name, positives in zip(
            self.axes_, self.curves, chosen, self.label_names, self.positives, strict=True
        ):
            name_panel(panel, name, positives)
            if zoom:
                low, high = _limits([curve], np.array([cut]))
            panel.set_xlim(low, high)
            panel.set_ymargin(0.1)  # leaves the interval free of the curve
            if curve is None:
                say_empty(panel, is_shared=not zoom)
            artists.append(_draw(panel, curve, cut, low, high))
        self.lines_, self.bands_, self.best_, self.intervals_, self.chosen_ = map(
            list, zip(*artists, strict=True)
        )
        note = note_hidden(len(self.curves), self.n_labels)
        handles = self._handles()
        finish(self.axes_, is_new, handles, "threshold", self.metric_name, "upper right", note)
        return self

    def _handles(self) -> list[Any]:
        """Return one artist per kind that was drawn, for the legend."""
        share = f"{self.confidence:.0%} interval"
        kinds = [
            (self.lines_, self.metric_name),
            (self.bands_, f"{share} of {self.metric_name}"),
            (self.best_, "best threshold"),
            (self.intervals_, f"{share} of the best threshold"),
            (self.chosen_, "chosen threshold"),
        ]
        return label_first(kinds)


def _draw(
    panel: Axes, curve: ThresholdCurve | None, cut: float, low: float, high: float
) -> tuple[Any, ...]:
    """Draw a curve and its marks; return the artists, None for those that were not drawn."""
    line = band = best = interval = chosen = None
    if curve is not None:
        x = np.concatenate([[low], curve.thresholds[:-1], [high]])
        (line,) = panel.plot(x, _from_start(curve.values), color=BLUE, drawstyle="steps-pre")
        if curve.lower is not None and curve.upper is not None:
            limits = _from_start(curve.lower), _from_start(curve.upper)
            band = panel.fill_between(x, *limits, step="pre", color=BLUE, alpha=0.25, linewidth=0)
        if curve.best_interval is not None:
            (interval,) = panel.plot(
                np.clip(curve.best_interval, low, high), [0.03, 0.03], color=VERMILLION,
                linewidth=4, alpha=0.6, solid_capstyle="butt",
                transform=panel.get_xaxis_transform(),
            )  # fmt: skip
        x_best = np.clip([curve.best], low, high)
        (best,) = panel.plot(
            x_best, [curve.best_value], color=VERMILLION, marker="D", markersize=6, **POINTS
        )
        if not np.isnan(cut):
            chosen = panel.axvline(
                np.clip(cut, low, high), color="black", linestyle="--", linewidth=1.2
            )
    return line, band, best, interval, chosen


def _limits(curves: Sequence[ThresholdCurve | None], chosen: np.ndarray) -> tuple[float, float]:
    """Return a range that contains all finite thresholds, with room for infinite ones."""
    finite = [curve.thresholds[:-1] for curve in curves if curve is not None]
    ends = np.concatenate([*finite, chosen[np.isfinite(chosen)]])
    if not ends.size:
        return 0.0, 1.0
    room = 0.04 * (np.ptp(ends) or 1.0)
    return float(ends.min() - room), float(ends.max() + room)


def _from_start(values: np.ndarray) -> np.ndarray:
    """Repeat the first value, which holds for every threshold below the lowest score."""
    return np.concatenate([values[:1], values])


def thresholds_of(decoder: Any, n_labels: int) -> np.ndarray | None:
    """Return the thresholds of a decoder, or None if its rule has none."""
    if isinstance(decoder, Decoder):
        check_is_fitted(decoder)
    if isinstance(decoder, FixedThreshold | CostSensitiveThreshold):
        thresholds = decoder._thresholds(n_labels)
    elif hasattr(decoder, "get_params"):
        learned = ("thresholds_", "threshold_", "best_threshold_")
        names = [name for name in learned if hasattr(decoder, name)]
        if not names:
            return None
        thresholds = getattr(decoder, names[0])
    else:
        thresholds = decoder
    thresholds = np.asarray(thresholds)
    if thresholds.dtype.kind not in "iuf" or thresholds.shape not in ((), (n_labels,)):
        raise ValueError(
            f"decoder must give one threshold, or one for each of the {n_labels} labels, got "
            f"{decoder!r}."
        )
    return thresholds
