"""A fit by shards while it runs: Ctrl-C, callbacks and progress, as in memory."""

import pickle
import re
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EarlyStopping, EpochScoring

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.streaming import RowSource, Streaming

X, Y = make_multilabel_classification(300, 5, n_classes=3, random_state=0)
pytestmark = pytest.mark.filterwarnings("ignore:.*still improved when max_epochs")


@pytest.fixture(autouse=True)
def signals_arrive():
    """Handle SIGINT as Python does, and check that no reader is left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    Pressing.at, Pressing.calls = (), 0
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert not any(one.name == "sklearn_mlloss-reader" for one in threading.enumerate())


class Pressing:
    """Presses Ctrl-C in calls with these numbers, each time it is in the tuple."""

    at: tuple[int, ...] = ()
    calls = 0

    @classmethod
    def call(cls):
        cls.calls += 1
        for _ in range(cls.at.count(cls.calls)):
            signal.raise_signal(signal.SIGINT)


def monitor(Y, scores):
    """Score a check, and perhaps press Ctrl-C."""
    Pressing.call()
    return -((Y - scores) ** 2).mean()


def module(n_features, n_outputs):
    """Return a network that may press Ctrl-C in a step."""
    layer = torch.nn.Linear(n_features, n_outputs)
    layer.register_forward_hook(lambda *args: Pressing.call() if layer.training else None)
    return layer


class Rows(RowSource):
    """Shards that may press Ctrl-C when they are read."""

    def shards(self):
        return ["first", "second", "third"]

    def read(self, shard):
        Pressing.call()
        yield X[shard::3], Y[shard::3], None


def net(streaming=None, **params):
    """Return a net with three checks per epoch, of a buffer with three steps each."""
    settings = Streaming(buffer_rows=96, sample_rows=150, steps_per_check=3)
    settings.set_params(**(streaming or {}))
    fixed = {"hidden_layer_sizes": (4,), "batch_size": 32, "max_epochs": 3, "random_state": 0}
    fixed |= {"linear_part": False, "encoding": "standard", "decoder": "global_threshold"}
    fixed |= {"streaming": settings, "n_iter_no_change": np.inf, "learning_rate": 0.03}
    return MultiLabelNetClassifier(**(fixed | params))


def interrupted(model, match, rows=None):
    with warnings.catch_warnings(record=True) as warned, pytest.raises(KeyboardInterrupt) as caught:
        warnings.simplefilter("always")
        model.fit(*((X, Y) if rows is None else (rows,)))
    (warning,) = warned
    assert warning.category is ConvergenceWarning and caught.value.kept is model
    assert re.search(f"was interrupted, and the model is usable with {match}", str(warning.message))
    assert model.predict(X).shape == Y.shape
    return model


def unchanged(model, rows=None):
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt) as caught:
        model.fit(*((X, Y) if rows is None else (rows,)))
    assert vars(model) == before and not hasattr(caught.value, "kept")


# ------------------------------------------------------------------ Ctrl-C


def test_the_best_weights_so_far_are_kept():
    expected = net(max_epochs=1, monitor=monitor).fit(X, Y)
    Pressing.at, Pressing.calls = (3,), 0
    kept = interrupted(net(monitor=monitor), "the best weights, those of check [1-3] of 3, after 1")
    np.testing.assert_array_equal(kept.predict_proba(X), expected.predict_proba(X))
    assert kept.history_ == expected.history_ and kept.n_iter_ == 3
    assert kept.decoder_.threshold_ == expected.decoder_.threshold_


@pytest.mark.parametrize("at, made, checks", [(5, "0.25", 1), (11, "0.75", 2)])
def test_without_early_stopping_it_keeps_the_weights_from_the_first_buffer_on(at, made, checks):
    params = {"early_stopping": False, "module": module, "hidden_layer_sizes": "auto"}
    params |= {"linear_part": "auto", "decoder": "threshold"}
    often = {"steps_per_check": None if at == 5 else 5}
    Pressing.at = (at,)
    kept = interrupted(net(often, **params), f"the weights after {made} of at most 3 epochs")
    # That of an unfinished check is the mean loss of its whole buffers.
    assert len(kept.history_["train_loss"]) == checks and np.isfinite(kept.predict_proba(X)).all()
    Pressing.at, Pressing.calls = (2,), 0
    unchanged(net(often, **params))


def test_in_the_first_pass_nothing_is_kept():
    Pressing.at = (2,)
    unchanged(net(), Rows())


def test_a_second_one_aborts():
    model = net(monitor=monitor).fit(X, Y)
    Pressing.at, Pressing.calls = (2, 2), 0
    unchanged(model)


def test_the_next_fit_continues_from_the_checkpoint(tmp_path):
    expected = net(monitor=monitor).fit(X, Y)
    often = {"checkpoint": str(tmp_path / "state"), "steps_per_checkpoint": 3}
    model = net(often, monitor=monitor)
    Pressing.at, Pressing.calls = (5,), 0
    what = r"the best weights, .* of 5, after 1.67 epochs \(checkpoint='.*state' keeps the state"
    interrupted(model, what)
    Pressing.calls = 0
    Pressing.at = (2,)  # after that
    interrupted(model, "the best weights, those of check [1-7] of 7, after 2.33 epochs")
    Pressing.at = ()
    model.fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert not (tmp_path / "state").exists()


# ------------------------------------------------------------------ callbacks


class Noting(Callback):
    """Notes what it is called with."""

    def initialize(self):
        self.events_ = []
        return self

    def on_train_begin(self, net, X, y, **kwargs):
        self.events_.append(("begin", len(X)))

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        self.events_.append((len(dataset_train), len(dataset_valid)))

    def on_train_end(self, net, **kwargs):
        self.events_.append(("end", net.history[-1]["train_loss_best"]))


def test_callbacks_of_skorch_see_each_check_as_an_epoch():
    params = {"max_epochs": 2, "callbacks": [Noting(), EpochScoring("f1_micro", name="f1")]}
    fitted = net(**params).fit(X, Y)
    plain = net(max_epochs=2).fit(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), plain.predict_proba(X))
    (begin, *checks, end) = dict(fitted.net_.callbacks_)["Noting"].events_
    assert begin == ("begin", 135) and end[0] == "end"
    assert checks == [(95, 15)] * 6
    assert all(0 < value <= 1 for value in fitted.net_.history[:, "f1"])
    assert fitted.history_["train_loss"] == plain.history_["train_loss"]
    assert end[1] == (min(plain.history_["train_loss"]) == plain.history_["train_loss"][-1])


class Impatient(Callback):
    """Ends training within the second check."""

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [True, False])
def test_callbacks_of_skorch_may_stop_within_a_check(early_stopping):
    fitted = net(callbacks=[Impatient()], early_stopping=early_stopping).fit(X, Y)
    assert fitted.n_iter_ == 1 == len(fitted.net_.history)


def test_callbacks_of_skorch_may_stop():
    stop = EarlyStopping("train_loss", patience=2, threshold=1e9, sink=lambda text: None)
    fitted = net(callbacks=[stop]).fit(X, Y)
    assert fitted.n_iter_ == 3


def test_callbacks_go_on_from_a_checkpoint(tmp_path):
    often = {"checkpoint": str(tmp_path / "state"), "steps_per_checkpoint": 3}
    model = net(often, monitor=monitor, callbacks=[Noting()])
    Pressing.at = (5,)
    interrupted(model, "the best weights")
    model.fit(X, Y)
    events = dict(model.net_.callbacks_)["Noting"].events_
    assert len(events) == 1 + 9 + 1 and events[-1][0] == "end"


def test_callbacks_that_cannot_work_are_refused(tmp_path):
    class Local(Callback):
        pass

    with pytest.raises(ValueError, match="callbacks=.* cannot be pickled, and checkpoint="):
        net({"checkpoint": str(tmp_path)}, callbacks=[Local()]).fit(X, Y)
    for kind in ("torch", "dask"):
        with pytest.raises(ValueError, match=f"do not work with distributed='{kind}'"):
            net({"distributed": kind}, callbacks=[Noting()]).fit(X, Y)
    with pytest.raises(ValueError, match="scores held-out rows: set on_train=True"):
        net(early_stopping=False, callbacks=[EpochScoring("f1_micro")]).fit(X, Y)


class Reports:
    """A callback of scikit-learn that keeps what it gets at the end of each task."""

    def __init__(self, stop_at=None):
        self.stop_at, self.begun, self.ended = stop_at, [], []

    def setup(self, estimator, context):
        assert not self.begun

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.max_subtasks))

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        scores = None if fitted_estimator is None else fitted_estimator.predict_proba(X[:20])
        self.ended.append((context.task_name, scores))
        return context.task_id == self.stop_at

    def teardown(self, estimator, context):
        self.ended.append("teardown")


@pytest.fixture
def scikit_callbacks():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")


def test_callbacks_of_scikit_learn_follow_the_checks(scikit_callbacks):
    reports = Reports()
    fitted = net(max_epochs=2).set_callbacks(reports).fit(X, Y)
    assert reports.begun == [("fit", 6)] + [("epoch", 0)] * 6
    *checks, (name, scores), last = reports.ended
    assert (name, last) == ("fit", "teardown") and len(checks) == 6
    short = net(max_epochs=1).fit(X, Y)  # as if it had ended after the third check
    best = int(np.argmin(short.history_["valid_loss"]))
    np.testing.assert_array_equal(checks[best][1], short.predict_proba(X[:20]))
    np.testing.assert_array_equal(scores, fitted.predict_proba(X[:20]))
    assert pickle.loads(pickle.dumps(fitted)).n_iter_ == 6


def test_callbacks_of_scikit_learn_stop_and_go_on(scikit_callbacks, tmp_path):
    assert net().set_callbacks(Reports(stop_at=3)).fit(X, Y).n_iter_ == 4
    often = {"checkpoint": str(tmp_path / "state"), "steps_per_checkpoint": 3}
    model = net(often, monitor=monitor).set_callbacks(Reports())
    Pressing.at = (5,)
    interrupted(model, "the best weights")
    reports = Reports()
    model.set_callbacks(reports).fit(X, Y)
    assert [each[0] for each in reports.ended[:-1]] == ["epoch"] * 9 + ["fit"]
    with pytest.raises(ValueError, match="set_callbacks does not work with distributed='dask'"):
        net({"distributed": "dask"}).set_callbacks(Reports()).fit(X, Y)


def test_a_progress_bar_shows_the_checks(scikit_callbacks, capsys):
    pytest.importorskip("rich")
    net().set_callbacks(scikit_callbacks.ProgressBar()).fit(Rows())
    assert "MultiLabelNetClassifier - fit" in (out := capsys.readouterr().out) and "100%" in out
