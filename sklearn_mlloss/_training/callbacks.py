"""The callbacks of the estimator itself: early stopping and learning rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from skorch.callbacks import Callback

from .._data.validation import FOREIGN, describe
from .batches import Table
from .divergence import Diverged

__all__ = ["BestWeights", "Schedule", "StopTraining"]


class StopTraining(Exception):
    """Raised by a callback that ends training."""


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

    # Share of the best value by which another must be better, so that training does not go on
    # for gains in the last digit.
    tolerance = 1e-4

    def __init__(self, patience: int, score: Callable[[Any, Table], float] | None = None):
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
            value = self._score(net, dataset_valid)
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
        """Return whether the last epochs, a quarter of the patience, still brought something."""
        return self.misses_ < max(1, self.patience // 4)

    def on_train_end(self, net, **kwargs):
        """Restore the best weights, and let go of the copy."""
        if self.state_ is not None:
            net.set_weights(self.state_)
        self.state_ = None

    def _score(self, net: Any, table: Table) -> float:
        found = self.score(net, table)
        advice = "let it return a finite number, or raise validation_fraction"
        message = f"monitor returned {describe(found)} for the {len(table)} held-out rows"
        try:
            value = float(found)
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
        advice = "give, for instance, lambda optimizer: StepLR(optimizer, step_size=10)"
        try:
            self.scheduler_ = self.make(net.optimizer_)
        except FOREIGN as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"lr_schedule must be a function of the optimizer alone ({error}): {advice}"
            ) from error
        of = getattr(self.scheduler_, "optimizer", net.optimizer_)
        if not callable(getattr(self.scheduler_, "step", None)) or of is not net.optimizer_:
            raise TypeError(
                "lr_schedule must return a torch scheduler of the optimizer that it gets, got "
                f"{describe(self.scheduler_)}: {advice}"
            )
        self._check_rate(net)

    def on_epoch_end(self, net, **kwargs):
        """Record the learning rate of the epoch and move on."""
        net.history.record("learning_rate", net.optimizer_.param_groups[0]["lr"])
        if self.scheduler_ is None:
            return
        try:
            if isinstance(self.scheduler_, torch.optim.lr_scheduler.ReduceLROnPlateau):
                row = net.history[-1]
                self.scheduler_.step(row.get("valid_loss", row["train_loss"]))
            else:
                self.scheduler_.step()
        except FOREIGN as error:
            raise ValueError(
                f"lr_schedule fails after epoch {len(net.history)}: {error!r}"
            ) from error
        self._check_rate(net)

    def _check_rate(self, net: Any) -> None:
        rates = [group["lr"] for group in net.optimizer_.param_groups]
        if not all(map(math.isfinite, rates)):
            raise ValueError(
                f"lr_schedule must give finite learning rates, got {describe(rates)} after "
                f"{len(net.history)} epoch(s)"
            )

    def on_train_end(self, net, **kwargs):
        """Let go of the optimiser, with the settings that it had."""
        for group, before in zip(net.optimizer_.param_groups, self.groups_, strict=True):
            # What a scheduler among the callbacks of the user goes on from.
            initial = {name: group[name] for name in ("initial_lr",) if name in group}
            group.clear()
            group.update(before | initial)
        del self.scheduler_, self.groups_
