"""HTML of a page that needs no other file: every text in it is escaped."""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Cell",
    "Html",
    "bar",
    "beside",
    "draw",
    "figures",
    "join",
    "number",
    "page",
    "percent",
    "section",
    "table",
    "tag",
]


class Html(str):
    """A text that is HTML already; any other is escaped."""


class Cell(NamedTuple):
    """A cell of a table whose text is not what it is sorted by.

    Attributes
    ----------
    content : object
    key : float
        Sorts the rows; NaN goes to the end.
    """

    content: Any
    key: float


def tag(name: str, *children: Any, **attributes: Any) -> Html:
    """Return an element; an underscore at the end of the name of an attribute is dropped."""
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{text}>{join(children)}</{name}>")


def join(children: Iterable[Any], between: str = "") -> Html:
    """Return escaped texts, and HTML as it is, one after the other."""
    return Html(
        between.join(
            child if isinstance(child, Html) else html.escape(str(child)) for child in children
        )
    )


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many decimals; a dash for NaN."""
    if np.isnan(value):
        return "–"
    text = f"{value:.{digits}f}".replace("inf", "∞")
    return text.replace("-", "−") if float(f"{value:.{digits}f}") else text.lstrip("-")


def percent(value: float) -> str:
    """Return a share in percent, with a decimal if it is small."""
    if np.isnan(value):
        return "–"
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def bar(share: float, text: str) -> Html:
    """Return a text with a bar below it, as long as a share of the cell."""
    width = 0 if np.isnan(share) else 100 * min(max(share, 0), 1)
    return tag("span", text, class_="bar", style=f"--w:{width:.1f}%")


def table(
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    sortable: bool = False,
    text_columns: Sequence[int] = (0,),
) -> Html:
    """Return a table within a box that scrolls if the table is wide, or sortable and long.

    Parameters
    ----------
    head : sequence
        Names of the columns; empty for a table without.
    rows : iterable of sequences of texts, numbers or `Cell`
    sortable : bool, default=False
        Whether a click on a name sorts the rows.
    text_columns : sequence of int, default=(0,)
        Those that are aligned on the left.
    """

    def cell(kind: str, value: Any, column: int) -> Html:
        attributes = {} if column in text_columns else {"class_": "n"}
        if isinstance(value, Cell):
            key = "" if np.isnan(value.key) else f"{value.key:.10g}".replace("inf", "Infinity")
            return tag(kind, value.content, data_key=key, **attributes)
        return tag(kind, value, **attributes)

    names = [tag("button", name, type="button") if sortable else name for name in head]
    top = tag("tr", *(cell("th", name, k) for k, name in enumerate(names)))
    body = [tag("tr", *(cell("td", value, k) for k, value in enumerate(row))) for row in rows]
    classes = "sortable" if sortable else "plain"
    parts = [tag("thead", top)] if head else []
    whole = tag("table", *parts, tag("tbody", *body), class_=classes)
    return tag("div", whole, class_="scroll")


def section(name: str, title: str, *children: Any) -> Html:
    """Return a section with a heading that links find."""
    return tag("section", tag("h2", title), *children, id=name)


def draw(
    plot: Callable[[list[Any]], Any],
    width: float,
    height: float,
    texts: Sequence[str],
    *,
    wide: bool = False,
) -> list[Html]:
    """Return figures as images within the page, one per text.

    Parameters
    ----------
    plot : callable
        Draws on a list of axes, of which each is a figure of its own.
    width, height : float
        Size of each in inches.
    texts : sequence of str
        What the images show, for those who do not see them.
    wide : bool, default=False
        Whether the images scroll in a narrow window, instead of shrinking.
    """
    import matplotlib as mpl
    import matplotlib.style
    from matplotlib.figure import Figure

    images = []
    with (
        mpl.style.context("default"),
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}),
        warnings.catch_warnings(),
    ):
        # Of scripts that the font lacks: the browser has others.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        made = [Figure(figsize=(width, height), layout="constrained") for _ in texts]
        plot([figure.subplots() for figure in made])
        for figure, text in zip(made, texts, strict=True):
            buffer = BytesIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None})
            data = base64.b64encode(buffer.getvalue()).decode()
            image = Html(
                f'<img alt="{html.escape(text)}" src="data:image/svg+xml;base64,{data}" '
                f'width="{96 * width:.0f}" height="{96 * height:.0f}">'
            )
            images.append(tag("div", image, class_="figure wide" if wide else "figure"))
    return images


def beside(*parts: Iterable[Any]) -> Html:
    """Return groups of elements side by side, or below each other where there is no room."""
    return tag("div", *(tag("div", *part) for part in parts), class_="beside")


def figures(images: Iterable[Html]) -> Html:
    """Return images side by side, as many as the window has room for."""
    return tag("div", *images, class_="figures")


def page(title: str, subtitle: str, sections: Sequence[tuple[str, str, Html]]) -> str:
    """Return the whole page.

    Parameters
    ----------
    title, subtitle : str
    sections : sequence of (name, title, content)
    """
    links = [tag("a", heading, href=f"#{name}") for name, heading, _ in sections]
    body = [section(name, heading, content) for name, heading, content in sections]
    main = tag(
        "main",
        tag("header", tag("h1", title), tag("p", subtitle, class_="note")),
        tag("nav", *links, aria_label="Sections"),
        *body,
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{tag('title', title)}\n<style>{_STYLE}</style>\n</head>\n<body>\n{main}\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


_STYLE = """
:root { --text: #1b1f24; --soft: #59636e; --line: #d5dae0; --back: #fff; --tint: #f4f6f8;
  --blue: #0072b2; --fill: #bcdcee; --bad: #b1400a; --good: #00704f; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ed; --soft: #a3adb8; --line: #3a424b;
  --back: #15181c; --tint: #1f242a; --blue: #6cb8e6; --fill: #1d4a66; --bad: #f2935f;
  --good: #4cc9a0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { margin: 0; font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line);
  font-size: 1.3rem; }
h3 { margin: 1.4rem 0 .4rem; font-size: 1.05rem; }
p, ul { margin: .5rem 0; max-width: 48rem; }
li { margin: .25rem 0; overflow-wrap: anywhere; }
a { color: var(--blue); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: 1rem 0; font-size: .95rem; }
.note { color: var(--soft); font-size: .92rem; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: .8rem 0; }
.cards > div { padding: .6rem .8rem; background: var(--tint); border-radius: .5rem; }
.cards span { white-space: nowrap; }
.cards b { display: block; font-size: 1.4rem; line-height: 1.3; }
.scroll { overflow: auto; margin: .6rem 0; border: 1px solid var(--line);
  border-radius: .4rem; max-width: 100%; width: fit-content; }
.scroll:has(.sortable) { max-height: 40rem; }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); background: var(--back); }
tbody tr:last-child td { border-bottom: 0; }
th { position: sticky; top: 0; z-index: 1; background: var(--tint); vertical-align: bottom; }
td:first-child { overflow-wrap: anywhere; min-width: 7rem; max-width: 18rem; }
td:has(.label) { min-width: 13rem; }
.n { text-align: right; white-space: nowrap; }
th.n { white-space: normal; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--blue); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
input[type=search] { font: inherit; padding: .25rem .5rem; width: 16rem; max-width: 100%; }
.bar { display: block; min-width: 4rem; background:
  linear-gradient(90deg, var(--fill) var(--w), transparent var(--w)) no-repeat; }
.bar { padding: 0 .25rem; border-radius: .15rem; }
.beside { display: flex; flex-wrap: wrap; gap: 0 2rem; align-items: flex-start; }
.beside > div { flex: 1 1 24rem; min-width: 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr));
  gap: .7rem; margin: .8rem 0; }
.figure { background: #fff; border: 1px solid var(--line); border-radius: .4rem; padding: .3rem;
  width: fit-content; max-width: 100%; margin: .6rem 0; overflow-x: auto; }
.figures .figure { width: auto; margin: 0; }
.figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.wide img { max-width: none; }
.label { display: inline-block; margin: 0 .35rem .2rem 0; padding: 0 .4rem; border-radius: .3rem;
  background: var(--tint); overflow-wrap: anywhere; }
.wrong { color: var(--bad); } .right { color: var(--good); }
.wrong, .right { font-weight: 600; }
.label.wrong::before { content: "\\2717  "; }
details { margin: .8rem 0; } summary { cursor: pointer; }
pre { overflow-x: auto; padding: .7rem; background: var(--tint); border-radius: .4rem;
  font-size: .82rem; }
pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; }
@media (min-width: 50rem) { .wide img { max-width: 100%; } }
@media print { .scroll { max-height: none; overflow: visible; } nav, input { display: none; }
  .figure, tr { break-inside: avoid; } h2, h3, .note { break-after: avoid; }
  body { font-size: 11px; } main { max-width: none; padding: 0; } }
"""

# Sorts tables by a click on a name, and adds a filter above long ones.
_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const now = head.getAttribute("aria-sort"), isNumber = head.classList.contains("n");
    const down = now === null ? isNumber : now === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => { const cell = row.cells[column];
      return "key" in cell.dataset ? cell.dataset.key : cell.textContent; };
    const rows = [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y, "en", {numeric: true}) : x - y;
      return down ? -order : order; });
    body.append(...rows);
  }));
  if (body.rows.length > 20) {
    const box = document.createElement("input");
    box.type = "search"; box.placeholder = "Filter by name";
    box.setAttribute("aria-label", "Filter by name");
    box.addEventListener("input", () => { const wanted = box.value.toLowerCase();
      for (const row of body.rows)
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted); });
    table.parentNode.before(box);
  }
}
"""
