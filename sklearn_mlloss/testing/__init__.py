"""Contract suites for losses and decoders of one's own."""

from .decoders import check_decoder
from .losses import check_loss

__all__ = ["check_decoder", "check_loss"]
