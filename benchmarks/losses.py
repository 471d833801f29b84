"""Time forward and backward of every loss against binary cross-entropy.

The losses take turns, and the ratio to bce is taken within a round.

    python benchmarks/losses.py
    python benchmarks/losses.py --losses lsep zlpr --repeats 51
"""

import argparse
import os
import platform
import statistics
import time

import numpy as np
import torch

from sklearn_mlloss.losses import LOSSES, Criterion

# Rows, labels, labels a row: a wide batch and a tall one.
SHAPES = {"wide": (256, 983, 19), "tall": (1024, 20, 4)}


def contender(name, Y):
    """Return a function that runs one forward and backward pass."""
    loss = LOSSES[name]().fit(Y)
    criterion = Criterion(loss)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(len(Y), loss.n_outputs_, generator=generator, requires_grad=True)
    targets = torch.from_numpy(Y)

    def run():
        criterion(outputs, targets).backward()
        outputs.grad = None

    return run


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--losses", nargs="+", choices=sorted(LOSSES), default=sorted(LOSSES))
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    names = ["bce", *(name for name in options.losses if name != "bce")]
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    for label, (n_rows, n_labels, per_row) in SHAPES.items():
        Y = (np.random.default_rng(0).random((n_rows, n_labels)) < per_row / n_labels) * 1.0
        runs = {name: contender(name, Y.astype(np.float32)) for name in names}
        seconds = {name: [] for name in names}
        for repeat in range(options.repeats + 2):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if repeat >= 2:  # the first rounds warm up
                    seconds[name].append(time.perf_counter() - start)
        print(f"\n{label}: {n_rows} rows, {n_labels} labels, about {per_row} a row")
        print(f"{'loss':<24}{'ms':>8}{'x bce':>8}")
        for name in names:
            pairs = zip(seconds[name], seconds["bce"], strict=True)
            ratio = statistics.median(mine / bce for mine, bce in pairs)
            print(f"{name:<24}{1e3 * statistics.median(seconds[name]):>8.2f}{ratio:>8.1f}")


if __name__ == "__main__":
    main()
