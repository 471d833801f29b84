"""Contract suite for custom losses."""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from ..losses import Criterion, FunctionLoss, Loss, get_loss
from ._checking import (
    LABELS,
    N_ROWS,
    OUTPUT,
    Checks,
    _at_first,
    _constructor,
    _is_finite,
    _pickled,
    _require,
    _run,
    _same,
    _same_params,
    _shape_is,
    _Wrong,
)

__all__ = ["check_loss"]

FLAGS = ("proper", "row_wise", "accepts_soft_targets", "accepts_label_weights")


def check_loss(loss: Any, *, n_labels: int = 4, random_state: int = 0) -> None:
    """Check that a custom loss keeps the contract of `Loss`.

    The loss is cloned and never fitted itself. The checks run in order and end at the first
    failure; an error that the loss raises is a failure too.

    Parameters
    ----------
    loss : Loss, or anything that `get_loss` takes
        The loss, fitted or not. It must take any real number as an output. The gradient of a loss
        with a parameter ``detach_focus=True`` is not compared with its value, and a `FunctionLoss`
        needs no leading member axis.
    n_labels : int, default=4
        Number of labels to check with, for parameters that are arrays with one value per label.
    random_state : int, default=0
        Seed of the outputs and targets. torch's and numpy's global generators are not touched.

    Raises
    ------
    AssertionError
        Names the check, what is wrong and where, and how to fix it.

    Examples
    --------
    >>> import torch
    >>> from sklearn_mlloss.losses import SeparableLoss
    >>> from sklearn_mlloss.testing import check_loss
    >>> class Logistic(SeparableLoss):
    ...     def positive(self, s):
    ...         return torch.nn.functional.softplus(-s)
    ...     def negative(self, s):
    ...         return torch.nn.functional.softplus(s)
    >>> check_loss(Logistic())

    A mean over the batch would make weights of rows impossible:

    >>> class Averaged(Logistic):
    ...     def objective(self, outputs, targets, mask=None, sample_weight=None):
    ...         return super().objective(outputs, targets, mask).mean()
    >>> check_loss(Averaged())
    Traceback (most recent call last):
    AssertionError: Averaged fails the check 'shape': objective has shape (), expected (8,).
    To fix: return one value per row, or one for the batch if row_wise is False, in the dtype of
    the outputs.
    """
    with torch.inference_mode(False), torch.enable_grad():
        _run(LOSS_CHECKS, _LossCase(get_loss(loss), n_labels, random_state))


class _LossCase:
    """A loss with data: rows with all and without labels, and a mask with rows all hidden."""

    def __init__(self, original: Loss, n_labels: int, seed: int):
        self.original, self.n_labels, self.seed = original, n_labels, seed
        rng = np.random.default_rng(seed)
        self.Y = 1.0 * (rng.random((N_ROWS, n_labels)) < 0.4)
        self.Y[0], self.Y[1] = 1, 0
        self.y, self.soft = torch.tensor(self.Y), torch.tensor(rng.random(self.Y.shape))
        hidden = rng.random((N_ROWS, n_labels)) < 0.4
        hidden[2], hidden[3], hidden[-1], hidden[4, 0] = False, True, True, True
        self.mask = torch.tensor(1.0 - hidden)
        self.missing = self.Y.copy()
        self.missing[[3, 5], [0, n_labels - 1]] = np.nan
        self.weight = np.array([2, 1, 0, 3, 1, 1, 0, 2])

    def fit(self, Y: np.ndarray | None = None, weight: np.ndarray | None = None) -> Loss:
        return clone(self.original).fit(self.Y if Y is None else Y, weight)

    @cached_property
    def loss(self) -> Loss:
        return self.fit()

    @cached_property
    def outputs(self) -> Tensor:
        return self.draw()

    def draw(self, n: int = N_ROWS, seed: int = 0, scale: float = 1.0) -> Tensor:
        """Return logits within 2.5, and positive outputs beyond the labels (counts)."""
        rng, extra = np.random.default_rng([self.seed, seed]), self.loss.n_outputs_ - self.n_labels
        logits = scale * rng.uniform(-2.5, 2.5, (n, self.n_labels))
        return torch.tensor(np.hstack([logits, rng.uniform(0.2, 2, (n, extra))]))


def _slope(loss: Loss, outputs: Tensor, *args: Any, call: Any = None) -> tuple[Tensor, Tensor]:
    """Return the value and the gradient of its sum."""
    outputs = outputs.detach().clone().requires_grad_()
    value = (call or loss.objective)(outputs, *args)
    if not value.requires_grad:  # the check of the gradient looks into it
        return value, torch.zeros_like(outputs)
    return value.detach(), torch.autograd.grad(value.sum(), outputs)[0]


def _same_slope(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], what: str) -> None:
    _same(actual[0], expected[0], f"value {what}")
    _same(actual[1], expected[1], f"gradient {what}")


def _finite_slope(loss: Loss, *args: Any, what: str) -> None:
    for actual, name in zip(_slope(loss, *args), ("value", "gradient"), strict=True):
        _is_finite(actual, f"{name} {what}")


def _same_loss(case: _LossCase, a: Loss, b: Loss, what: str) -> None:
    _require(a.n_outputs_ == b.n_outputs_, f"n_outputs_ {what}: {a.n_outputs_}, {b.n_outputs_}")
    _same(a.initial_bias(), b.initial_bias(), f"initial_bias {what}", OUTPUT)
    args = case.outputs, case.y, case.mask
    _same(a.objective(*args), b.objective(*args), f"objective {what}")
    _same(a.link(case.outputs), b.link(case.outputs), f"link {what}", LABELS)


def _fit(case: _LossCase) -> None:
    """`fit` returns the loss, with its statistics, and changes no parameter."""
    loss = clone(case.original)
    before = loss.get_params(deep=False)
    _require(loss.fit(case.Y) is loss, "fit does not return the loss")
    _same_params(before, loss)
    _require(loss.n_labels_ == case.n_labels, f"n_labels_ is {loss.n_labels_}")
    actual = loss.n_outputs_
    enough = isinstance(actual, (int, np.integer)) and actual >= case.n_labels
    _require(bool(enough), f"n_outputs_ is {actual}, expected an int of at least {case.n_labels}")
    for name in ("label_count_", "positive_count_", "prior_"):
        _shape_is(getattr(loss, name), (case.n_labels,), name)
    for name in FLAGS:
        _require(isinstance(getattr(loss, name), bool), f"{name} is not True or False")
    _require(isinstance(loss.default_decoder, str), "default_decoder is not a name")


def _shape(case: _LossCase) -> None:
    """One value per row, or one per batch."""
    loss = case.loss
    for dtype in (torch.float32, torch.float64):
        value = loss.objective(case.outputs.to(dtype), case.y.to(dtype))
        _shape_is(value, (N_ROWS,) if loss.row_wise else (), "objective")
        _require(value.dtype == dtype, f"objective of {dtype} outputs is {value.dtype}")


def _inputs(case: _LossCase) -> None:
    """No argument is written to."""
    Y, weight = case.missing.copy(), 1.0 * case.weight
    Y.flags.writeable = weight.flags.writeable = False
    loss = case.fit(Y, weight).partial_fit(Y)
    original = {"outputs": case.outputs, "targets": case.y, "mask": case.mask}
    kept = {key: tensor.clone() for key, tensor in original.items()}
    loss.objective(kept["outputs"], kept["targets"])
    loss.objective(*kept.values())
    for method in (loss.link, loss.decision, loss.count):
        method(kept["outputs"])
    for key, tensor in original.items():
        _same(kept[key], tensor, f"{key} after the call", ("row", "column"))


def _grad_mode(case: _LossCase) -> None:
    """Leave the gradient mode of the caller alone; everything works without gradients."""
    loss, outputs = case.loss, case.draw().requires_grad_()
    calls = {
        "objective": lambda: loss.objective(outputs, case.y, case.mask),
        "gradient": lambda: loss.gradient(outputs.detach(), case.y),
        "link": lambda: loss.link(outputs),
        "decision": lambda: loss.decision(outputs),
        "count": lambda: loss.count(outputs),
        "initial_bias": loss.initial_bias,
    }
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        for name, call in calls.items():
            with mode():
                before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
                call()
                after = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            _require(after == before, f"{name} changed the gradient mode under {mode.__name__}")


def _gradient(case: _LossCase) -> None:
    """Compare the gradient with central differences of the value, in float64."""
    params = case.loss.get_params()
    if any(key.endswith("detach_focus") and value is True for key, value in params.items()):
        return
    loss, h = case.loss, 1e-5
    batches: list[tuple[Tensor, Tensor, Tensor | None]] = [
        (case.outputs, case.y, None),
        (case.draw(seed=1, scale=4), case.y, case.mask),
    ]
    if loss.accepts_soft_targets:
        batches.append((case.outputs, case.soft, None))
    for outputs, targets, mask in batches:
        value, slope = _slope(loss, outputs, targets, mask)
        for place in np.ndindex(*outputs.shape):
            step = torch.zeros_like(outputs)
            step[place] = h
            right = (loss.objective(outputs + step, targets, mask) - value).sum().item() / h
            left = (value - loss.objective(outputs - step, targets, mask)).sum().item() / h
            expected, actual = (left + right) / 2, slope[place].item()
            size = 1 + abs(expected) + value.abs().sum().item()
            if abs(right - left) > 1e-3 * size:  # a kink
                continue
            what = f"found {actual:.6g}, finite differences give {expected:.6g}"
            what = f"gradient at row {place[0]}, logit {place[1]}: {what}"
            _require(abs(actual - expected) <= 1e-6 * size, what)


def _closed_form(case: _LossCase) -> None:
    """Compare `gradient`, where it is not None, with autograd at both ends of training."""
    ties, members = torch.full_like(case.outputs, 0.7), [case.draw(seed=seed) for seed in range(3)]
    signs = np.random.default_rng(case.seed).choice([-1.0, 0.0, 1.0], case.outputs.shape)
    extreme = torch.tensor(1e4 * signs)
    for epoch in (0, 100):
        loss = case.fit()
        loss.set_epoch(epoch)
        if loss.gradient(case.outputs.clone(), case.y.clone()) is None:
            continue
        when = f"at epoch {epoch}"
        for outputs in (case.outputs, case.draw(seed=1, scale=4), ties, torch.stack(members)):
            y = case.y.expand(*outputs.shape[:-1], -1)
            actual = _closed(loss, outputs, y, when)
            # torch takes softplus for linear from 20 on, 2e-9 off.
            _near(actual, _slope(loss, outputs, y)[1], 1e-8, f"{when}, against autograd,")
            single = _closed(loss, outputs.float(), y.float(), when)
            _near(single, actual, 1e-4, f"{when} in float32, against float64,")
        what = f"for outputs of +-1e4 {when}"
        actual = _closed(loss, extreme, case.y, what)
        _near(actual, _slope(loss, extreme, case.y)[1], 1e-6, f"{what}, against autograd,")
        _closed(loss, extreme.float(), case.y.float(), f"{what} in float32")


def _closed(loss: Loss, outputs: Tensor, y: Tensor, when: str) -> Tensor:
    """Return `gradient`, after checks of the guarantees that callers rely on."""
    args = outputs.clone().requires_grad_(), y.clone()
    _require(loss.row_wise, "closed form of a loss that is not row_wise, expected None")
    overwritten = _gradient_without_graph(loss, *args)
    kept = overwritten.clone()
    overwritten.fill_(torch.nan)
    again = _gradient_without_graph(loss, *args)
    for now, before, name in zip(args, (outputs, y), ("outputs", "targets"), strict=True):
        _same(now.detach(), before, f"{name} after the closed form {when}")
    _is_finite(kept, f"closed form {when}")
    _same(again, kept, f"closed form {when}, after the caller has overwritten what it got,")
    _shape_is(kept, tuple(outputs.shape), "closed form")
    _require(kept.dtype == outputs.dtype, f"closed form of {outputs.dtype} is {kept.dtype}")
    _require(again.is_contiguous(), "closed form is not contiguous")
    _require(not again.requires_grad, "closed form requires a gradient under no_grad")
    return kept


def _gradient_without_graph(loss: Loss, outputs: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        actual = loss.gradient(outputs, y)
    if actual is None:
        raise _Wrong("closed form is None for some outputs and a tensor for others")
    return actual


def _near(actual: Tensor, expected: Tensor, rtol: float, what: str) -> None:
    """Compare gradients, up to a share of the largest of the row."""
    size = 1 + expected.abs().amax(-1, keepdim=True)
    axes = ("member", "row", "logit")[-actual.ndim :]
    _at_first((actual - expected).abs() <= rtol * size, f"closed form {what}", axes,
              lambda i: f"found {actual[i]:.10g}, expected {expected[i]:.10g}")  # fmt: skip


def _finite(case: _LossCase) -> None:
    """Value and gradient are numbers for outputs of +-1e4 in float32."""
    sign, k = (-1.0) ** np.arange(case.loss.n_outputs_), case.loss.n_outputs_
    patterns = np.array([np.ones(k), -np.ones(k), sign, -sign, np.zeros(k)])
    targets = np.array([[0, 0], [1, 1], [1, 0], [0, 1]])[:, np.arange(case.n_labels) % 2]
    masks = (None, np.arange(case.n_labels) % 3 == 0)
    for pattern, target, mask in product(1e4 * patterns, targets, masks):
        rows = [np.tile(row, (2, 1)) for row in (pattern, target, mask) if row is not None]
        args = [torch.tensor(array, dtype=torch.float32) for array in rows]
        what = f"for outputs {pattern.tolist()}, targets {target.tolist()}"
        _finite_slope(case.loss, *args, what=what)


def _one_row(case: _LossCase) -> None:
    """Try a batch of one row, and batches without and with all labels."""
    for i in range(3):
        _finite_slope(case.loss, case.outputs[[i]], case.y[[i]], what=f"of row {i} alone")
    for i, what in ((0, "all labels"), (1, "no label")):
        y = case.y[[i] * N_ROWS]
        _finite_slope(case.loss, case.outputs, y, what=f"for rows with {what}")


def _absent_label(case: _LossCase) -> None:
    """Try a label that is never present, always present or never observed."""
    for constant in (0.0, 1.0, np.nan):
        Y = case.Y.copy()
        Y[:, 0] = constant
        loss, y = case.fit(Y), torch.tensor(Y).nan_to_num(0)
        _is_finite(loss.initial_bias(), f"initial_bias, label 0 always {constant}", OUTPUT)
        _finite_slope(loss, case.outputs, y, what=f"with label 0 always {constant}")


def _rows(case: _LossCase) -> None:
    """Rows do not influence each other, if `row_wise`."""
    if not case.loss.row_wise:
        return
    value, slope = _slope(case.loss, case.outputs, case.y, case.mask)
    scores, what = case.loss.link(case.outputs), "in a batch, against it alone"
    for i in range(N_ROWS):
        alone = _slope(case.loss, case.outputs[[i]], case.y[[i]], case.mask[[i]])
        _same_slope((value[[i]], slope[[i]]), alone, f"of row {i} {what}")
        _same(scores[[i]], case.loss.link(case.outputs[[i]]), f"link of row {i} {what}")


def _members(case: _LossCase) -> None:
    """Compare a leading axis of members with separate calls."""
    loss = case.loss
    if isinstance(getattr(loss, "loss_", loss), FunctionLoss):
        return
    outputs = torch.stack([case.draw(seed=seed) for seed in range(3)])
    targets, masks = torch.stack([case.y, 1 - case.y, case.y.flip(0)]), case.mask.expand(3, -1, -1)
    packed = loss.objective(outputs, targets, masks)
    single = [loss.objective(*args) for args in zip(outputs, targets, masks, strict=True)]
    axes = "member", "row", "label"
    _same(packed, torch.stack(single), "objective of 3 members", axes)
    for method in (loss.link, loss.decision, loss.count):
        together, alone = method(outputs), [method(member) for member in outputs]
        if together is not None:
            stacked = torch.stack([value for value in alone if value is not None])
            _same(together, stacked, f"{method.__name__} of 3 members", axes)


def _row_order(case: _LossCase) -> None:
    """Permute rows, in `fit` and in a batch."""
    order = np.random.default_rng(case.seed).permutation(N_ROWS)
    args, other = (case.outputs, case.y, case.mask), case.fit(case.Y[order])
    value = case.loss.objective(*args)
    value = value[order] if case.loss.row_wise else value
    _same(other.objective(*(a[order] for a in args)), value, "objective of permuted rows")
    bias = case.loss.initial_bias()
    _same(other.initial_bias(), bias, "initial_bias, rows permuted", OUTPUT)


def _label_order(case: _LossCase) -> None:
    """Permuted labels give permuted scores and the same loss."""
    loss, order = case.loss, np.argsort(np.arange(case.n_labels) % 2 == 0, kind="stable")
    params = {
        key: np.asarray(value)[order]
        for key, value in loss.get_params().items()
        if isinstance(value, (np.ndarray, list, tuple)) and np.shape(value) == (case.n_labels,)
    }
    other = clone(case.original).set_params(**params).fit(case.Y[:, order])
    columns = np.append(order, np.arange(case.n_labels, loss.n_outputs_))
    moved, y, mask = case.outputs[:, columns], case.y[:, order], case.mask[:, order]
    value = loss.objective(case.outputs, case.y, case.mask)
    _same(other.objective(moved, y, mask), value, "objective of permuted labels")
    for method in ("link", "decision"):
        expected = getattr(loss, method)(case.outputs)[:, order]
        _same(getattr(other, method)(moved), expected, f"{method} of permuted labels")
    bias = loss.initial_bias()[columns]
    _same(other.initial_bias(), bias, "initial_bias, labels permuted", OUTPUT)


def _hidden(case: _LossCase) -> None:
    """Where the mask is 0, the target does not matter; a row all hidden has loss 0."""
    loss, outputs, mask = case.loss, case.outputs, case.mask
    expected = _slope(loss, outputs, case.y, mask)
    for filler in (0.0, 0.3, 1.0, -3.0, 7.0):
        actual = _slope(loss, outputs, torch.where(mask > 0, case.y, filler), mask)
        _same_slope(actual, expected, f"with {filler} at hidden targets")
    for i in (3, N_ROWS - 1):
        if loss.row_wise:
            _same(expected[0][i], 0.0, f"value of row {i}, all hidden")
        zeros, what = torch.zeros(loss.n_outputs_), f"gradient of row {i}, all hidden"
        _same(expected[1][i], zeros, what, ("logit",))
    actual = _slope(loss, outputs, case.y, torch.ones_like(mask))
    _same_slope(actual, _slope(loss, outputs, case.y), "with a mask of ones, against none")


def _nan(case: _LossCase) -> None:
    """NaN among the targets of a Criterion is the same as a mask."""
    criterion, with_nan = Criterion(case.loss), torch.where(case.mask > 0, case.y, torch.nan)
    actual = _slope(case.loss, case.outputs, with_nan, call=criterion)
    expected = _slope(case.loss, case.outputs, case.y, None, case.mask, call=criterion)
    _same_slope(actual, expected, "with NaN targets, against the mask")


def _label_weights(case: _LossCase) -> None:
    """Take the mask as weights of the terms of a sum, if `accepts_label_weights`."""
    if not (case.loss.accepts_label_weights and case.loss.row_wise):
        return
    weights = torch.tensor(np.random.default_rng(case.seed).uniform(0.1, 3, (2, *case.Y.shape)))
    masks = (*weights, weights.sum(0))
    first, second, both = (case.loss.objective(case.outputs, case.y, mask) for mask in masks)
    _same(both, first + second, "objective with a sum of weights as mask, against a sum of two")


def _soft_targets(case: _LossCase) -> None:
    """Targets between 0 and 1 give numbers, if `accepts_soft_targets`."""
    if case.loss.accepts_soft_targets:
        _finite_slope(case.loss, case.outputs, case.soft, case.mask, what="for soft targets")


def _sample_weight(case: _LossCase) -> None:
    """Weight 0 is a row left out, weight 2 a row twice; batch-coupled losses use weights."""
    criterion, weight = Criterion(case.loss), torch.tensor(1.0 * case.weight)
    plain = criterion(case.outputs, case.y)
    actual = criterion(case.outputs, case.y, torch.ones_like(weight))
    _same(actual, plain, "value with weights of 1, against none")
    if not case.loss.row_wise:
        actual = criterion(case.outputs, case.y, torch.linspace(0.1, 3, N_ROWS).double())
        _is_finite(actual, "value with weights")
        _require(not torch.isclose(actual, plain), "sample_weight has no effect")
        return
    for w in ((weight > 0).double(), weight):
        many = (t.repeat_interleave(w.long(), 0) for t in (case.outputs, case.y))
        expected = criterion(*many) * w.sum() / N_ROWS
        what = f"mean with row weights {w.tolist()}, against rows left out or repeated"
        _same(criterion(case.outputs, case.y, w), expected, what)


def _fit_weights(case: _LossCase) -> None:
    """Weights of `fit` are counts."""
    repeated = case.fit(np.repeat(case.missing, case.weight, 0))
    _same_loss(case, case.fit(case.missing, case.weight), repeated, "by weights, by repeated rows")


def _partial_fit(case: _LossCase) -> None:
    """Chunks give the statistics of all rows at once, and `fit` starts over."""
    loss = clone(case.original)
    for rows in (slice(0, 3), slice(3, 4), slice(4, None)):
        _require(loss.partial_fit(case.missing[rows]) is loss, "partial_fit does not return self")
        loss.objective(case.outputs, case.y)  # what this caches must not outlive the chunk
    _same_loss(case, loss, case.fit(case.missing), "by chunks, at once")
    _same_loss(case, loss.fit(case.Y), case.loss, "fitted again, fitted once")


def _link(case: _LossCase) -> None:
    """Scores are float64 and strictly inside (0, 1), also in inference mode."""
    rng = np.random.default_rng(case.seed)
    for scale in (1, 17, 100, 1e4):
        signs = rng.choice([-1.0, 0.0, 1.0], (40, case.loss.n_outputs_))
        for dtype in (torch.float32, torch.float64):
            outputs = torch.tensor(scale * signs, dtype=dtype)
            with torch.inference_mode():
                scores = case.loss.link(outputs)
            _shape_is(scores, (40, case.n_labels), "link")
            _require(scores.dtype == torch.float64, f"link gives {scores.dtype}, expected float64")
            inside, what = (scores > 0) & (scores < 1), f"link for +-{scale:g} in {dtype}"
            _at_first(inside, what, LABELS, lambda i, s=scores: f"found {s[i]}, expected in (0, 1)")


def _link_order(case: _LossCase) -> None:
    """Let one logit grow from -1e4 to 1e4: its score must grow strictly."""
    grid = np.concatenate([[-1e4, -1e3, -100], np.linspace(-30, 30, 121), [100, 1e3, 1e4]])
    for j in range(case.n_labels if case.n_labels > 1 else 0):
        outputs = case.draw(1, seed=j).expand(len(grid), -1).clone()
        outputs[:, j] = torch.tensor(grid)
        stuck = grid[1:][case.loss.link(outputs)[:, j].diff().numpy() <= 0]
        _require(not len(stuck), f"score of label {j} does not grow up to logit {stuck[:1]}")


def _decision(case: _LossCase) -> None:
    """Margins and counts have their shapes and are numbers."""
    for name, shape in (("decision", (N_ROWS, case.n_labels)), ("count", (N_ROWS,))):
        actual = getattr(case.loss, name)(case.outputs)
        if actual is not None or name == "decision":
            _shape_is(actual, shape, name)
            _is_finite(actual, name)


def _initial_bias(case: _LossCase) -> None:
    """There is one finite bias per output."""
    bias = case.loss.initial_bias()
    _shape_is(bias, (case.loss.n_outputs_,), "initial_bias")
    _is_finite(bias, "initial_bias", OUTPUT)


def _pickle(case: _LossCase) -> None:
    """Compare with a copy made through pickle."""
    case.loss.objective(case.outputs, case.y)
    _same_loss(case, _pickled(case.original, case.loss), case.loss, "after pickling, before")


def _criterion(case: _LossCase) -> None:
    """`Criterion` trains in float32 and float64, at any epoch, and on CUDA where there is one."""
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        for dtype in (torch.float32, torch.float64):
            criterion = Criterion(case.fit()).to(device)
            for epoch in (0, 1, 100):
                criterion.set_epoch(epoch)
                outputs = case.outputs.to(device, dtype).requires_grad_()
                value = criterion(outputs, case.y.to(device, torch.int64))
                what = f"in {dtype} on {device} at epoch {epoch}"
                _require(value.dtype == dtype, f"value {what} is {value.dtype}")
                _is_finite(value.detach(), f"value {what}")
                _is_finite(torch.autograd.grad(value, outputs)[0], f"gradient {what}")


LOSS_CHECKS: Checks = (
    (_constructor, "let __init__ only store its arguments; check and convert in _check_params."),
    (_fit, "extend _see and _update, not fit; n_outputs_ is what _count_outputs returns. An error "
     "about a number of labels goes away with check_loss(..., n_labels=...)."),
    (_inputs, "write to no argument: no masked_fill_, += or indexed assignment on them."),
    (_shape, "return one value per row, or one for the batch if row_wise is False, in the dtype of "
     "the outputs."),
    (_decision, "return (..., n, n_labels) from decision, and (..., n) or None from count."),
    (_initial_bias, "return an array with n_outputs_ numbers, from prior_."),
    (_grad_mode, "call torch.set_grad_enabled nowhere; use torch.enable_grad() as a context."),
    (_one_row, "do not divide by a number of labels or rows that can be 0; no squeeze."),
    (_absent_label, "use prior_, which is kept off 0 and 1, and counts of at least one."),
    (_soft_targets, "do without log(y) and 0/1 comparisons, or set accepts_soft_targets = False."),
    (_finite, "use logsigmoid, softplus, logsumexp; continue exponentials as tangents, and "
     "torch.where needs harmless arguments in the branch not taken."),
    (_gradient, "look for detach, .data, .item or numpy on the way from outputs to value, and for "
     "a custom backward. A parameter detach_focus=True declares it as intended."),
    (_closed_form, "differentiate objective for targets of 0 and 1, with the factor 1 / n_labels "
     "and the weights that it has, into a new contiguous tensor; or let gradient return None."),
    (_rows, "reduce over the last axis only, or set row_wise = False."),
    (_members, "count axes from the end (-1 labels, -2 rows), and let statistics broadcast."),
    (_row_order, "do not use the index of a row."),
    (_label_order, "treat all labels alike, by statistics or parameters with one value per label."),
    (_hidden, "multiply what each label adds by the mask, in sums and in normalisers alike."),
    (_nan, "keep what a hidden entry adds at 0, and away from 0 times infinity."),
    (_label_weights, "multiply by the mask, or set accepts_label_weights = False."),
    (_sample_weight, "leave sample_weight to Criterion if row_wise, else weigh counts with it."),
    (_fit_weights, "let _see use its sample_weight as counts."),
    (_partial_fit, "accumulate counts in _see, derive the rest from them in _update."),
    (_link, "end with links.strictly_increasing(eta, margin) on outputs.double(); use no autograd, "
     "or under torch.inference_mode(False)."),
    (_link_order, "end with links.strictly_increasing(eta, margin); if eta itself falls, positive "
     "and negative are not those of a probability."),
    (_pickle, "keep lambdas, open files and tensors out of fitted attributes; use _tensor."),
    (_criterion, "make new tensors with the device and dtype of the outputs, by _tensor."),
)  # fmt: skip
