"""The callbacks of a net: those of this package, and how those of the user are called."""

from __future__ import annotations

import copy
import inspect
import math
import opcode
import signal
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from skorch.dataset import Dataset
from torch import Tensor

from .._data.messages import describe
from .._data.progress import Task
from .._data.validation import naming
from .batches import Table
from .divergence import Diverged

if TYPE_CHECKING:
    from .net import TableNet

__all__ = [
    "BUILT_IN",
    "BestWeights",
    "EpochLog",
    "OutputsByEpoch",
    "Progress",
    "Schedule",
    "StopTraining",
    "TableDataset",
    "check_callbacks",
    "follows_batches",
    "is_request",
    "with_datasets",
]


class StopTraining(Exception):
    """Raised by a callback to end training."""


class BestWeights(Callback):
    """Stops when a score of the held-out rows no longer improves, and restores the best weights.

    Parameters
    ----------
    patience : int
        Epochs without improvement after which training stops.
    score : callable ``(net, table) -> float``, optional
        Computed on the held-out rows and recorded as "valid_score"; greater is better. Without
        it, the validation loss is minimised.

    Attributes
    ----------
    misses_ : int
        Epochs without improvement at the end of training.
    best_epoch_ : int
        Number of epochs, of this training, after which the weights were best.
    """

    # Relative improvement below which an epoch does not count as better, so that training does
    # not continue for gains in the last digit.
    tolerance = 1e-4

    def __init__(self, patience: int, score: Callable[[TableNet, Table], float] | None = None):
        self.patience = patience
        self.score = score

    def on_train_begin(self, net, **kwargs):
        """Forget the last training."""
        self.best_, self.misses_, self.state_ = -math.inf, 0, None
        self.best_epoch_, self.epochs_ = 0, 0

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        """Keep the weights if they are the best so far; without held-out rows do nothing."""
        if dataset_valid is None:
            return
        if self.score is None:
            value = -net.history[-1, "valid_loss"]
        else:
            value = self._checked(self.score(net, dataset_valid), net, len(dataset_valid))
            net.history.record("valid_score", value)
        self.epochs_ += 1
        is_best = self.state_ is None or value > self.best_ + self.tolerance * abs(self.best_)
        net.history.record("is_best", is_best)
        if is_best:
            self.best_, self.misses_, self.state_ = value, 0, net.weights()
            self.best_epoch_ = self.epochs_
            return
        self.misses_ += 1
        if self.misses_ >= self.patience:
            raise StopTraining

    def is_improving(self) -> bool:
        """Return whether there was an improvement within the last quarter of the patience."""
        return self.misses_ < max(1, self.patience // 4)

    def on_train_end(self, net, **kwargs):
        """Restore the best weights, and drop the copy."""
        if self.state_ is not None:
            net.set_weights(self.state_)
        self.state_ = None

    def _checked(self, score: Any, net: TableNet, n_rows: int) -> float:
        advice = "let it return a finite number, or raise validation_fraction"
        message = f"monitor returned {describe(score)} for the {n_rows} held-out rows"
        try:
            value = float(score)
        except (TypeError, ValueError):
            raise ValueError(f"{message}: {advice}") from None
        if not math.isfinite(value):
            raise Diverged(f"{message} in epoch {len(net.history)}: {advice}")
        return value


class Schedule(Callback):
    """Steps a learning rate scheduler of torch after each epoch.

    Parameters
    ----------
    make : callable ``optimizer -> scheduler``
    """

    def __init__(self, make: Callable[[torch.optim.Optimizer], Any]):
        self.make = make

    def on_train_begin(self, net, **kwargs):
        """Start the schedule; a single pass of `partial_fit` has none."""
        self.groups_ = [dict(group) for group in net.optimizer_.param_groups]
        self.scheduler_ = None
        if not net.whole_fit_:
            return
        example = "for instance lambda optimizer: StepLR(optimizer, step_size=10)"
        with naming(f"lr_schedule must be a function of the optimizer alone, {example}"):
            self.scheduler_ = self.make(net.optimizer_)
        of = getattr(self.scheduler_, "optimizer", net.optimizer_)
        if not callable(getattr(self.scheduler_, "step", None)) or of is not net.optimizer_:
            raise TypeError(
                "lr_schedule must return a torch scheduler of the optimizer that it gets, got "
                f"{describe(self.scheduler_)}: give a function, {example}"
            )
        self._check_rate(net)

    def on_epoch_end(self, net, **kwargs):
        """Record the learning rate of the epoch and step the scheduler."""
        net.history.record("learning_rate", net.optimizer_.param_groups[0]["lr"])
        if self.scheduler_ is None:
            return
        with naming(f"lr_schedule fails after epoch {len(net.history)}"):
            if isinstance(self.scheduler_, torch.optim.lr_scheduler.ReduceLROnPlateau):
                row = net.history[-1]
                self.scheduler_.step(row.get("valid_loss", row["train_loss"]))
            else:
                self.scheduler_.step()
        self._check_rate(net)

    def _check_rate(self, net: TableNet) -> None:
        rates = [group["lr"] for group in net.optimizer_.param_groups]
        if not all(map(math.isfinite, rates)):
            raise ValueError(
                f"lr_schedule must give finite learning rates, got {describe(rates)} after "
                f"{len(net.history)} epoch(s)"
            )

    def on_train_end(self, net, **kwargs):
        """Drop the scheduler, and restore the settings of the optimiser."""
        for group, before in zip(net.optimizer_.param_groups, self.groups_, strict=True):
            # From which a scheduler among the callbacks of the user continues.
            initial = {name: group[name] for name in ("initial_lr",) if name in group}
            group.clear()
            group.update(before | initial)
        del self.scheduler_, self.groups_


class OutputsByEpoch(Callback):
    """Keeps the outputs of held-out rows after each epoch, or each 2nd, 4th, ... if they are many.

    A network that stops early on its own fold is at the epoch that is best for these rows, and
    their scores are better than those of new rows. So the out-of-fold scores of a fold are those
    after as many epochs as the networks of the other folds needed, while the network stays as it
    is.

    Attributes
    ----------
    n_epochs : int
        Epochs recorded so far.
    """

    # Size up to which the outputs of all epochs are kept, and the number of epochs that are kept
    # whatever their size.
    most_bytes, fewest = 2**26, 8

    def __init__(self) -> None:
        self.n_epochs, self._step = 0, 1
        self._outputs: dict[int, Tensor] = {}
        self._linear: Tensor | None = None

    def on_epoch_end(self, net, **kwargs):
        """Record the outputs of the epoch."""
        self.record(net.valid_outputs_)

    def record(self, batches: Sequence[Tensor]) -> None:
        """Record the outputs of all held-out rows, in order, after one more epoch."""
        self.n_epochs += 1
        if self.n_epochs % self._step:
            return
        outputs = torch.cat(list(batches)).cpu()
        self._outputs[self.n_epochs] = outputs
        n = len(self._outputs)
        if n > self.fewest and n * outputs.nbytes > self.most_bytes:
            self._step *= 2
            self._outputs = {e: o for e, o in self._outputs.items() if e % self._step == 0}

    def mix_with(self, linear: Tensor | None) -> None:
        """Set the outputs of the linear part alone, if there is one."""
        self._linear = linear

    def at(self, epoch: int, share: float = 1.0) -> Tensor:
        """Return the outputs after an epoch, or after the nearest one that was kept.

        Of their mixture with those of the linear part alone, they are this share.
        """
        outputs = self._outputs[min(self._outputs, key=lambda kept: (abs(kept - epoch), kept))]
        return outputs if self._linear is None else torch.lerp(self._linear, outputs, share)


class Progress(Callback):
    """Reports each epoch to the callbacks of scikit-learn, which may end training.

    Parameters
    ----------
    task : Task
        The training.
    """

    def __init__(self, task: Task):
        self.task = task
        self.epoch: Task | None = None

    def on_epoch_begin(self, net, **kwargs):
        """Report the begin of an epoch."""
        self.epoch = self.task.epoch()

    def on_epoch_end(self, net, **kwargs):
        """Report the end of the epoch."""
        epoch, self.epoch = self.epoch, None
        if epoch is not None and epoch.end_epoch(net):
            raise StopTraining

    def on_train_end(self, net, **kwargs):
        """Report the end of an epoch that was not completed."""
        self.on_epoch_end(net)


class EpochLog(PrintLog):
    """skorch's table of the epochs, whose lines begin with the name of one of several nets."""

    name = ""

    def table(self, row: Any) -> str:
        """Return the header and the line of an epoch."""
        lines = super().table(row).splitlines()
        return "\n".join(f"{self.name}  {line}" if self.name else line for line in lines)


# Callbacks for which nothing is recorded per batch.
BUILT_IN = (BestWeights, Schedule, OutputsByEpoch, Progress, EpochTimer, EpochLog, PrintLog)


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

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a row and its targets."""
        X, (Y, _) = self.table.batch(torch.as_tensor([index]))
        return X[0], Y[0]

    @property
    def X(self) -> Any:
        """The rows, as `module_` takes them: an array or a CSR matrix."""
        return self.table.rows()

    @property
    def y(self) -> np.ndarray:
        """The indicator matrix; NaN where nothing was observed."""
        return self.table.Y.cpu().numpy()


def with_datasets(arguments: dict[str, Any]) -> dict[str, Any]:
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
    # `EpochScoring` only caches predictions there, which is switched off.
    nothing = (Callback, EpochScoring)
    return any(
        all(getattr(type(callback), hook) is not getattr(kind, hook) for kind in nothing)
        for hook in ("on_batch_begin", "on_batch_end", "on_grad_computed")
    )


def check_callbacks(callbacks: Sequence[Any], scored: bool, monitored: bool) -> None:
    """Raise for callbacks of skorch that cannot work.

    Parameters
    ----------
    callbacks : sequence of Callback or (str, Callback)
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


# Of held-out rows, and of training rows.
_LOSSES = ("valid_loss", "train_loss")


def _monitor_of(callback: Any) -> Any:
    """Return the score that a callback of skorch waits for, if there is one."""
    watching = (Checkpoint, EarlyStopping, LRScheduler)
    if isinstance(callback, type) and issubclass(callback, watching):
        return inspect.signature(callback).parameters["monitor"].default
    return callback.monitor if isinstance(callback, watching) else None


def _name_of_score(callback: Any) -> str:
    # Scoring callbacks determine their name when they are initialized.
    return getattr(copy.deepcopy(callback).initialize(), "name_", callback.name)


def is_request(error: KeyboardInterrupt, outer: BaseException | None) -> bool:
    """Return whether a callback ends training as skorch's do, by raising KeyboardInterrupt.

    It does so with a `raise` statement. Ctrl-C, or the stop button of a notebook, interrupts
    whatever is executed at the time, through the signal handler.

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


def _frames(traceback: TracebackType | None) -> Iterator[tuple[CodeType, int]]:
    """Yield the code of each frame, and the position of the instruction that raised."""
    while traceback is not None:
        yield traceback.tb_frame.f_code, traceback.tb_lasti
        traceback = traceback.tb_next


def _signal_handlers() -> Iterator[CodeType]:
    """Yield the code of the signal handlers that are written in Python."""
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        for attribute in ("func", "__func__"):  # of a partial function, of a method
            handler = getattr(handler, attribute, handler)
        if callable(handler):
            for function in (handler, type(handler).__call__):
                if hasattr(function, "__code__"):
                    yield function.__code__
