"""Weight of the dependence of labels in decoders that use label sets.

Five networks, one per fold, as in `for_metric`, on the training parts of data sets, split several
times into training and test rows, like `defaults.py`. Subset accuracy of `label_set` compared with
a threshold of 1/2, and samples-F1 of `gfm` compared with `expected_fbeta`; means over splits.

    python benchmarks/label_sets.py --data FOLDER --tables emotions yeast
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from contenders import print_machine
from defaults import read
from sklearn.metrics import accuracy_score, f1_score

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.decoders import ExpectedFBeta, GFMDecoder, LabelSetDecoder
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit

VALUES = (0, 0.25, 0.5, 0.75, 1)


def measure(X, Y, split):
    """Return subset accuracies and F-measures, each without label sets and for each value."""
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=1 / 3, random_state=split)
    train, test = next(splitter.split(Y, Y))
    net = MultiLabelNetClassifier.for_metric(
        "accuracy", cv=5, store_cv_results=True, device="cpu", random_state=split
    ).fit(X[train], Y[train])
    scores = net.predict_proba(X[test])

    def f1(labels):
        return f1_score(Y[test], labels, average="samples", zero_division=0)

    accuracies = [accuracy_score(Y[test], scores >= 0.5)]
    f_measures = [f1(ExpectedFBeta().decode(scores))]
    for value in VALUES:
        sets, gfm = LabelSetDecoder(value), GFMDecoder(dependence=value)
        for decoder in (sets, gfm):
            decoder.fit(net.oof_scores_, Y[train])
        accuracies.append(accuracy_score(Y[test], sets.decode(scores)))
        f_measures.append(f1(gfm.decode(scores)))
    return accuracies, f_measures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["emotions", "yeast", "birds", "enron"])
    parser.add_argument("--splits", type=int, default=5)
    options = parser.parse_args()
    print_machine()
    columns = ["data set", "metric", "without", *map(str, VALUES)]
    print(f"\n| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for table in options.tables:
        X, Y = read(table, options.data)
        means = np.mean([measure(X, Y, split) for split in range(options.splits)], axis=0)
        for name, values in zip(("subset accuracy", "samples-F1"), means, strict=True):
            print(f"| {table} | {name} | {' | '.join(f'{v:.4f}' for v in values)} |", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
