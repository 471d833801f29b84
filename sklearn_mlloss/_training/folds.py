"""Training one net per fold, and perhaps one on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.base import clone

from .._data.interrupts import call_until_interrupted, describe_folds
from .._data.rows import Rows
from .build import Plan
from .cache import train_cached
from .callbacks import OutputsByEpoch
from .device import torch_defaults
from .fit import CutShort, Trained, train_net, train_part
from .net import TableNet

__all__ = ["medians_of_others", "train_folds", "train_on_all"]

Scores = tuple[np.ndarray, np.ndarray | None]
# By the number of the fold: the net, and scores and counts of the held-out rows.
Folds = dict[int, tuple[Trained, np.ndarray, np.ndarray | None]]


def train_on_all(
    plan: Plan, rows: Rows, folds: Folds, n_folds: int, seeds: Sequence[int]
) -> list[TableNet]:
    """Train one more net, on all rows, for the median of the best numbers of epochs of the folds.

    After an interrupt the nets of the folds are returned instead.
    """
    of_folds, interrupt = [trained for trained, *_ in folds.values()], plan.interrupt
    what = f"the networks of {len(folds)} of {n_folds} folds instead of one of all rows"
    if not interrupt.came:
        epochs = max(1, int(np.median([trained.n_epochs for trained in of_folds])))
        share = float(np.median([trained.net.network_share_ for trained in of_folds]))
        plan = replace(plan, network_share=share)
        interrupt.holds = False
        try:
            with train_part(plan, "all rows", n_folds, epochs) as part:
                net = train_cached(train_net, part, rows, None, epochs, seeds).net
            interrupt.holds = True
            return [net]
        except KeyboardInterrupt as error:
            interrupt.take(error, True, what)
    interrupt.what = what
    return [trained.net for trained in of_folds]


def train_folds(
    plan: Plan, rows: Rows, folds: Sequence[tuple[np.ndarray, np.ndarray]], entropy: int
) -> Folds:
    """Train one net per fold, stopped early on that fold.

    Returns
    -------
    dict of int to (Trained, scores, count)
        For the number of each fold the net, and the scores and counts of its held-out rows. With
        early stopping these have the epoch and the share of the linear part that the other folds
        chose.

    Raises
    ------
    CutShort
        After an interrupt, with the folds before it, if there are two.
    """
    n_folds = len(folds)
    jobs = [
        (plan, rows, fold, f"fold {k}/{n_folds}", entropy, k) for k, fold in enumerate(folds, 1)
    ]
    done = call_until_interrupted(
        plan.interrupt, _train_fold, jobs, plan.params.n_jobs,
        keep=lambda kept: describe_folds(len(kept), n_folds),
    )  # fmt: skip
    nets, scored = [trained for trained, _ in done.values()], [rest for _, rest in done.values()]
    if plan.params.early_stopping:
        epochs = medians_of_others([trained.n_epochs for trained in nets])
        shares = medians_of_others([trained.net.network_share_ for trained in nets])
        scored = [
            trained.net.link(outputs.at(int(epoch), share))
            for trained, outputs, epoch, share in zip(nets, scored, epochs, shares, strict=True)
        ]
    parts = zip(done, nets, scored, strict=True)
    results = {number: (trained, *scores) for number, trained, scores in parts}
    if len(results) < n_folds:
        raise CutShort(results)
    return results


@torch_defaults()
def _train_fold(
    plan: Plan, rows: Rows, fold: tuple[np.ndarray, np.ndarray], name: str, entropy: int, k: int
) -> tuple[Trained, OutputsByEpoch | Scores]:
    """Return the net, and for its held-out rows the outputs by epoch or, at the end, scores."""
    train, test = (rows[part].scaled() for part in fold)
    seeds = [int(seed) for seed in np.random.SeedSequence([entropy, k]).generate_state(2)]
    plan = replace(plan, loss=clone(plan.loss).fit(train.Y, train.weight))
    epochs, outputs = plan.params.max_epochs, None
    if plan.params.early_stopping:
        outputs = OutputsByEpoch()
    with train_part(plan, name, k - 1, epochs) as part:
        valid = None if outputs is None else test
        trained = train_net(part, train, valid, epochs, seeds, outputs=outputs)
    trained.net.held_out_deviations_ = None
    return trained, outputs or trained.net.scores(test.X, plan.device)


def medians_of_others(values: Sequence[float]) -> list[float]:
    """Return for each fold the median of the values of the other folds.

    A single fold gets its own.
    """
    if len(values) == 1:
        return list(values)
    return [float(np.median(np.delete(values, k))) for k in range(len(values))]
