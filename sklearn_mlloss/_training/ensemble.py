"""The nets of a classifier, and their predictions together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._data.partitions import by_partition
from .._data.rows import Matrix
from .._data.targets import TargetCodec
from ..losses import Loss
from .batches import blocks
from .build import Plan
from .device import resolve_device, threads_for, torch_defaults
from .fast.stack import stack_of
from .fast.tiles import SMALL_PREDICTION
from .net import TableNet
from .outputs import block_sizes
from .parameters import TRAINING

__all__ = ["HasNets", "mean_scores"]

Scores = tuple[np.ndarray, np.ndarray | None]


class HasNets:
    """A classifier that trains nets and predicts with them; their attributes as its own."""

    nets_: list[TableNet]
    net_: TableNet
    history_: dict[str, list] | list[dict[str, list]]
    n_iter_: int
    is_categorical_: np.ndarray | None
    device: Any
    _targets: TargetCodec
    _entropy: int
    _scores: Callable[[Any], Scores]

    @property
    def loss_(self) -> Loss:
        """The fitted loss."""
        return self.net_.criterion_.loss

    @property
    def encoding_(self) -> Any:
        """The fitted encoding, or None."""
        return self.net_.encoder_.fitted

    @property
    def encoding_reason_(self) -> str:
        """Why it is this encoding."""
        return self.net_.encoder_.reason

    @by_partition(lambda model, scores: scores[:, 0])
    def predict_count(self, X: Any) -> np.ndarray:
        """Return the predicted number of labels of each row, for a loss that has such a thing.

        Parameters
        ----------
        X : see `predict_proba`

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        _, count = self._scores(X)
        if count is None:
            raise ValueError(
                f"{type(self.loss_).__name__} does not predict a count: use factorized or "
                "poisson_softmax, or predict_proba(X).sum(axis=1)"
            )
        return count

    def _seeds(self, n_epochs: int) -> list[int]:
        """Return seeds for weights, training and two splits, others after each epoch made."""
        sequence = np.random.SeedSequence([self._entropy, n_epochs])
        return [int(seed) for seed in sequence.generate_state(4)]

    def _plan(self, loss: Loss, device: torch.device, **options: Any) -> Plan:
        params = SimpleNamespace(**{name: getattr(self, name) for name in TRAINING})
        exclusive = self._targets.kind == "multiclass"
        return Plan(params, loss, device, self.is_categorical_, exclusive, **options)

    def _keep(self, nets: Sequence[TableNet]) -> None:
        """Set the trained nets, and what is public of their training."""
        self.nets_ = list(nets)
        self.net_ = self.nets_[0]
        curves = [net.curves() for net in self.nets_]
        self.history_ = curves[0] if len(curves) == 1 else curves
        self.n_iter_ = max(len(curve["epoch"]) for curve in curves)

    def _raw_scores(self, X: Matrix) -> Scores:
        return mean_scores(self.nets_, X, resolve_device(self.device, fall_back=True))


def mean_scores(nets: Sequence[TableNet], X: Matrix, device: torch.device) -> Scores:
    """Return the means over nets of their scores and, if they have such, of their counts."""
    if len(nets) == 1:
        return nets[0].scores(X, device)
    of_nets = _together(nets, X, device) or [net.scores(X, device) for net in nets]
    scores, counts = zip(*of_nets, strict=True)
    return np.mean(scores, axis=0), None if counts[0] is None else np.mean(counts, axis=0)


@torch_defaults()
def _together(nets: Sequence[TableNet], X: Any, device: torch.device) -> list[Scores]:
    """Return the scores by each net of a few dense rows, or nothing if it takes more than that."""
    if not isinstance(X, np.ndarray):
        return []
    *few, _ = block_sizes(nets[0], X, device)
    if not few or len(X) > few[-1] or any(net.encoder_.transforms for net in nets):
        return []
    stack = stack_of([net.module_ for net in nets])
    if stack is None:
        return []
    n_weights = sum(p.numel() for p in nets[0].module_.parameters())
    with (
        threads_for(2.0 * len(X) * n_weights * len(nets), SMALL_PREDICTION),
        torch._C._InferenceMode(True),
    ):
        ((rows, real),) = blocks(X, few, device)
        outputs = stack(rows)
        return [net.scored(part, real) for net, part in zip(nets, outputs, strict=True)]
