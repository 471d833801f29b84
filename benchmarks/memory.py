"""Measure the peak memory of `fit`, beyond X, Y and imported modules.

Each contender runs in a fresh process, which imports its modules, creates X (float32) and Y
(bytes), fits a tiny data set once, and then fits this one. Meanwhile this script reads the memory
of that process every 2 ms, from outside, so that no computation delays a reading. It counts
anonymous pages (resident less shared pages in /proc/PID/statm): the kernel can drop pages of a
file, which are resident for a np.memmap, at any time. Needs Linux.

The column "first fit" is the memory that the tiny fit adds: imports and threads, once per process.

    python benchmarks/memory.py
    python benchmarks/memory.py --rows 100000 --repeats 1
"""

import argparse
import importlib
import os
import select
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from contenders import (
    TASKS,
    WARM_UP,
    fit_bare,
    fit_mlloss,
    fit_sklearn,
    fit_skorch,
    fit_stopping,
    make_table,
    print_machine,
)

# The function that fits, the module to import before it, and whether X is a np.memmap.
CONTENDERS = {
    "mlloss": (fit_mlloss, "sklearn_mlloss.classifier", False),
    "mlloss, early stopping": (fit_stopping, "sklearn_mlloss.classifier", False),
    "mlloss, X in a file": (fit_mlloss, "sklearn_mlloss.classifier", True),
    "bare": (fit_bare, "torch", False),
    "skorch": (fit_skorch, "skorch", False),
    "sklearn": (fit_sklearn, "sklearn.neural_network", False),
}
AIM = 60
MIB = 2**20


def child(name, task):
    """Fit in this process, and report each stage."""
    fit, module, in_file = CONTENDERS[name]
    importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        X, Y = make_table(task, np.uint8)
        if in_file:
            path = Path(folder) / "X.npy"
            np.save(path, X)
            X = np.load(path, mmap_mode="r")
        stage("data")
        fit(*make_table(WARM_UP, np.uint8), WARM_UP)
        stage("first fit")
        fit(X, Y, task)
        stage("fit")


def stage(text):
    """Report the end of a stage to the parent, and wait for its answer."""
    print(text, flush=True)
    sys.stdin.readline()


def anonymous(pid):
    """Return the anonymous memory of a process in MiB."""
    _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / MIB


def measure(name, n_rows):
    """Return the MiB with the data, and those that the first fit and the fit's peak add."""
    command = [sys.executable, __file__, "--child", name, "--rows", str(n_rows)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:

        def peak_until(text):
            """Return the largest and the last reading of a stage."""
            largest = last = 0.0
            while not select.select([process.stdout], [], [], 0.002)[0]:
                last = anonymous(process.pid)
                largest = max(largest, last)
            line = process.stdout.readline().strip()
            if line != text:
                raise RuntimeError(f"{name}: expected {text!r}, got {line!r}")
            last = anonymous(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            return max(largest, last), last

        _, data = peak_until("data")
        _, ready = peak_until("first fit")
        peak, _ = peak_until("fit")
    return data, ready - data, peak - ready


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rows", type=int, default=TASKS["XL"].n_rows)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    task = replace(TASKS["XL"], n_rows=options.rows)
    if options.child:
        child(options.child, task)
        return
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    print_machine()
    size = task.n_rows * (4 * task.n_features + task.n_labels) / MIB
    print(f"\n{task}; X and Y have {size:.0f} MiB; MiB, aim for mlloss {AIM}")
    print(f"{'contender':<24}{'with data':>12}{'first fit':>12}{'peak of fit':>14}")
    for name in options.contenders:
        readings = [measure(name, options.rows) for _ in range(options.repeats)]
        data, first, fit = (statistics.median(column) for column in zip(*readings, strict=True))
        print(f"{name:<24}{data:>12.0f}{first:>12.0f}{fit:>14.0f}", flush=True)


if __name__ == "__main__":
    main()
