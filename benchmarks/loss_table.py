"""Every loss with three decoders: the loss's default, a global and a per-label tuned threshold.

Each repeat splits a data set into 60 % training rows, 20 % on which decoders are fitted and 20 %
test rows, stratified by label, and trains one network per loss. Prints a Markdown table with the
mean and the standard deviation over the repeats of micro-, macro- and samples-F1.

    python benchmarks/loss_table.py
    python benchmarks/loss_table.py --folder FOLDER --tables emotions yeast

Yeast comes from the package river. Other data sets are read from FOLDER/NAME.npz, which contains
arrays X (n, d) and Y (n, L).
"""

import argparse
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from tables import load_table

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.model_selection import MultilabelStratifiedShuffleSplit

DECODERS = {"default": "auto", "global": "global_threshold", "per label": "per_label_threshold"}
AVERAGES = ("micro", "macro", "samples")


def split(Y, share, seed):
    """Return the rows of two parts; the second part has the given share."""
    splitter = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
    return next(splitter.split(Y, Y))


def run(X, Y, loss, repeat):
    """Return the F-measures of one loss in one repeat, by decoder and average."""
    rest, test = split(Y, 0.2, repeat)
    train, held_out = (rest[part] for part in split(Y[rest], 0.25, repeat))
    scaler = StandardScaler().fit(X[train])
    net = MultiLabelNetClassifier(loss, encoding=None, random_state=repeat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(scaler.transform(X[train]), Y[train])
        scores = []
        for decoder in DECODERS.values():
            net.fit_decoder(scaler.transform(X[held_out]), Y[held_out], decoder)
            Y_hat = net.predict(scaler.transform(X[test]))
            scores += [f1_score(Y[test], Y_hat, average=a, zero_division=0) for a in AVERAGES]
    return scores


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["yeast"])
    parser.add_argument("--folder", help="folder with data sets as NAME.npz")
    parser.add_argument("--losses", nargs="+", choices=sorted(LOSSES), default=sorted(LOSSES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    for name in options.tables:
        X, Y = load_table(name, options.folder)
        jobs = [(loss, repeat) for loss in options.losses for repeat in range(options.repeats)]
        results = Parallel(n_jobs=options.n_jobs)(delayed(run)(X, Y, *job) for job in jobs)
        results = np.reshape(results, (len(options.losses), options.repeats, -1))
        print(f"\n### {name}: {X.shape[0]} × {X.shape[1]}, {Y.shape[1]} labels\n")
        print(
            "Micro-, macro- and samples-F1 on the test rows, mean ± standard deviation of", end=""
        )
        print(f" {options.repeats} splits.\n")
        print("| loss |" + "".join(f" {decoder} |" for decoder in DECODERS))
        print("| --- |" + " --- |" * len(DECODERS))
        for loss, scores in zip(options.losses, results, strict=True):
            mean, deviation = scores.mean(axis=0), scores.std(axis=0, ddof=1)
            cells = [f"{m:.3f} ± {d:.3f}" for m, d in zip(mean, deviation, strict=True)]
            groups = [", ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
            print(f"| `{loss}` | " + " | ".join(groups) + " |")


if __name__ == "__main__":
    main()
