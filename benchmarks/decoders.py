"""Time `fit` and `decode` of each decoder that computes something: median seconds.

python benchmarks/decoders.py
python benchmarks/decoders.py --rows 100000 --labels 100 --decoders per_label_threshold
python benchmarks/decoders.py --rows 100000 --labels 100 --rare 50 --decoders per_label_threshold
"""

import argparse
import os
import platform
import statistics
import time

import numpy as np

from sklearn_mlloss.decoders import DECODERS, get_decoder

# `hierarchy` needs the parents of labels; the others compute next to nothing.
TIMED = [
    name
    for name in DECODERS
    if name not in ("hierarchy", "threshold", "argmax", "at_least_one", "cost")
]


def seconds(call):
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decoders", nargs="+", choices=TIMED, default=TIMED)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument(
        "--rare",
        type=int,
        default=0,
        help="labels with only 5 positives, which share a threshold",
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, numpy {np.__version__}")
    print(f"{options.rows} rows, {options.labels} labels, {options.rare} of them rare\n")
    rng = np.random.default_rng(0)
    scores = rng.beta(0.5, 2, (options.rows, options.labels))
    Y = (rng.random(scores.shape) < scores).astype(float)
    Y[5:, : options.rare] = 0
    Y[:5, : options.rare] = 1
    print(f"{'decoder':<22}{'fit':>8}{'decode':>8}")
    for name in options.decoders:
        decoder = get_decoder(name)
        fit = statistics.median(
            seconds(lambda d=decoder: d.fit(scores, Y)) for _ in range(options.repeats)
        )
        decode = statistics.median(
            seconds(lambda d=decoder: d.decode(scores)) for _ in range(options.repeats)
        )
        print(f"{name:<22}{fit:>8.2f}{decode:>8.2f}")


if __name__ == "__main__":
    main()
