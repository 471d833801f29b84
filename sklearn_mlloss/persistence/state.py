"""Fitted objects as JSON and arrays, and back.

A value becomes JSON that mirrors it, see `sklearn_mlloss.persistence`. The forms with the key "is":

==========  =======================================================================================
float       NaN and infinities, as text
tuple, set, frozenset, dict, bunch    their items
numpy       a type of numpy, such as ``numpy.float32``
dtype       a ``numpy.dtype``
scalar      a number or text of numpy
array       an array: the tensor that holds it
arrays      a list of 1-D arrays, which one tensor holds one after the other
values      an array of objects
listed      a class or function of the closed list
custom      a class or function of the user, by name
partial     a `functools.partial` of such a function
object      an object: its class and all its attributes
same        an object that was described before
random_state    a ``numpy.random.RandomState``
skops       an object of scikit-learn, in a tensor of bytes
net, module, parameter, tensor, torch    those of torch, see `nets`
==========  =======================================================================================
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import getattr_static
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import sklearn
from sklearn.isotonic import IsotonicRegression
from sklearn.utils import Bunch

from .._data.messages import describe
from .._decision.base import LabelClassifier
from .classes import find, name_of

__all__ = ["Damaged", "NotInstalled", "Reader", "Writer", "refusal"]

# Attributes that are not saved: scores of rows, settings of one process. A cache is saved empty.
DROPPED = (
    "oof_scores_", "_metadata_request", "_sklearn_version", "_skl_callbacks", "_callback_fit_ctx",
)  # fmt: skip
CACHE = "_tensors"
# Attributes of an estimator that repeat what its nets hold.
DERIVED = frozenset({"net_", "history_", "n_iter_"})
# Types of numbers and of texts; not objects, which only a pickle could hold.
PLAIN = re.compile(r"[<>|=]?[biufcSUmM]\d+(\[\w+\])?")
# Those that safetensors has; others are stored as their bytes.
TENSORS = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()
)
NAME = re.compile(r"(?!__)[^\W\d]\w*")
# Packages whose classes keep their state in attributes, and methods by which others may not.
KNOWN = ("builtins", "sklearn", "sklearn_mlloss", "torch", "abc", "typing")
PICKLED = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__slots__")
METHODS = (FunctionType, property, classmethod, staticmethod)


class Damaged(Exception):
    """What a file holds is not what a model would have written; the message says what."""


class NotInstalled(ImportError):
    """A package of the extra is missing."""


class Writer:
    """Describes values as JSON, and collects their arrays.

    Parameters
    ----------
    optimizer_state : bool, default=False
        Whether to write the moments of the optimisers of nets.

    Attributes
    ----------
    arrays : dict of str to ndarray
        C-contiguous, of types that safetensors has.
    custom : dict of str to object
        Classes and functions that the file needs and the closed list lacks, by name.
    """

    def __init__(self, optimizer_state: bool = False) -> None:
        self.optimizer_state = optimizer_state
        self.arrays: dict[str, np.ndarray] = {}
        self.custom: dict[str, Any] = {}
        self._ids: dict[int, int] = {}
        self._places: dict[Any, str] = {}
        # No id may be that of another object, nor the place of another array.
        self._alive: list[Any] = []

    def write(self, value: Any, path: str) -> Any:
        """Return the JSON of a value; `path` is where the model has it."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"is": "float", "value": repr(value)}
        if type(value) is list:
            return self._list(value, path)
        if type(value) in (tuple, set, frozenset):
            items = self._items(list(value), path)
            return {"is": type(value).__name__, "items": items}
        if type(value) in (dict, Bunch):
            return {"is": type(value).__name__.lower(), "items": self._pairs(value, path)}
        if isinstance(value, np.generic):
            return self._scalar(value, path)
        if type(value) is np.ndarray:
            return self._ndarray(value, path)
        if isinstance(value, np.dtype):
            return {"is": "dtype", "dtype": self._dtype(value, path)}
        if isinstance(value, type) and issubclass(value, np.generic):
            return {"is": "numpy", "dtype": self._dtype(np.dtype(value), path)}
        if isinstance(value, type | FunctionType | BuiltinFunctionType):
            return self.reference(value, path)
        if type(value) is partial:
            func = self.reference(value.func, f"{path}.func")
            return {
                "is": "partial",
                "func": func,
                "args": self._items(value.args, path),
                "keywords": self._pairs(value.keywords, path),
            }
        return self._shared(value, path)

    def reference(self, value: Any, path: str) -> dict[str, Any]:
        """Return the JSON of a class or function, of the closed list or of the user."""
        listed = name_of(value)
        if listed is not None:
            return {"is": "listed", "name": listed}
        name, owner = getattr(value, "__name__", None), getattr(value, "__self__", None)
        of_object = owner is not None and not isinstance(owner, ModuleType | type)
        if not isinstance(name, str) or not name.isidentifier() or of_object:
            raise refusal(path, value, "it has no name: define it as a class or with def")
        if self.custom.setdefault(name, value) is not value:
            raise refusal(path, value, f"another one is called {name}, too: rename one")
        return {"is": "custom", "name": name}

    def array(self, value: np.ndarray, path: str) -> dict[str, Any]:
        """Return how the tensors hold an array; one that shares its memory is held once."""
        if value.dtype.kind == "O":
            raise refusal(path, value, "it holds objects")
        return self._array(value, path)

    def attributes(self, attributes: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return the JSON of the attributes of an object."""
        return {
            name: self.write({} if name == CACHE else value, f"{path}.{name}" if path else name)
            for name, value in attributes.items()
            if name not in DROPPED
        }

    def _scalar(self, value: np.generic, path: str) -> dict[str, Any]:
        if value.dtype.kind not in "biufU" or value.dtype == np.longdouble:
            raise refusal(path, value, "its type is neither a number nor a text")
        return {
            "is": "scalar",
            "dtype": self._dtype(value.dtype, path),
            "value": self.write(value.item(), path),
        }

    def _list(self, value: list, path: str) -> Any:
        kinds = {part.dtype.str if type(part) is np.ndarray else None for part in value}
        flat = len(value) > 1 and len(kinds) == 1 and None not in kinds
        if not flat or value[0].dtype.kind == "O" or any(part.ndim != 1 for part in value):
            return self._items(value, path)
        lengths = np.array([len(part) for part in value])
        return {
            "is": "arrays",
            "lengths": self._array(lengths, f"{path}.lengths"),
            **self._array(np.concatenate(value), path),
        }

    def _items(self, value: Sequence[Any], path: str) -> list[Any]:
        return [self.write(part, f"{path}.{k}") for k, part in enumerate(value)]

    def _pairs(self, value: Mapping[Any, Any], path: str) -> list[Any]:
        return [
            [self.write(key, f"{path}.{key}"), self.write(part, f"{path}.{key}")]
            for key, part in value.items()
        ]

    def _ndarray(self, value: np.ndarray, path: str) -> dict[str, Any]:
        if value.dtype.kind != "O":
            return {"is": "array", **self._array(value, path)}
        items = self._items(value.ravel().tolist(), path)
        return {"is": "values", "shape": list(value.shape), "items": items}

    def _array(self, value: np.ndarray, path: str) -> dict[str, Any]:
        value = np.asarray(value)
        self._dtype(value.dtype, path)
        columns = value.ndim > 1 and not value.flags.c_contiguous and value.T.flags.c_contiguous
        flat = value.T if columns else value
        if not flat.dtype.isnative:
            flat = flat.astype(flat.dtype.newbyteorder("="))
        if not flat.flags.c_contiguous:
            flat = flat.copy(order="C")
        node: dict[str, Any] = {"tensor": ""}
        if columns:
            node["order"] = "F"
        if flat.dtype.name not in TENSORS:
            node |= {"dtype": flat.dtype.str, "shape": list(flat.shape)}
            flat = np.frombuffer(flat.tobytes(), dtype=np.uint8)
        key = flat.__array_interface__["data"][0], flat.dtype.str, flat.shape
        if key not in self._places or not flat.nbytes:
            self._places[key] = self._free(path)
            self.arrays[self._places[key]] = flat
            self._alive.append(flat)
        return node | {"tensor": self._places[key]}

    def _free(self, path: str) -> str:
        path = re.sub(r"[^a-zA-Z0-9_.-]", "_", path)[:100]
        number, name = 1, path
        while name in self.arrays:
            number, name = number + 1, f"{path}#{number}"
        return name

    def _dtype(self, dtype: np.dtype, path: str) -> str:
        if not PLAIN.fullmatch(dtype.str):
            raise refusal(path, dtype, "arrays must hold numbers or texts")
        return dtype.str

    def _shared(self, value: Any, path: str) -> dict[str, Any]:
        """Return the JSON of an object, or a reference to where it was described before."""
        if id(value) in self._ids:
            return {"is": "same", "id": self._ids[id(value)]}
        number = self._ids[id(value)] = len(self._ids)
        self._alive.append(value)
        if isinstance(value, np.random.RandomState):
            state = self.write(value.get_state(legacy=False), path)
            return {"is": "random_state", "id": number, "state": state}
        torch = sys.modules.get("torch")
        if torch is not None:
            from . import nets

            node = nets.write(self, value, path)
            if node is not None:
                return node | {"id": number}
        kind = self.kind(value, path)
        if kind is None:
            from .members import dump

            data = np.frombuffer(dump(value, path), dtype=np.uint8)
            return {"is": "skops", "id": number, **self._array(data, path)}
        attributes = vars(value)
        if isinstance(value, LabelClassifier):
            attributes = _of_estimator(attributes, path)
        if isinstance(value, IsotonicRegression):
            attributes = value.__getstate__()  # without its function
        return {
            "is": "object",
            "id": number,
            "class": kind,
            "state": self.attributes(attributes, path),
        }

    def kind(self, value: Any, path: str) -> Any:
        """Return the JSON of the class of an object, or None if skops must save it."""
        cls = type(value)
        listed = name_of(cls)
        if listed is not None:
            return listed
        top = cls.__module__.partition(".")[0]
        if top == "sklearn":
            return None
        if top in ("builtins", "functools", "numpy") or not hasattr(value, "__dict__"):
            raise refusal(path, value, "a file has no form for it")
        custom = [base for base in cls.__mro__ if base.__module__.partition(".")[0] not in KNOWN]
        if any(name in vars(base) for base in custom for name in PICKLED):
            raise refusal(path, value, "its class controls how it is pickled")
        return self.reference(cls, path)


class Reader:
    """Makes values of the JSON and the arrays of a `Writer`.

    Parameters
    ----------
    arrays : dict of str to ndarray
    custom : dict of str to object
        The classes and functions of the user, by name.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], custom: Mapping[str, Any]):
        self.arrays, self.custom = arrays, custom
        self.size = sum(array.nbytes for array in arrays.values())
        self._made: dict[int, Any] = {}

    def read(self, node: Any) -> Any:
        """Return the value that a node describes."""
        if isinstance(node, list):
            return [self.read(part) for part in node]
        if not isinstance(node, dict):
            return node
        return self._form(node)(node)

    def keep(self, node: dict[str, Any], value: Any) -> Any:
        """Return an object, to which later nodes may refer."""
        self._made[node["id"]] = value
        return value

    def array(self, node: dict[str, Any]) -> np.ndarray:
        """Return the array that a tensor holds."""
        array = self.arrays[node["tensor"]]
        if "dtype" in node:
            array = array.view(self._dtype(node)).reshape(node["shape"])
        return array.T if node.get("order") == "F" else array

    def kind(self, node: Any, base: type = object) -> type:
        """Return the class of an object, which must be a subclass of `base`."""
        cls = find(node) if isinstance(node, str) else self.read(node)
        if not isinstance(cls, type) or not issubclass(cls, base):
            raise Damaged(f"no {base.__name__}: {describe(cls)}")
        return cls

    def state(self, cls: type, nodes: dict[str, Any]) -> dict[str, Any]:
        """Return attributes of an object of this class; raise for those that no such object has."""
        for name in nodes:
            if not NAME.fullmatch(name) or isinstance(getattr_static(cls, name, None), METHODS):
                raise Damaged(f"{cls.__name__} has no attribute {describe(name)}")
        return {name: self.read(node) for name, node in nodes.items()}

    def _form(self, node: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        form = node["is"]
        if form in ("net", "module", "parameter", "tensor", "torch"):
            from . import nets

            return partial(nets.read, self)
        method = _FORMS.get(form)
        if method is None:
            raise Damaged(f"no form of a value: {describe(form)}")
        return partial(method, self)

    def _pairs(self, node: dict[str, Any]) -> dict[Any, Any]:
        return {self.read(key): self.read(value) for key, value in node["items"]}

    def _arrays(self, node: dict[str, Any]) -> list[np.ndarray]:
        ends = np.cumsum(self.array(node["lengths"]))
        array = self.array(node)
        if ends[-1] != len(array):
            raise Damaged("lists of arrays have other lengths than their parts")
        return np.split(array, ends[:-1])

    def _values(self, node: dict[str, Any]) -> np.ndarray:
        items = self.read(node["items"])
        return np.fromiter(items, dtype=object, count=len(items)).reshape(node["shape"])

    def _dtype(self, node: dict[str, Any]) -> np.dtype:
        if not PLAIN.fullmatch(node["dtype"]):
            raise Damaged(f"no type of an array: {describe(node['dtype'])}")
        return np.dtype(node["dtype"])

    def _random_state(self, node: dict[str, Any]) -> np.random.RandomState:
        generator = self.keep(node, np.random.RandomState(0))
        generator.set_state(self.read(node["state"]))
        return generator

    def _custom(self, node: dict[str, Any]) -> Any:
        return self.custom[node["name"]]

    def _partial(self, node: dict[str, Any]) -> partial:
        keywords = {name: self.read(value) for name, value in node["keywords"]}
        return partial(self.read(node["func"]), *self.read(node["args"]), **keywords)

    def _object(self, node: dict[str, Any]) -> Any:
        cls = self.kind(node["class"])
        value = self.keep(node, object.__new__(cls))
        vars(value).update(self.state(cls, node["state"]))
        if isinstance(value, LabelClassifier) and hasattr(value, "nets_"):
            value._keep(value.nets_)
            # A cache is files of pickles: no file may choose it.
            value.memory = None
        if isinstance(value, IsotonicRegression):
            # Makes its function; without a version it would warn.
            value.__setstate__({**vars(value), "_sklearn_version": sklearn.__version__})
        return value

    def _skops(self, node: dict[str, Any]) -> Any:
        from .members import restore

        return self.keep(node, restore(self.array(node).tobytes()))


def _of_estimator(attributes: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the attributes of an estimator without what others repeat, rows and callbacks."""
    kept = {name: value for name, value in attributes.items() if name not in DERIVED}
    kept |= dict.fromkeys(kept.keys() & {"memory", "callbacks"})
    cv = kept.get("cv")
    if np.iterable(cv) and not isinstance(cv, str):
        if not isinstance(cv, list | tuple):
            raise refusal(f"{path}.cv", cv, "give a list or a splitter")
        kept["cv"] = len(cv)
    return kept


def refusal(path: str, value: Any, why: str) -> TypeError:
    """Return the error that a part of a model cannot be saved; `why` says what to do."""
    return TypeError(f"{path or 'model'} cannot be saved: {describe(value)}; {why}")


_FORMS: dict[str, Callable[[Reader, dict[str, Any]], Any]] = {
    "float": lambda reader, node: float(node["value"]),
    "tuple": lambda reader, node: tuple(reader.read(node["items"])),
    "set": lambda reader, node: set(reader.read(node["items"])),
    "frozenset": lambda reader, node: frozenset(reader.read(node["items"])),
    "dict": Reader._pairs,
    "bunch": lambda reader, node: Bunch(**reader._pairs(node)),
    "numpy": lambda reader, node: reader._dtype(node).type,
    "dtype": Reader._dtype,
    "scalar": lambda reader, node: reader._dtype(node).type(reader.read(node["value"])),
    "array": Reader.array,
    "arrays": Reader._arrays,
    "values": Reader._values,
    "listed": lambda reader, node: find(node["name"]),
    "custom": Reader._custom,
    "partial": Reader._partial,
    "object": Reader._object,
    "random_state": Reader._random_state,
    "same": lambda reader, node: reader._made[node["id"]],
    "skops": Reader._skops,
}
