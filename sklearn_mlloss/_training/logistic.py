"""Penalised logistic regressions of all labels at once, with a cross-validated penalty.

The fits of all labels, each on the training rows of one split or on all rows, share their products
with the matrix of inputs. Each is a problem of its own, with its own steps: those of L-BFGS,
preconditioned by the diagonal of the Hessian at the label priors.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["PENALTIES", "Design", "LogisticFit", "fit_logistic"]

# Penalties to choose from, in this order: each fit starts from the last one. A penalty times half
# of the squared norm of the weights is added to the sum of losses over rows of mean weight 1.
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
# Outputs of all fits that are computed at once, unless those of one label are more.
OUTPUTS = 2**22
# A fit ends after so many steps, or when none lowers an objective by this share of the loss of the
# label prior.
MOST_STEPS, TOLERANCE = 50, 1e-4
# Past steps that approximate the Hessian.
MEMORY = 6
# Share of the decrease that the slope promises which a step must reach, and how often it is halved.
DECREASE, HALVINGS = 1e-4, 12
# Positives and negatives that are added to those of each label for its prior.
ADDED = 0.5


class Design(Protocol):
    """A matrix of inputs, used through its products only.

    Attributes
    ----------
    mean, variance : Tensor of shape (n_inputs,)
    """

    mean: Tensor
    variance: Tensor

    def times(self, matrix: Tensor) -> Tensor:
        """Return the product with a matrix of shape (n_inputs, k)."""

    def transposed_times(self, matrix: Tensor) -> Tensor:
        """Return the product of the transpose with a matrix of shape (n_rows, k)."""


class LogisticFit(NamedTuple):
    """Logistic regressions of all labels.

    Attributes
    ----------
    weight : Tensor of shape (n_inputs, n_labels)
    bias : Tensor of shape (n_labels,)
        Of the log-odds less those of the label prior.
    prior : Tensor of shape (n_labels,)
        Log-odds of the labels.
    out_of_fold, out_of_fold_prior : Tensor of shape (n_rows, n_labels)
        Log-odds of each row less those of the label priors, and these, both by the fits that are
        tested on it: means, and NaN where there is none.
    penalty : float
        One for all labels: on simulated and real tables, one per label is chosen too badly to be
        better.
    """

    weight: Tensor
    bias: Tensor
    prior: Tensor
    out_of_fold: Tensor
    out_of_fold_prior: Tensor
    penalty: float


def fit_logistic(
    design: Design, Y: Tensor, weight: Tensor, trained: Tensor, tested: Tensor, n_trials: int
) -> LogisticFit:
    """Fit logistic regressions of all labels, with the penalty that is best for held-out rows.

    Parameters
    ----------
    design : Design
    Y : Tensor of shape (n_rows, n_labels)
        Targets in [0, 1].
    weight : Tensor of shape (n_rows, n_labels)
        Weights >= 0, of mean 1 over observed entries; 0 for those that are not observed.
    trained, tested : Tensor of bool, shape (n_rows, n_splits)
        Training and test rows of each split.
    n_trials : int
        Number of splits, the first ones, that choose the penalty.

    Returns
    -------
    LogisticFit
    """
    # The last fit is that of all rows.
    trained = torch.cat([trained, torch.ones_like(trained[:, :1])], dim=1)
    tested = torch.cat([tested, torch.zeros_like(tested[:, :1])], dim=1)
    n_fits = trained.shape[1]
    at_once = max(1, OUTPUTS // (len(Y) * n_fits))
    labels = list(zip(Y.split(at_once, dim=1), weight.split(at_once, dim=1), strict=True))
    penalty, starts = _choose_penalty(design, labels, trained[:, :n_trials], tested[:, :n_trials])
    parts = []
    for (y, w), start in zip(labels, starts, strict=True):
        problem = _Problem(design, y, w, trained, tested)
        theta, logits = problem.solve(start.repeat(1, n_fits), penalty)
        last, prior = theta.unflatten(1, problem.bias.shape)[:, -1], problem.bias
        bias = last[-1] - design.mean @ last[:-1] - prior[-1]
        means = [problem.test_means(part) for part in (logits - prior, prior.expand_as(logits))]
        parts.append((last[:-1], bias, prior[-1], *means))
    weights, biases, priors, held_out, held_out_priors = (
        torch.cat(part, dim=-1) for part in zip(*parts, strict=True)
    )
    return LogisticFit(weights, biases, priors, held_out, held_out_priors, penalty)


def _choose_penalty(
    design: Design, labels: list[tuple[Tensor, Tensor]], trained: Tensor, tested: Tensor
) -> tuple[float, list[Tensor]]:
    """Return the penalty with the least loss of the test rows, and parameters to start from.

    Parameters
    ----------
    design : Design
    labels : list of (Tensor, Tensor)
        Targets and weights of some labels each.
    trained, tested : Tensor of bool, shape (n_rows, n_trials)
    """
    thetas: list[Tensor] = []
    chosen, starts, least, before = PENALTIES[0], thetas, math.inf, math.inf
    for penalty in PENALTIES:
        total, last, thetas = 0.0, thetas, []
        for k, (y, w) in enumerate(labels):
            problem = _Problem(design, y, w, trained, tested)
            theta, logits = problem.solve(last[k] if last else problem.start(), penalty)
            thetas.append(theta)
            total += problem.held_out_loss(logits)
        if total < least:
            chosen, least = penalty, total
            starts = [theta[:, : y.shape[1]] for theta, (y, _) in zip(thetas, labels, strict=True)]
        elif total > before:
            break
        before = total
    return chosen, starts


class _Problem:
    """The logistic regressions of some labels, each on the training rows of several splits.

    Parameters are one matrix of shape (n_inputs + 1, n_fits * n_labels), whose last row has the
    log-odds at the mean of the inputs.

    Attributes
    ----------
    bias : Tensor of shape (n_fits, n_labels)
        Log-odds of the labels in the rows of each fit.
    """

    def __init__(self, design: Design, Y: Tensor, weight: Tensor, trained: Tensor, tested: Tensor):
        self.design, self.targets = design, Y.unsqueeze(1)
        self.tested = tested.to(Y.dtype).unsqueeze(2)
        self.entry_weight = weight.unsqueeze(1)
        share = trained.to(Y.dtype).unsqueeze(2) * self.entry_weight
        self.n_used = share.sum(dim=0).clamp(min=ADDED)
        positives = (share * self.targets).sum(dim=0)
        rate = (positives + ADDED) / (self.n_used + 2 * ADDED)
        self.bias = rate.logit()
        # A label that does not vary stays at its prior, from which nothing would hold it back.
        varies = (positives > 0) & (positives < self.n_used)
        self.share = share.div_(self.n_used).mul_(varies)
        self.curvature = (rate * (1 - rate)).flatten()
        self.prior_loss = torch.special.entr(rate).add(torch.special.entr(1 - rate)).flatten()

    def start(self) -> Tensor:
        """Return the parameters of the label priors."""
        n_inputs = len(self.design.mean)
        return torch.cat([self.bias.new_zeros(n_inputs, self.bias.numel()), self.bias.view(1, -1)])

    def solve(self, theta: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        """Return the parameters of the fits with a penalty, from others, and their logits."""
        ridge = (penalty / self.n_used).flatten()
        scale = torch.cat([torch.outer(self.design.variance, self.curvature) + ridge,
                           self.curvature.view(1, -1)])  # fmt: skip
        history = _History(scale, 1e-2 * TOLERANCE * self.prior_loss)
        logits = self._logits(theta)
        value, gradient = self._objective(logits, theta, ridge)
        for _ in range(MOST_STEPS):
            step = history.direction(gradient)
            length, change = self._search(logits, theta, step, value, gradient, ridge)
            theta = theta + step.mul_(length)
            logits = logits + change
            before, last = value, gradient
            value, gradient = self._objective(logits, theta, ridge)
            if (before - value <= TOLERANCE * self.prior_loss).all():
                break
            history.add(step, gradient - last)
        return theta, logits

    def held_out_loss(self, logits: Tensor) -> float:
        """Return the sum of the losses of the rows that each fit is tested on."""
        losses = softplus(logits).sub_(self.targets * logits).mul_(self.entry_weight)
        return float(losses.mul_(self.tested).sum())

    def test_means(self, values: Tensor) -> Tensor:
        """Return the means of values of shape (n_rows, n_fits, n_labels) over the tests of rows."""
        return (values * self.tested).sum(dim=1) / self.tested.sum(dim=1)

    def _logits(self, theta: Tensor) -> Tensor:
        """Return the log-odds of all rows, shape (n_rows, n_fits, n_labels)."""
        weight, bias = theta[:-1], theta[-1] - self.design.mean @ theta[:-1]
        return (self.design.times(weight) + bias).unflatten(1, self.bias.shape)

    def _losses(self, logits: Tensor) -> Tensor:
        """Return the mean loss of each fit."""
        losses = softplus(logits).sub_(self.targets * logits).mul_(self.share)
        return losses.sum(dim=0).flatten()

    def _objective(self, logits: Tensor, theta: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective of each fit, and its gradient."""
        weight = theta[:-1]
        residual = logits.sigmoid().sub_(self.targets).mul_(self.share).flatten(1)
        total = residual.sum(dim=0)
        by_weight = self.design.transposed_times(residual)
        by_weight.sub_(torch.outer(self.design.mean, total)).add_(ridge * weight)
        value = self._losses(logits) + ridge / 2 * weight.square().sum(dim=0)
        return value, torch.cat([by_weight, total.view(1, -1)])

    def _search(
        self, logits: Tensor, theta: Tensor, step: Tensor, value: Tensor, gradient: Tensor,
        ridge: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return the length of the step of each fit, and the change of the logits that it makes."""
        change = self._logits(step)
        slope = (step * gradient).sum(dim=0)
        weight, move = theta[:-1], step[:-1]
        squares = [(a * b).sum(dim=0) for a, b in ((weight, weight), (weight, move), (move, move))]
        length = torch.ones_like(value)
        for _ in range(HALVINGS):
            by_fit = length.view(self.bias.shape)
            norm = squares[0] + 2 * length * squares[1] + length.square() * squares[2]
            now = self._losses(logits + change * by_fit) + ridge / 2 * norm
            # The rounding of sums of float32 is no increase.
            limit = value + DECREASE * length * slope + 1e-7 * self.prior_loss
            fails = ~(now <= limit)
            if not fails.any():
                return length, change * by_fit
            length = torch.where(fails, length / 2, length)
        length = torch.where(fails, 0.0, length)
        return length, change * length.view(self.bias.shape)


class _History:
    """Past steps of independent problems, one per column, and the directions that they give.

    Parameters
    ----------
    scale : Tensor of shape (n, k)
        Diagonal of the Hessian of each problem at its start.
    least : Tensor of shape (k,)
        The least product of a step and the difference of gradients that counts.

    References
    ----------
    J. Nocedal. "Updating quasi-Newton matrices with limited storage". Mathematics of Computation
    35, 1980.
    """

    def __init__(self, scale: Tensor, least: Tensor):
        self.scale, self.least = scale, least
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, step: Tensor, difference: Tensor) -> None:
        """Add a step and the difference of the gradients at its ends."""
        product = (step * difference).sum(dim=0)
        # Of a problem that is solved the steps are rounding errors.
        inverse = torch.where(product > self.least, 1 / product, 0.0)
        self.pairs = [*self.pairs, (step, difference, inverse)][-MEMORY:]

    def direction(self, gradient: Tensor) -> Tensor:
        """Return a step for each problem."""
        step, shares = gradient.clone(), []
        for move, difference, inverse in reversed(self.pairs):
            share = inverse * (move * step).sum(dim=0)
            step.sub_(difference * share)
            shares.append(share)
        step.div_(self.scale)
        for move, difference, inverse in self.pairs:
            share = shares.pop() - inverse * (difference * step).sum(dim=0)
            step.add_(move * share)
        return step.neg_()
