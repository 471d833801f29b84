"""Draw the figures of the pages from the examples: python docs/figures.py."""

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]

for example in sorted((ROOT / "examples").glob("plot_*.py")):
    target = ROOT / "docs" / "images" / f"{example.stem.removeprefix('plot_')}.png"
    plt.show = lambda target=target: plt.savefig(target, dpi=70)
    runpy.run_path(str(example), run_name="__main__")
    plt.close("all")
    print(target.relative_to(ROOT))
