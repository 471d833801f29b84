"""Export to ONNX: one graph from the rows of X to probabilities and labels."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._data.messages import describe
from .._data.responses import inside
from .._data.validation import check_flag
from .._training.device import torch_defaults
from .._versions import __version__
from ..classifier import MultiLabelNetClassifier
from ..decoded import DecodedClassifierCV
from ..members import MultiLabelLogisticRegressionCV
from ..networks import MLP
from ..voting import SoftVotingClassifier
from . import _operations, _shapes  # noqa: F401  # they register the functions of torch
from ._columns import Columns
from ._decisions import calibrated, decided
from ._graph import TEXT, Graph, convert, info_of

__all__ = ["to_onnx"]

# Versions that onnxruntime has had since 2022.
OPSET, ML_OPSET, IR_VERSION = 17, 3, 8


def to_onnx(model: Any, path: str | os.PathLike[str], *, labels: bool = True) -> None:
    """Write a fitted classifier as an ONNX file, which onnxruntime runs without this package.

    The graph takes rows of X as `predict_proba` does, and has everything inside: encoding, networks
    and their mean, link of the loss, calibrator and decoder.

    ================  ====================================================================
    input             values, of any number of rows n
    ================  ====================================================================
    ``X``             float32 (float64 with ``precision="float64"``) of shape
                      (n, n_numbers): the columns without categories, in their order; NaN
                      for missing values
    name of a column  one input of shape (n, 1) per column of categories, ``x3`` for column
                      3 if X had no names: strings, with "" for missing values, or numbers
                      as float64, with NaN. Other categories than those of training count
                      as unknown
    ================  ====================================================================

    =================  ====================================================================
    output             values
    =================  ====================================================================
    ``probabilities``  float64, what `predict_proba` returns
    ``labels``         what `predict` returns: int64 of shape (n, n_labels), or the classes
                       of a 1-D y
    ``count``          float64 of shape (n,), what `predict_count` returns, for a loss that
                       predicts a number of labels
    =================  ====================================================================

    The metadata of the file have JSON values: "label_names", "inputs" (the columns of each input,
    and their categories), "decoder", "calibration", "loss", "model" and "version" (of this
    package).

    Parameters
    ----------
    model : MultiLabelNetClassifier, MultiLabelLogisticRegressionCV, DecodedClassifierCV or \
            SoftVotingClassifier
        Fitted. Members of the latter two must be such classifiers, too.
    path : str or path-like
        Where to write the file, such as "model.onnx".
    labels : bool, default=True
        Whether to export the decoder. False leaves ``labels`` out, for decoders that have no
        counterpart in ONNX.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    NotImplementedError
        If a part has no counterpart: a custom `module`, a transformer as `encoding`, another
        member, a custom decoder or calibrator, or a custom loss whose link needs functions of torch
        that are unknown here.
    TypeError
        If `model` is another object.

    Notes
    -----
    Networks compute in float32, as they do here, and everything behind them in float64.
    Probabilities agree with `predict_proba` to about 1e-6; labels agree unless a score is that near
    to a threshold. The link of a custom loss without `slope` or `eta` is a table, of which the
    rounding is 1e-7 where it is smooth.

    Examples
    --------
    >>> import onnxruntime                                            # doctest: +SKIP
    >>> from sklearn_mlloss.persistence import to_onnx                # doctest: +SKIP
    >>> to_onnx(clf, "model.onnx")                                    # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("model.onnx")          # doctest: +SKIP
    >>> session.run(["labels"], {"X": X.astype("float32")})           # doctest: +SKIP
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the package onnx: pip install 'sklearn_mlloss[onnx]'"
        ) from error
    check_flag(labels, "labels")
    if not isinstance(model, CLASSIFIERS):
        raise TypeError(
            f"model must be a classifier of sklearn_mlloss, got {describe(model)}: of a search, "
            "give best_estimator_; of a Pipeline, export the steps separately"
        )
    check_is_fitted(model)
    with torch_defaults():
        proto = _model(model, labels)
    onnx.save(proto, os.fspath(path))


# Those that predict labels whose probability is above 1/2, without a decoder.
WITHOUT_DECODER = SoftVotingClassifier, MultiLabelLogisticRegressionCV
CLASSIFIERS = MultiLabelNetClassifier, DecodedClassifierCV, *WITHOUT_DECODER

# Scores of each label, and counts if there are any.
Scores = tuple[Tensor, Tensor | None]


def _model(model: Any, with_labels: bool) -> Any:
    """Return the model as a protocol buffer of ONNX."""
    from onnx import checker, helper

    graph = Graph()
    columns = Columns(graph, list(_leaves(model)))
    scores, count = _scores(model, columns)
    outputs: dict[str, Any] = {"probabilities": _probabilities(model, scores)}
    if with_labels:
        outputs["labels"] = _labels(model, scores, count)
    if count is not None:
        outputs["count"] = count
    infos = []
    for name, symbol in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [symbol.name], [name]))
        infos.append(info_of(name, symbol))
    inner = helper.make_graph(graph.nodes, "sklearn_mlloss", columns.infos, infos, graph.constants)
    proto = helper.make_model(
        inner, producer_name="sklearn_mlloss", producer_version=__version__, ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )  # fmt: skip
    helper.set_model_props(proto, _metadata(model, columns))
    checker.check_model(proto)
    return proto


def _metadata(model: Any, columns: Columns) -> dict[str, str]:
    values = {
        "label_names": model.label_names_.tolist(),
        "inputs": columns.description,
        "model": type(model).__name__,
        "version": __version__,
    }
    if hasattr(model, "decoder_"):
        values |= {"decoder": repr(model.decoder_), "calibration": repr(model.calibrator_)}
    if isinstance(model, MultiLabelNetClassifier):
        values["loss"] = repr(model.loss_)
    return {name: json.dumps(value, default=str) for name, value in values.items()}


# ---------------------------------------------------------------------- scores


def _leaves(model: Any) -> Iterator[Any]:
    """Yield the classifiers of our own that X goes to."""
    model = _unwrapped(model)
    if isinstance(model, MultiLabelNetClassifier | MultiLabelLogisticRegressionCV):
        yield model
    elif isinstance(model, DecodedClassifierCV | SoftVotingClassifier):
        for member in model.estimators_:
            yield from _leaves(member)
    else:
        raise NotImplementedError(
            f"{describe(model)} cannot be exported to ONNX: members must be classifiers of "
            "sklearn_mlloss, such as MultiLabelNetClassifier"
        )


def _unwrapped(model: Any) -> Any:
    return model.estimator if isinstance(model, FrozenEstimator) else model


def _scores(model: Any, columns: Columns) -> Scores:
    """Return the scores of each label that `predict_proba` returns in some form."""
    if isinstance(model, SoftVotingClassifier):
        parts = [_of_member(model, member, columns) for member in model.estimators_]
        return _mean(parts, model.weights_).clamp(0, 1), None
    if isinstance(model, MultiLabelLogisticRegressionCV):
        return _inside(model._model(columns.of_model(model)).double().sigmoid()), None
    if isinstance(model, DecodedClassifierCV):
        if model._method != "predict_proba":
            raise NotImplementedError(
                "response_method='decision_function' cannot be exported to ONNX: use 'auto'"
            )
        scores = _mean([_of_member(model, member, columns) for member in model.estimators_])
        count = None
    else:
        scores, count = _of_nets(model, columns.of_model(model))
    if model.calibrator_ is not None:
        check_is_fitted(model.calibrator_)
        scores = calibrated(model.calibrator_, scores)
    return scores, count


def _of_nets(model: MultiLabelNetClassifier, X: Tensor) -> Scores:
    of_nets = []
    for net in model.nets_:
        if net.encoder_.transforms:
            raise NotImplementedError(
                f"encoding={describe(net.encoder_.fitted)} cannot be exported to ONNX: use "
                "encoding='auto' or another name, or transform X before"
            )
        module: Any = net.module_
        if type(module) is not MLP:
            raise NotImplementedError(
                f"module={describe(module)} cannot be exported to ONNX: use the built-in network "
                "(module=None), or torch.onnx for net_.module_"
            )
        outputs, loss = module.eval()(X).double(), net.criterion_.loss
        try:
            of_nets.append((loss.link(outputs), loss.count(outputs)))
        except (NotImplementedError, AttributeError, TypeError) as error:
            raise NotImplementedError(
                f"the link of loss={describe(loss)} cannot be exported to ONNX ({error}): "
                "write it with other functions of torch, or leave eta to SeparableLoss"
            ) from error
    scores, counts = zip(*of_nets, strict=True)
    return _mean(scores), None if counts[0] is None else _mean(counts)


def _of_member(model: Any, member: Any, columns: Columns) -> Tensor:
    """Return the scores of a member for the labels of the model."""
    member = _unwrapped(member)
    if model.n_labels_ != member.n_labels_ or not np.array_equal(model.classes_, member.classes_):
        raise NotImplementedError(
            f"{describe(member)} cannot be exported to ONNX: it has seen fewer classes than the "
            "other members"
        )
    scores, _ = _scores(member, columns)
    if model._targets.kind == "multiclass":
        scores = _probabilities(member, scores)
    return _inside(scores)


def _inside(scores: Tensor) -> Tensor:
    low, high = inside(np.array([0.0, 1.0]))
    return scores.clamp(low, high)


def _mean(parts: Sequence[Tensor], weights: Any = None) -> Tensor:
    shares = np.full(len(parts), 1 / len(parts)) if weights is None else weights
    return reduce(operator.add, (part * float(w) for part, w in zip(parts, shares, strict=True)))


# ---------------------------------------------------------------------- outputs


def _probabilities(model: Any, scores: Tensor) -> Tensor:
    """Return what `TargetCodec.probabilities` returns."""
    if model._targets.kind == "binary":
        return torch.cat([1 - scores, scores], -1)
    if model._targets.kind == "multiclass":
        return scores / scores.sum(-1, keepdim=True)
    return scores


def _labels(model: Any, scores: Any, count: Tensor | None) -> Tensor:
    """Return what `predict` returns, with integers for an indicator."""
    kind = model._targets.kind
    if isinstance(model, WITHOUT_DECODER):
        chosen = scores if kind == "multiclass" else scores > 0.5
    else:
        check_is_fitted(model.decoder_)
        chosen = decided(model.decoder_, scores, count)
    if kind == "multilabel":
        return convert(chosen, torch.int64)
    place = convert(chosen, torch.int64)[..., 0] if kind == "binary" else chosen.double().argmax(-1)
    classes = model.classes_
    is_text = all(isinstance(label, str) for label in classes.tolist())
    if not is_text and classes.dtype.kind not in "biuf":
        raise NotImplementedError(
            f"classes {describe(classes.tolist()[:3])} cannot be exported to ONNX: use strings or "
            "numbers, or labels=False"
        )
    name = scores.graph.constant(classes, object if is_text else classes.dtype)
    dtype = TEXT if is_text else torch.from_numpy(classes[:0].copy()).dtype
    name = scores.graph.append("Gather", [name, place.name])
    return scores.graph.symbol(name, place.shape, dtype)
