"""Networks that are kept: searches over the decision do not train again."""

from functools import partial
from unittest import mock

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.digests import code_digest
from sklearn_mlloss.losses import FocalLoss, FunctionLoss
from sklearn_mlloss.training import build_net

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0.5).astype(int)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
]


def make(memory=None, **params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=3, random_state=0, memory=memory)
    return MultiLabelNetClassifier(**{**defaults, **params})


@pytest.fixture
def trained():
    """Count the networks that are trained."""
    with mock.patch("sklearn_mlloss.training.fit.build_net", side_effect=build_net) as built:
        yield lambda: built.call_count


@pytest.mark.parametrize("params", [{}, {"cv": 3}, {"cv": 3, "ensemble": False}])
def test_the_decision_alone_needs_no_training(tmp_path, trained, params):
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
    ],
    ids=str,
)
def test_anything_else_does(tmp_path, trained, other):
    make(str(tmp_path)).fit(X, Y)
    make(str(tmp_path), **other).fit(X, Y)
    assert trained() == 2


@pytest.mark.parametrize("change", ["X", "Y", "weight"])
def test_other_rows_do(tmp_path, trained, change):
    make(str(tmp_path)).fit(X, Y)
    other = {"X": (X + 1e-3, Y), "Y": (X, 1 - Y), "weight": (X, Y, np.arange(120) % 3 + 1)}
    make(str(tmp_path)).fit(*other[change])
    assert trained() == 2


def test_a_grid_over_decoders_trains_once_a_fold(tmp_path, trained):
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


def test_networks_from_memory_are_of_one_s_own(tmp_path):
    one, two = (make(str(tmp_path)).fit(X, Y) for _ in range(2))
    before = two.predict_proba(X)
    one.partial_fit(X, Y)
    np.testing.assert_array_equal(two.predict_proba(X), before)
    np.testing.assert_array_equal(make(str(tmp_path)).fit(X, Y).predict_proba(X), before)


def test_warm_start_goes_on_and_is_not_kept(tmp_path, trained):
    net = make(str(tmp_path), warm_start=True).fit(X, Y)
    first = net.predict_proba(X)
    assert (net.fit(X, Y).predict_proba(X) != first).any() and net.n_iter_ == 6
    assert trained() == 2


def test_what_cannot_be_kept_is_named(tmp_path):
    loss = FunctionLoss(lambda outputs, targets: (outputs - targets) ** 2)
    with pytest.raises(ValueError, match="memory=.*pickle"):
        make(str(tmp_path), loss=loss).fit(X, Y)


def test_a_function_written_anew_is_another_one(tmp_path, trained):
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


def test_digests_tell_code_apart():
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

    assert code_digest([one]) == code_digest([same]) != code_digest([two])
    assert code_digest([[First()]]) != code_digest([[Second()]])
    assert code_digest([partial(one)]) != code_digest([partial(two)])
    assert code_digest([FunctionLoss(one)]) != code_digest([FunctionLoss(two)])
