"""Train one epoch from Parquet files: peak memory, and rows per second against rows in memory.

Writes random rows (float32) into a temporary folder unless there are files in `--folder`, then
trains each contender in fresh processes that take turns: all rows from Parquet ("stream"), the same
by two ranks of torchrun, and the first rows, as many as `--in-memory`, as arrays ("memory").
Throughput is that of training, without the first pass of the stream and without the conversion of
the arrays; it is the median of the rounds, and ratios are the medians of those within rounds. "peak
MiB" is the peak resident size of a process with all its imports, of the larger rank. Each process
has as many threads of torch as `--threads`. Needs pyarrow and Linux. The file cache is warm after
the first round, if it holds the files.

Two ranks also print what it costs to sum the gradients: milliseconds per step in training, which
include waiting for the other rank, as a share of training, and milliseconds of the sum alone, after
training.

    python benchmarks/stream.py                          20 million rows, 5 GB
    python benchmarks/stream.py --rows 2000000 --busy    beside a process that keeps a core busy
    python benchmarks/stream.py --rows 262144 --in-memory 200000 --units 1024 --repeats 1
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CONTENDERS = ("stream", "two ranks", "memory")
N_FEATURES, GROUP, PER_FILE = 64, 2**17, 2**20


def names(n_labels):
    """Return the columns of labels."""
    return [f"y{k}" for k in range(n_labels)]


def write(folder, n_rows, n_labels):
    """Write rows whose labels are linear in the columns, and noise."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((N_FEATURES, n_labels), dtype=np.float32) / 8
    for number, start in enumerate(range(0, n_rows, PER_FILE)):
        X = rng.standard_normal((min(PER_FILE, n_rows - start), N_FEATURES), dtype=np.float32)
        noise = rng.standard_normal((len(X), n_labels), dtype=np.float32)
        Y = (X @ weights + noise > 1).astype(np.uint8)
        columns = {f"x{k}": X[:, k] for k in range(N_FEATURES)}
        table = pa.table(columns | dict(zip(names(n_labels), Y.T, strict=True)))
        pq.write_table(table, folder / f"{number:05}.parquet", row_group_size=GROUP)


def child(contender, folder, n_rows, n_labels, n_units, at_once):
    """Train in this process, and print what it took."""
    from sklearn_mlloss import MultiLabelNetClassifier
    from sklearn_mlloss._training.net import TableNet
    from sklearn_mlloss._training.shards.ranks import Ranks
    from sklearn_mlloss.streaming import ParquetRows, Streaming

    rows = ParquetRows(folder, labels=names(n_labels))
    begun = {}
    plain = TableNet.run_single_epoch

    def noted(net, batches, training, *args, **kwargs):
        if training:
            begun.setdefault("at", time.perf_counter())
        plain(net, batches, training, *args, **kwargs)
        if training:
            begun["rows"] = begun.get("rows", 0) + len(batches.table)
            begun["until"] = time.perf_counter()

    TableNet.run_single_epoch = noted
    sums, add = [], Ranks.add

    def timed(ranks, gradients):
        start = time.perf_counter()
        add(ranks, gradients)
        sums.append((time.perf_counter() - start, gradients.numel()))

    Ranks.add = timed
    net = MultiLabelNetClassifier(
        decoder="threshold", max_epochs=1, early_stopping=False, random_state=0, batch_size=512,
        hidden_layer_sizes=(n_units, n_units), dropout=0, encoding="standard",
    )  # fmt: skip
    distributed = "torch" if contender == "two ranks" else None
    net.set_params(streaming=Streaming(distributed=distributed))
    if at_once is not None:
        net.set_params(streaming__shards_at_once=at_once)
    if contender == "memory":
        parts = [block for shard in range(-(-n_rows // GROUP)) for block in rows.read(shard)]
        X = np.concatenate([part[0].to_numpy(np.float32) for part in parts])[:n_rows]
        Y = np.concatenate([part[1].to_numpy(np.uint8) for part in parts])[:n_rows]
        net.set_params(streaming=None)
    start = time.perf_counter()
    _ = net.fit(X, Y) if contender == "memory" else net.fit(rows)
    end = time.perf_counter()
    # A stream waits for its first buffer, which is read while nothing is trained.
    seconds = begun["until"] - begun["at"]
    result = {"rows": begun["rows"] / seconds, "MiB": peak(), "s": end - start}
    if sums:
        result |= cost_of_sums([spent for spent, _ in sums], seconds, sums[0][1])
    # Of two ranks, each line is one write: they share a pipe.
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def cost_of_sums(spent, seconds, n_weights):
    """Return what it costs to sum the gradients of two ranks."""
    import torch

    gradients, alone = torch.zeros(n_weights), []
    for _ in range(200):
        start = time.perf_counter()
        torch.distributed.all_reduce(gradients)
        alone.append(time.perf_counter() - start)
    return {
        "weights": n_weights,
        "ms per step": 1000 * statistics.mean(spent),
        "share": sum(spent) / seconds,
        "ms alone": 1000 * statistics.median(alone),
    }


def peak():
    """Return the peak resident size in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(contender, folder, n_rows, n_labels, n_units, at_once, threads):
    """Return what fresh processes print: rows per second of all, and the largest of the rest."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2"] * (contender == "two ranks")
    arguments = [*launch, __file__, "--child", contender, "--folder", folder]
    arguments += ["--in-memory", n_rows, "--labels", n_labels, "--units", n_units]
    arguments += [] if at_once is None else ["--at-once", at_once]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], check=True, capture_output=True, env=environment
    )
    printed = [json.loads(line) for line in result.stdout.splitlines() if line.startswith(b"{")]
    largest = {name: max(each[name] for each in printed) for name in printed[0]}
    return largest | {"rows": sum(each["rows"] for each in printed)}


def main():
    """Write the rows, let the contenders take turns, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--units", type=int, default=256, help="of each of the two hidden layers")
    parser.add_argument("--at-once", type=int, help="shards that are read in turn, if not default")
    parser.add_argument("--in-memory", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--busy", action="store_true", help="keep a core busy meanwhile")
    parser.add_argument("--child", choices=CONTENDERS)
    options = parser.parse_args()
    if options.child:
        arguments = options.in_memory, options.labels, options.units, options.at_once
        child(options.child, options.folder, *arguments)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not any(folder.glob("*.parquet")):
            write(folder, options.rows, options.labels)
        fixed = (
            folder, options.in_memory, options.labels, options.units, options.at_once,
            options.threads,
        )  # fmt: skip
        busy = (
            subprocess.Popen([sys.executable, "-c", "while True: pass"]) if options.busy else None
        )
        try:
            rounds = []
            for number in range(options.repeats):
                order = CONTENDERS[number % 3 :] + CONTENDERS[: number % 3]
                rounds.append({})
                for contender in order:
                    time.sleep(1)
                    rounds[-1][contender] = run(contender, *fixed)
                print({c: {k: float(f"{v:.3g}") for k, v in r.items()}
                       for c, r in rounds[-1].items()}, flush=True)  # fmt: skip
        finally:
            if busy is not None:
                busy.kill()
    for contender in CONTENDERS:
        rate, mib = (statistics.median(r[contender][k] for r in rounds) for k in ("rows", "MiB"))
        print(f"{contender:10} {rate:12,.0f} rows per second, peak MiB {mib:8.0f}")
    of_sums = {k: statistics.median(r["two ranks"][k] for r in rounds)
               for k in ("weights", "ms per step", "share", "ms alone")}  # fmt: skip
    print(
        f"gradients of {of_sums['weights']:,.0f} weights: {of_sums['ms per step']:.2f} ms per "
        f"step, {of_sums['share']:.0%} of training; {of_sums['ms alone']:.2f} ms alone"
    )
    for one, other in (("stream", "memory"), ("two ranks", "stream")):
        ratio = statistics.median(r[one]["rows"] / r[other]["rows"] for r in rounds)
        print(f"{one} / {other}: {ratio:.2f}")


if __name__ == "__main__":
    main()
