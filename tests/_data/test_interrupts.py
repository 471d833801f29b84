"""Contexts that handle interrupts of a fit, each at a known place."""

import pickle
import signal
import threading

import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from sklearn_mlloss._data.fitting import unchanged_on_error
from sklearn_mlloss._data.interrupts import (
    Interrupt,
    call_until_interrupted,
    describe_folds,
    uninterrupted,
)


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def handler():
    return signal.getsignal(signal.SIGINT)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


# ------------------------------------------------------------------ one fit


def test_without_an_interrupt_nothing_happens():
    with Interrupt(BaseEstimator()) as interrupt:
        assert handler() is interrupt
        interrupt.holds = True
    assert not interrupt.came and not interrupt.aborted


def test_before_there_is_something_to_keep_it_is_raised_at_once():
    estimator = BaseEstimator()
    with pytest.raises(KeyboardInterrupt) as caught:
        with Interrupt(estimator), unchanged_on_error(estimator):
            estimator.new_ = 1
            press_ctrl_c()
            pytest.fail("went on")
    assert not vars(estimator) and not hasattr(caught.value, "kept")


def test_later_the_fit_is_completed_and_then_it_is_raised():
    estimator = BaseEstimator()
    with pytest.raises(KeyboardInterrupt) as caught:
        with pytest.warns(ConvergenceWarning, match="fit of BaseEstimator .* usable with a half: "):
            with Interrupt(estimator) as interrupt, unchanged_on_error(estimator):
                interrupt.holds = True
                press_ctrl_c()
                assert interrupt.came and not interrupt.aborted
                interrupt.what = "a half"
                estimator.new_ = 1
    assert caught.value.kept is estimator and estimator.new_ == 1


def test_a_second_one_aborts():
    estimator = BaseEstimator()
    with pytest.raises(KeyboardInterrupt) as caught:
        with Interrupt(estimator) as interrupt, unchanged_on_error(estimator):
            interrupt.holds = True
            estimator.new_ = 1
            press_ctrl_c()
            press_ctrl_c()
            pytest.fail("went on")
    assert interrupt.aborted and not vars(estimator) and not hasattr(caught.value, "kept")


@pytest.mark.parametrize("holds", [True, False])
def test_one_that_is_lost_is_raised_at_the_end(holds):
    """Python ignores what is raised in a `__del__`; code of others may catch everything."""
    with pytest.warns(ConvergenceWarning, match="all that was to be trained"):
        with pytest.raises(KeyboardInterrupt), Interrupt(BaseEstimator()) as interrupt:
            interrupt.holds = holds
            try:
                press_ctrl_c()
            except BaseException:
                assert not holds
            assert interrupt.came


def test_an_error_after_it_does_not_hide_it():
    # A search would take the error for a candidate that fails, and go on.
    estimator = BaseEstimator()
    with pytest.raises(KeyboardInterrupt) as caught:
        with Interrupt(estimator) as interrupt, unchanged_on_error(estimator):
            interrupt.holds = True
            press_ctrl_c()
            raise ValueError("no decision")
    assert "no decision" in str(caught.value.__cause__) and not hasattr(caught.value, "kept")
    with pytest.raises(ValueError, match="no decision"), Interrupt(estimator):
        raise ValueError("no decision")


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_does_not_hide_it():
    with pytest.raises(KeyboardInterrupt) as caught, Interrupt(BaseEstimator()) as interrupt:
        interrupt.holds = True
        press_ctrl_c()
    assert isinstance(caught.value.__context__, ConvergenceWarning)


def test_what_restores_something_is_not_interrupted():
    class Restoring:
        @uninterrupted
        def restore(self):
            signal.raise_signal(signal.SIGINT)  # within this function, not one that it calls
            self.restored = True

    part = Restoring()
    with pytest.warns(ConvergenceWarning), pytest.raises(KeyboardInterrupt):
        with Interrupt(BaseEstimator()):
            part.restore()
    assert part.restored
    with pytest.raises(KeyboardInterrupt):
        Restoring().restore()


@pytest.mark.parametrize("theirs", [lambda *args: None, signal.SIG_IGN, signal.SIG_DFL])
def test_a_handler_of_the_user_stays(theirs):
    before = signal.signal(signal.SIGINT, theirs)
    try:
        with Interrupt(BaseEstimator()) as interrupt:
            interrupt.holds = True
            assert handler() is theirs
        assert handler() is theirs
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_the_user_sets_meanwhile_stays():
    def theirs(number, frame):
        pass

    with Interrupt(BaseEstimator()):
        signal.signal(signal.SIGINT, theirs)
    assert handler() is theirs
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_handle_no_signals():
    seen = []

    def run():
        with Interrupt(BaseEstimator()):
            seen.append(handler())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert seen == [signal.default_int_handler]


def test_another_process_has_its_own():
    with Interrupt(BaseEstimator()) as interrupt:
        copy = pickle.loads(pickle.dumps(interrupt))
    assert not copy.came and copy.estimator is None


# ------------------------------------------------------------------ a fit within another


def fit(estimator, holds=True, presses=1, what="a part"):
    with Interrupt(estimator) as interrupt, unchanged_on_error(estimator):
        interrupt.holds, interrupt.what = holds, what
        estimator.fitted_ = True
        for _ in range(presses):
            press_ctrl_c()


def test_a_fit_keeps_the_part_that_was_interrupted():
    inner, outer = BaseEstimator(), BaseEstimator()
    with pytest.warns(ConvergenceWarning, match="usable with a part of it") as warned:
        with pytest.raises(KeyboardInterrupt) as caught:
            with Interrupt(outer) as interrupt:
                try:
                    fit(inner)
                except KeyboardInterrupt as error:
                    assert interrupt.came and error.kept is inner
                    interrupt.take(error, True, f"{error.what} of it")
                assert interrupt.holds
    assert caught.value.kept is outer and inner.fitted_ and len(warned) == 1


@pytest.mark.parametrize("case", ["aborted", "dropped", "not taken", "of no use"])
def test_otherwise_there_is_nothing_to_keep(case):
    inner, outer = BaseEstimator(), BaseEstimator()
    with pytest.raises(KeyboardInterrupt) as caught, Interrupt(outer) as interrupt:
        interrupt.drops = case == "dropped"
        try:
            fit(inner, presses=1 + (case == "aborted"))
        except KeyboardInterrupt as error:
            assert hasattr(error, "kept") is (case in ("not taken", "of no use"))
            if case in ("not taken", "dropped"):
                raise
            interrupt.take(error, case == "aborted", "")
        pytest.fail("went on")
    assert not hasattr(caught.value, "kept")
    assert hasattr(inner, "fitted_") is (case in ("not taken", "of no use"))


def test_a_second_one_after_the_part_aborts_too():
    with pytest.raises(KeyboardInterrupt) as caught, Interrupt(BaseEstimator()) as interrupt:
        try:
            fit(BaseEstimator())
        except KeyboardInterrupt as error:
            interrupt.take(error, True, "")
        press_ctrl_c()
        pytest.fail("went on")
    assert interrupt.aborted and not hasattr(caught.value, "kept")


# ------------------------------------------------------------------ several calls


def keep(parts):
    return describe_folds(len(parts), 5)


def call(number, at, press):
    if number == at:
        press()
    return 10 * number


@pytest.mark.parametrize("at, expected", [(5, 5), (4, 4), (2, 2)])
def test_finished_calls_are_kept(at, expected):
    with Interrupt(BaseEstimator()) as interrupt:
        interrupt._raise_kept = lambda: None
        calls = [(number, at, press_ctrl_c) for number in range(5)]
        found = call_until_interrupted(interrupt, call, calls, None, keep=keep)
        assert interrupt.holds and interrupt.came is (at < 5)
    assert found == {number: 10 * number for number in range(expected)}
    assert at == 5 or interrupt.what == f"{expected} of 5 folds"


def test_too_few_are_not():
    with pytest.raises(KeyboardInterrupt), Interrupt(BaseEstimator()) as interrupt:
        calls = [(number, 1, press_ctrl_c) for number in range(5)]
        call_until_interrupted(interrupt, call, calls, None, keep=keep)


def test_calls_end_if_an_interrupt_is_lost():
    def press_and_lose_it():
        try:
            press_ctrl_c()
        except KeyboardInterrupt:
            pass

    with Interrupt(BaseEstimator()) as interrupt:
        interrupt._raise_kept = lambda: None
        calls = [(number, 2, press_and_lose_it) for number in range(5)]
        found = call_until_interrupted(interrupt, call, calls, None, keep=keep)
    assert list(found) == [0, 1, 2]


def test_the_interrupted_one_counts_if_it_is_usable():
    models = [BaseEstimator() for _ in range(3)]
    calls = [(model, True, int(number == 1)) for number, model in enumerate(models)]
    seen = []

    def fit_it(*args):
        fit(*args)
        return args[0]

    def keep(parts):
        return str(seen.append(parts))

    with Interrupt(BaseEstimator()) as interrupt:
        interrupt._raise_kept = lambda: None
        found = call_until_interrupted(
            interrupt,
            fit_it,
            calls,
            None,
            keep=lambda parts: str(seen.append(parts)),
            models=models,
        )
    assert list(found.values()) == models[:2] and seen == [{0: "", 1: "a part"}]
