"""Base classes of losses, and `Criterion`, the adapter to torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from .._data.containers import to_array
from .._data.fields import check_fields, checked
from .._data.messages import describe
from .._data.persistence import VersionedEstimator
from .._data.rows import row_blocks
from .._data.validation import check_choice, check_number, check_numbers
from .._data.weights import LARGEST_SUM, check_weight
from .links import strictly_increasing

__all__ = ["Criterion", "Loss", "SeparableLoss"]

# Weights computed from label frequencies stay below this: beyond it one rare label would dominate
# training.
MAX_WEIGHT = 100.0
# Beyond these logits both slopes of a loss lose their digits to rounding of the sigmoid.
MAX_LOGIT = 30.0
# Targets counted at a time, so that a large table needs little memory.
BLOCK_ENTRIES = 2**17


def _rank(cls: type, method: str) -> int:
    """Return the place, in the method resolution order, of the class that defines the method."""
    return next(i for i, base in enumerate(cls.__mro__) if method in vars(base))


def _no_closed_form(self: Any, outputs: Tensor, targets: Tensor) -> None:
    """Return None, so that autograd is used."""


class Loss(VersionedEstimator, ABC):
    """Base class of all losses: the training objective, and the link from outputs to scores.

    A loss is a scikit-learn object: the constructor stores its parameters, `fit` computes label
    statistics, `clone`, `get_params` and nested parameter names work as usual. These statistics are
    its only state.

    Attributes
    ----------
    default_decoder : str
        The decoder that suits the scores of this loss, used for ``decoder="auto"``.
    proper : bool
        Whether `link` returns the probabilities of the labels where the expected loss is minimal:
        the loss together with its link is proper. Otherwise, calibrate the scores or tune the
        decoder.
    row_wise : bool
        True if the loss of a batch is the mean of losses of its rows.
    accepts_soft_targets : bool
        Whether targets strictly between 0 and 1 are meaningful.
    accepts_label_weights : bool
        Whether one weight per row and label is meaningful (the loss is a sum over labels).
    n_labels_, n_outputs_ : int
        Number of labels, and of network outputs that the loss needs. Outputs beyond the labels (a
        count, a threshold) are the last columns.
    label_count_, positive_count_ : ndarray of shape (n_labels,)
        Total weight of the observed and of the positive entries of each label.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import BinaryCrossEntropy
    >>> loss = BinaryCrossEntropy().fit(np.array([[0, 1], [1, 1]]))
    >>> outputs = torch.tensor([[0.0, 2.0]])
    >>> loss.objective(outputs, torch.tensor([[0.0, 1.0]]))
    tensor([0.4100])
    >>> loss.link(outputs).round(decimals=2)
    tensor([[0.5000, 0.8800]], dtype=torch.float64)
    """

    # Properties in some subclasses, which mypy allows for attributes only if told to ignore it.
    default_decoder: str = "threshold"
    proper: bool = False
    row_wise: bool = True
    accepts_soft_targets: bool = False
    accepts_label_weights: bool = False
    # Closed-form derivatives, and the methods that they differentiate.
    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {"gradient": ("objective",)}

    def __init_subclass__(cls, **kwargs):
        """Drop a closed form if the subclass overrides a method that it differentiates."""
        super().__init_subclass__(**kwargs)
        for derivative, formulas in cls._derivatives.items():
            if any(_rank(cls, derivative) > _rank(cls, formula) for formula in formulas):
                setattr(cls, derivative, _no_closed_form)

    def fit(self, Y: np.ndarray, sample_weight: np.ndarray | None = None) -> Loss:
        """Compute the label statistics.

        Parameters
        ----------
        Y : array of shape (n_samples, n_labels)
            Targets in [0, 1]; NaN means not observed.
        sample_weight : array of shape (n_samples,) or (n_samples, n_labels), optional
            Weights, which act as counts.

        Returns
        -------
        Loss
            The fitted loss.
        """
        self._check_params()
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        return self.partial_fit(Y, sample_weight)

    def partial_fit(self, Y: np.ndarray, sample_weight: np.ndarray | None = None) -> Loss:
        """Add the statistics of more rows to those of earlier calls.

        Parameters
        ----------
        Y, sample_weight : see `fit`

        Returns
        -------
        Loss
            The fitted loss.
        """
        Y = to_array(Y, "Y")
        if Y.ndim != 2:
            raise ValueError(f"Y must be a 2-D array of targets, got {Y.ndim} dimension(s)")
        observed, positive = _label_totals(Y, sample_weight)
        if not hasattr(self, "n_labels_"):
            self._check_params()
            self.n_labels_ = Y.shape[1]
            self.label_count_ = np.zeros(self.n_labels_)
            self.positive_count_ = np.zeros(self.n_labels_)
        if Y.shape[1] != self.n_labels_:
            raise ValueError(
                f"Y has {Y.shape[1]} labels, the loss was fitted with {self.n_labels_}"
            )
        self._see(Y, sample_weight)
        if not hasattr(self, "n_outputs_"):
            self.n_outputs_ = self._count_outputs()
        self.label_count_ = self.label_count_ + observed
        self.positive_count_ = self.positive_count_ + positive
        self._tensors: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}
        self._update()
        return self

    def _set_counts(self, label_count: np.ndarray, positive_count: np.ndarray) -> None:
        """Replace the label counts by those of all rows, if `fit` got a sample of them."""
        self.label_count_, self.positive_count_ = label_count, positive_count
        self._tensors = {}
        self._update()

    def _check_params(self) -> None:
        """Raise if a parameter is out of range."""
        check_fields(self)

    def _count_outputs(self) -> int:
        return self.n_labels_

    def _see(self, Y: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Update statistics beyond the label counts with more rows."""

    def _update(self) -> None:
        """Compute the values that depend on the label counts."""

    @property
    def prior_(self) -> np.ndarray:
        """Share of positives among the observed entries of each label, kept off 0 and 1.

        A label without positives (or negatives) counts as having half of one.
        """
        n = np.maximum(self.label_count_, 1.0)
        return np.clip(self.positive_count_ / n, 0.5 / n, 1 - 0.5 / n)

    @property
    def _prior_logit(self) -> np.ndarray:
        return np.log(self.prior_) - np.log1p(-self.prior_)

    @abstractmethod
    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        outputs : Tensor of shape (..., n, n_outputs)
            Outputs of the network.
        targets : Tensor of shape (..., n, n_labels)
            Values in [0, 1] of the dtype of `outputs`; where the mask is 0 any finite value.
        mask : Tensor of shape (..., n, n_labels), optional
            0 for an entry that was not observed, else 1, or a weight where
            `accepts_label_weights`. None if everything was observed.
        sample_weight : Tensor of shape (..., n), optional
            Used only if not `row_wise`.

        Returns
        -------
        Tensor of shape (..., n), or (...) if not `row_wise`
        """

    @abstractmethod
    def link(self, outputs: Tensor) -> Tensor:
        """Return scores of shape (..., n, n_labels), which are probabilities if `proper`.

        `outputs` has shape (..., n, n_outputs). Float64, strictly inside (0, 1) and strictly
        increasing in the output of the label.
        """

    @abstractmethod
    def initial_bias(self) -> np.ndarray:
        """Return the output bias, shape (n_outputs,), that reproduces the label priors."""

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return the derivative of `objective` of each row by its outputs, or None.

        In closed form, if that is cheaper than autograd; None, the default, means that autograd is
        used. A subclass that overrides `objective` inherits None, not the derivative of the
        replaced method.

        Parameters
        ----------
        outputs : Tensor of shape (..., n, n_outputs)
            Outputs of the network.
        targets : Tensor of shape (..., n, n_labels)
            All observed, all 0 or 1, of the dtype of `outputs`.

        Returns
        -------
        Tensor of shape (..., n, n_outputs) or None
            Contiguous and new, so that the caller may overwrite it.
        """
        return None

    def decision(self, outputs: Tensor) -> Tensor:
        """Return the raw margin of each label in `outputs`, shape (..., n, n_labels)."""
        return outputs[..., : self.n_labels_]

    def count(self, outputs: Tensor) -> Tensor | None:
        """Return the number of labels that `outputs` predict, shape (..., n), or None."""
        return None

    def set_epoch(self, epoch: int) -> None:
        """Set the index `epoch`, from 0, of the current epoch; called at its start."""

    @property
    def module(self) -> nn.Module | None:
        """The torch module of the loss, which is moved to the device and trained, or None."""
        return None

    def _tensor(self, name: str, like: Tensor) -> Tensor:
        """Return the fitted array `name` as a tensor of the device and dtype of `like`."""
        key = (name, like.device, like.dtype)
        if key not in self._tensors:
            # Under inference mode it would be a tensor that autograd refuses later.
            with torch.inference_mode(False):
                value = np.asarray(getattr(self, name), dtype=np.float64)
                self._tensors[key] = torch.tensor(value, device=like.device, dtype=like.dtype)
        return self._tensors[key]

    def __getstate__(self) -> dict[str, Any]:
        """Exclude cached tensors: their device may not exist where the loss is loaded."""
        state = dict(super().__getstate__())
        if "_tensors" in state:
            state["_tensors"] = {}
        return state


@dataclass(eq=False, repr=False, kw_only=True)
class SeparableLoss(Loss):
    r"""Base of losses that are a sum over labels of a function of one logit.

    A subclass implements `positive` and `negative`, the loss :math:`\ell_1(s)`, :math:`\ell_0(s)`
    of one logit for a label that is present or absent. Masks, soft targets, label weights,
    smoothing and reduction, and the link, are handled here:

    .. math:: \ell(s, y) = \sum_l w_l\, m_l\, [y_l\, \ell_1(s_l) + (1 - y_l)\, \ell_0(s_l)]

    The link is the probability at which the expected loss is stationary,
    :math:`\eta(s) = \ell_0'(s) / (\ell_0'(s) - \ell_1'(s))`. For training faster than by autograd,
    `slope` returns the derivative in closed form.

    Parameters
    ----------
    class_weight : None, "balanced", "effective", ("effective", beta) or array of shape (n_labels,)
        Weight of each label, for both polarities. "balanced" is inversely proportional to the
        number of positives, "effective" to the effective number ``1 - beta ** n_positives``
        (Cui et al., 2019; beta 0.999 unless given). Both are scaled to mean 1 and capped at 100;
        a label without positives counts as having one.
    label_smoothing : float in [0, 1), default=0
        Share e of the loss that ignores the target: the loss of y becomes ``1 - e`` of
        itself plus ``e / 2`` of each polarity, as if targets were ``y (1 - e) + e / 2``. The link
        undoes this, so that scores are still probabilities of the labels.
    label_reduction : {"mean", "sum"}, default="mean"
        How the losses of the labels of a row are combined. "mean" divides by the number of labels,
        observed or not, so that each observed entry has the same weight; it makes the learning
        rate independent of the number of labels.

    Examples
    --------
    A custom loss needs two methods:

    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import SeparableLoss
    >>> class Logistic(SeparableLoss):
    ...     def positive(self, s):
    ...         return torch.nn.functional.softplus(-s)
    ...     def negative(self, s):
    ...         return torch.nn.functional.softplus(s)
    >>> loss = Logistic().fit(np.array([[0, 1], [1, 1]]))
    >>> loss.link(torch.tensor([[0.0, 2.0]])).numpy().round(3)
    array([[0.5  , 0.881]])
    """

    class_weight: str | tuple[str, float] | ArrayLike | None = None
    label_smoothing: float = checked(0.0, check_number, low=0, high=1, closed="left")
    label_reduction: str = checked("mean", check_choice, choices=("mean", "sum"))

    proper = True
    accepts_soft_targets = True
    accepts_label_weights = True

    _derivatives: ClassVar[dict[str, tuple[str, ...]]] = {
        "gradient": ("objective",),
        "slope": ("positive", "negative", "mixture", "entry_weight"),
    }

    @abstractmethod
    def positive(self, s: Tensor) -> Tensor:
        """Return the loss of logits `s`, shape (..., n_labels), where the label is present."""

    @abstractmethod
    def negative(self, s: Tensor) -> Tensor:
        """Return the loss of logits `s`, shape (..., n_labels), where the label is absent."""

    def mixture(self, s: Tensor, y: Tensor) -> Tensor:
        """Return the loss of logits `s` for targets `y` in [0, 1].

        Override it if one expression is cheaper than both polarities.
        """
        return y * self.positive(s) + (1 - y) * self.negative(s)

    def slope(self, s: Tensor, y: Tensor) -> Tensor | None:
        """Return the derivative of ``mixture(s, y)`` by `s`, or None to leave it to autograd.

        A new tensor, for `y` of 0 and 1 only. Override it if a closed form is cheap; it is not used
        if a subclass overrides `positive`, `negative`, `mixture` or `entry_weight` without it.
        """
        return None

    def entry_weight(self, targets: Tensor, mask: Tensor | None) -> Tensor | None:
        """Return weights of the shape of `targets`, computed from `targets` and `mask`, or None."""
        return None

    def eta(self, s: Tensor) -> Tensor:
        """Return the probability at which the expected loss has its minimum at logit `s`.

        From `slope`, or else by differentiating `positive` and `negative`; override it by a simpler
        closed form.
        """
        logits = s.clamp(-MAX_LOGIT, MAX_LOGIT)
        slope = partial(type(self).slope, self)
        positive = slope(logits, torch.ones_like(logits))
        negative = slope(logits, torch.zeros_like(logits))
        if positive is None or negative is None:
            return stationary_probability(self.positive, self.negative, logits)
        return probability_of_slopes(positive, negative)

    def objective(
        self,
        outputs: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted sum or mean over labels, shape (..., n); see `Loss.objective`."""
        values = self.mixture(outputs, targets)
        if self.label_smoothing:
            # The same as smoothed targets where the mixture is linear in them; the link relies on
            # it everywhere.
            both = self.positive(outputs) + self.negative(outputs)
            values = values + self.label_smoothing * (both / 2 - values)
        weight = self.entry_weight(targets, mask)
        if weight is not None:
            values = values * weight
        if self.class_weight is not None:
            values = values * self._tensor("class_weight_", values)
        if mask is not None:
            values = values * mask
        return values.mean(-1) if self.label_reduction == "mean" else values.sum(-1)

    def gradient(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return `slope` with smoothing, weights and reduction; see `Loss.gradient`."""
        # A custom loss may have a parameter of that name.
        slope = partial(type(self).slope, self)
        values = slope(outputs, targets)
        if values is None:
            return None
        flipped = slope(outputs, 1 - targets) if self.label_smoothing else None
        if flipped is not None:
            values.lerp_(flipped, self.label_smoothing / 2)
        weight = self.entry_weight(targets, None)
        if weight is not None:
            values.mul_(weight)
        if self.class_weight is not None:
            values.mul_(self._tensor("class_weight_", values))
        return values.mul_(1 / self.n_labels_) if self.label_reduction == "mean" else values

    def link(self, outputs: Tensor) -> Tensor:
        """Return the probabilities of the logits; see `Loss.link`."""
        s = outputs.double()
        eta = self.eta(s)
        if self.label_smoothing:
            eta = ((eta - self.label_smoothing / 2) / (1 - self.label_smoothing)).clamp(0, 1)
        return strictly_increasing(eta, s)

    def initial_bias(self) -> np.ndarray:
        """Return the logits whose link is the label priors."""
        prior = torch.tensor(self.prior_)
        prior = prior * (1 - self.label_smoothing) + self.label_smoothing / 2
        low, high = torch.full_like(prior, -30.0), torch.full_like(prior, 30.0)
        # Some links never reach 1: for a larger prior, the gradient would vanish at the bias.
        prior = torch.minimum(prior, self.eta(high) - 1e-4)
        # As 50 bisections, five at a time: a call takes as long for 31 logits as for one.
        parts = torch.arange(1, 32, dtype=prior.dtype)[:, None]
        for _ in range(10):
            width = (high - low) / 32
            below = (self.eta(low + parts * width) < prior).sum(dim=0)
            low, high = low + below * width, low + (below + 1) * width
        return ((low + high) / 2).numpy()

    def _update(self):
        if self.class_weight is not None:
            self.class_weight_ = self._resolve_class_weight()

    def _resolve_class_weight(self) -> np.ndarray:
        positives = np.where(self.positive_count_ > 0, self.positive_count_, 1.0)
        spec = self.class_weight
        if isinstance(spec, str) and spec == "balanced":
            weight = 1 / positives
        elif isinstance(spec, str) and spec == "effective":
            weight = _effective_weight(positives, 0.999)
        elif isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], str):
            check_choice(spec[0], "class_weight[0]", ("effective",))
            check_number(spec[1], "beta of class_weight", low=0, high=1, closed="left")
            weight = _effective_weight(positives, spec[1])
        else:
            return per_label(spec, "class_weight", self.n_labels_, "'balanced', 'effective'")
        return np.minimum(weight / weight.mean(), MAX_WEIGHT)


class Criterion(nn.Module):
    """A fitted loss as a torch criterion: the weighted mean over the rows of a batch.

    The estimator trains with it, and it works in any torch training loop.

    Parameters
    ----------
    loss : Loss
        A fitted loss.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from sklearn_mlloss.losses import Criterion, FocalLoss
    >>> Y = np.array([[0, 1, 1], [1, 0, 0]])
    >>> criterion = Criterion(FocalLoss(gamma=2).fit(Y))
    >>> logits = torch.zeros(2, 3, requires_grad=True)
    >>> criterion(logits, torch.tensor(Y)).backward()
    >>> logits.grad.shape
    torch.Size([2, 3])
    """

    def __init__(self, loss: Loss):
        super().__init__()
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a fitted Loss, got {describe(loss)}")
        if not hasattr(loss, "n_outputs_"):
            raise NotFittedError(f"{describe(loss)} has not been fitted: pass loss.fit(Y)")
        self.loss = loss
        self.inner = loss.module

    def set_epoch(self, epoch: int) -> None:
        """Set the index `epoch`, from 0, of the current epoch of the loss."""
        self.loss.set_epoch(epoch)

    def forward(
        self,
        outputs: Tensor,
        targets: Tensor,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over rows of weight times loss.

        Parameters
        ----------
        outputs : Tensor of shape (..., n, n_outputs)
            Outputs of the network.
        targets : Tensor of shape (..., n, n_labels)
            Any dtype. NaN means not observed; integers and booleans are never inspected for it.
        sample_weight : Tensor of shape (..., n), or of the shape of `targets`, optional
            Used as given: scale it to mean 1 over the training rows, not over a batch, for an
            unbiased gradient.
        mask : Tensor of the shape of `targets`, optional
            0 where a target was not observed.

        Returns
        -------
        Tensor
            A scalar.
        """
        for name, value in (("outputs", outputs), ("targets", targets)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")
        n_outputs, n_labels = self.loss.n_outputs_, self.loss.n_labels_
        if outputs.shape[-1] != n_outputs or targets.shape[-1] != n_labels:
            raise ValueError(
                f"{type(self.loss).__name__} was fitted for {n_outputs} outputs and {n_labels} "
                f"labels, got {outputs.shape[-1]} and {targets.shape[-1]}"
            )
        if targets.is_floating_point():
            missing = targets.isnan()
            if missing.any():
                observed = (~missing).to(outputs.dtype)
                mask = observed if mask is None else mask * observed
                targets = targets.masked_fill(missing, 0)
        targets = targets.to(outputs.dtype)
        if sample_weight is not None and sample_weight.ndim == targets.ndim:
            if not self.loss.accepts_label_weights:
                raise ValueError(
                    f"{type(self.loss).__name__} is not a sum over labels: sample_weight must "
                    "have one weight per row, got one per row and label"
                )
            mask = sample_weight if mask is None else mask * sample_weight
            sample_weight = None
        if mask is not None:
            mask = mask.to(outputs.dtype)
        values = self.loss.objective(outputs, targets, mask, sample_weight)
        if sample_weight is not None and self.loss.row_wise:
            values = values * sample_weight
        return values.mean()


def stationary_probability(
    positive: Callable[[Tensor], Tensor], negative: Callable[[Tensor], Tensor], s: Tensor
) -> Tensor:
    """Return the probability of a present label at which the expected loss is stationary."""
    if has_torch_function((s,)):  # what is traced has no gradient
        args = positive, negative, s
        return handle_torch_function(stationary_probability, (s,), *args)
    # The caller may be in inference mode, where enable_grad alone has no effect.
    with torch.inference_mode(False), torch.enable_grad():
        logits = s.detach().clone().requires_grad_()
        (slope1,) = torch.autograd.grad(positive(logits).sum(), logits)
        (slope0,) = torch.autograd.grad(negative(logits).sum(), logits)
    return probability_of_slopes(slope1, slope0)


def probability_of_slopes(positive: Tensor, negative: Tensor) -> Tensor:
    """Return the same, given the slopes of the loss of a present and of an absent label."""
    pull = negative - positive
    return torch.where(pull > 0, negative / pull, 0.5).clamp(0, 1)


def per_label(value: Any, name: str, n_labels: int, words: str, closed: str = "left") -> np.ndarray:
    """Return a number >= 0, or > 0 if not closed, or an array of such as one value per label."""
    array = check_numbers(value, name, low=0, closed=closed, other=f"None, {words}, ")
    if array.ndim == 1 and len(array) != n_labels:
        raise ValueError(f"{name} has {len(array)} values for {n_labels} labels")
    return np.broadcast_to(array, n_labels).copy()


def _effective_weight(positives: np.ndarray, beta: float) -> np.ndarray:
    return (1 - beta) / (1 - beta**positives)


def _label_totals(Y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the total weight of the observed and of the positive entries of each label."""
    n_labels = Y.shape[1]
    weight = check_weight(weight, Y, largest_sum=LARGEST_SUM)
    observed, positive = np.zeros(n_labels), np.zeros(n_labels)
    for rows in row_blocks(len(Y), n_labels, BLOCK_ENTRIES):
        y = Y[rows]
        w = np.ones(len(y)) if weight is None else weight[rows]
        if ((y < 0) | (y > 1)).any():
            raise ValueError("Y must hold targets in [0, 1], or NaN for not observed")
        if Y.dtype.kind not in "bui":
            missing = np.isnan(y)
            w = np.where(missing, 0, w.reshape(len(y), -1))
            y = np.where(missing, 0, y)
        if w.ndim == 1:
            observed += w.sum()
            positive += w @ y.astype(np.float64)
        else:
            observed += w.sum(0)
            positive += (w * y).sum(0)
    return observed, positive
