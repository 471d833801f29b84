"""Draw the figures of the pages from the examples: python docs/figures.py.

A picture ``docs/images/NAME.png`` is the last one that ``examples/plot_NAME.py`` shows.
"""

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]

for target in sorted((ROOT / "docs" / "images").glob("*.png")):
    example = ROOT / "examples" / f"plot_{target.stem}.py"
    plt.show = lambda target=target: plt.savefig(target, dpi=70)
    runpy.run_path(str(example), run_name="__main__")
    plt.close("all")
    print(target.relative_to(ROOT))
