"""Balance and time of multi-label stratified folds, beside iterative-stratification and KFold.

python benchmarks/splits.py                        # the tables of ../shared/data, if it is there
python benchmarks/splits.py --data FOLDER          # a folder with load.py and NAME.npz
python benchmarks/splits.py --data ""              # the drawn table only

The package is left out if it is not installed (it is no dependency):

pip install iterative-stratification

Sums of a label are compared with what is due: a fold with a share r of the rows is due the share r
of its positives. "label" and "pair" are the mean absolute deviation of the share of the positives
of a label, or of a pair of labels that occurs `--folds` times at least, from that; in per cent.
"gaps" are folds without a positive, of labels that have at least as many as there are folds.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import KFold

from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

try:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold as IterativeKFold
except ImportError:
    IterativeKFold = None

DATA = Path(__file__).parents[2] / "shared" / "data"


def contenders(n_folds, seed):
    """Return the splitters by name."""
    found = {
        "mlloss": MultilabelStratifiedKFold(n_folds, random_state=seed),
        "iterative-stratification": None,
        "KFold": KFold(n_folds, shuffle=True, random_state=seed),
    }
    if IterativeKFold is not None:
        found["iterative-stratification"] = IterativeKFold(n_folds, shuffle=True, random_state=seed)
    return {name: splitter for name, splitter in found.items() if splitter is not None}


def tables(folder):
    """Yield the name and the target matrix of every table of a folder with `load.py`."""
    spec = importlib.util.spec_from_file_location("load", folder / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = []
    for path in folder.glob("*.npz"):
        _, Y, _, Y_test = module.load(path.stem)
        found.append((path.stem, np.concatenate([Y, Y_test])))
    yield from sorted(found, key=lambda table: table[1].size)


def draw(n_rows, n_labels, seed=0):
    """Return labels from 0.1% to 30% that depend on one another."""
    rng = np.random.default_rng(seed)
    quantiles = 1 - np.geomspace(0.001, 0.3, n_labels)
    Y = np.empty((n_rows, n_labels), dtype=np.int64)
    hidden = rng.normal(size=(n_rows, 5))
    for label in range(n_labels):
        scores = hidden @ rng.normal(size=5) + rng.normal(size=n_rows)
        Y[:, label] = scores > np.quantile(scores, quantiles[label])
    return Y


def balance(Y, folds, n_folds):
    """Return deviation of labels, of pairs, and the number of gaps."""
    Y = sp.csc_array(Y, dtype=np.int64)
    total = (Y.T @ Y).toarray()
    n_positives = total.diagonal()
    pairs = np.triu(total, 1) >= n_folds
    labels = n_positives > 0
    of_labels, of_pairs, gaps = [], [], 0
    for _, test in folds:
        own = Y[test]
        counts = (own.T @ own).toarray()
        due = len(test) / Y.shape[0]
        of_labels.append(np.abs(counts.diagonal()[labels] / n_positives[labels] - due).mean())
        if pairs.any():
            of_pairs.append(np.abs(counts[pairs] / total[pairs] - due).mean())
        gaps += np.sum((counts.diagonal() == 0) & (n_positives >= n_folds))
    return 100 * np.mean(of_labels), 100 * np.mean(of_pairs), int(gaps)


def measure(name, Y, n_folds, repeats, seeds, only=None):
    """Print a row of the table for each splitter."""
    X = np.zeros((len(Y), 1))
    for splitter in contenders(n_folds, 0):
        if only is not None and splitter not in only:
            continue
        found, times = [], []
        for seed in range(seeds):
            for _ in range(repeats):
                start = time.perf_counter()
                folds = list(contenders(n_folds, seed)[splitter].split(X, Y))
                times.append(time.perf_counter() - start)
            found.append(balance(Y, folds, n_folds))
        label, pair, gaps = np.mean(found, axis=0)
        shape = f"{len(Y)} x {Y.shape[1]}"
        seconds = statistics.median(times)
        print(
            f"| {name} | {shape} | {splitter} | {label:.2f} | {pair:.2f} | {gaps:.1f} "
            f"| {seconds:.2g} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = str(DATA) if DATA.is_dir() else ""
    parser.add_argument("--data", default=default, help="folder of tables; empty for none")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3, help="draws, of which means are shown")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--rows", type=int, default=500_000, help="of the drawn table")
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--few", type=int, default=20_000, help="rows for iterative-stratification")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, numpy {np.__version__}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {options.folds} folds\n")
    if IterativeKFold is None:
        print("iterative-stratification is left out: pip install iterative-stratification\n")
    print("| table | rows x labels | splitter | label, % | pair, % | gaps | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    how = (options.folds, options.repeats, options.seeds)
    if options.data:
        for name, Y in tables(Path(options.data)):
            measure(name, Y, *how)
    Y = draw(options.rows, options.labels)
    if options.few < options.rows:
        measure("drawn", draw(options.few, options.labels), *how)
        measure("drawn", Y, *how, only=("mlloss", "KFold"))
    else:
        measure("drawn", Y, *how)


if __name__ == "__main__":
    main()
