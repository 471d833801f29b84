"""Training curves: losses and scores over the epochs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._data.messages import describe
from .._data.validation import check_choice, check_integer
from ._inputs import MAX_PANELS
from ._panels import (
    BLUE,
    GREY,
    POINTS,
    VERMILLION,
    axes_width,
    check_matplotlib,
    finish,
    label_first,
    make_panels,
    name_value,
    shorten,
    title_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["TrainingCurveDisplay"]

# What is drawn of a history; best epochs are marked on the last.
_CURVES = {"loss": ("train_loss", "valid_loss"), "score": ("valid_score",)}
# Characters that fit above a panel, and into it in small print.
_TITLE_WIDTH, _TEXT_WIDTH, _TEXT_LINES = 26, 32, 7
# Characters below an inch of panels.
_LETTERS = 11
# Values are cut if their range is more than this times the range of nine tenths of them.
_FLAT = 4


class TrainingCurveDisplay:
    """Training and validation loss over the epochs, one panel per loss.

    Losses differ in scale, and so do the panels: compare shapes, not heights. If the validation
    loss rises while the training loss falls, the network overfits, and early stopping restores an
    earlier epoch. If both still fall at the end, `max_epochs` or the learning rate is too small. If
    the line is jagged, the learning rate is too large.

    With several folds there is one thin line per fold, and their mean up to the epoch that all of
    them reached. The best epoch, whose weights early stopping has restored, is marked per fold.
    Large losses of the first epochs are cut if they would make all others look alike; the panel
    then shows their maximum.

    Use `from_estimator` or `from_search` to make one.

    Parameters
    ----------
    histories : sequence of length n_panels, of sequences of dict or None
        For each panel the ``history_`` of each network, with lists of equal length under "epoch",
        "train_loss" and optionally "valid_loss", "valid_score" and "is_best"; None for a training
        that failed.
    names : sequence of length n_panels
        Titles of the panels.
    errors : sequence of str, of length n_panels, default=None
        Error messages of the panels in which all trainings failed.

    Attributes
    ----------
    histories, names, errors
        The parameters.
    axes_ : ndarray of Axes, shape (n_shown,)
        The panels. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    train_, valid_ : list of Line2D or None, of length n_shown
        The curve of one network or the mean of several, None if there is none.
    folds_ : list of lists of Line2D, of length n_shown
        The curves of the single networks; empty if there is only one.
    best_ : list of Line2D or None, of length n_shown
        Marks of the best epochs.

    See Also
    --------
    LossComparisonDisplay : Scores of the losses in a search.
    sklearn.model_selection.LearningCurveDisplay : Scores over the number of training rows.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import TrainingCurveDisplay
    >>> history = {
    ...     "epoch": [1, 2, 3], "train_loss": [0.7, 0.5, 0.4], "valid_loss": [0.7, 0.6, 0.8],
    ...     "is_best": [True, True, False]}
    >>> display = TrainingCurveDisplay([[history]], names=["bce"]).plot()
    >>> display.best_[0].get_xydata().tolist()
    [[2.0, 0.6]]
    """

    def __init__(
        self,
        histories: Sequence[Sequence[Mapping[str, Sequence[float]] | None]],
        *,
        names: Sequence[Any],
        errors: Sequence[str] | None = None,
    ) -> None:
        self.histories = histories
        self.names = names
        self.errors = errors

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, curve: str = "loss", ax: Any = None
    ) -> Self:
        """Draw the training curves of a classifier.

        Parameters
        ----------
        estimator : MultiLabelNetClassifier or Pipeline
            Fitted; a pipeline must end with the classifier. With `cv` and ``ensemble=True`` there
            is one curve per fold; with ``ensemble=False`` that of the last training, on all rows.
        name : str, default=None
            Title of the panel. None is the name of the loss.
        curve : {"loss", "score"}, default="loss"
            See `plot`.
        ax : Axes, default=None
            None makes a figure.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or `estimator` is another kind of estimator.
        NotFittedError
            If it is not fitted.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from sklearn_mlloss import MultiLabelNetClassifier
        >>> from sklearn_mlloss.inspection import TrainingCurveDisplay
        >>> X, Y = make_multilabel_classification(300, n_classes=3, random_state=0)
        >>> net = MultiLabelNetClassifier("focal", hidden_layer_sizes=(8,), learning_rate=0.1,
        ...     cv=3, random_state=0)
        >>> display = TrainingCurveDisplay.from_estimator(net.fit(X, Y))
        >>> display.names, len(display.best_[0].get_xdata())
        (['focal'], 3)
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        last = estimator
        while hasattr(last, "steps"):
            last = last.steps[-1][1]
        check_is_fitted(last)
        if not hasattr(last, "history_"):
            raise ValueError(
                "estimator must be a MultiLabelNetClassifier or a Pipeline that ends with one, got "
                f"{describe(estimator)}."
            )
        name = _name_loss(last.loss) if name is None else name
        return cls([_networks(last.history_)], names=[name]).plot(ax, curve=curve)

    @classmethod
    def from_search(
        cls, search: Any, *, curve: str = "loss", max_panels: int = MAX_PANELS, ax: Any = None
    ) -> Self:
        """Draw the training curves of the losses in a search, those of the best candidates first.

        Parameters
        ----------
        search : LossDecoderSearchCV
            Fitted. There is one panel per loss and combination of hyperparameters, named by what
            differs.
        curve, max_panels
            See `plot`.
        ax : Axes or array of Axes, default=None
            At least one per panel. None makes a figure.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
        >>> from sklearn_mlloss.inspection import TrainingCurveDisplay
        >>> X, Y = make_multilabel_classification(n_classes=3, random_state=0)
        >>> net = MultiLabelNetClassifier(hidden_layer_sizes=(8,), early_stopping=False,
        ...     max_epochs=5)
        >>> search = LossDecoderSearchCV(net, ["bce", "zlpr"], ["threshold"], cv=2, random_state=0)
        >>> display = TrainingCurveDisplay.from_search(search.fit(X, Y))
        >>> sorted(display.names), [len(lines) for lines in display.folds_]
        (['bce', 'zlpr'], [2, 2])
        """
        check_matplotlib(f"{cls.__name__}.from_search")
        if not hasattr(search, "compare"):
            raise ValueError(f"search must be a LossDecoderSearchCV, got {describe(search)}.")
        best_first = np.asarray(search.compare()["index"])
        results = search.cv_results_
        settings = list(dict.fromkeys(results["setting"][best_first].tolist()))
        # The first candidate of a setting stands for it.
        rows = [int(np.argmax(results["setting"] == setting)) for setting in settings]
        histories = [search.histories_[setting] for setting in settings]
        return cls(
            [[net for history in folds for net in _networks(history)] for folds in histories],
            names=_name_settings(results, rows),
            errors=[
                _find_error(results["error"][row], folds)
                for row, folds in zip(rows, histories, strict=True)
            ],
        ).plot(ax, curve=curve, max_panels=max_panels)

    def plot(self, ax: Any = None, *, curve: str = "loss", max_panels: int = MAX_PANELS) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            At least one per panel; the first ones are used. None makes a figure, with the legend
            outside the panels.
        curve : {"loss", "score"}, default="loss"
            The losses; or the score of the held-out rows by a custom `monitor`, which early
            stopping then uses instead of the validation loss.
        max_panels : int, default=12
            Of more panels the first ones are shown, with a note in the figure.

        Returns
        -------
        TrainingCurveDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If a parameter is out of its range, `ax` holds too few axes, or no training has the
            score.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        check_integer(max_panels, "max_panels", low=1)
        check_choice(curve, "curve", _CURVES)
        trained = [history for networks in self.histories for history in networks if history]
        if curve == "score" and not any("valid_score" in history for history in trained):
            raise ValueError(
                "curve='score' needs networks trained with a custom monitor and "
                "early_stopping=True; use curve='loss'."
            )
        shown = self.histories[:max_panels]
        self.axes_, self.figure_, is_new = make_panels(
            ax, len(shown), 2.2, share=False, noun="panels"
        )
        artists = []
        for number, (panel, networks) in enumerate(zip(self.axes_, shown, strict=True)):
            artists.append(_draw(panel, networks, _CURVES[curve]))
            lines = [shorten(line, _TITLE_WIDTH) for line in str(self.names[number]).split("\n")]
            title_panel(panel, "\n".join(lines), _note(networks, artists[-1][-1]))
            panel.spines[["top", "right"]].set_visible(False)
            if not any(networks):
                _say_failed(panel, "" if self.errors is None else self.errors[number])
        self.train_, self.valid_, self.folds_, self.best_ = map(list, zip(*artists, strict=True))
        note = ""
        if len(self.histories) > max_panels:
            inches = self.figure_.get_figwidth() if is_new else axes_width(self.axes_[-1])
            width = max(20, int(_LETTERS * inches))
            text = self._note_hidden(max_panels)
            note = textwrap.fill(text, width, max_lines=3, placeholder=" …")
        ylabel = "loss" if curve == "loss" else "validation score"
        finish(self.axes_, is_new, self._handles(), "epoch", ylabel, "best", note)
        return self

    def _note_hidden(self, n_shown: int) -> str:
        """Return how many panels are hidden, and which of these failed."""
        hidden = zip(self.names[n_shown:], self.histories[n_shown:], strict=True)
        failed = [str(name).replace("\n", " ") for name, networks in hidden if not any(networks)]
        text = f"The first {n_shown} of {len(self.histories)}."
        return f"{text} Others failed: {'; '.join(failed)}." if failed else text

    def _handles(self) -> list[Any]:
        """Return one artist per kind that was drawn, for the legend."""
        from matplotlib.lines import Line2D

        several = any(self.folds_)
        mean = ", mean" if several else ""
        kinds = [
            (self.train_, f"training{mean}"),
            (self.valid_, f"validation{mean}"),
            ([Line2D([], [], color=GREY, lw=0.7)] if several else [], "single folds"),
            (self.best_, "best epoch"),
        ]
        return label_first(kinds)


def _draw(
    panel: Axes, networks: Sequence[Mapping | None], curves: Sequence[str]
) -> tuple[Line2D | None, Line2D | None, list[Line2D], Line2D | None]:
    """Draw the curves of a panel; return that of training and validation, of folds, and marks."""
    from matplotlib.ticker import MaxNLocator

    trained = [history for history in networks if history is not None]
    lines: dict[str, Line2D | None] = dict.fromkeys(("train", "valid"))
    folds: list[Line2D] = []
    values: list[float] = []
    needed: list[float] = []
    for key in curves:
        part = key.split("_")[0]
        colour = BLUE if part == "train" else VERMILLION
        per_fold = [np.array([h["epoch"], h[key]], dtype=float) for h in trained if key in h]
        if not per_fold:
            continue
        if len(per_fold) > 1:
            folds += [_line(panel, each, color=colour, alpha=0.4, lw=0.7) for each in per_fold]
        n_common = min(each.shape[1] for each in per_fold)
        mean = np.mean([each[:, :n_common] for each in per_fold], axis=0)
        lines[part] = _line(panel, mean, color=colour, lw=1.8)
        values += [value for each in per_fold for value in each[1]]
        needed += [each[1, -1] for each in per_fold]
    marks = np.array([mark for history in trained for mark in _best(history, curves[-1])])
    best = None
    if marks.size:
        (best,) = panel.plot(
            *marks.T, color=VERMILLION, marker="D", markersize=5, markeredgewidth=0.7, zorder=3,
            **POINTS,
        )  # fmt: skip
        needed += marks[:, 1].tolist()
    if "train_loss" in curves:
        _cut(panel, np.array(values), np.array(needed))
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    panel.yaxis.set_major_locator(MaxNLocator(5))
    # A common power of ten would overlap the note above the panel.
    panel.yaxis.set_major_formatter("{x:.6g}")
    return lines["train"], lines["valid"], folds, best


def _note(networks: Sequence[Mapping | None], best: Line2D | None) -> str:
    """Return the best epochs of a panel in words, and how many folds failed."""
    parts = []
    if best is not None:
        epochs = np.asarray(best.get_xdata())
        first, last = int(epochs.min()), int(epochs.max())
        parts.append(f"best epoch {first}" if first == last else f"best epochs {first}–{last}")
    failed = sum(history is None for history in networks)
    if failed:
        parts.append(f"{failed} fold{'s' if failed > 1 else ''} failed")
    return ", ".join(parts)


def _line(panel: Axes, curve: np.ndarray, **style: Any) -> Line2D:
    # A single epoch would leave no line.
    marker = "o" if curve.shape[1] == 1 else ""
    (line,) = panel.plot(*curve, marker=marker, markersize=4, **style)
    return line


def _best(history: Mapping[str, Sequence], key: str) -> list[tuple[float, float]]:
    """Return the epoch that early stopping restored with its value, if there is one."""
    at = np.flatnonzero(history.get("is_best", ()))
    return [(history["epoch"][at[-1]], history[key][at[-1]])] if at.size and key in history else []


def _cut(panel: Axes, values: np.ndarray, needed: np.ndarray) -> None:
    """Leave out the highest tenth of the values if the rest would look flat below them."""
    values = values[np.isfinite(values)]
    if not values.size:
        return
    low, most, high = np.quantile(values, [0, 0.9, 1])
    most = np.max([most, *needed[np.isfinite(needed)]])
    if not 0 < _FLAT * (most - low) < high - low:
        return
    room = most - low
    panel.set_ylim(low - 0.08 * room, most + 0.4 * room)
    panel.text(
        0.98, 0.97, f"up to {high:.4g} ↑", transform=panel.transAxes, ha="right", va="top",
        fontsize="small", color=GREY,
    )  # fmt: skip


def _say_failed(panel: Axes, error: str) -> None:
    """Leave a panel without curves, and write the reason."""
    text = textwrap.fill(error, _TEXT_WIDTH, max_lines=_TEXT_LINES, placeholder=" …")
    panel.text(
        0.5, 0.5, text or "training failed", transform=panel.transAxes, ha="center", va="center",
        fontsize="small", color=GREY,
    )  # fmt: skip
    panel.set(xticks=[], yticks=[])


def _networks(history: Any) -> list:
    """Return a list with one history per network."""
    return history if isinstance(history, list) else [history]


def _name_loss(spec: Any) -> str:
    if isinstance(spec, str):
        return spec
    return getattr(spec, "__name__", None) or " ".join(repr(spec).split())


def _name_settings(results: Mapping[str, Any], rows: Sequence[int]) -> list[str]:
    """Name settings by the loss, and by what differs between settings of the same loss."""
    losses = [results["param_loss"][row] for row in rows]
    parts = [[str(loss)] for loss in losses]
    for key, column in results.items():
        name = key.removeprefix("param_")
        if name == key or name in ("loss", "decoder", "calibration"):
            continue
        lacking = np.ma.getmaskarray(column)
        values = [None if lacking[row] else name_value(name, column[row]) for row in rows]
        for part, loss, value in zip(parts, losses, values, strict=True):
            same = [other for other, kind in zip(values, losses, strict=True) if kind == loss]
            if value is not None and len(set(same)) > 1:
                part.append(value)
    return [_wrap(part) for part in parts]


def _wrap(parts: Sequence[str]) -> str:
    """Join the parts of a name, in lines that break between them if they can."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= _TITLE_WIDTH:
            lines[-1] += f", {part}"
        else:
            lines += textwrap.wrap(part, _TITLE_WIDTH, break_on_hyphens=False)
    return "\n".join(lines)


def _find_error(errors: str, folds: Sequence) -> str:
    """Return the error of the first failed fold, out of the errors of all folds."""
    if None not in folds:
        return ""
    error = errors.partition(f"fold {folds.index(None)}: ")[2]
    return " ".join(error.partition("; fold ")[0].split())
