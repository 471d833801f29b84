"""Balance and time of multi-label stratified folds, of iterative-stratification and of KFold.

python benchmarks/splits.py                        # data sets of ../shared/data, if it exists
python benchmarks/splits.py --data FOLDER          # a folder with load.py and NAME.npz
python benchmarks/splits.py --data ""              # the simulated data set only

iterative-stratification is skipped if it is not installed (it is no dependency):

pip install iterative-stratification

A fold with a share r of the rows should have the share r of the positives of each label. "label"
and "pair" are the mean absolute deviations from it, in percent, of the positives of a label, and of
the rows with both labels of a pair that occurs at least `--folds` times. "gaps" are folds without
a positive of a label that has at least as many positives as there are folds.
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
    splitters = {
        "mlloss": MultilabelStratifiedKFold(n_folds, random_state=seed),
        "iterative-stratification": None,
        "KFold": KFold(n_folds, shuffle=True, random_state=seed),
    }
    if IterativeKFold is not None:
        splitters["iterative-stratification"] = IterativeKFold(
            n_folds, shuffle=True, random_state=seed
        )
    return {name: splitter for name, splitter in splitters.items() if splitter is not None}


def tables(folder):
    """Yield the name and the target matrix of every data set of a folder with `load.py`."""
    spec = importlib.util.spec_from_file_location("load", folder / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    targets = []
    for path in folder.glob("*.npz"):
        _, Y, _, Y_test = module.load(path.stem)
        targets.append((path.stem, np.concatenate([Y, Y_test])))
    yield from sorted(targets, key=lambda table: table[1].size)


def simulate(n_rows, n_labels, seed=0):
    """Return dependent labels with frequencies from 0.1% to 30%."""
    rng = np.random.default_rng(seed)
    quantiles = 1 - np.geomspace(0.001, 0.3, n_labels)
    Y = np.empty((n_rows, n_labels), dtype=np.int64)
    hidden = rng.normal(size=(n_rows, 5))
    for label in range(n_labels):
        scores = hidden @ rng.normal(size=5) + rng.normal(size=n_rows)
        Y[:, label] = scores > np.quantile(scores, quantiles[label])
    return Y


def balance(Y, folds, n_folds):
    """Return the deviations of labels and of pairs, and the number of gaps."""
    Y = sp.csc_array(Y, dtype=np.int64)
    total = (Y.T @ Y).toarray()
    n_positives = total.diagonal()
    pairs = np.triu(total, 1) >= n_folds
    labels = n_positives > 0
    of_labels, of_pairs, gaps = [], [], 0
    for _, test in folds:
        Y_test = Y[test]
        counts = (Y_test.T @ Y_test).toarray()
        share = len(test) / Y.shape[0]
        of_labels.append(np.abs(counts.diagonal()[labels] / n_positives[labels] - share).mean())
        if pairs.any():
            of_pairs.append(np.abs(counts[pairs] / total[pairs] - share).mean())
        gaps += np.sum((counts.diagonal() == 0) & (n_positives >= n_folds))
    return 100 * np.mean(of_labels), 100 * np.mean(of_pairs), int(gaps)


def measure(name, Y, n_folds, repeats, seeds, only=None):
    """Print a row of the table for each splitter."""
    X = np.zeros((len(Y), 1))
    for splitter in contenders(n_folds, 0):
        if only is not None and splitter not in only:
            continue
        balances, times = [], []
        for seed in range(seeds):
            for _ in range(repeats):
                start = time.perf_counter()
                folds = list(contenders(n_folds, seed)[splitter].split(X, Y))
                times.append(time.perf_counter() - start)
            balances.append(balance(Y, folds, n_folds))
        label, pair, gaps = np.mean(balances, axis=0)
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
    parser.add_argument("--data", default=default, help="folder of data sets; empty for none")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds to average over")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--rows", type=int, default=500_000, help="of the simulated data set")
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--few", type=int, default=20_000, help="rows for iterative-stratification")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, numpy {np.__version__}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {options.folds} folds\n")
    if IterativeKFold is None:
        print("iterative-stratification is skipped: pip install iterative-stratification\n")
    print("| data set | rows x labels | splitter | label, % | pair, % | gaps | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    how = (options.folds, options.repeats, options.seeds)
    if options.data:
        for name, Y in tables(Path(options.data)):
            measure(name, Y, *how)
    Y = simulate(options.rows, options.labels)
    if options.few < options.rows:
        measure("simulated", simulate(options.few, options.labels), *how)
        measure("simulated", Y, *how, only=("mlloss", "KFold"))
    else:
        measure("simulated", Y, *how)


if __name__ == "__main__":
    main()
