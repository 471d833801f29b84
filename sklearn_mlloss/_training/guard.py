"""The guard: whether training learned more than the label priors, and a second attempt if not."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._data.messages import warn_user
from .._data.rows import Rows
from .._data.validation import is_auto
from ..networks import StandardEncoding
from .batches import Table, checked_rows
from .encoding import Encoder

if TYPE_CHECKING:
    from .build import Plan
    from .net import TableNet

__all__ = ["Check", "Guard", "second_plan", "second_reason", "warn_of_nothing_learned"]

# Relative improvement of the loss below which nothing was learned: random weights, and the best of
# many epochs, are better than constant outputs by some thousandths.
LEAST = 5e-3
# Epochs from which training without held-out rows is checked: with fewer, a network may well not
# have got that far.
MIN_EPOCHS = 10
# Factor of the learning rate in a second attempt.
SLOWER = 0.1


@dataclass(frozen=True)
class Check:
    """What a training has learned.

    Attributes
    ----------
    loss : float
        Mean loss of the network on the checked rows.
    constant_loss : float
        The same for the best outputs that are the same for all rows.
    held_out : bool
        Whether these rows were held out.
    learned : bool
        Whether the network is better.
    """

    loss: float
    constant_loss: float
    held_out: bool
    learned: bool


def is_checked(net: TableNet, epochs: int, valid: Table | None) -> bool:
    """Return whether a training of so many epochs is to be checked."""
    loss = net.criterion_.loss
    varies = (loss.positive_count_ > 0) & (loss.positive_count_ < loss.label_count_)
    enough = valid is not None or epochs >= MIN_EPOCHS
    return net.whole_fit_ and enough and bool(varies.any())


class Guard:
    """Compares a network with one that knows the label priors only.

    Create it before training, and call `check` after it. Constant outputs are the initial bias of
    the loss, and the mean outputs of the network itself: the bias may have learned the best
    constants of a loss that is not proper, without any effect of X. Random weights may be better
    than constants by chance, so the network must also be better than before training; not so a
    custom module, which may be pretrained, and a network with a linear part, which is fitted.

    Parameters
    ----------
    net : TableNet
    table : Table
        Rows to train on.
    valid : Table or None
        Held-out rows for early stopping, which are checked if there are any.
    """

    def __init__(self, net: TableNet, table: Table, valid: Table | None):
        self.net, self.held_out = net, valid is not None
        self.table = table if valid is None else valid
        self.rows = checked_rows(self.table, net.encoder_.n_outputs)
        random = bool(net.network_) and not net.history and net.linear_part() is None
        self.initial = net.outputs_of(self.table, self.rows) if random else None

    @torch.no_grad()
    def check(self) -> Check:
        """Return what the network has learned; it has the weights that are kept."""
        loss, outputs = self.net.criterion_.loss, self.net.outputs_of(self.table, self.rows)
        bias = torch.as_tensor(loss.initial_bias(), dtype=outputs.dtype, device=outputs.device)
        constants = [row.expand_as(outputs).contiguous() for row in (bias, outputs.mean(dim=0))]
        targets, weight = self.table.targets(self.rows)

        def mean_loss(values: Tensor) -> float:
            return float(self.net.criterion_(values, targets, weight))

        value, constant = mean_loss(outputs), min(map(mean_loss, constants))
        least, gain = LEAST * abs(constant), constant - value
        learned = gain > least or not math.isfinite(constant)  # some losses need other outputs
        if learned and self.initial is not None:
            learned = mean_loss(self.initial) - value > least
        rule = self.net.best_weights()
        if not learned and self.held_out and rule is not None and rule.score is not None:
            # A metric of the user has chosen the weights, perhaps at the expense of the loss.
            varies = outputs.std(dim=0, correction=0) > 1e-6 * outputs.abs().mean(dim=0)
            learned = rule.best_epoch_ > 1 and bool(varies.any())
        return Check(value, constant, self.held_out, learned)


def second_plan(plan: Plan, net: TableNet, train: Rows) -> Plan | None:
    """Return a plan for a second attempt, or None if there is none.

    It has the encoding "standard" instead of what "auto" chose for a dense X, or else a lower
    learning rate if none was given. Callbacks see one training only.
    """
    params, dense = copy.copy(plan.params), isinstance(train.X[:1], np.ndarray)
    if plan.task is not None or params.callbacks:
        return None
    encoder: Encoder = net.encoder_
    numeric = dense and encoder.fitted is not None
    if is_auto(params.encoding) and numeric and type(encoder.fitted) is not StandardEncoding:
        params.encoding = "standard"
    elif params.learning_rate is None:
        params.learning_rate = SLOWER * net.lr
    else:
        return None
    return replace(plan, params=params, loss=clone(plan.loss).fit(train.Y, train.weight))


def second_reason(first: TableNet, second: TableNet, kept: TableNet) -> str:
    """Return the reason for the encoding after two attempts, one of which is kept."""
    if first.lr == second.lr:
        names = [type(first.encoder_.fitted).__name__, "encoding='standard'"]
    else:
        names = [f"learning_rate={net.lr:.3g}" for net in (first, second)]
    reason = first.encoder_.reason
    if kept is second and kept.check_ is not None and kept.check_.learned:
        return f"{reason}, but {names[0]} learned nothing beyond the label priors, so {names[1]}"
    return f"{reason}; {names[0]} learned nothing beyond the label priors, nor did {names[1]} help"


def warn_of_nothing_learned(nets: Sequence[TableNet]) -> None:
    """Warn if some nets learned nothing beyond the label priors.

    Parameters
    ----------
    nets : sequence of TableNet
        The trained net, or one per fold.
    """
    failed = {k: net.check_ for k, net in enumerate(nets, 1) if net.check_ is not None}
    failed = {k: check for k, check in failed.items() if not check.learned}
    if not failed:
        return
    first = next(iter(failed.values()))
    folds = f" of folds {', '.join(map(str, failed))}" if len(nets) > 1 else ""
    rows = "held-out rows" if first.held_out else "training rows"
    warn_user(
        f"training{folds} learned nothing beyond the label priors: the loss on {rows} is "
        f"{first.loss:.4g}, and {first.constant_loss:.4g} with the same outputs for all rows. Try "
        "another encoding or learning_rate, or more rows or epochs, and check whether X is related "
        "to y",
        ConvergenceWarning,
    )
