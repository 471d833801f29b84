"""Losses of the wider catalogue that must coincide, and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sklearn_mlloss.losses import (
    LOSSES,
    AdaptiveThresholdLoss,
    AsymmetricLoss,
    AsymmetricPolynomialLoss,
    BalancedBCELoss,
    BinaryCrossEntropy,
    BPMLLLoss,
    CLogLogLoss,
    DistributionBalancedLoss,
    ExponentialLoss,
    FocalLoss,
    HingeLoss,
    LDAMLoss,
    LSEPLoss,
    MultilabelMarginLoss,
    PairwiseLogisticLoss,
    Poly1Loss,
    SigmoidF1Loss,
    SoftFBetaLoss,
    SPLCLoss,
    SquaredHingeLoss,
    TverskyLoss,
    TwoWayLoss,
    WithCount,
    ZLPRLoss,
)

RNG = np.random.default_rng(7)
Y = (RNG.random((12, 4)) < 0.4).astype(float)
Y[0], Y[1] = 0, 1
S = torch.tensor(RNG.normal(0, 3, (12, 4)))
TARGETS = torch.tensor(Y)
SOFT = torch.tensor(RNG.random((12, 4)))
MASK = torch.tensor((RNG.random((12, 4)) < 0.7).astype(float))
RANKING = {
    "lsep": LSEPLoss,
    "two_way": TwoWayLoss,
    "two_way 1": lambda: TwoWayLoss(1, 1),
    "bp_mll unbounded": lambda: BPMLLLoss(False),
    "multilabel_margin": MultilabelMarginLoss,
    "pairwise_logistic": PairwiseLogisticLoss,
}


def gradient(loss, outputs, *args):
    x = outputs.clone().requires_grad_()
    value = loss.objective(x, *args)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


SAME = [
    (Poly1Loss(0), BinaryCrossEntropy()),
    (Poly1Loss(0, 2), FocalLoss(2)),
    (Poly1Loss(0, 0.5), FocalLoss(0.5)),
    (LDAMLoss(0, 1), BinaryCrossEntropy()),
    (AsymmetricPolynomialLoss(e1=0, e2=0, en=0), AsymmetricLoss()),
    (AsymmetricPolynomialLoss(0.5, 2, 0, 0, 0, 0), AsymmetricLoss(0.5, 2, 0)),
    (
        AsymmetricPolynomialLoss(1, 0.5, 0.1, 0, 0, 0, True),
        AsymmetricLoss(1, 0.5, 0.1, detach_focus=True),
    ),
    (AsymmetricPolynomialLoss(0, 0, 0, -1, 0, 0), AsymmetricPolynomialLoss(0, 0, 0, e1=-1, e2=0)),
    (SPLCLoss(margin=0, gamma=2), FocalLoss(2)),
    (SPLCLoss(margin=0, gamma=0), BinaryCrossEntropy()),
]


@pytest.mark.parametrize("a, b", SAME, ids=str)
def test_same_loss(a, b):
    a.fit(Y)
    b.fit(Y)
    for targets in (TARGETS, SOFT):
        for mask in (None, MASK):
            found, expected = gradient(a, S, targets, mask), gradient(b, S, targets, mask)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(a.link(S), b.link(S), rtol=0, atol=1e-8)


def test_poly1_adds_one_minus_p():
    extra = 0.7 * torch.where(TARGETS == 1, 1 - S.sigmoid(), S.sigmoid()).mean(1)
    expected = BinaryCrossEntropy().fit(Y).objective(S, TARGETS) + extra
    torch.testing.assert_close(Poly1Loss(0.7).fit(Y).objective(S, TARGETS), expected)


def test_scaled_ldam_is_bce_of_scaled_logits():
    expected = BinaryCrossEntropy().fit(Y).objective(3 * S, TARGETS)
    torch.testing.assert_close(LDAMLoss(0, 3).fit(Y).objective(S, TARGETS), expected)


def test_distribution_balanced_without_its_parts_is_focal():
    """Weights flat, negatives no steeper, no shift: twice the focal loss times alpha + 1/2."""
    loss = DistributionBalancedLoss(0.5, 1e-12, lam=1, kappa=0, gamma=2).fit(Y)
    rows = TARGETS.sum(1) > 0
    torch.testing.assert_close(
        loss.objective(S, TARGETS)[rows], 2 * FocalLoss(2).fit(Y).objective(S, TARGETS)[rows]
    )


# --- worked numbers


@pytest.mark.parametrize(
    "loss, s, present, absent",
    [
        (HingeLoss(), -3.0, 4.0, 0.0),
        (HingeLoss(), 0.25, 0.75, 1.25),
        (HingeLoss(), 1.0, 0.0, 2.0),
        (SquaredHingeLoss(), -3.0, 16.0, 0.0),
        (SquaredHingeLoss(), 0.25, 0.5625, 1.5625),
        (SquaredHingeLoss(), 2.0, 0.0, 9.0),
        (ExponentialLoss(), math.log(2), 0.5, 2.0),
        (CLogLogLoss(), math.log(math.log(2)), math.log(2), math.log(2)),
        (CLogLogLoss(), math.log(math.log(4)), math.log(4 / 3), math.log(4)),
        (Poly1Loss(), math.log(3), math.log(4 / 3) + 0.25, math.log(4) + 0.75),
        (LDAMLoss(), 0.5, math.log(2), math.log(1 + math.exp(0.5))),
    ],
    ids=str,
)
def test_worked_numbers(loss, s, present, absent):
    loss.fit(np.array([[1.0], [0.0]]))
    logits = torch.tensor([[s], [s]], dtype=torch.float64)
    values = loss.objective(logits, torch.tensor([[1.0], [0.0]]).double())
    np.testing.assert_allclose(values, [present, absent], rtol=1e-12, atol=1e-12)


def test_cloglog_is_the_likelihood_of_a_bernoulli():
    rate = S.clamp(-3, 1.5).exp()
    chance = torch.distributions.Bernoulli(1 - torch.exp(-rate))
    expected = -chance.log_prob(TARGETS).sum(1)
    loss = CLogLogLoss(label_reduction="sum").fit(Y)
    torch.testing.assert_close(loss.objective(S.clamp(-3, 1.5), TARGETS), expected)


# --- sets and pairs


def test_two_way_rows_are_lsep():
    """At T = 1 the row term is the mean of lsep over rows with a present label."""
    two_way, lsep = TwoWayLoss(1, 1).fit(Y), LSEPLoss().fit(Y)
    for mask in (None, MASK):
        observed = TARGETS if mask is None else TARGETS * mask
        some = observed.sum(1) > 0
        # Down the columns it is the same of the transposed batch.
        columns = LSEPLoss().fit(Y.T)
        transposed = columns.objective(S.T, TARGETS.T, None if mask is None else mask.T)
        with_positive = observed.sum(0) > 0
        expected = lsep.objective(S, TARGETS, mask)[some].mean() + transposed[with_positive].mean()
        torch.testing.assert_close(two_way.objective(S, TARGETS, mask), expected)
    for i in range(len(Y)):
        if Y[i].sum():
            row = slice(i, i + 1)
            torch.testing.assert_close(
                two_way.objective(S[row], TARGETS[row]), lsep.objective(S[row], TARGETS[row])[0]
            )


def test_zlpr_splits_what_lsep_adds():
    """ZLPR is sp(A) + sp(B), LSEP is sp(A + B): an anchor at 0 makes one of the other."""
    mixed = (Y.sum(1) > 0) & (Y.sum(1) < 4)
    s, y = S[mixed], TARGETS[mixed]
    a = s.masked_fill(y == 1, -torch.inf).logsumexp(1)
    b = (-s).masked_fill(y == 0, -torch.inf).logsumexp(1)
    torch.testing.assert_close(ZLPRLoss().fit(Y).objective(s, y), F.softplus(a) + F.softplus(b))
    torch.testing.assert_close(LSEPLoss().fit(Y).objective(s, y), F.softplus(a + b))


def test_bp_mll_is_a_product_of_means():
    mixed = (Y.sum(1) > 0) & (Y.sum(1) < 4)
    s, y = S[mixed], TARGETS[mixed]
    c = s.tanh()
    present = ((-c).exp() * y).sum(1) / y.sum(1)
    absent = (c.exp() * (1 - y)).sum(1) / (1 - y).sum(1)
    torch.testing.assert_close(
        BPMLLLoss().fit(Y).objective(s, y), present * absent, rtol=1e-12, atol=1e-12
    )


def test_multilabel_margin_is_that_of_torch():
    order = np.argsort(-Y, axis=1, kind="stable")
    index = np.where(np.arange(4) < Y.sum(1, keepdims=True), order, -1)
    expected = F.multilabel_margin_loss(S, torch.tensor(index), reduction="none")
    loss = MultilabelMarginLoss().fit(Y)
    torch.testing.assert_close(loss.objective(S, TARGETS), expected)
    x = S.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.multilabel_margin_loss(x, torch.tensor(index)), x)
    torch.testing.assert_close(gradient(loss, S, TARGETS)[1] / 12, slope)


def test_multilabel_margin_of_one_hot_rows_is_the_multi_class_margin():
    classes = torch.tensor(RNG.integers(0, 4, 12))
    expected = F.multi_margin_loss(S, classes, reduction="none")
    one_hot = F.one_hot(classes, 4).double()
    found = MultilabelMarginLoss().fit(one_hot.numpy()).objective(S, one_hot)
    torch.testing.assert_close(found, expected)


def test_lsep_of_one_hot_rows_is_cross_entropy():
    classes = torch.tensor(RNG.integers(0, 4, 12))
    one_hot = F.one_hot(classes, 4).double()
    torch.testing.assert_close(
        LSEPLoss().fit(one_hot.numpy()).objective(S, one_hot),
        F.cross_entropy(S, classes, reduction="none"),
    )


def test_ranking_losses_of_a_pair_are_binary():
    """With one present and one absent label only their difference counts."""
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double().repeat(6, 1)
    s = S[:, :2]
    gap = (s[:, 0] - s[:, 1]) * (2 * y[:, 0] - 1)
    for loss in (LSEPLoss(), PairwiseLogisticLoss()):
        torch.testing.assert_close(loss.fit(Y[:, :2]).objective(s, y), F.softplus(-gap))
    margin = MultilabelMarginLoss().fit(Y[:, :2])
    torch.testing.assert_close(margin.objective(s, y), (1 - gap).relu() / 2)
    unbounded = BPMLLLoss(False).fit(Y[:, :2])
    torch.testing.assert_close(unbounded.objective(s, y), torch.exp(-gap))


def test_atlop_with_a_threshold_of_zero_and_one_label_is_zlpr():
    """Relative to TH; with at most one present label the first term is a softplus."""
    rows = Y.sum(1) <= 1
    outputs = torch.cat([S, S[:, :1] * 0 + 0.7], 1)[rows]
    found = AdaptiveThresholdLoss().fit(Y).objective(outputs, TARGETS[rows])
    torch.testing.assert_close(found, ZLPRLoss().fit(Y).objective(S[rows] - 0.7, TARGETS[rows]))


def test_balanced_bce_of_a_half_full_row_is_twice_bce():
    y = torch.tensor([[1.0, 0, 1, 0]]).double().expand(12, 4)
    expected = 2 * BinaryCrossEntropy().fit(Y).objective(S, y)
    torch.testing.assert_close(BalancedBCELoss().fit(Y).objective(S, y), expected)


# --- shifts of a row


@pytest.mark.parametrize("name", RANKING)
def test_a_shift_of_a_row_changes_nothing(name):
    loss = RANKING[name]().fit(Y)
    shift = torch.tensor(RNG.normal(0, 20, (12, 1)))
    if not loss.row_wise:
        # Rows are compared with each other, too: one shift for all of them.
        shift = shift[:1]
    torch.testing.assert_close(
        gradient(loss, S + shift, TARGETS, MASK), gradient(loss, S, TARGETS, MASK)
    )


@pytest.mark.parametrize("name", ["bp_mll", *RANKING])
def test_scores_are_invariant_to_a_shift_of_a_row(name):
    loss = RANKING.get(name, BPMLLLoss)().fit(Y)
    shift = torch.tensor(RNG.normal(0, 20, (12, 1)))
    torch.testing.assert_close(loss.link(S + shift), loss.link(S), rtol=0, atol=1e-9)
    torch.testing.assert_close(loss.decision(S + shift), loss.decision(S))
    # The reference is the log of the mean exponential: equal logits are at one half.
    equal = torch.full((1, 4), 3.0)
    torch.testing.assert_close(loss.decision(equal), torch.zeros(1, 4), atol=1e-6, rtol=0)
    np.testing.assert_allclose(loss.link(equal), 0.5, atol=2e-5)
    assert loss.default_decoder == "global_threshold" and not loss.proper


def test_the_order_of_scores_is_that_of_logits():
    loss = LSEPLoss().fit(Y)
    assert (loss.link(S).argsort(1) == S.argsort(1)).all()
    far = torch.tensor([[0.0, 500.0, 501.0, -400.0]])
    assert (loss.link(far).argsort(1) == far.argsort(1)).all()


# --- a single label


@pytest.mark.parametrize("mask", [None, MASK[:, :1]], ids=["observed", "masked"])
def test_one_label_makes_lsep_and_pairwise_logistic_bce(mask):
    bce = BinaryCrossEntropy().fit(Y[:, :1])
    expected = gradient(bce, S[:, :1], TARGETS[:, :1], mask)
    for loss in (LSEPLoss(), PairwiseLogisticLoss()):
        loss.fit(Y[:, :1])
        found = gradient(loss, S[:, :1], TARGETS[:, :1], mask)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(loss.link(S[:, :1]), bce.link(S[:, :1]))
        torch.testing.assert_close(loss.decision(S[:, :1]), S[:, :1])


@pytest.mark.parametrize("name", ["bp_mll", *RANKING])
def test_one_label_is_a_binary_loss(name):
    """Falling in the logit of a present label, rising in that of an absent one."""
    loss = RANKING.get(name, BPMLLLoss)().fit(Y[:, :1])
    s, y = torch.tensor([[-2.0], [-0.5], [0.3], [0.9]]), torch.tensor([[1.0], [0], [1], [0]])
    _, slope = gradient(loss, s, y)
    assert (slope * (1 - 2 * y) > 0).all()
    # A model of one logit learns the log-odds or at least its sign.
    targets = torch.tensor([[1.0]] * 8 + [[0.0]] * 2)
    logit = torch.zeros(1, requires_grad=True)
    if loss.row_wise:
        for _ in range(50):
            (g,) = torch.autograd.grad(loss.objective(logit.expand(10, 1), targets).mean(), logit)
            logit = (logit - 0.5 * g).detach().requires_grad_()
        assert logit.item() > 0.5


# --- soft F-measures


def test_sigmoid_f1_is_soft_macro_f1():
    for mask in (None, MASK):
        for targets in (TARGETS, SOFT):
            torch.testing.assert_close(
                gradient(SigmoidF1Loss().fit(Y), S, targets, mask),
                gradient(SoftFBetaLoss().fit(Y), S, targets, mask),
            )
    torch.testing.assert_close(SigmoidF1Loss().fit(Y).link(S), SoftFBetaLoss().fit(Y).link(S))


def test_sigmoid_f1_is_soft_f1_of_other_logits():
    a, b = SigmoidF1Loss(3, -0.5).fit(Y), SoftFBetaLoss().fit(Y)
    torch.testing.assert_close(a.objective(S, TARGETS), b.objective(3 * (S - 0.5), TARGETS))
    torch.testing.assert_close(a.link(S), b.link(3 * (S - 0.5)))
    np.testing.assert_allclose(3 * (a.initial_bias() - 0.5), b.initial_bias())


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_the_samples_loss_is_the_micro_loss_of_each_row(beta):
    samples = SoftFBetaLoss(beta, "samples").fit(Y)
    micro = SoftFBetaLoss(beta, "micro").fit(Y)
    for mask in (None, MASK):
        rows = [
            micro.objective(
                S[i : i + 1], TARGETS[i : i + 1], None if mask is None else mask[i : i + 1]
            )
            for i in range(12)
        ]
        torch.testing.assert_close(samples.objective(S, TARGETS, mask), torch.stack(rows))


@pytest.mark.parametrize("average", ["macro", "micro", "samples"])
def test_tversky_without_smoothing_is_f_beta(average):
    rows = slice(1, None)
    dice = TverskyLoss(smooth=1e-12, average=average).fit(Y)
    f1 = SoftFBetaLoss(1, average, eps=1e-12).fit(Y)
    has = Y[rows].sum(1) > 0
    s, y = S[rows][has], TARGETS[rows][has]
    torch.testing.assert_close(dice.objective(s, y), f1.objective(s, y))
    # F2 weighs false negatives by 4/5 and false positives by 1/5.
    two = TverskyLoss(0.2, 0.8, 1e-12, average).fit(Y)
    f2 = SoftFBetaLoss(2, average, eps=1e-12).fit(Y)
    torch.testing.assert_close(two.objective(s, y), f2.objective(s, y))


@pytest.mark.parametrize("average", ["macro", "micro", "samples"])
def test_soft_metrics_of_hard_scores_are_the_metrics(average):
    from sklearn.metrics import fbeta_score, jaccard_score

    predicted = (S > 0).numpy().astype(int)
    some = (Y.sum(1) > 0) & (predicted.sum(1) > 0)
    s, y = 1e3 * S[some].sign(), TARGETS[some]
    for beta in (1, 2):
        expected = fbeta_score(Y[some], predicted[some], beta=beta, average=average)
        found = SoftFBetaLoss(beta, average).fit(Y).objective(s, y).mean()
        assert 1 - found.item() == pytest.approx(expected, abs=1e-6)
    jaccard = TverskyLoss(1, 1, 1e-9, average).fit(Y).objective(s, y).mean()
    expected = jaccard_score(Y[some], predicted[some], average=average)
    assert 1 - jaccard.item() == pytest.approx(expected, abs=1e-6)


def test_gradient_of_a_label_without_positives():
    """None for F-beta, as documented; the smoothing of the Tversky index leaves one."""
    y = TARGETS.clone()
    y[:, 2] = 0
    for loss in (SoftFBetaLoss(), SigmoidF1Loss()):
        _, slope = gradient(loss.fit(Y), S, y)
        assert (slope[:, 2] == 0).all() and (slope[:, 0] != 0).all()
    _, slope = gradient(TverskyLoss().fit(Y), S, y)
    assert (slope[:, 2] > 0).all()


# --- a count beside a loss


@pytest.mark.parametrize("head", ["poisson", "categorical"])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_count_keeps_the_loss_and_its_scores(name, head):
    inner, both = LOSSES[name]().fit(Y), WithCount(name, head).fit(Y)
    k = inner.n_outputs_
    outputs = torch.tensor(np.random.default_rng(0).normal(0.5, 1, (12, both.n_outputs_)))
    torch.testing.assert_close(both.link(outputs), inner.link(outputs[:, :k]))
    torch.testing.assert_close(both.decision(outputs), inner.decision(outputs[:, :k]))
    np.testing.assert_array_equal(both.initial_bias()[:k], inner.initial_bias())
    for flag in ("proper", "row_wise", "accepts_soft_targets"):
        assert getattr(both, flag) == getattr(inner, flag)
    assert both.default_decoder == "cardinality"
    _, slope = gradient(both, outputs, TARGETS)
    torch.testing.assert_close(slope[:, :k], gradient(inner, outputs[:, :k], TARGETS)[1])
    assert (slope[:, k:] != 0).any()
    twice = WithCount(name, head, 2.0).fit(Y)
    extra = both.objective(outputs, TARGETS) - inner.objective(outputs[:, :k], TARGETS)
    torch.testing.assert_close(
        twice.objective(outputs, TARGETS), both.objective(outputs, TARGETS) + extra
    )
