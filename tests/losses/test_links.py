"""Scores: the probabilities at which the expected loss is at its minimum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

from sklearn_mlloss.losses import (
    LOSSES,
    AbsKLLoss,
    AsymmetricLoss,
    AsymmetricPolynomialLoss,
    BinaryCrossEntropy,
    BrierLoss,
    CLogLogLoss,
    DistributionBalancedLoss,
    ExponentialLoss,
    FactorizedLoss,
    FocalLoss,
    HillLoss,
    HingeLoss,
    LDAMLoss,
    PoissonSoftmaxLoss,
    Poly1Loss,
    SeparableLoss,
    SoftmaxCrossEntropy,
    SPLCLoss,
    SquaredErrorLoss,
    SquaredHingeLoss,
    WithCount,
)
from sklearn_mlloss.losses.base import stationary_probability
from sklearn_mlloss.losses.counts import COUNT_LINKS, FORMS
from sklearn_mlloss.losses.links import softmax_scores, strictly_increasing

ONE = np.array([[1.0], [0], [0], [0], [0]])  # one label with prior 0.2
PROBABILITIES = [0.05, 0.1, 0.3, 0.5, 0.62, 0.8, 0.9]
GRID = torch.arange(-12, 12, 1e-3, dtype=torch.float64)[:, None]

LOSSES_WITH_ETA = [
    # The hinge loss finds a sign only: see `test_hinge_finds_the_sign`.
    *[cls() for cls in LOSSES.values() if issubclass(cls, SeparableLoss) and cls != HingeLoss],
    BinaryCrossEntropy(10),
    BinaryCrossEntropy("balanced"),
    BinaryCrossEntropy(0.2, -0.7),
    BinaryCrossEntropy(tau=1),
    BinaryCrossEntropy(label_smoothing=0.1),
    BinaryCrossEntropy(3, 1, label_smoothing=0.2, class_weight=2.0, label_reduction="sum"),
    FocalLoss(0.5),
    FocalLoss(5),
    FocalLoss(alpha=0.25),
    FocalLoss(label_smoothing=0.1),
    AsymmetricLoss(1, 2, 0),
    AsymmetricLoss(1, 4, 0.2),
    AsymmetricLoss(gamma_neg=0.5),
    AsymmetricLoss(label_smoothing=0.1),
    AbsKLLoss(1e-7),
    AbsKLLoss(0.1),
    AbsKLLoss(label_smoothing=0.1),
    BrierLoss(label_smoothing=0.1),
    SquaredErrorLoss(label_smoothing=0.1),
    AsymmetricPolynomialLoss(1, 2, 0),
    AsymmetricPolynomialLoss(0.5, 1, 0.02, 0.5, -1, 0.3),
    AsymmetricPolynomialLoss(label_smoothing=0.1),
    HillLoss(2, 0.5, 2.5),
    HillLoss(label_smoothing=0.1),
    SPLCLoss(margin=0.5, gamma=1),
    # Before the corrections begin; the link stays that of the loss without them.
    SPLCLoss(tau=0.9, start_epoch=1, label_smoothing=0.1),
    Poly1Loss(-1),
    Poly1Loss(2, 1.5),
    Poly1Loss(label_smoothing=0.1),
    LDAMLoss(1.0, 3.0),
    LDAMLoss(label_smoothing=0.1),
    SquaredHingeLoss(label_smoothing=0.1),
    ExponentialLoss(label_smoothing=0.1),
    CLogLogLoss(label_smoothing=0.1),
    # One label: the weight of a row is then the same for both targets of a given row only if the
    # row has no other label, hence mu so low that it is the same for both.
    DistributionBalancedLoss(mu=-20.0),
    DistributionBalancedLoss(mu=-20.0, lam=5, kappa=0.5, gamma=1),
    WithCount("hill"),
]


@pytest.mark.parametrize("loss", LOSSES_WITH_ETA, ids=str)
def test_eta_undoes_risk_minimisation(loss):
    loss.fit(ONE)
    # Outputs beyond the labels hold still.
    grid = torch.cat([GRID, torch.zeros(len(GRID), loss.n_outputs_ - 1)], 1)
    present = loss.objective(grid, torch.ones_like(GRID))
    absent = loss.objective(grid, torch.zeros_like(GRID))
    for probability in PROBABILITIES:
        best = (probability * present + (1 - probability) * absent).argmin()
        assert 0 < best < len(GRID) - 1, "the grid is too short"
        assert loss.link(grid[best][None]).item() == pytest.approx(probability, abs=1e-3)


SEPARABLE = [loss for loss in [*LOSSES_WITH_ETA, HingeLoss()] if isinstance(loss, SeparableLoss)]


@pytest.mark.parametrize("loss", SEPARABLE, ids=str)
def test_links_need_no_autograd(loss, monkeypatch):
    s = torch.linspace(-30, 30, 6001, dtype=torch.float64)[:, None]
    by_autograd = stationary_probability(loss.fit(ONE).positive, loss.negative, s)
    monkeypatch.setattr(torch.autograd, "grad", None)
    torch.testing.assert_close(loss.eta(s), by_autograd, rtol=0, atol=1e-6)


@pytest.mark.parametrize("probability", [0.05, 0.3, 0.45, 0.55, 0.8])
def test_hinge_finds_the_sign(probability):
    """At the best output, -1 or 1, the score is on the right side of 1/2, and nothing more."""
    loss = HingeLoss().fit(ONE)
    present = loss.objective(GRID, torch.ones_like(GRID))
    absent = loss.objective(GRID, torch.zeros_like(GRID))
    best = (probability * present + (1 - probability) * absent).argmin()
    sign = 1 if probability > 0.5 else -1
    assert GRID[best].item() == pytest.approx(sign, abs=1e-6)
    assert (loss.link(GRID[best][None]).item() > 0.5) == (sign > 0)
    levels = loss.link(torch.tensor([[-1.5], [-0.5], [0.5], [1.5]]))[:, 0]
    np.testing.assert_allclose(levels, [0, 0.5, 0.5, 1], atol=3e-5)
    assert (levels.diff() > 0).all() and levels[1] < 0.5 < levels[2]


@pytest.mark.parametrize(
    "loss, eta",
    [
        (ExponentialLoss(), lambda s: expit(2 * s)),
        (SquaredHingeLoss(), lambda s: np.clip((s + 1) / 2, 0, 1)),
        (CLogLogLoss(), lambda s: -np.expm1(-np.exp(np.minimum(s, 10)))),
        (Poly1Loss(-1), lambda s: expit(s) ** 2 / (expit(s) ** 2 + expit(-s) ** 2)),
        (
            LDAMLoss(1.0, 3.0),
            lambda s: expit(3 * s) / (expit(3 * s) + expit(-3 * (s - 1.0))),
        ),
        (
            HillLoss(gamma=2),
            lambda s: (
                (up := expit(s) ** 2 * expit(-s) * (3 - 3 * expit(s)))
                / (
                    up
                    - expit(1 - s) ** 2
                    * (2 * expit(s - 1) * -np.logaddexp(0, 1 - s) - expit(1 - s))
                )
            ),
        ),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_closed_forms_of_the_link(loss, eta):
    s = np.linspace(-12, 12, 97)
    found = loss.fit(ONE).link(torch.tensor(s)[:, None])[:, 0]
    np.testing.assert_allclose(found, eta(s), atol=2.1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        HillLoss(gamma=0),
        HillLoss(gamma=1),
        HillLoss(gamma=1.5),
        HillLoss(lam=3, gamma=1),
        HillLoss(lam=1.6, gamma=0),
        HillLoss(margin=3),
        HillLoss(margin=-1),
        SPLCLoss(margin=3),
        SPLCLoss(gamma=0),
        SPLCLoss(gamma=5, margin=-2),
        Poly1Loss(-1),
        Poly1Loss(50, 3),
        AsymmetricPolynomialLoss(2, 1),
        AsymmetricPolynomialLoss(en=1),
        AsymmetricPolynomialLoss(0, 4, 0, en=-1),
        AsymmetricPolynomialLoss(e1=0, e2=0),
        DistributionBalancedLoss(lam=0.3),
        DistributionBalancedLoss(lam=5, gamma=0),
        DistributionBalancedLoss(kappa=3, gamma=5),
        LDAMLoss(5, 0.1),
        LDAMLoss(0.5, 30),
    ],
    ids=str,
)
def test_links_increase_or_the_parameters_are_refused(loss):
    """Whatever `fit` accepts must give scores that keep the order of the outputs."""
    try:
        loss.fit(ONE)
    except ValueError:
        return
    s = torch.linspace(-30, 30, 1201, dtype=torch.float64)[:, None]
    steps = loss.link(s)[:, 0].diff()
    stuck = s[1:, 0][steps <= 0].tolist()
    assert not stuck, f"the score does not grow from logit {stuck[0]:.2f} to {stuck[-1]:.2f}"


@pytest.mark.parametrize(
    "loss, eta_at_half, p_at_half",
    [
        (BinaryCrossEntropy(), 0.5, 0.5),
        (BinaryCrossEntropy(10), 0.091, 0.909),
        (BrierLoss(), 0.5, 0.5),
        (FocalLoss(), 0.5, 0.5),
        (FocalLoss(alpha=0.25), 0.75, 0.399),
        (AsymmetricLoss(), 0.128, 0.684),
        (AsymmetricLoss(detach_focus=True), 0.036, 0.799),
        (AsymmetricLoss(1, 2, 0), 0.413, 0.540),
        (AbsKLLoss(1e-7), 0.9065, 0.077),
        (ExponentialLoss(), 0.5, 0.5),
        (SquaredHingeLoss(), 0.5, 0.5),
        (HingeLoss(), 0.5, 0.5),
        (Poly1Loss(), 0.5, 0.5),
        (AsymmetricPolynomialLoss(detach_focus=True), 0.032, 0.763),
        (HillLoss(), 0.196, 0.937),
        (CLogLogLoss(), 1 - np.exp(-1), 0.4094),
    ],
    ids=str,
)
def test_table_of_links(loss, eta_at_half, p_at_half):
    loss.fit(ONE)

    def eta(s):
        return loss.link(torch.tensor([[s]], dtype=torch.float64)).item()

    assert eta(0.0) == pytest.approx(eta_at_half, abs=6e-4)
    assert expit(brentq(lambda s: eta(s) - 0.5, -10, 10)) == pytest.approx(p_at_half, abs=6e-4)


@pytest.mark.parametrize("p, eta", [(0.694, 0.9), (0.306, 0.1)])
def test_focal_shrinks_towards_a_half(p, eta):
    s = torch.tensor([[np.log(p / (1 - p))]])
    assert FocalLoss().fit(ONE).link(s).item() == pytest.approx(eta, abs=1e-3)


@pytest.mark.parametrize("p, eta", [(0.943, 0.9), (0.057, 0.1)])
def test_poly1_exaggerates(p, eta):
    s = torch.tensor([[np.log(p / (1 - p))]])
    assert Poly1Loss().fit(ONE).link(s).item() == pytest.approx(eta, abs=1e-3)


@pytest.mark.parametrize("eps, shown", [(1e-2, 0.26), (0.1, 0.42)])
def test_abs_kl_score_of_a_half(eps, shown):
    loss = AbsKLLoss(eps).fit(ONE)
    s = torch.tensor([[np.log(shown / (1 - shown))]])
    assert loss.link(s).item() == pytest.approx(0.5, abs=0.02)


def test_mse_clips():
    s = torch.tensor([[-0.5], [0.0], [0.3], [1.0], [4.0]])
    scores = SquaredErrorLoss().fit(ONE).link(s)[:, 0]
    np.testing.assert_allclose(scores, [0, 0, 0.3, 1, 1], atol=2e-5)


def closed_eta(s, g1, g0, m, detach):
    """Return eta of the asymmetric loss by the closed form of both slopes, q = 1 - p."""
    p, q = expit(s), expit(-s)
    p_m, log_p = (1 - m) - q, -np.logaddexp(0, -s)
    log_rest = np.log(q + m)  # log(1 - p_m)
    slope1 = -(q**g1) * q if detach else q**g1 * (g1 * p * log_p - q)
    focus = 0 if detach or g0 == 0 else g0 * p_m ** (g0 - 1) * -log_rest
    slope0 = p * q * (focus + p_m**g0 / (q + m))
    return np.where(p > m, slope0 / (slope0 - slope1), 0)


@pytest.mark.parametrize(
    "params",
    [(0, 4, 0.05, False), (0, 4, 0.05, True), (0, 0.5, 0.3, False), (1, 2, 0, False),
     (1, 4, 0.05, True), (0, 0, 0.05, False)],
)  # fmt: skip
def test_asymmetric_eta_at_large_logits(params):
    """Both slopes vanish like 1 - p, of which the sigmoid in float64 keeps ever fewer digits."""
    loss = AsymmetricLoss(*params).fit(ONE)
    s = np.linspace(-2.5, 30, 66)
    s = s[expit(s) > params[2] + 1e-3]
    found = loss.link(torch.tensor(s)[:, None])[:, 0]
    expected = strictly_increasing(torch.tensor(closed_eta(s, *params)), torch.tensor(s))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert (found.diff() > 0).all()


def test_label_statistics_shift_each_label():
    Y = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]])
    zeros = torch.zeros(1, 3)
    adjusted = BinaryCrossEntropy(tau=1).fit(Y)
    np.testing.assert_allclose(adjusted.link(zeros)[0], [0.25, 0.25, 0.75], atol=1e-5)
    weighted = BinaryCrossEntropy([1.0, 3.0, 9.0]).fit(Y)
    np.testing.assert_allclose(weighted.link(zeros)[0], [0.5, 0.25, 0.1], atol=1e-5)


def test_ties_of_flat_regions_are_broken():
    p = torch.tensor([[0.01], [0.02], [0.03], [0.04]])
    scores = AsymmetricLoss().fit(ONE).link(torch.special.logit(p))[:, 0]
    assert (scores < 2e-5).all() and (scores.diff() > 0).all()


def test_ties_are_broken_by_no_more_than_2e_5():
    eta = torch.linspace(0, 1, 101, dtype=torch.float64)
    for margin in (-1e9, -1.0, 0.0, 1.0, 1e9):
        scores = strictly_increasing(eta, torch.full_like(eta, margin))
        assert (scores - eta).abs().max() <= 2e-5 + 1e-15


@pytest.mark.parametrize("name", LOSSES)
def test_float32_logit_of_17_is_not_certain(name):
    loss = LOSSES[name]().fit(np.array([[1, 0, 0], [0, 1, 1], [1, 0, 1.0]]))
    assert torch.tensor(17.0).sigmoid() == 1  # what a score must not be
    outputs = torch.full((1, loss.n_outputs_), -17.0)
    outputs[0, 0] = 17.0
    scores = loss.link(outputs)[0]
    assert scores.dtype == torch.float64
    assert 0 < scores.min() and scores.max() < 1
    more = outputs.clone()
    more[0, 0] = 18.0
    assert loss.link(more)[0, 0] > scores[0]


# --- softmax

rows = st.lists(st.floats(-60, 60), min_size=2, max_size=7)


@given(rows)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_softmax_scores_add_up_to_one(row):
    s = torch.tensor([row], dtype=torch.float64)
    loss = SoftmaxCrossEntropy().fit(np.eye(len(row)))
    scores = loss.link(s)[0]
    assert scores.sum().item() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(scores, s.softmax(1)[0], atol=1.1e-5)
    assert ((scores > 0) & (scores < 1)).all()


def test_softmax_scores_at_ties_and_extremes():
    for row in ([0.0, 0.0], [1e4, 1e4, 1e4], [1e4, -1e4, 0.0], [-1e4, -1e4], [1e4, 1e4, -1e4]):
        s = torch.tensor([row], dtype=torch.float64)
        scores = softmax_scores(s)[0]
        assert ((scores > 0) & (scores < 1)).all()
        for i, a in enumerate(row):
            for j, b in enumerate(row):
                if a == b:
                    assert scores[i].item() == pytest.approx(scores[j].item(), abs=1e-12)
                else:
                    assert (scores[i] > scores[j]) == (a > b)


def test_background_scores_are_sigmoids():
    loss = SoftmaxCrossEntropy(background=True).fit(np.eye(3))
    s = torch.tensor([[-3.0, 0.0, 2.0]], dtype=torch.float64)
    np.testing.assert_allclose(loss.link(s), s.sigmoid(), atol=1.1e-5)
    assert loss.default_decoder == "threshold"
    assert SoftmaxCrossEntropy().fit(np.eye(3)).default_decoder == "one_over_n"


# --- counts


def test_poisson_link():
    loss = PoissonSoftmaxLoss().fit(np.eye(3))
    rng = np.random.default_rng(0)
    outputs = torch.tensor(rng.normal(0, 2, (20, 4)))
    rate = outputs[:, 3:].exp() * outputs[:, :3].softmax(1)
    np.testing.assert_allclose(loss.link(outputs), -torch.expm1(-rate), atol=2.1e-5)
    np.testing.assert_allclose(loss.count(outputs), rate.sum(1))


def test_count_links():
    c = torch.tensor([[0, 0, -20.0], [0, 0, -0.5], [0, 0, 0.0], [0, 0, 3.0]], dtype=torch.float64)
    expected = {
        "softplus": torch.nn.functional.softplus(c[:, 2]),
        "exp": c[:, 2].exp(),
        "clip": torch.tensor([0.01, 0.01, 0.01, 3.0], dtype=torch.float64),
    }
    for link in COUNT_LINKS:
        loss = FactorizedLoss(count_link=link).fit(np.eye(2))
        torch.testing.assert_close(loss.count(c), expected[link])


@given(s=rows, share=st.floats(1e-6, 0.95))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_factorized_scores_add_up_to_the_count(s, share):
    n_labels = len(s)
    count = share * n_labels
    if count > n_labels - 0.1:
        count = n_labels - 0.1
    loss = FactorizedLoss(count_link="exp").fit(np.eye(n_labels))
    outputs = torch.tensor([[*s, np.log(count)]], dtype=torch.float64)
    scores = loss.link(outputs)[0]
    assert ((scores > 0) & (scores < 1)).all()
    assert scores.sum().item() == pytest.approx(count, abs=2e-5 * n_labels)
    assert loss.count(outputs).item() == pytest.approx(count)
    order = np.argsort(s, kind="stable")
    assert (np.diff(scores[order]) >= -1e-12).all()
    # It is 1 - exp(-theta p) for one theta: the logarithms of the rates differ like the logits.
    inner = (scores > 1e-3) & (scores < 1 - 1e-3)
    if inner.sum() >= 2:
        log_rate = torch.log(-torch.log1p(-scores[inner]))
        shift = log_rate - torch.tensor(s)[inner]
        assert (shift - shift.mean()).abs().max() < 0.03


@pytest.mark.parametrize("count_link", COUNT_LINKS)
@pytest.mark.parametrize("count", [2.5, 2.96, 3.0, 7.0, 1e4])
def test_factorized_keeps_the_order_when_the_count_is_capped(count_link, count):
    loss = FactorizedLoss(count_link=count_link).fit(np.eye(3))
    c = np.log(count) if count_link == "exp" else count
    outputs = torch.tensor([[-1.0, 2.0, 0.5, c]], dtype=torch.float64)
    scores = loss.link(outputs)[0]
    assert scores[1] > scores[2] > scores[0] > 0.4
    assert scores.max() < 1 and scores.sum() < 3
    if count > 2.9:
        assert scores.sum() > 2.85


def test_factorized_scores_grow_with_the_count():
    loss = FactorizedLoss(count_link="clip").fit(np.eye(3))
    counts = torch.linspace(0.02, 3.3, 80, dtype=torch.float64)
    outputs = torch.tensor([[-1.0, 2.0, 0.5, 0.0]], dtype=torch.float64).repeat(80, 1)
    outputs[:, 3] = counts
    assert (loss.link(outputs).sum(1).diff() > 0).all()


@pytest.mark.parametrize("count_link", COUNT_LINKS)
@pytest.mark.parametrize("n_labels", [1, 2, 6])
def test_factorized_scores_are_finite_at_extremes(count_link, n_labels):
    loss = FactorizedLoss(count_link=count_link).fit(np.ones((2, n_labels)))
    rng = np.random.default_rng(1)
    for scale in (1.0, 30.0, 1e4):
        values = scale * rng.choice([-1.0, -0.3, 0.0, 0.4, 1.0], (60, n_labels + 1))
        outputs = torch.tensor(values, dtype=torch.float32)
        scores = loss.link(outputs)
        assert scores.isfinite().all() and ((scores > 0) & (scores < 1)).all()
        assert loss.count(outputs).isfinite().all()
        order = outputs[:, :-1].argsort(1)
        assert (scores.gather(1, order).diff(dim=1) >= -1e-12).all()


def test_the_form_does_not_change_the_link():
    outputs = torch.tensor([[0.3, -1.0, 2.0, 1.1]], dtype=torch.float64)
    scores = [FactorizedLoss(form).fit(np.eye(3)).link(outputs) for form in FORMS]
    for other in scores[1:]:
        torch.testing.assert_close(other, scores[0])
