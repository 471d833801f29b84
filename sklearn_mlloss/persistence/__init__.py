"""Saving fitted models in files that contain no code, model cards, and export to ONNX.

A saved file is a safetensors file. Its tensors are all arrays of the model: weights of networks,
statistics of labels, parameters of encodings, calibrators and decoders. Its metadata are texts:

"format"
    ``sklearn_mlloss 1``: the number changes when older versions of the package cannot read it.
"model"
    JSON of the model. Numbers, texts, None and lists are themselves. Everything else is an object
    with the key "is": {"is": "array", "array": name} refers to a tensor, {"is": "object", "class":
    name, "state": {...}} is an object of a class of the closed list in `classes`, and {"is":
    "same", "id": number} one that was described before; see `state` for all of them.
"card"
    JSON of the model card, which `describe` returns.
"sha256"
    Checksum of the tensors and of all other texts. It detects damage; it is no signature.

Loading reads arrays and JSON, and creates objects of the closed list by setting their attributes:
no pickle, no constructor, no import by a name in the file. Classes and functions of your own are
named in the file, and taken from ``load(path, custom=[...])``. Members of scikit-learn, such as a
transformer or a forest, are stored in the format of skops, with its list of trusted types.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors
    from .files import describe, load, save
    from .members import SKOPS_TYPES
    from .onnx import to_onnx

# Loaded on first use.
_LAZY = {
    "SKOPS_TYPES": "members",
    "describe": "files",
    "load": "files",
    "save": "files",
    "to_onnx": "onnx",
}

__all__ = ["SKOPS_TYPES", "describe", "load", "save", "to_onnx"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names before they are imported."""
    return sorted({*globals(), *__all__})
