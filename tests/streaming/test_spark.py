"""The page on Spark, whose code runs here if PySpark is installed."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyspark", reason="PySpark is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # PySpark warns of pandas 3
]
PAGE = (Path(__file__).parents[2] / "docs" / "spark.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the names that the page defines."""
    names = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("spark"))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M):
            exec(compile(block, "spark.md", "exec"), names)
        yield names
        names["spark"].stop()


def test_the_page_predicts_as_in_memory_and_trains_on_two_ranks(page):
    assert len(page["result"]) == 2000
    assert ((page["net"].predict_proba(page["frame"]) > 0.5) == page["Y"]).mean() > 0.7


def test_integers_booleans_and_labels_with_nulls_are_as_in_memory(page):
    import pandas as pd

    from sklearn_mlloss import MultiLabelNetClassifier
    from sklearn_mlloss.persistence import save

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "count": pd.array(rng.integers(0, 9, 200), dtype="Int64"),
            "flag": pd.array(rng.random(200) > 0.5, dtype="boolean"),
            "kind": pd.Categorical(rng.choice(["a", "b"], 200)),
            "small": rng.random(200).astype(np.float32),
        }
    )
    Y = pd.DataFrame({"a label": table["count"] > 4, "b`c": table["small"] > 0.5}).astype(float)
    table.iloc[::7, :3] = pd.NA
    net = MultiLabelNetClassifier(hidden_layer_sizes=(4,), max_epochs=2, random_state=0)
    net.fit(table, Y)
    save(net, "net.safetensors")
    expected = net.predict_proba(table)
    table.assign(id=range(200)).to_parquet("other.parquet")
    schema = "`a label` double, `b``c` double, id long"
    df = page["spark"].read.parquet("other.parquet").repartition(2)
    result = df.mapInPandas(page["predict"], schema).toPandas().set_index("id").sort_index()
    np.testing.assert_array_equal(result.to_numpy(), expected)
