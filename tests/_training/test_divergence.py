"""Training that diverges: the best weights are kept, or an error is raised; streams go on."""

import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.divergence import names_not_finite
from sklearn_mlloss.losses import FunctionLoss

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4)).astype("float32")
Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0).astype(int)

pytestmark = [
    pytest.mark.filterwarnings("ignore:the validation score still improved"),
    # A few epochs of plain gradient descent get nowhere.
    pytest.mark.filterwarnings("ignore:training .*learned nothing beyond the label priors"),
]

# A learning rate that no training survives.
TOO_LARGE = 1e37
DIVERGED = "nan|inf|not finite|overflow"


def make(**params):
    defaults = dict(hidden_layer_sizes=(4,), max_epochs=9, batch_size=30, random_state=0,
                    learning_rate=0.05, device="cpu", encoding=None, dropout=0.0)  # fmt: skip
    if "module" in params:
        del defaults["hidden_layer_sizes"], defaults["dropout"]
    return MultiLabelNetClassifier(**{**defaults, **params})


def rises(optimizer, factor):
    """Raise the learning rate beyond reason after four epochs."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 if epoch < 4 else factor)


spike = partial(rises, factor=1e38)


class Quiet(Callback):
    """Does nothing, but takes training down the path with callbacks."""


class EachBatch(Callback):
    def on_batch_end(self, net, **kwargs):
        """Do nothing, but be notified of each batch."""


def two_layers(n_features, n_outputs):
    return nn.Sequential(nn.Linear(n_features, 4), nn.BatchNorm1d(4), nn.Linear(4, n_outputs))


WAYS = {
    "plain": {},
    "sgd": dict(optimizer="sgd"),
    "adagrad": dict(optimizer="adagrad"),
    "rmsprop": dict(optimizer="rmsprop"),
    "batch normalization": dict(normalization="batch"),
    "bf16": dict(precision="bf16"),
    # Numbers of this type go a long way, but multiply.
    "float64": dict(precision="float64", optimizer="sgd", hidden_layer_sizes=(4,) * 8,
                    activation="leaky_relu"),
    "linear": dict(hidden_layer_sizes=()),
    "module": dict(module=two_layers),
    "callbacks": dict(callbacks=[Quiet()]),
    "callbacks of batches": dict(callbacks=[EachBatch()]),
    "batch loss": dict(loss="soft_fbeta", optimizer="sgd"),
}  # fmt: skip
ways = pytest.mark.parametrize("way", WAYS)


def is_finite(net):
    return (
        not names_not_finite(net.net_._torch_modules()) and np.isfinite(net.predict_proba(X)).all()
    )


# ------------------------------------------------------------------ with rows to go back by


@ways
def test_a_late_divergence_keeps_the_best_weights(way):
    schedule = partial(rises, factor=TOO_LARGE)
    with pytest.warns(ConvergenceWarning, match=f"diverged.*epoch .*({DIVERGED}).*learning rate"):
        net = make(lr_schedule=schedule, n_iter_no_change=30, **WAYS[way]).fit(X, Y)
    assert 4 <= net.n_iter_ < 9 and net.net_.history[-1]["epoch"] == net.n_iter_
    assert all(math.isfinite(value) for curve in net.history_.values() for value in curve)
    best = 1 + max(np.flatnonzero(net.history_["is_best"]))
    assert is_finite(net) and best <= 4
    again = make(n_iter_no_change=30, **WAYS[way], max_epochs=int(best)).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), again.predict_proba(X))
    assert "ended because it diverged; epoch" in net.summary()
    copied = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(copied.predict_proba(X), net.predict_proba(X))


def test_the_warning_names_loss_epoch_and_learning_rate():
    params = dict(optimizer="sgd", lr_schedule=spike, n_iter_no_change=30)
    message = (
        r"^training diverged: the best weights, those of epoch [1-4], are kept \(.*"
        r"BinaryCrossEntropy\(\).* in epoch 5 with learning rate 5e\+36: lower learning_rate"
    )
    with pytest.warns(ConvergenceWarning, match=message):
        make(**params).fit(X, Y)


def test_the_warning_shows_the_line_of_the_user():
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        make(optimizer="sgd", lr_schedule=spike).fit(X, Y)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("ensemble", [True, False])
def test_folds_that_diverge_are_named_and_keep_their_best_weights(ensemble):
    params = dict(optimizer="sgd", cv=3, n_iter_no_change=30, store_cv_results=True)
    if not ensemble:
        # The last network, of all rows, ends before the learning rate rises.
        params |= dict(ensemble=False)
    with pytest.warns(ConvergenceWarning, match=r"training of folds 1, 2, 3 diverged.*epoch 5"):
        net = make(lr_schedule=spike, **params).fit(X, Y)
    assert np.isfinite(net.oof_scores_).all() and np.isfinite(net.predict_proba(X)).all()
    assert len(net.nets_) == (3 if ensemble else 1)


def test_a_divergence_is_read_from_the_cache(tmp_path):
    net = make(optimizer="sgd", lr_schedule=spike, memory=str(tmp_path))
    found = []
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="diverged"):
            found.append(net.fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(*found)


def test_no_epoch_to_go_back_to_is_an_error():
    for params in (dict(), dict(cv=3), dict(warm_start=True)):
        net = make(optimizer="sgd", learning_rate=1e38, **params)
        with pytest.raises(ValueError, match="epoch 1 with learning rate 1e\\+38"):
            net.fit(X, Y)
        assert not hasattr(net, "net_")


class Late(nn.Linear):
    """Does something else in the evaluations after the third."""

    def __init__(self, *args, factor):
        super().__init__(*args)
        self.factor, self.calls = factor, 0

    def forward(self, X):
        self.calls += not self.training
        return super().forward(X) * (self.factor if not self.training and self.calls > 4 else 1)


@pytest.mark.parametrize("factor", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("loss", ["bce", "mse", "sigmoid_f1"])
def test_outputs_for_held_out_rows_that_overflow(loss, factor):
    net = make(loss=loss, module=lambda n, k: Late(n, k, factor=factor), n_iter_no_change=30)
    with pytest.warns(ConvergenceWarning, match=f"epoch 4 .*{'|' if loss != 'sigmoid_f1' else ''}"):
        net.fit(X, Y)
    assert net.n_iter_ == 3


class Break(Callback):
    """Writes non-finite values into weights or buffers in the fourth epoch."""

    def __init__(self, name):
        self.name = name

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 4:
            with torch.no_grad():
                dict(net.module_.state_dict())[self.name][:1] = math.nan


@pytest.mark.parametrize("name", ["0.weight", "1.running_var", "2.bias"])
def test_weights_and_buffers_that_are_not_finite(name):
    net = make(module=two_layers, callbacks=[Break(name)], n_iter_no_change=30)
    with pytest.warns(ConvergenceWarning, match="epoch 4"):
        net.fit(X, Y)
    assert net.n_iter_ == 3 and is_finite(net)


def test_a_monitor_that_becomes_nan():
    values = iter([0.1, 0.2, 0.1, math.nan])
    net = make(monitor=lambda Y, scores: next(values), n_iter_no_change=30)
    with pytest.warns(ConvergenceWarning, match="epoch 2, are kept .monitor returned nan.*epoch 4"):
        net.fit(X, Y)
    assert net.history_["valid_score"] == [0.1, 0.2, 0.1]
    assert "epoch 2 kept: valid_score 0.2" in net.summary()


@pytest.mark.parametrize("value", [math.nan, "much", None])
def test_a_monitor_that_is_nothing_at_first_is_an_error(value):
    with pytest.raises(ValueError, match="monitor returned"):
        make(monitor=lambda Y, scores: value).fit(X, Y)


def test_callbacks_are_notified_of_the_end():
    seen = []

    class Ends(Callback):
        def on_train_end(self, net, **kwargs):
            seen.append((len(net.history), not names_not_finite(net._torch_modules())))

    with pytest.warns(ConvergenceWarning, match="diverged"):
        make(optimizer="sgd", lr_schedule=spike, callbacks=[Ends()]).fit(X, Y)
    assert seen == [(4, True)]


# ------------------------------------------------------------------ without such rows


@ways
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_divergence_in_the_last_step_is_an_error(way, method):
    params = {**WAYS[way], "learning_rate": TOO_LARGE, "batch_size": 90}
    net = make(max_epochs=1, early_stopping=False, decoder="threshold", **params)
    message = f"({DIVERGED}).* in epoch 1 with learning rate .*: lower learning_rate"
    with pytest.raises(ValueError, match=message):
        getattr(net, method)(X, Y)
    assert not [name for name in vars(net) if name.endswith("_")]


def test_an_error_names_the_fold_or_all_rows():
    net = make(optimizer="sgd", learning_rate=1e38, cv=3, early_stopping=False)
    with pytest.raises(ValueError, match=r"^fold 1/3: .* with learning rate 1e\+38: lower"):
        net.fit(X, Y)
    # Two epochs for three networks of folds, and as many for the last.
    values = iter([1, 2, 1] * 3)
    net.set_params(early_stopping=True, ensemble=False, learning_rate=0.1, n_iter_no_change=1,
                   monitor=lambda Y, scores: next(values), callbacks=[BreakAllRows()])  # fmt: skip
    with pytest.raises(ValueError, match="^all rows: .* in epoch 2"):
        net.fit(X, Y)


class BreakAllRows(Callback):
    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        if len(dataset_train) == len(X) and len(net.history) == 2:
            nn.init.constant_(net.module_.layers[-1].bias, math.inf)


def test_outputs_that_overflow_at_the_end_are_an_error():
    net = make(hidden_layer_sizes=(8,) * 6, learning_rate=1e10, max_epochs=1, batch_size=90,
               early_stopping=False, decoder="threshold")  # fmt: skip
    with pytest.raises(ValueError, match="outputs overflow.*epoch 1 with learning rate 1"):
        net.fit(X, Y)


def test_a_buffer_that_is_never_finite_is_no_divergence():
    class Masked(nn.Linear):
        def __init__(self, *args):
            super().__init__(*args)
            self.register_buffer("mask", torch.full((3,), -math.inf))

    for params in (dict(), dict(early_stopping=False)):
        assert is_finite_but_for_mask(make(module=Masked, **params).fit(X, Y))


def is_finite_but_for_mask(net):
    return names_not_finite(net.net_._torch_modules()) == {"module.mask"}


# ------------------------------------------------------------------ streams


@ways
def test_a_stream_goes_on_from_its_last_good_weights(way):
    params = {**WAYS[way], "decoder": "threshold"}
    net, twin = make(**params).partial_fit(X, Y), make(**params).partial_fit(X, Y)
    before = net.predict_proba(X), net.history_, net.loss_.label_count_
    net.set_params(learning_rate=TOO_LARGE)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"({DIVERGED}).*learning rate .*: lower"):
            net.partial_fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), before[0])
    assert net.history_ == before[1]
    np.testing.assert_array_equal(net.loss_.label_count_, before[2])
    net.set_params(learning_rate=0.05).partial_fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), twin.partial_fit(X, Y).predict_proba(X))


def test_a_stream_whose_first_call_diverges_starts_over():
    net = make(decoder="threshold", optimizer="sgd", learning_rate=1e38)
    with pytest.raises(ValueError, match="lower learning_rate"):
        net.partial_fit(X, Y)
    net.set_params(learning_rate=0.05).partial_fit(X, Y)
    twin = make(decoder="threshold", optimizer="sgd").partial_fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), twin.predict_proba(X))


def test_a_stream_keeps_the_state_of_its_optimizer_finite():
    def huge(outputs, targets):
        return 1e25 * nn.functional.binary_cross_entropy_with_logits(
            outputs, targets, reduction="none"
        )

    net = make(loss=FunctionLoss(huge), decoder="threshold", optimizer="adam")
    with pytest.raises(ValueError, match="optimizer.exp_avg_sq is not finite"):
        net.partial_fit(X, Y)


def test_all_nets_of_an_ensemble_restore_their_best_weights():
    net = make(cv=3, decoder="threshold", optimizer="sgd").fit(X, Y)
    before = net.predict_proba(X)
    with pytest.raises(ValueError, match="lower learning_rate"):
        net.set_params(learning_rate=1e38).partial_fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), before)


def test_the_learning_rate_of_a_stream_can_be_changed():
    net = make(decoder="threshold", optimizer="sgd", callbacks=[EachBatch()]).partial_fit(X, Y)
    before = net.predict_proba(X)
    net.set_params(learning_rate=1e-30).partial_fit(X, Y)
    np.testing.assert_allclose(net.predict_proba(X), before, rtol=1e-6)
    assert np.abs(net.set_params(learning_rate=1).partial_fit(X, Y).predict_proba(X) - before).max()
    assert net.net_.lr == net.net_.optimizer_.param_groups[0]["lr"] == 1


# ------------------------------------------------------------------ what is looked at


def test_names_of_weights_that_are_not_finite():
    module = two_layers(4, 3)
    optimizer = torch.optim.Adam(module.parameters())
    assert names_not_finite({"module": module}, optimizer) == frozenset()
    with torch.no_grad():
        module[0].bias[1] = math.inf
        module[1].running_mean[0] = math.nan
        module[2].bias[:] = 3e38
    optimizer.state[module[0].weight] = {"step": 3, "exp_avg": torch.tensor([math.nan])}
    assert names_not_finite({"module": module}, optimizer) == {
        "module.0.bias", "module.1.running_mean", "optimizer.exp_avg"
    }  # fmt: skip
    assert names_not_finite({"empty": nn.Identity()}) == frozenset()
