"""What every loss in the registry must keep, with its default parameters and in many variants.

A loss that is new in `LOSSES` is covered as it is; it needs one row in `GOLDEN`.
"""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_mlloss.losses import (
    LOSSES,
    AbsKLLoss,
    AdaptiveThresholdLoss,
    AsymmetricLoss,
    AsymmetricPolynomialLoss,
    BalancedBCELoss,
    BinaryCrossEntropy,
    BPMLLLoss,
    BrierLoss,
    CLogLogLoss,
    Criterion,
    DistributionBalancedLoss,
    ExponentialLoss,
    FactorizedLoss,
    FocalLoss,
    HillLoss,
    HingeLoss,
    LDAMLoss,
    Loss,
    LSEPLoss,
    PairwiseLogisticLoss,
    Poly1Loss,
    SeparableLoss,
    SigmoidF1Loss,
    SoftFBetaLoss,
    SoftmaxCrossEntropy,
    SPLCLoss,
    SquaredErrorLoss,
    SquaredHingeLoss,
    TverskyLoss,
    TwoWayLoss,
    WithCount,
    ZLPRLoss,
)
from sklearn_mlloss.losses.counts import COUNT_LINKS, FORMS

# Name -> function of the number of labels.
VARIANTS = {
    **{name: (lambda L, cls=cls: cls()) for name, cls in LOSSES.items()},
    "bce, pos_weight balanced": lambda L: BinaryCrossEntropy("balanced"),
    "bce, pos_weight number": lambda L: BinaryCrossEntropy(3),
    "bce, pos_weight array": lambda L: BinaryCrossEntropy(np.linspace(0.5, 3, L)),
    "bce, tau": lambda L: BinaryCrossEntropy(tau=1),
    "bce, class_weight balanced": lambda L: BinaryCrossEntropy(class_weight="balanced"),
    "bce, class_weight effective": lambda L: BinaryCrossEntropy(class_weight="effective"),
    "bce, class_weight beta": lambda L: BinaryCrossEntropy(class_weight=("effective", 0.9)),
    "bce, class_weight array": lambda L: BinaryCrossEntropy(class_weight=np.linspace(2, 0, L)),
    "bce, label_smoothing": lambda L: BinaryCrossEntropy(label_smoothing=0.1),
    "bce, sum": lambda L: BinaryCrossEntropy(label_reduction="sum"),
    "bce, all at once": lambda L: BinaryCrossEntropy(
        "balanced", 0.5, class_weight="balanced", label_smoothing=0.2, label_reduction="sum"
    ),
    "focal, gamma 0.5": lambda L: FocalLoss(0.5),
    "focal, alpha": lambda L: FocalLoss(alpha=0.25, class_weight="balanced"),
    "focal, label_smoothing": lambda L: FocalLoss(label_smoothing=0.1),
    "focal, gamma 0": lambda L: FocalLoss(0.0),
    "focal, gamma 3": lambda L: FocalLoss(3, 0.8, class_weight=np.linspace(2, 0, L)),
    "asymmetric, gentle": lambda L: AsymmetricLoss(1, 2, 0),
    "asymmetric, detached": lambda L: AsymmetricLoss(1, 4, detach_focus=True),
    "asymmetric, gamma_neg 0.5": lambda L: AsymmetricLoss(gamma_neg=0.5),
    "asymmetric, clip only": lambda L: AsymmetricLoss(0, 0, 0.05, label_reduction="sum"),
    "softmax_ce, count": lambda L: SoftmaxCrossEntropy("count"),
    "softmax_ce, sum": lambda L: SoftmaxCrossEntropy("sum"),
    "softmax_ce, concentration": lambda L: SoftmaxCrossEntropy(concentration=1),
    "softmax_ce, background": lambda L: SoftmaxCrossEntropy(background=True),
    "softmax_ce, kl": lambda L: SoftmaxCrossEntropy(kl=True),
    "softmax_ce, all at once": lambda L: SoftmaxCrossEntropy("count", 0.3, True, True),
    **{
        f"factorized, {form}, {link}": (lambda L, f=form, c=link: FactorizedLoss(f, c))
        for form in FORMS
        for link in COUNT_LINKS
    },
    "factorized, no count_weight": lambda L: FactorizedLoss(count_weight=0),
    "abs_kl, eps 1e-7": lambda L: AbsKLLoss(1e-7),
    "brier, weights": lambda L: BrierLoss(class_weight="balanced", label_smoothing=0.1),
    "asymmetric_polynomial, gentle": lambda L: AsymmetricPolynomialLoss(1, 2, 0, 0.5, -1, 0.3),
    "asymmetric_polynomial, detached": lambda L: AsymmetricPolynomialLoss(detach_focus=True),
    "asymmetric_polynomial, gamma_neg 0.5": lambda L: AsymmetricPolynomialLoss(
        gamma_neg=0.5, clip=0.1, en=0.2, label_smoothing=0.1
    ),
    "hill, high": lambda L: HillLoss(2, 0.5, 3, label_smoothing=0.1),
    "splc, corrected": lambda L: SPLCLoss(start_epoch=0),
    "splc, tau": lambda L: SPLCLoss(0.8, 0.5, 1, 0, class_weight="balanced"),
    "poly1, focal": lambda L: Poly1Loss(2, 1.5, label_smoothing=0.1),
    "poly1, epsilon -1": lambda L: Poly1Loss(-1, class_weight="balanced"),
    "ldam, scale": lambda L: LDAMLoss(2, 3, label_smoothing=0.1),
    "hinge, weights": lambda L: HingeLoss(class_weight="balanced", label_reduction="sum"),
    "hinge, all at once": lambda L: HingeLoss(
        class_weight="effective", label_smoothing=0.3, label_reduction="sum"
    ),
    "hinge, label_smoothing": lambda L: HingeLoss(label_smoothing=0.1),
    "squared_hinge, label_smoothing": lambda L: SquaredHingeLoss(label_smoothing=0.1),
    "exponential, weights": lambda L: ExponentialLoss(
        class_weight=np.linspace(2, 0, L), label_smoothing=0.1
    ),
    "cloglog, weights": lambda L: CLogLogLoss(class_weight="effective", label_smoothing=0.1),
    "distribution_balanced, voc": lambda L: DistributionBalancedLoss(
        mu=0.3, lam=5, kappa=0.5, gamma=1, label_smoothing=0.1
    ),
    "distribution_balanced, weights": lambda L: DistributionBalancedLoss(
        0.5, 3, gamma=0, class_weight="balanced", label_reduction="sum"
    ),
    "distribution_balanced, gentle": lambda L: DistributionBalancedLoss(0, 1, 0, 0.5, 1, 0.5),
    "two_way, temperatures 1": lambda L: TwoWayLoss(1, 1),
    "two_way, temperatures 0.5 and 3": lambda L: TwoWayLoss(0.5, 3),
    "bp_mll, unbounded": lambda L: BPMLLLoss(bounded=False),
    **{
        f"soft_fbeta, {average}, beta {beta}": (lambda L, a=average, b=beta: SoftFBetaLoss(b, a))
        for average in ("macro", "micro", "samples")
        for beta in (1, 2)
    },
    "sigmoid_f1, steep": lambda L: SigmoidF1Loss(3, -0.5),
    **{
        f"tversky, jaccard, {average}": (lambda L, a=average: TverskyLoss(1, 1, 0.5, a))
        for average in ("macro", "micro", "samples")
    },
    **{
        f"{name} with count, {head}": (lambda L, n=name, h=head: WithCount(n, h, 0.7))
        for name in ("bce", "lsep", "soft_fbeta", "atlop")
        for head in ("poisson", "categorical")
    },
}

# The gradient that is used is not the derivative of the value: see `test_detached_focus`.
PSEUDO_GRADIENT = {"asymmetric, detached", "asymmetric_polynomial, detached"}
# Soft targets enter the formula itself.
NOT_LINEAR_IN_TARGETS = {"abs_kl", "abs_kl, eps 1e-7"}

BUILT = {name: make(4) for name, make in VARIANTS.items()}
ROW_WISE = [name for name, loss in BUILT.items() if loss.row_wise]
SEPARABLE = [name for name, loss in BUILT.items() if isinstance(loss, SeparableLoss)]
# The weights of an entry follow from the whole row of targets: nothing of it is a sum over labels.
ROW_WEIGHTED = {n for n, loss in BUILT.items() if isinstance(loss, DistributionBalancedLoss)}
SETS = [
    name
    for name, loss in BUILT.items()
    if isinstance(
        loss,
        (
            AdaptiveThresholdLoss,
            BalancedBCELoss,
            BPMLLLoss,
            LSEPLoss,
            PairwiseLogisticLoss,
            SigmoidF1Loss,
            SoftFBetaLoss,
            SoftmaxCrossEntropy,
            TverskyLoss,
            TwoWayLoss,
            ZLPRLoss,
        ),
    )
]

every = pytest.mark.parametrize("name", VARIANTS)
row_wise = pytest.mark.parametrize("name", ROW_WISE)
separable = pytest.mark.parametrize("name", SEPARABLE)

N, L = 8, 4
HARD = np.array(
    [
        [1, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [0, 1, 0, 1],
        [1, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
    ],
    dtype=float,
)


def make(name, Y=HARD, n_labels=None):
    """Return a fitted loss of the variant."""
    return VARIANTS[name](n_labels or Y.shape[1]).fit(Y)


def draw(loss, n=N, seed=0, dtype=torch.float64, grad=False):
    """Return outputs away from kinks: count outputs positive, logits within (-2.5, 2.5)."""
    rng = np.random.default_rng(seed)
    outputs = rng.uniform(-2.5, 2.5, (n, loss.n_outputs_))
    outputs[:, loss.n_labels_ :] = rng.uniform(0.2, 2.0, (n, loss.n_outputs_ - loss.n_labels_))
    return torch.tensor(outputs, dtype=dtype, requires_grad=grad)


def hide(n=N, n_labels=L, seed=1):
    """Return a 0/1 mask with rows wholly observed, wholly hidden and in between."""
    mask = np.random.default_rng(seed).random((n, n_labels)) < 0.6
    mask[0], mask[1], mask[-1] = True, False, False
    return torch.tensor(mask, dtype=torch.float64)


def gradient(loss, outputs, *args):
    outputs = outputs.detach().clone().requires_grad_()
    value = loss.objective(outputs, *args)
    (slope,) = torch.autograd.grad(value.sum(), outputs)
    return value.detach(), slope


Y = torch.tensor(HARD)


# --- golden values

GOLDEN_Y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=float)
GOLDEN_LOGITS = np.array(
    [[0.5, -1.0, 2.0, 0.7], [-0.3, 1.5, -2.0, 0.1], [3.0, 0.2, -0.4, 1.2], [1.0, -5.0, 0.0, 2.5]]
)
GOLDEN = {
    "abs_kl": [0.3488416657, 1.7952240608, 2.0029882189, 1.8013429276],
    "asymmetric": [0.2005242642, 0.1719615383, 0.716707377, 2.0043747389],
    "asymmetric_polynomial": [0.1002540228, 0.1719615383, 0.6510893053, 1.9623704573],
    "atlop": [2.4729238032, 1.7660956939, 3.2944760968, 12.3003746789],
    "balanced_bce": [0.6137641851, 0.7942321778, 2.3789401714, 2.0043747389],
    "bce": [0.3047555609, 0.7942321778, 1.3865804911, 2.0043747389],
    "bp_mll": [0.2360994078, 0.0, 1.3908904514, 0.0],
    "brier": [0.0763585938, 0.2879121774, 0.4236994971, 0.4363295268],
    "cloglog": [0.1940189322, 1.7859475248, 7.0350513138, 1.8434360862],
    "distribution_balanced": [0.0493157888, 1.0344462555, 2.2913060979, 3.0520448156],
    "exponential": [0.369915128, 1.7859475248, 7.1915292408, 49.9270128479],
    "factorized": [1.102439379, 0.5541263875, 3.1046389146, 1.7271270612],
    "focal": [0.0306783703, 0.4131563846, 0.9900382887, 1.7119553581],
    "hill": [0.1630371651, 0.2234510682, 0.4103993454, 2.2826612538],
    "hinge": [0.1666666667, 1.0666666667, 1.8, 2.3333333333],
    "ldam": [0.402607382, 0.7942321778, 1.4719859495, 2.3174108039],
    "lsep": [0.2413112967, 0.0, 2.89000827, 0.0],
    "mse": [0.75, 2.1133333333, 3.2666666667, 12.3333333333],
    "multilabel_margin": [0.0, 0.0, 1.4, 0.0],
    "pairwise_logistic": [0.1250003148, 0.0, 1.6482603884, 0.0],
    "poisson_softmax": [2.5963753008, 1.1051709181, 5.0101251928, 12.6277104427],
    "poly1": [0.5599838983, 1.248343805, 1.9879313143, 2.591790929],
    "sigmoid_f1": 0.471498695,
    "soft_fbeta": 0.471498695,
    "softmax_ce": [0.9913112967, -0.0, 2.89000827, 2.648405494],
    "splc": [0.1409092386, 0.4131563846, 1.1354740505, 2.2826612538],
    "squared_hinge": [0.0833333333, 2.2466666667, 5.6666666667, 12.3333333333],
    "tversky": 0.3140759245,
    "two_way": 6.1300286103,
    "zlpr": [0.8682186072, 1.8496891019, 3.6780218766, 5.0158287086],
}


@pytest.mark.parametrize("name", LOSSES)
def test_golden(name):
    loss = LOSSES[name]().fit(GOLDEN_Y)
    outputs = torch.tensor(GOLDEN_LOGITS[:, : loss.n_outputs_])
    values = loss.objective(outputs, torch.tensor(GOLDEN_Y)).numpy()
    assert name in GOLDEN, f"add to GOLDEN: {name!r}: {values.round(10).tolist()}"
    np.testing.assert_allclose(values, GOLDEN[name], atol=2e-10)


def test_golden_has_no_stale_row():
    assert set(GOLDEN) == set(LOSSES)


# --- shapes and attributes


@every
def test_shapes_and_attributes(name):
    loss = make(name)
    assert isinstance(loss, Loss)
    assert isinstance(loss.default_decoder, str)
    for flag in ("proper", "row_wise", "accepts_soft_targets", "accepts_label_weights"):
        assert isinstance(getattr(loss, flag), bool)
    assert loss.n_labels_ == L and loss.n_outputs_ >= L
    for statistic in (loss.label_count_, loss.positive_count_, loss.prior_):
        assert isinstance(statistic, np.ndarray) and statistic.shape == (L,)
    outputs = draw(loss)
    assert loss.objective(outputs, Y).shape == ((N,) if loss.row_wise else ())
    assert loss.objective(outputs, Y).dtype == torch.float64
    assert loss.link(outputs).shape == loss.decision(outputs).shape == (N, L)
    bias = loss.initial_bias()
    assert isinstance(bias, np.ndarray) and bias.shape == (loss.n_outputs_,)
    assert np.isfinite(bias).all()
    count = loss.count(outputs)
    if count is not None:
        assert count.shape == (N,) and (count > 0).all()


@every
def test_float32_stays_float32_and_agrees(name):
    loss = make(name)
    outputs = draw(loss)
    single = loss.objective(outputs.float(), Y.float(), hide().float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(
        single.double(), loss.objective(outputs, Y, hide()), rtol=1e-5, atol=1e-5
    )


# --- gradients


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in PSEUDO_GRADIENT])
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(name, masked):
    loss = make(name)
    rows = [1, 2, 3]  # no labels, all, some
    outputs = draw(loss, 3, grad=True)
    mask = torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]]).double() if masked else None
    check_gradient(lambda x: loss.objective(x, Y[rows], mask), outputs)


@pytest.mark.parametrize(
    "name", [n for n in VARIANTS if BUILT[n].accepts_soft_targets and n not in PSEUDO_GRADIENT]
)
def test_gradcheck_with_soft_targets(name):
    loss = make(name)
    soft = torch.tensor(np.random.default_rng(5).random((2, L)))
    check_gradient(lambda x: loss.objective(x, soft), draw(loss, 2, grad=True))


def check_gradient(function, outputs):
    assert torch.autograd.gradcheck(function, (outputs,), check_undefined_grad=False)


def test_detached_focus():
    """The focus is a constant: the slope is focus times the slope of the logarithm."""
    gamma_pos, gamma_neg, clip = 1.0, 4.0, 0.05
    loss = AsymmetricLoss(gamma_pos, gamma_neg, clip, True, label_reduction="sum").fit(HARD)
    outputs = draw(loss)
    s, y = outputs.numpy(), HARD
    p = 1 / (1 + np.exp(-s))
    p_m = np.maximum(p - clip, 0)
    positive = -((1 - p) ** gamma_pos) * (1 - p)
    negative = np.where(p > clip, p_m**gamma_neg * p * (1 - p) / (1 - p_m), 0)
    value, slope = gradient(loss, outputs, Y)
    np.testing.assert_allclose(slope, np.where(y == 1, positive, negative), atol=1e-12)
    plain = AsymmetricLoss(gamma_pos, gamma_neg, clip, label_reduction="sum").fit(HARD)
    torch.testing.assert_close(value, plain.objective(outputs, Y))


@every
@pytest.mark.parametrize("masked", [False, True])
def test_finite_at_extreme_outputs(name, masked):
    loss = make(name)
    k = loss.n_outputs_
    patterns = np.array(
        [np.ones(k), -np.ones(k), (-1.0) ** np.arange(k), -((-1.0) ** np.arange(k))]
    )
    patterns = np.concatenate([patterns, [np.where(np.arange(k) == 0, 1, -1)], [np.zeros(k)]])
    targets = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 1], [0, 1, 1, 0]])
    outputs = torch.tensor(1e4 * np.repeat(patterns, len(targets), 0), dtype=torch.float32)
    y = torch.tensor(np.tile(targets, (len(patterns), 1)), dtype=torch.float32)
    masks = [None]
    if masked:
        rows = [[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]]
        masks = [torch.tensor([row], dtype=torch.float32).expand_as(y) for row in rows]
    for mask in masks:
        value, slope = gradient(loss, outputs, y, mask)
        assert value.isfinite().all()
        assert slope.isfinite().all()


@separable
def test_a_confident_mistake_is_expensive(name):
    """No dead ends: what is badly wrong costs more than what is right."""
    loss = make(name)
    wrong = loss.objective(torch.full((1, L), -20.0), torch.ones(1, L))
    right = loss.objective(torch.full((1, L), 20.0), torch.ones(1, L))
    if isinstance(loss, (SquaredErrorLoss, CLogLogLoss)):
        # Too sure is wrong too, for the former always, for the latter with smoothing.
        right = loss.objective(torch.ones(1, L), torch.ones(1, L))
    assert wrong > right + 0.05


def near(found, expected, rtol):
    """Tell whether gradients agree up to a share of the largest of their row."""
    size = 1 + expected.abs().amax(-1, keepdim=True)
    return bool(((found - expected).abs() <= rtol * size).all())


@row_wise
@pytest.mark.parametrize("n_labels", [1, 2, 5, 23])
def test_closed_form_is_what_autograd_finds(name, n_labels):
    rng = np.random.default_rng(n_labels)
    targets = 1.0 * (rng.random((31, n_labels)) < 0.3)
    targets[0], targets[1] = 0, 1
    loss, y = make(name, targets), torch.tensor(targets)
    for scale in (1, 3, 9, 1e4):
        outputs = torch.tensor(rng.uniform(-scale, scale, (31, loss.n_outputs_)))
        found = loss.gradient(outputs, y)
        if found is None:
            assert name == "pairwise_logistic" or n_labels == 1
            return
        # torch takes softplus for linear from 20 on, which scales and margins bring near.
        assert near(found, gradient(loss, outputs, y)[1], 1e-9 if scale <= 3 else 1e-8)
        single = loss.gradient(outputs.float(), y.float())
        assert near(single, found, 1e-5) if scale <= 9 else single.isfinite().all()


@row_wise
def test_closed_form_with_ties_and_leading_axes(name):
    loss = make(name)
    y = torch.stack([Y, 1 - Y, Y.flip(0)])
    outputs = torch.stack([draw(loss), draw(loss, seed=1), torch.full_like(draw(loss), 0.3)])
    found = loss.gradient(outputs, y)
    if found is None:
        assert name == "pairwise_logistic"
        return
    assert near(found, gradient(loss, outputs, y)[1], 1e-9)
    deep = loss.gradient(*(t[:, None].expand(3, 2, -1, -1) for t in (outputs, y)))
    assert near(deep, found[:, None].expand_as(deep), 1e-12)


# --- rows, members, labels


@row_wise
def test_rows_do_not_interact(name):
    loss = make(name)
    outputs, mask = draw(loss), hide()
    together, slopes = gradient(loss, outputs, Y, mask)
    for i in range(N):
        row = slice(i, i + 1)
        alone, slope = gradient(loss, outputs[row], Y[row], mask[row])
        assert alone.shape == (1,)
        torch.testing.assert_close(alone, together[row])
        torch.testing.assert_close(slope, slopes[row])
        torch.testing.assert_close(loss.link(outputs[row]), loss.link(outputs)[row])


@every
def test_member_axis(name):
    loss = make(name)
    outputs = torch.stack([draw(loss, seed=seed) for seed in range(3)])
    targets = torch.stack([Y, 1 - Y, Y.flip(0)])
    masks = torch.stack([hide(seed=seed) for seed in range(3)])
    for mask in (None, masks):
        packed = loss.objective(outputs, targets, mask)
        single = [
            loss.objective(outputs[i], targets[i], None if mask is None else mask[i])
            for i in range(3)
        ]
        torch.testing.assert_close(packed, torch.stack(single))
    for method in (loss.link, loss.decision):
        torch.testing.assert_close(method(outputs), torch.stack([method(o) for o in outputs]))
    if loss.count(outputs) is not None:
        torch.testing.assert_close(
            loss.count(outputs), torch.stack([loss.count(o) for o in outputs])
        )


@every
def test_row_permutation(name):
    order = np.random.default_rng(2).permutation(N)
    loss, other = make(name), make(name, HARD[order])
    outputs, mask = draw(loss), hide()
    value = loss.objective(outputs, Y, mask)
    expected = value[order] if loss.row_wise else value
    torch.testing.assert_close(other.objective(outputs[order], Y[order], mask[order]), expected)
    torch.testing.assert_close(other.link(outputs[order]), loss.link(outputs)[order])
    np.testing.assert_allclose(other.initial_bias(), loss.initial_bias())


@every
def test_label_permutation(name):
    order = np.array([2, 0, 3, 1])
    loss = make(name)
    arrays = {
        key: value[order]
        for key, value in loss.get_params(deep=False).items()
        if isinstance(value, np.ndarray) and value.shape == (L,)
    }
    other = clone(loss).set_params(**arrays).fit(HARD[:, order])
    columns = np.concatenate([order, np.arange(L, loss.n_outputs_)])
    outputs, mask = draw(loss), hide()
    moved = outputs[:, columns]
    torch.testing.assert_close(
        other.objective(moved, Y[:, order], mask[:, order]), loss.objective(outputs, Y, mask)
    )
    torch.testing.assert_close(other.link(moved), loss.link(outputs)[:, order])
    torch.testing.assert_close(other.decision(moved), loss.decision(outputs)[:, order])
    np.testing.assert_allclose(other.initial_bias(), loss.initial_bias()[columns])


@every
@pytest.mark.parametrize("n_labels", [1, 2])
def test_few_labels(name, n_labels):
    Y_small = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], dtype=float)[:, :n_labels]
    loss = make(name, Y_small)
    outputs, targets = draw(loss, 5), torch.tensor(Y_small)
    value, slope = gradient(loss, outputs, targets)
    assert value.isfinite().all() and slope.isfinite().all()
    # The distribution over a single label is constant.
    assert slope.abs().sum() > 0 or (n_labels == 1 and name == "factorized, no count_weight")
    scores = loss.link(outputs)
    assert scores.shape == (5, n_labels) and ((scores > 0) & (scores < 1)).all()
    one, one_slope = gradient(loss, outputs[:1], targets[:1])
    if loss.row_wise:
        torch.testing.assert_close(one, value[:1])
        torch.testing.assert_close(one_slope, slope[:1])
    assert np.isfinite(loss.initial_bias()).all()


@every
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_constant_label(name, constant):
    Y_constant = HARD.copy()
    Y_constant[:, 1] = constant
    loss = make(name, Y_constant)
    value, slope = gradient(loss, draw(loss), torch.tensor(Y_constant))
    assert value.isfinite().all() and slope.isfinite().all()
    assert np.isfinite(loss.initial_bias()).all()
    assert 0 < loss.prior_[1] < 1


@every
def test_label_never_observed(name):
    Y_missing = HARD.copy()
    Y_missing[:, 2] = np.nan
    loss = make(name, Y_missing)
    assert np.isfinite(loss.initial_bias()).all()
    assert loss.label_count_[2] == 0
    assert loss.objective(draw(loss), Y, hide()).isfinite().all()


# --- masks


@every
def test_hidden_targets_never_matter(name):
    loss = make(name)
    outputs, mask = draw(loss), hide()
    expected = gradient(loss, outputs, Y, mask)
    for filler in (0.0, 0.3, 1.0, -3.0, 7.0):
        found = gradient(loss, outputs, torch.where(mask > 0, Y, filler), mask)
        torch.testing.assert_close(found, expected)


@row_wise
def test_hidden_row_costs_nothing(name):
    loss = make(name)
    value, slope = gradient(loss, draw(loss), Y, hide())
    hidden = hide().sum(-1) == 0
    assert (value[hidden] == 0).all()
    assert (slope[hidden] == 0).all()
    assert (slope[~hidden] != 0).any()


@every
def test_mask_of_ones_is_no_mask(name):
    loss = make(name)
    outputs = draw(loss)
    torch.testing.assert_close(
        gradient(loss, outputs, Y, torch.ones_like(Y)), gradient(loss, outputs, Y)
    )


@separable
def test_masked_entry_has_no_gradient(name):
    loss = make(name)
    _, slope = gradient(loss, draw(loss), Y, hide())
    assert (slope[hide() == 0] == 0).all()
    # An observed entry weighs the same whatever is hidden around it, but for what the loss itself
    # makes of the other targets of the row.
    _, full = gradient(loss, draw(loss), Y)
    if name in ROW_WEIGHTED:
        full = full / loss.entry_weight(Y, None) * loss.entry_weight(Y, hide())
    torch.testing.assert_close(slope, full * hide())


@pytest.mark.parametrize("name", [n for n in VARIANTS if BUILT[n].accepts_label_weights])
def test_mask_weights_multiply(name):
    loss = make(name)
    outputs = draw(loss)
    weight = torch.tensor(np.random.default_rng(4).uniform(0, 3, (N, L)))
    parts = torch.stack(
        [loss.objective(outputs, Y, torch.eye(L).double()[j].expand(N, L)) for j in range(L)], -1
    )
    if name in ROW_WEIGHTED:
        # With only one label observed, the weight of that label is another.
        eye = torch.eye(L).double()
        alone = torch.stack([loss.entry_weight(Y, e.expand(N, L))[:, j] for j, e in enumerate(eye)])
        parts = parts / alone.T * loss.entry_weight(Y, None)
    torch.testing.assert_close(parts.sum(-1), loss.objective(outputs, Y))
    torch.testing.assert_close(loss.objective(outputs, Y, weight), (parts * weight).sum(-1))


@pytest.mark.parametrize("name", SETS)
def test_hiding_a_label_is_deleting_its_column(name):
    loss = make(name)
    outputs = draw(loss)
    for hidden in ([0], [3], [1, 2]):
        kept = [j for j in range(L) if j not in hidden]
        mask = torch.ones(N, L, dtype=torch.float64)
        mask[:, hidden] = 0
        other = make(name, HARD[:, kept])
        columns = kept + list(range(L, loss.n_outputs_))
        value, slope = gradient(loss, outputs, Y, mask)
        expected, expected_slope = gradient(other, outputs[:, columns], Y[:, kept])
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(slope[:, columns], expected_slope)
        assert (slope[:, hidden] == 0).all()


# --- soft targets


@pytest.mark.parametrize("name", [n for n in SEPARABLE if n not in NOT_LINEAR_IN_TARGETS])
@given(
    s=st.lists(st.floats(-40, 40), min_size=L, max_size=L),
    y=st.lists(st.floats(0, 1), min_size=L, max_size=L),
)
@settings(max_examples=6, deadline=None, derandomize=True)
def test_soft_targets_mix_the_two_losses(name, s, y):
    loss = make(name)
    outputs, soft = torch.tensor([s]), torch.tensor([y])
    outputs, soft = outputs.double(), soft.double()
    eye = torch.eye(L).double()
    mixed = 0
    for j in range(L):
        present = loss.objective(outputs, torch.ones_like(soft), eye[j : j + 1])
        absent = loss.objective(outputs, torch.zeros_like(soft), eye[j : j + 1])
        if name in ROW_WEIGHTED:
            # The weight is that of the row of soft targets, not of the label alone.
            ones, only = torch.ones_like(soft), eye[j : j + 1]
            weight = loss.entry_weight(soft, None)[:, j]
            present = present / loss.entry_weight(ones, only)[:, j] * weight
            absent = absent / loss.entry_weight(0 * ones, only)[:, j] * weight
        mixed = mixed + soft[:, j] * present + (1 - soft[:, j]) * absent
    torch.testing.assert_close(loss.objective(outputs, soft), mixed, rtol=1e-9, atol=1e-9)


@separable
def test_polarities_are_what_the_objective_uses(name):
    """The link is derived from `positive` and `negative`: they must be the loss."""
    loss = make(name).set_params(label_smoothing=0.0, class_weight=None, label_reduction="sum")
    loss.fit(HARD)
    outputs = torch.cat([draw(loss), 12 * draw(loss)])
    for method, value in ((loss.positive, 1.0), (loss.negative, 0.0)):
        targets = torch.full_like(outputs, value)
        expected = method(outputs)
        if name in ROW_WEIGHTED:
            expected = expected * loss.entry_weight(targets, None)
        found = loss.objective(outputs, targets)
        torch.testing.assert_close(found, expected.sum(-1), rtol=1e-9, atol=1e-9)


# --- side effects


@every
def test_inputs_are_not_mutated(name):
    Y_fit, weight = HARD.copy(), np.linspace(1, 2, N)
    Y_fit[3, 1] = np.nan
    kept = Y_fit.copy(), weight.copy()
    Y_fit.flags.writeable = weight.flags.writeable = False
    loss = VARIANTS[name](L).fit(Y_fit, weight).partial_fit(Y_fit)
    np.testing.assert_array_equal(Y_fit, kept[0])
    np.testing.assert_array_equal(weight, kept[1])
    outputs, targets, mask = draw(loss), Y.clone(), hide()
    before = [t.clone() for t in (outputs, targets, mask)]
    gradient(loss, outputs, targets, mask)
    for method in (loss.link, loss.decision, loss.count):
        method(outputs)
    with_nan = torch.where(mask > 0, targets, torch.nan)
    nan_before = with_nan.clone()
    Criterion(loss)(outputs, with_nan, torch.ones(N), mask)
    for now, then in zip((outputs, targets, mask), before, strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0)
    torch.testing.assert_close(with_nan, nan_before, rtol=0, atol=0, equal_nan=True)


@every
def test_grad_mode_is_left_alone(name):
    loss = make(name)
    outputs = draw(loss, grad=True)
    for context, expected in (
        (torch.enable_grad, True),
        (torch.no_grad, False),
        (torch.inference_mode, False),
    ):
        with context():
            for call in (
                lambda: loss.objective(outputs, Y, hide()),
                lambda: loss.link(outputs),
                lambda: loss.decision(outputs),
                lambda: loss.count(outputs),
                loss.initial_bias,
            ):
                call()
                assert torch.is_grad_enabled() is expected
                assert torch.is_inference_mode_enabled() is (context is torch.inference_mode)
            if not expected:
                assert not loss.objective(outputs, Y).requires_grad
                assert not loss.link(outputs).requires_grad
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@every
@pytest.mark.parametrize("inside_first", [False, True])
def test_inference_mode_before_and_after(name, inside_first):
    loss = make(name)
    outputs = draw(loss)

    def outside():
        value, slope = gradient(loss, outputs, Y, hide())
        return value, slope, loss.link(outputs)

    def inside():
        with torch.inference_mode():
            made_here = outputs * 1
            return loss.objective(made_here, Y, hide()), loss.link(made_here), made_here

    if inside_first:
        (a, link_a, made_here), (b, _, link_b) = inside(), outside()
    else:
        (b, _, link_b), (a, link_a, made_here) = outside(), inside()
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(link_a, link_b)
    # A tensor made in inference mode may be handed out of it.
    torch.testing.assert_close(loss.link(made_here), link_b)


# --- links


@every
def test_link_is_float64_and_inside(name):
    loss = make(name)
    k = loss.n_outputs_
    rng = np.random.default_rng(6)
    for scale in (1, 17, 100, 1e3, 1e4):
        outputs = torch.tensor(scale * rng.choice([-1.0, 0.0, 1.0], (40, k)))
        for dtype in (torch.float32, torch.float64):
            scores = loss.link(outputs.to(dtype))
            assert scores.dtype == torch.float64
            assert ((scores > 0) & (scores < 1)).all()


GRID = torch.tensor(np.concatenate([[-1e4, -1e3], np.linspace(-30, 30, 241), [1e3, 1e4]]))


@every
def test_link_is_strictly_increasing(name):
    loss = make(name)
    # A count output of 4 is more labels than there are.
    for j, count in ((0, 0.7), (1, 2.0), (L - 1, 4.0)):
        outputs = draw(loss, 1, seed=j).expand(len(GRID), -1).clone()
        outputs[:, L:] = count
        outputs[:, j] = GRID
        steps = loss.link(outputs)[:, j].diff()
        stuck = GRID[1:][steps <= 0].tolist()
        assert not stuck, f"label {j} does not grow on the way to logits {stuck[0]} ... {stuck[-1]}"


# --- scikit-learn object, statistics


@every
def test_clone_and_get_params(name):
    loss = make(name)
    again = clone(loss)
    assert not hasattr(again, "n_labels_")
    assert repr(again) == repr(loss)
    for key, value in loss.get_params().items():
        np.testing.assert_equal(again.get_params()[key], value)
    outputs = draw(loss)
    torch.testing.assert_close(
        again.fit(HARD).objective(outputs, Y), loss.objective(outputs, Y), rtol=0, atol=0
    )


@every
def test_constructor_only_stores(name):
    params = BUILT[name].get_params(deep=False)
    loss = type(BUILT[name])(**params)
    for key, value in params.items():
        assert loss.get_params(deep=False)[key] is value
    assert not hasattr(loss, "n_labels_")


@every
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies(name, how):
    loss = make(name)
    outputs = draw(loss)
    value, scores = loss.objective(outputs, Y), loss.link(outputs)
    again = pickle.loads(pickle.dumps(loss)) if how == "pickle" else copy.deepcopy(loss)
    assert not any(isinstance(v, torch.Tensor) for v in again.__getstate__().values())
    torch.testing.assert_close(again.objective(outputs, Y), value, rtol=0, atol=0)
    torch.testing.assert_close(again.link(outputs), scores, rtol=0, atol=0)
    np.testing.assert_array_equal(again.initial_bias(), loss.initial_bias())
    # The copy goes its own way.
    again.partial_fit(1 - HARD)
    torch.testing.assert_close(loss.objective(outputs, Y), value, rtol=0, atol=0)


def test_pickle_leaves_cached_tensors_out():
    loss = make("bce, pos_weight array")
    loss.objective(draw(loss), Y)
    assert loss._tensors
    assert pickle.loads(pickle.dumps(loss))._tensors == {}
    assert loss._tensors


def assert_same_fit(a, b):
    for key in ("label_count_", "positive_count_", "prior_"):
        np.testing.assert_allclose(getattr(a, key), getattr(b, key), rtol=1e-12)
    assert a.n_outputs_ == b.n_outputs_
    np.testing.assert_allclose(a.initial_bias(), b.initial_bias(), rtol=1e-9, atol=1e-9)
    outputs = draw(a)
    torch.testing.assert_close(a.objective(outputs, Y, hide()), b.objective(outputs, Y, hide()))
    torch.testing.assert_close(a.link(outputs), b.link(outputs))


def with_missing():
    Y_missing = HARD.copy()
    Y_missing[[0, 3, 3, 6], [1, 0, 3, 2]] = np.nan
    return Y_missing


@every
def test_partial_fit_accumulates(name):
    Y_missing = with_missing()
    weight = np.random.default_rng(0).uniform(0.5, 2, (N, L))
    whole = VARIANTS[name](L).fit(Y_missing, weight)
    parts = VARIANTS[name](L)
    for rows in (slice(0, 3), slice(3, 4), slice(4, N)):
        assert parts.partial_fit(Y_missing[rows], weight[rows]) is parts
        parts.objective(draw(parts), Y)  # what was cached must not outlive the chunk
    assert_same_fit(whole, parts)
    # Fitting again starts anew.
    assert_same_fit(parts.fit(HARD), make(name))


@every
def test_weights_are_counts(name):
    Y_missing = with_missing()
    weight = np.array([2, 1, 1, 3, 0, 1, 1, 2])
    weighted = VARIANTS[name](L).fit(Y_missing, weight)
    repeated = VARIANTS[name](L).fit(np.repeat(Y_missing, weight, 0))
    assert_same_fit(weighted, repeated)
    assert_same_fit(VARIANTS[name](L).fit(Y_missing, np.repeat(weight[:, None], L, 1)), repeated)
    # The weight of a single entry: 0 hides it.
    entry = np.where(np.isnan(Y_missing), 0.0, 1.0)
    assert_same_fit(VARIANTS[name](L).fit(HARD, entry), VARIANTS[name](L).fit(Y_missing))


@pytest.mark.parametrize("name", LOSSES)
def test_fit_takes_any_dtype(name):
    for dtype in (bool, np.int8, np.uint8, np.float32):
        assert_same_fit(VARIANTS[name](L).fit(HARD.astype(dtype)), make(name))


@every
def test_fit_refuses(name):
    with pytest.raises(ValueError, match="2-D"):
        VARIANTS[name](L).fit(HARD[:, 0])
    with pytest.raises(ValueError, match="3 labels.*4"):
        make(name).partial_fit(HARD[:, :3])


def test_statistics():
    loss = BinaryCrossEntropy().fit(with_missing())
    np.testing.assert_array_equal(loss.label_count_, [7, 7, 7, 7])
    np.testing.assert_array_equal(loss.positive_count_, [5, 3, 2, 2])
    np.testing.assert_allclose(loss.prior_, [5 / 7, 3 / 7, 2 / 7, 2 / 7])
    # Without positives or negatives: half a one.
    edge = BinaryCrossEntropy().fit(np.array([[0, 1]] * 10))
    np.testing.assert_allclose(edge.prior_, [0.05, 0.95])


@pytest.mark.parametrize(
    "loss, match",
    [
        (BinaryCrossEntropy(pos_weight="balance"), "pos_weight"),
        (BinaryCrossEntropy(pos_weight=0), "pos_weight must be None, .* finite number > 0 or one"),
        (BinaryCrossEntropy(pos_weight=-1), "pos_weight"),
        (BinaryCrossEntropy(pos_weight=[1, 2]), "pos_weight has 2 values for 4 labels"),
        (BinaryCrossEntropy(pos_weight=[1, 2, 3, np.nan]), "pos_weight"),
        (BinaryCrossEntropy(tau="1"), "tau"),
        (BinaryCrossEntropy(class_weight="auto"), "class_weight"),
        (BinaryCrossEntropy(class_weight=[1, 2]), "class_weight has 2 values for 4 labels"),
        (BinaryCrossEntropy(class_weight=[1, 2, 3, -1]), "class_weight"),
        (BinaryCrossEntropy(class_weight=("effective", 1.0)), "beta"),
        (BinaryCrossEntropy(label_smoothing=1.0), "label_smoothing"),
        (BinaryCrossEntropy(label_smoothing=-0.1), "label_smoothing"),
        (BinaryCrossEntropy(label_reduction="max"), "label_reduction"),
        (FocalLoss(gamma=-1), "gamma"),
        (FocalLoss(alpha=1.0), "alpha"),
        (AsymmetricLoss(gamma_pos=-1), "gamma_pos"),
        (AsymmetricLoss(gamma_neg=-1), "gamma_neg"),
        (AsymmetricLoss(clip=1), "clip"),
        (AsymmetricLoss(detach_focus="yes"), "detach_focus"),
        (AbsKLLoss(eps=0), "eps"),
        (AbsKLLoss(eps=1.0), "eps"),
        (SoftmaxCrossEntropy(normalise="mean"), "normalise"),
        (SoftmaxCrossEntropy(concentration=-1), "concentration"),
        (SoftmaxCrossEntropy(background=2), "background"),
        (SoftmaxCrossEntropy(kl="yes"), "kl"),
        (FactorizedLoss(form="kl"), "form"),
        (FactorizedLoss(count_link="log"), "count_link"),
        (FactorizedLoss(count_weight=-1), "count_weight"),
        (FactorizedLoss(eps=0), "eps"),
        (AsymmetricPolynomialLoss(gamma_pos=-1), "gamma_pos"),
        (AsymmetricPolynomialLoss(gamma_neg=-1), "gamma_neg"),
        (AsymmetricPolynomialLoss(clip=1), "clip"),
        (AsymmetricPolynomialLoss(e2="x"), "e2"),
        (AsymmetricPolynomialLoss(detach_focus="yes"), "detach_focus"),
        (HillLoss(lam=1.4), "lam"),
        (HillLoss(gamma=-1), "gamma"),
        (HillLoss(margin=None), "margin"),
        (SPLCLoss(tau=1.0), "tau"),
        (SPLCLoss(start_epoch=0.5), "start_epoch"),
        (SPLCLoss(gamma=-1), "gamma"),
        (Poly1Loss(epsilon=-1.1), "epsilon"),
        (Poly1Loss(gamma=-1), "gamma"),
        (LDAMLoss(max_margin=-1), "max_margin"),
        (LDAMLoss(scale=0), "scale"),
        (DistributionBalancedLoss(lam=0), "lam"),
        (DistributionBalancedLoss(beta=-1), "beta"),
        (DistributionBalancedLoss(gamma=-1), "gamma"),
        (DistributionBalancedLoss(alpha="a"), "alpha"),
        (TwoWayLoss(positive_temperature=0), "positive_temperature"),
        (TwoWayLoss(negative_temperature=-1), "negative_temperature"),
        (BPMLLLoss(bounded="tanh"), "bounded"),
        (SoftFBetaLoss(beta=0), "beta"),
        (SoftFBetaLoss(average="weighted"), "average"),
        (SoftFBetaLoss(eps=0), "eps"),
        (SigmoidF1Loss(slope=0), "slope"),
        (SigmoidF1Loss(offset="0"), "offset"),
        (TverskyLoss(alpha=0), "alpha"),
        (TverskyLoss(smooth=0), "smooth"),
        (TverskyLoss(average="rows"), "average"),
        (WithCount(head="normal"), "head"),
        (WithCount(weight=0), "weight"),
        (WithCount("nonsense"), "nonsense"),
        (WithCount(FocalLoss(gamma=-1)), "gamma"),
    ],
)
def test_bad_parameters(loss, match):
    """Raised by `fit`: the constructor has stored them without a word."""
    with pytest.raises((ValueError, TypeError), match=match):
        loss.fit(HARD)


# --- Criterion


@row_wise
def test_criterion_is_the_weighted_mean(name):
    loss = make(name)
    outputs, weight = draw(loss), torch.tensor(np.linspace(0, 2, N))
    criterion = Criterion(loss)
    values = loss.objective(outputs, Y)
    assert criterion(outputs, Y).shape == ()
    torch.testing.assert_close(criterion(outputs, Y), values.mean())
    torch.testing.assert_close(criterion(outputs, Y, weight), (weight * values).mean())
    torch.testing.assert_close(
        criterion(outputs, Y, sample_weight=weight, mask=hide()),
        (weight * loss.objective(outputs, Y, hide())).mean(),
    )
    packed = criterion(outputs.expand(2, -1, -1), Y.expand(2, -1, -1), weight.expand(2, -1))
    torch.testing.assert_close(packed, (weight * values).mean())


@every
def test_criterion_reads_nan_as_hidden(name):
    loss = make(name)
    criterion, mask = Criterion(loss), hide()
    outputs = draw(loss, grad=True)
    with_nan = torch.where(mask > 0, Y, torch.nan)
    value = criterion(outputs, with_nan)
    torch.testing.assert_close(value, criterion(outputs, Y, mask=mask))
    torch.testing.assert_close(value, criterion(outputs, Y, mask=mask.bool()))
    (slope,) = torch.autograd.grad(value, outputs)
    assert slope.isfinite().all()
    # Both ways of hiding together.
    more = hide(seed=9)
    torch.testing.assert_close(
        criterion(outputs, with_nan, mask=more), criterion(outputs, Y, mask=mask * more)
    )


@every
def test_criterion_takes_any_target_dtype(name):
    loss = make(name)
    criterion = Criterion(loss)
    for dtype in (torch.float32, torch.float64):
        outputs = draw(loss, dtype=dtype)
        expected = criterion(outputs, Y.to(dtype))
        assert expected.dtype == dtype
        for other in (torch.int64, torch.int8, torch.uint8, torch.bool, torch.float32):
            found = criterion(outputs, Y.to(other))
            assert found.dtype == dtype
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


@every
def test_criterion_label_weights(name):
    loss = make(name)
    criterion, outputs = Criterion(loss), draw(loss)
    weight = torch.tensor(np.random.default_rng(8).uniform(0, 2, (N, L)))
    if not loss.accepts_label_weights:
        with pytest.raises(ValueError, match="one weight a row"):
            criterion(outputs, Y, weight)
        return
    torch.testing.assert_close(
        criterion(outputs, Y, weight), loss.objective(outputs, Y, weight).mean()
    )
    torch.testing.assert_close(
        criterion(outputs, torch.where(hide() > 0, Y, torch.nan), weight),
        loss.objective(outputs, Y, weight * hide()).mean(),
    )


@every
def test_criterion_backward_and_set_epoch(name):
    loss = make(name)
    criterion = Criterion(loss)
    criterion.set_epoch(0)
    outputs = draw(loss, dtype=torch.float32, grad=True)
    criterion(outputs, Y).backward()
    assert outputs.grad.isfinite().all() and outputs.grad.abs().sum() > 0


def test_criterion_tells_the_loss_the_epoch():
    class Told(BrierLoss):
        def set_epoch(self, epoch):
            self.told = epoch

    loss = Told().fit(HARD)
    Criterion(loss).set_epoch(3)
    assert loss.told == 3
