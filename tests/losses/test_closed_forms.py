"""Derivatives in closed form: which losses have one, and that none is outdated.

That they are what autograd finds is in `test_contract.py`, for every variant.
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from sklearn_mlloss.losses import (
    LOSSES,
    BinaryCrossEntropy,
    FactorizedLoss,
    FocalLoss,
    FunctionLoss,
    HingeLoss,
    Loss,
    LSEPLoss,
    MultilabelMarginLoss,
    SeparableLoss,
    SoftFBetaLoss,
    SoftmaxCrossEntropy,
    SPLCLoss,
    TwoWayLoss,
    WithCount,
)

# Not row-wise, or a double sum that autograd does as fast.
WITHOUT = {"pairwise_logistic", "sigmoid_f1", "soft_fbeta", "tversky", "two_way"}
CLOSED = set(LOSSES) - WITHOUT
HARD = np.array(
    [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 1]],
    dtype=float,
)


def draw(loss, n, seed, scale):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.uniform(-scale, scale, (n, loss.n_outputs_)))


def by_autograd(loss, outputs, targets):
    outputs = outputs.detach().clone().requires_grad_()
    return torch.autograd.grad(loss.objective(outputs, targets).sum(), outputs)[0]


def assert_near(found, expected, rtol):
    """Compare up to a share of the largest of a row."""
    size = 1 + expected.abs().amax(-1, keepdim=True)
    worst = ((found - expected).abs() / size).max()
    assert worst <= rtol  # and no NaN


def test_which_losses_have_a_closed_form():
    found = set()
    for name, cls in LOSSES.items():
        loss = cls().fit(HARD)
        if loss.gradient(draw(loss, 6, 0, 1), torch.tensor(HARD)) is not None:
            found.add(name)
    assert found == CLOSED


def test_follows_the_epoch():
    loss, y = SPLCLoss(0.4).fit(HARD), torch.tensor(HARD)
    outputs, found = draw(loss, 6, 0, 3), []
    for epoch in (0, 1):
        loss.set_epoch(epoch)
        found.append(loss.gradient(outputs, y))
        assert_near(found[-1], by_autograd(loss, outputs, y), 1e-12)
    assert (found[0] != found[1]).any()


def test_hinge_at_and_next_to_its_kink():
    loss = HingeLoss().fit(HARD)
    at = torch.tensor([1.0, -1.0, 1 - 2e-16, -1 + 2e-16, 1 + 4e-16, -1 - 4e-16, 1e-300, 0])
    outputs = at.double().unsqueeze(-1).expand(8, 4).contiguous()
    for y in (torch.zeros(8, 4).double(), torch.ones(8, 4).double()):
        assert torch.equal(loss.gradient(outputs, y), by_autograd(loss, outputs, y))


# --- subclasses


class OtherNegative(FocalLoss):
    def negative(self, s):
        return softplus(s)


class OtherPositive(FocalLoss):
    def positive(self, s):
        return softplus(-s)


class OtherMixture(BinaryCrossEntropy):
    def mixture(self, s, y):
        return super().mixture(s, y) ** 2


class OtherWeights(BinaryCrossEntropy):
    def entry_weight(self, targets, mask):
        return 1 + targets


class OtherObjective(BinaryCrossEntropy):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return 2 * super().objective(outputs, targets, mask)


class OtherSoftmax(SoftmaxCrossEntropy):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return 2 * super().objective(outputs, targets, mask)


class OtherPairs(LSEPLoss):
    def _pairs(self, s, positive, negative, sample_weight):
        return 2 * super()._pairs(s, positive, negative, sample_weight)


class OtherCount(FactorizedLoss):
    def _log_count(self, c):
        return 2 * c


class OtherLoss(SoftFBetaLoss):
    def _loss(self, tp, fp, fn):
        return -tp


class HalfNegative:
    def negative(self, s):
        return super().negative(s) / 2


class Mixed(HalfNegative, FocalLoss):
    pass


class Grandchild(OtherNegative):
    pass


@pytest.mark.parametrize(
    "loss",
    [
        OtherNegative(),
        OtherPositive(),
        OtherMixture(),
        OtherWeights(),
        OtherObjective(),
        OtherSoftmax(),
        OtherPairs(),
        OtherCount(),
        OtherLoss(average="samples"),
        Mixed(),
        Grandchild(),
        WithCount(OtherNegative()),
    ],
    ids=lambda loss: str(loss),
)
def test_no_outdated_closed_form(loss):
    loss.fit(HARD)
    assert loss.gradient(draw(loss, 6, 0, 1), torch.tensor(HARD)) is None


class Renamed(FocalLoss):
    """Changes nothing that the derivative depends on."""

    def link(self, outputs):
        return super().link(outputs)

    def initial_bias(self):
        return np.zeros(self.n_labels_)


class Both(OtherNegative):
    """The slope of what the parent has changed."""

    def slope(self, s, y):
        value = FocalLoss.slope(self, s, y)
        return torch.where(y > 0, value, s.sigmoid())


class BothAtOnce(BinaryCrossEntropy):
    def objective(self, outputs, targets, mask=None, sample_weight=None):
        return 2 * super().objective(outputs, targets, mask)

    def gradient(self, outputs, targets):
        return 2 * super().gradient(outputs, targets)


@pytest.mark.parametrize("loss", [Renamed(), Both(), BothAtOnce()], ids=str)
def test_closed_form_of_a_subclass(loss):
    outputs, y = draw(loss.fit(HARD), 6, 0, 2), torch.tensor(HARD)
    assert_near(loss.gradient(outputs, y), by_autograd(loss, outputs, y), 1e-12)


def test_none_by_default():
    class Logistic(SeparableLoss):
        def positive(self, s):
            return softplus(-s)

        def negative(self, s):
            return softplus(s)

    for loss in (
        Logistic(),
        FunctionLoss(torch.nn.BCEWithLogitsLoss),
        TwoWayLoss(),
        WithCount("two_way"),
    ):
        loss.fit(HARD)
        assert isinstance(loss, Loss)
        assert loss.gradient(draw(loss, 6, 0, 1), torch.tensor(HARD)) is None
    single = np.array([[1.0], [0.0]])
    for cls in (LSEPLoss, MultilabelMarginLoss):
        assert cls().fit(single).gradient(torch.zeros(2, 1), torch.tensor(single).float()) is None
