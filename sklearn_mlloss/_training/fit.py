"""Training one net, or one for each fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from .._data.parallel import call_in_parallel
from .._data.rows import Matrix, Rows
from .._data.validation import warn_user
from ..losses import Loss
from .batches import to_tensors
from .build import build_net
from .device import call_seeded, torch_defaults
from .encoding import fit_encoder
from .net import TableNet
from .out_of_fold import OutputsByEpoch, epochs_of_others

__all__ = [
    "Trained",
    "mean_scores",
    "train_folds",
    "train_net",
    "train_on",
    "warn_of_early_end",
]


@dataclass(frozen=True)
class Trained:
    """A net after training.

    Attributes
    ----------
    net : TableNet
        On the CPU.
    improving : bool
        Whether the last epoch came while the score of the held-out rows still improved.
    n_epochs : int
        Epochs of this training whose weights it has.
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
    whole_fit: bool = True,
    task: Any = None,
    kept_outputs: OutputsByEpoch | None = None,
) -> Trained:
    """Train a net for at most so many epochs more; `kept_outputs` are those of held-out rows."""
    before = len(net.history)
    train = net.encoder_.transform(train)
    held_out = None if valid is None else to_tensors(net.encoder_.transform(valid), device)
    net.to(device)
    try:
        args = to_tensors(train, device), held_out, epochs, seed, whole_fit, task, kept_outputs
        improving = call_seeded(net.train, *args, seed=seed, device=device)
    finally:
        # Predicting moves a copy; the memory of the device is given back here.
        net.to("cpu")
    rule = net.best_weights()
    made = len(net.history) - before
    return Trained(net, improving, made if held_out is None or rule is None else rule.best_epoch_)


def train_net(
    estimator: Any,
    loss: Loss,
    train: Rows,
    valid: Rows | None,
    epochs: int,
    device: torch.device,
    seeds: list[int],
    last: TableNet | None = None,
    task: Any = None,
    kept_outputs: OutputsByEpoch | None = None,
    name: str = "",
) -> Trained:
    """Build a net by the parameters of an estimator and train it; `task` is told of its epochs.

    `name` says which of several nets it is, for what may be wrong with it.
    """
    if last is None:
        encoder = fit_encoder(estimator.encoding, train, seeds[0], estimator.is_categorical_)
    else:
        encoder = last.encoder_
    n_held_out = 0 if valid is None else len(valid)
    net = build_net(estimator, loss, encoder, train, n_held_out, device, seeds[0], last)
    try:
        trained = train_on(
            net, train, valid, epochs, device, seeds[1], task=task, kept_outputs=kept_outputs
        )
    except ValueError as error:
        if not name:
            raise
        raise ValueError(f"{name}: {error}") from error
    # The moments of a finished training serve nobody, and treble the size of a pickle.
    net.optimizer_.state.clear()
    return trained


def train_folds(
    estimator: Any,
    loss: Loss,
    rows: Rows,
    folds: list[tuple[np.ndarray, np.ndarray]],
    device: torch.device,
    entropy: int,
    n_jobs: int | None = None,
    task: Any = None,
) -> list[tuple[Trained, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Train a net per fold, stopped early on that fold; `task` is told of folds and their epochs.

    Returns
    -------
    list of (Trained, test, scores, count)
        For each fold the net, its held-out rows, and their scores and counts. With early stopping
        these are of the epoch that the other folds chose, see `epochs_of_others`.
    """
    table = rows.X, rows.Y, rows.weight
    jobs = (
        (estimator, loss, *table, fold, device, [entropy, k], task, f"fold {k}/{len(folds)}")
        for k, fold in enumerate(folds, 1)
    )
    found = call_in_parallel(_train_fold, jobs, n_jobs)
    if not estimator.early_stopping:
        return [(trained, test, *scores) for trained, test, scores in found]
    epochs = epochs_of_others([trained.n_epochs for trained, _, _ in found])
    return [
        (trained, test, *trained.net.link(outputs.at(epoch)))
        for (trained, test, outputs), epoch in zip(found, epochs, strict=True)
    ]


@torch_defaults()
def _train_fold(
    estimator: Any,
    loss: Loss,
    X: Matrix,
    Y: np.ndarray,
    weight: np.ndarray | None,
    fold: tuple[np.ndarray, np.ndarray],
    device: torch.device,
    entropy: list[int],
    task: Any,
    name: str,
) -> tuple[Trained, np.ndarray, OutputsByEpoch | tuple[np.ndarray, np.ndarray | None]]:
    """Return the net, its held-out rows, and their outputs by epoch or, at the end, scores."""
    rows, (train, test) = Rows(X, Y, weight), fold
    part, rest = rows[train].scaled(), rows[test].scaled()
    own = clone(loss).fit(part.Y, part.weight)
    valid = outputs = None
    if estimator.early_stopping:
        valid, outputs = rest, OutputsByEpoch()
    seeds = [int(seed) for seed in np.random.SeedSequence(entropy).generate_state(2)]
    epochs = estimator.max_epochs
    if task is not None:
        task = task.part(name, entropy[1] - 1, epochs).begin()
    trained = train_net(
        estimator, own, part, valid, epochs, device, seeds, None, task, outputs, name
    )
    if task is not None:
        task.end()
    return trained, test, outputs or trained.net.scores(rest.X, device)


def mean_scores(
    nets: list[TableNet], X: Matrix, device: torch.device
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the means over nets of their scores and, if they have such, of their counts."""
    found = [net.scores(X, device) for net in nets]
    if len(found) == 1:
        return found[0]
    scores, counts = zip(*found, strict=True)
    return np.mean(scores, axis=0), None if counts[0] is None else np.mean(counts, axis=0)


def warn_of_early_end(found: Trained | list[tuple], max_epochs: int) -> None:
    """Warn if a net diverged, or if the score of held-out rows still improved at the end.

    Parameters
    ----------
    found : Trained or list of tuples that begin with one
        What `train_net` or `train_folds` returned.
    max_epochs : int
    """
    trained = [found] if isinstance(found, Trained) else [fold[0] for fold in found]
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
