"""Losses with a predicted number of labels and a distribution over the labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.overrides import handle_torch_function, has_torch_function

from .._data.fields import checked
from .._data.validation import check_choice, check_number
from ._slopes import ONE
from .base import Loss
from .links import log_odds, strictly_increasing

__all__ = ["FactorizedLoss", "PoissonSoftmaxLoss"]

FORMS = ("kl_squared", "kl_poisson", "product_squared", "product_abs_kl")
COUNT_LINKS = ("softplus", "exp", "clip")
# An exponential count continues as its tangent from here on: more labels than any row has, and
# its square is still finite in float32.
MAX_LOG_COUNT = 12.0
# Distance from the number of labels at which a predicted count begins to be capped.
ROOM = 0.05


class _CountTimesDistribution(Loss):
    """Base of losses with outputs (s, c): softmax of s over the labels, and a count from c."""

    default_decoder = "cardinality"
    accepts_soft_targets = True
    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {"gradient": ("objective", "_log_count")}

    def _count_outputs(self) -> int:
        return self.n_labels_ + 1

    def decision(self, outputs: Tensor) -> Tensor:
        """Return the log of count times distribution; see `Loss.decision`."""
        return self._log_count(outputs[..., -1:]) + outputs[..., :-1].log_softmax(-1)

    def count(self, outputs: Tensor) -> Tensor | None:
        """Return the predicted number of labels Z, shape (..., n)."""
        return self._log_count(outputs[..., -1]).exp()

    def _log_count(self, c: Tensor) -> Tensor:
        """Return log Z for the raw count output."""
        return log_exp_count(c)

    def _log_count_slope(self, c: Tensor, z: Tensor) -> Tensor:
        """Return the derivative of log Z by the raw count output."""
        return log_exp_count_slope(c)

    def _scores(self, outputs: Tensor, log_rate: Tensor) -> Tensor:
        """Return ``1 - exp(-rate)``, strictly increasing in each logit and in the count."""
        s, margin = outputs[..., :-1], self._log_count(outputs[..., -1:])
        if s.shape[-1] > 1:
            # The rate itself stops growing where a label takes all the mass.
            margin = margin + log_odds(s)
        return strictly_increasing(-torch.expm1(-log_rate.exp()), margin)


@dataclass(eq=False, repr=False)
class FactorizedLoss(_CountTimesDistribution):
    r"""Factorized loss: the number of labels and the distribution over labels, with one loss each.

    With M labels in a row, outputs (s, c), p = softmax(s) and a count Z > 0 from c:

    ==================  ==========================================================
    form                loss of a row
    ==================  ==========================================================
    "kl_squared"        ``KL(y / M || p) + count_weight * (Z - M) ** 2``
    "kl_poisson"        ``KL(y / M || p) + count_weight * (Z - M log Z)``
    "product_squared"   ``sum (y - Z p) ** 2``
    "product_abs_kl"    ``sum (P - Q) log(P / Q)``, P = max(y, eps), Q = max(Z p, eps)
    ==================  ==========================================================

    A row without labels trains only the count.

    The scores are ``1 - exp(-theta p)`` with theta solving ``sum = Z``: they add up to the count
    and stay below 1 (Z p itself may not). A count near or above the number of labels is capped
    smoothly just below it.

    Parameters
    ----------
    form : {"kl_squared", "kl_poisson", "product_squared", "product_abs_kl"}
        See the table.
    count_link : {"softplus", "exp", "clip"}, default="softplus"
        How c becomes Z: ``log(1 + e^c)``, ``e^c``, or ``max(c, 0.01)``. The last is the original
        recipe; it has no gradient below 0.01.
    count_weight : float >= 0, default=1
        Weight of the count term of the two KL forms.
    eps : float in (0, 1), default=0.01
        Floor of "product_abs_kl".

    Notes
    -----
    Where labels are unobserved, the distribution is taken over the observed ones and the count is
    compared by its share ``Z * sum of p over observed labels``, so that unobserved labels do not
    lower the count.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import FactorizedLoss
    >>> loss = FactorizedLoss(count_link="exp").fit(np.array([[1, 1, 0], [1, 0, 0]]))
    >>> outputs = torch.tensor([[2.0, 2.0, -3.0, 0.69315]])
    >>> loss.count(outputs)
    tensor([2.0000])
    >>> loss.link(outputs).numpy().round(2)
    array([[0.99, 0.99, 0.03]])
    """

    form: str = checked("kl_squared", check_choice, choices=FORMS)
    count_link: str = checked("softplus", check_choice, choices=COUNT_LINKS)
    count_weight: float = checked(1.0, check_number, low=0)
    eps: float = checked(0.01, check_number, low=0, high=1, closed="neither")

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row; see `Loss.objective`."""
        s, log_z = outputs[..., :-1], self._log_count(outputs[..., -1])
        y = targets if mask is None else targets * mask
        if self.form in ("product_squared", "product_abs_kl"):
            values = self._product(s.log_softmax(-1) + log_z.unsqueeze(-1), y)
            return (values if mask is None else values * mask).sum(-1)
        if mask is not None:
            log_share = s.masked_fill(mask == 0, -torch.inf)
            # Half the lowest number keeps a row without any observed label finite.
            low = torch.finfo(s.dtype).min / 2
            log_z = log_z + log_share.logsumexp(-1).clamp(min=low) - s.logsumexp(-1)
            s = s.masked_fill(mask == 0, low)
        m = y.sum(-1)
        t = y / torch.where(m > 0, m, 1.0).unsqueeze(-1)
        kl = (torch.special.xlogy(t, t) - t * s.log_softmax(-1)).sum(-1)
        z = log_z.exp()
        count = (
            (z - m).square()
            if self.form == "kl_squared"
            else z - torch.where(m > 0, m * log_z, 0.0)
        )
        return kl + self.count_weight * count

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the derivative by the logits, then by the count output; see `Loss.gradient`."""
        s, c = outputs[..., :-1], outputs[..., -1:]
        log_z, m = self._log_count(c), targets.sum(-1, keepdim=True)
        z = log_z.exp()
        if self.form in ("product_squared", "product_abs_kl"):
            log_p = s.log_softmax(-1)
            p = log_p.exp()
            by_logits = self._product_slope(p * z, log_p.add_(log_z), targets)
            by_log_z = by_logits.sum(-1, keepdim=True)
            by_logits.addcmul_(p, by_log_z, value=-1)
        else:
            by_logits = (
                s.softmax(-1).mul_(m.clamp(max=1)).addcdiv_(targets, m.clamp(min=1), value=-1)
            )
            by_log_z = (z - m).mul_(self.count_weight)
            if self.form == "kl_squared":
                by_log_z.mul_(z).mul_(2)
        return torch.cat([by_logits, by_log_z.mul_(self._log_count_slope(c, z))], -1)

    def link(self, outputs: Tensor) -> Tensor:
        """Return scores that add up to the count; see `Loss.link`."""
        outputs = outputs.double()
        log_p = outputs[..., :-1].log_softmax(-1)
        log_rate = log_rates(log_p, self._log_count(outputs[..., -1]))
        return self._scores(outputs, log_rate)

    def initial_bias(self) -> np.ndarray:
        """Return the logits of the label distribution and the mean count."""
        mean = self.prior_.sum()
        # log(expm1(x)) without overflow
        inverse = {"softplus": mean + math.log(-math.expm1(-mean)), "exp": math.log(mean)}
        return np.append(np.log(self.prior_), inverse.get(self.count_link, mean))

    def _product(self, log_q: Tensor, y: Tensor) -> Tensor:
        q = log_q.exp()
        if self.form == "product_squared":
            return (y - q).square()
        p = y.clamp(min=self.eps)
        value = (p - q) * (p.log() - log_q)
        # As in AbsKLLoss, the floor under Q serves absent labels only.
        return torch.where((y > self.eps) | (q > self.eps), value, 0.0)

    def _product_slope(self, q: Tensor, log_q: Tensor, y: Tensor) -> Tensor:
        """Return the derivative of `_product` by `log_q`, which it overwrites."""
        if self.form == "product_squared":
            return q.sub(y).mul_(q).mul_(2)
        p = y.clamp(min=self.eps)
        value = log_q.sub_(p.log()).add_(ONE).mul_(q).sub_(p)
        return value.mul_(q.maximum(y).gt_(self.eps))

    def _log_count(self, c: Tensor) -> Tensor:
        if self.count_link == "clip":
            return c.clamp(min=0.01).log()
        if self.count_link == "exp":
            return log_exp_count(c)
        # softplus(c) tends to e^c, and underflows where its logarithm does not.
        return torch.where(c > -15, softplus(c.clamp(min=-15)).log(), c)

    def _log_count_slope(self, c: Tensor, z: Tensor) -> Tensor:
        if self.count_link == "clip":
            return torch.where(c >= 0.01, 1 / z, 0.0)
        if self.count_link == "exp":
            return log_exp_count_slope(c)
        return torch.where(c > -15, c.sigmoid() / z, 1.0)


class PoissonSoftmaxLoss(_CountTimesDistribution):
    r"""Poisson count times a softmax, which is one Poisson distribution per label.

    .. math:: \ell = \sum_l \lambda_l - y_l \log \lambda_l, \qquad
        \log \lambda_l = c + \log \mathrm{softmax}(s)_l

    Identical to ``(Z - M log Z) + M * CE(y / M, softmax(s))`` with Z = e^c: rows are weighted by
    their number of labels. Unobserved labels are left out. The scores ``1 - exp(-lambda)`` are
    P(y >= 1) under the Poisson model; for 0/1 labels they understate large probabilities.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import PoissonSoftmaxLoss
    >>> loss = PoissonSoftmaxLoss().fit(np.array([[1, 1, 0], [1, 0, 0]]))
    >>> loss.link(torch.tensor([[0.0, 0.0, 0.0, 0.6931]])).numpy().round(3)
    array([[0.487, 0.487, 0.487]])
    """

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row; see `Loss.objective`."""
        log_rate = self.decision(outputs)
        values = log_rate.exp() - targets * log_rate
        return (values if mask is None else values * mask).sum(-1)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return ``M * softmax(s) - y``, then ``Z - M`` by the log of Z; see `Loss.gradient`."""
        s, c = outputs[..., :-1], outputs[..., -1:]
        m, z = targets.sum(-1, keepdim=True), self._log_count(c).exp_()
        by_logits = s.softmax(-1).mul_(m).sub_(targets)
        return torch.cat([by_logits, (z - m).mul_(self._log_count_slope(c, z))], -1)

    def link(self, outputs: Tensor) -> Tensor:
        """Return ``1 - exp(-lambda)``; see `Loss.link`."""
        outputs = outputs.double()
        return self._scores(outputs, self.decision(outputs))

    def initial_bias(self) -> np.ndarray:
        """Return the logits of the label distribution and the log of the mean count."""
        return np.append(np.log(self.prior_), math.log(self.prior_.sum()))


def log_exp_count(c: Tensor) -> Tensor:
    """Return log Z for Z = e^c, continued as a tangent so that no output overflows."""
    beyond = (c - MAX_LOG_COUNT).clamp(min=0)
    return c - beyond + beyond.log1p()


def log_exp_count_slope(c: Tensor) -> Tensor:
    """Return the derivative of `log_exp_count`."""
    return (c - (MAX_LOG_COUNT - 1)).clamp_(min=1).reciprocal_()


def log_rates(log_p: Tensor, log_count: Tensor) -> Tensor:
    """Return log(theta p) such that ``sum(1 - exp(-theta p))`` over the labels is the count.

    Newton's method on the logarithms of theta and of the sum, which is nearly linear there, inside
    a bracket that is halved where a step would leave it.
    """
    if has_torch_function((log_p, log_count)):  # the steps depend on the values
        return handle_torch_function(log_rates, (log_p, log_count), log_p, log_count)
    shape, n_labels = log_p.shape, log_p.shape[-1]
    log_p, log_count = log_p.reshape(-1, n_labels), log_count.reshape(-1)
    log_target, low, high, tiny = bracket(log_p, log_count)
    log_theta = low.clone()
    active = torch.arange(len(log_theta), device=log_theta.device)
    for _ in range(100):
        u, p = log_theta[active], log_p[active]
        rate = (u.unsqueeze(-1) + p).exp()
        total = -torch.expm1(-rate).sum(-1)
        slope = torch.where(rate < 700, rate * torch.exp(-rate), 0.0).sum(-1)
        gap = total.log() - log_target[active]
        low = torch.where(gap < 0, u, low)
        high = torch.where(gap < 0, high, u)
        step = u - gap * total / slope
        inside = (step >= low) & (step <= high)
        following = torch.where(inside, step, (low + high) / 2)
        log_theta[active] = following
        going = (following - u).abs() > 1e-12 * (1 + u.abs())
        if not going.any():
            break
        active, low, high = active[going], low[going], high[going]
    return ((log_theta + tiny).unsqueeze(-1) + log_p).reshape(shape)


def bracket(log_p: Tensor, log_count: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the log of the sum to reach, two logs of theta around it, and what to add to them."""
    # Below e^-40 the sum is theta to the last digit.
    tiny = (log_count + 40).clamp(max=0)
    count = (log_count - tiny).exp()
    # The sum only tends to n_labels: cap the count below it, smoothly so that its order is kept.
    beyond = (count - (log_p.shape[-1] - ROOM)).clamp(min=0)
    log_target = (count - beyond - ROOM * torch.expm1(-beyond / ROOM) * (1 - 1e-6)).log()
    # At the higher end every label is certain, so that the root lies between.
    return log_target, log_target, log_target - log_p.amin(-1) + math.log(40) + 1, tiny
