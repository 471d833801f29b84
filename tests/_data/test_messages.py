"""Parts of messages, and warnings at the user's line."""

import warnings

import numpy as np
import pytest

from sklearn_mlloss._data.messages import (
    describe,
    describe_error,
    did_you_mean,
    held_back,
    once_each,
    warn_user,
    warned,
)


def test_messages_hold_no_data():
    assert describe(np.full((300, 2), 7)) == "ndarray of shape (300, 2)"
    assert describe("a" * 10_000) == "str of length 10000"
    assert describe([[0.5] * 100] * 100) == "list of 100 items"
    assert describe(10**5000) == "an integer of 16610 bits"
    assert describe(0.5) == "0.5"


def test_errors_are_described_by_class_and_message():
    assert describe_error(ValueError("alpha is 2")) == "ValueError: alpha is 2"


@pytest.mark.parametrize("name", ["Focl", "FOCAL", "fo cal"])
def test_near_misses(name):
    assert did_you_mean(name, ["bce", "focal"]) == "; did you mean 'focal'?"
    assert did_you_mean(3, ["bce"]) == did_you_mean("xyz", ["bce"]) == ""


def test_warnings_point_at_the_line_outside_the_package():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_user("alpha is ignored")
        warn_user(FutureWarning("beta changes"))
    assert [warning.filename for warning in caught] == [__file__, __file__]
    assert [warning.category for warning in caught] == [UserWarning, FutureWarning]


def test_messages_are_given_once_each():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with once_each(["known"]), once_each():
            for message in ("known", "new", "new"):
                warn_user(message)
            assert set(warned()) == {"known", "new"}
        warn_user("known")
        assert warned() == []
    assert [str(warning.message) for warning in caught] == ["new", "known"]


@pytest.mark.parametrize("context", [once_each(["lost"]), held_back(UserWarning)])
def test_what_an_interrupt_has_left_behind_counts_no_longer(context):
    def fit():
        context.__enter__()  # and no exit
        warn_user("lost")

    fit()
    assert warned() == []
    with pytest.warns(UserWarning, match="lost"):
        warn_user("lost")
    with pytest.warns(UserWarning, match="new") as caught, once_each():
        warn_user("new")
        warn_user("new")
    assert len(caught) == 1
    context.__exit__()
