"""Axes, titles and legends that displays share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# Okabe and Ito, "Color universal design", 2008: distinct for every kind of colour vision.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "0.45"
# Points without a line between them.
POINTS: dict[str, Any] = {"linestyle": "", "markeredgecolor": "white"}
# Characters of a name that fit above a panel.
_NAME_LENGTH = 22
# Inches that an entry of the legend takes, apart from its text, and a character of it.
_KEY, _LETTER = 0.6, 0.085
# Share of the width of a panel that a legend within it may cover; size of its small font.
_MOST_COVERED, _SMALL = 0.75, 0.85
# Points between a panel and its title: for a note of one line, and for each further one.
_NOTE_PAD, _NOTE_LINE = 16, 11


def check_matplotlib(caller: str) -> None:
    """Raise if matplotlib is not installed, before anything is computed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib, which is not installed: pip install "sklearn_mlloss[plot]"'
        ) from error


def make_panels(
    ax: Any, n_panels: int, height: float, share: bool = True, noun: str = "labels"
) -> tuple[np.ndarray, Figure, bool]:
    """Return the axes to draw on in a 1-D array, their figure, and whether they are new."""
    if ax is not None:
        axes = np.ravel(np.array(ax, dtype=object))
        if len(axes) < n_panels:
            raise ValueError(
                f"ax must hold one axes for each of the {n_panels} {noun}, got {len(axes)}; give "
                f"more axes, or fewer {noun}."
            )
        return axes[:n_panels], axes[0].figure, False

    import matplotlib.pyplot as plt

    n_columns = 3 if n_panels in (3, 5, 6, 9) else min(n_panels, 4)
    n_rows = -(-n_panels // n_columns)
    size = (max(2.6 * n_columns, 5.2), height * n_rows + 1.1)
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=size, layout="constrained", sharex=share, sharey=share,
        squeeze=False,
    )  # fmt: skip
    axes = grid.ravel()
    for spare in axes[n_panels:]:
        spare.remove()
    for above in axes[max(n_panels - n_columns, 0) : n_panels]:
        above.tick_params(labelbottom=True)  # also where the panel below is a spare one
    return axes[:n_panels], figure, True


def make_axes(ax: Any, width: float, height: float) -> tuple[Axes, Figure, bool]:
    """Return the axes to draw on, their figure, and whether they are new."""
    if ax is not None:
        return ax, ax.figure, False

    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax, figure, True


def name_rows(
    ax: Axes, rows: np.ndarray, names: Sequence[str], values: Sequence[str], what: str
) -> None:
    """Write a name on the left of each row, and on the right the values of the first rows."""
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    side = ax.secondary_yaxis("right")
    side.set_yticks(rows[: len(values)], values)
    side.tick_params(length=0, labelcolor=GREY)
    side.spines["right"].set_visible(False)
    side.set_ylabel(what, color=GREY)


def name_panel(ax: Axes, name: Any, positives: int, note: str = "") -> None:
    """Write the label, its number of positives and a note above its panel."""
    noun = "positive" if positives == 1 else "positives"
    lines = [f"{positives} {noun}", *([note] if note else [])]
    title_panel(ax, shorten(name), "\n".join(lines))


def title_panel(ax: Axes, title: str, note: str) -> None:
    """Write a title above a panel, and a note in grey, unless it is empty."""
    if not note:
        ax.set_title(title, fontsize="medium", loc="left")
        return
    pad = _NOTE_PAD + _NOTE_LINE * note.count("\n")
    ax.set_title(title, fontsize="medium", loc="left", pad=pad)
    ax.annotate(
        note, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points",
        fontsize="small", color=GREY,
    )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)


def say_empty(ax: Axes, is_shared: bool) -> None:
    """Leave a panel without a curve, and write the reason."""
    ax.text(0.5, 0.5, "no positives", transform=ax.transAxes, ha="center", va="center", color=GREY)
    if not is_shared:
        ax.set(xticks=[], yticks=[])


def draw_cells(ax: Axes, values: np.ndarray, texts: np.ndarray) -> AxesImage:
    """Draw a heat map from 0 on, with a text in each cell; cells with NaN stay grey."""
    highest = np.max(values[np.isfinite(values)], initial=0)
    image = ax.imshow(
        values, cmap="Blues", vmin=0, vmax=highest or 1, aspect="auto", interpolation="none"
    )
    ax.set_facecolor("0.93")
    for (row, column), text in np.ndenumerate(texts):
        if text:
            is_dark = values[row, column] > 0.55 * highest
            ax.text(
                column, row, text, ha="center", va="center", fontsize="small",
                color="white" if is_dark else "black",
            )  # fmt: skip
    ax.set_xticks(np.arange(1, values.shape[1]) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, values.shape[0]) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    return image


def label_first(kinds: Sequence[tuple[Sequence[Any], str]]) -> list[Any]:
    """Return the first artist of each kind that was drawn, with its text in the legend."""
    handles = []
    for artists, meaning in kinds:
        drawn = [artist for artist in artists if artist is not None]
        if drawn:
            drawn[0].set_label(meaning)
            handles.append(drawn[0])
    return handles


def finish(
    axes: np.ndarray,
    is_new: bool,
    handles: Sequence[Any],
    xlabel: str,
    ylabel: str,
    corner: str,
    note: str = "",
) -> None:
    """Name the axes and add a legend, outside the panels if the figure is new.

    On existing axes, the legend is in a corner of the first one, or below it if it is too wide. A
    note, such as on what is not shown, stands below the panels.
    """
    if is_new:
        figure = axes[0].figure
        figure.supxlabel(f"{xlabel}\n{note}" if note else xlabel, fontsize="medium")
        figure.supylabel(ylabel, fontsize="medium")
        n_columns = legend_columns(handles, figure.get_figwidth())
        figure.legend(handles=handles, loc="outside upper center", ncols=n_columns, frameon=False)
        return
    for ax in axes:
        ax.set(xlabel=xlabel, ylabel=ylabel)
    if note:
        axes[-1].set_xlabel(f"{xlabel}\n{note}")
    if handles:
        width = axes_width(axes[0])
        if _SMALL * _entry_width(handles) > _MOST_COVERED * width:  # it would hide what is drawn
            n_lines = 1 + axes[0].get_xlabel().count("\n")
            axes[0].legend(
                handles=handles, fontsize="small", loc="upper left", bbox_to_anchor=(0, 0),
                borderaxespad=3 + 1.5 * n_lines, ncols=legend_columns(handles, width),
                frameon=False,
            )  # fmt: skip
        else:
            axes[0].legend(handles=handles, fontsize="small", loc=corner)
    keep_inside(axes)


def legend_columns(handles: Sequence[Any], width: float) -> int:
    """Return the number of columns of a legend that is at most so many inches wide."""
    n_rows = max(1, -(-len(handles) // max(1, int(width // _entry_width(handles)))))
    return max(1, -(-len(handles) // n_rows))


def _entry_width(handles: Sequence[Any]) -> float:
    """Return the width of an entry of a legend in inches."""
    return _KEY + _LETTER * max((len(handle.get_label()) for handle in handles), default=0)


def axes_width(ax: Axes) -> float:
    """Return the width of axes in inches."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def keep_inside(axes: Sequence[Axes] | np.ndarray) -> None:
    """Shrink existing axes whose labels or legend would leave the figure or overlap other axes.

    Figures with a layout engine do so by themselves, and axes that the user has placed by hand
    stay where they are.
    """
    from matplotlib.figure import Figure

    figure = axes[0].figure
    engine = type(figure.get_layout_engine()).__name__
    placed = [ax for ax in figure.axes if ax.get_subplotspec() is None]
    if engine not in ("NoneType", "PlaceHolderLayoutEngine") or placed:
        return
    if not isinstance(figure, Figure):  # but a part of one
        return
    figure.draw_without_rendering()
    edges = figure.bbox
    found = {ax: ax.get_tightbbox() for ax in figure.axes}
    boxes = {ax: box for ax, box in found.items() if box is not None}
    for ax in axes:
        box = boxes.pop(ax, edges)
        within = edges.x0 <= box.x0 and edges.y0 <= box.y0
        within = within and box.x1 <= edges.x1 and box.y1 <= edges.y1
        if not within or any(box.overlaps(other) for other in boxes.values()):
            with warnings.catch_warnings():
                # Where there is not enough room, as much as possible is visible.
                warnings.filterwarnings("ignore", "Tight layout not applied")
                figure.tight_layout()
            return


def note_hidden(n_shown: int, n_labels: int | None) -> str:
    """Return a note on the labels that are not shown; empty if all are, or the user chose."""
    if n_labels is None or n_labels <= n_shown:
        return ""
    return f"The {n_shown} labels with the most positives of {n_labels}."


def name_value(key: str, value: Any) -> str:
    """Return the name of a hyperparameter, without its prefix, and its value."""
    value = getattr(value, "__name__", value)
    return f"{key.split('__')[-1]}={f'{value:g}' if isinstance(value, float) else shorten(value)}"


def shorten(name: Any, length: int = _NAME_LENGTH) -> str:
    """Cut a name that would overlap its neighbour's."""
    text = str(name)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return text.replace("$", r"\$")  # of no formula
