"""The page on Ray, whose code runs here if Ray is installed."""

import os
import re
from pathlib import Path

import joblib
import numpy as np
import pytest

from sklearn_mlloss.losses import BinaryCrossEntropy

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.train.torch", reason="ray[data,train] is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray warns of much that is its own
]
PAGE = (Path(__file__).parents[2] / "docs" / "ray.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the names that the page defines."""
    names = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("ray"))
        try:
            for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M):
                exec(compile(block, "ray.md", "exec"), names)
            yield names
        finally:
            ray.shutdown()


def test_the_page_trains_and_predicts_as_in_memory(page):
    frame, names = page["frame"], page["names"]
    assert len(page["result"]) == 2000
    batches = [(frame[start:][:500], page["table"][names][start:][:500])
               for start in range(0, 2000, 500)]  # fmt: skip
    expected = page["net"].__sklearn_clone__().fit(batches).predict_proba(frame)
    np.testing.assert_array_equal(page["net"].predict_proba(frame), expected)
    together = page["load"]("together.safetensors").predict_proba(frame)
    assert ((together > 0.5) == page["Y"]).mean() > 0.7


def test_a_search_on_ray_gives_the_results_of_one_process(page, tmp_path):
    class Noted(BinaryCrossEntropy):
        def fit(self, *args, **kwargs):
            (tmp_path / str(os.getpid())).touch()
            return super().fit(*args, **kwargs)

    search = page["search"].set_params(losses=[Noted(), "zlpr"])
    with joblib.parallel_config(backend="ray", n_jobs=-1):
        far = search.fit(page["frame"], page["Y"]).cv_results_
    assert {path.name for path in tmp_path.iterdir()} - {str(os.getpid())}
    near = search.fit(page["frame"], page["Y"]).cv_results_
    for name, column in near.items():
        if "time" not in name and name != "params":
            np.testing.assert_array_equal(far[name], column, err_msg=name)
