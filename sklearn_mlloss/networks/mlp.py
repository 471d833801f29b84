"""The multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .._data.validation import check_choice, check_integer, check_number
from .linear import LinearPart

__all__ = ["ACTIVATIONS", "MLP", "NORMALIZATIONS", "Mixup"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "logistic": nn.Sigmoid,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

NORMALIZATIONS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Mixup(nn.Module):
    r"""Mixup: mixtures of pairs of rows in training.

    .. math:: \lambda x_i + (1 - \lambda) x_{\pi(i)}, \qquad
              \lambda \, \ell(z_i, y_i) + (1 - \lambda) \, \ell(z_i, y_{\pi(i)})

    with :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` and a permutation :math:`\pi` for each
    batch. The loss is mixed rather than the targets, which is the same for cross-entropies and
    defined for every other loss, too.

    Parameters
    ----------
    alpha : float > 0
        The larger, the nearer the shares are to 1/2; at 1 they are uniform.

    Attributes
    ----------
    share : float
        :math:`\lambda` of the last batch in training.
    partners : Tensor of int, shape (n,)
        :math:`\pi` of the last batch, the row that each row was mixed with. None after training,
        like `share`.

    Raises
    ------
    ValueError
        If `alpha` is not a finite number above 0.

    References
    ----------
    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz. "mixup: Beyond empirical risk minimization".
    ICLR 2018.

    Examples
    --------
    >>> import torch
    >>> from sklearn_mlloss.networks import Mixup
    >>> mixup = Mixup(1.0)
    >>> mixed = mixup(torch.eye(3))
    >>> mixed.sum(dim=1)
    tensor([1., 1., 1.])
    >>> mixup.eval()(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    share: float | None
    partners: Tensor | None

    def __init__(self, alpha: float):
        super().__init__()
        check_number(alpha, "alpha", low=0, closed="neither")
        self.alpha = alpha
        self.forget()

    def extra_repr(self) -> str:
        """Return the parameters for the representation of the module."""
        return f"alpha={self.alpha}"

    def forget(self) -> None:
        """Drop the mixture of the last batch."""
        self.share, self.partners = None, None

    def forward(self, X: Tensor) -> Tensor:
        """Return mixtures of the rows in training, and the rows in prediction."""
        if not self.training:
            return X
        generator = np.random.default_rng(int(torch.randint(2**62, ())))
        self.share = share = generator.beta(self.alpha, self.alpha)
        self.partners = partners = torch.from_numpy(generator.permutation(len(X))).to(X.device)
        return torch.lerp(X[partners], X, share)

    def again(self, rows: Tensor) -> Tensor:
        """Return further columns of the rows of the last batch, mixed as these were.

        Parameters
        ----------
        rows : Tensor of shape (n, n_columns)
            Before mixing.

        Returns
        -------
        Tensor of shape (n, n_columns)
        """
        share, partners = self._last()
        return torch.lerp(rows[partners], rows, share)

    def _last(self) -> tuple[float, Tensor]:
        if self.share is None or self.partners is None:
            raise RuntimeError("no batch has been mixed: call the module in training mode first")
        return self.share, self.partners

    def loss(
        self,
        criterion: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        outputs: Tensor,
        targets: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of the mixtures of the last batch.

        Parameters
        ----------
        criterion : callable ``(outputs, targets, weight) -> Tensor``
            The loss of rows.
        outputs : Tensor of shape (n, n_outputs)
            What the network returned for the mixtures.
        targets : Tensor of shape (n, n_labels)
            Targets of the rows before mixing.
        weight : Tensor of shape (n,) or (n, n_labels), optional
            Weights of the rows before mixing.

        Returns
        -------
        Tensor
            A scalar.
        """
        share, partners = self._last()
        others = targets[partners], None if weight is None else weight[partners]
        plain = criterion(outputs, targets, weight)
        return share * plain + (1 - share) * criterion(outputs, *others)


class MLP(nn.Module):
    """Multi-layer perceptron with optional normalisation, dropout, mixup and feature encoding.

    Each hidden layer is linear, normalisation, activation, dropout; the output layer is linear.

    Parameters
    ----------
    n_features, n_outputs : int
        Columns of input and output.
    hidden_layer_sizes : sequence of int, default=(256,)
        Units of each hidden layer; empty for a linear model.
    activation : str, default="relu"
        A name of `ACTIVATIONS`.
    dropout : float in [0, 1), default=0
        Probability that a hidden unit is dropped in a training step.
    normalization : None, "batch" or "layer", default=None
        Batch or layer normalisation before each activation.
    input_dropout : float in [0, 1), default=0
        Probability that an input is dropped in a training step, after `encoding` and `mixup`.
    mixup : float >= 0, default=0
        If not 0, the `alpha` of a `Mixup` of the encoded rows, whose `loss` training must use.
    encoding : nn.Module, optional
        Module before the first layer that encodes rows as `n_features` columns, without trainable
        parameters, as returned by `Encoding.module`.
    linear : LinearPart, optional
        A fixed linear model of the rows, of which a learned share per label is added to the first
        outputs.

    Examples
    --------
    >>> from sklearn_mlloss.networks import MLP
    >>> MLP(3, 2, hidden_layer_sizes=(4,))
    MLP(
      (layers): Sequential(
        (0): Linear(in_features=3, out_features=4, bias=True)
        (1): ReLU()
        (2): Linear(in_features=4, out_features=2, bias=True)
      )
    )
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int] = (256,),
        activation: str = "relu",
        dropout: float = 0.0,
        normalization: str | None = None,
        input_dropout: float = 0.0,
        mixup: float = 0.0,
        encoding: nn.Module | None = None,
        linear: LinearPart | None = None,
    ):
        super().__init__()
        for name, width in ("n_features", n_features), ("n_outputs", n_outputs):
            check_integer(width, name, low=1)
        for size in hidden_layer_sizes:
            check_integer(size, "hidden_layer_sizes", low=1)
        check_choice(activation, "activation", ACTIVATIONS)
        if normalization is not None:
            check_choice(normalization, "normalization", NORMALIZATIONS, "None or ")
        check_number(dropout, "dropout", low=0, high=1, closed="left")
        check_number(input_dropout, "input_dropout", low=0, high=1, closed="left")
        check_number(mixup, "mixup", low=0)
        self.encoding = encoding
        self.mixup = Mixup(mixup) if mixup else None
        self.input_dropout = nn.Dropout(input_dropout) if input_dropout else None
        layers: list[nn.Module] = []
        width = n_features
        for size in hidden_layer_sizes:
            layers.append(nn.Linear(width, size))
            if normalization is not None:
                layers.append(NORMALIZATIONS[normalization](size))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        layers.append(nn.Linear(width, n_outputs))
        self.layers = nn.Sequential(*layers)
        self.linear = linear

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs, shape (n, n_outputs), of rows X of shape (n, n_features)."""
        inputs = X
        for part in (self.encoding, self.mixup, self.input_dropout):
            inputs = inputs if part is None else part(inputs)
        outputs = self.layers(inputs)
        if self.linear is None:
            return outputs
        deviations = self.linear(X)
        if self.mixup is not None and self.mixup.training:
            deviations = self.mixup.again(deviations)
        return self.linear.added(outputs, deviations)
