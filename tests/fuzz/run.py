"""Run random cases on all cores: make fuzz MINUTES=5 SEED=0, or make fuzz SEED=0 CASE=123."""

import argparse
import faulthandler
import itertools
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection, wait

from .cases import run_case

# A case takes a tenth of a second as a rule; one that takes so many seconds hangs.
PATIENCE = 120


def work(connection: Connection, seed: int) -> None:
    """Run the cases with the numbers that arrive, and send back failures."""
    faulthandler.enable()
    while (number := connection.recv()) is not None:
        connection.send(run_case(seed, number))


class Worker:
    """A process that runs one case at a time."""

    def __init__(self, seed: int):
        self.connection, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(other, seed), daemon=True)
        self.process.start()
        other.close()

    def begin(self, number: int) -> None:
        self.number, self.end = number, time.monotonic() + PATIENCE
        self.connection.send(number)

    def result(self) -> str | None:
        """Return the failure of the case, which has ended or has taken too long."""
        if not self.connection.poll(max(0, self.end - time.monotonic())):
            return f"case {self.number} hangs"
        try:
            return self.connection.recv()
        except (EOFError, ConnectionError):
            return f"case {self.number} has ended the process"


def run_all(seed: int, n_cases: int, minutes: float, n_jobs: int) -> int:
    """Run cases until there are enough, or no time is left; return how many failed."""
    start, numbers = time.monotonic(), itertools.count()
    n_done, failed, busy = 0, 0, []

    def begin(worker: Worker) -> None:
        number = next(numbers)
        if number < n_cases and time.monotonic() - start < 60 * minutes:
            worker.begin(number)
            busy.append(worker)
        else:
            worker.connection.send(None)

    for _ in range(n_jobs):
        begin(Worker(seed))
    while busy:
        wait([worker.connection for worker in busy], timeout=1)
        now = time.monotonic()
        for worker in [w for w in busy if w.connection.poll() or now > w.end]:
            busy.remove(worker)
            found = worker.result()
            n_done, failed = n_done + 1, failed + (found is not None)
            if found is not None:
                print(found, end="\n\n", flush=True)
            if not worker.process.is_alive() or now > worker.end:
                worker.process.kill()
                worker = Worker(seed)
            begin(worker)
    seconds = time.monotonic() - start
    print(f"{n_done} cases of seed {seed} in {seconds:.0f} s, {failed} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--case", type=int, help="number of the one case to run")
    args = parser.parse_args()
    if args.case is None:
        return run_all(args.seed, args.cases, args.minutes, args.jobs) > 0
    found = run_case(args.seed, args.case)
    print(found or f"case {args.case} of seed {args.seed}: nothing is wrong")
    return found is not None


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main())
