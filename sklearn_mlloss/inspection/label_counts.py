"""Number of labels per row, predicted against true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._data.labels import check_predictions
from .._data.validation import check_integer
from ._inputs import check_true, predicted_labels
from ._panels import VERMILLION, check_matplotlib, draw_cells, keep_inside, make_axes

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

__all__ = ["LabelCountDisplay"]

# Inches of a cell.
_CELL = 0.42


class LabelCountDisplay:
    """Heat map of the number of labels per row, predicted against true.

    Each cell is the number of rows with so many true and so many predicted labels. Framed cells on
    the diagonal have the right number of labels, though not necessarily the right labels. Rows
    below the diagonal of the map have too few labels, rows above it too many.

    Use `from_predictions` or `from_estimator` to make one.

    Parameters
    ----------
    counts : ndarray of int, shape (n_cells, n_cells)
        ``counts[i, j]`` is the number of rows with i true and j predicted labels, in units of
        `width`; the last row and column hold those with more, too.
    n_observed : int
        Number of rows that are counted.
    means : tuple of float
        Mean numbers of true and of predicted labels.
    width : int, default=1
        How many numbers of labels a cell has.
    is_cut : bool, default=False
        Whether there are rows with more labels than the last row or column says.

    Attributes
    ----------
    counts, n_observed, means, width, is_cut
        The parameters.
    ax_ : Axes
        The axes. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    image_ : AxesImage
        The heat map, with the numbers of predicted labels as rows.

    See Also
    --------
    sklearn_mlloss.decoders.CardinalityCut : Predicts as many labels as a row is expected to have.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import LabelCountDisplay
    >>> display = LabelCountDisplay.from_predictions(
    ...     [[1, 1], [1, 0], [0, 0]], [[1, 0], [0, 1], [0, 0]])
    >>> display.counts
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 0]])
    """

    def __init__(
        self,
        counts: np.ndarray,
        *,
        n_observed: int,
        means: tuple[float, float],
        width: int = 1,
        is_cut: bool = False,
    ) -> None:
        self.counts = counts
        self.n_observed = n_observed
        self.means = means
        self.width = width
        self.is_cut = is_cut

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: ArrayLike, *, max_cells: int = 12, ax: Any = None
    ) -> Self:
        """Draw the numbers of labels that a fitted classifier predicts.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict``.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which neither the model nor its decoder was fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed.
        max_cells, ax
            See `from_predictions`.

        Returns
        -------
        LabelCountDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` has no ``predict``.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        Y = check_true(y, estimator)
        Y_hat = predicted_labels(estimator, X, Y.shape[1])
        return cls.from_predictions(Y, Y_hat, max_cells=max_cells, ax=ax)

    @classmethod
    def from_predictions(
        cls, y_true: ArrayLike, y_pred: ArrayLike, *, max_cells: int = 12, ax: Any = None
    ) -> Self:
        """Draw the numbers of predicted labels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed; neither true nor predicted labels are
            counted there, and rows without any observed label are left out.
        y_pred : array-like of shape (n_samples, n_labels)
            Predicted labels, 0 or 1.
        max_cells : int, default=12
            Cells along each axis for the numbers from 1 on. If more than one row in a hundred has
            more labels, each cell stands for several numbers; the few rows with more still are in
            the last row and column, which then say "or more".
        ax : Axes, default=None
            None makes a figure that is large enough.

        Returns
        -------
        LabelCountDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        check_integer(max_cells, "max_cells", low=1)
        Y = check_true(y_true)
        Y_hat = check_predictions(y_pred, "y_pred", y_true, Y.shape, "y_true", "labels")
        observed = ~np.isnan(Y)
        used = observed.any(axis=1)
        pairs = np.stack([np.nansum(Y, axis=1), (Y_hat * observed).sum(axis=1)])[:, used]
        most = np.quantile(pairs.max(axis=0), 0.99, method="lower") if used.any() else 0
        width = max(1, -(-int(most) // max_cells))
        true, predicted = np.minimum(pairs // width, max_cells).astype(int)
        size = int(max(true.max(initial=1), predicted.max(initial=1))) + 1
        counts = np.bincount(true * size + predicted, minlength=size**2).reshape(size, size)
        n_rows = int(used.sum())
        means = pairs.sum(axis=1) / max(n_rows, 1)
        return cls(
            counts,
            n_observed=n_rows,
            means=(float(means[0]), float(means[1])),
            width=width,
            is_cut=bool((pairs // width > max_cells).any()),
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : Axes, default=None
            None makes a figure that is large enough.

        Returns
        -------
        LabelCountDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        from matplotlib.patches import Rectangle

        size = len(self.counts)
        inches = max(3.4, _CELL * size + 1.2)
        ax, self.figure_, is_new = make_axes(ax, inches, inches + 0.2)
        self.ax_ = ax
        cells = self.counts.T.astype(float)  # the number of predicted labels goes up
        texts = np.where(cells > 0, np.char.mod("%d", self.counts.T), "")
        # Square roots, since most rows are in few cells.
        self.image_: AxesImage = draw_cells(ax, np.sqrt(cells), texts)
        for number in range(size):
            ax.add_patch(
                Rectangle(
                    (number - 0.5, number - 0.5), 1, 1, fill=False, edgecolor=VERMILLION,
                    linewidth=1.5, clip_on=False, zorder=3,
                )
            )  # fmt: skip
        firsts = [self.width * cell for cell in range(size)]
        ticks = [f"{n}–{n + self.width - 1}" if self.width > 1 else f"{n}" for n in firsts]
        if self.is_cut:
            ticks[-1] = f"≥{firsts[-1]}"
        ax.set_xticks(range(size), ticks, rotation=90 if self.width > 1 else 0)
        ax.set_yticks(range(size), ticks)
        ax.tick_params(length=0)
        ax.set(xlim=(-0.5, size - 0.5), ylim=(-0.5, size - 0.5))
        noun = "row" if self.n_observed == 1 else "rows"
        means = "mean true {:.2f}, predicted {:.2f}".format(*self.means)
        ax.set_title(f"{self.n_observed} {noun}\n{means}", fontsize="medium", loc="left")
        ax.set(xlabel="true labels per row", ylabel="predicted labels per row")
        if not is_new:
            keep_inside([ax])
        return self
