"""Time ``MultiLabelNetClassifier.fit`` against hand-written loops, skorch and scikit-learn.

Contenders take turns; ratios are medians of those within each round. "aim" is the largest ratio
that is good enough on two cores.

    python benchmarks/fit.py --quick
    python benchmarks/fit.py --shapes S M --repeats 7 --contenders bare mlloss --dropout 0.1
    python benchmarks/fit.py --losses separable --shapes S     the bare loop has the same loss
    python benchmarks/fit.py --early-stopping                  with and without, equal epochs
    python benchmarks/fit.py --busy                            beside a busy process
    python benchmarks/fit.py --precisions                      bf16 compared with float32
    python benchmarks/fit.py --cuda                            GPU compared with CPU
    python benchmarks/fit.py --profile --shapes S XL           time by function
"""

import argparse
import cProfile
import pstats
import statistics
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from contenders import (
    FITS,
    TASKS,
    WARM_UP,
    fit_bare,
    fit_mlloss,
    fit_stopping,
    make_table,
    print_machine,
    ratio,
    take_turns,
)

from sklearn_mlloss.losses import LOSSES, SeparableLoss

# The largest ratio of this package's time to each contender's that is good enough; "loss" is the
# bare loop with any other separable loss.
AIMS = {
    "S": {"bare": 0.40, "sklearn": 0.40, "skorch": 0.12, "loss": 0.65},
    "M": {"bare": 0.55, "sklearn": 0.40, "skorch": 0.18, "loss": 0.70},
    "B": {"bare": 0.85, "sklearn": 0.40, "skorch": 0.50, "loss": 0.90},
    "W": {"bare": 0.95, "sklearn": 0.28, "skorch": 0.55, "loss": 1.05},
    "XL": {"bare": 0.75, "sklearn": 0.18, "skorch": 0.12, "loss": 0.85},
}
STOPPING_AIM, BUSY_AIM = 1.15, 1.5
# Too slow on large shapes to wait for on every change.
LARGE = ("B", "W", "XL")
SLOW = ("dataloader", "skorch", "sklearn")
# These support binary cross-entropy only; scikit-learn does not support dropout, either.
ONE_LOSS = ("skorch", "sklearn")


def choose(names, label, task, quick):
    """Return the contenders that support the task, without slow ones if `quick`."""
    left_out = set(ONE_LOSS) if task.loss != "bce" else {"sklearn"} if task.dropout else set()
    if quick and label in LARGE:
        left_out |= set(SLOW)
    return [name for name in names if name not in left_out]


def compare(label, task, names, repeats):
    """Print the median seconds of each contender, and ratios."""
    X, Y = make_table(task)
    seconds = take_turns({name: partial(FITS[name], X, Y, task) for name in names}, repeats)
    print(f"\n{label}: {task}, loss {task.loss}")
    print(f"{'contender':<12}{'seconds':>10}{'x bare':>10}{'mlloss x it':>14}{'aim':>8}")
    aims = AIMS[label]
    if task.loss != "bce":
        separable = issubclass(LOSSES[task.loss], SeparableLoss)
        aims = {"bare": aims["loss"]} if separable else {}
    for name, times in seconds.items():
        cells = [f"{name:<12}{statistics.median(times):>10.3f}"]
        cells.append(f"{ratio(times, seconds['bare']):>10.2f}" if "bare" in seconds else " " * 10)
        if "mlloss" in seconds and name != "mlloss":
            cells.append(f"{ratio(seconds['mlloss'], times):>14.2f}")
            cells.append(f"{aims[name]:>8.2f}" if name in aims else "")
        print("".join(cells).rstrip(), flush=True)


def compare_losses(label, task, losses, repeats):
    """Print the ratio to the bare loop for each loss."""
    X, Y = make_table(task)
    bce, other = AIMS[label]["bare"], AIMS[label]["loss"]
    print(f"\n{label}: {task}; aim {other:.2f} for separable losses, {bce:.2f} for bce")
    print(f"{'loss':<24}{'bare, s':>10}{'mlloss, s':>12}{'mlloss x bare':>16}")
    for loss in losses:
        chosen = replace(task, loss=loss)
        runs = {name: partial(FITS[name], X, Y, chosen) for name in ("bare", "mlloss")}
        seconds = take_turns(runs, repeats)
        bare, mlloss = (statistics.median(times) for times in seconds.values())
        quotient = ratio(seconds["mlloss"], seconds["bare"])
        print(f"{loss:<24}{bare:>10.3f}{mlloss:>12.3f}{quotient:>16.2f}", flush=True)


def compare_stopping(label, task, repeats):
    """Print the cost of early stopping if it never stops.

    It trains on nine tenths of the rows and scores the others, so it is compared with a fit
    without it on all rows, and with one on as many rows as it trains on.
    """
    X, Y = make_table(task)
    n_train = round(0.9 * len(X))
    runs = {
        "with": partial(fit_stopping, X, Y, task),
        "without": partial(fit_mlloss, X, Y, task),
        "without, 9/10 of rows": partial(fit_mlloss, X[:n_train], Y[:n_train], task),
    }
    seconds = take_turns(runs, repeats)
    print(f"\n{label}: {task}, loss {task.loss}; aim {STOPPING_AIM}")
    print(f"{'early stopping':<24}{'seconds':>10}{'with x it':>12}")
    for name, times in seconds.items():
        quotient = ratio(seconds["with"], times)
        print(f"{name:<24}{statistics.median(times):>10.3f}{quotient:>12.2f}", flush=True)


@contextmanager
def neighbour():
    """Keep one core busy with another process."""
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()


def compare_busy(label, task, names, repeats):
    """Print how much slower each contender is beside a busy process."""
    X, Y = make_table(task)
    runs = {name: partial(FITS[name], X, Y, task) for name in names}
    quiet, busy = ({name: [] for name in names} for _ in range(2))
    for _ in range(repeats):
        for name, times in take_turns(runs, 1).items():
            quiet[name] += times
        with neighbour():
            for name, times in take_turns(runs, 1).items():
                busy[name] += times
    print(f"\n{label}: {task}, loss {task.loss}; aim {BUSY_AIM}")
    print(f"{'contender':<12}{'alone, s':>10}{'beside, s':>12}{'beside x alone':>16}")
    for name in names:
        alone, beside = statistics.median(quiet[name]), statistics.median(busy[name])
        print(f"{name:<12}{alone:>10.3f}{beside:>12.3f}{ratio(busy[name], quiet[name]):>16.2f}")


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--losses", nargs="+", choices=("separable", "all", *sorted(LOSSES)), metavar="LOSS"
    )
    mode.add_argument("--early-stopping", action="store_true")
    mode.add_argument("--busy", action="store_true")
    mode.add_argument("--profile", action="store_true")
    mode.add_argument("--precisions", action="store_true")
    mode.add_argument("--cuda", action="store_true")
    parser.add_argument("--shapes", nargs="+", choices=TASKS, help="all; S for --busy")
    parser.add_argument(
        "--contenders", nargs="+", choices=FITS, help="all; bare and mlloss for --busy"
    )
    parser.add_argument("--loss", choices=sorted(LOSSES), default="bce", metavar="LOSS")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="only bare and mlloss on the large shapes"
    )
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    # Loops on two threads can take a hundred times as long beside a busy process.
    options.shapes = options.shapes or (["S"] if options.busy else list(TASKS))
    options.contenders = options.contenders or (["bare", "mlloss"] if options.busy else list(FITS))
    return options


def compare_precisions(label, task, repeats):
    """Print the ratio of a fit with matrix products in bfloat16 to one in float32."""
    X, Y = make_table(task)
    fits = {name: partial(fit_mlloss, X, Y, task, precision=name) for name in ("float32", "bf16")}
    seconds = take_turns(fits, repeats)
    print(f"\n{label}: {task}")
    for name, times in seconds.items():
        print(
            f"{name:<12}{statistics.median(times):>10.3f}{ratio(times, seconds['float32']):>10.2f}"
        )


def compare_devices(label, task, repeats):
    """Print the times of the bare loop and of this package on CPU and GPU."""
    X, Y = make_table(task)
    fits = {"bare": fit_bare, "mlloss": fit_mlloss}
    runs = {
        f"{name}, {device}": partial(fit, X, Y, task, device=device)
        for name, fit in fits.items()
        for device in ("cpu", "cuda")
    }
    take_turns(runs, 1)
    seconds = take_turns(runs, repeats)
    print(f"\n{label}: {task}, loss {task.loss}")
    print(f"{'contender':<16}{'seconds':>10}{'x bare, cuda':>16}{'x mlloss, cpu':>16}")
    for name, times in seconds.items():
        ratios = [ratio(times, seconds[other]) for other in ("bare, cuda", "mlloss, cpu")]
        cells = "".join(f"{value:>16.2f}" for value in ratios)
        print(f"{name:<16}{statistics.median(times):>10.3f}{cells}", flush=True)


def print_profile(label, task):
    """Print the time of one fit by function."""
    X, Y = make_table(task)
    fit_mlloss(X, Y, task)
    profile = cProfile.Profile()
    profile.runcall(fit_mlloss, X, Y, task)
    print(f"\n{label}: {task}")
    pstats.Stats(profile).sort_stats("tottime").print_stats(16)


def main():
    options = parse()
    print_machine()
    losses = options.losses
    if losses == ["separable"]:
        losses = [name for name in sorted(LOSSES) if issubclass(LOSSES[name], SeparableLoss)]
    elif losses == ["all"]:
        losses = sorted(LOSSES)
    # The first fit of a process imports and allocates: start.py measures that.
    for name in {"bare", "mlloss", *options.contenders}:
        FITS[name](*make_table(WARM_UP), WARM_UP)
    for label in options.shapes:
        task = replace(TASKS[label], loss=options.loss, dropout=options.dropout)
        names = choose(options.contenders, label, task, options.quick)
        if losses:
            compare_losses(label, task, losses, options.repeats)
        elif options.early_stopping:
            compare_stopping(label, task, options.repeats)
        elif options.precisions:
            compare_precisions(label, task, options.repeats)
        elif options.cuda:
            compare_devices(label, task, options.repeats)
        elif options.profile:
            print_profile(label, task)
        elif options.busy:
            compare_busy(label, task, names, options.repeats)
        else:
            compare(label, task, names, options.repeats)


if __name__ == "__main__":
    main()
