"""Training that learns nothing beyond the label priors never passes in silence."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import label_ranking_average_precision_score as lrap
from skorch.callbacks import Callback

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss._training import batches, fit, guard
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.networks import PiecewiseLinearEncoding, StandardEncoding

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 6))
LOGITS = 2 * X @ rng.normal(size=(6, 4)) + rng.normal(size=(300, 4))
Y = (LOGITS > np.quantile(LOGITS, [0.6, 0.7, 0.75, 0.8], axis=0).diagonal()).astype(int)
NOISE = (rng.random((300, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(int)
WORDS = "learned nothing beyond the label priors"
DEAD = dict(learning_rate=1e-9)

pytestmark = pytest.mark.filterwarnings("ignore:the validation score still improved")


def make(**params):
    defaults = dict(max_epochs=25, n_iter_no_change=8, random_state=0, device="cpu")
    if "module" not in params:
        # A linear part learns without training.
        defaults |= dict(hidden_layer_sizes=(16,), linear_part=False)
    return MultiLabelNetClassifier(**defaults | params)


def fitted(net, X=X, Y=Y, **params):
    """Return the fitted net, and the messages of the guard."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        net.fit(X, Y, **params)
    return net, [str(one.message) for one in caught if WORDS in str(one.message)]


def checks(net):
    return [one.check_ for one in net.nets_]


class IgnoresX(torch.nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(n_outputs))

    def forward(self, X):
        return self.bias + 0 * X[:, :1]


class Attempts:
    """Counts the trainings, and replaces what the guard says of the first ones."""

    def __init__(self, monkeypatch, n_dead=0):
        self.nets, self.n_dead = [], n_dead
        train = fit._train_once
        monkeypatch.setattr(fit, "_train_once", lambda *args: self.train(train, *args))

    def train(self, train, *args):
        trained = train(*args)
        self.nets.append(trained.net)
        if len(self.nets) <= self.n_dead:
            check = trained.net.check_
            trained.net.check_ = guard.Check(check.loss + 9, check.constant_loss, True, False)
        return trained


# ------------------------------------------------------------------ what is learned


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_table_to_learn_from_never_warns(loss, early_stopping):
    net, found = fitted(make(loss=loss, learning_rate=0.01, early_stopping=early_stopping))
    (check,) = checks(net)
    assert not found and check.learned and check.held_out == early_stopping
    assert check.loss < check.constant_loss and net.encoding_reason_.endswith("48 outputs")
    if early_stopping and LOSSES[loss]().row_wise and loss != "splc":
        assert check.loss == pytest.approx(min(net.history_["valid_loss"]), rel=1e-4)


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("params", [DEAD, dict(module=IgnoresX)], ids=["rate", "module"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_dead_training_always_warns(loss, params, early_stopping):
    # One batch: steps that learn nothing need not be many.
    common = dict(early_stopping=early_stopping, n_iter_no_change=2, max_epochs=12, batch_size=300)
    params = common | params
    net, found = fitted(make(loss=loss, **params))
    assert len(found) == 1 and not net.net_.check_.learned
    where = "held-out" if early_stopping else "training"
    assert f"the loss on {where} rows is {net.net_.check_.loss:.4g}, " in found[0]
    for advice in ("encoding", "learning_rate", "more rows or epochs", "X is related to y"):
        assert advice in found[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_that_do_not_depend_on_x_warn_or_are_fitted_slightly_better(loss):
    net, found = fitted(make(loss=loss, max_epochs=12, n_iter_no_change=3), Y=NOISE)
    (check,) = checks(net)
    assert bool(found) == (not check.learned)
    if check.learned:
        assert check.loss < (1 - guard.LEAST) * check.constant_loss


def test_ten_dead_tables_of_ten_warn_and_ten_alive_of_ten_do_not():
    for seed in range(10):
        generator = np.random.default_rng(seed)
        X = generator.normal(size=(120, 5))
        y = (X @ generator.normal(size=(5, 2)) + generator.normal(size=(120, 2)) > 0.5) * 1
        alive, found = fitted(make(random_state=seed, learning_rate=0.01), X, y)
        assert not found and alive.net_.check_.learned
        assert fitted(make(random_state=seed, **DEAD), X, y)[1]


def test_a_few_epochs_without_held_out_rows_are_not_checked():
    net, found = fitted(make(early_stopping=False, max_epochs=9, **DEAD))
    assert not found and net.net_.check_ is None and "priors" not in net.summary()
    assert fitted(make(early_stopping=False, max_epochs=10, **DEAD))[1]


def test_a_single_pass_is_not_checked():
    net, found = fitted(make(**DEAD))
    assert found and net.net_.check_ is not None
    net.partial_fit(X, Y)
    assert net.net_.check_ is None


def test_labels_without_variation_are_not_checked():
    ones = np.ones_like(Y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*label\\(s\\) have only")
        net = make(early_stopping=False, max_epochs=10).fit(X, ones)
    assert net.net_.check_ is None


def test_only_some_rows_of_large_tables_are_checked(monkeypatch):
    monkeypatch.setattr(batches, "CHECKED_ROWS", 7)
    net, found = fitted(make())
    assert not found and net.net_.check_.learned
    monkeypatch.setattr(batches, "FEWEST", 3)
    monkeypatch.setattr(batches, "NUMBERS", 1)
    assert fitted(make(**DEAD))[1]


# ------------------------------------------------------------------ a second attempt


def test_the_next_encoding_is_tried(monkeypatch):
    attempts = Attempts(monkeypatch, n_dead=1)
    net, found = fitted(make(learning_rate=0.01))
    assert not found and [one.lr for one in attempts.nets] == [0.01, 0.01]
    assert isinstance(net.encoding_, StandardEncoding) and net.net_ is attempts.nets[1]
    assert net.encoding_reason_ == (
        "6 dense columns give 48 outputs, but PiecewiseLinearEncoding learned nothing beyond the "
        "label priors, so encoding='standard'"
    )
    assert net.get_params()["encoding"] == "auto"
    monkeypatch.undo()
    twin = make(learning_rate=0.01, encoding="standard").fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), twin.predict_proba(X))
    assert net.history_ == twin.history_ and net.n_iter_ == twin.n_iter_


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_array])
def test_a_lower_learning_rate_is_tried(kind, monkeypatch):
    attempts = Attempts(monkeypatch, n_dead=1)
    net, found = fitted(make(encoding=None, max_epochs=400, hidden_layer_sizes=(128,)), kind(X))
    assert not found and [one.lr for one in attempts.nets] == [1e-3, 1e-4]
    assert net.encoding_reason_ == (
        "as given, but learning_rate=0.001 learned nothing beyond the label priors, so "
        "learning_rate=0.0001"
    )
    assert net.net_ is attempts.nets[1]


def test_the_better_of_two_dead_trainings_is_kept(monkeypatch):
    for rates, n_dead in (((1e-9, 1e-9), 0), ((1e-9, 1e-9), 1)):
        with monkeypatch.context() as patch:
            attempts = Attempts(patch, n_dead)
            net, found = fitted(make(learning_rate=rates[0]))
        losses = [one.check_.loss for one in attempts.nets]
        assert len(found) == 1 and net.net_ is attempts.nets[int(np.argmin(losses))]
        assert net.encoding_reason_.startswith(
            "6 dense columns give 48 outputs; PiecewiseLinearEncoding learned nothing"
        )


@pytest.mark.parametrize(
    "params",
    [
        dict(encoding=None, **DEAD),
        dict(encoding=StandardEncoding(), **DEAD),
        dict(callbacks=[Callback()], **DEAD),
        # It ended because of max_epochs: so would the second.
        dict(max_epochs=2, n_iter_no_change=40, **DEAD),
    ],
    ids=["rate given", "encoding given", "callbacks", "early end"],
)
def test_one_attempt_where_there_is_nothing_to_change(params, monkeypatch):
    attempts = Attempts(monkeypatch)
    net, found = fitted(make(**params))
    assert len(attempts.nets) == 1 and len(found) == 1
    assert "priors" not in net.encoding_reason_


def test_a_warm_start_only_warns(monkeypatch):
    net, found = fitted(make(warm_start=True, **DEAD))
    attempts = Attempts(monkeypatch)
    assert found and fitted(net)[1] and len(attempts.nets) == 1
    # A net that has learned is not dead because it does not learn more.
    alive = make(warm_start=True, learning_rate=0.01).fit(X, Y)
    assert not fitted(alive.set_params(learning_rate=1e-9))[1]


def test_a_second_attempt_that_fails_is_forgotten(monkeypatch):
    attempts = Attempts(monkeypatch, n_dead=1)
    train = fit._train_once

    def fail(plan, *args):
        if plan.params.encoding == "standard":
            raise ValueError("diverged")
        return train(plan, *args)

    monkeypatch.setattr(fit, "_train_once", fail)
    net, found = fitted(make())
    assert len(found) == 1 and net.net_ is attempts.nets[0]


def test_the_loss_of_the_first_attempt_is_not_shared(monkeypatch):
    attempts = Attempts(monkeypatch, n_dead=1)
    fitted(make(loss="hill", learning_rate=0.01, max_epochs=200))
    one, two = (net.criterion_.loss for net in attempts.nets)
    assert one is not two and one.n_labels_ == two.n_labels_


# ------------------------------------------------------------------ all paths


@pytest.mark.parametrize("ensemble", [True, False])
def test_one_warning_names_the_folds(ensemble):
    net, found = fitted(make(cv=3, ensemble=ensemble, max_epochs=12, **DEAD))
    assert found[0].startswith(f"training of folds 1, 2, 3 {WORDS}")
    assert len(found) == 1  # the net of all rows has too few epochs


def test_scores_of_folds_are_those_of_the_kept_attempt(monkeypatch):
    Attempts(monkeypatch, n_dead=1)
    params = dict(cv=2, store_cv_results=True, learning_rate=0.02, max_epochs=200)
    net, found = fitted(make(**params))
    kinds = [type(one.encoder_.fitted) for one in net.nets_]
    assert not found and kinds == [StandardEncoding, PiecewiseLinearEncoding]
    monkeypatch.undo()
    standard, auto = (fitted(make(encoding=name, **params))[0] for name in ("standard", "auto"))
    rows = X.astype(np.float32)
    for k, twin in enumerate((standard, auto)):
        np.testing.assert_array_equal(
            net.nets_[k].scores(rows, "cpu")[0], twin.nets_[k].scores(rows, "cpu")[0]
        )
    assert not np.array_equal(net.oof_scores_, auto.oof_scores_)


def test_parallel_folds():
    with parallel_backend("loky", n_jobs=2):
        net, found = fitted(make(cv=2, n_jobs=2, max_epochs=12, **DEAD))
    assert len(found) == 1 and "folds 1, 2" in found[0]
    assert [one.learned for one in checks(net)] == [False, False]


@pytest.mark.parametrize("cv", [None, 2])
def test_the_warning_is_repeated_from_the_cache(cv, tmp_path):
    results = [fitted(make(cv=cv, memory=str(tmp_path), max_epochs=12, **DEAD)) for _ in range(2)]
    assert len(results[0][1]) == 1 and results[0][1] == results[1][1]
    reasons = {net.encoding_reason_ for net, _ in results}
    assert len(reasons) == 1


def test_weights_missing_labels_and_classes():
    weight = rng.integers(1, 4, size=300).astype(float)
    holes = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
    for y, params in (Y, dict(sample_weight=weight)), (holes, {}), (Y.argmax(axis=1), {}):
        assert not fitted(make(learning_rate=0.01), Y=y, **params)[1]
        assert len(fitted(make(max_epochs=12, **DEAD), Y=y, **params)[1]) == 1


def test_a_metric_that_improves_is_learned():
    # A loss of probabilities far off, but a better order of the labels.
    def order(Y, scores):
        return lrap(Y, scores)

    params = dict(monitor=order, learning_rate=0.5, hidden_layer_sizes=(), n_iter_no_change=20)
    net, found = fitted(make(**params))
    assert not found and net.net_.check_.learned
    params |= dict(module=IgnoresX)
    del params["hidden_layer_sizes"]
    assert fitted(make(**params))[1]
    assert fitted(make(monitor=order, **DEAD))[1]


def test_a_monitor_is_called_once_per_epoch():
    calls = []
    net, _ = fitted(make(monitor=lambda Y, scores: calls.append(0) or 0.5, encoding=None, **DEAD))
    assert len(calls) == net.n_iter_


def test_decoded_classifiers_warn_as_well():
    model = DecodedClassifierCV(make(max_epochs=12, **DEAD), cv=2)
    with pytest.warns(ConvergenceWarning, match=WORDS):
        model.fit(X, Y)


def test_results_are_the_same_every_time():
    one, two = (fitted(make(learning_rate=None), Y=NOISE)[0] for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert one.encoding_reason_ == two.encoding_reason_
    assert clone(one).get_params() == make(learning_rate=None).get_params()
    assert pickle.loads(pickle.dumps(one)).net_.check_ == one.net_.check_


# ------------------------------------------------------------------ what is said


def test_the_summary_compares_both_losses():
    net, _ = fitted(make(learning_rate=0.01))
    check = net.net_.check_
    line = f"; held-out loss {check.loss:.3g}, label priors {check.constant_loss:.3g}"
    assert line in net.summary()
    net, _ = fitted(make(early_stopping=False, learning_rate=0.01))
    assert "; training loss " in net.summary()


def test_many_ones_per_row_as_they_are_are_dead():
    ones = np.ones((300, 1500))
    binary = np.hstack([(X > 0), rng.random((300, 300)) < 0.99, ones]).astype(float)
    net, found = fitted(make(hidden_layer_sizes=(256,)), binary)
    assert not found and net.net_.check_.learned
    dead = make(hidden_layer_sizes=(256,), encoding=None, learning_rate=0.01)
    assert fitted(dead, binary)[1]
