"""The contract of losses: `check_loss` for all of them in many variants, and further checks.

A new loss in `LOSSES` is covered as it is; it needs one row in `GOLDEN`.
"""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    FunctionLoss,
    HillLoss,
    HingeLoss,
    LDAMLoss,
    LSEPLoss,
    PairwiseLogisticLoss,
    PoissonSoftmaxLoss,
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
from sklearn_mlloss.testing import check_loss

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

# Soft targets enter the formula itself.
NOT_LINEAR_IN_TARGETS = {"abs_kl", "abs_kl, eps 1e-7"}

BUILT = {name: make(4) for name, make in VARIANTS.items()}
ROW_WISE = [name for name, loss in BUILT.items() if loss.row_wise]
SEPARABLE = [name for name, loss in BUILT.items() if isinstance(loss, SeparableLoss)]
WITH_COUNT = [
    name
    for name, loss in BUILT.items()
    if isinstance(loss, (FactorizedLoss, PoissonSoftmaxLoss, WithCount))
]
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

all_variants = pytest.mark.parametrize("name", VARIANTS)
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


# --- the contract suite


@all_variants
def test_check_loss_passes(name):
    check_loss(VARIANTS[name](L), n_labels=L)


@pytest.mark.parametrize("n_labels", [1, 2, 7])
@pytest.mark.parametrize("name", LOSSES)
def test_check_loss_passes_with_any_number_of_labels(name, n_labels):
    check_loss(name, n_labels=n_labels, random_state=n_labels)


@pytest.mark.parametrize(
    "loss",
    [
        BinaryCrossEntropy(class_weight=[2, 1, 1, 0.5]),
        FunctionLoss(torch.nn.BCEWithLogitsLoss),
        FunctionLoss(torch.nn.MSELoss()),
    ],
    ids=["list", "torch class", "torch module"],
)
def test_check_loss_passes_with_other_parameters(loss):
    check_loss(loss)


# --- values


@all_variants
def test_float32_stays_float32_and_agrees(name):
    loss = make(name)
    outputs = draw(loss)
    single = loss.objective(outputs.float(), Y.float(), hide().float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(
        single.double(), loss.objective(outputs, Y, hide()), rtol=1e-5, atol=1e-5
    )


# --- gradients


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


@separable
def test_a_confident_mistake_is_expensive(name):
    """No dead ends: a confident mistake costs more than a correct prediction."""
    loss = make(name)
    wrong = loss.objective(torch.full((1, L), -20.0), torch.ones(1, L))
    right = loss.objective(torch.full((1, L), 20.0), torch.ones(1, L))
    if isinstance(loss, (SquaredErrorLoss, CLogLogLoss)):
        # Too sure is wrong too, for the former always, for the latter with smoothing.
        right = loss.objective(torch.ones(1, L), torch.ones(1, L))
    assert wrong > right + 0.05


def near(found, expected, rtol):
    """Return whether gradients agree up to a share of the largest of their row."""
    size = 1 + expected.abs().amax(-1, keepdim=True)
    return bool(((found - expected).abs() <= rtol * size).all())


@row_wise
def test_closed_form_with_many_labels_and_leading_axes(name):
    rng = np.random.default_rng(23)
    targets = 1.0 * (rng.random((31, 23)) < 0.3)
    targets[0], targets[1] = 0, 1
    loss, y = make(name, targets), torch.tensor(targets)
    for scale in (1, 3, 9, 1e4):
        outputs = torch.tensor(rng.uniform(-scale, scale, (31, loss.n_outputs_)))
        found = loss.gradient(outputs, y)
        if found is None:
            assert name == "pairwise_logistic"
            return
        # torch takes softplus for linear from 20 on, which scales and margins bring near.
        assert near(found, gradient(loss, outputs, y)[1], 1e-9 if scale <= 3 else 1e-8)
        single = loss.gradient(outputs.float(), y.float())
        assert near(single, found, 1e-5) if scale <= 9 else single.isfinite().all()
        deep = loss.gradient(*(t.expand(3, 2, -1, -1) for t in (outputs, y)))
        assert near(deep, found.expand_as(deep), 1e-12)


# --- masks


@separable
def test_masked_entry_has_no_gradient(name):
    loss = make(name)
    _, slope = gradient(loss, draw(loss), Y, hide())
    assert (slope[hide() == 0] == 0).all()
    # An observed entry has the same weight with and without hidden entries, unless the loss itself
    # depends on the other targets of the row.
    _, full = gradient(loss, draw(loss), Y)
    if name in ROW_WEIGHTED:
        full = full / loss.entry_weight(Y, None) * loss.entry_weight(Y, hide())
    torch.testing.assert_close(slope, full * hide())


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


# --- inference mode, links


@pytest.mark.parametrize("name", [*LOSSES, "bce, all at once", "softmax_ce, all at once"])
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


GRID = torch.tensor(np.concatenate([[-1e4, -1e3], np.linspace(-30, 30, 241), [1e3, 1e4]]))


@pytest.mark.parametrize("name", WITH_COUNT)
def test_link_is_strictly_increasing_for_every_count(name):
    loss = make(name)
    # A count output of 4 is more labels than there are.
    for j, count in ((0, 0.7), (1, 2.0), (L - 1, 4.0)):
        outputs = draw(loss, 1, seed=j).expand(len(GRID), -1).clone()
        outputs[:, L:] = count
        outputs[:, j] = GRID
        steps = loss.link(outputs)[:, j].diff()
        stuck = GRID[1:][steps <= 0].tolist()
        assert not stuck, f"label {j} does not grow on the way to logits {stuck[0]} ... {stuck[-1]}"


# --- copies, statistics: the methods of the base


def test_copies_are_independent():
    loss = make("bce, pos_weight array")
    outputs = draw(loss)
    value = loss.objective(outputs, Y)
    assert loss._tensors
    for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert again._tensors == {}
        torch.testing.assert_close(again.objective(outputs, Y), value, rtol=0, atol=0)
        again.partial_fit(1 - HARD)
        torch.testing.assert_close(loss.objective(outputs, Y), value, rtol=0, atol=0)


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


COUNTING = "bce", "focal, alpha", "two_way", "soft_fbeta with count, categorical"


@pytest.mark.parametrize("name", COUNTING)
def test_weights_of_entries_are_counts(name):
    weight = np.array([2, 1, 1, 3, 0, 1, 1, 2])
    repeated = VARIANTS[name](L).fit(np.repeat(with_missing(), weight, 0))
    per_entry = np.repeat(weight[:, None], L, 1)
    assert_same_fit(VARIANTS[name](L).fit(with_missing(), per_entry), repeated)
    # A weight of 0 hides an entry.
    observed = np.where(np.isnan(with_missing()), 0.0, 1.0)
    assert_same_fit(VARIANTS[name](L).fit(HARD, observed), VARIANTS[name](L).fit(with_missing()))


@pytest.mark.parametrize("name", COUNTING)
def test_chunks_with_weights_of_entries(name):
    weight = np.random.default_rng(0).uniform(0.5, 2, (N, L))
    whole, chunks = (VARIANTS[name](L).fit(with_missing(), weight), VARIANTS[name](L))
    for rows in (slice(0, 3), slice(3, 4), slice(4, N)):
        chunks.partial_fit(with_missing()[rows], weight[rows])
    assert_same_fit(whole, chunks)


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.float32])
def test_fit_takes_any_dtype(name, dtype):
    assert_same_fit(VARIANTS[name](L).fit(HARD.astype(dtype)), make(name))


def test_fit_refuses():
    with pytest.raises(ValueError, match="2-D"):
        BinaryCrossEntropy().fit(HARD[:, 0])
    with pytest.raises(ValueError, match=r"targets in \[0, 1\]"):
        BinaryCrossEntropy().fit(2 * HARD)
    with pytest.raises(ValueError, match="3 labels.*4"):
        BinaryCrossEntropy().fit(HARD).partial_fit(HARD[:, :3])


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


def test_criterion_is_the_weighted_mean():
    loss = make("focal")
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


def test_criterion_combines_nan_and_mask():
    criterion, mask, more = Criterion(make("zlpr")), hide(), hide(seed=9)
    outputs = draw(criterion.loss, grad=True)
    with_nan = torch.where(mask > 0, Y, torch.nan)
    value = criterion(outputs, with_nan)
    torch.testing.assert_close(value, criterion(outputs, Y, mask=mask.bool()))
    (slope,) = torch.autograd.grad(value, outputs)
    assert slope.isfinite().all()
    torch.testing.assert_close(
        criterion(outputs, with_nan, mask=more), criterion(outputs, Y, mask=mask * more)
    )
    assert with_nan.isnan().any()


def test_criterion_takes_any_target_dtype():
    criterion = Criterion(make("bce"))
    for dtype in (torch.float32, torch.float64):
        outputs = draw(criterion.loss, dtype=dtype)
        expected = criterion(outputs, Y.to(dtype))
        assert expected.dtype == dtype
        for other in (torch.int64, torch.int8, torch.uint8, torch.bool, torch.float32):
            found = criterion(outputs, Y.to(other))
            assert found.dtype == dtype
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_criterion_takes_weights_of_entries_of_sums_over_labels():
    weight = torch.tensor(np.random.default_rng(8).uniform(0, 2, (N, L)))
    criterion = Criterion(make("focal"))
    loss, outputs = criterion.loss, draw(criterion.loss)
    torch.testing.assert_close(
        criterion(outputs, Y, weight), loss.objective(outputs, Y, weight).mean()
    )
    torch.testing.assert_close(
        criterion(outputs, torch.where(hide() > 0, Y, torch.nan), weight),
        loss.objective(outputs, Y, weight * hide()).mean(),
    )
    with pytest.raises(ValueError, match="one weight per row"):
        Criterion(make("zlpr"))(outputs, Y, weight)


@all_variants
def test_criterion_has_a_gradient(name):
    loss = make(name)
    outputs = draw(loss, dtype=torch.float32, grad=True)
    Criterion(loss)(outputs, Y).backward()
    assert outputs.grad.isfinite().all() and outputs.grad.abs().sum() > 0


def test_criterion_passes_the_epoch_on():
    class Remembers(BrierLoss):
        def set_epoch(self, epoch):
            self.epoch_ = epoch

    loss = Remembers().fit(HARD)
    Criterion(loss).set_epoch(3)
    assert loss.epoch_ == 3
