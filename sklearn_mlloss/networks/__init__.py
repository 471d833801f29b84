"""Networks: factories ``module(n_features, n_outputs) -> torch.nn.Module``."""

from .mlp import ACTIVATIONS, MLP, NORMALIZATIONS

__all__ = ["ACTIVATIONS", "MLP", "NORMALIZATIONS"]
