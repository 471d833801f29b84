"""The callbacks of the user, as those of skorch are: what they see, and how they end training."""

from __future__ import annotations

import copy
import inspect
import opcode
import signal
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PassthroughScoring,
)
from skorch.dataset import Dataset

from .batches import Table

__all__ = ["TableDataset", "as_skorch", "check_callbacks", "follows_batches", "is_request"]


class TableDataset(Dataset):
    """A table as the callbacks of skorch see it: rows X and targets y, without weights.

    Parameters
    ----------
    table : Table
    """

    def __init__(self, table: Table):
        self.table = table

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a row and its targets."""
        X, (Y, _) = self.table.batch(torch.as_tensor([index]))
        return X[0], Y[0]

    @property
    def X(self) -> Any:
        """The rows, as `module_` takes them: an array or a CSR matrix."""
        return self.table.rows()

    @property
    def y(self) -> Any:
        """The indicator matrix; NaN where nothing was observed."""
        return self.table.Y.cpu().numpy()


def as_skorch(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a notification in the forms that callbacks of skorch know."""
    shown = {
        name: TableDataset(value) if isinstance(value, Table) else value
        for name, value in arguments.items()
    }
    if "batch" in shown:
        X, (Y, _) = shown["batch"]
        shown["batch"] = X, Y
    return shown


def follows_batches(callback: Callback) -> bool:
    """Return whether a callback must be notified of each batch."""
    # What `EpochScoring` does there is caching predictions, which is switched off.
    nothing = (Callback, EpochScoring)
    return any(
        all(getattr(type(callback), hook) is not getattr(kind, hook) for kind in nothing)
        for hook in ("on_batch_begin", "on_batch_end", "on_grad_computed")
    )


def check_callbacks(callbacks: Sequence[Any], scored: bool, monitored: bool) -> None:
    """Raise for callbacks of skorch that cannot do what they are for.

    Parameters
    ----------
    callbacks : sequence of Callback, or of pairs of a name and one
    scored : bool
        Whether there will be held-out rows to score in at least one training.
    monitored : bool
        Whether there will be held-out rows in each training.
    """
    held_out = {"valid_loss", "valid_score"}
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) else item
        monitor, problem = _monitor_of(callback), None
        kind = (callback if isinstance(callback, type) else type(callback)).__name__
        if isinstance(callback, EpochScoring | BatchScoring | PassthroughScoring):
            name = _name_of_score(callback)
            kind = f"{kind}({name!r})"
            held_out |= set() if callback.on_train else {name}
            if isinstance(callback, PassthroughScoring) and name == _LOSSES[not callback.on_train]:
                problem = f"finds no such loss there: set on_train={not callback.on_train}"
            elif not callback.on_train and not scored:
                problem = "scores held-out rows: set on_train=True, or early_stopping=True"
        elif isinstance(monitor, str) and monitor.removesuffix("_best") in held_out:
            kind = f"{kind}(monitor={monitor!r})"
            if not monitored:
                problem = (
                    "needs held-out rows in every training: set early_stopping=True, with cv also "
                    "ensemble=True, and leave it out for partial_fit"
                )
        elif kind == "InputShapeSetter":
            problem = "is not needed: module is called with the number of columns"
        if problem is not None:
            raise ValueError(f"callbacks: {kind} {problem}")


# That of the rows that are not trained on, and that of those that are.
_LOSSES = ("valid_loss", "train_loss")


def _monitor_of(callback: Any) -> Any:
    """Return the score that a callback of skorch waits for, if there is one."""
    watching = (Checkpoint, EarlyStopping, LRScheduler)
    if isinstance(callback, type) and issubclass(callback, watching):
        return inspect.signature(callback).parameters["monitor"].default
    return callback.monitor if isinstance(callback, watching) else None


def _name_of_score(callback: Any) -> str:
    # What scores finds out its name where it is initialized.
    return getattr(copy.deepcopy(callback).initialize(), "name_", callback.name)


def is_request(error: KeyboardInterrupt, outer: BaseException | None) -> bool:
    """Return whether a callback ends training as skorch's do, by raising KeyboardInterrupt.

    It does so with a `raise` statement. Ctrl-C, or the stop button of a notebook, interrupts
    whatever is executed at the time, by way of the signal handler.

    Parameters
    ----------
    error : KeyboardInterrupt
    outer : BaseException or None
        The exception that was being handled when the callback was called.
    """
    handlers = set(_signal_handlers())
    cause: BaseException | None = error
    while cause is not None and cause is not outer:
        if isinstance(cause, KeyboardInterrupt):
            frames = list(_frames(cause.__traceback__))
            code, at = frames[-1]
            if code.co_code[at : at + 1] != _RAISE or any(code in handlers for code, _ in frames):
                return False
        # A callback may have caught the interrupt of the user, and raised another.
        cause = cause.__context__
    return True


_RAISE = bytes([opcode.opmap["RAISE_VARARGS"]])


def _frames(traceback: TracebackType | None) -> Iterator[tuple[Any, int]]:
    """Yield the code of each frame, and the place of the instruction that raised."""
    while traceback is not None:
        yield traceback.tb_frame.f_code, traceback.tb_lasti
        traceback = traceback.tb_next


def _signal_handlers() -> Iterator[Any]:
    """Yield the code of the handlers of signals that are written in Python."""
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        for attribute in ("func", "__func__"):  # of a partial function, of a method
            handler = getattr(handler, attribute, handler)
        if callable(handler):
            for function in (handler, type(handler).__call__):
                if hasattr(function, "__code__"):
                    yield function.__code__
