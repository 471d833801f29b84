"""Confusion matrices, one per label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .._data.counts import ratio
from .._data.labels import check_predictions, find_names
from ._inputs import check_true, names_of_labels, predicted_labels, select_labels
from ._panels import check_matplotlib, draw_cells, finish, make_panels, name_panel, note_hidden

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

__all__ = ["ConfusionMatrixDisplay"]


class ConfusionMatrixDisplay:
    """Confusion matrices, one panel with four cells per label.

    The rows of a panel are the true value of the label, its columns the predicted one. Each cell
    has the number of rows and their share of the rows with the same true value, which is its shade:
    the share at the bottom right is the recall, that at the top right the false positive rate.

    Use `from_predictions` or `from_estimator` to make one.

    Parameters
    ----------
    matrices : ndarray of int, shape (n_shown, 2, 2)
        For each label ``[[tn, fp], [fn, tp]]``, as `sklearn.metrics.multilabel_confusion_matrix`
        has them.
    label_names : sequence of length n_shown
        Their names.
    n_labels : int, default=None
        Number of all labels, if those with the most positives are shown: the figure then says how
        many are not. None if the labels were chosen.

    Attributes
    ----------
    matrices, label_names, n_labels
        The parameters.
    axes_ : ndarray of Axes, shape (n_shown,)
        The panels. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    images_ : list of AxesImage, of length n_shown
        The shades of the cells.

    See Also
    --------
    LabelReportDisplay : Precision, recall and other metrics per label.
    sklearn.metrics.ConfusionMatrixDisplay : One matrix of several classes.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import ConfusionMatrixDisplay
    >>> display = ConfusionMatrixDisplay.from_predictions(
    ...     [[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 0], [1, 0]], label_names=["a", "b"])
    >>> display.matrices.tolist()
    [[[1, 0], [0, 2]], [[1, 0], [2, 0]]]
    """

    def __init__(
        self, matrices: np.ndarray, *, label_names: Sequence[Any], n_labels: int | None = None
    ) -> None:
        self.matrices = matrices
        self.label_names = label_names
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
        ax: Any = None,
    ) -> Self:
        """Draw the confusion matrices of a fitted classifier.

        Parameters
        ----------
        estimator : object
            Fitted, with ``predict``.
        X : array-like or DataFrame with n_samples rows
            Held-out rows, on which neither the model nor its decoder was fitted.
        y : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed.
        labels, label_names, ax
            See `from_predictions`. Names of labels are those of `estimator` if y has none.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` has no ``predict``.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        Y = check_true(y, estimator)
        return cls.from_predictions(
            Y,
            predicted_labels(estimator, X, Y.shape[1]),
            labels=labels,
            label_names=names_of_labels(estimator, y, label_names, Y.shape[1]),
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        labels: Sequence[Any] | None = None,
        label_names: Sequence[Any] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the confusion matrices of predicted labels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples, n_labels)
            True labels: 0, 1, or NaN where not observed; such entries are left out.
        y_pred : array-like of shape (n_samples, n_labels)
            Predicted labels, 0 or 1.
        labels : sequence of names or indices, default=None
            Labels to show, in this order; names take precedence over indices. None shows the 12
            labels with the most positives, and the figure says how many others there are.
        label_names : sequence of length n_labels, default=None
            None takes the columns of a DataFrame, else numbers.
        ax : Axes or array of Axes, default=None
            At least one per label shown. None makes a figure.

        Returns
        -------
        ConfusionMatrixDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        Y = check_true(y_true)
        Y_hat = check_predictions(y_pred, "y_pred", y_true, Y.shape, "y_true", "labels")
        names = find_names(y_true, label_names, Y.shape[1])
        shown = select_labels(labels, names, np.nansum(Y, axis=0))
        truth, guess = Y[:, shown], Y_hat[:, shown]
        matrices = [
            [((truth == true) & (guess == predicted)).sum(axis=0) for predicted in (0, 1)]
            for true in (0, 1)
        ]
        return cls(
            np.array(matrices).transpose(2, 0, 1),
            label_names=[names[label] for label in shown],
            n_labels=len(names) if labels is None else None,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            At least one per label; the first ones are used. None makes a figure.

        Returns
        -------
        ConfusionMatrixDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If `ax` holds too few axes.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        self.axes_, self.figure_, is_new = make_panels(ax, len(self.label_names), 2.2)
        self.images_: list[AxesImage] = []
        for panel, name, matrix in zip(self.axes_, self.label_names, self.matrices, strict=True):
            shares = ratio(matrix, matrix.sum(axis=1, keepdims=True), np.nan)
            texts = np.array(
                [
                    [f"{n}" if np.isnan(s) else f"{n}\n{s:.0%}" for n, s in zip(*row, strict=True)]
                    for row in zip(matrix, shares, strict=True)
                ]
            )
            self.images_.append(draw_cells(panel, shares, texts))
            panel.set_xticks([0, 1], ["no", "yes"])
            panel.set_yticks([0, 1], ["no", "yes"])
            panel.tick_params(length=0)
            name_panel(panel, name, int(matrix[1].sum()))
        note = note_hidden(len(self.label_names), self.n_labels)
        finish(self.axes_, is_new, [], "predicted", "true", "best", note)
        return self
