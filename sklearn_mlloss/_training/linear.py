"""Fitting the linear part of a network, or a linear model of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from .._data.folds import Fold
from .._data.rows import Matrix, Rows, row_blocks
from .._data.validation import is_auto
from ..model_selection import MultilabelStratifiedKFold
from ..networks.layers import Scaled
from ..networks.linear import LinearPart, UnitEncoding
from .batches import Table, checked_rows
from .device import call_seeded, threads_for
from .encoding import fit_encoder
from .fast.sparse import SPARSE_SHARE, SparseRows, is_thin, sparse_deviations
from .logistic import LogisticFit, fit_logistic

if TYPE_CHECKING:
    from .net import TableNet

__all__ = [
    "FittedLinear",
    "deviations_of",
    "fit_linear",
    "fit_model",
    "mix_with_linear",
]

N_FOLDS = 5
# Rows below which folds are too small, and held-out rows that are enough to choose the penalty.
FEWEST_ROWS, TRIAL_ROWS = 10, 500
# Multiplications for all labels, of one fit, above which "auto" leaves the linear part out: about
# five minutes of a core.
MOST_PRODUCTS = 2**30
# Dense products that take as long as a sparse one, and as the derivative of a loss.
DENSE_PER_SPARSE, DENSE_PER_LOSS = 16, 96
# Entries of dense rows that are encoded once for all products, and otherwise at a time.
ENCODED, BLOCK = 2**23, 2**17
# Entries of encoded rows and of outputs up to which fits are computed in float64.
DOUBLE = 2**17
# Shares of a network in its mixture with the linear model alone, of this one's log-odds in its
# outputs, and the number of rows for which the latter is chosen.
SHARES, ALPHAS = (1.0, 0.75, 0.5, 0.25, 0.0), (1.0, 0.5, 0.25, 0.125, 0.0625, 0.0)
CHECKED_ROWS = 2048


P = ParamSpec("P")
T = TypeVar("T")


def _alone(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that computes without gradients, whatever mode torch is in."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        # Nothing is drawn, but with the seed come the other settings.
        given = partial(torch.no_grad()(function), *args, **kwargs)
        return call_seeded(given, seed=0, device=torch.device("cpu"))

    return call


class FittedLinear(NamedTuple):
    """The linear part of a network, if it has one.

    Attributes
    ----------
    part : LinearPart or None
    known : Tensor of shape (n_rows, n_labels), or None
        Deviations of the rows that it was fitted on, by models without their folds.
    reason : str
        One line for the user: the penalty, or why there is none.
    """

    part: LinearPart | None
    known: Tensor | None
    reason: str


@_alone
def fit_linear(
    params: Any, rows: Rows, is_categorical: np.ndarray | None, seed: int, device: torch.device
) -> FittedLinear:
    """Fit a linear model of all labels on the rows that train a network, if it is to have one.

    Parameters
    ----------
    params : object
        With the checked parameters of the network as attributes.
    rows : Rows
        As they enter the network.
    is_categorical : ndarray of bool, shape (n_features,), optional
        Columns of rows that hold codes of categories.
    seed : int
        Controls the randomness of the folds.
    device : torch.device
        Where dense products are computed.
    """
    reason = _why_not(params, rows)
    if reason:
        return FittedLinear(None, None, reason)
    splitter = MultilabelStratifiedKFold(N_FOLDS, random_state=seed)
    folds = []
    for _, test_rows in splitter.split(rows.Y, (np.nan_to_num(rows.Y) >= 0.5).astype(np.uint8)):
        test = np.zeros(len(rows), dtype=bool)  # a fifth of the memory of row numbers
        test[test_rows] = True
        folds.append((~test, test))
    n_trials = min(N_FOLDS, math.ceil(TRIAL_ROWS * N_FOLDS / len(rows)))
    unit = UnitEncoding()
    if len(rows) * rows.X.shape[1] * (1 + unit.n_bins) > ENCODED:
        # To encode bins for each product would take minutes, and of many rows layers learn them.
        unit.n_bins = 0
    encoding, fit = fit_model(rows, is_categorical, unit, folds, n_trials, device)
    part = LinearPart(encoding, fit.weight, fit.bias)
    return FittedLinear(
        part, fit.out_of_fold, f"penalty {fit.penalty:g}, the best of {n_trials} folds"
    )


@_alone
def fit_model(
    rows: Rows,
    is_categorical: np.ndarray | None,
    encoding: UnitEncoding,
    folds: Sequence[Fold],
    n_trials: int,
    device: torch.device,
    solved: torch.dtype | None = None,
) -> tuple[nn.Module, LogisticFit]:
    """Fit penalised logistic regressions of all labels.

    Parameters
    ----------
    rows : Rows
    is_categorical : ndarray of bool, shape (n_features,), optional
        Columns of rows that hold codes of categories.
    encoding : UnitEncoding
        Of numbers; it is cloned.
    folds : sequence of (train, test)
        Numbers of rows, or masks.
    n_trials : int
        Number of folds, the first ones, that choose the penalty.
    device : torch.device
        Where dense products are computed.
    solved : torch.dtype, optional
        Precision of the solver; by default float64 for small fits, and otherwise that of X.

    Returns
    -------
    nn.Module
        From rows to the inputs of the linear models.
    LogisticFit
        With tensors on the CPU.
    """
    encoder = fit_encoder(encoding, rows, 0, is_categorical)
    dtype = torch.float64 if rows.X.dtype == np.float64 else torch.float32
    module: Any = encoder.module(dtype)
    if solved is None:
        # Rounding would end fits of the same rows in other containers after another step.
        entries = len(rows) * max(encoder.n_outputs, (len(folds) + 1) * rows.Y.shape[1])
        solved = torch.float64 if entries <= DOUBLE else dtype
    inputs = _inputs(module, rows.X, encoder.n_outputs, device, solved)
    weight = np.ones(rows.Y.shape, rows.X.dtype)
    if rows.weight is not None:
        weight *= rows.weight if rows.weight.ndim == 2 else rows.weight[:, None]
    weight[np.isnan(rows.Y)] = 0
    Y = np.nan_to_num(rows.Y)
    trained, tested = np.zeros((2, len(rows), len(folds)), dtype=bool)
    for k, (train_rows, test_rows) in enumerate(folds):
        trained[train_rows, k], tested[test_rows, k] = True, True
    operations = 2.0 * len(rows) * encoder.n_outputs * Y.shape[1] * (len(folds) + 1)
    with threads_for(operations):
        targets, weights = (
            torch.from_numpy(part).to(inputs.device, solved) for part in (Y, weight)
        )
        train, test = (torch.from_numpy(part).to(inputs.device) for part in (trained, tested))
        fit = fit_logistic(inputs, targets, weights, train, test, n_trials)
    matrix, bias, prior, *means = (part.to("cpu", dtype).contiguous() for part in fit[:-1])
    # Rows of zeros are encoded as 0 where inputs are sparse.
    if isinstance(inputs, _SparseInputs) and inputs.zeros is not None:
        bias = bias - inputs.zeros @ matrix
    return module, LogisticFit(matrix, bias, prior, means[0], means[1], fit.penalty)


def _why_not(params: Any, rows: Rows) -> str:
    """Return why a network gets no linear part, else an empty string."""
    if params.module is not None:
        return "none in a custom module"
    if not is_auto(params.linear_part):
        if not params.linear_part:
            return "none, as given"
    elif not params.early_stopping:
        return "none without early stopping"
    if len(rows) < FEWEST_ROWS:
        return f"none: {len(rows)} rows are too few"
    if is_auto(params.linear_part):
        products = _products(rows)
        if products > MOST_PRODUCTS:
            return f"none: {products:.2g} products of rows and labels would take too long"
    return ""


def _products(rows: Rows) -> float:
    """Return the work of a fit, in multiplications of dense matrices."""
    matrix: Any = getattr(rows.X, "matrix", rows.X)
    n, n_features = rows.X.shape
    entries = n * n_features
    if sp.issparse(matrix):
        entries = DENSE_PER_SPARSE * matrix.nnz * (n / matrix.shape[0])
    return rows.Y.shape[1] * (entries + DENSE_PER_LOSS * n) / DENSE_PER_SPARSE


@_alone
def mix_with_linear(net: TableNet, table: Table, by: Table | float) -> None:
    """Replace the outputs of a trained network by a mixture with those of its linear part alone.

    On few rows, and where the truth is linear, nothing that the layers learn may be better than
    the linear model alone: its log-odds, or for losses that ask for other outputs than a
    cross-entropy, the share of them that is best for the training rows.

    Parameters
    ----------
    net : TableNet
        Its last layer and the shares of its linear part are changed; `network_share_` and, with
        held-out rows, `linear_outputs_` are set.
    table : Table
        Rows that it was trained on.
    by : Table or float
        Held-out rows whose loss chooses the share of the network, or this share.
    """
    part: Any = net.linear_part()
    criterion: Any = net.criterion_
    module: Any = net.module_
    last = module.layers[-1]
    bias = torch.as_tensor(criterion.loss.initial_bias()).to(last.bias)

    def alone(alpha: float, deviations: Any) -> Tensor:
        return part.added(bias.expand(len(deviations), -1), deviations, alpha)

    rows = torch.arange(min(len(table), CHECKED_ROWS))
    known, targets = table.known(rows), table.targets(rows)
    alpha = min(ALPHAS, key=lambda alpha: float(criterion(alone(alpha, known), *targets)))
    if isinstance(by, Table):
        net.linear_outputs_ = alone(alpha, by.known(torch.arange(len(by)))).cpu()
        rows = checked_rows(by, net.encoder_.n_outputs)
        own, linear, targets = (
            net.outputs_of(by, rows),
            alone(alpha, by.known(rows)),
            by.targets(rows),
        )
        by = min(SHARES, key=lambda share: float(criterion(linear.lerp(own, share), *targets)))
    net.network_share_ = share = by
    part.share.mul_(share).add_((1 - share) * alpha / part.pace)
    last.weight.mul_(share)
    last.bias.mul_(share).add_(bias, alpha=1 - share)


@_alone
def deviations_of(part: LinearPart, X: Matrix) -> Tensor:
    """Return the deviations of rows, on the CPU."""
    if part.takes_sparse and is_thin(getattr(X, "matrix", X)):
        rows: Any = X[np.arange(X.shape[0])]
        rows.sum_duplicates()
        return sparse_deviations(part, SparseRows.of(rows))
    blocks = [part.bias.new_empty(0, len(part.bias)), *map(part, _blocks(X, len(part.weight)))]
    return torch.cat(blocks)


def _blocks(X: Matrix, width: int) -> Iterator[Tensor]:
    """Yield blocks of dense rows."""
    for some in row_blocks(X.shape[0], max(width, X.shape[1]), BLOCK):
        rows: Any = X[np.arange(X.shape[0])[some]]
        yield torch.from_numpy(rows.toarray() if sp.issparse(rows) else np.ascontiguousarray(rows))


class _SparseInputs:
    """Inputs of a linear model that are mostly 0.

    Parameters
    ----------
    matrix : csr_array of shape (n_rows, n_inputs)
    zeros : Tensor of shape (n_inputs,), optional
        What must be added to the inputs, and makes no difference to a model with an intercept.
    """

    device = torch.device("cpu")

    def __init__(self, matrix: sp.csr_array, zeros: Tensor | None = None):
        self.zeros = zeros
        self.rows, self.columns = SparseRows.of(matrix), SparseRows.of(matrix.T.tocsr())
        mean = np.asarray(matrix.mean(axis=0)).ravel()
        square = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel()
        self.mean = torch.from_numpy(mean.astype(matrix.dtype))
        self.variance = torch.from_numpy((square - mean**2).clip(min=0).astype(matrix.dtype))

    def times(self, matrix: Tensor) -> Tensor:
        """Return the product with a matrix of shape (n_inputs, k)."""
        return self.rows.times(matrix.contiguous())

    def transposed_times(self, matrix: Tensor) -> Tensor:
        """Return the product of the transpose with a matrix of shape (n_rows, k)."""
        return self.columns.times(matrix.contiguous())


class _DenseInputs:
    """Inputs of a linear model, encoded for each product if they are many."""

    def __init__(
        self,
        encoding: nn.Module,
        X: Matrix,
        width: int,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self.device, self.width, self.X, self.dtype = device, width, X, dtype
        self.encoding = encoding
        self.kept = list(self._encoded()) if X.shape[0] * width <= ENCODED else None
        total = square = torch.zeros(width, dtype=torch.float64, device=device)
        for block in self._blocks():
            total = total + block.sum(dim=0)
            square = square + block.square().sum(dim=0)
        mean = total / X.shape[0]
        self.mean = mean.to(dtype)
        self.variance = (square / X.shape[0] - mean.square()).clamp(min=0).to(dtype)

    def _encoded(self) -> Iterator[Tensor]:
        for rows in _blocks(self.X, self.width):
            yield self.encoding(rows).to(self.device, self.dtype)

    def _blocks(self) -> Any:
        return self._encoded() if self.kept is None else self.kept

    def times(self, matrix: Tensor) -> Tensor:
        """Return the product with a matrix of shape (n_inputs, k)."""
        return torch.cat([block @ matrix for block in self._blocks()])

    def transposed_times(self, matrix: Tensor) -> Tensor:
        """Return the product of the transpose with a matrix of shape (n_rows, k)."""
        total, start = matrix.new_zeros(self.width, matrix.shape[1]), 0
        for block in self._blocks():
            total.addmm_(block.t(), matrix[start : start + len(block)])
            start += len(block)
        return total


def _inputs(
    encoding: nn.Module, X: Matrix, width: int, device: torch.device, dtype: torch.dtype
) -> _SparseInputs | _DenseInputs:
    """Return the encoded rows."""
    if isinstance(encoding, Scaled) and is_thin(getattr(X, "matrix", X)):
        matrix: Any = X[np.arange(X.shape[0])]
        matrix.sum_duplicates()
        columns, values = torch.from_numpy(matrix.indices), torch.from_numpy(matrix.data)
        data = encoding.stored(columns, values).to(dtype).numpy()
        matrix = sp.csr_array((data, matrix.indices, matrix.indptr), matrix.shape)
        return _SparseInputs(matrix, encoding.zeros())
    first = encoding(next(_blocks(X, width)))
    if torch.count_nonzero(first) > SPARSE_SHARE * first.numel():
        return _DenseInputs(encoding, X, width, device, dtype)
    blocks = [sp.csr_array(encoding(rows).to(dtype).numpy()) for rows in _blocks(X, width)]
    return _SparseInputs(sp.csr_array(sp.vstack(blocks, format="csr")))
