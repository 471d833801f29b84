"""Values and gradients against plain float64 formulas: rows and labels in Python loops."""

import math

import numpy as np
import pytest
import torch

from sklearn_mlloss.losses import (
    AbsKLLoss,
    AsymmetricLoss,
    BinaryCrossEntropy,
    BrierLoss,
    FactorizedLoss,
    FocalLoss,
    PoissonSoftmaxLoss,
    SoftmaxCrossEntropy,
    SquaredErrorLoss,
    ZLPRLoss,
)

L = 5
NAN = math.nan
Y_FIT = np.array(
    [
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
        [0, 1, 0, 1, 0],
        [1, 0, NAN, 0, 0],
        [NAN, NAN, NAN, NAN, NAN],
        [1, 0, 1, 0, 0],
        [0.25, 1, 0, 0.5, 0],
    ]
)
HARD = np.array(
    [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 0, 1], [1, 0, 0, 1, 0]], float
)
HIDDEN = HARD.copy()
HIDDEN[0, 1] = HIDDEN[1, :2] = HIDDEN[2, 0] = HIDDEN[3, 1:4] = HIDDEN[4] = NAN
SOFT = np.array([[0.2, 0, 0, 0.9, 0], [0.5, 0.5, 0.5, 0.5, 0.5], [1, 0.3, 0, 0, 0.1]])
SOFT = np.concatenate([SOFT, [[0, 0.004, 0, 0, 1], [0.7, NAN, 0.1, NAN, 0]]])
TARGETS = {"hard": HARD, "hidden": HIDDEN, "soft": SOFT}
OUTPUTS = np.random.default_rng(0).normal(0, 2, (5, L + 1))
OUTPUTS[:, -1] = [0.5, 1.7, -0.8, 2.4, 0.9]
OUTPUTS[0, 0], OUTPUTS[1, 1], OUTPUTS[2, 3] = -9.0, 8.0, -3.5

# --- the label statistics, once more

COUNT = [float(np.sum(~np.isnan(Y_FIT[:, j]))) for j in range(L)]
POSITIVE = [float(np.nansum(Y_FIT[:, j])) for j in range(L)]
PRIOR = [min(max(p / n, 0.5 / n), 1 - 0.5 / n) for p, n in zip(POSITIVE, COUNT, strict=True)]
LOGIT = [math.log(p / (1 - p)) for p in PRIOR]
RATIO = [min((n - p) / p, 100) for p, n in zip(POSITIVE, COUNT, strict=True)]


def mean_one(weights):
    mean = sum(weights) / len(weights)
    return [min(w / mean, 100) for w in weights]


BALANCED = mean_one([1 / p for p in POSITIVE])
EFFECTIVE = mean_one([(1 - 0.9) / (1 - 0.9**p) for p in POSITIVE])
ARRAY = [0.5, 2.0, 1.0, 0.0, 3.0]
POS_WEIGHTS = [0.5, 2.0, 1.0, 4.0, 3.0]

# --- functions of one logit


def sp(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def sigma(x):
    return math.exp(-sp(-x))


def bce(y, s, w=1.0):
    return y * w * sp(-s) + (1 - y) * sp(s)


def focal(y, s, g, a1=1.0, a0=1.0):
    p = sigma(s)
    return -y * a1 * (1 - p) ** g * math.log(p) - (1 - y) * a0 * p**g * math.log(1 - p)


def asymmetric(y, s, g1, g0, m):
    p = sigma(s)
    p_m = max(p - m, 0)
    negative = -(p_m**g0) * math.log(1 - p_m) if p_m > 0 else 0
    return -y * (1 - p) ** g1 * math.log(p) + (1 - y) * negative


def abs_kl(y, s, eps):
    # The floor under Q is left out for present labels: it would leave them without gradient.
    p, q = max(y, eps), sigma(s)
    if y <= eps:
        q = max(q, eps)
    return abs(p - q) * abs(math.log(p / q))


def smooth(y, e):
    return y * (1 - e) + e / 2


def over_labels(function, weights=None, mean=True):
    """Return a reference per row: the (weighted) sum or mean over labels of observed terms."""

    def row(outputs, y):
        total = 0
        for j in range(L):
            if not math.isnan(y[j]):
                total += (1 if weights is None else weights[j]) * function(y[j], outputs[j], j)
        return total / L if mean else total

    return row


# --- functions of a row


def lse(values):
    values = list(values)
    if not values:
        return -math.inf
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def observed(y):
    return [j for j in range(L) if not math.isnan(y[j])]


def xlogx(t):
    return t * math.log(t) if t > 0 else 0.0


def softmax_target(y, kept, normalise, a, background):
    prior = [PRIOR[j] for j in kept]
    q = [p / sum(prior) for p in prior]
    y = [y[j] for j in kept]
    if background:
        y, q = [*y, float(sum(y) == 0)], [*q, 0.0]
    t = [y_l + a * q_l for y_l, q_l in zip(y, q, strict=True)]
    if normalise == "sum":
        return t
    total = (sum(y) if normalise == "uniform" else sum(y_l != 0 for y_l in y)) + a
    return [t_l / total if total else 0.0 for t_l in t]


def softmax_ce(normalise="uniform", a=0.0, background=False, kl=False):
    def row(outputs, y):
        kept = observed(y)
        if not kept:
            return 0.0
        t = softmax_target(y, kept, normalise, a, background)
        s = [outputs[j] for j in kept] + [0.0] * background
        value = -sum(t_l * (s_l - lse(s)) for t_l, s_l in zip(t, s, strict=True))
        return value + (sum(map(xlogx, t)) if kl else 0)

    return row


def zlpr(outputs, y):
    kept = observed(y)
    a = lse(math.log(1 - y[j]) + outputs[j] for j in kept if y[j] < 1)
    b = lse(math.log(y[j]) - outputs[j] for j in kept if y[j] > 0)
    return (sp(a) if a > -math.inf else 0) + (sp(b) if b > -math.inf else 0)


COUNTS = {
    "softplus": sp,
    "exp": math.exp,
    "clip": lambda c: max(c, 0.01),
}


def factorized(form="kl_squared", link="softplus", weight=1.0, eps=0.01):
    def row(outputs, y):
        kept = observed(y)
        if not kept:
            return 0.0
        z, norm = COUNTS[link](outputs[L]), lse(outputs[:L])
        m = sum(y[j] for j in kept)
        if form.startswith("product"):
            values = []
            for j in kept:
                q = z * math.exp(outputs[j] - norm)
                if form == "product_squared":
                    values.append((y[j] - q) ** 2)
                else:
                    q = max(q, eps) if y[j] <= eps else q
                    p = max(y[j], eps)
                    values.append((p - q) * math.log(p / q))
            return sum(values)
        share = sum(math.exp(outputs[j] - norm) for j in kept)
        z = z * share
        kl = 0.0
        for j in kept:
            p = math.exp(outputs[j] - norm) / share
            if y[j] > 0:
                kl += y[j] / m * math.log(y[j] / m / p)
        return kl + weight * ((z - m) ** 2 if form == "kl_squared" else z - m * math.log(z))

    return row


def poisson(outputs, y):
    total = 0.0
    for j in observed(y):
        log_rate = outputs[L] + outputs[j] - lse(outputs[:L])
        total += math.exp(log_rate) - y[j] * log_rate
    return total


# --- loss, its reference

CASES = {
    "bce": (BinaryCrossEntropy(), over_labels(lambda y, s, j: bce(y, s))),
    "bce sum": (
        BinaryCrossEntropy(label_reduction="sum"),
        over_labels(lambda y, s, j: bce(y, s), mean=False),
    ),
    "bce pos_weight": (
        BinaryCrossEntropy(POS_WEIGHTS),
        over_labels(lambda y, s, j: bce(y, s, POS_WEIGHTS[j])),
    ),
    "bce balanced": (
        BinaryCrossEntropy("balanced"),
        over_labels(lambda y, s, j: bce(y, s, RATIO[j])),
    ),
    "bce tau": (
        BinaryCrossEntropy(tau=1.0),
        over_labels(lambda y, s, j: bce(y, s + LOGIT[j])),
    ),
    "bce class_weight balanced": (
        BinaryCrossEntropy(class_weight="balanced"),
        over_labels(lambda y, s, j: bce(y, s), BALANCED),
    ),
    "bce class_weight effective": (
        BinaryCrossEntropy(class_weight=("effective", 0.9)),
        over_labels(lambda y, s, j: bce(y, s), EFFECTIVE),
    ),
    "bce class_weight array": (
        BinaryCrossEntropy(class_weight=ARRAY),
        over_labels(lambda y, s, j: bce(y, s), ARRAY),
    ),
    "bce label_smoothing": (
        BinaryCrossEntropy(label_smoothing=0.1),
        over_labels(lambda y, s, j: bce(smooth(y, 0.1), s)),
    ),
    "bce all": (
        BinaryCrossEntropy(POS_WEIGHTS, 0.5, class_weight=ARRAY, label_smoothing=0.2),
        over_labels(lambda y, s, j: bce(smooth(y, 0.2), s + 0.5 * LOGIT[j], POS_WEIGHTS[j]), ARRAY),
    ),
    "focal": (FocalLoss(), over_labels(lambda y, s, j: focal(y, s, 2))),
    "focal 0.5": (FocalLoss(0.5), over_labels(lambda y, s, j: focal(y, s, 0.5))),
    "focal alpha": (FocalLoss(1, 0.25), over_labels(lambda y, s, j: focal(y, s, 1, 0.25, 0.75))),
    "focal class_weight": (
        FocalLoss(class_weight=ARRAY, label_reduction="sum"),
        over_labels(lambda y, s, j: focal(y, s, 2), ARRAY, mean=False),
    ),
    "asymmetric": (AsymmetricLoss(), over_labels(lambda y, s, j: asymmetric(y, s, 0, 4, 0.05))),
    "asymmetric gentle": (
        AsymmetricLoss(1, 2, 0),
        over_labels(lambda y, s, j: asymmetric(y, s, 1, 2, 0)),
    ),
    "asymmetric 0.5": (
        AsymmetricLoss(0.5, 0.5, 0.1),
        over_labels(lambda y, s, j: asymmetric(y, s, 0.5, 0.5, 0.1)),
    ),
    "asymmetric detached": (
        AsymmetricLoss(detach_focus=True),
        over_labels(lambda y, s, j: asymmetric(y, s, 0, 4, 0.05)),
    ),
    "brier": (
        BrierLoss(),
        over_labels(lambda y, s, j: y * (sigma(s) - 1) ** 2 + (1 - y) * sigma(s) ** 2),
    ),
    "mse": (SquaredErrorLoss(), over_labels(lambda y, s, j: y * (s - 1) ** 2 + (1 - y) * s**2)),
    "abs_kl": (AbsKLLoss(), over_labels(lambda y, s, j: abs_kl(y, s, 0.01))),
    "abs_kl 1e-7": (AbsKLLoss(1e-7), over_labels(lambda y, s, j: abs_kl(y, s, 1e-7))),
    "abs_kl label_smoothing": (
        AbsKLLoss(label_smoothing=0.1),
        # Smoothing mixes the polarities, which differs from a smoothed target in this formula.
        over_labels(
            lambda y, s, j: (
                0.9 * abs_kl(y, s, 0.01) + 0.05 * (abs_kl(0, s, 0.01) + abs_kl(1, s, 0.01))
            )
        ),
    ),
    **{
        f"softmax_ce {normalise}, {a}, {background}, {kl}": (
            SoftmaxCrossEntropy(normalise, a, background, kl),
            softmax_ce(normalise, a, background, kl),
        )
        for normalise in ("uniform", "count", "sum")
        for a in (0.0, 0.3)
        for background in (False, True)
        for kl in (False, True)
        # Where t does not add up to 1, "plus sum of t log t" is no divergence.
        if not kl or normalise == "uniform"
    },
    "zlpr": (ZLPRLoss(), zlpr),
    **{
        f"factorized {form}, {link}": (FactorizedLoss(form, link), factorized(form, link))
        for form in ("kl_squared", "kl_poisson", "product_squared", "product_abs_kl")
        for link in ("softplus", "exp", "clip")
    },
    "factorized count_weight": (
        FactorizedLoss(count_weight=0.3),
        factorized(weight=0.3),
    ),
    "factorized eps": (
        FactorizedLoss("product_abs_kl", eps=0.2),
        factorized("product_abs_kl", eps=0.2),
    ),
    "poisson_softmax": (PoissonSoftmaxLoss(), poisson),
}


def arguments(loss, Y, dtype):
    mask = ~np.isnan(Y)
    outputs = torch.tensor(OUTPUTS[:, : loss.n_outputs_], dtype=dtype)
    targets = torch.tensor(np.where(mask, Y, 0.37), dtype=dtype)
    return outputs, targets, None if mask.all() else torch.tensor(mask, dtype=dtype)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_values(name, kind):
    loss, reference = CASES[name]
    loss.fit(Y_FIT)
    Y = TARGETS[kind]
    expected = [reference(OUTPUTS[i], Y[i]) for i in range(len(Y))]
    found = loss.objective(*arguments(loss, Y, torch.float64))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-10)
    found = loss.objective(*arguments(loss, Y, torch.float32))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_statistics():
    loss = BinaryCrossEntropy("balanced", class_weight="balanced").fit(Y_FIT)
    np.testing.assert_allclose(loss.label_count_, COUNT)
    np.testing.assert_allclose(loss.positive_count_, POSITIVE)
    np.testing.assert_allclose(loss.prior_, PRIOR)
    np.testing.assert_allclose(loss.pos_weight_, RATIO)
    np.testing.assert_allclose(loss.class_weight_, BALANCED)


def test_weights_of_rare_labels():
    Y = np.zeros((1000, 3))
    Y[:, 1] = 1
    Y[0, 2] = 1
    loss = BinaryCrossEntropy("balanced", class_weight="balanced").fit(Y)
    # No positives: as if one; no negatives: nothing to balance; one in 1000: capped.
    np.testing.assert_allclose(loss.pos_weight_, [100, 1, 100])
    np.testing.assert_allclose(loss.class_weight_, mean_one([1, 1 / 1000, 1]))
    many = BinaryCrossEntropy(class_weight="balanced").fit(
        np.concatenate([np.eye(1, 200), np.ones((999, 200)) - np.eye(1, 200)])
    )
    assert many.class_weight_.max() == 100


# --- gradients in closed form, row sums of the elements


def elements(positive, negative):
    def row(outputs, y):
        p = [sigma(s) for s in outputs]
        return [
            0.0 if math.isnan(y_l) else (positive(p_l, s) if y_l == 1 else negative(p_l, s))
            for p_l, s, y_l in zip(p, outputs, y, strict=True)
        ]

    return row


def asymmetric_gradient(g1, g0, m):
    def negative(p, s):
        p_m = p - m
        if p_m <= 0:
            return 0.0
        inner = g0 * p_m ** (g0 - 1) * -math.log(1 - p_m) + p_m**g0 / (1 - p_m)
        return p * (1 - p) * inner

    return elements(lambda p, s: (1 - p) ** g1 * (g1 * p * math.log(p) - (1 - p)), negative)


def abs_kl_gradient(eps):
    return elements(
        lambda q, s: q * (1 - q) * (math.log(q) + 1 - 1 / q),
        lambda q, s: q * (1 - q) * (math.log(q / eps) + 1 - eps / q) if q > eps else 0.0,
    )


def softmax_gradient(normalise="uniform", a=0.0, background=False):
    def row(outputs, y):
        kept = observed(y)
        slope = [0.0] * L
        if not kept:
            return slope
        t = softmax_target(y, kept, normalise, a, background)
        norm = lse([outputs[j] for j in kept] + [0.0] * background)
        for j, t_l in zip(kept, t, strict=False):
            slope[j] = sum(t) * math.exp(outputs[j] - norm) - t_l
        return slope

    return row


def zlpr_gradient(outputs, y):
    kept = observed(y)
    a = lse(outputs[j] for j in kept if y[j] == 0)
    b = lse(-outputs[j] for j in kept if y[j] == 1)
    slope = [0.0] * L
    for j in kept:
        s = outputs[j]
        slope[j] = math.exp(s - sp(a)) if y[j] == 0 else -math.exp(-s - sp(b))
    return slope


GRADIENTS = {
    "bce": (
        BinaryCrossEntropy(label_reduction="sum"),
        elements(lambda p, s: p - 1, lambda p, s: p),
    ),
    "focal": (
        FocalLoss(label_reduction="sum"),
        elements(
            lambda p, s: (1 - p) ** 2 * (2 * p * math.log(p) - (1 - p)),
            # The plus sign of the slope of negatives is where a well-known text is wrong.
            lambda p, s: p**2 * (p - 2 * (1 - p) * math.log(1 - p)),
        ),
    ),
    "focal alpha": (
        FocalLoss(0.5, 0.25, label_reduction="sum"),
        elements(
            lambda p, s: 0.25 * (1 - p) ** 0.5 * (0.5 * p * math.log(p) - (1 - p)),
            lambda p, s: 0.75 * p**0.5 * (p - 0.5 * (1 - p) * math.log(1 - p)),
        ),
    ),
    "asymmetric": (AsymmetricLoss(label_reduction="sum"), asymmetric_gradient(0, 4, 0.05)),
    "asymmetric gentle": (
        AsymmetricLoss(1, 2, 0, label_reduction="sum"),
        asymmetric_gradient(1, 2, 0),
    ),
    "brier": (
        BrierLoss(label_reduction="sum"),
        elements(lambda p, s: 2 * (p - 1) * p * (1 - p), lambda p, s: 2 * p * p * (1 - p)),
    ),
    "mse": (
        SquaredErrorLoss(label_reduction="sum"),
        elements(lambda p, s: 2 * (s - 1), lambda p, s: 2 * s),
    ),
    "abs_kl": (AbsKLLoss(label_reduction="sum"), abs_kl_gradient(0.01)),
    "abs_kl 1e-7": (AbsKLLoss(1e-7, label_reduction="sum"), abs_kl_gradient(1e-7)),
    "softmax_ce": (SoftmaxCrossEntropy(), softmax_gradient()),
    "softmax_ce kl": (SoftmaxCrossEntropy(kl=True), softmax_gradient()),
    "softmax_ce sum": (SoftmaxCrossEntropy("sum"), softmax_gradient("sum")),
    "softmax_ce all": (
        SoftmaxCrossEntropy("count", 0.3, True),
        softmax_gradient("count", 0.3, True),
    ),
    "zlpr": (ZLPRLoss(), zlpr_gradient),
}


@pytest.mark.parametrize("kind", ["hard", "hidden"])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, kind):
    loss, reference = GRADIENTS[name]
    loss.fit(Y_FIT)
    Y = TARGETS[kind]
    expected = [reference(OUTPUTS[i, :L], Y[i]) for i in range(len(Y))]
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        outputs, targets, mask = arguments(loss, Y, dtype)
        outputs.requires_grad_()
        loss.objective(outputs, targets, mask).sum().backward()
        np.testing.assert_allclose(outputs.grad, expected, rtol=tolerance, atol=tolerance)


def test_softmax_gradient_is_p_minus_one_over_m():
    loss = SoftmaxCrossEntropy().fit(HARD)
    outputs = torch.tensor(OUTPUTS[:, :L], requires_grad=True)
    loss.objective(outputs, torch.tensor(HARD)).sum().backward()
    p = np.exp(OUTPUTS[:, :L])
    p /= p.sum(1, keepdims=True)
    for i, y in enumerate(HARD):
        expected = np.zeros(L) if y.sum() == 0 else np.where(y == 1, p[i] - 1 / y.sum(), p[i])
        np.testing.assert_allclose(outputs.grad[i], expected, atol=1e-12)


def test_abs_kl_keeps_a_gradient_for_missed_labels():
    """With a floor under Q, as in the original recipe, both of these would be equal and flat."""
    loss = AbsKLLoss(0.01).fit(np.array([[0.0], [1.0]]))
    s = torch.tensor([[-6.0], [-12.0]], dtype=torch.float64, requires_grad=True)
    value = loss.objective(s, torch.ones_like(s))
    value.sum().backward()
    assert value[1] > value[0] + 5
    assert (s.grad < -0.9).all()


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_bce_from_logits_is_exact_where_probabilities_saturate(target):
    loss = BinaryCrossEntropy().fit(np.array([[0.0], [1.0]]))
    for s in (17.0, 40.0, 120.0):
        logit = torch.tensor([[s if target == 0 else -s]], requires_grad=True)
        value = loss.objective(logit, torch.tensor([[target]]))
        value.backward()
        assert value.item() == pytest.approx(s, rel=1e-6)
        assert logit.grad.item() == pytest.approx(1.0 if target == 0 else -1.0)
