"""Callbacks of the user: how they end training, what they score, and which are refused."""

import _thread
import copy
import ctypes
import pickle
import signal
import threading
import time
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    roc_auc_score,
)
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
)
from skorch.utils import noop

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.callbacks import OutputsByEpoch, is_request
from sklearn_mlloss._training.folds import medians_of_others
from sklearn_mlloss._training.net import TableNet

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(60, 3)) > 0).astype(int)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

HOOKS = ["on_train_begin", "on_epoch_begin", "on_batch_begin", "on_grad_computed", "on_batch_end",
         "on_epoch_end", "on_train_end"]  # fmt: skip


def make(*callbacks, **params):
    defaults = dict(hidden_layer_sizes=(4,), max_epochs=5, batch_size=30, random_state=0,
                    learning_rate=0.02, device="cpu", early_stopping=False)  # fmt: skip
    return MultiLabelNetClassifier(callbacks=list(callbacks), **{**defaults, **params})


@pytest.fixture(autouse=True)
def interrupts_arrive():
    """Handle SIGINT as Python does: processes in the background begin with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def callback(action, hook="on_epoch_end", epoch=2):
    """Return a callback that does something at the end of an epoch, or before that."""

    def method(self, net, *args, **kwargs):
        if hook in ("on_train_begin", "on_train_end") or len(net.history) == epoch:
            action()

    return type("Acting", (Callback,), {hook: method})()


def give_up():
    raise KeyboardInterrupt


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def press_ctrl_c_while_sleeping():
    timer = threading.Timer(0.05, _thread.interrupt_main)
    timer.start()
    while timer.is_alive():
        time.sleep(0.01)
    time.sleep(0.01)


def press_stop_in_this_thread():
    thread = ctypes.c_ulong(threading.get_ident())
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(KeyboardInterrupt))
    for _ in range(10**6):
        pass


def clean_up_and_raise_another():
    try:
        press_ctrl_c()
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


def clean_up_and_raise_it_again():
    try:
        press_ctrl_c()
    except KeyboardInterrupt:
        time.sleep(0)
        raise


INTERRUPTS = [press_ctrl_c, press_ctrl_c_while_sleeping, press_stop_in_this_thread,
              clean_up_and_raise_another, clean_up_and_raise_it_again]  # fmt: skip


def fails_unchanged(net, method="fit"):
    before = dict(vars(net))
    with pytest.raises(KeyboardInterrupt):
        getattr(net, method)(X, Y)
    assert vars(net) == before


def is_kept(net, n_iter):
    """Check that a fit is interrupted, and keeps a model after so many epochs."""
    with pytest.raises(KeyboardInterrupt) as caught:
        with pytest.warns(ConvergenceWarning, match=f"after {n_iter} of at most 5 epochs"):
            net.fit(X, Y)
    assert caught.value.kept is net and net.n_iter_ == len(net.net_.history) == n_iter
    # The first epochs are those of a whole fit.
    whole = make(callback(lambda: None)).fit(X, Y)
    expected = whole.history_["train_loss"][:n_iter]
    np.testing.assert_allclose(net.history_["train_loss"], expected, rtol=1e-5)
    assert net.predict(X).shape == Y.shape


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_an_interrupt_within_a_callback_is_raised(interrupt):
    fails_unchanged(make(callback(interrupt, "on_batch_end", epoch=1)))
    if interrupt is press_stop_in_this_thread:  # not by a signal
        fails_unchanged(make(callback(interrupt)))
    else:
        is_kept(make(callback(interrupt)), n_iter=2)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interrupt_within_any_method_of_a_callback_is_raised(hook, method):
    armed = []
    net = make(callback(lambda: armed and press_ctrl_c(), hook), decoder="threshold")
    if method == "partial_fit":
        net.partial_fit(X, Y)
    armed.append(True)
    if method == "partial_fit" or hook == "on_train_begin":
        fails_unchanged(net, method)
    else:
        is_kept(net, n_iter={"on_epoch_end": 2, "on_train_end": 5}.get(hook, 1))


@pytest.mark.parametrize("kind", ["function", "method", "object", "partial"])
def test_an_interrupt_by_a_signal_handler_of_the_user_is_raised(kind):
    class Handler:
        def method(self, number, frame):
            raise KeyboardInterrupt

        __call__ = method

    def function(number, frame):
        raise KeyboardInterrupt

    handlers = {"function": function, "method": Handler().method, "object": Handler(),
                "partial": partial(function)}  # fmt: skip
    before = signal.signal(signal.SIGINT, handlers[kind])
    try:
        fails_unchanged(make(callback(press_ctrl_c)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_in_another_thread_is_raised_there():
    caught = []

    def run():
        try:
            make(callback(press_stop_in_this_thread)).fit(X, Y)
        except KeyboardInterrupt as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert len(caught) == 1


REQUESTS = {
    "raise": give_up,
    "mock": Mock(side_effect=KeyboardInterrupt),
    "instance": Mock(side_effect=KeyboardInterrupt("enough")),
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_of_a_callback_ends_training(request_):
    net = make(callback(REQUESTS[request_])).fit(X, Y)
    assert net.n_iter_ == 2


def test_a_request_at_the_end_lets_the_others_end_too():
    rule = dict(early_stopping=True, max_epochs=30, n_iter_no_change=3, learning_rate=1)
    seen = []
    quiet = make(callback(lambda: None), **rule).fit(X, Y)
    last = callback(lambda: seen.append(1), "on_train_end")
    net = make(callback(give_up, "on_train_end"), last, **rule).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), quiet.predict_proba(X))
    assert seen == [1]


def test_a_request_is_one_while_an_interrupt_is_handled():
    try:
        press_ctrl_c()
    except KeyboardInterrupt:
        # Such as to train less after the first attempt took too long.
        assert make(callback(give_up)).fit(X, Y).n_iter_ == 2


def test_a_request_from_a_thread_is_one():
    found = []
    thread = threading.Thread(target=lambda: found.append(make(callback(give_up)).fit(X, Y)))
    thread.start()
    thread.join(60)
    assert found[0].n_iter_ == 2


@pytest.mark.parametrize("part", ["monitor", "loss", "lr_schedule"])
def test_other_functions_cannot_request_an_end(part):
    def raises(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(callback(lambda: None), early_stopping=True, **{part: raises}).fit(X, Y)


def test_requests_differ_from_interrupts():
    found = {}
    for action in (give_up, *INTERRUPTS):
        try:
            action()
        except KeyboardInterrupt as error:
            found[action.__name__] = is_request(error, None)
    assert [name for name, request in found.items() if request] == ["give_up"]
    assert len(found) == 1 + len(INTERRUPTS)


# ------------------------------------------------------------------ scores


class ByHand(Callback):
    """Computes a score of the rows, as they are at the end of an epoch, without skorch."""

    def __init__(self, metric, on_train):
        self.metric, self.on_train = metric, on_train

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        dataset = dataset_train if self.on_train else dataset_valid
        rows = torch.stack([dataset[k][0] for k in range(len(dataset))])
        module = copy.deepcopy(net.module_).eval()
        with torch.no_grad():
            scores = module(rows).sigmoid().numpy()
        net.history.record("by hand", self.metric(dataset.y, scores))


def decided(metric, **params):
    return lambda Y, scores: metric(Y, scores >= 0.5, **params)


def own_score(net, X, y):
    assert X.shape[1] == 4 and len(X) == len(y) == len(net.predict(X))
    return f1_score(y, net.predict_proba(X) >= 0.5, average="micro")


SCORES = {
    "f1_micro": decided(f1_score, average="micro"),
    "f1_macro": decided(f1_score, average="macro"),
    "accuracy": decided(accuracy_score),
    "average_precision": average_precision_score,
    "roc_auc": roc_auc_score,
    hamming_loss: decided(hamming_loss),
    own_score: decided(f1_score, average="micro"),
    None: decided(accuracy_score),
}
names = [getattr(scoring, "__name__", scoring) for scoring in SCORES]


@pytest.mark.parametrize("scoring", SCORES, ids=names)
@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize("use_caching", [True, False])
def test_scores_are_those_computed_by_hand(scoring, on_train, use_caching):
    params = dict(
        early_stopping=True, validation_fraction=0.5, dropout=0.5, mixup=0.2, linear_part=False
    )
    callbacks = [
        EpochScoring(scoring, on_train=on_train, use_caching=use_caching, name="skorch"),
        ByHand(SCORES[scoring], on_train),
    ]
    net = make(*callbacks, max_epochs=3, **params).fit(X, Y)
    found = net.net_.history[:, ("skorch", "by hand")]
    assert len(found) == 3
    np.testing.assert_allclose(*zip(*found, strict=True), rtol=1e-6)
    # Scoring changes nothing: neither what is drawn nor the way through an epoch.
    plain = make(max_epochs=3, **params).set_params(callbacks=None).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("lower_is_better", [True, False, None])
def test_the_best_scores_are_recorded(lower_is_better):
    score = EpochScoring("f1_micro", lower_is_better=lower_is_better, on_train=True)
    history = make(score, max_epochs=8, learning_rate=0.1).fit(X, Y).net_.history
    values = np.array(history[:, "f1_micro"])
    if lower_is_better is None:
        assert "f1_micro_best" not in history[0]
        return
    best = (np.minimum if lower_is_better else np.maximum).accumulate(values)
    expected = np.append(True, best[1:] != best[:-1])
    np.testing.assert_array_equal(history[:, "f1_micro_best"], expected)


@pytest.mark.parametrize("load_best", [True, False])
def test_early_stopping_by_a_score(load_best):
    score = EpochScoring("f1_micro", lower_is_better=False)
    stop = EarlyStopping("f1_micro", patience=3, lower_is_better=False, load_best=load_best,
                         sink=noop)  # fmt: skip
    rule = dict(early_stopping=True, max_epochs=40, learning_rate=0.05, n_iter_no_change=40,
                validation_fraction=0.4, linear_part=False)  # fmt: skip
    net = make(score, stop, **rule).fit(X, Y)
    values = net.net_.history[:, "f1_micro"]
    assert net.n_iter_ < 40 and len(values) == net.n_iter_
    best = max(values[:-3])
    assert max(values[-3:]) <= best * (1 + 1e-4)
    if load_best:
        kept = values.index(best) + 1
        again = make(**{**rule, "max_epochs": kept}).set_params(callbacks=None)
        again.set_params(early_stopping=True, monitor=LastIsBest()).fit(X, Y)
        np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


class LastIsBest:
    """A monitor that rises with each epoch."""

    def __init__(self):
        self.calls = 0

    def __call__(self, Y, scores):
        self.calls += 1
        return self.calls


def test_a_checkpoint_by_a_score(tmp_path):
    score = EpochScoring("f1_micro", lower_is_better=False)
    checkpoint = Checkpoint("f1_micro_best", dirname=tmp_path, load_best=True, f_pickle="net.pkl")
    rule = dict(early_stopping=True, max_epochs=8, learning_rate=0.05, linear_part=False)
    net = make(score, checkpoint, **rule).fit(X, Y)
    history = net.net_.history
    assert history[-1, "f1_micro_best"] and net.summary()
    saved = pickle.loads((tmp_path / "net.pkl").read_bytes())
    np.testing.assert_allclose(saved.predict_proba(X), net.net_.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("on_train", [True, False])
def test_scores_of_batches(use_caching, on_train):
    seen = []

    class Follow(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            if training == on_train:
                rows, targets = batch
                module = copy.deepcopy(net.module_).eval()
                with torch.no_grad():
                    seen.append(accuracy_score(targets, module(rows) >= 0))

    batches = BatchScoring("accuracy", name="score", on_train=on_train, use_caching=use_caching)
    params = dict(max_epochs=1, early_stopping=True, dropout=0.5, mixup=0.2, batch_size=27)
    net = make(batches, Follow(), **params).fit(X, Y)
    history = net.net_.history
    found = [row["score"] for row in history[0, "batches"] if "score" in row]
    np.testing.assert_allclose(found, seen)
    prefix = "train" if on_train else "valid"
    sizes = [row[f"{prefix}_batch_size"] for row in history[0, "batches"] if "score" in row]
    assert history[0, "score"] == pytest.approx(np.average(seen, weights=sizes))
    twin = make(Follow(), **params).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), twin.predict_proba(X))


@pytest.mark.parametrize("kind", ["sparse", "classes", "missing", "one label", "weights", "folds"])
def test_scores_of_other_tables(kind):
    rows, targets, params, weight = X, Y, {}, None
    metric = decided(accuracy_score)
    if kind == "sparse":
        rows = sp.csr_array(np.where(np.abs(X) > 1.6, X, 0))
    elif kind == "classes":
        targets = Y[:, 0] + Y[:, 1]
        metric = lambda Y, scores: accuracy_score(Y.argmax(1), scores.argmax(1))  # noqa: E731
    elif kind == "missing":
        targets = np.where(rng.random(Y.shape) < 0.2, np.nan, Y)
        metric = lambda Y, scores: np.nanmean((scores >= 0.5) == (Y == 1))  # noqa: E731
    elif kind == "one label":
        targets = Y[:, :1]
    elif kind == "weights":
        weight = rng.random(len(X))
    else:
        params = dict(cv=2)
    scoring = "accuracy"
    if kind == "missing":
        scoring = lambda net, X, y: np.nanmean(net.predict(X) == (y == 1))  # noqa: E731
    callbacks = [EpochScoring(scoring, name="skorch"), ByHand(metric, False)]
    net = make(*callbacks, early_stopping=True, **params).fit(rows, targets, weight)
    for one in net.nets_:
        np.testing.assert_allclose(*zip(*one.history[:, ("skorch", "by hand")], strict=True))


# ------------------------------------------------------------------ the other callbacks of skorch


def halve(epoch):
    return 0.5**epoch


WORKING = {
    "LRScheduler": LRScheduler(min_lr=1e-3, max_lr=0.1),
    "step": LRScheduler("StepLR", step_size=1),
    "lambda": LRScheduler("LambdaLR", lr_lambda=halve),
    "plateau": LRScheduler("ReduceLROnPlateau", monitor="train_loss"),
    "each batch": LRScheduler("CyclicLR", base_lr=1e-3, max_lr=0.1, step_every="batch",
                              cycle_momentum=False),
    "GradientNormClipping": GradientNormClipping(1e-3),
    "ParamMapper": ParamMapper("layers.0.*", torch.nn.init.zeros_),
    "Freezer": Freezer("layers.0.*"),
    "Initializer": Initializer("layers.*.weight", fn=torch.nn.init.ones_),
    "EpochTimer": EpochTimer(),
    "PrintLog": PrintLog(sink=noop),
    "ProgressBar": ProgressBar(),
    "PassthroughScoring": PassthroughScoring("train_loss", on_train=True),
    "EpochScoring": EpochScoring("accuracy", on_train=True),
    "BatchScoring": BatchScoring("accuracy", on_train=True, name="score"),
    "EarlyStopping": EarlyStopping("train_loss", sink=noop),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKING)
@pytest.mark.parametrize("params", [dict(), dict(warm_start=True), dict(cv=2, ensemble=False)])
def test_callbacks_of_skorch_work(name, params):
    net = make(WORKING[name], decoder="threshold", max_epochs=2, **params)
    net.fit(X, Y)
    for _ in range(2):
        (net.fit if "warm_start" in params else net.partial_fit)(X, Y)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


def test_a_frozen_layer_stays_as_it_is():
    params = dict(encoding=None, max_epochs=1)
    start = make(learning_rate=1e-30, weight_decay=0, **params).fit(X, Y).net_.module_
    net = make(Freezer("layers.0.*"), weight_decay=0, **params).fit(X, Y).net_.module_
    torch.testing.assert_close(net.layers[0].weight, start.layers[0].weight)
    assert not torch.allclose(net.layers[-1].weight, start.layers[-1].weight)


def test_clipped_gradients_are_small():
    seen = []

    class Norm(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            seen.append(sum(float(p.grad.square().sum()) for _, p in named_parameters) ** 0.5)

    make(GradientNormClipping(1e-3), Norm()).fit(X, Y)
    np.testing.assert_allclose(seen, 1e-3, rtol=1e-2)


def test_a_scheduler_changes_the_learning_rate():
    for callback_ in (LRScheduler("LambdaLR", lr_lambda=halve),
                      LRScheduler("LambdaLR", lr_lambda=halve, step_every="batch")):  # fmt: skip
        net = make(callback_, max_epochs=3, learning_rate=0.8, batch_size=60).fit(X, Y)
        assert net.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.1)


def test_checkpoints_at_the_end_begin_another_training(tmp_path):
    save = TrainEndCheckpoint(dirname=tmp_path)
    first = make(save, max_epochs=2).fit(X, Y)
    second = make(save, LoadInitState(save), max_epochs=1).fit(X, Y)
    assert second.n_iter_ == 3 and second.history_["train_loss"][:2] == first.history_["train_loss"]


REFUSED = {
    "InputShapeSetter": ([InputShapeSetter()], "InputShapeSetter is not needed"),
    "EpochScoring": ([EpochScoring("f1_micro")], "'f1_micro'. scores held-out rows: set on_train"),
    "BatchScoring": ([BatchScoring("accuracy")], "'accuracy'. scores held-out rows"),
    "train_loss": ([PassthroughScoring("train_loss")], "'train_loss'.*set on_train=True"),
    "EarlyStopping": ([EarlyStopping()], "monitor='valid_loss'. needs held-out rows.*early_stop"),
    "its class": ([("stop", EarlyStopping)], "monitor='valid_loss'. needs held-out rows"),
    "Checkpoint": ([Checkpoint()], "monitor='valid_loss_best'. needs held-out rows"),
    "plateau": ([LRScheduler("ReduceLROnPlateau", monitor="valid_loss")], "LRScheduler.monitor="),
}
ON_TRAIN = ("train_loss", "InputShapeSetter")


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("params", [dict(), dict(cv=2, early_stopping=True, ensemble=False)])
def test_callbacks_that_cannot_work_are_refused_before_training(name, params, monkeypatch):
    callbacks, words = REFUSED[name]
    if params and name in ("EpochScoring", "BatchScoring"):
        # The networks of the folds are scored, and the last one is not.
        make(*callbacks, max_epochs=1, **params).fit(X, Y)
        return
    if name not in ON_TRAIN:
        monkeypatch.setattr(TableNet, "train", lambda *args: pytest.fail("trained"))
    with pytest.raises(ValueError, match=f"callbacks: .*{words}"):
        make(*callbacks, **params).fit(X, Y)


def test_a_stream_has_no_held_out_rows_to_wait_for():
    net = make(EpochScoring("f1_micro"), early_stopping=True, max_epochs=1).fit(X, Y)
    net.partial_fit(X, Y)
    assert "f1_micro" in net.net_.history[0] and "f1_micro" not in net.net_.history[1]
    net.set_params(callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="leave it out for partial_fit"):
        make(EarlyStopping(), early_stopping=True, decoder="threshold").partial_fit(X, Y)


# ------------------------------------------------------------------ outputs by epoch


def recorded(n_epochs):
    kept = OutputsByEpoch()
    for epoch in range(1, n_epochs + 1):
        kept.record([torch.full((2, 3), float(epoch)), torch.full((1, 3), float(epoch))])
    return kept


def test_all_epochs_are_kept_if_they_are_small():
    kept = recorded(50)
    assert kept.n_epochs == 50
    for epoch in (1, 7, 50):
        assert kept.at(epoch).shape == (3, 3)
        assert (kept.at(epoch) == epoch).all()


def test_an_epoch_beyond_the_last_is_the_last():
    assert (recorded(5).at(9) == 5).all()


def test_kept_outputs_are_bounded(monkeypatch):
    monkeypatch.setattr(OutputsByEpoch, "most_bytes", 20 * 36)
    kept = recorded(500)
    assert len(kept._outputs) <= 20
    for epoch in (1, 100, 499):
        found = kept.at(epoch).unique().item()
        assert abs(found - epoch) <= 32


def test_a_few_epochs_are_kept_for_any_size(monkeypatch):
    monkeypatch.setattr(OutputsByEpoch, "most_bytes", 1)
    assert len(recorded(100)._outputs) >= OutputsByEpoch.fewest // 2


@pytest.mark.parametrize(
    ("best", "expected"),
    [([4], [4]), ([4, 9], [9, 4]), ([1, 5, 20], [12.5, 10.5, 3]), ([3, 4, 5, 6], [5, 5, 4, 4])],
)
def test_each_fold_has_the_median_of_the_others(best, expected):
    assert medians_of_others(best) == expected
