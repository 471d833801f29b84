"""Real multi-label data sets for examples and experiments."""

from .openml import fetch
from .yeast import load_yeast

__all__ = ["fetch", "load_yeast"]
