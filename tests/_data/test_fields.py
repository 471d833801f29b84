"""Parameters as fields of dataclasses: their checks, and subclasses with other constructors."""

import pickle
from inspect import signature

import pytest
from sklearn.base import clone

from sklearn_mlloss._data.fields import check_fields
from sklearn_mlloss.calibration import SigmoidCalibrator
from sklearn_mlloss.decoders import TopK
from sklearn_mlloss.losses import AsymmetricLoss, FocalLoss, SeparableLoss
from sklearn_mlloss.networks import QuantileEncoding


class Sharp(FocalLoss):
    """Has a constructor that is not generated."""

    def __init__(self, power=3.0):
        super().__init__(gamma=power)
        self.power = power


class Forgets(SeparableLoss):
    """Does not call the constructor of the base."""

    def __init__(self, scale=2.0):
        self.scale = scale

    def positive(self, s):
        return (1 - s).square() * self.scale

    def negative(self, s):
        return s.square() * self.scale


def test_positional_parameters_come_first_and_shared_ones_by_keyword():
    loss = AsymmetricLoss(1, 2, 0, label_reduction="sum")
    assert (loss.gamma_pos, loss.gamma_neg, loss.clip, loss.label_reduction) == (1, 2, 0, "sum")
    assert list(signature(FocalLoss).parameters)[:2] == ["gamma", "alpha"]
    with pytest.raises(TypeError):
        FocalLoss(2.0, None, "balanced")


@pytest.mark.parametrize("made", [FocalLoss(3), TopK(2), SigmoidCalibrator(5), QuantileEncoding(4)])
def test_objects_compare_and_hash_by_identity(made):
    copies = clone(made), pickle.loads(pickle.dumps(made))
    assert all(copy != made and repr(copy) == repr(made) for copy in copies)
    assert len({made, *copies}) == 3
    assert made.set_params(**made.get_params()) is made


def test_subclasses_with_other_constructors():
    assert Sharp().get_params() == {"power": 3.0}
    assert clone(Sharp(1.5)).gamma == 1.5
    assert Forgets().get_params() == {"scale": 2.0}
    assert Forgets().label_reduction == "mean"
    check_fields(Forgets())


def test_fields_are_checked_in_the_order_of_parameters():
    with pytest.raises(ValueError, match=r"label_smoothing must be a number in \[0, 1\)"):
        check_fields(FocalLoss(-1, label_smoothing=2))
    with pytest.raises(ValueError, match="gamma must be a finite number >= 0, got -1"):
        check_fields(FocalLoss(-1, alpha=3))
    with pytest.raises(ValueError, match=r"alpha must be a number in \(0, 1\), got 3"):
        check_fields(FocalLoss(alpha=3))
    check_fields(FocalLoss(alpha=None))
    check_fields(object())
