"""Bugs of public implementations, and correct results; one line each describes the bug.

The faulty expressions stand next to ours wherever torch or two lines can show them.
"""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sklearn_mlloss.losses import (
    LOSSES,
    AbsKLLoss,
    AdaptiveThresholdLoss,
    AsymmetricLoss,
    BinaryCrossEntropy,
    BPMLLLoss,
    Criterion,
    DistributionBalancedLoss,
    ExponentialLoss,
    FactorizedLoss,
    FocalLoss,
    HillLoss,
    LSEPLoss,
    Poly1Loss,
    SigmoidF1Loss,
    SoftFBetaLoss,
    SoftmaxCrossEntropy,
    TverskyLoss,
    TwoWayLoss,
    ZLPRLoss,
)

ONE = np.array([[0.0], [1.0]])
Y = np.array([[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]], dtype=float)


def slope_of(loss, outputs, targets):
    x = torch.as_tensor(outputs).clone().requires_grad_()
    value = loss.objective(x, torch.as_tensor(targets).to(x.dtype))
    value.sum().backward()
    return value.detach(), x.grad


# --- cross-entropy


def test_bce_of_a_sigmoid_is_dead_at_logit_17():
    """torch BCELoss(sigmoid(s)) clamps the logarithm: 100 instead of 17, and gradient 0."""
    s = torch.tensor([[17.0]], requires_grad=True)
    theirs = F.binary_cross_entropy(s.sigmoid(), torch.zeros(1, 1))
    theirs.backward()
    assert theirs.item() == 100 and s.grad.item() == 0
    value, slope = slope_of(BinaryCrossEntropy().fit(ONE), s.detach(), [[0.0]])
    assert value.item() == pytest.approx(17) and slope.item() == pytest.approx(1)


@pytest.mark.parametrize("dtype, s", [(torch.float32, 16.7), (torch.float64, 36.8)])
def test_explicit_cross_entropy_is_infinite(dtype, s):
    """-log(1 - sigmoid(s)) is infinite from 24 ln 2 (53 ln 2 in float64) on, its gradient NaN."""
    logit = torch.tensor([[s]], dtype=dtype, requires_grad=True)
    p = logit.sigmoid()
    theirs = -(0 * p.log() + 1 * (1 - p).log())
    theirs.backward()
    assert theirs.item() == math.inf and not logit.grad.isfinite().all()
    value, slope = slope_of(BinaryCrossEntropy().fit(ONE), logit.detach(), [[0.0]])
    assert value.item() == pytest.approx(s) and slope.item() == pytest.approx(1)


def test_explicit_cross_entropy_of_a_missed_label():
    """-log(sigmoid(s)) is infinite in float32 at s = -104."""
    assert -torch.tensor(-104.0).sigmoid().log() == math.inf
    value, slope = slope_of(BinaryCrossEntropy().fit(ONE), [[-104.0]], [[1.0]])
    assert value.item() == pytest.approx(104) and slope.item() == -1


def test_the_sign_of_cross_entropy():
    """A formula in print lacks the minus sign: minimising it diverges."""
    loss = BinaryCrossEntropy().fit(ONE)
    better, worse = torch.tensor([[2.0]]), torch.tensor([[-2.0]])
    y = torch.ones(1, 1)
    assert 0 < loss.objective(better, y) < loss.objective(worse, y)


def test_label_smoothing_acts_on_dense_targets():
    """timm's BinaryCrossEntropy(smoothing=.1) ignores smoothing where targets are dense."""
    outputs, y = torch.tensor([[0.3, -1.2, 2.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    smoothed = BinaryCrossEntropy(label_smoothing=0.1).fit(Y).objective(outputs, y)
    by_hand = F.binary_cross_entropy_with_logits(outputs, 0.9 * y + 0.05)
    torch.testing.assert_close(smoothed[0], by_hand)
    assert (smoothed - BinaryCrossEntropy().fit(Y).objective(outputs, y)).abs() > 0.01


def test_pos_weight_does_not_decalibrate():
    """sigmoid(s) of a net trained with pos_weight = 10 says 0.5 where the truth is 0.09."""
    loss = BinaryCrossEntropy(10.0).fit(ONE)
    assert loss.link(torch.zeros(1, 1)).item() == pytest.approx(1 / 11, abs=1e-4)


# --- focal and asymmetric losses


def test_focal_with_a_small_gamma_at_saturation():
    """(1 - p) ** gamma with gamma < 1 has a gradient of NaN where p has rounded to 1."""
    s = torch.tensor([[20.0]], requires_grad=True)
    p = s.sigmoid()
    ((1 - p) ** 0.5 * F.softplus(-s)).backward()
    assert s.grad.isnan().all()
    for gamma in (0.3, 0.5, 0.9):
        for target in (0.0, 1.0):
            value, slope = slope_of(FocalLoss(gamma).fit(ONE), [[20.0], [-20.0]], [[target]] * 2)
            assert value.isfinite().all() and slope.isfinite().all()
    value, _ = slope_of(FocalLoss(0.5).fit(ONE), [[20.0]], [[1.0]])
    assert value.item() == pytest.approx(math.exp(-30), rel=1e-4)


def test_the_gradient_of_focal_negatives():
    """A text gets the negatives by "f to 1 - f" alone, without the chain rule: the wrong sign."""
    s, gamma = 0.8, 2
    p = 1 / (1 + math.exp(-s))
    _, slope = slope_of(FocalLoss(gamma).fit(ONE), torch.tensor([[s]]).double(), [[0.0]])
    assert slope.item() == pytest.approx(p**gamma * (p - gamma * (1 - p) * math.log(1 - p)))
    assert slope.item() > 0


def test_the_focal_layer_keeps_its_factor():
    """A listing lost the factor (1 - p) ** gamma in the forward pass: 0.0998 at s = 2.2."""
    value, slope = slope_of(FocalLoss().fit(ONE), torch.tensor([[2.2]]).double(), [[1.0]])
    q = 1 / (1 + math.exp(2.2))
    assert value.item() == pytest.approx(q**2 * math.log1p(math.exp(-2.2)))
    assert slope.item() == pytest.approx(-0.00288, abs=1e-5)


def test_asymmetric_loss_of_badly_missed_labels():
    """log(p.clamp(1e-8)) leaves positives below s = -18.42 at 18.42, without gradient."""
    s = torch.tensor([[-25.0]], requires_grad=True)
    theirs = -s.sigmoid().clamp(min=1e-8).log()
    theirs.backward()
    assert theirs.item() == pytest.approx(18.42, abs=0.01) and s.grad.item() == 0
    for loss in (AsymmetricLoss(), AsymmetricLoss(detach_focus=True)):
        value, slope = slope_of(loss.fit(ONE), s.detach(), [[1.0]])
        assert value.item() == pytest.approx(25) and slope.item() == pytest.approx(-1)


@pytest.mark.parametrize("detach", [False, True])
def test_asymmetric_loss_under_no_grad(detach):
    """torch.set_grad_enabled(True) after the focus turns autograd on inside no_grad()."""
    loss = AsymmetricLoss(detach_focus=detach).fit(ONE)
    s = torch.zeros(1, 1, requires_grad=True)
    with torch.no_grad():
        value = loss.objective(s, torch.ones(1, 1))
        assert not torch.is_grad_enabled() and not value.requires_grad


def test_asymmetric_loss_mixes_losses_not_exponents():
    """For soft targets public code mixes exponents: 0.106 for y = 0.5 at s = 0.7, not 0.137."""
    loss = AsymmetricLoss(1, 4, 0.05).fit(ONE)
    s = torch.tensor([[0.7]])
    soft = loss.objective(s, torch.full((1, 1), 0.5))
    hard = loss.objective(s, torch.ones(1, 1)) + loss.objective(s, torch.zeros(1, 1))
    assert soft.item() == pytest.approx(hard.item() / 2)


def test_losses_do_not_grow_with_the_batch():
    """Sums over the batch make the learning rate depend on the batch size."""
    outputs, y = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, 1.0]])
    for name, cls in LOSSES.items():
        loss = cls().fit(Y)
        if not loss.row_wise:
            continue
        x = torch.cat([outputs, outputs], 1)[:, : loss.n_outputs_]
        once = Criterion(loss)(x, y)
        torch.testing.assert_close(Criterion(loss)(x.repeat(7, 1), y.repeat(7, 1)), once, msg=name)


def test_hill_at_logit_minus_120():
    """log(sigmoid(-120)) is -inf in float32: inf for positives, NaN (0 * inf) for negatives."""
    s = torch.tensor(-120.0)
    assert (0 * s.sigmoid().log()).isnan()
    for target in (0.0, 1.0):
        value, slope = slope_of(HillLoss().fit(ONE), [[-120.0]], [[target]])
        assert value.item() == pytest.approx(121 * target, abs=1e-6)
        assert slope.item() == pytest.approx(-target, abs=1e-6)


def test_poly1_is_about_every_row_and_differentiable():
    """Public code sums p_t over the labels of row 0 and detaches it with .item()."""
    loss = Poly1Loss(1).fit(Y)
    outputs = torch.tensor([[2.0, 1.0, -1.0], [-3.0, 0.5, 0.1]])
    y = torch.tensor([[1.0, 0, 1], [0.0, 1, 0]])
    value, slope = slope_of(loss, outputs, y)
    alone, alone_slope = slope_of(loss, outputs[1:], y[1:])
    torch.testing.assert_close(value[1:], alone)
    p = outputs.sigmoid()
    expected = torch.where(y == 1, -(1 - p) * (1 + p), p * (1 + 1 - p)) / 3
    torch.testing.assert_close(slope, expected)


def test_exponential_does_not_overflow():
    """exp(1000) is infinite."""
    value, slope = slope_of(ExponentialLoss().fit(ONE), [[1000.0], [-1000.0]], [[0.0], [1.0]])
    assert value.isfinite().all() and slope.isfinite().all() and (slope.abs() > 1).all()


# --- softmax and counts


def test_softmax_of_rows_without_labels():
    """1 / M is a ZeroDivisionError (or NaN) for a row without labels; its loss is 0."""
    value, slope = slope_of(SoftmaxCrossEntropy().fit(Y), [[0.5, 1.0, -1.0]], [[0.0, 0, 0]])
    assert value.item() == 0 and (slope == 0).all()


def test_softmax_gradient_of_real_valued_labels():
    """A layer uses p - 1/M for any targets; the gradient is sum(t) p - t (a TF kernel: p - t)."""
    y = torch.tensor([[0.7, 0.0, 0.2]]).double()
    s = torch.tensor([[0.3, -1.0, 0.5]]).double()
    _, slope = slope_of(SoftmaxCrossEntropy("count").fit(Y), s, y)
    t = y / 2
    torch.testing.assert_close(slope, t.sum() * s.softmax(1) - t)
    assert (slope - (s.softmax(1) - (y > 0) / 2)).abs().max() > 0.1


def test_softmax_of_far_logits():
    """log(exp(s) / sum(exp(s))) underflows to -inf."""
    s = torch.tensor([[0.0, 200.0, 0.0]])
    assert (s.softmax(1).log() == -math.inf).any()
    value, slope = slope_of(SoftmaxCrossEntropy().fit(Y), s, [[1.0, 0, 0]])
    assert value.item() == pytest.approx(200) and slope.isfinite().all()


def test_torch_cross_entropy_takes_probability_rows():
    """ "Limited to one class" is wrong: rows of 1/M work and agree with ours."""
    s, y = torch.tensor([[0.3, -1.0, 0.5]]), torch.tensor([[1.0, 0.0, 1.0]])
    theirs = torch.nn.CrossEntropyLoss()(s, y / 2)
    torch.testing.assert_close(SoftmaxCrossEntropy().fit(Y).objective(s, y)[0], theirs)
    # But it has no word against rows that are no distributions: here twice the loss.
    torch.testing.assert_close(torch.nn.CrossEntropyLoss()(s, y), 2 * theirs)


def test_softmax_scores_are_not_to_be_cut_at_a_fixed_logit():
    """Thresholding raw scores (or their sigmoid): a shift of the row would change the labels."""
    for loss in (SoftmaxCrossEntropy(), LSEPLoss(), TwoWayLoss(), BPMLLLoss()):
        loss.fit(Y)
        s = torch.tensor([[0.3, -1.0, 0.5]]).double()
        torch.testing.assert_close(loss.link(s + 5), loss.link(s))
        torch.testing.assert_close(loss.decision(s + 5), loss.decision(s))


def test_kl_of_the_perfect_prediction_is_zero():
    """The perfect cross-entropy is log(M); an example divides by M twice and finds log(M) / M."""
    perfect = torch.tensor([[30.0, 30.0, -300.0]])
    y = torch.tensor([[1.0, 1.0, 0.0]])
    assert SoftmaxCrossEntropy().fit(Y).objective(perfect, y).item() == pytest.approx(math.log(2))
    assert SoftmaxCrossEntropy(kl=True).fit(Y).objective(perfect, y).item() == pytest.approx(
        0, abs=1e-6
    )


def test_abs_kl_at_the_epsilon_of_keras():
    """Taken for probabilities, the outputs are low: q = 0.077 where the truth is 0.5."""
    loss = AbsKLLoss(1e-7).fit(ONE)
    assert loss.link(torch.tensor([[math.log(0.077 / 0.923)]])).item() == pytest.approx(
        0.5, abs=0.01
    )


def test_a_clipped_count_learns_with_another_link():
    """max(0.01, c) has no gradient below 0.01: the default of the count is a softplus."""
    y, outputs = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 0.0, -3.0]])
    _, clipped = slope_of(FactorizedLoss(count_link="clip").fit(Y), outputs, y)
    _, default = slope_of(FactorizedLoss().fit(Y), outputs, y)
    assert clipped[0, 3] == 0 and default[0, 3] < -0.1


# --- sets and pairs


def test_zlpr_of_soft_targets():
    """A mask of -y * 1e12, advertised for y in [0, 1], drops a soft label from both sums."""
    s, y = torch.tensor([[0.4, -0.6]]), torch.tensor([[0.3, 1.0]])
    hard = torch.logsumexp(torch.cat([s - y * 1e12, torch.zeros(1, 1)], 1), 1)
    hard = hard + torch.logsumexp(torch.cat([-s - (1 - y) * 1e12, torch.zeros(1, 1)], 1), 1)
    value, slope = slope_of(ZLPRLoss().fit(Y[:, :2]), s, y)
    a = 0.7 * math.exp(0.4)
    b = 0.3 * math.exp(-0.4) + math.exp(0.6)
    assert value.item() == pytest.approx(math.log1p(a) + math.log1p(b))
    assert (value - hard).abs() > 0.3
    assert slope[0, 0].item() == pytest.approx(
        a / (1 + a) - 0.3 * math.exp(-0.4) / (1 + b), rel=1e-5
    )


def test_zlpr_does_not_mix_rows():
    """torch.inner(y, exp(-s)) is a matrix of all rows with all rows; and exp(100) overflows."""
    loss = ZLPRLoss().fit(Y)
    s, y = torch.tensor([[100.0, -2, 0], [1.0, 2, 3]]), torch.tensor([[0.0, 1, 0], [1, 0, 1]])
    value, slope = slope_of(loss, s, y)
    alone, _ = slope_of(loss, s[1:], y[1:])
    torch.testing.assert_close(value[1:], alone)
    assert value[0].item() == pytest.approx(100 + math.log1p(math.exp(2)), rel=1e-6)
    assert slope.isfinite().all()


@pytest.mark.parametrize("loss", [BPMLLLoss(), BPMLLLoss(False), LSEPLoss()], ids=str)
def test_pairs_of_a_row_without_pairs(loss):
    """`assert all(a) or all(b)` lets a row without labels through: 0 / 0, NaN."""
    loss.fit(Y)
    s = torch.tensor([[0.3, -1.0, 0.5]] * 3)
    value, slope = slope_of(loss, s, [[0.0, 0, 0], [1, 1, 1], [1, 0, 0]])
    assert (value[:2] == 0).all() and (slope[:2] == 0).all()
    assert value[2] > 0 and slope[2].abs().sum() > 0


def test_two_way_of_a_batch_without_positives():
    """The mean over the rows (or labels) with a positive is NaN where there is none."""
    loss = TwoWayLoss().fit(Y)
    assert torch.tensor([]).mean().isnan()
    s = torch.tensor([[0.3, -1.0, 0.5]] * 2)
    for y in (0.0, 1.0):
        value, slope = slope_of(loss, s, torch.full((2, 3), y))
        assert value.item() == 0 and (slope == 0).all()
    value, slope = slope_of(loss, s[:1], [[1.0, 0, 0]])
    assert value.isfinite() and slope.abs().sum() > 0


def test_distribution_balanced_leaves_the_logits_alone():
    """`logits += bias` overwrites the output of the network."""
    loss = DistributionBalancedLoss().fit(Y)
    outputs = torch.tensor([[0.3, -1.0, 0.5]])
    before = outputs.clone()
    loss.objective(outputs, torch.tensor([[1.0, 0, 0]]))
    assert torch.equal(outputs, before)
    leaf = before.clone().requires_grad_()  # in-place addition would raise here
    loss.objective(leaf, torch.tensor([[1.0, 0, 0]])).sum().backward()


def test_distribution_balanced_of_a_row_without_labels():
    """The share of a label is 1 / 0 there: its weight is the limit alpha + 1, not NaN."""
    loss = DistributionBalancedLoss().fit(Y)
    weight = loss.entry_weight(torch.zeros(1, 3), None)
    torch.testing.assert_close(weight, torch.full((1, 3), 1.1))
    value, slope = slope_of(loss, [[0.3, -1.0, 0.5]], [[0.0, 0, 0]])
    assert value.isfinite().all() and (slope > 0).all()


def test_distribution_balanced_has_the_published_defaults():
    """A constructor has alpha = 10, beta = 0.2, gamma = 0.1: a permutation of those published."""
    params = DistributionBalancedLoss().get_params()
    assert (params["alpha"], params["beta"], params["mu"]) == (0.1, 10, 0.2)
    assert (params["lam"], params["kappa"], params["gamma"]) == (2, 0.05, 2)


def test_distribution_balanced_is_reduced():
    """The focal branch ignores `reduction` and returns a value for each entry."""
    loss = DistributionBalancedLoss().fit(Y)
    assert Criterion(loss)(torch.zeros(5, 3), torch.tensor(Y)).shape == ()


def test_atlop_leaves_the_labels_alone():
    """`labels[:, 0] = 1` and 0 in place change the targets of the caller, column 0 is reserved."""
    loss = AdaptiveThresholdLoss().fit(Y)
    targets = torch.tensor(Y)
    before = targets.clone()
    outputs = torch.zeros(5, 4, dtype=torch.float64)
    loss.objective(outputs, targets)
    assert torch.equal(targets, before)
    outputs[:, 3] = 1.0  # the threshold is the last output: no label is above it
    assert (loss.link(outputs) < 0.5).all()


def test_torch_multilabel_margin_takes_index_lists():
    """Given 0/1 indicators it reads them as the indices 0 and 1: another loss, without a word."""
    s = torch.tensor([[0.1, 0.9, -0.3]])
    theirs = F.multilabel_margin_loss(s, torch.tensor([[0, 0, 1]]))
    ours = LOSSES["multilabel_margin"]().fit(Y).objective(s, torch.tensor([[0.0, 0, 1]]))
    right = F.multilabel_margin_loss(s, torch.tensor([[2, -1, -1]]))
    torch.testing.assert_close(ours[0], right)
    assert (theirs - right).abs() > 0.1


# --- soft F-measures


def test_sigmoid_f1_applies_one_sigmoid():
    """A file applies it twice, so that probabilities lie between 0.5 and 0.731."""
    loss = SigmoidF1Loss().fit(Y)
    s = torch.tensor([[9.0, -9.0, -9.0]])
    assert loss.link(s).min() < 1e-3 and loss.link(s).max() > 0.999
    perfect = torch.tensor(np.where(Y == 1, 20.0, -20.0))
    assert loss.objective(perfect, torch.tensor(Y)).item() == pytest.approx(0, abs=1e-6)


def test_soft_metrics_without_positives_and_predictions():
    """0 / 0 where a batch has neither a positive nor the ghost of a prediction."""
    s, y = torch.full((2, 3), -1e4), torch.zeros(2, 3)
    for average in ("macro", "micro", "samples"):
        for loss in (SoftFBetaLoss(1, average), TverskyLoss(average=average)):
            value, slope = slope_of(loss.fit(Y), s, y)
            assert value.isfinite().all() and slope.isfinite().all()


def test_no_loss_warns_or_mutates_at_edges():
    """Edge rows in one batch: no labels, all labels, one; neither warnings nor NaN."""
    targets = torch.tensor(Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, cls in LOSSES.items():
            loss = cls().fit(Y)
            outputs = torch.zeros(5, loss.n_outputs_, dtype=torch.float64)
            value, slope = slope_of(loss, outputs, targets)
            assert value.isfinite().all() and slope.isfinite().all(), name
            assert torch.equal(targets, torch.tensor(Y))
