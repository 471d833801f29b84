"""The losses of trainings over their epochs."""

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
    VERMILLION,
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
# How many times as high as nine tenths of the values all of them may be without being cut.
_FLAT = 4


class TrainingCurveDisplay:
    """The training and the validation loss over the epochs, in a panel a loss.

    Each loss has a scale of its own, and so has each panel: compare shapes, not heights. A
    validation loss that rises while the training loss falls says that the network overfits, and
    early stopping goes back to an epoch before; both still falling at the end, that `max_epochs`
    or the learning rate is too small; a jagged line, that the learning rate is too large.

    Of several folds there is a thin line each, and their mean as far as all of them were trained:
    beyond, it would jump where a fold ends. The best epoch, whose weights early stopping has gone
    back to, is marked for each fold. Where the first losses would make all others look alike, they
    are cut, and the panel says how far they reach.

    Use `from_estimator` or `from_search` to make one.

    Parameters
    ----------
    histories : sequence of length n_panels, of sequences of dict or None
        For each panel the ``history_`` of each network, with lists of one length under "epoch",
        "train_loss" and, as far as they are there, "valid_loss", "valid_score" and "is_best";
        None for a training that failed.
    names : sequence of length n_panels
        What stands above the panels.
    errors : sequence of str, of length n_panels, default=None
        What went wrong, for panels in which every training failed.

    Attributes
    ----------
    histories, names, errors
        As given.
    axes_ : ndarray of Axes, shape (n_shown,)
        The panels. Set by `plot`, as what follows.
    figure_ : Figure
        The figure.
    train_, valid_ : list of Line2D or None, of length n_shown
        The curve of one network or the mean of several, None where there is none.
    folds_ : list of lists of Line2D, of length n_shown
        The curves of single networks; empty for one alone.
    best_ : list of Line2D or None, of length n_shown
        Marks of the best epochs.

    See Also
    --------
    LossComparisonDisplay : How well the losses did in a search.
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
        """Draw how a classifier was trained.

        Parameters
        ----------
        estimator : MultiLabelNetClassifier or Pipeline
            Fitted; a pipeline must end with the classifier. With `cv` and ``ensemble=True`` there
            is a curve a fold; with ``ensemble=False`` that of the last training, on all rows.
        name : str, default=None
            What stands above the panel. None is the name of the loss.
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
        >>> X, Y = make_multilabel_classification(n_classes=3, random_state=0)
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
        """Draw how the losses were trained in a search, those of the best pairs first.

        Parameters
        ----------
        search : LossDecoderSearchCV
            Fitted. There is a panel for each loss with each combination of hyperparameters, named
            by what differs.
        curve, max_panels
            See `plot`.
        ax : Axes or array of Axes, default=None
            At least one for each panel. None makes a figure.

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
        # The first pair of a setting stands for it.
        rows = [int(np.argmax(results["setting"] == setting)) for setting in settings]
        found = [search.histories_[setting] for setting in settings]
        return cls(
            [[net for history in folds for net in _networks(history)] for folds in found],
            names=_name_settings(results, rows),
            errors=[
                _find_error(results["error"][row], folds)
                for row, folds in zip(rows, found, strict=True)
            ],
        ).plot(ax, curve=curve, max_panels=max_panels)

    def plot(self, ax: Any = None, *, curve: str = "loss", max_panels: int = MAX_PANELS) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : Axes or array of Axes, default=None
            At least one for each panel; the first ones are used. None makes a figure, with the
            legend outside the panels.
        curve : {"loss", "score"}, default="loss"
            The losses; or the score of the held-out rows by a `monitor` of your own, which early
            stopping then watches instead of the validation loss.
        max_panels : int, default=12
            Of more panels the first ones are shown, and the figure says so.

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
        every = [history for networks in self.histories for history in networks if history]
        if curve == "score" and not any("valid_score" in history for history in every):
            raise ValueError(
                "curve='score' needs networks trained with a monitor of your own and "
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
        xlabel = "epoch"
        if is_new and len(self.histories) > max_panels:
            width = int(_LETTERS * self.figure_.get_figwidth())
            told = self._tell_hidden(max_panels)
            xlabel += "\n" + textwrap.fill(told, width, max_lines=3, placeholder=" …")
        ylabel = "loss" if curve == "loss" else "validation score"
        finish(self.axes_, is_new, self._handles(), xlabel, ylabel, "best")
        return self

    def _tell_hidden(self, n_shown: int) -> str:
        """Say how many panels there are besides those shown, and which of these failed."""
        hidden = zip(self.names[n_shown:], self.histories[n_shown:], strict=True)
        failed = [str(name).replace("\n", " ") for name, networks in hidden if not any(networks)]
        text = f"The first {n_shown} of {len(self.histories)}."
        return f"{text} Others failed: {'; '.join(failed)}." if failed else text

    def _handles(self) -> list[Any]:
        """Return an artist of each kind that was drawn, with its meaning."""
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
        found = [np.array([h["epoch"], h[key]], dtype=float) for h in trained if key in h]
        if not found:
            continue
        if len(found) > 1:
            folds += [_line(panel, each, color=colour, alpha=0.4, lw=0.7) for each in found]
        n_common = min(each.shape[1] for each in found)
        mean = np.mean([each[:, :n_common] for each in found], axis=0)
        lines[part] = _line(panel, mean, color=colour, lw=1.8)
        values += [value for each in found for value in each[1]]
        needed += [each[1, -1] for each in found]
    marks = np.array([mark for history in trained for mark in _best(history, curves[-1])])
    best = None
    if marks.size:
        (best,) = panel.plot(
            *marks.T, color=VERMILLION, marker="D", linestyle="", markersize=5,
            markeredgecolor="white", markeredgewidth=0.7, zorder=3,
        )  # fmt: skip
        needed += marks[:, 1].tolist()
    if "train_loss" in curves:
        _cut(panel, np.array(values), np.array(needed))
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    panel.yaxis.set_major_locator(MaxNLocator(5))
    # A common power of ten would stand on the note above the panel.
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
    """Return the epoch that early stopping went back to with its value, if it did."""
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
    """Leave a panel without curves, and say why."""
    text = textwrap.fill(error, _TEXT_WIDTH, max_lines=_TEXT_LINES, placeholder=" …")
    panel.text(
        0.5, 0.5, text or "training failed", transform=panel.transAxes, ha="center", va="center",
        fontsize="small", color=GREY,
    )  # fmt: skip
    panel.set(xticks=[], yticks=[])


def _networks(history: Any) -> list:
    """Return one history a network, whether there are several or one or none."""
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
        told = [None if lacking[row] else name_value(name, column[row]) for row in rows]
        for own, loss, value in zip(parts, losses, told, strict=True):
            same = [other for other, kind in zip(told, losses, strict=True) if kind == loss]
            if value is not None and len(set(same)) > 1:
                own.append(value)
    return [_wrap(own) for own in parts]


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
    """Return why the first failed training failed, from what a search tells of all folds."""
    if None not in folds:
        return ""
    told = errors.partition(f"fold {folds.index(None)}: ")[2]
    return " ".join(told.partition("; fold ")[0].split())
