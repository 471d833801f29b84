"""Statistical comparison of models on the same folds or the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student
from sklearn.utils import check_random_state

from .._data.containers import to_array
from .._data.validation import check_integer, check_number

__all__ = [
    "BootstrapCorrection",
    "PairedTest",
    "PracticalDifference",
    "bootstrap_corrected_score",
    "corrected_t_test",
    "correct_for_selection",
    "draw_bootstraps",
    "practical_difference",
]


@dataclass(frozen=True)
class PairedTest:
    """Result of a corrected resampled t-test; see `corrected_t_test`.

    Attributes
    ----------
    difference : ndarray
        Mean difference over the splits.
    std_error : ndarray
        Its standard error, corrected for training rows that splits share.
    p_value : ndarray
        Two-sided p-value: probability of a difference at least as large if the true one is 0.

    Examples
    --------
    >>> from sklearn_mlloss.model_selection import corrected_t_test
    >>> result = corrected_t_test([0.03, 0.01, 0.02, 0.05, 0.01], n_train=80, n_test=20)
    >>> print(result.std_error.round(3))
    0.011
    """

    difference: np.ndarray
    std_error: np.ndarray
    p_value: np.ndarray


@dataclass(frozen=True)
class PracticalDifference:
    """Probabilities that sum to 1; see `practical_difference`.

    Attributes
    ----------
    better, equivalent, worse : ndarray

    Examples
    --------
    >>> from sklearn_mlloss.model_selection import practical_difference
    >>> result = practical_difference([0.03, 0.01, 0.02, 0.05, 0.01], n_train=80, n_test=20)
    >>> print((result.better + result.equivalent + result.worse).round(6))
    1.0
    """

    better: np.ndarray
    equivalent: np.ndarray
    worse: np.ndarray


@dataclass(frozen=True)
class BootstrapCorrection:
    """Bias-corrected score of the best of several candidates; see `bootstrap_corrected_score`.

    Attributes
    ----------
    score : float
        Mean out-of-bag score of the candidate that was the best in the bag.
    interval : tuple of float
        The 2.5 and the 97.5 per cent point of these scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.model_selection import bootstrap_corrected_score
    >>> rng = np.random.default_rng(1)
    >>> y, guesses = rng.integers(0, 2, 100), rng.integers(0, 2, (30, 100))
    >>> accuracy = lambda y, guess: np.mean(y == guess)
    >>> result = bootstrap_corrected_score(y, guesses, accuracy, random_state=0)
    >>> result.interval[0] < result.score < result.interval[1]
    True
    """

    score: float
    interval: tuple[float, float]


def corrected_t_test(differences: ArrayLike, n_train: float, n_test: float) -> PairedTest:
    """Test a mean difference of paired cross-validation scores against 0.

    The training sets of the splits overlap, so that differences of two models on them are
    correlated and an ordinary paired t-test rejects too often. Nadeau and Bengio [1]_ increase the
    variance of the mean of J differences from ``s2 / J`` to ``s2 * (1 / J + n_test / n_train)``.

    Parameters
    ----------
    differences : array-like of shape (..., n_splits)
        Score of one model minus that of the other on the same split; the last axis is that of the
        splits. For repeated cross-validation, all splits of all repetitions.
    n_train, n_test : float
        Numbers of training and test rows of a split (the means, if splits differ).

    Returns
    -------
    PairedTest
        Arrays of shape (...). With one split there is no standard error, and it is NaN; where all
        differences are the same, the p-value is 1 if they are 0, else 0.

    See Also
    --------
    practical_difference : Probability that the difference matters.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52,
       2003.

    Examples
    --------
    >>> from sklearn_mlloss.model_selection import corrected_t_test
    >>> result = corrected_t_test([0.03, 0.01, 0.02, 0.05, 0.01], n_train=80, n_test=20)
    >>> print(f"{result.difference:.3f} +- {result.std_error:.3f}, p = {result.p_value:.3f}")
    0.024 +- 0.011, p = 0.099
    """
    mean, error, freedom = _corrected(differences, n_train, n_test)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = 2 * student.sf(np.abs(mean / error), freedom)
    p_value = np.where(error == 0, np.where(mean == 0, 1.0, 0.0), p_value)
    return PairedTest(mean, error, p_value)


def practical_difference(
    differences: ArrayLike, n_train: float, n_test: float, rope: float = 0.01
) -> PracticalDifference:
    """Return the probability that a difference matters: the Bayesian correlated t-test.

    A p-value shows neither how large a difference is nor that there is none. Given the paired
    differences, the mean difference has a Student distribution around their mean, with the
    corrected standard error of `corrected_t_test` as its scale [1]_. It is split at ``-rope`` and
    ``rope``: in between, the models are equivalent in practice.

    Parameters
    ----------
    differences, n_train, n_test : see `corrected_t_test`
    rope : float >= 0, default=0.01
        Region of practical equivalence: the largest difference that does not matter.

    Returns
    -------
    PracticalDifference
        Arrays of shape (...) that sum to 1; NaN with one split.

    References
    ----------
    .. [1] A. Benavoli, G. Corani, J. Demsar and M. Zaffalon, "Time for a change: a tutorial for
       comparing multiple classifiers through Bayesian analysis", JMLR 18, 2017.

    Examples
    --------
    >>> from sklearn_mlloss.model_selection import practical_difference
    >>> result = practical_difference([0.03, 0.01, 0.02, 0.05, 0.01], n_train=80, n_test=20)
    >>> print(f"better {result.better:.2f}, equivalent {result.equivalent:.2f}")
    better 0.86, equivalent 0.12
    """
    check_number(rope, "rope", low=0)
    mean, error, freedom = _corrected(differences, n_train, n_test)
    with np.errstate(divide="ignore", invalid="ignore"):
        better = student.sf((rope - mean) / error, freedom)
        worse = student.cdf((-rope - mean) / error, freedom)
    certain = error == 0
    better = np.where(certain, mean > rope, better)
    worse = np.where(certain, mean < -rope, worse)
    return PracticalDifference(better, 1 - better - worse, worse)


def bootstrap_corrected_score(
    y: Any,
    predictions: Sequence[ArrayLike],
    metric: Callable[[Any, np.ndarray], float],
    *,
    n_bootstraps: int = 200,
    random_state: Any = None,
) -> BootstrapCorrection:
    """Score the best of several candidates without selection bias.

    The score of the best of many candidates is too high (winner's curse). Bootstrap bias-corrected
    cross-validation [1]_ repeats the selection on bootstrap samples of the rows, and scores each
    winner on its out-of-bag rows. It needs out-of-fold predictions only and trains no model.

    Parameters
    ----------
    y : array-like of shape (n_samples, ...)
        True labels.
    predictions : sequence of array-like of shape (n_samples, ...)
        Out-of-fold predictions of each candidate: labels or scores, as `metric` takes them.
    metric : callable ``(y, prediction) -> float``
        Greater is better. NaN if it is not defined for a bootstrap sample, which is then ignored.
    n_bootstraps : int, default=200
        How often the selection is repeated.
    random_state : int, RandomState or None, default=None
        Controls the randomness of the bootstrap.

    Returns
    -------
    BootstrapCorrection

    Notes
    -----
    Scores are computed on the pooled rows of all folds. For a metric that is not a mean over rows
    this differs from the mean of the scores of the folds: ROC AUC then compares rows scored by
    different models, and is a little lower; macro-F1 has more rows of rare labels than in a fold.
    With little selection bias, the corrected score may therefore be the higher one.

    References
    ----------
    .. [1] I. Tsamardinos, E. Greasidou and G. Borboudakis, "Bootstrapping the out-of-sample
       predictions for efficient and accurate cross-validation", Machine Learning 107, 2018.

    Examples
    --------
    Thirty random guessers of a hundred coin flips:

    >>> import numpy as np
    >>> from sklearn_mlloss.model_selection import bootstrap_corrected_score
    >>> rng = np.random.default_rng(1)
    >>> y, guesses = rng.integers(0, 2, 100), rng.integers(0, 2, (30, 100))
    >>> accuracy = lambda y, guess: np.mean(y == guess)
    >>> best = max(accuracy(y, guess) for guess in guesses)
    >>> result = bootstrap_corrected_score(y, guesses, accuracy, random_state=0)
    >>> print(f"{best:.2f}, corrected {result.score:.2f}")
    0.61, corrected 0.51
    """
    y = to_array(y, "y")
    candidates = [to_array(prediction, "predictions") for prediction in predictions]
    if not candidates or any(len(candidate) != len(y) for candidate in candidates):
        raise ValueError(
            f"predictions must hold an array with the {len(y)} rows of y for each candidate, got "
            f"{[len(candidate) for candidate in candidates]} rows"
        )
    drawn = draw_bootstraps(len(y), n_bootstraps, random_state)
    scores = np.empty((2, len(candidates), n_bootstraps))
    for b, times in enumerate(drawn):
        for side, rows in enumerate((np.repeat(np.arange(len(y)), times), times == 0)):
            for c, candidate in enumerate(candidates):
                scores[side, c, b] = metric(y[rows], candidate[rows])
    return correct_for_selection(*scores)


def draw_bootstraps(n_rows: int, n_bootstraps: int, random_state: Any = None) -> np.ndarray:
    """Return how often each row is in each bootstrap sample, with at least one row out of the bag.

    Parameters
    ----------
    n_rows : int
        At least 2.
    n_bootstraps : int
    random_state : int, RandomState or None, default=None

    Returns
    -------
    ndarray of uint8, shape (n_bootstraps, n_rows)
        Rows that sum to `n_rows`.
    """
    check_integer(n_rows, "n_rows", low=2)
    check_integer(n_bootstraps, "n_bootstraps", low=1)
    rng = check_random_state(random_state)
    # No row is drawn nearly as often as the largest number of a byte.
    drawn = np.empty((n_bootstraps, n_rows), dtype=np.uint8)
    for times in drawn:
        times[:] = 1
        while times.all():
            times[:] = np.bincount(rng.randint(n_rows, size=n_rows), minlength=n_rows)
    return drawn


def correct_for_selection(
    in_bag: ArrayLike,
    out_of_bag: ArrayLike,
    choose: Callable[[np.ndarray], int] | None = None,
) -> BootstrapCorrection:
    """Return the out-of-bag score of the candidates that are chosen in the bag.

    Parameters
    ----------
    in_bag : array-like of shape (n_candidates, n_bootstraps)
        Score of each candidate on the rows in the bag.
    out_of_bag : array-like of shape (n_candidates, n_bootstraps)
        Score of each candidate on the out-of-bag rows.
    choose : callable ``(scores) -> int``, optional
        Chooses a candidate by a score for each, some of which may be NaN. None takes the best.

    Returns
    -------
    BootstrapCorrection
        NaN where no bootstrap has scores on both sides.
    """
    in_bag, out_of_bag = np.asarray(in_bag, dtype=float), np.asarray(out_of_bag, dtype=float)
    known = ~np.isnan(in_bag).all(axis=0)
    in_bag, out_of_bag = in_bag[:, known], out_of_bag[:, known]
    if choose is None:
        winner = np.where(np.isnan(in_bag), -np.inf, in_bag).argmax(axis=0)
    else:
        winner = np.array([choose(scores) for scores in in_bag.T], dtype=int)
    scores = out_of_bag[winner, np.arange(len(winner))]
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return BootstrapCorrection(np.nan, (np.nan, np.nan))
    low, high = np.quantile(scores, [0.025, 0.975])
    return BootstrapCorrection(float(scores.mean()), (float(low), float(high)))


def _corrected(
    differences: ArrayLike, n_train: float, n_test: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return means, corrected standard errors and degrees of freedom."""
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim == 0 or differences.shape[-1] == 0:
        raise ValueError(
            f"differences must have one value per split, got shape {differences.shape}"
        )
    check_number(n_train, "n_train", low=0, closed="neither")
    check_number(n_test, "n_test", low=0, closed="neither")
    n_splits = differences.shape[-1]
    mean = differences.mean(axis=-1)
    if n_splits == 1:
        return mean, np.full(mean.shape, np.nan), 1
    variance = differences.var(axis=-1, ddof=1)
    # Rounding errors of equal differences are no spread.
    scale = np.abs(differences).max(axis=-1)
    variance = np.where(np.sqrt(variance) <= 1e-14 * scale, 0.0, variance)
    return mean, np.sqrt(variance * (1 / n_splits + n_test / n_train)), n_splits - 1
