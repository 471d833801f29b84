"""Gain and cost of each numerical feature encoding, by cross-validation on training rows.

Means over the folds of repeated cross-validation of the default classifier. "seconds" is the time
of `fit`; "scaled" is `StandardScaler` before a network without an encoding.

    python benchmarks/encodings.py                                        yeast
    python benchmarks/encodings.py --data FOLDER --tables emotions birds  a folder with NAME.npz
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from contenders import print_machine
from sklearn.metrics import make_scorer
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import read_table

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.metrics import label_ranking_average_precision
from sklearn_mlloss.model_selection import RepeatedMultilabelStratifiedKFold

ENCODINGS = [None, "standard", "robust", "quantile", "piecewise_linear", "auto"]
SCORERS = {
    "LRAP": make_scorer(label_ranking_average_precision, response_method="predict_proba"),
    "f1_micro": "f1_micro",
    "f1_macro": "f1_macro",
    "f1_samples": "f1_samples",
}


def read(name, folder):
    """Return the training part of a dense data set."""
    if folder is None:
        return load_yeast(subset="train", return_X_y=True)
    return read_table(folder, name)[:2]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of data sets; default: yeast")
    parser.add_argument("--tables", nargs="+", default=["yeast"])
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    print_machine()
    folds = RepeatedMultilabelStratifiedKFold(n_splits=5, n_repeats=options.repeats, random_state=0)
    for name in options.tables:
        X, Y = read(name, options.data)
        print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {Y.shape[1]} labels")
        print(f"{'':<18}" + "".join(f"{metric:>18}" for metric in [*SCORERS, "seconds"]))
        for encoding in [*ENCODINGS, "scaled"]:
            net = MultiLabelNetClassifier(
                decoder="global_threshold", random_state=0,
                encoding=None if encoding == "scaled" else encoding,
            )  # fmt: skip
            model = make_pipeline(StandardScaler(), net) if encoding == "scaled" else net
            results = cross_validate(model, X, Y, scoring=SCORERS, cv=folds)
            columns = [results[f"test_{metric}"] for metric in SCORERS] + [results["fit_time"]]
            cells = [f"{v.mean():.4f} ± {v.std(ddof=1) / np.sqrt(len(v)):.4f}" for v in columns]
            print(f"{encoding!s:<18}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
