"""Whether the default network predicts as well after transformations of X that lose little.

LRAP on the test rows of data sets, for the default network before and after each transformation
(`tests/transformations.py`) and for a logistic regression with its penalty by five folds on the
transformed columns. Marks with ** where the network is more than 0.02 below the lower of its LRAP
before the transformation and that of the logistic regression.

    PYTHONPATH=tests python benchmarks/invariance.py --data FOLDER --tables emotions yeast birds

Data sets are FOLDER/NAME.npz; sparse X is made dense first.
"""

import argparse
import warnings
from pathlib import Path

import scipy.sparse as sp
from contenders import print_machine
from linear import Logistic, read
from transformations import NAMES, transform

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.metrics import label_ranking_average_precision

TOLERANCE = 0.02


def lrap(model, X, Y, X_test, Y_test):
    """Return the LRAP of a model on test rows."""
    return label_ranking_average_precision(Y_test, model.fit(X, Y).predict_proba(X_test))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of data sets")
    parser.add_argument("--tables", nargs="+", default=["steps"], help="data sets or families")
    parser.add_argument("--transformations", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_machine()
    print("\n| table | transformation | network | logistic | |\n| --- | --- | --- | --- | --- |")
    for name in options.tables:
        X, Y, X_test, Y_test = read(name, options.data, options.seed)
        if sp.issparse(X):
            X, X_test = X.toarray(), X_test.toarray()
        net = MultiLabelNetClassifier(random_state=options.seed)
        before = lrap(net, X, Y, X_test, Y_test)
        print(f"| {name} | none | {before:.3f} | {lrap(Logistic(), X, Y, X_test, Y_test):.3f} | |")
        for transformation in options.transformations:
            table = transform(transformation, X, Y, X_test, Y_test)
            after, logistic = lrap(net, *table), lrap(Logistic(), *table)
            mark = "**" if after < min(before, logistic) - TOLERANCE else ""
            print(
                f"| {name} | {transformation} | {after:.3f} | {logistic:.3f} | {mark} |", flush=True
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
