"""The Python blocks of README and docs run, one after the other in each file."""

import re
from pathlib import Path

import pytest
import skorch

from sklearn_mlloss import datasets
from sklearn_mlloss.datasets import load_yeast

ROOT = Path(__file__).parents[1]
PAGES = {
    path.name: re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
}
MAX_EPOCHS, MAX_ROWS = 2, 400
NEEDED = {
    "datasets.md": ("arff",),
    "deployment.md": ("onnx", "onnxruntime", "safetensors"),
    "large_data.md": ("dask", "pandas", "pyarrow"),
    "onnx.md": ("onnx", "onnxruntime"),
    "saving.md": ("safetensors", "skops"),
    "tutorial.md": ("matplotlib", "safetensors"),
}
# Pages that tests/streaming runs: these need processes of their own.
ELSEWHERE = ("ray.md", "spark.md")
PAGES = {name: blocks for name, blocks in PAGES.items() if blocks and name not in ELSEWHERE}


def test_there_are_blocks():
    assert len(PAGES["README.md"]) >= 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", PAGES)
def test_blocks_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where they write files
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)
    fit_loop = skorch.NeuralNet.fit_loop

    def short_fit_loop(net, X, y=None, epochs=None, **params):
        epochs = min(net.max_epochs if epochs is None else epochs, MAX_EPOCHS)
        return fit_loop(net, X, y, epochs, **params)

    def few_rows(**params):
        rows = slice(MAX_ROWS if params["subset"] == "train" else None)
        return tuple(part[rows] for part in load_yeast(**params))

    # That the code of a page runs shows after few epochs of few rows; README.md runs as it stands.
    if name != "README.md":
        monkeypatch.setattr(skorch.NeuralNet, "fit_loop", short_fit_loop)
        monkeypatch.setattr(datasets, "load_yeast", few_rows)
    namespace = {"__name__": "page"}
    for block in PAGES[name]:
        exec(compile(block, name, "exec"), namespace)


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_links_between_pages_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
