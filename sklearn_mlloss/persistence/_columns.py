"""The inputs of an exported graph: columns of numbers, and columns of categories."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._data.features import UNKNOWN, InputCodec
from .._data.messages import describe
from ._graph import ROWS, TEXT, Graph, convert, info_of

__all__ = ["Columns"]

NUMBERS = "X"
# What stands for a missing value among strings.
MISSING = ""


class Columns:
    """The columns of X as inputs of a graph, shared by all models in it.

    Parameters
    ----------
    graph : Graph
    models : sequence of classifiers
        Fitted on the same columns; each may have seen other categories.

    Attributes
    ----------
    infos : list of onnx.ValueInfoProto
    description : list of dict
        Name, columns and categories of each input, for the metadata.
    """

    def __init__(self, graph: Graph, models: Sequence[Any]):
        self.graph = graph
        codecs: list[InputCodec] = [model._inputs for model in models]
        n_features = models[0].n_features_in_
        self._is_categorical = _mask(codecs[0], n_features)
        for codec in codecs[1:]:
            if not np.array_equal(_mask(codec, n_features), self._is_categorical):
                raise NotImplementedError(
                    "members with different columns of categories cannot be exported to ONNX: set "
                    "categorical_features in all of them"
                )
        self.infos: list[Any] = []
        self.description: list[dict[str, Any]] = []
        named = [model for model in models if hasattr(model, "feature_names_in_")]
        names: list[Any] = list(named[0].feature_names_in_ if named else range(n_features))
        self._categories: dict[int, Tensor] = {}
        self._numbers = None
        if not self._is_categorical.all():
            wide = any(model._dtype == np.float64 for model in models)
            places = np.flatnonzero(~self._is_categorical)
            self._numbers = self._input(
                NUMBERS, [names[j] for j in places], torch.float64 if wide else torch.float32
            )
        taken = {NUMBERS, "probabilities", "labels", "count"}
        for number, j in enumerate(np.flatnonzero(self._is_categorical).tolist()):
            levels = {level for codec in codecs for level in codec.categories_[number]}
            name = names[j] if named and names[j] and names[j] not in taken else f"x{j}"
            taken.add(name)
            self._categories[j] = self._input(name, [names[j]], _kind(levels, names[j]))
            known = [level if isinstance(level, str) else float(level) for level in levels]
            self.description[-1]["categories"] = sorted(known)

    def of_model(self, model: Any) -> Tensor:
        """Return the rows as the networks of a model take them."""
        dtype = torch.float64 if model._dtype == np.float64 else torch.float32
        numbers = None if self._numbers is None else convert(self._numbers, dtype)
        if numbers is not None and not self._categories:
            return numbers
        parts, order = [] if numbers is None else [numbers], np.flatnonzero(~self._is_categorical)
        for number, (j, values) in enumerate(self._categories.items()):
            parts.append(_codes(values, model._inputs.categories_[number], dtype))
            order = np.append(order, j)
        return torch.cat(parts, -1).index_select(-1, torch.tensor(np.argsort(order)))

    def _input(self, name: str, columns: list[Any], dtype: torch.dtype) -> Any:
        """Add an input and return its symbol."""
        values = self.graph.symbol(name, (ROWS, len(columns)), dtype)
        self.infos.append(info_of(name, values))
        self.description.append({"name": name, "columns": columns})
        return values


def _mask(codec: InputCodec, n_features: int) -> np.ndarray:
    if codec.is_categorical_ is None:
        return np.zeros(n_features, dtype=bool)
    return codec.is_categorical_


def _kind(levels: set[Any], name: Any) -> torch.dtype:
    """Return the type of the input for a column with these categories."""
    if all(isinstance(level, str) for level in levels):
        return TEXT
    if all(isinstance(level, Real | np.bool_) for level in levels):
        if any(float(level) != level for level in levels):
            raise NotImplementedError(
                f"column {name!r} of X has categories that float64 cannot represent, such as "
                f"{max(levels)}, and cannot be exported to ONNX: make them strings before fit"
            )
        return torch.float64
    raise NotImplementedError(
        f"column {name!r} of X has categories that are neither all strings nor all numbers, such "
        f"as {describe(sorted(levels, key=str)[:3])}, and cannot be exported to ONNX: make them "
        "strings before fit"
    )


def _codes(values: Any, levels: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Return the codes of the values of a column, as `InputCodec` does."""
    graph = values.graph
    if values.dtype == TEXT:
        codes = {MISSING: np.nan} | {level: float(code) for code, level in enumerate(levels)}
        name = graph.append(
            "LabelEncoder", [values.name], domain="ai.onnx.ml", keys_strings=list(codes),
            values_floats=list(codes.values()), default_float=float(UNKNOWN),
        )  # fmt: skip
        return convert(graph.symbol(name, values.shape, torch.float32), dtype)
    keys = torch.tensor([float(level) for level in levels], dtype=torch.float64)
    # Fractions are compared as float32, in which large whole numbers would not be apart.
    is_whole = keys == keys.floor()
    is_same = is_whole & (values == keys) | ~is_whole & (values.float() == keys.float())
    place = is_same.double().argmax(-1, keepdim=True).double()
    found = torch.where(is_same.any(-1, keepdim=True), place, UNKNOWN)
    return convert(torch.where(values.isnan(), torch.nan, found), dtype)
