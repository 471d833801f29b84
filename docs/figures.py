"""Draw the figures that the pages show, the last of each example: python docs/figures.py."""

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
PAGES = "".join(
    page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")
)

for example in sorted((ROOT / "examples").glob("plot_*.py")):
    target = ROOT / "docs" / "images" / f"{example.stem.removeprefix('plot_')}.png"
    if f"images/{target.name}" not in PAGES:
        continue
    plt.show = lambda target=target: plt.savefig(target, dpi=70)
    runpy.run_path(str(example), run_name="__main__")
    plt.close("all")
    print(target.relative_to(ROOT))
