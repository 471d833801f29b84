"""Members of scikit-learn, such as transformers and forests, in the format of skops."""

from __future__ import annotations

import io
from collections.abc import Iterator
from inspect import signature
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from sklearn.base import BaseEstimator

from .._decision.base import LabelClassifier
from .state import Damaged, NotInstalled, refusal

__all__ = ["SKOPS_TYPES", "dump", "restore"]

# What ``skops.io.load(path, trusted=SKOPS_TYPES)`` needs for the estimators of this package, each
# of which stores itself as a file within the file.
SKOPS_TYPES = [
    "sklearn_mlloss.classifier.MultiLabelNetClassifier",
    "sklearn_mlloss.decoded.DecodedClassifierCV",
    "sklearn_mlloss.members.linear.MultiLabelLogisticRegressionCV",
    "sklearn_mlloss.members.trees.MultiLabelExtraTreesClassifier",
    "sklearn_mlloss.voting.SoftVotingClassifier",
]

# skops does not trust trees, since compiled code follows their numbers without checking them: they
# are checked here. The other types only have attributes.
TRUSTED = [
    *SKOPS_TYPES,
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
]


def dump(value: Any, path: str) -> bytes:
    """Return a member of scikit-learn in the format of skops, which must be able to load it."""
    skops = _skops(f"to save {type(value).__name__}")
    try:
        data = skops.dumps(value)
        unknown = sorted({*skops.get_untrusted_types(data=data)} - {*TRUSTED})
    except Exception as error:  # whatever a member raises
        raise refusal(path, value, f"skops fails: {error}") from error
    if unknown:
        raise refusal(path, value, f"skops does not trust {', '.join(unknown)}")
    return data


def restore(data: bytes) -> Any:
    """Return the member that `dump` has saved."""
    skops = _skops("to load a member of scikit-learn")
    with ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    stored = all(entry.compress_type == ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > len(data):
        raise Damaged("a member is compressed, which no saved member is")
    member = skops.loads(data, trusted=TRUSTED)
    for part in _parts(member, set()):
        if isinstance(part, BaseEstimator):
            _complete(part)
        elif type(part).__name__ == "Tree":
            _check_tree(part)
    return member


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the objects within a member."""
    if id(value) in seen or isinstance(value, str | bytes | LabelClassifier):
        return
    seen.add(id(value))
    yield value
    parts: Any = ()
    if isinstance(value, list | tuple | set):
        parts = value
    elif isinstance(value, np.ndarray):
        parts = value.ravel().tolist() if value.dtype.kind == "O" else ()
    elif isinstance(value, dict):
        parts = value.values()
    elif hasattr(value, "__dict__"):
        parts = vars(value).values()
    for part in parts:
        yield from _parts(part, seen)


def _complete(estimator: BaseEstimator) -> None:
    """Give an estimator of another version of scikit-learn the parameters that it lacks here."""
    for name, parameter in signature(type(estimator)).parameters.items():
        if not hasattr(estimator, name) and parameter.default is not parameter.empty:
            setattr(estimator, name, parameter.default)


def _check_tree(tree: Any) -> None:
    """Raise unless each node of a tree is a leaf or has a feature and two nodes after it."""
    n, places = tree.node_count, np.arange(tree.node_count)
    left, right, feature = tree.children_left, tree.children_right, tree.feature
    inner = (left != -1) | (right != -1)
    for children in left[inner], right[inner]:
        if ((children <= places[inner]) | (children >= n)).any():
            raise Damaged("a tree has nodes that do not exist")
    if ((feature[inner] < 0) | (feature[inner] >= tree.n_features)).any() or len(tree.value) != n:
        raise Damaged("a tree has features that do not exist")


def _skops(why: str) -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise NotInstalled(
            f"skops is needed {why}: pip install 'sklearn_mlloss[persistence]'"
        ) from error
    return skops.io
