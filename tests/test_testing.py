"""The contract suites name what is wrong; the tests of losses and decoders run them on ours."""

import re

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from sklearn_mlloss.decoders import (
    Decoder,
    TopK,
)
from sklearn_mlloss.losses import (
    BinaryCrossEntropy,
    FocalLoss,
    FunctionLoss,
    SeparableLoss,
)
from sklearn_mlloss.testing import check_decoder, check_loss
from sklearn_mlloss.testing.decoders import DECODER_CHECKS
from sklearn_mlloss.testing.losses import LOSS_CHECKS


def quadratic(outputs, targets):
    return (outputs - targets).square()


# --- losses and decoders that are right


def test_anything_that_names_a_loss_or_decoder():
    check_loss(FocalLoss)
    check_loss(quadratic)
    check_decoder(TopK)
    with pytest.raises(ValueError, match="loss must be one of"):
        check_loss("bcee")
    with pytest.raises(ValueError, match="unknown decoder"):
        check_decoder("top-k")


def test_local_functions_may_be_checked():
    def local(outputs, targets):
        return (outputs - targets).square()

    check_loss(FunctionLoss(local, link="identity"))
    check_loss(lambda outputs, targets: (outputs - targets).abs())


def test_leaves_the_caller_alone():
    loss = FocalLoss(3).fit(np.eye(3))
    before, numbers = dict(vars(loss)), (torch.get_rng_state(), np.random.get_state()[1].copy())  # noqa: NPY002
    with torch.no_grad():
        check_loss(loss)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        check_loss(loss)
    assert torch.is_grad_enabled() and vars(loss) == before and loss.n_labels_ == 3
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert (np.random.get_state()[1] == numbers[1]).all()
    with pytest.raises(AssertionError):
        check_loss(GradOff())
    assert torch.is_grad_enabled()


# --- losses that are wrong


class Logistic(SeparableLoss):
    """Right; each loss below spoils one thing."""

    def positive(self, s):
        return softplus(-s)

    def negative(self, s):
        return softplus(s)


class Converts(Logistic):
    def __init__(self, gamma=1):
        super().__init__()
        self.gamma = np.asarray(gamma)


class FitStoresParameter(Logistic):
    def _update(self):
        self.class_weight = self.class_weight or "balanced"
        super()._update()


class FewOutputs(Logistic):
    def _count_outputs(self):
        return self.n_labels_ - 1


class Scalar(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets, mask).mean()


class SumOverBatch(Logistic):
    """Of the right shape, and yet the sum of the batch."""

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        value = super().objective(outputs, targets, mask)
        return value.sum(-1, keepdim=True).expand_as(value)


class CentresTheBatch(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs - outputs.mean(-2, keepdim=True), targets, mask)


class DoublePrecision(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs.double(), targets, mask)


class WritesTargets(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        targets.clamp_(0.1, 0.9)
        return super().objective(outputs, targets, mask)


class GradOn(Logistic):
    def link(self, outputs):
        torch.set_grad_enabled(True)
        return super().link(outputs)


class GradOff(Logistic):
    def link(self, outputs):
        scores = super().link(outputs)
        torch.set_grad_enabled(False)
        return scores


class DetachedFocus(Logistic):
    def positive(self, s):
        return (1 - s.sigmoid()).square().detach() * softplus(-s)


class Detached(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs.detach(), targets, mask)


class WrongBackward(Logistic):
    def positive(self, s):
        return softplus(-s).pow(2).detach() + s - s.detach()


class LogOfProbability(Logistic):
    def positive(self, s):
        return -s.sigmoid().log()


class PowerAtSaturation(Logistic):
    """Finite value, NaN gradient."""

    def positive(self, s):
        return (1 - s.sigmoid()) ** 0.5 * softplus(-s)


class DividesByLabels(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets, mask) / targets.sum(-1)


class RawCounts(Logistic):
    def initial_bias(self):
        p = self.positive_count_ / self.label_count_
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(p / (1 - p))


class FirstAxis(Logistic):
    """Takes axis 0 for the rows."""

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        value = super().objective(outputs, targets, mask)
        return value if value.ndim == 1 else value * torch.arange(len(value)).unsqueeze(-1)


class ByRowIndex(Logistic):
    row_wise = False
    accepts_label_weights = False

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        value = super().objective(outputs, targets, mask)
        return (value * torch.arange(1, 1 + value.shape[-1])).mean(-1).to(value.dtype)


class FirstLabelMatters(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets, mask) + outputs[..., 0].square()


class IgnoresMask(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets)


class HiddenTargetsCount(Logistic):
    def entry_weight(self, targets, mask):
        return 1 + targets.sum(-1, keepdim=True)


class NoDeletion(Logistic):
    """The mask hides the targets, not the labels."""

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets if mask is None else targets * mask)


class BinaryMask(Logistic):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets, None if mask is None else (mask > 0).double())


class LogOfTargets(Logistic):
    def mixture(self, s, y):
        return super().mixture(s, y) + (y * (1 - y)).sqrt() * torch.log(-(y * (1 - y)).ceil() + 1)


class BatchWithoutWeights(Logistic):
    row_wise = False
    accepts_label_weights = False

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets, mask).mean(-1)


class WeightsTwice(Logistic):
    """Applies what Criterion applies already."""

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        value = super().objective(outputs, targets, mask)
        return value if sample_weight is None else value * sample_weight


class UnweightedStatistics(Logistic):
    def _see(self, Y, sample_weight):
        self.seen_ = getattr(self, "seen_", 0) + len(Y)

    def initial_bias(self):
        return np.full(self.n_labels_, float(self.seen_))


class LastChunk(Logistic):
    def _see(self, Y, sample_weight):
        weight = np.ones(len(Y)) if sample_weight is None else sample_weight
        self.seen_ = np.nansum(weight[:, None] * Y)

    def initial_bias(self):
        return np.full(self.n_labels_, self.seen_)


class RoundedLink(Logistic):
    def link(self, outputs):
        return outputs.double().sigmoid()


class SingleLink(Logistic):
    def link(self, outputs):
        return super().link(outputs).float()


class LinkByAutograd(Logistic):
    """Under inference mode there is no gradient to take."""

    def link(self, outputs):
        s = outputs.double().requires_grad_()
        torch.autograd.grad(self.positive(s).sum(), s)
        return super().link(outputs)


class FlatLink(Logistic):
    def link(self, outputs):
        return outputs.double().clamp(-20, 20).sigmoid()


class FallingLink(Logistic):
    def link(self, outputs):
        return super().link(-outputs)


class DecisionOfAll(Logistic):
    def decision(self, outputs):
        return outputs.sum(-1)


class CountColumn(Logistic):
    def count(self, outputs):
        return outputs.sum(-1, keepdim=True)


class OneBias(Logistic):
    def initial_bias(self):
        return np.zeros(1)


class HoldsLambda(Logistic):
    def _update(self):
        super()._update()
        self.square_ = lambda s: s**2


class LosesState(Logistic):
    def __getstate__(self):
        return super().__getstate__() | {"positive_count_": self.label_count_ / 2}


class LateInfinity(Logistic):
    def set_epoch(self, epoch):
        self.late_ = epoch > 10

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        value = super().objective(outputs, targets, mask)
        return value / 0 if getattr(self, "late_", False) else value


class ClosedForm(Logistic):
    """Right: the derivative of what `Logistic` is."""

    def slope(self, s, y):
        return s.sigmoid() - y


class WrongClosedForm(Logistic):
    def slope(self, s, y):
        return s.sigmoid() - 0.999 * y


class ClosedFormOfTheSum(ClosedForm):
    def gradient(self, outputs, targets):
        return super().gradient(outputs, targets) * self.n_labels_


class ClosedFormLate(ClosedForm):
    """Right until the epoch from which the loss is another."""

    def set_epoch(self, epoch):
        self.factor_ = 1 + epoch

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return getattr(self, "factor_", 1) * super().objective(outputs, targets, mask)

    def gradient(self, outputs, targets):
        return super().gradient(outputs, targets)


class ClosedFormWrites(Logistic):
    def slope(self, s, y):
        return s.sigmoid_() - y


class ClosedFormKept(ClosedForm):
    """Hands out its own copy."""

    def gradient(self, outputs, targets):
        if getattr(self, "seen_", None) != (outputs.data_ptr(), targets.data_ptr()):
            self.seen_ = outputs.data_ptr(), targets.data_ptr()
            self.last_ = super().gradient(outputs, targets)
        return self.last_


class ClosedFormOfSome(ClosedForm):
    """None for the numbers of a network in float32."""

    def gradient(self, outputs, targets):
        return None if outputs.dtype == torch.float32 else super().gradient(outputs, targets)


class ClosedFormOverflows(Logistic):
    def slope(self, s, y):
        return s.exp() / (1 + s.exp()) - y


class ClosedFormOfTheBatch(ClosedForm):
    row_wise = False
    accepts_label_weights = False

    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return super().objective(outputs, targets, mask).mean(-1)

    def gradient(self, outputs, targets):
        return super().gradient(outputs, targets) / len(outputs)


WRONG = [
    (Converts, "constructor", "parameter 'gamma' is not stored"),
    (FitStoresParameter, "fit", r"changed the parameters \['class_weight'\]"),
    (FewOutputs, "fit", "n_outputs_ is 3, expected an int of at least 4"),
    (Scalar, "shape", r"objective has shape \(\), expected \(8,\)"),
    (DoublePrecision, "shape", "objective of torch.float32 outputs is torch.float64"),
    (WritesTargets, "inputs", r"targets after the call at row 0, column 0: found 0.9, expected 1"),
    (GradOn, "grad_mode", "link changed the gradient mode under no_grad"),
    (GradOff, "grad_mode", "link changed the gradient mode under enable_grad"),
    (DividesByLabels, "one_row", "value of row 1 alone at row 0: found inf"),
    (RawCounts, "absent_label", "initial_bias, label 0 always 0.0 at output 0: found -inf"),
    (LogOfTargets, "soft_targets", "value for soft targets at row"),
    (LogOfProbability, "finite", r"value for outputs \[.*10000.*at row 0: found (inf|nan)"),
    (PowerAtSaturation, "finite", r"gradient for outputs .*row 0, logit \d: found nan"),
    (Detached, "gradient", "at row 0, logit 0: found 0, finite differences give"),
    (DetachedFocus, "gradient", r"at row \d, logit \d: found .*finite differences give"),
    (WrongBackward, "gradient", r"at row \d, logit \d"),
    (
        WrongClosedForm,
        "closed_form",
        r"against autograd, at row 0, logit 0: found -0\.\d+, expected",
    ),
    (ClosedFormOfTheSum, "closed_form", "at epoch 0, against autograd, at row 0, logit 0: found"),
    (ClosedFormLate, "closed_form", "at epoch 100, against autograd, at row 0, logit 0: found"),
    (ClosedFormWrites, "closed_form", "outputs after the closed form at epoch 0 at row 0, logit 0"),
    (ClosedFormKept, "closed_form", "after the caller has overwritten what it got, .*found nan"),
    (
        ClosedFormOfSome,
        "closed_form",
        "closed form is None for some outputs and a tensor for others",
    ),
    (ClosedFormOverflows, "closed_form", r"outputs of \+-1e4 at epoch 0 at row .*found nan"),
    (ClosedFormOfTheBatch, "closed_form", "not row_wise, expected None"),
    (SumOverBatch, "rows", "value of row 0 in a batch, against it alone at row 0"),
    (CentresTheBatch, "rows", "of row 0 in a batch"),
    (FirstAxis, "members", "objective of 3 members at member 0, row 0: found 0, expected"),
    (ByRowIndex, "row_order", "objective of permuted rows: found"),
    (FirstLabelMatters, "label_order", "objective of permuted labels at row"),
    (IgnoresMask, "hidden", "value with 0.0 at hidden targets at row"),
    (HiddenTargetsCount, "hidden", "value with 0.0 at hidden targets at row"),
    (NoDeletion, "hidden", "value of row 3, all hidden: found .*, expected 0"),
    (BinaryMask, "label_weights", "objective with a sum of weights as mask, .*at row 0"),
    (WeightsTwice, "sample_weight", "mean with row weights .*: found"),
    (BatchWithoutWeights, "sample_weight", "sample_weight has no effect"),
    (UnweightedStatistics, "fit_weights", "initial_bias by weights, by repeated rows at output 0"),
    (LastChunk, "partial_fit", "initial_bias by chunks, at once at output 0"),
    (RoundedLink, "link", r"row \d+, label \d: found .*, expected in \(0, 1\)"),
    (SingleLink, "link", "link gives torch.float32, expected float64"),
    (LinkByAutograd, "grad_mode", "raised RuntimeError"),
    (FlatLink, "link_order", r"label 0 does not grow up to logit \[-1000"),
    (FallingLink, "link_order", "score of label 0 does not grow"),
    (DecisionOfAll, "decision", r"decision has shape \(8,\), expected \(8, 4\)"),
    (CountColumn, "decision", r"count has shape \(8, 1\), expected \(8,\)"),
    (OneBias, "initial_bias", r"initial_bias has shape \(1,\), expected \(4,\)"),
    (HoldsLambda, "pickle", "raised .*(pickle|lambda)"),
    (LosesState, "pickle", "initial_bias after pickling, before at output 0"),
    (LateInfinity, "criterion", "at epoch 100: found inf"),
]


def fails(check, given, name, what):
    with pytest.raises(AssertionError) as caught:
        check(given)
    message = str(caught.value)
    found = re.match(r"(\w+) fails the check '(\w+)': (.*)\nTo fix: (.+)", message, re.DOTALL)
    assert found, message
    assert found[1] == type(given).__name__
    assert re.fullmatch(name, found[2]), message
    assert what is None or re.search(what, found[3], re.DOTALL), message


@pytest.mark.parametrize("cls, name, what", WRONG, ids=[row[0].__name__ for row in WRONG])
def test_wrong_losses_are_named(cls, name, what):
    fails(check_loss, cls(), name, what)


def test_every_check_catches_something():
    check_loss(Logistic())  # what was spoilt is right
    check_loss(ClosedForm())
    caught = {name for _, name, _ in WRONG}
    # Criterion turns NaN into the mask, so that `hidden` sees first what is wrong.
    assert {check.__name__[1:] for check, _ in LOSS_CHECKS} - caught == {"nan"}
    caught = {name for _, name, _ in WRONG_DECODERS}
    assert {check.__name__[1:] for check, _ in DECODER_CHECKS} == caught


def test_message_says_what_to_do():
    with pytest.raises(AssertionError) as caught:
        check_loss(FunctionLoss(torch.nn.SoftMarginLoss))
    assert re.fullmatch(
        r"FunctionLoss fails the check 'finite': value for outputs \[.*\], targets \[.*\] at "
        r"row 0: found inf, expected a number\.\nTo fix: use logsigmoid, softplus, .*",
        str(caught.value),
        re.DOTALL,
    )
    with pytest.raises(AssertionError, match=r"(?s)'fit'.*3 values for 4 labels.*n_labels="):
        check_loss(BinaryCrossEntropy([1, 2, 3]))
    check_loss(BinaryCrossEntropy([1, 2, 3]), n_labels=3)


# --- decoders that are wrong


class Half(Decoder):
    """Right; some decoders below spoil one thing."""

    def _decode(self, scores, count):
        return scores >= 0.5


class Mean(Half):
    """Right: the threshold is the weighted mean score."""

    requires_fit = True

    def _fit(self, scores, Y, sample_weight, count):
        self.cut_ = np.average(scores, axis=0, weights=sample_weight)

    def _decode(self, scores, count):
        return scores >= self.cut_


class CopiesParameter(Half):
    def __init__(self, cuts=(0.5,)):
        self.cuts = [cuts]


class Integers(Half):
    def _decode(self, scores, count):
        return (scores >= 0.5).astype(int)


class CutsTheBatch(Half):
    def _decode(self, scores, count):
        return scores >= scores.mean()


class DoesNotSay(Mean):
    requires_fit = False


class Restless(Half):
    def __init__(self, cut=0.5):
        self.cut = cut

    def _fit(self, scores, Y, sample_weight, count):
        self.cut = 0.4


class Unweighted(Mean):
    def _fit(self, scores, Y, sample_weight, count):
        self.cut_ = scores.mean(axis=0)


class NeedsCompleteRow(Mean):
    def _fit(self, scores, Y, sample_weight, count):
        np.flatnonzero(Y.sum(axis=1) >= 0)[0]
        super()._fit(scores, Y, sample_weight, count)


class ForgetsItsCuts(Mean):
    def learn_sets(self, Y, sample_weight=None):
        self.cut_ = np.mean(Y, axis=0)
        return self


class HoldsFunction(Mean):
    def _fit(self, scores, Y, sample_weight, count):
        super()._fit(scores, Y, sample_weight, count)
        self.rule_ = lambda s: s


WRONG_DECODERS = [
    (CopiesParameter, "constructor", "parameter 'cuts' is not stored"),
    (Integers, "decoded", "decision has dtype int64, expected bool"),
    (CutsTheBatch, "decoded", "in a batch, against the row alone at row"),
    (DoesNotSay, "requires_fit", "raised AttributeError"),
    (Restless, "unchanged", r"changed the parameters \['cut'\]"),
    (Unweighted, "row_weights", "decision with weight 2, against rows .* at row"),
    (NeedsCompleteRow, "hard_targets", "raised IndexError"),
    (ForgetsItsCuts, "more_label_sets", "decision after learn_sets with the rows of fit at row"),
    (HoldsFunction, "pickled_decoder", "raised .*(pickle|lambda)"),
]


@pytest.mark.parametrize(
    "cls, name, what", WRONG_DECODERS, ids=[row[0].__name__ for row in WRONG_DECODERS]
)
def test_wrong_decoders_are_named(cls, name, what):
    fails(check_decoder, cls(), name, what)


def test_decoders_that_were_spoilt_are_right():
    check_decoder(Half())
    check_decoder(Mean())
