"""Softmax cross-entropy with several labels per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._data.fields import checked
from .._data.validation import check_choice, check_flag, check_number
from .base import Loss
from .links import sigmoid_scores, softmax_scores

__all__ = ["SoftmaxCrossEntropy"]


@dataclass(eq=False, repr=False)
class SoftmaxCrossEntropy(Loss):
    r"""Softmax cross-entropy against a distribution over the labels of the row.

    .. math:: \ell = -\sum_l t_l \log \mathrm{softmax}(s)_l, \qquad
        \partial \ell / \partial s = \big(\textstyle\sum_l t_l\big)\,\mathrm{softmax}(s) - t

    For M labels with t = 1/M the gradient is ``p - 1/M`` on them and ``p`` elsewhere; one-hot rows
    give the categorical cross-entropy. The softmax estimates E[y / M], **not** the probability of
    a label: a label scores 1, 1/2 or 1/10 depending on the other labels of the row, so that no
    fixed threshold fits. The loss does not change when a constant is added to a row of logits, so
    neither raw scores nor their sigmoid can be thresholded.

    Parameters
    ----------
    normalise : {"uniform", "count", "sum"}, default="uniform"
        How targets y become t: divided by their sum, by the number of non-zeros (real-valued
        labels then act as class balances), or not at all.
    concentration : float >= 0, default=0
        Weight a of the label priors q (scaled to sum 1) in ``t = (y + a q) / (M + a)``: the
        posterior mean under a Dirichlet prior. Gives rows without labels the target q.
    background : bool, default=False
        Adds a fixed logit 0 that takes the mass of rows without labels. Scores are then
        ``sigmoid(s)``, label against background, with the natural threshold 1/2. Always on for a
        single label, where a softmax would be constant.
    kl : bool, default=False
        Report the Kullback-Leibler divergence of t from ``sum(t) * softmax(s)``, the
        cross-entropy minus terms that do not depend on s: the same gradient, but 0 at the perfect
        prediction, which makes training curves easier to read.

    Notes
    -----
    A row without labels has loss and gradient 0 unless `concentration` or `background` is set.
    Unobserved labels are left out of target and normaliser.

    References
    ----------
    Mahajan et al.: Exploring the limits of weakly supervised pretraining, ECCV 2018 (1/M targets).

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SoftmaxCrossEntropy
    >>> Y = np.array([[1, 0, 1, 0], [0, 1, 0, 0]])
    >>> loss = SoftmaxCrossEntropy().fit(Y)
    >>> loss.objective(torch.zeros(2, 4), torch.tensor(Y, dtype=torch.float32))
    tensor([1.3863, 1.3863])
    >>> SoftmaxCrossEntropy(kl=True).fit(Y).objective(
    ...     torch.zeros(2, 4), torch.tensor(Y, dtype=torch.float32))
    tensor([0.6931, 1.3863])
    """

    normalise: str = checked("uniform", check_choice, choices=("uniform", "count", "sum"))
    concentration: float = checked(0.0, check_number, low=0)
    background: bool = checked(False, check_flag)
    kl: bool = checked(False, check_flag)

    accepts_soft_targets = True

    @property
    def default_decoder(self) -> str:  # type: ignore[override]
        """The fixed threshold against a background, else the mean score of the row."""
        return "threshold" if self._has_background() else "one_over_n"

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row; see `Loss.objective`."""
        outputs, t = self._distributions(outputs, targets, mask)
        value = -(t * outputs.log_softmax(-1)).sum(-1)
        if self.kl:
            mass = t.sum(-1)
            value = value + torch.special.xlogy(t, t).sum(-1) - torch.special.xlogy(mass, mass)
        return value

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return ``sum(t) * softmax(s) - t``; see `Loss.gradient`."""
        if not self._has_background() and self.concentration == 0:
            p, total = outputs.softmax(-1), targets.sum(-1, keepdim=True)
            if self.normalise == "sum":
                return p.mul_(total).sub_(targets)
            return p.mul_(total.clamp(max=1)).addcdiv_(targets, total.clamp_(min=1), value=-1)
        outputs, t = self._distributions(outputs, targets, None)
        p = outputs.softmax(-1).mul_(t.sum(-1, keepdim=True))
        return torch.sub(p[..., : self.n_labels_], t[..., : self.n_labels_])

    def link(self, outputs: Tensor) -> Tensor:
        """Return the softmax, or ``sigmoid(s)`` against a background; see `Loss.link`."""
        return sigmoid_scores(outputs) if self._has_background() else softmax_scores(outputs)

    def decision(self, outputs: Tensor) -> Tensor:
        """Return ``s - log mean exp(s)`` of the row, or `s` itself against a background."""
        if self._has_background():
            return outputs
        return outputs - outputs.logsumexp(-1, keepdim=True) + np.log(self.n_labels_)

    def initial_bias(self) -> np.ndarray:
        """Return the logits of the mean target distribution."""
        bias = np.log(self.target_prior_)
        if self._has_background():
            log_empty = np.log1p(-self.prior_).sum()
            bias = bias + np.log(-np.expm1(log_empty)) - log_empty
        return bias

    def _distributions(
        self, outputs: Tensor, targets: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return logits and target distribution, both with the background if there is one."""
        y, q = targets, self._tensor("target_prior_", outputs)
        if mask is not None:
            observed = mask > 0
            y, q = y * mask, q * mask
            q = q / q.sum(-1, keepdim=True).clamp(min=torch.finfo(q.dtype).tiny)
            # Finite, so that a row without any observed label has a normaliser.
            outputs = outputs.masked_fill(~observed, torch.finfo(outputs.dtype).min / 2)
        if self._has_background():
            empty = (y.sum(-1, keepdim=True) == 0).to(y.dtype)
            if mask is not None:
                empty = empty * observed.any(-1, keepdim=True)
            y = torch.cat([y, empty], -1)
            outputs = torch.cat([outputs, torch.zeros_like(empty)], -1)
            q = torch.cat([q.expand_as(targets), torch.zeros_like(empty)], -1)
        return outputs, self._distribution(y, q)

    def _has_background(self) -> bool:
        return self.background or getattr(self, "n_labels_", None) == 1

    def _distribution(self, y: Tensor, q: Tensor) -> Tensor:
        a = self.concentration
        t = y + a * q if a else y
        if self.normalise == "sum":
            return t
        total = ((y != 0).to(y.dtype) if self.normalise == "count" else y).sum(-1) + a
        # A row without labels keeps a target of zeros.
        return t / torch.where(total > 0, total, 1).unsqueeze(-1)

    def _update(self):
        self.target_prior_ = self.prior_ / self.prior_.sum()
