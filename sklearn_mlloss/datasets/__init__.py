"""Multi-label data sets: loaders of files, and real data sets for examples and experiments."""

from .arff import load_arff
from .openml import fetch
from .svmlight import load_svmlight
from .tags import split_tags
from .yeast import load_yeast

__all__ = ["fetch", "load_arff", "load_svmlight", "load_yeast", "split_tags"]
