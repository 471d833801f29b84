"""Which labels occur together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._data.counts import ratio
from .._data.labels import find_names
from .._data.validation import check_integer
from ._inputs import check_true, names_of_labels, predicted_labels
from ._panels import check_matplotlib, draw_cells, keep_inside, make_axes, note_hidden, shorten

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

__all__ = ["CooccurrenceDisplay"]

# Inches of a cell, and of a character of a name.
_CELL, _LETTER = 0.36, 0.08
_NAME_LENGTH = 20
# Up to so many labels, cells have room for their numbers.
_WITH_NUMBERS = 20


class CooccurrenceDisplay:
    """Heat map of the share of rows with one label that have another one as well.

    Each row of the map is a label, the most frequent ones on top, with its number of positives. The
    cell in row i and column j is the share of the rows with label i that have label j as well, an
    estimate of P(j | i), in percent. A row like the bottom line, the prior of each label, belongs
    to a label that is independent of the others.

    Use `from_labels` or `from_estimator` to make one.

    Parameters
    ----------
    shares : ndarray of shape (n_shown, n_shown)
        ``shares[i, j]`` is the share of the rows with label i that have label j, NaN where no row
        with label i has label j observed.
    priors : ndarray of shape (n_shown,)
        Share of positives of each label.
    label_names : sequence of length n_shown
        Their names.
    positives : sequence of int, of length n_shown
        Their numbers of positives.
    n_labels : int, default=None
        Number of all labels; if there are more than shown, the figure says so.

    Attributes
    ----------
    shares, priors, label_names, positives, n_labels
        The parameters.
    ax_ : Axes
        The axes. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    image_ : AxesImage
        The heat map, whose last row holds the priors.

    See Also
    --------
    LabelCountDisplay : Number of labels per row.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import CooccurrenceDisplay
    >>> display = CooccurrenceDisplay.from_labels([[1, 1], [1, 0], [0, 0]], label_names=["a", "b"])
    >>> display.shares
    array([[1. , 0.5],
           [1. , 1. ]])
    """

    def __init__(
        self,
        shares: np.ndarray,
        *,
        priors: np.ndarray,
        label_names: Sequence[Any],
        positives: Sequence[int],
        n_labels: int | None = None,
    ) -> None:
        self.shares = shares
        self.priors = priors
        self.label_names = label_names
        self.positives = positives
        self.n_labels = n_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        label_names: Sequence[Any] | None = None,
        max_labels: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the co-occurrence of the labels that a fitted classifier predicts.

        Beside that of the true labels it shows which dependences the classifier has learned.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict``.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which the model was not fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels, for their number, names and order: 0, 1, or NaN where not observed.
        label_names, max_labels, ax
            See `from_labels`. Names of labels are those of `estimator` if y has none.

        Returns
        -------
        CooccurrenceDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` has no ``predict``.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        Y = check_true(y, estimator)
        names = names_of_labels(estimator, y, label_names, Y.shape[1])
        order = np.argsort(-np.nansum(Y, axis=0), kind="stable")
        labels = predicted_labels(estimator, X, Y.shape[1])
        return cls._compute(labels, order, names, max_labels).plot(ax)

    @classmethod
    def from_labels(
        cls,
        Y: ArrayLike,
        *,
        label_names: Sequence[Any] | None = None,
        max_labels: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the co-occurrence of labels.

        Parameters
        ----------
        Y : array-like of shape (n_samples, n_labels)
            Labels: 0, 1, or NaN where not observed. A share is of the rows in which both labels
            are observed.
        label_names : sequence of length n_labels, default=None
            None takes the columns of a DataFrame, else numbers.
        max_labels : int, default=30
            Of more labels those with the most positives are shown, and the figure says so.
        ax : Axes, default=None
            None makes a figure that is large enough.

        Returns
        -------
        CooccurrenceDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_labels")
        labels = check_true(Y)
        order = np.argsort(-np.nansum(labels, axis=0), kind="stable")
        names = find_names(Y, label_names, labels.shape[1])
        return cls._compute(labels, order, names, max_labels).plot(ax)

    @classmethod
    def _compute(cls, Y: np.ndarray, order: np.ndarray, names: list[Any], max_labels: int) -> Self:
        check_integer(max_labels, "max_labels", low=1)
        shown = order[:max_labels]
        positive, observed = np.nan_to_num(Y[:, shown]), ~np.isnan(Y[:, shown])
        count = positive.sum(axis=0)
        return cls(
            ratio(positive.T @ positive, positive.T @ observed, np.nan),
            priors=ratio(count, observed.sum(axis=0), np.nan),
            label_names=[names[label] for label in shown],
            positives=count.astype(int).tolist(),
            n_labels=len(names),
        )

    def plot(self, ax: Any = None) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a figure that is large enough.

        Returns
        -------
        CooccurrenceDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        n_shown = len(self.label_names)
        names = [shorten(name, _NAME_LENGTH) for name in self.label_names]
        margin = 0.5 + _LETTER * max(map(len, names))
        size = max(3.6, _CELL * n_shown + margin + 1.5)
        ax, self.figure_, is_new = make_axes(ax, size, size - 0.4)
        self.ax_ = ax
        shares = self.shares.copy()
        np.fill_diagonal(shares, np.nan)  # all of them: only the others tell something
        cells = np.vstack([shares, self.priors])
        texts = np.where(np.isnan(cells), "", np.char.mod("%.0f", np.nan_to_num(100 * cells)))
        if n_shown > _WITH_NUMBERS:
            texts = np.full(cells.shape, "")
        self.image_: AxesImage = draw_cells(ax, cells, texts)
        rows = [f"{name} ({count})" for name, count in zip(names, self.positives, strict=True)]
        slanted: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
        ax.set_xticks(range(n_shown), names, **slanted)
        ax.set_yticks(range(n_shown + 1), [*rows, "all rows"])
        ax.axhline(n_shown - 0.5, color="black", linewidth=0.8)
        ax.tick_params(length=0, top=True, labeltop=True, labelbottom=False)
        note = note_hidden(n_shown, self.n_labels)
        xlabel = "share of the rows with the label on the left\nthat have the label above"
        ax.set_xlabel(f"{xlabel}\n{note}" if note else xlabel)
        bar = self.figure_.colorbar(self.image_, ax=ax, format="{x:.0%}", shrink=0.8)
        bar.outline.set_visible(False)
        if not is_new:
            keep_inside([ax])
        return self
