"""The worked table of the Q&A, and losses that must coincide."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from torch.nn import functional as F

from sklearn_mlloss.decoders import FixedThreshold
from sklearn_mlloss.losses import (
    LOSSES,
    AbsKLLoss,
    AsymmetricLoss,
    BinaryCrossEntropy,
    BrierLoss,
    Criterion,
    FactorizedLoss,
    FocalLoss,
    HillLoss,
    HingeLoss,
    PoissonSoftmaxLoss,
    SeparableLoss,
    SoftmaxCrossEntropy,
    SquaredErrorLoss,
    ZLPRLoss,
)

LOGITS = np.array(
    [
        [1.4397182, -0.7993438, 4.113389, 3.2199187, 4.5777845],
        [0.30619335, 0.10168511, 4.253479, 2.3782277, 4.7390924],
        [1.124632, 1.6056736, 2.9778094, 2.0808482, 2.0735667],
        [0.7051575, -0.10341895, 4.990803, 3.7019827, 3.8265839],
        [0.6333333, -0.76601076, 3.2255085, 2.7842572, 5.3817415],
    ]
)
LABELS = np.array(
    [[1, 1, 0, 0, 0], [0, 1, 0, 0, 1], [1, 1, 1, 1, 0], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1]]
)
PRINTED = np.array(
    [
        [0.21268466, 1.170648, 4.129609, 3.2590992, 4.58801],
        [0.85791767, 0.64359653, 4.2675934, 2.466893, 0.00870855],
        [0.28124034, 0.18294993, 0.04965096, 0.11762683, 2.1920042],
        [1.1066352, 0.64277405, 0.00677719, 3.7263577, 0.02155003],
        [0.42580318, 1.147773, 0.03896642, 0.059942, 0.00458926],
    ]
)
PREDICTED = np.array(
    [[1, 0, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 0, 1, 1, 1], [1, 0, 1, 1, 1]]
)

# --- the worked table


@pytest.fixture
def table_loss():
    return BinaryCrossEntropy(label_reduction="sum").fit(LABELS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_table_losses(table_loss, dtype):
    outputs = torch.tensor(LOGITS, dtype=dtype)
    targets = torch.tensor(LABELS, dtype=dtype)
    rows = table_loss.objective(outputs, targets)
    np.testing.assert_allclose(rows, [13.3601, 8.2447, 2.8235, 5.5041, 1.6771], atol=1e-4)
    for j in range(5):
        only = torch.eye(5, dtype=dtype)[j].expand(5, 5)
        element = table_loss.objective(outputs, targets, only)
        np.testing.assert_allclose(element, PRINTED[:, j], atol=1e-5)


def test_table_mean(table_loss):
    outputs = torch.tensor(LOGITS, dtype=torch.float32)
    value = Criterion(table_loss)(outputs, torch.tensor(LABELS))
    assert value.item() == pytest.approx(6.32188, abs=1e-5)
    mean = BinaryCrossEntropy().fit(LABELS)
    value = Criterion(mean)(outputs, torch.tensor(LABELS))
    assert value.item() == pytest.approx(1.264376, abs=1e-6)


def test_table_predictions(table_loss):
    scores = table_loss.link(torch.tensor(LOGITS, dtype=torch.float32)).numpy()
    predicted = FixedThreshold(0.5).fit(scores, LABELS).decode(scores)
    np.testing.assert_array_equal(predicted, PREDICTED)
    assert accuracy_score(LABELS, predicted) == 0.0
    assert 1 - hamming_loss(LABELS, predicted) == pytest.approx(0.56)
    assert f1_score(LABELS, predicted, average="micro") == pytest.approx(0.7027, abs=1e-4)


# --- losses that coincide

RNG = np.random.default_rng(3)
Y = (RNG.random((12, 4)) < 0.4).astype(float)
Y[0], Y[1] = 0, 1
OUTPUTS = torch.tensor(RNG.normal(0, 3, (12, 5)))
S = OUTPUTS[:, :4]
TARGETS = torch.tensor(Y)
SOFT = torch.tensor(RNG.random((12, 4)))
MASK = torch.tensor((RNG.random((12, 4)) < 0.7).astype(float))


def assert_same(a, b, outputs=S, targets=TARGETS, mask=None):
    """Same value, same gradient."""
    results = []
    for loss in (a, b):
        x = outputs.clone().requires_grad_()
        value = (
            loss.objective(x, targets, mask) if isinstance(loss, torch.nn.Module) is False else None
        )
        (slope,) = torch.autograd.grad(value.sum(), x)
        results.append((value.detach(), slope))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)


SAME = [
    (FocalLoss(0), BinaryCrossEntropy()),
    (AsymmetricLoss(0, 0, 0), BinaryCrossEntropy()),
    *[(AsymmetricLoss(g, g, 0), FocalLoss(g)) for g in (0.5, 1, 2, 3.5)],
    (FocalLoss(0, class_weight="balanced"), BinaryCrossEntropy(class_weight="balanced")),
    (BinaryCrossEntropy(pos_weight=1), BinaryCrossEntropy()),
    (BinaryCrossEntropy(pos_weight=[2.0] * 4), BinaryCrossEntropy(pos_weight=2.0)),
    (BinaryCrossEntropy(class_weight=1), BinaryCrossEntropy()),
    (
        BinaryCrossEntropy(class_weight="effective"),
        BinaryCrossEntropy(class_weight=("effective", 0.999)),
    ),
]


@pytest.mark.parametrize("a, b", SAME, ids=lambda loss: str(loss))
def test_same_loss(a, b):
    a.fit(Y)
    b.fit(Y)
    for targets in (TARGETS, SOFT):
        for mask in (None, MASK):
            assert_same(a, b, targets=targets, mask=mask)
    torch.testing.assert_close(a.link(S), b.link(S), rtol=0, atol=1e-8)


def test_effective_weights_without_beta_are_equal():
    a = BinaryCrossEntropy(class_weight=("effective", 0.0)).fit(Y)
    np.testing.assert_allclose(a.class_weight_, 1)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_zlpr_of_one_label_is_bce(reduction):
    Y_one = Y[:, :1]
    bce = BinaryCrossEntropy(label_reduction=reduction).fit(Y_one)
    assert_same(ZLPRLoss().fit(Y_one), bce, S[:, :1], TARGETS[:, :1])
    torch.testing.assert_close(ZLPRLoss().fit(Y_one).link(S[:, :1]), bce.link(S[:, :1]))


def test_softmax_of_a_single_label_is_bce():
    bce = BinaryCrossEntropy().fit(Y[:, :1])
    for normalise in ("uniform", "count", "sum"):
        one = SoftmaxCrossEntropy(normalise).fit(Y[:, :1])
        assert_same(one, bce, S[:, :1], TARGETS[:, :1])
    torch.testing.assert_close(one.link(S[:, :1]), bce.link(S[:, :1]))
    assert one.default_decoder == "threshold"


def test_softmax_of_one_hot_rows_is_cross_entropy():
    classes = torch.tensor(RNG.integers(0, 4, 12))
    one_hot = F.one_hot(classes, 4).double()
    expected = F.cross_entropy(S, classes, reduction="none")
    for normalise in ("uniform", "count", "sum"):
        for kl in (False, True):
            loss = SoftmaxCrossEntropy(normalise, kl=kl).fit(one_hot.numpy())
            torch.testing.assert_close(loss.objective(S, one_hot), expected)
    with_background = SoftmaxCrossEntropy(background=True).fit(one_hot.numpy())
    padded = torch.cat([S, torch.zeros(12, 1)], 1)
    torch.testing.assert_close(
        with_background.objective(S, one_hot), F.cross_entropy(padded, classes, reduction="none")
    )
    empty = F.cross_entropy(padded, torch.full((12,), 4), reduction="none")
    torch.testing.assert_close(with_background.objective(S, torch.zeros_like(one_hot)), empty)


def test_softmax_of_probability_rows_is_cross_entropy():
    rows = SOFT / SOFT.sum(1, keepdim=True)
    loss = SoftmaxCrossEntropy().fit(Y)
    expected = F.cross_entropy(S, rows, reduction="none")
    torch.testing.assert_close(loss.objective(S, rows), expected)
    torch.testing.assert_close(loss.objective(S, 0.3 * rows), expected)
    sums = SoftmaxCrossEntropy("sum").fit(Y)
    torch.testing.assert_close(sums.objective(S, SOFT), F.cross_entropy(S, SOFT, reduction="none"))


def test_softmax_ignores_a_common_shift():
    loss = SoftmaxCrossEntropy().fit(Y)
    torch.testing.assert_close(loss.objective(S + 7, TARGETS), loss.objective(S, TARGETS))
    torch.testing.assert_close(loss.link(S + 7), loss.link(S))
    torch.testing.assert_close(loss.decision(S + 7), loss.decision(S))


PARAMS = [
    {"normalise": normalise, "concentration": a, "background": background}
    for normalise in ("uniform", "count", "sum")
    for a in (0.0, 0.5)
    for background in (False, True)
]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("targets", [TARGETS, SOFT], ids=["hard", "soft"])
def test_kl_is_cross_entropy_up_to_a_constant(params, targets):
    ce = SoftmaxCrossEntropy(**params).fit(Y)
    kl = SoftmaxCrossEntropy(**params, kl=True).fit(Y)
    gaps = torch.stack(
        [kl.objective(c * S, targets) - ce.objective(c * S, targets) for c in (0.0, 0.5, 1.0, -2.0)]
    )
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps), rtol=1e-9, atol=1e-9)
    x = S.clone().requires_grad_()
    slopes = [torch.autograd.grad(loss.objective(x, targets).sum(), x)[0] for loss in (ce, kl)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("normalise", ["uniform", "count", "sum"])
@pytest.mark.parametrize("targets", [TARGETS[1:], SOFT], ids=["hard", "soft"])
def test_kl_is_zero_at_the_perfect_prediction(normalise, targets):
    targets = targets[targets.sum(1) > 0]
    kl = SoftmaxCrossEntropy(normalise, kl=True).fit(Y)
    perfect = targets.log().clamp(min=-200)
    assert kl.objective(perfect, targets).abs().max() < 1e-9


def test_kl_is_zero_at_the_perfect_prediction_with_a_prior():
    kl = SoftmaxCrossEntropy(concentration=0.5, kl=True).fit(Y)
    target = (TARGETS + 0.5 * torch.tensor(kl.target_prior_)) / (TARGETS.sum(1, keepdim=True) + 0.5)
    assert kl.objective(target.log(), TARGETS).abs().max() < 1e-12


def test_poisson_identity():
    """Poisson times softmax: the count's loss, and cross-entropy weighted by the count."""
    loss = PoissonSoftmaxLoss().fit(Y)
    for targets in (TARGETS, SOFT):
        m, c = targets.sum(1), OUTPUTS[:, 4]
        cross_entropy = SoftmaxCrossEntropy().fit(Y).objective(S, targets)
        expected = c.exp() - m * c + m * cross_entropy
        torch.testing.assert_close(loss.objective(OUTPUTS, targets), expected)
        rates = c.exp().unsqueeze(1) * S.softmax(1)
        independent = F.poisson_nll_loss(rates.log(), targets, reduction="none").sum(1)
        torch.testing.assert_close(loss.objective(OUTPUTS, targets), independent)
    torch.testing.assert_close(loss.count(OUTPUTS), OUTPUTS[:, 4].exp())


def test_factorized_kl_poisson_differs_from_poisson_by_weights_only():
    factorized = FactorizedLoss("kl_poisson", "exp").fit(Y)
    m, c = TARGETS.sum(1), OUTPUTS[:, 4]
    kl = SoftmaxCrossEntropy(kl=True).fit(Y).objective(S, TARGETS)
    torch.testing.assert_close(factorized.objective(OUTPUTS, TARGETS), kl + c.exp() - m * c)


@pytest.mark.parametrize("pos_weight", [None, 3.0, [0.5, 1.0, 2.0, 7.0]])
def test_bce_is_torch_bce(pos_weight):
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float64)
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")
    for reduction in ("mean", "sum"):
        loss = BinaryCrossEntropy(pos_weight, label_reduction=reduction).fit(Y)
        for targets in (TARGETS, SOFT):
            torch.testing.assert_close(
                loss.objective(S, targets), getattr(expected(S, targets), reduction)(1)
            )
    if pos_weight is None:
        soft_margin = torch.nn.MultiLabelSoftMarginLoss(reduction="none")
        bce = BinaryCrossEntropy().fit(Y)
        torch.testing.assert_close(bce.objective(S, TARGETS), soft_margin(S, TARGETS))


def test_balanced_pos_weight_is_the_ratio():
    loss = BinaryCrossEntropy("balanced").fit(Y)
    ratio = (len(Y) - Y.sum(0)) / Y.sum(0)
    assert_same(loss, BinaryCrossEntropy(ratio).fit(Y))


def test_mse_and_brier_are_squared_errors():
    torch.testing.assert_close(
        SquaredErrorLoss().fit(Y).objective(S, TARGETS), (S - TARGETS).square().mean(1)
    )
    torch.testing.assert_close(
        BrierLoss().fit(Y).objective(S, TARGETS), (S.sigmoid() - TARGETS).square().mean(1)
    )


# --- the bias that reproduces the label priors

SEPARABLE = [
    *[cls() for cls in LOSSES.values() if issubclass(cls, SeparableLoss)],
    BinaryCrossEntropy("balanced"),
    BinaryCrossEntropy(tau=1),
    BinaryCrossEntropy(0.3, -0.5, label_smoothing=0.1),
    FocalLoss(0.5),
    FocalLoss(alpha=0.25, label_smoothing=0.1),
    AsymmetricLoss(1, 2, 0),
    AsymmetricLoss(1, 4, 0.1),
    AsymmetricLoss(gamma_neg=0.5),
    AsymmetricLoss(detach_focus=True),
    AbsKLLoss(1e-7),
    SquaredErrorLoss(label_smoothing=0.1),
    ZLPRLoss(),
    SoftmaxCrossEntropy(),
    SoftmaxCrossEntropy(background=True),
]


@pytest.mark.parametrize("loss", SEPARABLE, ids=str)
def test_initial_bias_gives_the_priors(loss):
    # With a clip, probabilities near 1 cannot be expressed: the detached form ends at 0.942.
    rates = np.array([0.03, 0.2, 0.5, 0.8, 0.92])
    columns = (np.arange(100)[:, None] < 100 * rates).astype(float)
    if isinstance(loss, SoftmaxCrossEntropy):
        if loss.background:
            columns = columns[:, :1]
        else:
            loss.fit(columns)
            shares = loss.link(torch.tensor(loss.initial_bias())[None])[0]
            np.testing.assert_allclose(shares, rates / rates.sum(), atol=1e-4)
            return
    loss.fit(columns)
    bias = torch.tensor(loss.initial_bias())[None]
    if isinstance(loss, HingeLoss):
        # Its link has three values: the bias is the best constant, on the side of the prior.
        off = rates != 0.5
        np.testing.assert_allclose(bias[0, off], np.sign(rates[off] - 0.5), atol=1e-6)
        assert (bias.abs() <= 1 + 1e-6).all()
        return
    np.testing.assert_allclose(loss.link(bias)[0], loss.prior_, atol=3e-5)
    np.testing.assert_allclose(loss.prior_, rates[: columns.shape[1]], atol=1e-9)


@pytest.mark.parametrize(
    "loss", [loss for loss in SEPARABLE if isinstance(loss, SeparableLoss)], ids=str
)
def test_initial_bias_leaves_a_gradient(loss):
    """Both polarities have a gradient in float32, for any frequency of the label."""
    # Hill ignores confident negatives. With a share of 0.99 it is confident from the start (at
    # logit 7.6): absent labels are treated as missing, and present ones are predicted already, so
    # that there is no gradient by design.
    common = 950 if isinstance(loss, HillLoss) else 990
    columns = (np.arange(1000)[:, None] < [10, 500, common]).astype(float)
    loss.fit(columns)
    bias = torch.tensor(loss.initial_bias(), dtype=torch.float32, requires_grad=True)
    slopes = []
    for target in (0.0, 1.0):
        value = loss.objective(bias[None], torch.full((1, 3), target)).sum()
        slopes.append(torch.autograd.grad(value, bias)[0].abs())
    assert (torch.maximum(*slopes) > 1e-6).all()


def test_initial_bias_is_the_best_constant():
    """Where the loss is proper, nothing else is stationary: a check without the link."""
    for loss in (BinaryCrossEntropy(5), BinaryCrossEntropy(tau=1), FocalLoss(), AbsKLLoss()):
        loss.fit(Y)
        bias = torch.tensor(loss.initial_bias(), requires_grad=True)
        Criterion(loss)(bias.expand(12, -1), TARGETS).backward()
        assert bias.grad.abs().max() < 1e-9


@pytest.mark.parametrize(
    "loss",
    [PoissonSoftmaxLoss(), *[FactorizedLoss(count_link=c) for c in ("softplus", "exp", "clip")]],
    ids=str,
)
def test_initial_count_is_the_mean_count(loss):
    loss.fit(Y)
    bias = torch.tensor(loss.initial_bias())[None]
    assert loss.count(bias).item() == pytest.approx(loss.prior_.sum())
    np.testing.assert_allclose(
        loss.decision(bias)[0], np.log(loss.prior_), rtol=1e-9, err_msg="log of the mean rates"
    )
    np.testing.assert_allclose(bias[0, :4].softmax(0), loss.prior_ / loss.prior_.sum())


def test_background_bias_gives_the_share_of_empty_rows():
    loss = SoftmaxCrossEntropy(background=True).fit(Y)
    bias = np.append(loss.initial_bias(), 0.0)
    share = np.exp(bias) / np.exp(bias).sum()
    assert share[-1] == pytest.approx(np.prod(1 - loss.prior_))
    assert expit(bias[0]) == pytest.approx(
        loss.link(torch.tensor(bias[None, :4]))[0, 0].item(), abs=2e-5
    )
