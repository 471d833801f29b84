"""Scores of a search over losses and decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.stats import t as student

from .._data.messages import describe
from .._data.validation import check_choice, check_integer
from ._panels import (
    BLUE,
    GREY,
    POINTS,
    VERMILLION,
    axes_width,
    check_matplotlib,
    keep_inside,
    legend_columns,
    make_axes,
    name_rows,
    name_value,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

__all__ = ["LossComparisonDisplay"]

_KINDS = ("heatmap", "dots")
# Verdicts on candidates that may be as good as the best, and how both plots name them.
_AS_GOOD = ("equivalent", "not significantly different")
_TIE = "not significantly different from the best"
_TOO_FEW = "too few folds to judge"
# Characters of a name beside the plot.
_NAME_LENGTH = 28
# Inches that a character of a name, a digit in a cell and a line of text take.
_LETTER, _DIGIT, _LINE = 0.08, 0.075, 0.27
_CONFIDENCE = 0.95


class LossComparisonDisplay:
    """Scores of all candidates (pairs of loss and decoder), and which tie with the best.

    The heat map has one row per loss and one column per decoder, the best first; a dot marks cells
    that are not significantly different from the best one. The test is of the paired differences
    over the folds, so that a cell can have a dot where one with a higher score, whose difference
    varies less, has none. If a search has several calibrations or hyperparameters, a cell shows the
    best of them, with a note in the title. The dot plot has one row per candidate: its paired
    difference to the best on the same folds, with the interval of the corrected t-test. Failed
    candidates are marked with a cross.

    Use `from_search` to make one.

    Parameters
    ----------
    table : DataFrame or dict of arrays
        As `LossDecoderSearchCV.compare` returns it.
    metric_name : str, default="score"
        Name of the score.
    n_splits : int, default=5
        Number of splits, which the intervals of the dot plot depend on.
    chosen : int, default=None
        The "index" of the candidate that the search has chosen.

    Attributes
    ----------
    table, metric_name, n_splits, chosen
        The parameters.
    ax_ : Axes
        The axes. Set by `plot`, like the attributes below.
    figure_ : Figure
        The figure.
    losses_, decoders_ : list
        Rows and columns of the heat map; None after a dot plot.
    scores_ : ndarray of shape (n_losses, n_decoders)
        Scores in the cells of the heat map; None after a dot plot.
    image_ : AxesImage or None
        The heat map.
    dots_ : dict of Line2D, or None
        The dots by verdict: "best", "alike", "worse" and "few".

    See Also
    --------
    sklearn_mlloss.LossDecoderSearchCV : The search; its `summary` has the same in words.

    Examples
    --------
    >>> from sklearn_mlloss.inspection import LossComparisonDisplay
    >>> table = {
    ...     "loss": ["bce", "zlpr"], "decoder": ["threshold", "threshold"],
    ...     "score": [0.5, 0.4], "difference": [0, -0.1], "std_error": [0, 0.02],
    ...     "verdict": ["best", "worse"], "index": [0, 1]}
    >>> display = LossComparisonDisplay(table, metric_name="f1_macro").plot()
    >>> display.losses_, display.scores_.tolist()
    (['bce', 'zlpr'], [[0.5], [0.4]])
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        *,
        metric_name: str = "score",
        n_splits: int = 5,
        chosen: int | None = None,
    ) -> None:
        self.table = table
        self.metric_name = metric_name
        self.n_splits = n_splits
        self.chosen = chosen

    @classmethod
    def from_search(
        cls,
        search: Any,
        *,
        metric: str | None = None,
        kind: str = "heatmap",
        max_pairs: int = 30,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the results of a fitted search.

        Parameters
        ----------
        search : LossDecoderSearchCV
            Fitted.
        metric : str, default=None
            One of several metrics. None is the metric of `refit`.
        kind : {"heatmap", "dots"}, default="heatmap"
            What to draw.
        max_pairs : int, default=30
            Rows of the dot plot. Of more candidates the best are shown, with a note in the title.
        ax : Axes, default=None
            None makes a figure that is large enough.

        Returns
        -------
        LossComparisonDisplay

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
        >>> from sklearn_mlloss.inspection import LossComparisonDisplay
        >>> X, Y = make_multilabel_classification(n_classes=3, random_state=0)
        >>> net = MultiLabelNetClassifier(hidden_layer_sizes=(8,), early_stopping=False,
        ...     max_epochs=5)
        >>> decoders = ["threshold", "global_threshold"]
        >>> search = LossDecoderSearchCV(net, ["bce", "zlpr"], decoders, cv=2, random_state=0)
        >>> display = LossComparisonDisplay.from_search(search.fit(X, Y))
        >>> display.scores_.shape
        (2, 2)
        """
        check_matplotlib(f"{cls.__name__}.from_search")
        _check(kind, max_pairs)
        if not hasattr(search, "compare"):
            raise ValueError(f"search must be a LossDecoderSearchCV, got {describe(search)}.")
        refit_metric = getattr(search, "_best_metric", None)
        is_refit = metric is None or metric == refit_metric
        name = metric or refit_metric or "score"
        if name == "score" and isinstance(search.scoring, str):
            name = search.scoring
        return cls(
            search.compare(metric),
            metric_name=name,
            n_splits=search.n_splits_,
            chosen=getattr(search, "best_index_", None) if is_refit else None,
        ).plot(kind=kind, max_pairs=max_pairs, ax=ax)

    def plot(self, ax: Axes | None = None, *, kind: str = "heatmap", max_pairs: int = 30) -> Self:
        """Draw the comparison.

        Parameters
        ----------
        ax, kind, max_pairs
            See `from_search`.

        Returns
        -------
        LossComparisonDisplay
            The display itself, with the artists as attributes.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        ImportError
            Without matplotlib.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        _check(kind, max_pairs)
        self.losses_: list[Any] | None = None
        self.decoders_: list[Any] | None = None
        self.scores_: np.ndarray | None = None
        self.image_: AxesImage | None = None
        self.dots_: dict[str, Line2D] | None = None
        columns = {name: np.asarray(self.table[name]) for name in self.table}
        if kind == "heatmap":
            self._plot_heatmap(ax, columns)
        else:
            self._plot_dots(ax, columns, max_pairs)
        return self

    def _plot_heatmap(self, ax: Axes | None, table: dict[str, np.ndarray]) -> None:
        # The table is sorted, the best first: so are losses and decoders by their best candidate,
        # and the first of several candidates in a cell is the best one.
        losses = list(dict.fromkeys(table["loss"].tolist()))
        decoders = list(dict.fromkeys(table["decoder"].tolist()))
        cells = [
            (losses.index(loss), decoders.index(decoder))
            for loss, decoder in zip(table["loss"], table["decoder"], strict=True)
        ]
        pair_of: dict[tuple[int, int], int] = {}
        for pair, cell in enumerate(cells):
            pair_of.setdefault(cell, pair)
        n_rows, n_columns = len(losses), len(decoders)
        scores = np.full((n_rows, n_columns), np.nan)
        for cell, pair in pair_of.items():
            scores[cell] = table["score"][pair]
        texts = {cell: _number(scores[cell]) for cell in pair_of}

        left, above = (
            _LETTER * min(max(len(str(name)) for name in names), _NAME_LENGTH)
            for names in (losses, decoders)
        )
        width = 1.8 + left + n_columns * (0.24 + _DIGIT * max(map(len, texts.values())))
        # Names of decoders are slanted.
        height = 1.3 + 0.65 * above + _LINE * n_rows
        ax, self.figure_, is_new = make_axes(ax, max(width, 5.0), height)
        self.ax_, self.losses_, self.decoders_, self.scores_ = ax, losses, decoders, scores

        low, high, is_cut = _colour_range(scores)
        self.image_ = ax.imshow(
            scores, cmap="viridis", aspect="auto", vmin=low, vmax=high, interpolation="none"
        )
        for cell, text in texts.items():
            if not np.isfinite(scores[cell]):
                continue
            shade = (scores[cell] - low) / ((high - low) or 1)
            ax.text(
                cell[1], cell[0], text, ha="center", va="center", fontsize="small",
                color="black" if shade > 0.6 else "white",
            )  # fmt: skip
        handles = self._frame(ax, table, cells)
        alike = [cell for cell, pair in pair_of.items() if table["verdict"][pair] in _AS_GOOD]
        if alike:  # in the corner of the cell, where no digit is
            rows, columns = (np.array(alike) + [-0.32, 0.4]).T
            handles += ax.plot(
                columns, rows, color=BLUE, marker="o", markersize=6, label=_TIE, **POINTS
            )  # fmt: skip
        failed = [cell for cell in pair_of if not np.isfinite(scores[cell])]
        if failed:
            rows, columns = np.transpose(failed)
            handles += ax.plot(
                columns, rows, linestyle="", marker="x", color=GREY, markersize=6, label="failed"
            )
        row_names, column_names = (
            [shorten(name, _NAME_LENGTH) for name in names] for names in (losses, decoders)
        )
        slanted: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
        ax.set_xticks(range(n_columns), column_names, **slanted)
        ax.set_yticks(range(n_rows), row_names)
        ax.set_xticks(np.arange(1, n_columns) - 0.5, minor=True)
        ax.set_yticks(np.arange(1, n_rows) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=1.5)
        # Above, long names have room.
        ax.tick_params(which="both", length=0, top=True, labeltop=True, labelbottom=False)
        ax.spines[:].set_visible(False)
        ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5))
        bar = self.figure_.colorbar(
            self.image_, ax=ax, label=self.metric_name, extend="min" if is_cut else "neither"
        )
        bar.outline.set_visible(False)
        ax.set_title(_variants(table, pair_of), fontsize="medium", loc="left")
        self._explain(ax, handles, is_new, pad=0.5)

    def _frame(
        self, ax: Axes, table: dict[str, np.ndarray], cells: list[tuple[int, int]]
    ) -> list[Any]:
        """Frame the best candidate, and the chosen one if it differs; return the frames."""
        from matplotlib.patches import Rectangle

        is_best = table["verdict"] == "best"
        is_chosen = (table["index"] == self.chosen) & ~is_best
        return [
            ax.add_patch(
                Rectangle(
                    (cells[pair][1] - 0.5, cells[pair][0] - 0.5), 1, 1, fill=False,
                    edgecolor=VERMILLION, linewidth=2.5, linestyle=dashes, label=name,
                    clip_on=False, zorder=3,
                )
            )
            for name, dashes, which in (("best", "-", is_best), ("chosen", "--", is_chosen))
            for pair in np.flatnonzero(which)
        ]  # fmt: skip

    def _plot_dots(self, ax: Axes | None, table: dict[str, np.ndarray], max_pairs: int) -> None:
        n_candidates = len(table["score"])
        shown = {name: values[:max_pairs] for name, values in table.items()}
        verdict, difference = shown["verdict"], shown["difference"]
        rows = np.arange(len(verdict))
        names = [_name_pair(shown, row) for row in range(len(rows))]
        width = 4.6 + _LETTER * max(map(len, names))
        ax, self.figure_, is_new = make_axes(ax, width, 1.8 + _LINE * len(rows))
        self.ax_, self.dots_ = ax, {}

        ax.hlines(rows, 0, 1, transform=ax.get_yaxis_transform(), color="0.94", linewidth=1)
        ax.axvline(0, color=VERMILLION, linewidth=1, zorder=0)
        half = np.zeros(len(rows))
        if self.n_splits > 1:
            freedom = self.n_splits - 1
            half = student.ppf((1 + _CONFIDENCE) / 2, freedom) * shown["std_error"]
        kinds = {
            "best": (verdict == "best", VERMILLION, "D", "best"),
            "alike": (np.isin(verdict, _AS_GOOD), BLUE, "o", _TIE),
            "worse": (verdict == "worse", "0.35", "s", "worse"),
            "few": (verdict == _TOO_FEW, BLUE, "o", _TOO_FEW),
            "": (verdict == "", BLUE, "o", "one split, no test"),
        }
        for kind, (which, colour, marker, label) in kinds.items():
            if not which.any():
                continue
            if kind in ("alike", "worse"):
                low, high = (difference - half)[which], (difference + half)[which]
                ax.hlines(rows[which], low, high, color=colour, alpha=0.55, linewidth=2)
            (self.dots_[kind],) = ax.plot(
                difference[which], rows[which], color=colour, marker=marker, markersize=7,
                label=label, zorder=3, **POINTS,
            )  # fmt: skip
        handles = list(self.dots_.values())
        failed = verdict == "failed"
        if failed.any():
            place = np.full(failed.sum(), 0.02)
            handles += ax.plot(
                place, rows[failed], color=GREY, marker="x", linestyle="", label="failed",
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip
        for row in np.flatnonzero((shown["index"] == self.chosen) & (verdict != "best")):
            names[row] += " (chosen)"
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.locator_params(axis="x", nbins=6)
        scores = ["" if np.isnan(score) else _number(score) for score in shown["score"]]
        name_rows(ax, rows, names, scores, f"mean {self.metric_name}")
        interval = f", {_CONFIDENCE:.0%} intervals" if self.n_splits > 1 else ""
        ax.set_xlabel(f"{self.metric_name}: difference to the best\n(same folds{interval})")
        if len(rows) < n_candidates:
            ax.set_title(
                f"The best {len(rows)} of {n_candidates} candidates", fontsize="medium", loc="left"
            )
        self._explain(ax, handles, is_new, pad=5.5)

    def _explain(self, ax: Axes, handles: list[Any], is_new: bool, pad: float) -> None:
        """Add a legend above a new figure, or below the ticks of existing axes."""
        marks: dict[str, Any] = {"handles": handles, "frameon": False, "fontsize": "small"}
        if handles and is_new:
            n_columns = legend_columns(handles, self.figure_.get_figwidth())
            self.figure_.legend(loc="outside upper center", ncols=n_columns, **marks)
        elif handles:
            ax.legend(
                loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=pad,
                ncols=legend_columns(handles, axes_width(ax)), **marks,
            )  # fmt: skip
        if not is_new:
            keep_inside([ax])


def _check(kind: Any, max_pairs: Any) -> None:
    check_choice(kind, "kind", _KINDS)
    check_integer(max_pairs, "max_pairs", low=1)


def _grid_names(table: dict[str, np.ndarray]) -> list[str]:
    """Return the columns of hyperparameters and calibration."""
    names = list(table)
    return [name for name in names[: names.index("score")] if name not in ("loss", "decoder")]


def _settings_of(table: dict[str, np.ndarray], pair: int) -> list[str]:
    """Return hyperparameters and calibration of a candidate in words, without missing ones."""
    settings = []
    for name in _grid_names(table):
        value = table[name][pair]
        if value is None or (isinstance(value, float) and np.isnan(value)):
            continue
        settings.append(name_value(name, value))
    return settings


def _name_pair(table: dict[str, np.ndarray], pair: int) -> str:
    names = [shorten(table["loss"][pair]), shorten(table["decoder"][pair])]
    # What differs often stands at the end, so that the whole is not cut.
    extra = [part.removeprefix("calibration=") for part in _settings_of(table, pair)]
    return ", ".join([*names, *(part for part in extra if part != "none")])


def _variants(table: dict[str, np.ndarray], pair_of: dict) -> str:
    """Return a title that names what differs within a cell, if anything does."""
    if len(table["score"]) == len(pair_of):
        return ""
    names = " and ".join(name.split("__")[-1] for name in _grid_names(table))
    text = f"Each cell: its best {names}"
    settings = _settings_of(table, 0)
    return f"{text}\nThe best of all: {', '.join(settings)}" if settings else text


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.3g}"


def _colour_range(scores: np.ndarray) -> tuple[float, float, bool]:
    """Return the range of colours, and whether some scores are below.

    An outlier, such as a loss that learns nothing, would make all others look alike.
    """
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return 0.0, 1.0, False
    lower, upper = np.quantile(finite, [0.25, 0.75])
    low = float(finite[finite >= lower - 1.5 * (upper - lower)].min())
    return low, float(finite.max()), bool(low > finite.min())
