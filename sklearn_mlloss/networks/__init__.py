"""Networks ``module(n_features, n_outputs) -> torch.nn.Module``, and numerical feature encodings.

`ENCODINGS` maps names to the classes of encodings; `get_encoding` turns a name or a class into an
instance, and `choose_encoding` chooses one for a data set.
"""

from .choice import choose_encoding
from .encoding import (
    ENCODINGS,
    Encoding,
    IdentityEncoding,
    PiecewiseLinearEncoding,
    QuantileEncoding,
    RobustEncoding,
    StandardEncoding,
    get_encoding,
)
from .mlp import ACTIVATIONS, MLP, NORMALIZATIONS, Mixup
from .one_hot import OneHotEncoding

__all__ = [
    "ACTIVATIONS",
    "ENCODINGS",
    "MLP",
    "NORMALIZATIONS",
    "Encoding",
    "IdentityEncoding",
    "Mixup",
    "OneHotEncoding",
    "PiecewiseLinearEncoding",
    "QuantileEncoding",
    "RobustEncoding",
    "StandardEncoding",
    "choose_encoding",
    "get_encoding",
]
