"""Base classes of decoders, and of decoders around another decoder."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self, final

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from .._data.fields import check_fields
from .._data.persistence import VersionedEstimator
from .._data.score_checks import check_per_row, check_scores, rows_that_count
from .._data.scored_rows import ScoredRows

__all__ = ["Decoder"]


class Decoder(VersionedEstimator, ABC):
    """Base class of decoders: rules that turn scores into label sets.

    A decoder uses scores and, in `fit`, the true labels of the same rows; it is independent of the
    model. Fit it on held-out or out-of-fold scores only: the scores of training rows are too close
    to 0 and 1, and thresholds fitted on them lie in a gap that new rows do not have.

    To write a custom decoder, store the parameters in ``__init__``, implement
    ``_decode(scores, count)`` and, if it has fitted parameters, set ``requires_fit = True`` and
    implement ``_fit(scores, Y, sample_weight, count)``. The public methods validate first, so that
    both receive clean read-only arrays; do not override them. Optionally, check parameters in
    ``_check_params(n_labels)``: classifiers call it before they train.

    Attributes
    ----------
    requires_fit : bool
        Whether `decode` needs a previous `fit`. A class attribute or a property.
    needs_probabilities : bool
        Whether the rule treats scores as probabilities, as a fixed threshold does. A class
        attribute or a property.
    untouched_rows : bool
        Whether the rows of `fit` must not be used for anything else (such as early stopping or
        calibration). A class attribute or a property; False unless the rule gives a guarantee.
    learned : tuple of str
        Names of the fitted parameters that `summary` of a classifier shows: numbers, arrays with
        one value per label, or a decoder inside.
    n_labels_ : int
        Number of labels, set by `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mlloss.decoders import Decoder
    >>> class AboveRowMean(Decoder):
    ...     def _decode(self, scores, count):
    ...         return scores >= scores.mean(axis=1, keepdims=True)
    >>> AboveRowMean().decode([[0.9, 0.1, 0.2]])
    array([[ True, False, False]])
    """

    # Properties in some subclasses, which mypy allows for attributes only if told to ignore it.
    requires_fit = False
    needs_probabilities = False
    untouched_rows = False
    _by_partition = False  # whether there is `_fit_rows`
    learned: ClassVar[tuple[str, ...]] = ()

    @final
    def fit(
        self,
        scores: ArrayLike,
        Y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        count: ArrayLike | None = None,
    ) -> Self:
        """Fit the rule on scores of held-out rows.

        Parameters
        ----------
        scores : array-like of shape (n_samples, n_labels)
            Finite scores, usually probabilities.
        Y : array-like of shape (n_samples, n_labels)
            True labels: 0 or 1, a value between them for a soft label (counted as a fractional
            positive), or NaN for a label that was not observed.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, which act as counts: weight 2 equals the row given twice, and
            weight 0 equals the row left out. None means 1 for every row.
        count : array-like of shape (n_samples,), default=None
            Predicted number of labels of each row, from models that have one.

        Returns
        -------
        self : Decoder
            The fitted decoder.

        Raises
        ------
        ValueError
            If an argument has the wrong shape or values, or all weights are 0.
        """
        scores = check_scores(scores)
        n_labels = scores.shape[1]
        self._check_params(n_labels)
        self._fit(*rows_that_count(scores, Y, sample_weight, count))
        self.n_labels_ = n_labels
        return self

    @final
    def decode(self, scores: ArrayLike, count: ArrayLike | None = None) -> np.ndarray:
        """Predict the labels of each row.

        Parameters
        ----------
        scores : array-like of shape (n_samples, n_labels)
            Finite scores of the same kind as those given to `fit`.
        count : array-like of shape (n_samples,), default=None
            Predicted number of labels of each row; most rules ignore it.

        Returns
        -------
        Y_hat : ndarray of bool, shape (n_samples, n_labels)
            True where a label is predicted.

        Raises
        ------
        NotFittedError
            If the rule must be fitted and was not.
        ValueError
            If an argument has the wrong shape or values.
        """
        fitted = hasattr(self, "n_labels_")
        if self.requires_fit and not fitted:
            raise NotFittedError(
                f"{type(self).__name__} is not fitted yet; call fit(scores, Y) on held-out rows, "
                "then decode."
            )
        scores = check_scores(scores)
        if fitted and scores.shape[1] != self.n_labels_:
            raise ValueError(
                f"scores has {scores.shape[1]} labels (columns), but {type(self).__name__} was "
                f"fitted with {self.n_labels_}; give one column per label seen in fit."
            )
        self._check_params(scores.shape[1])
        return self._decode(scores, check_per_row("count", count, scores.shape[0]))

    def _fit_partitions(self, rows: ScoredRows) -> Self:
        """Fit the rule on rows that are not in memory, if it is one `_by_partition`."""
        self._check_params(rows.n_labels)
        self._fit_rows(rows)
        self.n_labels_ = rows.n_labels
        return self

    def learn_sets(self, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Replace the label sets of `fit` by those of more rows.

        Label sets need no scores, so training rows can be used: an estimator calls this after
        `fit` with all its rows, training and held-out. Most rules use scores only, and this
        default does nothing. Rules that use label sets replace those of `fit`; a rule around
        another one passes `Y` to it.

        Parameters
        ----------
        Y : array-like of shape (n_samples, n_labels)
            True labels, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, which act as counts, as in `fit`. None means 1 for every row.

        Returns
        -------
        self : Decoder
            The decoder.

        Raises
        ------
        NotFittedError
            If the rule uses label sets and was not fitted: `fit` would replace them.
        ValueError
            If the rule uses label sets and an argument has the wrong shape or values.
        """
        return self

    def _check_params(self, n_labels: int) -> None:
        """Raise if a parameter is out of range for so many labels."""
        check_fields(self)

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        """Fit the rule; `Y` is float64 with NaN, weights are positive. Default: nothing."""
        if self._by_partition:
            self._fit_rows(ScoredRows.in_memory(scores, Y, sample_weight))

    def _fit_rows(self, rows: ScoredRows) -> None:
        """Fit the rule on rows in memory or in partitions."""
        raise NotImplementedError

    @abstractmethod
    def _decode(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        """Return the (n_samples, n_labels) bool array of predicted labels."""

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `decode` can be called, for scikit-learn's `check_is_fitted`."""
        return hasattr(self, "n_labels_") or not self.requires_fit


class WrappingDecoder(Decoder):
    """Base class of rules that change the predictions of another decoder, `decoder`."""

    learned = ("decoder_",)
    decoder: str | Decoder | None

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]
        """As in the inner decoder."""
        return self._of_inner("requires_fit", False)

    @property
    def needs_probabilities(self) -> bool:  # type: ignore[override]
        """As in the inner decoder; True without one."""
        return self._of_inner("needs_probabilities", True)

    @property
    def untouched_rows(self) -> bool:  # type: ignore[override]
        """As in the inner decoder."""
        return self._of_inner("untouched_rows", False)

    def learn_sets(self, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Pass `Y` to the inner decoder; see `Decoder.learn_sets`."""
        if hasattr(self, "decoder_"):
            self.decoder_.learn_sets(Y, sample_weight)
        return self

    def _unfitted(self) -> Decoder | None:
        # The registry names subclasses, so it cannot be imported before they exist.
        from . import get_decoder

        return None if self.decoder is None else get_decoder(self.decoder)

    def _of_inner(self, name: str, default: bool) -> bool:
        """Return an attribute of the inner decoder, or the default if there is none.

        `fit` and `decode` reject an invalid decoder; if an attribute raised, the object could not
        be displayed.
        """
        try:
            inner = self._unfitted()
        except (TypeError, ValueError):
            return default
        return default if inner is None else getattr(inner, name)

    def _check_params(self, n_labels: int) -> None:
        super()._check_params(n_labels)
        inner = self._unfitted()
        if inner is not None:
            inner._check_params(n_labels)

    def _fit(
        self, scores: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray, count: np.ndarray | None
    ) -> None:
        inner = self._unfitted()
        if inner is not None:
            self.decoder_ = clone(inner).fit(scores, Y, sample_weight, count)

    @property
    def _by_partition(self) -> bool:  # type: ignore[override]
        return self._of_inner("_by_partition", False)

    def _fit_rows(self, rows: ScoredRows) -> None:
        inner = self._unfitted()
        assert inner is not None  # else it is not one `_by_partition`
        self.decoder_ = clone(inner)._fit_partitions(rows)

    def _decode_inner(self, scores: np.ndarray, count: np.ndarray | None) -> np.ndarray:
        """Return the predictions of the inner decoder, or the scores without one."""
        inner = self.decoder_ if hasattr(self, "decoder_") else self._unfitted()
        return scores if inner is None else inner.decode(scores, count)
