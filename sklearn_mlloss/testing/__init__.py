"""Contract suites for custom losses and decoders."""

from .decoders import check_decoder
from .losses import check_loss

__all__ = ["check_decoder", "check_loss"]
