"""Write the files of this version that later versions must load.

Run ``PYTHONPATH=tests python -m persistence.freeze`` before a release, and keep the files of
earlier ones.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
    __version__,
)
from sklearn_mlloss.persistence import save

FILES = Path(__file__).parent / "files"


def table():
    """Return X, a table with a column of categories and missing numbers, and Y."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)).round(3)
    Y = (X + rng.normal(size=X.shape) > 0).astype(int)
    X[rng.uniform(size=X.shape) < 0.1] = np.nan
    place = pd.Categorical(np.where(rng.uniform(size=80) < 0.5, "north", "south"))
    return pd.DataFrame({"age": X[:, 0], "size": X[:, 1], "price": X[:, 2], "place": place}), Y


def models():
    """Return the models that are frozen; a calibrator with steps would magnify rounding."""
    net = MultiLabelNetClassifier(
        "focal", "cardinality", calibration="sigmoid", hidden_layer_sizes=(4,), max_epochs=3,
        cv=2, random_state=0,
    )  # fmt: skip
    linear = MultiLabelLogisticRegressionCV(cv=2, random_state=0)
    return {
        "net": net,
        "vote": SoftVotingClassifier([("net", clone(net).set_params(cv=None)), ("linear", linear)]),
        "decoded": DecodedClassifierCV(
            OneVsRestClassifier(LogisticRegression()), "expected_fbeta", calibration="beta", cv=2,
            ensemble=False,
        ),
    }  # fmt: skip


def main():
    """Write a file and its predictions for each model."""
    X, Y = table()
    FILES.mkdir(exist_ok=True)
    for name, model in models().items():
        rows = X.drop(columns="place").fillna(0.0) if name == "decoded" else X
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few epochs
            model.fit(rows, Y)
        save(model, FILES / f"{__version__}-{name}.safetensors")
        predictions = {"proba": model.predict_proba(rows), "labels": model.predict(rows)}
        np.savez_compressed(FILES / f"{__version__}-{name}.npz", **predictions)


if __name__ == "__main__":
    main()
