"""The multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "MLP", "NORMALIZATIONS"]

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


class MLP(nn.Module):
    """Linear layers with activation, optional normalisation and dropout between them.

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
        Probability that a hidden unit is left out of a training step.
    normalization : None, "batch" or "layer", default=None
        Batch or layer normalisation before each activation.
    encoding : nn.Module, optional
        What the rows go through before the first layer: from their columns to `n_features`, and
        without parameters to train, such as `Encoding.module` returns it.

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
        encoding: nn.Module | None = None,
    ):
        super().__init__()
        self.encoding = encoding
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

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs, shape (n, n_outputs), of rows X of shape (n, n_features)."""
        return self.layers(X if self.encoding is None else self.encoding(X))
