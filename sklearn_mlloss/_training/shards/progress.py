"""What a fit by shards prints while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...streaming._settings import Streaming
from .tables import Position

__all__ = ["Report", "reported"]

# Seconds between two lines.
PAUSE = 5.0


def reported(estimator: Any, shards: Sequence[int]) -> Iterator[int]:
    """Yield shards for the first pass; print how many have been read, if that is asked for."""
    begin = last = time.perf_counter()
    for number, shard in enumerate(shards):
        now = time.perf_counter()
        if estimator.verbose and number and now - last >= PAUSE:
            last = now
            left = (now - begin) * (len(shards) - number) / number
            print(
                f"[{type(estimator).__name__}] first pass: {number / len(shards):.0%} of "
                f"{len(shards)} shards, {left:.0f} s left",
                flush=True,
            )
        yield shard


@dataclass
class Report:
    """Progress of the training, and when its state is to be saved."""

    estimator: Any
    n_rows: int
    settings: Streaming
    steps: float
    n_tables: int

    def __post_init__(self) -> None:
        self.begin = self.last = time.perf_counter()
        self.first: int | None = None

    def is_due(self, position: Position) -> bool:
        """Return whether the state is to be saved now."""
        if self.settings.steps_per_checkpoint is None:
            return position.table == 0
        every = max(1, round(self.settings.steps_per_checkpoint / (self.steps / self.n_tables)))
        return (position.epoch * self.n_tables + position.table) % every == 0

    def show(self, position: Position) -> None:
        """Print rows per second and the time left of the pass, if that is asked for."""
        now = time.perf_counter()
        number = position.epoch * self.n_tables + position.table
        if self.first is None:
            self.first = number - 1
        is_end = position.table == 0
        if not self.estimator.verbose or (now - self.last < PAUSE and not is_end):
            return
        self.last = now
        epoch = position.epoch if is_end else position.epoch + 1
        share = 1.0 if is_end else position.table / self.n_tables
        rate = (number - self.first) * self.n_rows / self.n_tables / max(now - self.begin, 1e-9)
        print(
            f"[{type(self.estimator).__name__}] pass {epoch} of at most "
            f"{self.estimator.max_epochs}: {share:.0%} of {self.n_rows:,} rows, {rate:,.0f} rows "
            f"per second, {(1 - share) * self.n_rows / rate:.0f} s left in this pass",
            flush=True,
        )
