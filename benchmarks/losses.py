"""Time forward and backward of every loss against binary cross-entropy.

Each loss is timed by autograd, as the mean of a `Criterion` over logits that require a gradient,
and by the closed form `Loss.gradient` where there is one. All take turns; ratios are relative to
bce by autograd within the same round.

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

# Rows, labels, positive labels per row.
SHAPES = {
    "small": (64, 6, 2),
    "usual": (128, 14, 4),
    "middle": (256, 50, 3),
    "tall": (1024, 20, 4),
    "wide": (256, 983, 19),
}
# Small batches run several times per turn, so that a turn exceeds the resolution of the clock.
ENTRIES_PER_TURN = 20_000


def contenders(name, Y):
    """Return functions that run a pass by autograd, and in closed form (None without one)."""
    loss = LOSSES[name]().fit(Y)
    criterion = Criterion(loss)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(len(Y), loss.n_outputs_, generator=generator)
    leaf, targets = outputs.clone().requires_grad_(), torch.from_numpy(Y)

    def autograd():
        return torch.autograd.grad(criterion(leaf, targets), leaf)[0]

    @torch.no_grad()
    def closed():
        return loss.gradient(outputs, targets)

    return autograd, closed if loss.row_wise and closed() is not None else None


def measure(runs, n_calls, repeats):
    """Return the seconds of one call of each run, in each round."""
    seconds = {key: [] for key in runs}
    for repeat in range(repeats + 2):
        for key, run in runs.items():
            start = time.perf_counter()
            for _ in range(n_calls):
                run()
            if repeat >= 2:  # the first rounds warm up
                seconds[key].append((time.perf_counter() - start) / n_calls)
    return seconds


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--losses", nargs="+", choices=sorted(LOSSES), default=sorted(LOSSES))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["small", "wide"])
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    names = ["bce", *(name for name in options.losses if name != "bce")]
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    for label in options.shapes:
        n_rows, n_labels, per_row = SHAPES[label]
        Y = (np.random.default_rng(0).random((n_rows, n_labels)) < per_row / n_labels) * 1.0
        runs = {}
        for name in names:
            by = contenders(name, Y.astype(np.float32))
            runs |= {(name, i): run for i, run in enumerate(by) if run is not None}
        seconds = measure(runs, max(1, ENTRIES_PER_TURN // Y.size), options.repeats)
        print(f"\n{label}: {n_rows} rows, {n_labels} labels, about {per_row} per row")
        print(f"{'':<24}{'autograd':^18}{'closed form':^18}")
        print(f"{'loss':<24}{'us':>9}{'x bce':>8} {'us':>9}{'x bce':>8}{'gain':>8}")
        for name in names:
            cells = [f"{name:<24}"]
            for key in ((name, 0), (name, 1)):
                if key in runs:
                    cells.append(f"{1e6 * statistics.median(seconds[key]):>9.1f}")
                    cells.append(f"{ratio(seconds[key], seconds['bce', 0]):>8.2f} ")
            if (name, 1) in runs:
                cells.append(f"{ratio(seconds[name, 0], seconds[name, 1]):>7.1f}")
            print("".join(cells).rstrip())


def ratio(seconds, others):
    return statistics.median(a / b for a, b in zip(seconds, others, strict=True))


if __name__ == "__main__":
    main()
