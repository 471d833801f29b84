"""Training on tables that come one after the other, since together they do not fit in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._data.interrupts import Interrupt
from ..._data.rows import Rows
from ..batches import Batches, Table, to_tensors
from ..callbacks import Progress, StopTraining
from ..device import seed_generators
from ..fit import Prepared, Trained
from ..linear import deviations_of
from ..net import TableNet
from .buffers import Buffers
from .ranks import Ranks

__all__ = ["Position", "Tables", "train_on_tables"]


class Tables:
    """The buffers as tables on the device, with what the linear part of the net says of them.

    Attributes
    ----------
    n_rows, n_tables, n_checks : int
        Those of one epoch, the rows of all ranks together.
    ranks : Ranks or None
        The processes that train the net together.
    in_memory : tuple
        The sample of the training rows, and the held-out rows or None.
    """

    def __init__(
        self,
        net: TableNet,
        buffers: Buffers,
        sizes: list[list[int]],
        ready: Prepared,
        train: np.ndarray,
        device: torch.device,
        seed: int,
        n_checks: int,
        ranks: Ranks | None,
    ):
        self.net, self.buffers, self.device = net, buffers, device
        self.sizes, self.n_checks, self.ranks = sizes, n_checks, ranks
        self.n_rows, self.n_tables = sum(map(sum, sizes)), len(sizes[0])
        # Others for each rank, so that dropout is.
        self.seed = [seed] if ranks is None else [seed, ranks.rank]
        # The net moves to its device, and rows are read on the CPU.
        self.linear = copy.deepcopy(net.linear_part())
        of_train, self.of_valid = ready.known
        # The linear part has seen the rows of the sample.
        self.known: Tensor | None = None
        if of_train is not None:
            self.known = of_train.new_zeros(len(buffers.places), of_train.shape[1])
            self.known[torch.from_numpy(train)] = of_train
        sample = self._table(ready.train, of_train)
        valid = None if ready.valid is None else self._table(ready.valid, self.of_valid)
        self.in_memory = sample, valid

    def epoch(self, epoch: int, first: int) -> Generator[tuple[Table, int]]:
        """Yield the tables of an epoch from the given one on, each with a seed."""
        with closing(self.buffers.epoch(epoch, first)) as buffers:
            # `enumerate` would keep a buffer until the next one is there.
            number = first
            for rows, places in buffers:
                rows = self.net.encoder_.transform(rows)
                known = None
                if self.linear is not None:
                    known = deviations_of(self.linear, rows.X)
                    if self.known is not None:
                        inside = torch.from_numpy(np.flatnonzero(places >= 0))
                        known[inside] = self.known[torch.from_numpy(places)[inside]]
                seed = np.random.SeedSequence([*self.seed, epoch, number]).generate_state(1)[0]
                table = [self._table(rows, known)]
                del rows, known
                yield table.pop(), int(seed)
                number += 1

    def sizes_of(self, table: int) -> list[int]:
        """Return the numbers of rows of the tables of all ranks with this number."""
        return [sizes[table] for sizes in self.sizes]

    def ends_check(self, table: int) -> bool:
        """Return whether there is a check after the table of this number."""
        before, after = (k * self.n_checks // self.n_tables for k in (table, table + 1))
        return after > before

    def _table(self, rows: Rows, known: Tensor | None) -> Table:
        if known is None and self.linear is not None:
            known = deviations_of(self.linear, rows.X)
        return to_tensors(rows, self.device, known)


@dataclass
class Position:
    """How far a training is.

    Attributes
    ----------
    epoch, table : int
        Number of the pass over all rows, and of the next table in it.
    loss, n_rows : float, int
        Sum of the losses of the rows since the last check, and their number.
    n_checks : int
        Checks made.
    begun : bool
        Whether there was a table since the last check.
    """

    epoch: int = 0
    table: int = 0
    begun: bool = False
    loss: float = 0.0
    n_rows: int = 0
    n_checks: int = 0

    def has_weights(self, valid: Any) -> bool:
        """Return whether there are weights to keep: without held-out rows those after a table."""
        return self.n_checks > 0 or (valid is None and self.n_rows > 0)


def train_on_tables(
    net: TableNet,
    tables: Tables,
    sample: Table,
    valid: Table | None,
    n_epochs: int,
    position: Position,
    done: Callable[[TableNet, Position], None],
    observers: Sequence[Progress] = (),
    interrupt: Interrupt | None = None,
) -> Trained:
    """Train a net on tables; each check ends an epoch of its history.

    Parameters
    ----------
    net : TableNet
        On its device, as `build_net` made it, or as it was at `position`.
    tables : Tables
    sample : Table
        Some of the training rows, on which the trained network is checked.
    valid : Table or None
        Held-out rows.
    n_epochs : int
        Passes over all rows, at the most.
    position : Position
        Where to begin; it is updated.
    done : callable (net, position)
        Called after each table, unless training ends there. It may raise `StopTraining`.
    observers : sequence of Progress
    interrupt : Interrupt, optional
        Ends training when it comes, and holds as soon as there are weights to keep.

    Returns
    -------
    Trained
    """
    if interrupt is not None and position.has_weights(valid):
        interrupt.holds = True
    improving = net.train_by(
        lambda: _pass_over(net, tables, valid, n_epochs, position, done),
        sample,
        valid,
        n_epochs * tables.n_checks,
        n_rows=tables.n_rows,
        goes_on=position != Position(),
        observers=observers,
        interrupt=interrupt,
    )
    rule = net.best_weights()
    return Trained(
        net, improving, position.n_checks if valid is None or rule is None else rule.best_epoch_
    )


def _pass_over(
    net: TableNet,
    tables: Tables,
    valid: Table | None,
    n_epochs: int,
    position: Position,
    done: Callable[[TableNet, Position], None],
) -> None:
    try:
        while position.epoch < n_epochs:
            # The reader ends with the pass, whatever ends it.
            with (
                closing(tables.epoch(position.epoch, position.table)) as stream,
                closing(_together(stream, tables.ranks)) as items,
            ):
                for table, seed in items:
                    _train_on(net, tables, table, seed, valid, position)
                    del table  # before the next one is made
                    done(net, position)
    except StopTraining:
        if position.begun and position.n_rows and valid is None:
            _end_check(net, tables.ranks, position)
        elif position.begun:
            del net.history[-1:]
        raise


def _together(
    stream: Generator[tuple[Table, int]], ranks: Ranks | None
) -> Generator[tuple[Table, int]]:
    """Yield tables; if reading fails on one rank, raise on all."""
    if ranks is None:
        yield from stream
        return
    while True:
        item = ranks.together(lambda: next(stream, None))
        if item is None:  # on all ranks: they have as many tables
            return
        yield item


def _train_on(
    net: TableNet,
    tables: Tables,
    table: Table,
    seed: int,
    valid: Table | None,
    position: Position,
) -> None:
    """Train on a table, and perhaps end the epoch of the history."""
    datasets: dict[str, Any] = {"dataset_train": table, "dataset_valid": valid}
    ranks, number = tables.ranks, position.table
    if not position.begun:
        position.begun = True
        _notify(net, ranks, "on_epoch_begin", datasets)
    seed_generators(seed, table.device)
    generator = torch.Generator().manual_seed(seed)
    if net.fused_ is not None:
        net.fused_.encoded = None  # of the last table
    if ranks is None:
        batches = Batches(table, net.batch_size, shuffle=True, generator=generator)
        net.run_single_epoch(batches, True, "train", net.train_step)
    else:
        batches = ranks.batches(table, tables.sizes_of(number), net.batch_size, generator)
        ranks.together(lambda: net.run_single_epoch(batches, True, "train", net.train_step))
    position.loss += net.history[-1, "train_loss"] * len(table)
    position.n_rows += len(table)
    position.table += 1
    if position.table == tables.n_tables:
        position.epoch, position.table = position.epoch + 1, 0
    if net.interrupt_ is not None and position.has_weights(valid):
        net.interrupt_.holds = True
    if not tables.ends_check(number):
        return
    held_out = None if valid is None else net.get_iterator(valid, training=False)
    net.run_single_epoch(held_out, False, "valid", net.validation_step)
    _end_check(net, ranks, position)
    _notify(net, ranks, "on_epoch_end", datasets)


def _end_check(net: TableNet, ranks: Ranks | None, position: Position) -> None:
    """Record the mean loss of the rows since the last check."""
    sums = [position.loss, position.n_rows]
    loss, n_rows = sums if ranks is None else ranks.total(*sums)
    net.record_loss("train", loss / n_rows)
    position.loss, position.n_rows, position.begun = 0.0, 0, False
    position.n_checks += 1


def _notify(net: TableNet, ranks: Ranks | None, event: str, datasets: dict[str, Any]) -> None:
    """Call the callbacks; if those of one rank end training, or fail, so do all ranks."""
    if ranks is None:
        net.notify(event, **datasets)
    elif any(ranks.all(ranks.together(partial(_ends, net, event, datasets)))):
        raise StopTraining


def _ends(net: TableNet, event: str, datasets: dict[str, Any]) -> bool:
    try:
        net.notify(event, **datasets)
    except StopTraining:
        return True
    return False
