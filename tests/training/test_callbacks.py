"""Callbacks of the user: how they end training, and that nobody else's interrupt does."""

import _thread
import ctypes
import signal
import threading
import time
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
from skorch.callbacks import Callback

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.training.callbacks import is_request

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


def callback(action, hook="on_epoch_end"):
    """Return a callback that does something at the end of the second epoch, or before an end."""

    def method(self, net, *args, **kwargs):
        if hook in ("on_train_begin", "on_train_end") or len(net.history) == 2:
            action()

    return type("Acting", (Callback,), {hook: method})()


def give_up():
    raise KeyboardInterrupt


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def press_ctrl_c_while_sleeping():
    threading.Timer(0.05, _thread.interrupt_main).start()
    time.sleep(5)


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


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_an_interrupt_within_a_callback_is_raised(interrupt):
    fails_unchanged(make(callback(interrupt)))


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interrupt_within_any_method_of_a_callback_is_raised(hook, method):
    armed = []
    net = make(callback(lambda: armed and press_ctrl_c(), hook), decoder="threshold")
    if method == "partial_fit":
        net.partial_fit(X, Y)
    armed.append(True)
    fails_unchanged(net, method)


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
def test_what_is_no_callback_cannot_ask_for_an_end(part):
    def raises(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(callback(lambda: None), early_stopping=True, **{part: raises}).fit(X, Y)


def test_requests_are_told_from_interrupts():
    found = {}
    for action in (give_up, *INTERRUPTS):
        try:
            action()
        except KeyboardInterrupt as error:
            found[action.__name__] = is_request(error, None)
    assert [name for name, request in found.items() if request] == ["give_up"]
    assert len(found) == 1 + len(INTERRUPTS)
