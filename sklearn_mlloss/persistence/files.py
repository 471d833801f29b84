"""Files of fitted models: `save`, `load` and `describe`."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .._data.messages import describe as shown
from .._data.messages import describe_error, warn_user
from .._data.validation import check_flag
from .._decision.base import LabelClassifier
from .card import as_markdown, make_card
from .state import Damaged, NotInstalled, Reader, Writer

__all__ = ["describe", "dumps", "load", "loads", "save"]

FORMAT, NUMBER = "sklearn_mlloss", 1


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    scores: Mapping[str, float | tuple[float, float, float]] | None = None,
    optimizer_state: bool = False,
) -> None:
    """Save a fitted estimator of this package in a file that contains no code.

    Predictions of the loaded model are the same, bit by bit on the same machine with the same
    versions, and `partial_fit` and `fit_decoder` continue to work. Not saved are out-of-fold scores
    and callbacks; the parameters `memory` and `callbacks` become None, and `cv` becomes the number
    of folds if it lists rows.

    Parameters
    ----------
    model : estimator
        A fitted `MultiLabelNetClassifier`, `DecodedClassifierCV`, `SoftVotingClassifier` or
        `MultiLabelLogisticRegressionCV`. Members of scikit-learn, such as a forest or a transformer
        as `encoding`, are saved by skops if it trusts all their types. Classes and functions of
        your own, such as a loss or a `module`, are saved by name, with the attributes of objects.
    path : str or path-like
        The file. It is replaced in one step if it exists, and left as it is if anything fails.
    scores : dict of str to float or (float, float, float), optional
        Scores on test rows for the model card: a value, or a value with the limits of its
        confidence interval.
    optimizer_state : bool, default=False
        Whether to save the moments of the optimiser, which a model has after `partial_fit`, so that
        the next call continues exactly; for adamw they take twice as much as the weights. Without
        them, it starts with new ones.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, or something in it, cannot be saved. The message says what and where.
    ImportError
        If safetensors is not installed, or for members of scikit-learn skops:
        ``pip install "sklearn_mlloss[persistence]"``.

    See Also
    --------
    load : The opposite.
    describe : The model card of a file.

    References
    ----------
    The format of the tensors: https://huggingface.co/docs/safetensors

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn_mlloss import MultiLabelLogisticRegressionCV
    >>> from sklearn_mlloss.persistence import load, save
    >>> X, Y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    >>> clf = MultiLabelLogisticRegressionCV(random_state=0).fit(X, Y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf, Path(folder) / "model.safetensors")
    ...     loaded = load(Path(folder) / "model.safetensors")
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    _check_model(model)
    check_is_fitted(model)
    target = _path(path)
    check_flag(optimizer_state, "optimizer_state")
    data = dumps(model, scores, optimizer_state)
    if getattr(model, "callbacks", None):
        warn_user("callbacks are not saved: the loaded model has callbacks=None")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    except OSError as error:  # of a name that the user does not know
        raise OSError(error.errno, error.strerror, os.fspath(target)) from error
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], custom: Iterable[Any] = ()) -> Any:
    """Load an estimator that `save` has saved.

    Nothing in the file is executed, whatever it holds; see the module for what a file may name.

    Parameters
    ----------
    path : str or path-like
        The file.
    custom : iterable of classes and functions, optional
        Those of your own that the file names, such as the class of a loss or the `module`. They are
        found by ``__name__``.

    Returns
    -------
    estimator
        On the CPU; predictions use the device that its parameter `device` stands for.

    Raises
    ------
    ValueError
        If the file is no saved model, is damaged, is of a later version of the format, or needs
        something that `custom` lacks. The message names the file and what is wrong.
    OSError
        If the file cannot be read.

    Examples
    --------
    For a complete example see `save`. With a loss of your own:

    >>> load("model.safetensors", custom=[MyLoss])  # doctest: +SKIP
    """
    return loads(_path(path).read_bytes(), custom, name=os.fspath(path))


def describe(path: str | os.PathLike[str], *, as_dict: bool = False) -> Any:
    """Return the model card of a saved model, without loading it.

    It needs neither torch nor safetensors.

    Parameters
    ----------
    path : str or path-like
        The file.
    as_dict : bool, default=False
        Whether to return a dict, which JSON can hold, instead of Markdown.

    Returns
    -------
    str or dict
        Labels, loss, decoder, calibration and their fitted parameters, numbers of rows, scores on
        held-out rows, versions, and what `load` needs as `custom`.

    Raises
    ------
    ValueError
        If the file is no saved model or is damaged.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_multilabel_classification
    >>> from sklearn_mlloss import MultiLabelLogisticRegressionCV
    >>> from sklearn_mlloss.persistence import describe, save
    >>> X, Y = make_multilabel_classification(n_samples=300, n_classes=4, random_state=0)
    >>> clf = MultiLabelLogisticRegressionCV(random_state=0).fit(X, Y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(clf, Path(folder) / "model.safetensors", scores={"f1_macro": (0.61, 0.58, 0.64)})
    ...     card = describe(Path(folder) / "model.safetensors", as_dict=True)
    >>> card["labels"]["number"], card["scores"]
    (4, {'f1_macro': [0.61, 0.58, 0.64]})
    """
    data = _path(path).read_bytes()
    with _naming(os.fspath(path)):
        card = json.loads(_texts(data)["card"])
        return card if as_dict else as_markdown(card)


def dumps(
    model: Any, scores: Mapping[str, Any] | None = None, optimizer_state: bool = False
) -> bytes:
    """Return what `save` writes; the model may also be unfitted."""
    _check_model(model)
    safetensors = _safetensors()
    writer = Writer(bool(optimizer_state))
    tree = writer.write(model, "")
    texts = {
        "format": f"{FORMAT} {NUMBER}",
        "model": _compact(tree),
        "card": _compact(make_card(model, scores, sorted(writer.custom))),
    }
    if not writer.arrays:  # an unfitted model, of which some versions of safetensors make no file
        return _joined({"__metadata__": texts}, memoryview(b""))
    return _joined(*_split(safetensors.save(writer.arrays, texts)))


def loads(data: bytes, custom: Iterable[Any] = (), name: str = "data") -> Any:
    """Return the model that `dumps` returned; `name` is for messages."""
    safetensors, known = _safetensors(), _by_name(custom)
    with _naming(name):
        texts = _texts(data)
        missing = sorted({*json.loads(texts["card"])["custom"]} - known.keys())
        if missing:
            these = ", ".join(missing)
            raise _Refused(f"needs {these}, not of this package: load(path, custom=[{these}])")
        arrays = safetensors.load(data)
        return Reader(arrays, known).read(json.loads(texts["model"]))


def _check_model(model: Any) -> None:
    if not isinstance(model, LabelClassifier):
        raise TypeError(
            f"model must be an estimator of sklearn_mlloss, got {shown(model)}: save "
            "best_estimator_ of a search, and the parts of a Pipeline one by one"
        )


class _Refused(Exception):
    """Why an intact file cannot be loaded, and what to do."""


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the head of a safetensors file and the bytes of its tensors."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise Damaged("it is too short, or has another format")
    return json.loads(data[8 : 8 + length]), memoryview(data)[8 + length :]


def _joined(head: dict[str, Any], tensors: memoryview) -> bytes:
    """Return the file of a head, to which the checksum is added, and the bytes of its tensors."""
    texts = head["__metadata__"]
    texts["sha256"] = ""
    texts["sha256"] = _checksum(head, tensors)
    text = json.dumps(head, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + tensors


def _texts(data: bytes) -> dict[str, str]:
    """Return the texts of an intact file."""
    head, tensors = _split(data)
    texts = head.get("__metadata__", {})
    family, _, number = texts.get("format", "").partition(" ")
    if family != FORMAT:
        raise Damaged("it is of another program")
    checksum, texts["sha256"] = texts["sha256"], ""
    if checksum != _checksum(head, tensors):
        raise Damaged("its checksum is wrong")
    if int(number) > NUMBER:
        raise _Refused(
            f"has format {number}, and this version of the package reads up to {NUMBER}: update "
            "sklearn_mlloss"
        )
    return texts


def _checksum(head: dict[str, Any], tensors: memoryview) -> str:
    """Return the checksum of all that a file holds."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(tensors)
    return digest.hexdigest()


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise NotInstalled(
            "safetensors is needed to save and load models: "
            "pip install 'sklearn_mlloss[persistence]'"
        ) from error
    return safetensors.numpy


def _by_name(custom: Iterable[Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if isinstance(custom, type) or not isinstance(custom, Iterable):
        raise TypeError(f"custom must be a list of classes and functions, got {shown(custom)}")
    for value in custom:
        name = getattr(value, "__name__", None)
        if not isinstance(name, str):
            raise TypeError(f"custom must hold classes and functions, got {shown(value)}")
        if known.setdefault(name, value) is not value:
            raise ValueError(f"custom holds two objects of the name {name!r}: rename one")
    return known


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        of_model = ": print summary() of a model" if hasattr(path, "summary") else ""
        raise TypeError(f"path must be that of a file, got {type(path).__name__}{of_model}")
    return Path(path)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Raise whatever a file causes as a ValueError that names it."""
    try:
        yield
    except NotInstalled:
        raise
    except _Refused as error:
        raise ValueError(f"{name!r} {error}") from None
    except Exception as error:  # of JSON, safetensors, numpy, torch or skops
        why = str(error) if isinstance(error, Damaged) else describe_error(error)
        raise ValueError(
            f"{name!r} is no saved model of sklearn_mlloss, or is damaged ({why}): save the model "
            "again with sklearn_mlloss.persistence.save"
        ) from error
