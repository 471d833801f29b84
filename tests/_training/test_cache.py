"""Cached networks: searches over decoders and calibrators do not train again."""

import copy
import logging
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.build import build_net
from sklearn_mlloss._training.cache import hash_code
from sklearn_mlloss.losses import FocalLoss, FunctionLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0.5).astype(int)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
]


def make(memory=None, **params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=3, random_state=0, memory=memory,
                    linear_part=False)  # fmt: skip
    return MultiLabelNetClassifier(**{**defaults, **params})


@pytest.fixture
def trained():
    """Count the networks that are trained."""
    with mock.patch("sklearn_mlloss._training.fit.build_net", side_effect=build_net) as built:
        yield lambda: built.call_count


@pytest.mark.parametrize("params", [{"linear_part": True}, {"cv": 3}, {"cv": 3, "ensemble": False}])
def test_another_decoder_needs_no_training(tmp_path, trained, params):
    decisions = [
        {"decoder": "global_threshold"},
        {"decoder": "per_label_threshold", "decoder__beta": 2},
        {"decoder": "top_k", "decoder__k": 1, "calibration": "sigmoid"},
    ]
    kept = [make(str(tmp_path), **params).set_params(**d).fit(X, Y) for d in decisions]
    assert trained() == 1 + 2 * ("cv" in params) + ("ensemble" in params)
    for one, decision in zip(kept, decisions, strict=True):
        two = make(**params).set_params(**decision).fit(X, Y)
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
        np.testing.assert_array_equal(one.predict(X), two.predict(X))
        assert one.history_ == two.history_


@pytest.mark.parametrize(
    "other",
    [
        {"loss": "focal"},
        {"loss": FocalLoss(gamma=1)},
        {"learning_rate": 0.02},
        {"random_state": 1},
        {"max_epochs": 2},
        {"hidden_layer_sizes": (9,)},
        {"encoding": "quantile"},
        {"validation_fraction": 0.3},
        {"precision": "float64"},
        {"linear_part": True},
    ],
    ids=str,
)
def test_other_parameters_need_training(tmp_path, trained, other):
    make(str(tmp_path)).fit(X, Y)
    make(str(tmp_path), **other).fit(X, Y)
    assert trained() == 2


@pytest.mark.parametrize("change", ["X", "Y", "weight"])
def test_other_rows_need_training(tmp_path, trained, change):
    make(str(tmp_path)).fit(X, Y)
    other = {"X": (X + 1e-3, Y), "Y": (X, 1 - Y), "weight": (X, Y, np.arange(120) % 3 + 1)}
    make(str(tmp_path)).fit(*other[change])
    assert trained() == 2


def test_a_grid_over_decoders_trains_once_per_fold(tmp_path, trained):
    memory = joblib.Memory(tmp_path, verbose=0)
    grid = {
        "decoder": ["threshold", "global_threshold", "label_set"],
        "calibration": [None, "beta"],
    }
    plain = GridSearchCV(make(), grid, scoring="f1_macro", cv=2).fit(X, Y)
    before = trained()
    kept = GridSearchCV(make(memory), grid, scoring="f1_macro", cv=2).fit(X, Y)
    assert before == 2 * 6 + 1 and trained() - before == 2 + 1
    np.testing.assert_array_equal(
        kept.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


def test_networks_from_the_cache_are_copies(tmp_path):
    one, two = (make(str(tmp_path)).fit(X, Y) for _ in range(2))
    before = two.predict_proba(X)
    one.partial_fit(X, Y)
    np.testing.assert_array_equal(two.predict_proba(X), before)
    np.testing.assert_array_equal(make(str(tmp_path)).fit(X, Y).predict_proba(X), before)


def test_verbose_is_not_in_the_key(tmp_path, trained, capsys):
    make(str(tmp_path), verbose=1).fit(X, Y)
    assert "train_loss" in capsys.readouterr().out
    quiet = make(str(tmp_path)).fit(X, Y)
    assert trained() == 1
    quiet.partial_fit(X, Y)
    assert capsys.readouterr().out == ""


def test_a_warm_start_is_not_cached(tmp_path, trained):
    net = make(str(tmp_path), warm_start=True).fit(X, Y)
    first = net.predict_proba(X)
    assert (net.fit(X, Y).predict_proba(X) != first).any() and net.n_iter_ == 6
    assert trained() == 2


def test_parameters_that_cannot_be_pickled_are_named(tmp_path):
    loss = FunctionLoss(lambda outputs, targets: (outputs - targets) ** 2)
    with pytest.raises(ValueError, match="memory=.*pickle"):
        make(str(tmp_path), loss=loss).fit(X, Y)


def test_a_redefined_function_is_another_one(tmp_path, trained):
    def fit(power):
        # As in a notebook, where a cell is run again.
        namespace = {"__name__": "__main__"}
        exec(f"def loss(o, t):\n    return ((o - t) ** {power}).mean(-1)", namespace)
        namespace["loss"].__module__ = __name__
        globals()["loss"] = namespace["loss"]
        return make(str(tmp_path), loss=FunctionLoss(namespace["loss"])).fit(X, Y)

    try:
        one, two, again = fit(2), fit(4), fit(2)
    finally:
        del globals()["loss"]
    assert trained() == 2
    assert one.history_ == again.history_ != two.history_


def test_hashes_of_different_code_differ():
    def one(x):
        return x + 1

    def two(x):
        return x + 2

    def same(x):
        return x + 1

    class First(Callback):
        def on_epoch_end(self, net, **kwargs):
            pass

    class Second(Callback):
        def on_epoch_end(self, net, **kwargs):
            return 1

    assert hash_code([one]) == hash_code([same]) != hash_code([two])
    assert hash_code([[First()]]) != hash_code([[Second()]])
    assert hash_code([partial(one)]) != hash_code([partial(two)])
    assert hash_code([FunctionLoss(one)]) != hash_code([FunctionLoss(two)])


# Each names A, whose code or values change with k.
SOURCES = {
    "constant": "def A(x): return {k}",
    "default": "def A(x, k={k}): return k",
    "keyword default": "def A(x, *, k={k}): return k",
    "attribute of a function": "def A(x): return A.k\nA.k = {k}",
    "names of arguments": "def A(x{k}, y): return y",
    "comprehension": "def A(x): return [i + {k} for i in x]",
    "lambda": "def A(x): return sorted(x, key=lambda i: i * {k})",
    "frozenset": "def A(x): return x in {{'a', 'b', 'c', 'd', {k}}}",
    "closure": "def make(k):\n  def A(x): return k\n  return A\nA = make({k})",
    "empty cell": "def make():\n  def A(x): return k, {k}\n  return A\n  k = 1\nA = make()",
    "wrapped": "import torch\n@torch.no_grad()\ndef A(x): return {k}",
    "cached": "from functools import cache\n@cache\ndef A(x): return {k}",
    "class attribute": "class A:\n  k = {k}",
    "list": "class A:\n  k = [1, [{k}]]",
    "order of a dict": "class A:\n  k = {{i: 0 for i in sorted((1, 2), key=lambda i: i % {k})}}",
    "array": "import numpy\nclass A:\n  k = numpy.array([{k}])",
    "tensor": "import torch\nclass A:\n  k = torch.tensor([{k}])",
    "method": "class A:\n  def f(x): return {k}",
    "default of a method": "class A:\n  def f(x, k={k}): return k",
    "static method": "class A:\n  @staticmethod\n  def f(x): return {k}",
    "class method": "class A:\n  @classmethod\n  def f(x): return {k}",
    "property": "class A:\n  @property\n  def f(x): return {k}",
    "setter": "class A:\n  f = property()\n  @f.setter\n  def f(x, y): x.k = {k}",
    "cached property": (
        "from functools import cached_property\n"
        "class A:\n  @cached_property\n  def f(x): return {k}"
    ),
    "base": "class B:\n  def f(x): return {k}\nclass A(B): pass",
    "metaclass": "class M(type):\n  k = {k}\nclass A(metaclass=M): pass",
    "inner class": "class A:\n  class B:\n    k = {k}",
    "itself": "class A:\n  k = {k}\n  def __init__(x): super().__init__()\nA.me = A",
    "dict": "A = {{'a': lambda x: {k}}}",
    "object": "class B: pass\nA = B()\nA.f = lambda x: {k}",
    "slots": "class B: __slots__ = 'f'\nA = B()\nA.f = lambda x: {k}",
    "bound method": "class B:\n  def f(x): return x.k\nb = B()\nb.k = {k}\nA = b.f",
    "partial": "from functools import partial\nA = partial(lambda x, f: f(x), f=lambda x: {k})",
    "callback": (
        "from skorch.callbacks import EpochScoring\nA = EpochScoring(lambda net, X, y: {k})"
    ),
    "loss": (
        "from sklearn_mlloss.losses import SeparableLoss\n"
        "class A(SeparableLoss):\n  gamma = {k}\n  def positive(self, s): return -s"
    ),
}


def define(source, k, name="<string>"):
    namespace = {"__name__": "__main__"}
    exec(compile(source.format(k=k), name, "exec"), namespace)
    return namespace["A"]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_hashes_depend_on_all_of_code_but_its_place(source):
    expected = hash_code([define(source, 1)])
    assert expected == hash_code([define("\n# Moved.\n" + source, 1, "elsewhere")])
    assert expected != hash_code([define(source, 2)])


def test_use_of_a_class_is_no_change():
    class Own:
        pass

    before = hash_code([Own])
    # Both leave something behind in the class.
    assert not Own.__annotations__ and copy.copy(Own())
    assert {"__annotations__", "__slotnames__"} <= vars(Own).keys()
    assert hash_code([Own]) == before


def test_hashes_are_the_same_in_other_processes():
    script = (
        "from test_cache import SOURCES, hash_code, define\n"
        "print(*(hash_code([define(source, 1)]) for source in SOURCES.values()))"
    )
    # Of which the order of sets depends.
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    found = subprocess.check_output(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONHASHSEED": seed},
        text=True,
    )
    assert found.split() == [hash_code([define(source, 1)]) for source in SOURCES.values()]


class Holder(Callback):
    """Holds values that have no hash."""

    lock = threading.Lock()
    log = logging.getLogger(__name__)
    rows = (row for row in [])
    file = sys.stdout


def test_values_without_a_hash_are_ignored(tmp_path, trained):
    for _ in range(2):
        make(str(tmp_path), callbacks=[Holder()]).fit(X, Y)
    assert trained() == 1


def test_deeply_nested_values_have_a_hash():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert hash_code([deep])
