"""A count head: the number of labels of a row, in addition to any loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from .._data.fields import checked
from .._data.validation import check_choice, check_number
from .base import Loss
from .counts import log_exp_count, log_exp_count_slope

__all__ = ["WithCount"]

HEADS = ("poisson", "categorical")


@dataclass(eq=False, repr=False)
class WithCount(Loss):
    r"""Any loss plus a count head, which predicts the number of labels of a row.

    ==============  =======  ========================================================
    head            outputs  loss of a row with M labels
    ==============  =======  ========================================================
    "poisson"       1        ``Z - M log Z``, Z = e^c
    "categorical"   K        ``-log softmax(c)_M`` over 0, ..., K - 1 labels, K - 1 the
                             largest number of labels seen in `fit`
    ==============  =======  ========================================================

    The predicted count, Z or the mean of the distribution, feeds the `cardinality` decoder, which
    is the default.

    Parameters
    ----------
    loss : str, Loss or any other argument of `get_loss`, default="bce"
        The loss of the labels, which keeps its link.
    head : {"poisson", "categorical"}, default="poisson"
        See the table.
    weight : float > 0, default=1
        Weight of the loss of the count.

    Notes
    -----
    Where labels of a row are unobserved, the Poisson head compares the observed number with the
    share of the count that the label priors give to the observed labels; the categorical head
    leaves the row out.

    References
    ----------
    Li, Song, Luo: Improving pairwise ranking for multi-label image classification, CVPR 2017.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import WithCount
    >>> loss = WithCount("lsep").fit(np.array([[1, 1, 0], [1, 0, 0]]))
    >>> loss.n_outputs_, loss.count(torch.tensor([[0.0, 0.0, 0.0, 0.69315]]))
    (4, tensor([2.0000]))
    """

    loss: str | Loss = "bce"
    head: str = checked("poisson", check_choice, choices=HEADS)
    weight: float = checked(1.0, check_number, low=0, closed="neither")

    default_decoder = "cardinality"
    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {"gradient": ("objective", "_count_loss")}

    @property
    def proper(self) -> bool:  # type: ignore[override]
        """As in the inner loss."""
        return self._inner().proper

    @property
    def row_wise(self) -> bool:  # type: ignore[override]
        """As in the inner loss."""
        return self._inner().row_wise

    @property
    def accepts_soft_targets(self) -> bool:  # type: ignore[override]
        """As in the inner loss."""
        return self._inner().accepts_soft_targets

    @property
    def module(self) -> nn.Module | None:
        """As in the inner loss."""
        return self._inner().module

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch to the inner loss."""
        self.loss_.set_epoch(epoch)

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row, or of the batch; see `Loss.objective`."""
        inner, head = self._split(outputs)
        value = self.loss_.objective(inner, targets, mask, sample_weight)
        count = self.weight * self._count_loss(head, targets, mask)
        if not self.loss_.row_wise:
            count = (count if sample_weight is None else count * sample_weight).mean(-1)
        return value + count

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the gradient of the inner loss, if any, then of the head; see `Loss.gradient`."""
        inner, head = self._split(outputs)
        values = self.loss_.gradient(inner, targets)
        if values is None:
            return None
        m = targets.sum(-1, keepdim=True)
        if self.head == "poisson":
            count = (log_exp_count(head).exp_() - m).mul_(log_exp_count_slope(head))
        else:
            at = m.clamp_(max=head.shape[-1] - 1).long()
            count = head.softmax(-1).scatter_add_(-1, at, torch.full_like(m, -1.0))
        return torch.cat([values, count.mul_(self.weight)], -1)

    def link(self, outputs: Tensor) -> Tensor:
        """Return the scores of the inner loss."""
        return self.loss_.link(self._split(outputs)[0])

    def decision(self, outputs: Tensor) -> Tensor:
        """Return the margins of the inner loss."""
        return self.loss_.decision(self._split(outputs)[0])

    def count(self, outputs: Tensor) -> Tensor | None:
        """Return the predicted number of labels, shape (..., n)."""
        head = self._split(outputs)[1]
        if self.head == "poisson":
            return log_exp_count(head[..., 0]).exp()
        numbers = torch.arange(head.shape[-1], device=head.device, dtype=head.dtype)
        return head.softmax(-1) @ numbers

    def initial_bias(self) -> np.ndarray:
        """Return the bias of the inner loss, and that of the observed numbers of labels."""
        if self.head == "poisson":
            head = [math.log(self.prior_.sum())]
        else:
            counts = self.row_counts_[: self.n_outputs_ - self.loss_.n_outputs_]
            head = np.log((counts + 0.5) / (counts + 0.5).sum())
        return np.append(self.loss_.initial_bias(), head)

    def _inner(self) -> Loss:
        # The registry names this class, so it cannot be imported before the class exists.
        from . import get_loss

        return self.loss_ if hasattr(self, "loss_") else get_loss(self.loss)

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        n = self.loss_.n_outputs_
        return outputs[..., :n], outputs[..., n:]

    def _count_loss(self, head: Tensor, targets: Tensor, mask: Tensor | None) -> Tensor:
        m = targets.sum(-1)
        if mask is not None:
            observed = (mask > 0).to(targets.dtype)
            m = (targets * observed).sum(-1)
        if self.head == "poisson":
            log_z = log_exp_count(head[..., 0])
            if mask is not None:
                share = observed @ self._tensor("label_share_", targets)
                log_z = log_z + torch.where(share > 0, share, 1.0).log()
                return torch.where(share > 0, log_z.exp() - m * log_z, 0.0)
            return log_z.exp() - m * log_z
        log_p = head.log_softmax(-1)
        # A fractional number of labels lies between two whole ones.
        m = m.clamp(max=head.shape[-1] - 1)
        low = m.floor()
        upper = (low + 1).clamp(max=head.shape[-1] - 1)
        log_low, log_upper = (
            log_p.gather(-1, k.long().unsqueeze(-1)).squeeze(-1) for k in (low, upper)
        )
        value = -((1 - (m - low)) * log_low + (m - low) * log_upper)
        return value if mask is None else value * observed.all(-1)

    def _set_counts(self, label_count, positive_count):
        """Replace the label counts, those of the inner loss, too."""
        super()._set_counts(label_count, positive_count)
        self.loss_._set_counts(label_count, positive_count)

    def _see(self, Y, sample_weight):
        if not hasattr(self, "loss_"):
            self.loss_ = clone(self._inner())
            self.row_counts_ = np.zeros(Y.shape[1] + 1)
        self.loss_.partial_fit(Y, sample_weight)
        complete = ~np.isnan(Y).any(axis=1) if Y.dtype.kind == "f" else np.ones(len(Y), bool)
        weight = np.ones(len(Y)) if sample_weight is None else np.asarray(sample_weight, float)
        if weight.ndim == 2:
            complete &= (weight > 0).all(axis=1)
            weight = weight.mean(axis=1)
        numbers = np.rint(Y[complete].sum(axis=1)).astype(int)
        self.row_counts_ = self.row_counts_ + np.bincount(
            numbers, weight[complete], minlength=Y.shape[1] + 1
        )

    def _count_outputs(self) -> int:
        if self.head == "poisson":
            return self.loss_.n_outputs_ + 1
        return self.loss_.n_outputs_ + 1 + int(np.flatnonzero(self.row_counts_).max(initial=1))

    def _update(self):
        self.label_share_ = self.prior_ / self.prior_.sum()
