"""Probability calibration per label: calibrators map scores in (0, 1) to probabilities.

Every calibrator is a `Calibrator`: ``fit(scores, Y)`` on held-out rows, ``transform(scores)`` to
use it. All maps are strictly increasing in the label's own score, so that rankings within a label
stay as they are. `CALIBRATORS` maps the names that estimators accept to the classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self, final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from sklearn.isotonic import IsotonicRegression

from ._data.fields import check_fields, checked
from ._data.logistic_maps import class_weights, fit_maps, label_slices, smooth_targets
from ._data.persistence import VersionedEstimator
from ._data.registry import Registry
from ._data.score_checks import check_scores, rows_that_count
from ._data.scored_rows import ScoredRows
from ._data.scores import to_probability
from ._data.validation import check_number

__all__ = [
    "CALIBRATORS",
    "BetaCalibrator",
    "Calibrator",
    "IsotonicCalibrator",
    "SigmoidCalibrator",
    "TemperatureCalibrator",
    "get_calibrator",
]

_NEAR = 1e-12  # scores this near to 0 or 1 count as 0 or 1
_TIE_SHARE = 1e-6  # weight of the score itself in the isotonic map
_TEMPERATURES = (1e-2, 1e2)


class Calibrator(VersionedEstimator, ABC):
    """Base class of calibrators, which map scores to calibrated probabilities.

    Fit it on held-out or out-of-fold scores, before the decoder is fitted on the same rows: the
    scores of training rows are too close to 0 and 1, and a calibrator fitted on them is useless.

    A label that has no positives or no negatives among its observed entries (of positive weight)
    keeps its scores as they are, in every calibrator, and does not enter the fit.

    To write a custom calibrator, store the parameters in ``__init__`` and implement
    ``_fit(scores, Y, sample_weight)`` and ``_transform(scores)``. The public methods validate
    first, so that both receive clean read-only arrays, and keep the scores of `identity_labels_`;
    do not override them. Optionally, check parameters in ``_check_params()``: classifiers call it
    before they train.

    Attributes
    ----------
    learned : tuple of str
        Names of the fitted parameters that `summary` of a classifier shows: numbers, or arrays with
        one value per label.
    n_labels_ : int
        Number of labels, set by `fit`.
    identity_labels_ : ndarray of int
        Indices of the labels that keep their scores, known before ``_fit`` is called.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.calibration import Calibrator
    >>> class PriorShift(Calibrator):
    ...     def _fit(self, scores, Y, sample_weight):
    ...         prior = np.nanmean(Y, axis=0)
    ...         self.odds_ = prior / (1 - prior)
    ...     def _transform(self, scores):
    ...         return scores * self.odds_ / (scores * self.odds_ + 1 - scores)
    >>> PriorShift().fit([[0.2], [0.4], [0.5], [0.9]], [[0], [0], [0], [1]]).transform([[0.5]])
    array([[0.25]])
    """

    _by_partition = False  # whether there is `_fit_rows`
    learned: ClassVar[tuple[str, ...]] = ()

    @final
    def fit(self, scores: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the calibrator on scores of held-out rows.

        Parameters
        ----------
        scores : array-like of shape (n_samples, n_labels)
            Scores in (0, 1), such as the output of a link or of ``predict_proba``. Exact zeros and
            ones, such as those of forests, are accepted.
        Y : array-like of shape (n_samples, n_labels)
            True labels: 0 or 1, a value between them for a soft label (counted as a fractional
            positive), or NaN for a label that was not observed.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, which act as counts: weight 2 equals the row given twice, and
            weight 0 equals the row left out. None means 1 for every row.

        Returns
        -------
        self : Calibrator
            The fitted calibrator.

        Raises
        ------
        ValueError
            If an argument has the wrong shape or values, all weights are 0, or a parameter such
            as `min_positives` is out of its range.
        """
        scores = _check_unit(scores)
        self._check_params()
        scores, Y, weight, _ = rows_that_count(scores, Y, sample_weight)
        self.identity_labels_ = _constant_labels(*_has_both(scores, Y, weight))
        self._fit(scores, Y, weight)
        self.n_labels_ = scores.shape[1]
        return self

    def _fit_partitions(self, rows: ScoredRows) -> Self:
        """Fit the calibrator on rows that are not in memory, if it is one `_by_partition`."""
        rows = rows.mapped(_check_unit)
        self._check_params()
        self.identity_labels_ = _constant_labels(*rows.sums(_has_both))
        self._fit_rows(rows)
        self.n_labels_ = rows.n_labels
        return self

    @final
    def transform(self, scores: ArrayLike) -> np.ndarray:
        """Map scores to calibrated probabilities.

        Parameters
        ----------
        scores : array-like of shape (n_samples, n_labels)
            Scores of the same kind as those given to `fit`.

        Returns
        -------
        proba : ndarray of float64, shape (n_samples, n_labels)
            Probabilities strictly inside (0, 1), a new array.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        ValueError
            If `scores` has the wrong shape or values.
        """
        if not hasattr(self, "n_labels_"):
            raise NotFittedError(
                f"{type(self).__name__} is not fitted yet; call fit(scores, Y) on rows that the "
                "model was not trained on, then transform."
            )
        scores = _check_unit(scores)
        if scores.shape[1] != self.n_labels_:
            raise ValueError(
                f"scores has {scores.shape[1]} labels (columns), but {type(self).__name__} was "
                f"fitted with {self.n_labels_}; give one column per label seen in fit."
            )
        proba = np.array(self._transform(scores), dtype=np.float64)
        proba[:, self.identity_labels_] = scores[:, self.identity_labels_]
        return np.clip(proba, np.finfo(np.float64).tiny, np.nextafter(1.0, 0.0))

    def _check_params(self) -> None:
        """Raise if a parameter is out of range."""
        check_fields(self)

    @abstractmethod
    def _fit(self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> None:
        """Fit the map; `Y` is float64 with NaN, weights are positive."""

    def _fit_rows(self, rows: ScoredRows) -> None:
        """Fit the map on rows in memory or in partitions."""
        raise NotImplementedError

    @abstractmethod
    def _transform(self, scores: np.ndarray) -> np.ndarray:
        """Return probabilities; the columns of `identity_labels_` are ignored."""

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `transform` can be called, for scikit-learn's `check_is_fitted`."""
        return hasattr(self, "n_labels_")


class _LogisticCalibrator(Calibrator):
    """Base of logistic regressions of each label on features of its score."""

    min_positives: float
    _by_partition = True

    @abstractmethod
    def _features(self, p: np.ndarray) -> np.ndarray:
        """Return the features, shape (n, n_features), of scores strictly inside (0, 1)."""

    def _fit(self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> None:
        self._fit_rows(ScoredRows.in_memory(scores, Y, sample_weight))

    def _fit_rows(self, rows: ScoredRows) -> None:
        nearest, exact = rows.joined(partial(_nearest_of_rows, self.identity_labels_))
        self.offset_ = _offset(nearest, exact)
        fits = []
        for some, (p, y, w, g) in _entries_by_labels(rows, self.identity_labels_):
            rare = _rare_labels(y, w, g, some, self.min_positives)
            _check_alone(rows, rare + some.start)
            X = self._features(_inside(p, self.offset_))
            fits.append((*fit_maps(X, y, w, g, some.stop - some.start, rare), rare))
        self.slopes_, self.intercepts_, self.fallback_labels_ = map(
            np.concatenate, zip(*fits, strict=True)
        )


@dataclass(eq=False, repr=False)
class SigmoidCalibrator(_LogisticCalibrator):
    r"""Platt scaling: a logistic regression of each label on the logit of its score.

    .. math:: p'_l = \sigma(a_l s_l + b_l), \quad s = \log p - \log(1 - p), \quad a_l > 0

    The targets are smoothed, :math:`t_+ = (N_+ + 1) / (N_+ + 2)` and
    :math:`t_- = 1 / (N_- + 2)`, so that separable rows give finite slopes. Where the best slope is
    negative (the scores rank the label backwards) it is held at 1e-6: the probabilities are then
    the label's frequency, in the order of the scores. Suitable for few rows, and for scores that
    are shifted or stretched, for example by weights of positives.

    Labels with fewer than `min_positives` positives or negatives share one slope and fit only
    their intercept. The shared slope is that of all labels pooled, with one intercept per label:
    with a common intercept, differences between labels would flatten the slope.

    Parameters
    ----------
    min_positives : float, default=10
        Positives and negatives, in weights, that a label needs for its own slope; ten events per
        coefficient is the usual advice for logistic regression. 0 never shares, infinity always.

    Attributes
    ----------
    slopes_, intercepts_ : ndarray of shape (n_labels,)
        The maps; 1 and 0 for labels that keep their scores.
    fallback_labels_ : ndarray of int
        Indices of the labels that use the shared slope.
    offset_ : float
        0, or half the least distance of a score to 0 or 1 if some scores of `fit` are exactly 0 or
        1: scores then enter as (p + offset) / (1 + 2 offset). For a forest of B trees with pure
        leaves this is (k + 1/2) / (B + 1), where k trees predict the label.

    References
    ----------
    J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized
    likelihood methods", Advances in Large Margin Classifiers, 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.calibration import SigmoidCalibrator
    >>> p = np.linspace(0.05, 0.95, 1000).reshape(-1, 1)
    >>> odds = p / (1 - p)
    >>> overconfident = odds**2 / (1 + odds**2)  # logits twice too long
    >>> calibrator = SigmoidCalibrator().fit(overconfident, p)  # p itself as soft labels
    >>> calibrator.slopes_.round(1)
    array([0.5])
    >>> bool(abs(calibrator.transform(overconfident) - p).max() < 0.01)
    True
    """

    min_positives: float = checked(10, check_number, low=0, infinite=True)

    learned = ("slopes_", "intercepts_")

    def _features(self, p: np.ndarray) -> np.ndarray:
        return logit(p)[:, None]

    def _fit_rows(self, rows: ScoredRows) -> None:
        super()._fit_rows(rows)
        self.slopes_ = self.slopes_[:, 0]

    def _transform(self, scores: np.ndarray) -> np.ndarray:
        s = logit(_inside(scores, self.offset_))
        return to_probability(self.slopes_ * s + self.intercepts_)


class TemperatureCalibrator(Calibrator):
    r"""Temperature scaling: one factor on the logits of all labels.

    .. math:: p'_l = \sigma(s_l / T), \quad s = \log p - \log(1 - p), \quad T > 0

    T minimises the log loss over all observed entries, which is convex in 1/T, within
    [0.01, 100]; the targets are smoothed as in `SigmoidCalibrator`, with the counts of all labels
    together. It keeps 0.5 and treats all labels alike, so it corrects over- and underconfidence
    only: with a loss that shifts the scores (weights of positives, asymmetric losses), use
    "sigmoid" or "beta". It needs the fewest rows.

    Attributes
    ----------
    temperature_ : float
        T; above 1 if the scores were overconfident. 1 if no label has positives and negatives.
    offset_ : float
        As in `SigmoidCalibrator`.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On calibration of modern neural networks",
    ICML 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.calibration import TemperatureCalibrator
    >>> p = np.linspace(0.05, 0.95, 1000).reshape(-1, 1)
    >>> odds = p / (1 - p)
    >>> round(TemperatureCalibrator().fit(odds**2 / (1 + odds**2), p).temperature_, 1)
    2.0
    """

    learned = ("temperature_",)

    def _fit(self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> None:
        p, y, w, _ = _entries(scores, Y, sample_weight, self.identity_labels_)
        self.offset_ = _offset(*_nearest(p))
        s = logit(_inside(p, self.offset_))
        self.temperature_ = 1.0
        if not s.any():
            return
        t = smooth_targets(y, (w * y).sum(), (w * (1 - y)).sum())
        ws = w * s

        def gradient(beta: float) -> float:
            return float(ws @ (expit(beta * s) - t))

        low, high = 1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]
        if gradient(low) >= 0:
            beta = low
        elif gradient(high) <= 0:
            beta = high
        else:
            beta = brentq(gradient, low, high, xtol=1e-13, rtol=1e-12)
        self.temperature_ = 1 / beta

    def _transform(self, scores: np.ndarray) -> np.ndarray:
        return to_probability(logit(_inside(scores, self.offset_)) / self.temperature_)


@dataclass(eq=False, repr=False)
class BetaCalibrator(_LogisticCalibrator):
    r"""Beta calibration: two slopes per label, one for low and one for high scores.

    .. math:: \log \frac{p'_l}{1 - p'_l} = a_l \log p_l - b_l \log(1 - p_l) + c_l,
              \quad a_l, b_l \ge 0

    It contains the identity (a = b = 1, c = 0) and Platt scaling (a = b), and bends the ends of
    the scale independently, as skewed scores (asymmetric losses) need. Fitted like
    `SigmoidCalibrator`, with smoothed targets; a coefficient that would become negative is held at
    1e-6 and the others are refitted. Labels with few positives or negatives share a and b, taken
    from all labels pooled with an intercept each, and fit only c.

    Parameters
    ----------
    min_positives : float, default=20
        Positives and negatives, in weights, that a label needs for its own coefficients: ten for
        each of the two. 0 never shares, infinity always.

    Attributes
    ----------
    slopes_ : ndarray of shape (n_labels, 2)
        The columns are a and b; 1 for labels that keep their scores.
    intercepts_ : ndarray of shape (n_labels,)
        c; 0 for labels that keep their scores.
    fallback_labels_ : ndarray of int
        Indices of the labels that use the shared a and b.
    offset_ : float
        As in `SigmoidCalibrator`.

    References
    ----------
    M. Kull, T. Silva Filho, P. Flach, "Beta calibration: a well-founded and easily implemented
    improvement on logistic calibration for binary classifiers", AISTATS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.calibration import BetaCalibrator
    >>> p = np.linspace(0.01, 0.99, 1000).reshape(-1, 1)
    >>> calibrator = BetaCalibrator().fit(p, p)  # calibrated already
    >>> bool(abs(calibrator.transform(p) - p).max() < 0.01)
    True
    """

    min_positives: float = checked(20, check_number, low=0, infinite=True)

    learned = ("intercepts_", "slopes_")

    def _features(self, p: np.ndarray) -> np.ndarray:
        return np.column_stack([np.log(p), -np.log1p(-p)])

    def _transform(self, scores: np.ndarray) -> np.ndarray:
        p = _inside(scores, self.offset_)
        a, b = self.slopes_.T
        return to_probability(a * np.log(p) - b * np.log1p(-p) + self.intercepts_)


@dataclass(eq=False, repr=False)
class IsotonicCalibrator(Calibrator):
    r"""Isotonic regression of each label on its score: any increasing map.

    .. math:: p'_l = (1 - \kappa)\, \mathrm{clip}(m_l(p_l), \epsilon_l, 1 - \epsilon_l)
              + \kappa\, u(p_l), \quad \epsilon_l = 1 / (N_l + 2), \quad \kappa = 10^{-6}

    :math:`m_l` is scikit-learn's `IsotonicRegression`, :math:`N_l` the weight of the label's
    observed entries, and u an increasing map of (0, 1) to itself. Isotonic regression alone gives
    exact zeros and ones, for which the log loss is infinite, and plateaus, whose ties distort
    average precision and top-k; the clip prevents the former and u the latter.

    It needs about a thousand rows and tens of positives. Labels with fewer than `min_positives`
    positives or negatives use a `SigmoidCalibrator` with its default parameter instead.

    Parameters
    ----------
    min_positives : float, default=30
        Positives and negatives, in weights, that a label needs for its own map; with fewer, the
        steps follow single rows. 0 never falls back, infinity always.

    Attributes
    ----------
    regressions_ : list of IsotonicRegression or None
        One per label; None where the label falls back or keeps its scores.
    clips_ : ndarray of shape (n_labels,)
        :math:`\epsilon_l`.
    fallback_labels_ : ndarray of int
        Indices of the labels that use the sigmoid.
    sigmoid_ : SigmoidCalibrator
        Fitted on all labels; used for `fallback_labels_`. None where there are none.

    References
    ----------
    B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.calibration import IsotonicCalibrator
    >>> p = np.linspace(0.05, 0.95, 1000).reshape(-1, 1)
    >>> calibrator = IsotonicCalibrator().fit(p**3, p)
    >>> calibrator.transform([[0.5**3], [0.8**3]]).round(2)
    array([[0.5],
           [0.8]])
    """

    min_positives: float = checked(30, check_number, low=0, infinite=True)
    _by_partition = True

    def _fit_rows(self, rows: ScoredRows) -> None:
        self.sigmoid_: SigmoidCalibrator | None = None
        self.clips_ = np.empty(rows.n_labels)
        self.regressions_: list[IsotonicRegression | None] = [None] * rows.n_labels
        fallback = []
        for some, (p, y, w, g) in _entries_by_labels(rows, self.identity_labels_):
            n_labels = some.stop - some.start
            self.clips_[some] = 1 / (class_weights(y, w, g, n_labels).sum(axis=0) + 2)
            rare = _rare_labels(y, w, g, some, self.min_positives)
            _check_alone(rows, rare + some.start)
            fallback.append(rare + some.start)
            for label, part in label_slices(g, n_labels):
                if label not in rare:
                    regression = IsotonicRegression(out_of_bounds="clip").fit(
                        p[part], y[part], w[part]
                    )
                    self.regressions_[some.start + label] = regression
        self.fallback_labels_ = np.concatenate(fallback)

    def _fit(self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray) -> None:
        self._fit_rows(ScoredRows.in_memory(scores, Y, sample_weight))
        if self.fallback_labels_.size:
            self.sigmoid_ = SigmoidCalibrator().fit(scores, Y, sample_weight)

    def _transform(self, scores: np.ndarray) -> np.ndarray:
        proba = np.array(scores)
        for label, regression in enumerate(self.regressions_):
            if regression is not None and scores.shape[0]:
                clip = self.clips_[label]
                mapped = np.clip(regression.predict(scores[:, label]), clip, 1 - clip)
                s = logit(_inside(scores[:, label], 0.0))
                rank = 0.5 + 0.5 * s / (1 + np.abs(s))
                proba[:, label] = (1 - _TIE_SHARE) * mapped + _TIE_SHARE * rank
        if self.sigmoid_ is not None:
            fallback = self.fallback_labels_
            proba[:, fallback] = self.sigmoid_.transform(scores)[:, fallback]
        return proba


CALIBRATORS: Registry[Calibrator] = Registry(
    "calibration",
    Calibrator,
    {
        "temperature": TemperatureCalibrator,
        "sigmoid": SigmoidCalibrator,
        "beta": BetaCalibrator,
        "isotonic": IsotonicCalibrator,
    },
    or_none="None, ",
)


def get_calibrator(spec: Any) -> Calibrator | None:
    """Return a calibrator from a name, a class or an instance.

    Parameters
    ----------
    spec : str, Calibrator class, Calibrator or None
        A key of `CALIBRATORS` or a class gives a new instance with default parameters; an instance
        is returned as it is, and so is None, which means no calibration.

    Returns
    -------
    calibrator : Calibrator or None
        The calibrator; an instance is not copied.

    Raises
    ------
    ValueError
        If `spec` is a name that is not in `CALIBRATORS`.
    TypeError
        If `spec` is anything else.

    Examples
    --------
    >>> from sklearn_mlloss.calibration import get_calibrator
    >>> get_calibrator("sigmoid")
    SigmoidCalibrator()
    """
    return None if spec is None else CALIBRATORS.resolve(spec)


def _check_unit(scores: ArrayLike) -> np.ndarray:
    scores = check_scores(scores)
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        raise ValueError(
            f"scores must lie in (0, 1) to be calibrated, got {scores[outside][0]:g}; give "
            "probabilities (a link's output or predict_proba), not logits."
        )
    return scores


def _entries(
    scores: np.ndarray, Y: np.ndarray, weight: np.ndarray, left_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return score, target, weight and label of all observed entries, sorted by label."""
    observed = ~np.isnan(Y)
    observed[:, left_out] = False
    labels, rows = np.nonzero(observed.T)
    return scores[rows, labels], Y[rows, labels], weight[rows], labels


def _has_both(scores: np.ndarray, Y: np.ndarray, weight: np.ndarray) -> tuple:
    """Return which labels have positives, and which negatives; NaN is neither."""
    return (Y > 0).any(axis=0), (Y < 1).any(axis=0)


def _constant_labels(has_positive: np.ndarray, has_negative: np.ndarray) -> np.ndarray:
    return np.flatnonzero(~(has_positive & has_negative))


def _entries_by_labels(
    rows: ScoredRows, left_out: np.ndarray
) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Yield what `_entries` returns, for some labels at a time, which are numbered from 0."""
    for some, arrays in rows.by_labels():
        of_some = left_out[(left_out >= some.start) & (left_out < some.stop)] - some.start
        yield some, _entries(*arrays, of_some)


def _rare_labels(
    y: np.ndarray, w: np.ndarray, g: np.ndarray, some: slice, least: float
) -> np.ndarray:
    """Return the labels with entries that have few positives or negatives."""
    counts = class_weights(y, w, g, some.stop - some.start).min(axis=0)
    return np.array([k for k, _ in label_slices(g, len(counts)) if counts[k] < least], np.intp)


def _check_alone(rows: ScoredRows, rare: np.ndarray) -> None:
    """Raise if labels share a map, and not all scores are in memory."""
    if rows.in_partitions and rare.size:
        raise ValueError(
            f"labels {rare[:10].tolist()} have fewer positives or negatives than min_positives, "
            "and share a map that is fitted on all scores, more than one process gathers: give a "
            "calibrator with min_positives=0, or a part of the rows"
        )


def _nearest(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least distance to 0 or 1 of other scores, and whether some are exactly that."""
    away = np.concatenate([p, 1 - p])
    exact = away <= _NEAR
    return np.array([away[~exact].min(initial=np.inf)]), np.array([exact.any()])


def _nearest_of_rows(
    left_out: np.ndarray, scores: np.ndarray, Y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    observed = ~np.isnan(Y)
    observed[:, left_out] = False
    return _nearest(scores[observed])


def _offset(nearest: np.ndarray, exact: np.ndarray) -> float:
    """Return half the resolution of the scores if some are exactly 0 or 1, else 0."""
    return 0.5 * float(nearest.min()) if exact.any() else 0.0


def _inside(p: np.ndarray, offset: float) -> np.ndarray:
    return np.clip((p + offset) / (1 + 2 * offset), 1e-15, 1 - 1e-15)
