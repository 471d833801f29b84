"""Time the first fit of a process, with its imports and one-time setup.

Each repeat starts a fresh process for each contender. It imports torch, scikit-learn and skorch,
then this package, and fits the smallest data set of fit.py twice. Prints medians of the seconds of
both imports and both fits, and whether a fit has imported torch._dynamo (1.7 s and 78 MiB, by the
first optimiser of torch).

    python benchmarks/start.py
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

CONTENDERS = ("mlloss", "bare")
AIM = 0.5


def child(name):
    """Print the times of this process as JSON."""
    # Imported here, and in this order, because the imports are timed.
    marks = [time.perf_counter()]
    import sklearn.base  # noqa: F401
    import skorch  # noqa: F401
    import torch  # noqa: F401

    marks.append(time.perf_counter())
    from sklearn_mlloss import MultiLabelNetClassifier  # noqa: F401

    marks.append(time.perf_counter())
    from contenders import FITS, TASKS, make_table

    task = TASKS["S"]
    X, Y = make_table(task)
    before = "torch._dynamo" in sys.modules
    fits = []
    for _ in range(2):
        start = time.perf_counter()
        FITS[name](X, Y, task)
        fits.append(time.perf_counter() - start)
    seconds = [b - a for a, b in zip(marks, marks[1:], strict=False)] + fits
    print(json.dumps({"seconds": seconds, "dynamo": [before, "torch._dynamo" in sys.modules]}))


def start(name):
    """Return the times of a fresh process."""
    command = [sys.executable, __file__, "--child", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    from contenders import TASKS, print_machine

    print_machine()
    reports = {name: [] for name in CONTENDERS}
    for _ in range(options.repeats):
        for name in CONTENDERS:
            reports[name].append(start(name))
    print(f"\n{TASKS['S']}; aim: first - second at most {AIM} s for mlloss")
    print(f"{'contender':<12}{'torch etc.':>12}{'this package':>14}", end="")
    print(f"{'first':>8}{'second':>8}{'first - second':>16}   torch._dynamo after imports, fits")
    for name, runs in reports.items():
        rows = [report["seconds"] for report in runs]
        cells = [statistics.median(column) for column in zip(*rows, strict=True)]
        more = statistics.median(row[2] - row[3] for row in rows)
        dynamo = ", ".join("yes" if loaded else "no" for loaded in runs[-1]["dynamo"])
        print(f"{name:<12}{cells[0]:>12.2f}{cells[1]:>14.2f}", end="")
        print(f"{cells[2]:>8.2f}{cells[3]:>8.2f}{more:>16.2f}   {dynamo}")


if __name__ == "__main__":
    main()
