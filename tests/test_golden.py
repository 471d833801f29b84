"""Predictions of small fitted models are those that were frozen, bit by bit."""

from pathlib import Path

import numpy as np
import pytest
from golden.cases import CASES, arithmetic, outputs

VALUES = dict(np.load(Path(__file__).parent / "golden" / "values.npz"))
# Elsewhere sums are rounded differently, and training carries that on.
SAME_ARITHMETIC = str(VALUES["arithmetic"]) == arithmetic()


@pytest.mark.parametrize("name", CASES)
def test_predictions_stay_the_same(name):
    values = outputs(name)
    assert {f"{name}: {kind}" for kind in values} == {
        key for key in VALUES if key.startswith(f"{name}: ")
    }
    for kind, value in values.items():
        frozen = VALUES[f"{name}: {kind}"]
        assert value.dtype == frozen.dtype and value.shape == frozen.shape
        if SAME_ARITHMETIC:
            np.testing.assert_array_equal(value, frozen)
        elif kind != "labels":
            np.testing.assert_allclose(value, frozen, atol=0.01)


def test_every_case_is_frozen():
    assert {key.partition(":")[0] for key in VALUES} == {*CASES, "arithmetic"}
