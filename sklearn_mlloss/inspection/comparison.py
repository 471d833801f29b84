"""What a search over losses and decoders has found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.stats import t as student

from .._data.validation import check_integer, describe
from ._panels import BLUE, GREY, VERMILLION, check_matplotlib, name_value, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LossComparisonDisplay"]

_KINDS = ("heatmap", "dots")
# Verdicts of a comparison that say that a pair may be as good as the best.
_AS_GOOD = ("equivalent", "not significantly different")
# Characters of a name beside the picture.
_NAME_LENGTH = 28
# Inches that a character of a name, a digit in a cell and a line of text take.
_LETTER, _DIGIT, _LINE = 0.08, 0.075, 0.27
_CONFIDENCE = 0.95


class LossComparisonDisplay:
    """The scores of all pairs of loss and decoder, and which may be as good as the best.

    As a heat map with a row a loss and a column a decoder, the best first. Where a search has
    several calibrations or hyperparameters, a cell shows the best of them, and the title says so.
    As a dot plot with a row a pair: its paired difference to the best on the same folds, with the
    interval of the corrected t-test. Pairs that failed are left blank but for a cross.

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
        The "index" of the pair that the search has chosen, if it is another than the best.

    Attributes
    ----------
    table, metric_name, n_splits, chosen
        As given.
    ax_ : Axes
        What was drawn on. Set by `plot`, as what follows.
    figure_ : Figure
        The figure.
    losses_, decoders_ : list
        Rows and columns of the heat map; None after a dot plot.
    scores_ : ndarray of shape (n_losses, n_decoders)
        What the heat map shows; None after a dot plot.
    image_ : AxesImage or None
        The heat map.
    dots_ : dict of Line2D, or None
        The dots by verdict: "best", "alike" and "worse".

    See Also
    --------
    sklearn_mlloss.LossDecoderSearchCV : The search, with the same in words in its `summary`.

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
        """Draw what a fitted search has found.

        Parameters
        ----------
        search : LossDecoderSearchCV
            Fitted.
        metric : str, default=None
            One of several metrics. None is the one that was chosen by.
        kind : {"heatmap", "dots"}, default="heatmap"
            What to draw.
        max_pairs : int, default=30
            Rows of the dot plot. Of more pairs the best are shown, and the title says so.
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
        table = search.compare(metric)
        chosen, name = None, metric
        if metric in (None, getattr(search, "_best_metric", None)):
            chosen = getattr(search, "best_index_", None)
            name = getattr(search, "_best_metric", "score")
        if name == "score":
            name = search.scoring if isinstance(search.scoring, str) else "score"
        display = cls(table, metric_name=name, n_splits=search.n_splits_, chosen=chosen)
        return display.plot(kind=kind, max_pairs=max_pairs, ax=ax)

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
        self.losses_ = self.decoders_ = self.scores_ = self.image_ = self.dots_ = None
        columns = {name: np.asarray(self.table[name]) for name in self.table}
        if kind == "heatmap":
            self._plot_heatmap(ax, columns)
        else:
            self._plot_dots(ax, columns, max_pairs)
        return self

    def _plot_heatmap(self, ax: Axes | None, table: dict[str, np.ndarray]) -> None:
        # The table has the best first: so have losses and decoders by their best pair, and the
        # first of several pairs in a cell is its best.
        self.losses_ = list(dict.fromkeys(table["loss"].tolist()))
        self.decoders_ = list(dict.fromkeys(table["decoder"].tolist()))
        pair_of: dict[tuple[int, int], int] = {}
        for pair, names in enumerate(zip(table["loss"], table["decoder"], strict=True)):
            cell = (self.losses_.index(names[0]), self.decoders_.index(names[1]))
            pair_of.setdefault(cell, pair)
        shape = (len(self.losses_), len(self.decoders_))
        self.scores_ = np.full(shape, np.nan)
        for cell, pair in pair_of.items():
            self.scores_[cell] = table["score"][pair]

        is_new = ax is None
        texts = {cell: _number(self.scores_[cell]) for cell in pair_of}
        if is_new:
            import matplotlib.pyplot as plt

            left, above = (
                _LETTER * min(max(len(str(name)) for name in names), _NAME_LENGTH)
                for names in (self.losses_, self.decoders_)
            )
            cell = 0.24 + _DIGIT * max(map(len, texts.values()))
            # Names of decoders stand slanted.
            size = (1.8 + left + cell * shape[1], 1.3 + 0.65 * above + _LINE * shape[0])
            _, ax = plt.subplots(figsize=(max(size[0], 5.0), size[1]), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure

        low, high, is_cut = _colour_range(self.scores_)
        self.image_ = ax.imshow(
            self.scores_, cmap="viridis", aspect="auto", vmin=low, vmax=high, interpolation="none"
        )
        for cell, text in texts.items():
            if not np.isfinite(self.scores_[cell]):
                continue
            shade = (self.scores_[cell] - low) / ((high - low) or 1)
            ax.text(
                cell[1], cell[0], text, ha="center", va="center", fontsize="small",
                color="black" if shade > 0.6 else "white",
            )  # fmt: skip
        handles = self._frame(ax, table)
        alike = [cell for cell, pair in pair_of.items() if table["verdict"][pair] in _AS_GOOD]
        if alike:  # in the corner of the cell, where no digit is
            rows, columns = (np.array(alike) + [-0.33, 0.41]).T
            handles += ax.plot(
                columns, rows, linestyle="", marker="o", color="white", markeredgecolor="black",
                markersize=5, label="not significantly different",
            )  # fmt: skip
        failed = [cell for cell in pair_of if not np.isfinite(self.scores_[cell])]
        if failed:
            rows, columns = np.transpose(failed)
            handles += ax.plot(
                columns, rows, linestyle="", marker="x", color=GREY, markersize=6, label="failed"
            )
        ax.set_xticks(
            range(shape[1]),
            [shorten(name, _NAME_LENGTH) for name in self.decoders_],
            rotation=40,
            ha="left",
            rotation_mode="anchor",
        )
        ax.set_yticks(range(shape[0]), [shorten(name, _NAME_LENGTH) for name in self.losses_])
        ax.set_xticks(np.arange(1, shape[1]) - 0.5, minor=True)
        ax.set_yticks(np.arange(1, shape[0]) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=1.5)
        # Above, long names are in nobody's way.
        ax.tick_params(which="both", length=0, top=True, labeltop=True, labelbottom=False)
        ax.spines[:].set_visible(False)
        ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
        bar = self.figure_.colorbar(
            self.image_, ax=ax, label=self.metric_name, extend="min" if is_cut else "neither"
        )
        bar.outline.set_visible(False)
        ax.set_title(_variants(table, pair_of), fontsize="medium", loc="left")
        self._explain(ax, handles, is_new)

    def _frame(self, ax: Axes, table: dict[str, np.ndarray]) -> list[Any]:
        """Frame the best pair, and the chosen one if it is another; return what they mean."""
        from matplotlib.patches import Rectangle

        wanted = {"best": ("-", np.flatnonzero(table["verdict"] == "best"))}
        if self.chosen is not None:
            at = np.flatnonzero(table["index"] == self.chosen)
            if not np.isin(at, wanted["best"][1]).all():
                wanted["chosen"] = ("--", at)
        handles = []
        for name, (dashes, pairs) in wanted.items():
            for pair in pairs:
                row = self.losses_.index(table["loss"][pair])
                column = self.decoders_.index(table["decoder"][pair])
                frame = Rectangle(
                    (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=VERMILLION,
                    linewidth=2.5, linestyle=dashes, label=name, clip_on=False, zorder=3,
                )  # fmt: skip
                handles.append(ax.add_patch(frame))
        return handles

    def _plot_dots(self, ax: Axes | None, table: dict[str, np.ndarray], max_pairs: int) -> None:
        n_pairs = len(table["score"])
        shown = {name: values[:max_pairs] for name, values in table.items()}
        verdict, rows = shown["verdict"], np.arange(len(shown["score"]))
        names = [_name_pair(shown, row) for row in rows]
        is_new = ax is None
        if is_new:
            import matplotlib.pyplot as plt

            wide = 4.6 + _LETTER * max(map(len, names))
            _, ax = plt.subplots(figsize=(wide, 1.8 + _LINE * len(rows)), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure

        ax.hlines(rows, 0, 1, transform=ax.get_yaxis_transform(), color="0.94", linewidth=1)
        ax.axvline(0, color=VERMILLION, linewidth=1, zorder=0)
        half = np.zeros(len(rows))
        if self.n_splits > 1:
            freedom = self.n_splits - 1
            half = student.ppf((1 + _CONFIDENCE) / 2, freedom) * shown["std_error"]
        kinds = {
            "best": (verdict == "best", VERMILLION, "D", "best"),
            "alike": (np.isin(verdict, _AS_GOOD), BLUE, "o", "not significantly different"),
            "worse": (verdict == "worse", "0.35", "s", "worse"),
            "": (verdict == "", BLUE, "o", "one split, no test"),
        }
        self.dots_, handles = {}, []
        for kind, (which, colour, marker, label) in kinds.items():
            if not which.any():
                continue
            if kind in ("alike", "worse"):
                ax.hlines(
                    rows[which],
                    (shown["difference"] - half)[which],
                    (shown["difference"] + half)[which],
                    color=colour,
                    alpha=0.55,
                    linewidth=2,
                )
            (self.dots_[kind],) = ax.plot(
                shown["difference"][which], rows[which], color=colour, marker=marker, linestyle="",
                markeredgecolor="white", markersize=7, label=label, zorder=3,
            )  # fmt: skip
            handles.append(self.dots_[kind])
        failed = verdict == "failed"
        if failed.any():
            place = np.full(failed.sum(), 0.02)
            handles += ax.plot(
                place, rows[failed], color=GREY, marker="x", linestyle="", label="failed",
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip
        if self.chosen is not None:
            for row in np.flatnonzero((shown["index"] == self.chosen) & (verdict != "best")):
                names[row] += " (chosen)"
        ax.set_yticks(rows, names)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.locator_params(axis="x", nbins=6)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        side = ax.secondary_yaxis("right")
        side.set_yticks(
            rows, ["" if text == "nan" else text for text in map(_number, shown["score"])]
        )
        side.tick_params(length=0, labelcolor=GREY)
        side.spines["right"].set_visible(False)
        side.set_ylabel(f"mean {self.metric_name}", color=GREY)
        interval = f", {_CONFIDENCE:.0%} intervals" if self.n_splits > 1 else ""
        ax.set_xlabel(f"{self.metric_name}: difference to the best\n(same folds{interval})")
        hidden = n_pairs - len(rows)
        if hidden:
            ax.set_title(f"The best {len(rows)} of {n_pairs} pairs", fontsize="medium", loc="left")
        self._explain(ax, handles, is_new)

    def _explain(self, ax: Axes, handles: list[Any], is_new: bool) -> None:
        marks = {"handles": handles, "frameon": False, "fontsize": "small"}
        if not handles:
            return
        if is_new:
            self.figure_.legend(loc="outside upper center", ncols=len(handles), **marks)
        else:  # below the ticks
            pad = 0.5 if self.image_ is not None else 5.5
            ax.legend(
                loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=pad, ncols=2, **marks
            )


def _check(kind: Any, max_pairs: Any) -> None:
    if kind not in _KINDS:
        kinds = ", ".join(map(repr, _KINDS))
        raise ValueError(f"kind must be one of {kinds}, got {describe(kind)}.")
    check_integer(max_pairs, "max_pairs", low=1)


def _grid_names(table: dict[str, np.ndarray]) -> list[str]:
    """Return the columns besides loss and decoder that tell pairs apart."""
    names = list(table)
    return [name for name in names[: names.index("score")] if name not in ("loss", "decoder")]


def _tell(table: dict[str, np.ndarray], pair: int) -> list[str]:
    """Return hyperparameters and calibration of a pair, as far as it has them."""
    told = []
    for name in _grid_names(table):
        value = table[name][pair]
        if value is None or (isinstance(value, float) and np.isnan(value)):
            continue
        told.append(name_value(name, value))
    return told


def _name_pair(table: dict[str, np.ndarray], pair: int) -> str:
    names = [shorten(table["loss"][pair]), shorten(table["decoder"][pair])]
    # What differs often stands at the end, so that the whole is not cut.
    extra = [part.removeprefix("calibration=") for part in _tell(table, pair)]
    return ", ".join([*names, *(part for part in extra if part != "none")])


def _variants(table: dict[str, np.ndarray], pair_of: dict) -> str:
    """Say which of several pairs a cell shows, if there are several."""
    if len(table["score"]) == len(pair_of):
        return ""
    names = " and ".join(name.split("__")[-1] for name in _grid_names(table))
    text = f"Each cell: its best {names}"
    told = _tell(table, 0)
    return f"{text}\nThe best of all: {', '.join(told)}" if told else text


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.3g}"


def _colour_range(scores: np.ndarray) -> tuple[float, float, bool]:
    """Return where colours begin and end, and whether some scores are below.

    A loss that learns nothing would make all others look alike.
    """
    seen = scores[np.isfinite(scores)]
    if not seen.size:
        return 0.0, 1.0, False
    quarter, three = np.quantile(seen, [0.25, 0.75])
    fence = quarter - 1.5 * (three - quarter)
    low = float(seen[seen >= fence].min())
    return low, float(seen.max()), bool(low > seen.min())
