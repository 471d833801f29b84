"""Choose the default losses and decoders of `LossDecoderSearchCV`, and those of `for_metric`.

Scores every loss with the usual decoders on the training part of each data set (five folds). For
several metrics together, it prints how far small sets are behind: the best mean score of all
candidates minus that of the set, averaged over data sets and metrics. Sets grow greedily.
These are the defaults of `LossDecoderSearchCV`. For each metric alone, it prints the candidates
that are, on average, least behind the best of a data set: `MultiLabelNetClassifier.for_metric` uses
these.

    python benchmarks/search_defaults.py --folder FOLDER --tables emotions birds yeast

Data sets are FOLDER/NAME.npz.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from contenders import print_machine
from tables import read_table

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._search.candidates import DEFAULT_DECODERS, DEFAULT_LOSSES
from sklearn_mlloss.losses import LOSSES

DECODERS = [
    "threshold", "global_threshold", "per_label_threshold", "cardinality", "expected_fbeta", "gfm",
    "label_set", "proportion", "max_gap", "threshold_function", "cumulative", "expected_jaccard",
    "one_over_n",
]  # fmt: skip
METRICS = ["f1_micro", "f1_macro", "f1_samples", "jaccard_samples", "accuracy"]


def scores_of(X, Y, epochs, n_jobs):
    """Return mean scores of shape (n_metrics, n_losses, n_decoders)."""
    net = MultiLabelNetClassifier(max_epochs=epochs, device="cpu")
    search = LossDecoderSearchCV(
        net, list(LOSSES), DECODERS, scoring=METRICS, refit=False, random_state=0, n_jobs=n_jobs
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = search.fit(X, Y).cv_results_
    means = np.array([results[f"mean_test_{metric}"] for metric in METRICS])
    return means.reshape(len(METRICS), len(LOSSES), len(DECODERS))


def print_candidates(scores, shown=6):
    """Print the candidates that are least behind per metric; `scores` has the axes of `main`."""
    behind = (scores.max((2, 3), keepdims=True) - scores).mean(axis=0)
    for metric, table in zip(METRICS, behind, strict=True):
        print(f"\n| {metric} | behind the best of a data set |\n| --- | --- |")
        for place in np.argsort(table, axis=None)[:shown]:
            loss, decoder = np.unravel_index(place, table.shape)
            print(f"| `{list(LOSSES)[loss]}`, `{DECODERS[decoder]}` | {table[loss, decoder]:.4f} |")
        bce = table[list(LOSSES).index("bce")]
        for decoder in np.argsort(bce)[:3]:
            print(f"| `bce`, `{DECODERS[decoder]}` | {bce[decoder]:.4f} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", default=["emotions", "birds", "yeast"])
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args()
    print_machine()
    tables = []
    for name in options.tables:
        X, Y, _, _ = read_table(options.folder, name)
        # Rare labels do not occur in every fold.
        Y = Y[:, Y.sum(axis=0) >= 10]
        tables.append(scores_of(X, Y, options.max_epochs, options.jobs))
        print(f"{name}: done", flush=True)
    scores = np.nan_to_num(np.concatenate(tables), nan=-1)
    losses, decoders = list(range(len(LOSSES))), list(range(len(DECODERS)))

    def gap(chosen, kept):
        return np.mean(scores.max((1, 2)) - scores[:, chosen][:, :, kept].max((1, 2)))

    for title, names, grown in (("loss", list(LOSSES), True), ("decoder", DECODERS, False)):
        print(f"\n| {title} added | behind the best of all |\n| --- | --- |")
        chosen = []
        for _ in range(6):
            left = [i for i in range(len(names)) if i not in chosen]
            value, best = min(
                (gap([*chosen, i], decoders) if grown else gap(losses, [*chosen, i]), i)
                for i in left
            )
            chosen.append(best)
            print(f"| `{names[best]}` | {value:.4f} |")
    print_candidates(np.nan_to_num(np.array(tables), nan=-1))
    few = [list(LOSSES).index(name) for name in DEFAULT_LOSSES]
    kept = [DECODERS.index(name) for name in DEFAULT_DECODERS]
    bce, half = [list(LOSSES).index("bce")], [DECODERS.index("threshold")]
    print(f"\nThe defaults are {gap(few, kept):.4f} behind the best of all,")
    print(f"bce with the default decoders {gap(bce, kept):.4f}, ", end="")
    print(f"the default losses with a threshold of 1/2 {gap(few, half):.4f},")
    print(f"bce with a threshold of 1/2 {gap(bce, half):.4f}.")


if __name__ == "__main__":
    main()
