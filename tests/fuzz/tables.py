"""Random X, y and weights, in the containers that people hold them in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import torch


def same(core: np.ndarray) -> np.ndarray:
    return core


def whole(core: np.ndarray) -> np.ndarray:
    """Return integers near the numbers, which every type of integers can hold."""
    return np.nan_to_num(np.abs(core)).clip(max=100).round()


def positive(core: np.ndarray) -> np.ndarray:
    return core > 0


def in_float32(core: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return core.astype(np.float32)


@dataclass(frozen=True)
class Form:
    """A container: `wrap` puts into it what `values` makes of numbers."""

    name: str
    wrap: Callable[[np.ndarray], Any]
    values: Callable[[np.ndarray], np.ndarray] = same


@dataclass(frozen=True)
class Data:
    """Numbers, and the form that they are given in."""

    core: np.ndarray
    form: Form

    def __len__(self) -> int:
        return len(self.core)

    def __str__(self) -> str:
        return f"{self.form.name} {self.core.shape}"

    def __getitem__(self, rows: Any) -> "Data":
        return Data(self.core[rows], self.form)

    def given(self) -> Any:
        return self.form.wrap(self.form.values(self.core))

    def plain(self) -> np.ndarray:
        """Return a plain array with the same values: of float64, or of classes."""
        values = self.form.values(self.core)
        return values if values.ndim == 1 else np.ascontiguousarray(values, dtype=np.float64)

    def is_vector(self) -> bool:
        return self.core.ndim == 1

    def is_plain(self) -> bool:
        """Return whether `plain` is the same for the package."""
        return self.form not in MISTAKES + CATEGORIES

    def is_sparse(self) -> bool:
        return self.form in SPARSE


# ------------------------------------------------------------------ containers


def read_only(core: np.ndarray) -> np.ndarray:
    core = core.copy()
    core.flags.writeable = False
    return core


def columns(core: np.ndarray) -> dict[str, np.ndarray]:
    return {f"column {j}": column.copy() for j, column in enumerate(core.T)}


def frame(core: np.ndarray, dtype: Any = "float64") -> pd.DataFrame:
    return pd.DataFrame(columns(core)).astype(dtype)


def frame_of_types(core: np.ndarray) -> pd.DataFrame:
    types = ["float64", "Float64", "object"]
    return frame(core).astype({f"column {j}": types[j % 3] for j in range(core.shape[1])})


def masked(core: np.ndarray) -> np.ma.MaskedArray:
    return np.ma.array(np.nan_to_num(core, nan=1.0), mask=np.isnan(core))


def words(core: np.ndarray) -> pd.DataFrame:
    """Return a DataFrame whose first column holds words."""
    first = pd.Series(whole(core[:, 0])).map("word {:.0f}".format)
    return frame(core).assign(**{"column 0": first.astype("category")})


def words_of_polars(core: np.ndarray) -> pl.DataFrame:
    first = pl.Series(whole(core[:, 0]).astype(str), dtype=pl.Categorical)
    return pl.DataFrame(columns(core)).with_columns(first.alias("column 0"))


def all_stored(core: np.ndarray) -> sp.csr_array:
    n, p = core.shape
    parts = core.ravel(), np.tile(np.arange(p), n), np.arange(0, n * p + 1, p)
    return sp.csr_array(parts, shape=core.shape)


def stored_twice(core: np.ndarray) -> sp.csr_array:
    """Return a CSR array with each entry as two that sum to it, in no order."""
    n, p = core.shape
    halves, places = np.hstack([core, core]).ravel() / 2, np.tile(np.arange(p), 2 * n)
    return sp.csr_array((halves, places, np.arange(0, 2 * n * p + 1, 2 * p)), shape=core.shape)


PLAIN = [
    Form("float64", np.copy),
    Form("float32", in_float32, in_float32),
    Form("float16", lambda core: core.astype(np.float16), whole),
    Form("big-endian", lambda core: core.astype(">f8")),
    Form("longdouble", lambda core: core.astype(np.longdouble)),
    Form("int64", lambda core: core.astype(np.int64), whole),
    Form("int8", lambda core: core.astype(np.int8), whole),
    Form("uint16", lambda core: core.astype(np.uint16), whole),
    Form("bool", np.copy, positive),
    Form("Fortran order", lambda core: np.array(core, order="F")),
    Form("every other row", lambda core: np.repeat(core, 2, axis=0)[::2]),
    Form("reversed columns", lambda core: core[:, ::-1].copy()[:, ::-1]),
    Form("read-only", read_only),
    Form("lists", lambda core: core.tolist()),
    Form("tuples", lambda core: tuple(map(tuple, core.tolist()))),
    Form("list of arrays", lambda core: list(core.copy())),
    Form("objects", lambda core: core.astype(object)),
    Form("objects with None", lambda core: np.where(np.isnan(core), None, core)),
    Form("masked array", masked),
    Form("tensor", lambda core: torch.from_numpy(core.copy())),
    Form("DataFrame", frame),
    Form("DataFrame without names", lambda core: pd.DataFrame(core.copy())),
    Form("DataFrame, index", lambda core: frame(core).set_axis([7] * len(core))),
    Form("DataFrame of Float64", lambda core: frame(core, "Float64")),
    Form("DataFrame of Int64", lambda core: frame(core, "Int64"), whole),
    Form("DataFrame of types", frame_of_types),
    Form("polars", lambda core: pl.DataFrame(columns(core))),
    Form("polars with nulls", lambda core: pl.DataFrame(columns(core)).fill_nan(None)),
]
SPARSE = [
    *(
        Form(f"{name}_{kind}", getattr(sp, f"{name}_{kind}"))
        for name in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
        for kind in ("array", "matrix")
    ),
    Form("csr_array of int8", lambda core: sp.csr_array(core.astype(np.int8)), whole),
    Form("csr_array of bool", sp.csr_array, positive),
    Form("csr_array, all stored", all_stored),
    Form("csr_array, all stored twice", stored_twice),
    Form("sparse DataFrame", lambda core: frame(core, pd.SparseDtype(float, 0))),
]
CATEGORIES = [Form("DataFrame of words", words), Form("polars of words", words_of_polars)]
# What is wrong, or may be: there is no array that it equals.
MISTAKES = [
    Form("one dimension", lambda core: core[:, 0].copy()),
    Form("three dimensions", lambda core: core[:, :, None].copy()),
    Form("no columns", lambda core: core[:, :0].copy()),
    Form("no rows", lambda core: core[:0].copy()),
    Form("one row less", lambda core: core[1:].copy()),
    Form("complex", lambda core: core.astype(complex)),
    Form("strings", lambda core: np.nan_to_num(core).astype(str)),
    Form("words only", lambda core: np.full(core.shape, "word", dtype=object)),
    Form("dates", lambda core: whole(core).astype("datetime64[D]")),
    Form("None", lambda core: None),
    Form("a number", lambda core: 3.0),
    Form("a word", lambda core: "word"),
    Form("dict", columns),
    Form("generator", lambda core: (row for row in core)),
    Form("ragged lists", lambda core: [[0.5] * (1 + i % 2) for i in range(len(core))]),
    Form("label sets", lambda core: [set(np.flatnonzero(row > 0.5).tolist()) for row in core]),
    Form("infinity", lambda core: np.where(core == core[:1], np.inf, core)),
    Form("far out", lambda core: 1e300 * (core + 1)),
    Form("minus", lambda core: -1 - np.abs(core)),
    Form("records", lambda core: np.zeros(len(core), dtype=[("a", float), ("b", int)])),
    Form("Series of lists", lambda core: pd.Series(core.tolist())),
    Form("sparse vector", lambda core: sp.coo_array(np.nan_to_num(core[:, 0]))),
]
VECTORS: dict[str, Callable[[np.ndarray], Any]] = {
    "array": np.copy,
    "objects": lambda y: y.astype(object),
    "list": lambda y: y.tolist(),
    "read-only": read_only,
    "column": lambda y: y[:, None].copy(),
    "Series": pd.Series,
    "Series, index": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "Series of categories": lambda y: pd.Series(y, dtype="category"),
    "nullable Series": lambda y: pd.Series(y).convert_dtypes(),
    "Series of polars": lambda y: pl.Series(y.tolist()),
}


def draw_form(rng: np.random.Generator, *groups: list[Form], mistakes: float = 0.04) -> Form:
    group = MISTAKES if rng.random() < mistakes else groups[rng.integers(len(groups))]
    return group[rng.integers(len(group))]


# ------------------------------------------------------------------ numbers


def draw_X(rng: np.random.Generator, n: int, p: int) -> Data:
    """Return a table: columns of several kinds, perhaps with gaps, twins and far values."""
    core = rng.normal(size=(n, p))
    kinds: dict[str, Callable[[np.ndarray], Any]] = {
        "0/1": positive,
        "counts": whole,
        "constant": lambda x: rng.choice([0.0, 1.0, -7.5]),
        "skewed": lambda x: np.exp(3 * x),
        "tiny": lambda x: 1e-30 * x,
        "far from 0": lambda x: 1e9 + x,
        "huge": lambda x: 1e20 * x,
    }
    for j in range(p):
        core[:, j] = kinds.get(rng.choice([*kinds, *["normal"] * 7]), same)(core[:, j])
    if rng.random() < 0.2:
        core[rng.integers(n, size=n // 2)] = core[0]
    if rng.random() < 0.3:
        core[rng.random((n, p)) < 0.6] = 0
    if rng.random() < 0.15:
        core[rng.random((n, p)) < rng.choice([0.1, 0.9])] = np.nan
    return Data(core, draw_form(rng, PLAIN, PLAIN, SPARSE, CATEGORIES))


CLASSES = [
    [0, 1], [-1, 1], [0, 2], [3, 7, 9], [0, 1, 2, 3], [False, True], [0.0, 1.0], [1.0, 2.0, 3.0],
    ["a", "b"], ["no", "yes, very long"], ["x", "y", "z"], np.array([1, 5], dtype=np.int8),
]  # fmt: skip


def draw_y(rng: np.random.Generator, X: Data) -> Data:
    """Return targets that have to do with X: an indicator, or a vector of classes."""
    signal = np.nan_to_num(X.core).clip(-3, 3) @ rng.normal(size=X.core.shape[1])
    return (_draw_classes if rng.random() < 0.3 else _draw_labels)(rng, signal)


def _draw_classes(rng: np.random.Generator, signal: np.ndarray) -> Data:
    n, classes = len(signal), np.array(CLASSES[rng.integers(len(CLASSES))], copy=True)
    last = len(classes) - 1
    places = (signal + rng.normal(size=n)).argsort().argsort() * len(classes) // n
    if rng.random() < 0.3:
        places[places == last] = 0
        places[rng.integers(n, size=rng.integers(3))] = last  # a rare class, or none
    name = rng.choice(list(VECTORS))
    if name == "column" and np.isin(classes[places], [0, 1]).all():
        name = "array"  # a column of 0 and 1 is a label
    return Data(places, Form(f"{name} of {classes}", VECTORS[name], classes.__getitem__))


def _draw_labels(rng: np.random.Generator, signal: np.ndarray) -> Data:
    shape = len(signal), rng.integers(1, 6)
    core = (signal[:, None] + rng.normal(size=shape) > rng.normal(size=shape[1])).astype(float)
    for j in range(shape[1]):
        kind = rng.choice([*["usual"] * 8, "never", "always", "once"])
        if kind != "usual":
            core[:, j] = kind == "always"
            core[0, j] = kind != "never"
    kind = rng.choice([*["hard"] * 7, "NaN", "NaN", "soft", "unknown"])
    if kind == "NaN":
        core[rng.random(shape) < rng.choice([0.1, 0.8])] = np.nan
    elif kind == "soft":
        core = (0.8 * core + 0.2 * rng.random(shape)).round(3)
    elif kind == "unknown":
        core[:, 0] = np.nan
    return Data(core, draw_form(rng, PLAIN, PLAIN, SPARSE))


def draw_weight(rng: np.random.Generator, y: Data, usual: bool = False) -> Data | None:
    """Return weights of rows or entries, or None; with `usual` such as can be used."""
    if rng.random() < (0.2 if usual else 0.6):
        return None
    shape = y.core.shape if rng.random() < 0.2 else (len(y),)
    core = rng.choice([0, 0.5, 1, 3, rng.random()], size=shape)
    scales = {"huge": [1e30, 1e300], "tiny": [1e-30, 1e-300, 1e-320], "ones": [0], "zeros": [0]}
    firsts = {"NaN": np.nan, "negative": -1, "infinite": np.inf}
    kind = "usual" if usual else rng.choice([*["usual"] * 6, *scales, *firsts])
    core = core * rng.choice(scales.get(kind, [1])) + (kind == "ones")
    core[0] = firsts.get(kind, core[0])
    if len(shape) == 2:
        return Data(core, draw_form(rng, PLAIN, mistakes=0 if usual else 0.04))
    name = rng.choice(["array", "read-only", "list", "Series, index", "Series of polars"])
    return Data(core, Form(f"{kind} {name}", VECTORS[name]))
