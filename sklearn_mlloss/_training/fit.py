"""Training one net."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._data.interrupts import Interrupt
from .._data.messages import warn_user
from .._data.rows import Rows
from .._data.targets import TargetCodec
from .batches import to_tensors
from .build import Plan, build_net
from .callbacks import OutputsByEpoch, Progress
from .device import call_seeded
from .encoding import fit_encoder
from .guard import second_plan, second_reason, warn_of_nothing_learned
from .linear import deviations_of, fit_linear
from .net import TableNet

__all__ = [
    "CutShort",
    "Prepared",
    "Trained",
    "one_more_epoch",
    "prepare",
    "train_net",
    "train_on",
    "train_part",
    "warn_of_early_end",
]


class CutShort(Exception):
    """Raised with the result of a training that the user has interrupted: not to be cached."""

    def __init__(self, result: Any):
        super().__init__()
        self.result = result


@dataclass(frozen=True)
class Trained:
    """A net after training.

    Attributes
    ----------
    net : TableNet
        On the CPU.
    improving : bool
        Whether the score of the held-out rows still improved in the last epoch.
    n_epochs : int
        Epochs of this training after which the net had its weights.
    """

    net: TableNet
    improving: bool
    n_epochs: int


def train_on(
    net: TableNet,
    train: Rows,
    valid: Rows | None,
    epochs: int,
    device: torch.device,
    seed: int,
    known: tuple[Tensor | None, Tensor | None] = (None, None),
    **options: Any,
) -> Trained:
    """Train a net for at most `epochs` more.

    Parameters
    ----------
    net : TableNet
    train, valid : Rows
        Rows to train on, and held-out rows to stop early, if any; as they enter the network.
    epochs : int
    device : torch.device
    seed : int
    known : pair of Tensor of shape (n_rows, n_labels), optional
        Deviations of the training rows, and of the held-out rows, by models that have not seen
        them, if the network has a linear part; else it computes them.
    **options : dict
        Those of `TableNet.train`.
    """
    before = len(net.history)
    linear, held_out = net.linear_part(), None
    of_train, of_valid = known
    if linear is not None and of_train is None:
        of_train = deviations_of(linear, train.X)
    if linear is not None and of_valid is None and valid is not None:
        of_valid = deviations_of(linear, valid.X)
    net.held_out_deviations_ = of_valid
    net.to(device)
    try:
        table = to_tensors(train, device, of_train)
        if valid is not None:
            held_out = to_tensors(valid, device, of_valid)
        improving = call_seeded(
            lambda: net.train(table, held_out, epochs, seed, **options), seed=seed, device=device
        )
    finally:
        # Predicting moves a copy; the memory of the device is freed here.
        net.to("cpu")
    rule = net.best_weights()
    made = len(net.history) - before
    return Trained(net, improving, made if held_out is None or rule is None else rule.best_epoch_)


def train_net(
    plan: Plan,
    train: Rows,
    valid: Rows | None,
    epochs: int,
    seeds: Sequence[int],
    last: TableNet | None = None,
    outputs: OutputsByEpoch | None = None,
) -> Trained:
    """Build a net and train it, again in another way if it learns nothing; see `_train_once`."""
    trained = _train_in_turn(plan, train, valid, epochs, seeds, last, outputs)
    if plan.interrupt.came:
        net = trained.net
        made = len(net.curves()["epoch"]) - (0 if last is None else len(last.curves()["epoch"]))
        plan.interrupt.what = f"the weights after {made} of at most {epochs} epochs"
        if net.best_weights() is not None and valid is not None:
            best = f"the best weights, those of epoch {trained.n_epochs} of {made}"
            plan.interrupt.what = best
        raise CutShort(trained)
    return trained


def _train_in_turn(
    plan: Plan,
    train: Rows,
    valid: Rows | None,
    epochs: int,
    seeds: Sequence[int],
    last: TableNet | None,
    outputs: OutputsByEpoch | None,
) -> Trained:
    first = _train_once(plan, train, valid, epochs, seeds, last, outputs)
    check = first.net.check_
    # Where training ended too early, another attempt would, too.
    if last is not None or check is None or check.learned or first.improving:
        return first
    if plan.interrupt.came:
        return first
    other = second_plan(plan, first.net, train)
    if other is None:
        return first
    other_outputs = None if outputs is None else OutputsByEpoch()
    try:
        second = _train_once(other, train, valid, epochs, seeds, None, other_outputs)
    except ValueError:  # it diverged
        return first
    kept, again = first, second.net.check_
    if again is not None and again.loss < check.loss:
        kept = second
        if outputs is not None:
            outputs.__dict__ = vars(other_outputs)
    reason = second_reason(first.net, second.net, kept.net)
    kept.net.encoder_ = replace(kept.net.encoder_, reason=reason)
    return kept


@dataclass(frozen=True)
class Prepared:
    """A net before training.

    Attributes
    ----------
    net : TableNet
    train, valid : Rows
        As they enter the network.
    known : pair of Tensor or None
        Deviations of these rows by linear models that have not seen them.
    """

    net: TableNet
    train: Rows
    valid: Rows | None
    known: tuple[Tensor | None, Tensor | None]


def prepare(
    plan: Plan,
    train: Rows,
    valid: Rows | None,
    seeds: Sequence[int],
    last: TableNet | None = None,
    beside: bool = False,
    n_rows: int | None = None,
) -> Prepared:
    """Fit encoding and linear part, and build a net.

    Parameters
    ----------
    plan, train, valid, seeds, last : see `train_net`
    beside : bool, default=False
        Whether the linear part is fitted without the held-out rows.
    n_rows : int, optional
        Number of training rows, of which `train` are a sample.
    """
    if last is None:
        args = plan.params.encoding, train, seeds[0], plan.is_categorical
        encoder = fit_encoder(*args, categories=plan.categories)
    else:
        encoder = last.encoder_
    n_held_out = 0 if valid is None else len(valid)
    train, valid = encoder.transform(train), None if valid is None else encoder.transform(valid)
    # The rows that a fold holds out are kept from its linear part, too: their scores are to be
    # those of a model that has not seen them.
    rows = train if valid is None or beside else train.with_more(valid)
    linear = fit_linear(plan.params, rows, plan.is_categorical, seeds[0], plan.device)
    net = build_net(plan, encoder, train, n_held_out, seeds[0], last, linear.part, n_rows)
    net.linear_reason_ = linear.reason
    known: tuple[Tensor | None, Tensor | None] = (None, None)
    if linear.part is not None and linear.known is not None:
        of_train, rest = linear.known[: len(train)], linear.known[len(train) :]
        known = of_train, rest if len(rest) else None
    return Prepared(net, train, valid, known)


def _train_once(
    plan: Plan,
    train: Rows,
    valid: Rows | None,
    epochs: int,
    seeds: Sequence[int],
    last: TableNet | None = None,
    outputs: OutputsByEpoch | None = None,
) -> Trained:
    """Build a net and train it.

    Parameters
    ----------
    plan : Plan
    train, valid : Rows
        Rows to train on, and held-out rows to stop early, if any.
    epochs : int
        Largest number of epochs.
    seeds : sequence of two or more ints
        For the initial weights, and for training.
    last : TableNet, optional
        A net from whose weights and history training continues.
    outputs : OutputsByEpoch, optional
        Records the outputs of the held-out rows.
    """
    ready = prepare(plan, train, valid, seeds, last, beside=outputs is not None)
    net, train, valid, known = ready.net, ready.train, ready.valid, ready.known
    observers = [] if outputs is None else [outputs]
    if plan.task is not None:
        observers.append(Progress(plan.task))
    try:
        trained = train_on(
            net,
            train,
            valid,
            epochs,
            plan.device,
            seeds[1],
            known,
            observers=observers,
            network_share=plan.network_share,
            interrupt=plan.interrupt,
        )
    except ValueError as error:
        if not plan.name:
            raise
        raise ValueError(f"{plan.name}: {error}") from error
    # The moments of a finished training have no use, and triple the size of a pickle.
    net.optimizer_.state.clear()
    if outputs is not None:
        outputs.mix_with(net.linear_outputs_)
    net.linear_outputs_ = None
    return trained


@contextmanager
def one_more_epoch(
    plan: Plan,
    nets: Sequence[TableNet],
    rows: Rows,
    seeds: Sequence[int],
    targets: TargetCodec,
    accumulates: bool,
) -> Iterator[None]:
    """Train nets in one pass over some rows each; restore all of them if anything fails within.

    With `accumulates` the rows are added to the statistics of their losses.
    """
    with ExitStack() as stack:
        for net, seed in zip(nets, seeds, strict=True):
            stack.enter_context(net.restored_on_error())
            loss = net.criterion_.loss
            if accumulates:  # on a copy, so that a failure can restore the statistics
                loss = copy.copy(loss).partial_fit(rows.Y, rows.weight)
                net.criterion_.loss = loss
            targets.warn_of_constant_labels(loss.positive_count_, loss.label_count_)
            net.verbose = int(plan.params.verbose)
            net.set_learning_rate(plan.params.learning_rate)
            inputs = net.encoder_.transform(rows)
            train_on(net, inputs, None, 1, plan.device, seed, whole_fit=False)
        yield


@contextmanager
def train_part(plan: Plan, name: str, number: int, epochs: int) -> Iterator[Plan]:
    """Report the training of one of several nets; yield its plan.

    An interrupt ends it, and nothing of it is kept.
    """
    task = None if plan.task is None else plan.task.part(name, number, epochs).begin()
    part = replace(plan, task=task, name=name, interrupt=Interrupt(enclosing=plan.interrupt))
    try:
        yield part
    except CutShort:
        raise KeyboardInterrupt from None
    if part.interrupt.came:
        raise KeyboardInterrupt
    if task is not None:
        task.end()


def warn_of_early_end(result: Trained | dict[int, tuple], max_epochs: int) -> None:
    """Warn if a net diverged, still improved on held-out rows at the end, or learned nothing.

    Parameters
    ----------
    result : Trained, or dict of tuples that begin with one
        The result of `train_net` or `train_folds`.
    max_epochs : int
    """
    trained = [result] if isinstance(result, Trained) else [fold[0] for fold in result.values()]
    reasons = {k: part.net.divergence_ for k, part in enumerate(trained, 1)}
    diverged = [k for k, reason in reasons.items() if reason]
    if diverged:
        folds = f" of folds {', '.join(map(str, diverged))}" if len(trained) > 1 else ""
        warn_user(f"training{folds} diverged: {reasons[diverged[0]]}", ConvergenceWarning)
    if any(part.improving for part in trained):
        warn_user(
            f"the validation score still improved when max_epochs={max_epochs} ended training: "
            "raise max_epochs or learning_rate",
            ConvergenceWarning,
        )
    warn_of_nothing_learned([part.net for part in trained])
