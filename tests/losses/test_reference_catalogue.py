"""The wider catalogue against plain float64 formulas: loops over rows, labels and pairs of labels.

Written from the formulas, not from the code: pairs are enumerated, nothing is factorised.
"""

import math

import numpy as np
import pytest
import torch

from sklearn_mlloss.losses import (
    AdaptiveThresholdLoss,
    AsymmetricPolynomialLoss,
    BalancedBCELoss,
    BPMLLLoss,
    CLogLogLoss,
    Criterion,
    DistributionBalancedLoss,
    ExponentialLoss,
    HillLoss,
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
)

NAN = math.nan
L = 5
Y_FIT = np.array(
    [
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
        [0, 1, 0, 1, 0],
        [1, 0, NAN, 0, 0],
        [NAN, NAN, NAN, NAN, NAN],
        [1, 0, 1, 0, 0],
        [1, 1, 0, 0, 0],
    ]
)
HARD = np.array(
    [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 0, 1], [1, 0, 0, 1, 0]], float
)
HIDDEN = HARD.copy()
HIDDEN[0, 1] = HIDDEN[1, :2] = HIDDEN[2, 0] = HIDDEN[3, 1:4] = HIDDEN[4] = NAN
SOFT = np.array([[0.2, 0, 0, 0.9, 0], [0.5, 0.5, 0.5, 0.5, 0.5], [1, 0.3, 0, 0, 0.1]])
SOFT = np.concatenate([SOFT, [[0, 0.004, 0, 0, 1], [0.7, NAN, 0.1, NAN, 0]]])
TARGETS = {
    "hard": HARD,
    "hidden": HIDDEN,
    "one row": HARD[3:4],
    "one row without labels": HARD[:1],
    "one row with all labels": HARD[1:2],
    "labels absent from the batch": HARD[[0, 2, 4]],
    "a label hidden in the batch": np.where(np.arange(L) == 3, NAN, HARD),
    "all hidden": np.full((2, L), NAN),
    "soft": SOFT,
}
OUTPUTS = np.random.default_rng(0).normal(0, 2, (5, 2 * L + 1))
OUTPUTS[:, L] = [0.5, 1.7, -0.8, 2.4, 0.9]
OUTPUTS[0, 0], OUTPUTS[1, 1], OUTPUTS[2, 3] = -9.0, 8.0, -3.5

# --- pieces


def sp(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def sigma(x):
    return math.exp(-sp(-x))


def lse(values):
    values = list(values)
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


class Stats:
    """The label statistics, in loops."""

    def __init__(self, Y):
        self.n = [sum(not math.isnan(v) for v in column) for column in Y.T]
        self.positive = [sum(v for v in column if not math.isnan(v)) for column in Y.T]
        self.prior = [
            min(max(p / n, 0.5 / n), 1 - 0.5 / n)
            for p, n in zip(self.positive, self.n, strict=True)
        ]
        counts = [sum(row) for row in Y if not any(math.isnan(v) for v in row)]
        self.largest_count = round(max(counts))


def labels(y, value):
    return [j for j in range(len(y)) if y[j] == value]


def observed(y):
    return [j for j in range(len(y)) if not math.isnan(y[j])]


# --- separable losses: functions of one logit, one pair (present, absent)


def focal_of(z, gamma):
    """Return the focal loss of a present label at logit z."""
    return -((1 - sigma(z)) ** gamma) * math.log(sigma(z))


def polynomial(g1, g0, m, e1, e2, en):
    def present(s, j, stats):
        p = sigma(s)
        return -((1 - p) ** g1) * (math.log(p) + e1 * (1 - p) + 0.5 * e2 * (1 - p) ** 2)

    def absent(s, j, stats):
        p_m = max(sigma(s) - m, 0)
        if p_m == 0:
            return 0.0
        return -(p_m**g0) * (math.log(1 - p_m) + en * (1 - p_m))

    return present, absent


def hill(lam, mu, gamma):
    return (
        lambda s, j, stats: focal_of(s - mu, gamma),
        lambda s, j, stats: (lam - sigma(s)) * sigma(s) ** 2,
    )


def splc(tau, mu, gamma, corrected):
    def absent(s, j, stats):
        return focal_of(s if corrected and sigma(s) > tau else -s, gamma)

    return lambda s, j, stats: focal_of(s - mu, gamma), absent


def poly1(epsilon, gamma):
    def present(s):
        p = sigma(s)
        return -((1 - p) ** gamma) * math.log(p) + epsilon * (1 - p) ** (gamma + 1)

    return lambda s, j, stats: present(s), lambda s, j, stats: present(-s)


def ldam(max_margin, scale):
    def present(s, j, stats):
        counts = [n if n > 0 else 1 for n in stats.positive]
        margin = max_margin * (counts[j] / min(counts)) ** -0.25
        return sp(-scale * (s - margin))

    return present, lambda s, j, stats: sp(scale * s)


HINGE = (lambda s, j, stats: max(0, 1 - s), lambda s, j, stats: max(0, 1 + s))
SQUARED_HINGE = (lambda s, j, stats: max(0, 1 - s) ** 2, lambda s, j, stats: max(0, 1 + s) ** 2)
EXPONENTIAL = (lambda s, j, stats: math.exp(-s), lambda s, j, stats: math.exp(s))
CLOGLOG = (
    lambda s, j, stats: -math.log(-math.expm1(-math.exp(s))),
    lambda s, j, stats: math.exp(s),
)


def over_labels(pair, mean=True, weights=None, smoothing=0.0):
    present, absent = pair

    def row(s, y, stats):
        total = 0.0
        for j in observed(y):
            target = y[j] * (1 - smoothing) + smoothing / 2
            term = target * present(s[j], j, stats) + (1 - target) * absent(s[j], j, stats)
            total += term * (1 if weights is None else weights[j])
        return total / len(y) if mean else total

    return row


def distribution_balanced(alpha=0.1, beta=10.0, mu=0.2, lam=2.0, kappa=0.05, gamma=2.0):
    def row(s, y, stats):
        inverse = [1 / n if n > 0 else 1.0 for n in stats.positive]
        repeated = sum(y[j] * inverse[j] for j in observed(y))
        total = 0.0
        for j in observed(y):
            weight = alpha + 1.0
            if repeated > 0:
                weight = alpha + sigma(beta * (inverse[j] / repeated - mu))
            z = s[j] - kappa / lam * math.log(1 / stats.prior[j] - 1)
            for share, u, factor in ((y[j], sp(-z), 1.0), (1 - y[j], sp(lam * z), 1 / lam)):
                total += share * factor * weight * 2 * (1 - math.exp(-u)) ** gamma * u
        return total / len(y)

    return row


# --- set losses


def balanced_bce(s, y, stats):
    total = 0.0
    for share, sign in (([1 - v for v in y], 1), (y, -1)):
        share = [v if not math.isnan(v) else 0.0 for v in share]
        if sum(share) > 0:
            total += sum(w * sp(sign * s[j]) for j, w in enumerate(share)) / sum(share)
    return total


def atlop(s, y, stats):
    threshold, total = s[len(y)], 0.0
    present, absent = labels(y, 1), labels(y, 0)
    for r in present:
        total -= s[r] - lse([s[j] for j in present] + [threshold])
    return total - (threshold - lse([s[j] for j in absent] + [threshold]))


# --- ranking losses: explicit pairs


def pairs(y):
    return [(u, v) for u in labels(y, 1) for v in labels(y, 0)]


def lsep(s, y, stats):
    return math.log(1 + sum(math.exp(s[v] - s[u]) for u, v in pairs(y)))


def bp_mll(activation):
    def row(s, y, stats):
        both = pairs(y)
        total = sum(math.exp(-(activation(s[u]) - activation(s[v]))) for u, v in both)
        return total / len(both) if both else 0.0

    return row


def multilabel_margin(s, y, stats):
    return sum(max(0, 1 - (s[u] - s[v])) for u, v in pairs(y)) / len(y)


def pairwise_logistic(s, y, stats):
    both = pairs(y)
    return sum(sp(-(s[u] - s[v])) for u, v in both) / len(both) if both else 0.0


def two_way(t_p, t_n):
    def one_way(S, Y):
        values = []
        for s, y in zip(S, Y, strict=True):
            present, absent = labels(y, 1), labels(y, 0)
            if not present:
                continue
            if not absent:
                values.append(0.0)
                continue
            # The T-th power of a sum of roots of exponentials, on both sides.
            a = sum(math.exp(s[v] / t_n) for v in absent) ** t_n
            b = sum(math.exp(-s[u] / t_p) for u in present) ** t_p
            values.append(math.log(1 + a * b))
        return sum(values) / len(values) if values else 0.0

    def batch(S, Y, stats):
        return one_way(S, Y) + one_way(S[:, : Y.shape[1]].T, Y.T)

    return batch


# --- soft counts


def soft_measure(measure, average="macro", probability=sigma):
    def counted(S, Y, entries):
        tp = fp = fn = 0.0
        for i, j in entries:
            p = probability(S[i][j])
            tp += p * Y[i][j]
            fp += p * (1 - Y[i][j])
            fn += (1 - p) * Y[i][j]
        return measure(tp, fp, fn)

    def batch(S, Y, stats):
        n, n_labels = Y.shape
        seen = [(i, j) for i in range(n) for j in observed(Y[i])]
        if average == "micro":
            return counted(S, Y, seen) if seen else 0.0
        if average == "samples":
            rows = [[entry for entry in seen if entry[0] == i] for i in range(n)]
            return np.array([counted(S, Y, row) if row else 0.0 for row in rows])
        columns = [[entry for entry in seen if entry[1] == j] for j in range(n_labels)]
        values = [counted(S, Y, column) for column in columns if column]
        return sum(values) / len(values) if values else 0.0

    return batch


def f_beta(beta, eps=1e-7):
    b = beta**2
    return lambda tp, fp, fn: 1 - (1 + b) * tp / ((1 + b) * tp + b * fn + fp + eps)


def tversky(alpha, beta, smooth):
    return lambda tp, fp, fn: 1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


# --- a count beside a loss


def by_rows(row):
    return lambda S, Y, stats: np.array([row(s, y, stats) for s, y in zip(S, Y, strict=True)])


def with_count(batch, head, weight=1.0, n_before=L):
    def both(S, Y, stats):
        value = np.asarray(batch(S, Y, stats))
        counts = []
        for s, y in zip(S, Y, strict=True):
            seen = observed(y)
            m = sum(y[j] for j in seen)
            c = s[n_before:]
            if head == "poisson":
                share = sum(stats.prior[j] for j in seen) / sum(stats.prior)
                z = math.exp(c[0]) * share
                counts.append(z - m * math.log(z) if seen else 0.0)
                continue
            c = c[: stats.largest_count + 1]
            low = min(math.floor(m), len(c) - 1)
            high = min(low + 1, len(c) - 1)
            above = min(m, len(c) - 1) - low
            value_of = (1 - above) * (lse(c) - c[low]) + above * (lse(c) - c[high])
            counts.append(value_of if len(seen) == len(y) else 0.0)
        counts = weight * np.array(counts)
        return value + (counts if value.ndim else counts.mean())

    return both


WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.0]
APL = (0, 4, 0.05, 1, -2.5, 0)
BCE = (lambda s, j, stats: sp(-s), lambda s, j, stats: sp(s))

# Name -> loss, its reference (outputs, targets with NaN, statistics) -> one value per row or batch.
CASES = {
    "asymmetric_polynomial": (
        AsymmetricPolynomialLoss(),
        by_rows(over_labels(polynomial(*APL))),
    ),
    "asymmetric_polynomial all": (
        AsymmetricPolynomialLoss(0.5, 1, 0.2, 0.5, -1, 0.3, class_weight=WEIGHTS),
        by_rows(over_labels(polynomial(0.5, 1, 0.2, 0.5, -1, 0.3), weights=WEIGHTS)),
    ),
    "asymmetric_polynomial no clip": (
        AsymmetricPolynomialLoss(1, 2, 0, 1, -2, 0.5, label_reduction="sum"),
        by_rows(over_labels(polynomial(1, 2, 0, 1, -2, 0.5), mean=False)),
    ),
    "hill": (HillLoss(), by_rows(over_labels(hill(1.5, 1, 2)))),
    "hill all": (
        HillLoss(1.8, 0.5, 2.5, label_smoothing=0.1),
        by_rows(over_labels(hill(1.8, 0.5, 2.5), smoothing=0.1)),
    ),
    "splc": (SPLCLoss(), by_rows(over_labels(splc(0.6, 1, 2, False)))),
    "splc corrected": (
        SPLCLoss(start_epoch=0),
        by_rows(over_labels(splc(0.6, 1, 2, True))),
    ),
    "splc all": (
        SPLCLoss(0.8, 0.3, 1.5, 0, label_smoothing=0.2),
        by_rows(over_labels(splc(0.8, 0.3, 1.5, True), smoothing=0.2)),
    ),
    "poly1": (Poly1Loss(), by_rows(over_labels(poly1(1, 0)))),
    "poly1 focal": (
        Poly1Loss(-0.7, 1.5, class_weight=WEIGHTS, label_smoothing=0.1),
        by_rows(over_labels(poly1(-0.7, 1.5), weights=WEIGHTS, smoothing=0.1)),
    ),
    "ldam": (LDAMLoss(), by_rows(over_labels(ldam(0.5, 1)))),
    "ldam scaled": (LDAMLoss(2.0, 3.0), by_rows(over_labels(ldam(2.0, 3.0)))),
    "hinge": (HingeLoss(), by_rows(over_labels(HINGE))),
    "hinge smoothed": (
        HingeLoss(label_smoothing=0.1, label_reduction="sum"),
        by_rows(over_labels(HINGE, mean=False, smoothing=0.1)),
    ),
    "squared_hinge": (SquaredHingeLoss(), by_rows(over_labels(SQUARED_HINGE))),
    "exponential": (ExponentialLoss(), by_rows(over_labels(EXPONENTIAL))),
    "cloglog": (CLogLogLoss(), by_rows(over_labels(CLOGLOG))),
    "distribution_balanced": (DistributionBalancedLoss(), by_rows(distribution_balanced())),
    "distribution_balanced all": (
        DistributionBalancedLoss(0.3, 5, 0.3, 5, 0.5, 1),
        by_rows(distribution_balanced(0.3, 5, 0.3, 5, 0.5, 1)),
    ),
    "balanced_bce": (BalancedBCELoss(), by_rows(balanced_bce)),
    "atlop": (AdaptiveThresholdLoss(), by_rows(atlop)),
    "lsep": (LSEPLoss(), by_rows(lsep)),
    "two_way": (TwoWayLoss(), two_way(4, 1)),
    "two_way 1 1": (TwoWayLoss(1, 1), two_way(1, 1)),
    "two_way 0.7 2": (TwoWayLoss(0.7, 2), two_way(0.7, 2)),
    "bp_mll": (BPMLLLoss(), by_rows(bp_mll(math.tanh))),
    "bp_mll unbounded": (BPMLLLoss(bounded=False), by_rows(bp_mll(lambda s: s))),
    "multilabel_margin": (MultilabelMarginLoss(), by_rows(multilabel_margin)),
    "pairwise_logistic": (PairwiseLogisticLoss(), by_rows(pairwise_logistic)),
    **{
        f"soft_fbeta {beta} {average}": (
            SoftFBetaLoss(beta, average),
            soft_measure(f_beta(beta), average),
        )
        for beta in (1, 2, 0.5)
        for average in ("macro", "micro", "samples")
    },
    "soft_fbeta": (SoftFBetaLoss(), soft_measure(f_beta(1))),
    "sigmoid_f1": (SigmoidF1Loss(), soft_measure(f_beta(1))),
    "sigmoid_f1 3 -0.5": (
        SigmoidF1Loss(3, -0.5),
        soft_measure(f_beta(1), probability=lambda s: sigma(3 * (s - 0.5))),
    ),
    "tversky": (TverskyLoss(), soft_measure(tversky(0.5, 0.5, 1))),
    **{
        f"tversky {average}": (
            TverskyLoss(1, 0.7, 0.1, average),
            soft_measure(tversky(1, 0.7, 0.1), average),
        )
        for average in ("macro", "micro", "samples")
    },
    **{
        f"{name} with {head}": (WithCount(name, head, 0.5), with_count(batch, head, 0.5))
        for name, batch in (
            ("bce", by_rows(over_labels(BCE))),
            ("lsep", by_rows(lsep)),
            ("soft_fbeta", soft_measure(f_beta(1))),
        )
        for head in ("poisson", "categorical")
    },
    "atlop with poisson": (WithCount("atlop"), with_count(by_rows(atlop), "poisson", 1.0, L + 1)),
}

STATS = Stats(Y_FIT)


def kinds(loss):
    return [kind for kind in TARGETS if kind != "soft" or loss.accepts_soft_targets]


def arguments(loss, Y, dtype):
    mask = ~np.isnan(Y)
    outputs = torch.tensor(OUTPUTS[: len(Y), : loss.n_outputs_], dtype=dtype)
    targets = torch.tensor(np.where(mask, Y, 0.37), dtype=dtype)
    return outputs, targets, None if mask.all() else torch.tensor(mask, dtype=dtype)


SETTINGS = [(name, kind) for name, (loss, _) in CASES.items() for kind in kinds(loss)]


@pytest.mark.parametrize("name, kind", SETTINGS)
def test_values(name, kind):
    loss, reference = CASES[name]
    loss.fit(Y_FIT)
    Y = TARGETS[kind]
    expected = reference(OUTPUTS[: len(Y), : loss.n_outputs_], Y, STATS)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        found = loss.objective(*arguments(loss, Y, dtype)).numpy()
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def numeric_slope(function, x, h=1e-3):
    """Return the gradient of a scalar function by a five-point formula."""
    slope = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        total = 0.0
        for step, factor in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
            moved = x.copy()
            moved[index] += step * h
            total += factor * function(moved)
        slope[index] = total / (12 * h)
    return slope


@pytest.mark.parametrize("name, kind", SETTINGS)
def test_gradients(name, kind):
    """Of the sum over rows, against differences of the reference."""
    loss, reference = CASES[name]
    loss.fit(Y_FIT)
    Y = TARGETS[kind]
    expected = numeric_slope(
        lambda x: np.sum(reference(x, Y, STATS)), OUTPUTS[: len(Y), : loss.n_outputs_]
    )
    for dtype, rtol, atol in ((torch.float64, 1e-8, 1e-8), (torch.float32, 1e-4, 1e-5)):
        outputs, targets, mask = arguments(loss, Y, dtype)
        outputs.requires_grad_()
        loss.objective(outputs, targets, mask).sum().backward()
        np.testing.assert_allclose(outputs.grad, expected, rtol=rtol, atol=atol)
        assert (outputs.grad.numpy()[:, :L][np.isnan(Y)] == 0).all()


# --- gradients in closed form


def element_slopes(present, absent):
    def row(s, y):
        return [
            0.0 if math.isnan(y_l) else (present if y_l == 1 else absent)(sigma(s_l), s_l)
            for s_l, y_l in zip(s, y, strict=False)
        ]

    return row


def focal_slope(z):
    p = sigma(z)
    return (1 - p) ** 2 * (2 * p * math.log(p) - (1 - p))


def softmax_over(s, chosen, sign):
    norm = lse(sign * s[j] for j in chosen)
    return {j: math.exp(sign * s[j] - norm) for j in chosen}


def lsep_slope(s, y):
    slope, present, absent = [0.0] * len(y), labels(y, 1), labels(y, 0)
    if present and absent:
        share = sigma(lse(s[j] for j in absent) + lse(-s[j] for j in present))
        for j, p in softmax_over(s, absent, 1).items():
            slope[j] = share * p
        for j, p in softmax_over(s, present, -1).items():
            slope[j] = -share * p
    return slope


def atlop_slope(s, y):
    threshold, present, absent = len(y), labels(y, 1), labels(y, 0)
    slope, m = [0.0] * (len(y) + 1), len(present)
    p1, p2 = softmax_over(s, [*present, threshold], 1), softmax_over(s, [*absent, threshold], 1)
    for r in present:
        slope[r] = m * p1[r] - 1
    for v in absent:
        slope[v] = p2[v]
    slope[threshold] = m * p1[threshold] + p2[threshold] - 1
    return slope


SLOPES = {
    "poly1": (
        Poly1Loss(0.8, label_reduction="sum"),
        element_slopes(lambda p, s: -(1 - p) * (1 + 0.8 * p), lambda p, s: p * (1 + 0.8 * (1 - p))),
    ),
    "hill": (
        HillLoss(1.7, label_reduction="sum"),
        element_slopes(
            lambda p, s: focal_slope(s - 1), lambda p, s: p**2 * (1 - p) * (3.4 - 3 * p)
        ),
    ),
    "splc": (
        SPLCLoss(start_epoch=0, label_reduction="sum"),
        element_slopes(
            lambda p, s: focal_slope(s - 1),
            lambda p, s: focal_slope(s) if p > 0.6 else -focal_slope(-s),
        ),
    ),
    "hinge": (
        HingeLoss(label_reduction="sum"),
        element_slopes(lambda p, s: -float(s < 1), lambda p, s: float(s > -1)),
    ),
    "squared_hinge": (
        SquaredHingeLoss(label_reduction="sum"),
        element_slopes(lambda p, s: -2 * max(0, 1 - s), lambda p, s: 2 * max(0, 1 + s)),
    ),
    "exponential": (
        ExponentialLoss(label_reduction="sum"),
        element_slopes(lambda p, s: -math.exp(-s), lambda p, s: math.exp(s)),
    ),
    "cloglog": (
        CLogLogLoss(label_reduction="sum"),
        element_slopes(
            lambda p, s: -math.exp(s) / math.expm1(math.exp(s)) if s < 6 else 0.0,
            lambda p, s: math.exp(s),
        ),
    ),
    "lsep": (LSEPLoss(), lsep_slope),
    "atlop": (AdaptiveThresholdLoss(), atlop_slope),
}


@pytest.mark.parametrize("kind", ["hard", "hidden"])
@pytest.mark.parametrize("name", SLOPES)
def test_closed_gradients(name, kind):
    loss, reference = SLOPES[name]
    loss.fit(Y_FIT)
    Y = TARGETS[kind]
    expected = [reference(OUTPUTS[i], Y[i]) for i in range(len(Y))]
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        outputs, targets, mask = arguments(loss, Y, dtype)
        outputs.requires_grad_()
        loss.objective(outputs, targets, mask).sum().backward()
        np.testing.assert_allclose(outputs.grad, expected, rtol=tolerance, atol=tolerance)


def test_detached_focus_of_the_polynomial():
    """The value stays, the slope is the focus times the slope of the polynomial."""
    params = dict(gamma_pos=1.0, gamma_neg=4.0, clip=0.05, e1=0.6, e2=-2.0, en=0.2)
    loss = AsymmetricPolynomialLoss(**params, detach_focus=True, label_reduction="sum").fit(Y_FIT)
    plain = AsymmetricPolynomialLoss(**params, label_reduction="sum").fit(Y_FIT)
    outputs, targets, _ = arguments(loss, HARD, torch.float64)
    torch.testing.assert_close(loss.objective(outputs, targets), plain.objective(outputs, targets))
    outputs.requires_grad_()
    loss.objective(outputs, targets).sum().backward()
    p = 1 / (1 + np.exp(-OUTPUTS[:, :L]))
    q, p_m = 1 - p, np.maximum(p - 0.05, 0)
    present = q * (-1 / p + 0.6 - 2.0 * q) * p * q
    absent = p_m**4 * (1 / (1 - p_m) + 0.2) * p * q
    expected = np.where(HARD == 1, present, np.where(p > 0.05, absent, 0))
    np.testing.assert_allclose(outputs.grad, expected, rtol=1e-9, atol=1e-12)


# --- where formulas lose their digits


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_cloglog_of_small_rates(dtype, tolerance):
    """``-log(1 - exp(-r))``: on both sides of any switch of expressions, and where r underflows."""
    loss = CLogLogLoss(label_reduction="sum").fit(np.array([[0.0], [1.0]]))
    s = np.concatenate([np.linspace(-12, -4, 81), [-20, -30.0, -60.0]])
    logits = torch.tensor(s, dtype=dtype)[:, None].requires_grad_()
    value = loss.objective(logits, torch.ones_like(logits))
    value.sum().backward()
    exact = logits.detach().double().numpy()[:, 0]
    expected = [-math.log(-math.expm1(-math.exp(x))) for x in exact]
    np.testing.assert_allclose(value.detach(), expected, rtol=tolerance, atol=tolerance)
    slope = [-math.exp(x) / math.expm1(math.exp(x)) for x in exact]
    np.testing.assert_allclose(logits.grad[:, 0], slope, rtol=tolerance, atol=tolerance)
    far = torch.tensor([[-700.0]], dtype=dtype)
    assert loss.objective(far, torch.ones_like(far)).item() == pytest.approx(700)


@pytest.mark.parametrize("loss", [ExponentialLoss(), CLogLogLoss()], ids=str)
def test_exponentials_continue_as_tangents(loss):
    loss.fit(np.array([[0.0], [1.0]]))
    limit = 30.0 if isinstance(loss, ExponentialLoss) else 10.0
    s = torch.tensor([[limit - 1], [limit], [limit + 1], [limit + 100]], dtype=torch.float64)
    s.requires_grad_()
    value = loss.objective(s, torch.zeros_like(s))
    value.sum().backward()
    top = math.exp(limit)
    np.testing.assert_allclose(value.detach(), [top / math.e, top, 2 * top, 101 * top], rtol=1e-12)
    np.testing.assert_allclose(s.grad[:, 0], [top / math.e, top, top, top], rtol=1e-12)


def test_unbounded_bp_mll_continues_as_its_tangent():
    loss = BPMLLLoss(bounded=False).fit(np.array([[0.0, 1.0]]))
    gap = torch.tensor([[29.0, 0], [30, 0], [31, 0], [130, 0]], dtype=torch.float64)
    value = loss.objective(gap, torch.tensor([[0.0, 1.0]]).double().expand(4, 2))
    top = math.exp(30)
    np.testing.assert_allclose(value, [top / math.e, top, 2 * top, 101 * top], rtol=1e-12)


# --- weights of rows in losses of a batch


def test_row_weights_of_soft_counts_are_counts():
    """A row of weight 2 counts as two rows."""
    weight = np.array([2, 1, 3, 0, 1])
    repeated = np.repeat(np.arange(5), weight)
    losses = (
        SoftFBetaLoss(),
        SoftFBetaLoss(2, "micro"),
        SigmoidF1Loss(2),
        TverskyLoss(),
        TverskyLoss(average="micro"),
    )
    for loss in losses:
        loss.fit(Y_FIT)
        outputs, targets, mask = arguments(loss, HIDDEN, torch.float64)
        found = loss.objective(outputs, targets, mask, torch.tensor(weight).double())
        expected = loss.objective(outputs[repeated], targets[repeated], mask[repeated])
        torch.testing.assert_close(found, expected)
        assert Criterion(loss)(outputs, torch.tensor(HIDDEN), torch.tensor(weight)).isfinite()


def test_row_weights_of_two_way_are_in_the_row_term():
    loss = TwoWayLoss().fit(Y_FIT)
    outputs, targets, _ = arguments(loss, HARD, torch.float64)
    weight = torch.tensor([5.0, 1.0, 0.5, 2.0, 1.5], dtype=torch.float64)
    rows = [
        loss.objective(outputs[i : i + 1], targets[i : i + 1]).item() if HARD[i].sum() else 0.0
        for i in range(5)
    ]
    # A single row has no column with both polarities.
    plain = loss.objective(outputs, targets) - sum(rows) / 4
    expected = plain + sum(w * r for w, r in zip(weight.tolist(), rows, strict=True)) / 4
    torch.testing.assert_close(loss.objective(outputs, targets, None, weight), expected)


def test_row_weights_of_a_count_beside_a_batch_loss():
    loss = WithCount("soft_fbeta").fit(Y_FIT)
    outputs, targets, _ = arguments(loss, HARD, torch.float64)
    weight = torch.tensor([0.0, 1.0, 0.5, 2.0, 1.5], dtype=torch.float64)
    inner = SoftFBetaLoss().fit(Y_FIT).objective(outputs[:, :L], targets, None, weight)
    c, m = outputs[:, L], targets.sum(1)
    expected = inner + (weight * (c.exp() - m * c)).mean()
    torch.testing.assert_close(loss.objective(outputs, targets, None, weight), expected)


# --- statistics


def test_margins_of_ldam():
    Y = np.zeros((81, 4))
    Y[:, 0] = 1
    Y[:16, 1] = 1
    Y[0, 2] = 1
    loss = LDAMLoss(0.6).fit(Y)
    np.testing.assert_allclose(loss.margin_, [0.2, 0.3, 0.6, 0.6])


def test_weights_of_the_distribution_balanced_loss():
    Y = np.zeros((100, 3))
    Y[:50, 0] = 1
    Y[:10, 1] = 1
    loss = DistributionBalancedLoss().fit(Y)
    targets = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)

    def weight(r):
        return 0.1 + sigma(10 * (r - 0.2))

    both = 1 / 50 + 1 / 10
    expected = [
        # A label without a positive counts as having one.
        [weight(1 / 50 / both), weight(1 / 10 / both), weight(1 / both)],
        [weight(1), weight(5), weight(50)],
        [1.1, 1.1, 1.1],
    ]
    np.testing.assert_allclose(loss.entry_weight(targets, None), expected, rtol=1e-12)


def test_a_flat_weight_of_the_distribution_balanced_loss():
    """With beta = 0 every weight is alpha + 1/2, also in rows without labels."""
    loss = DistributionBalancedLoss(beta=0.0).fit(HARD)
    weight = loss.entry_weight(torch.tensor(HARD), None)
    np.testing.assert_allclose(weight[1:], 0.6)
    assert torch.isfinite(weight).all()


def test_label_weights_do_not_enter_the_distribution_balanced_weights():
    """Doubling the weight of every entry doubles the loss."""
    loss = DistributionBalancedLoss().fit(Y_FIT)
    outputs, targets, _ = arguments(loss, HARD, torch.float64)
    twice = loss.objective(outputs, targets, torch.full_like(targets, 2.0))
    torch.testing.assert_close(twice, 2 * loss.objective(outputs, targets))


def test_splc_corrects_from_its_epoch_on():
    loss = SPLCLoss(start_epoch=2).fit(Y_FIT)
    outputs, targets, _ = arguments(loss, HARD, torch.float64)
    before = loss.objective(outputs, targets)
    scores = loss.link(outputs)
    after = SPLCLoss(start_epoch=0).fit(Y_FIT).objective(outputs, targets)
    assert (before != after).any()
    for epoch in range(4):
        Criterion(loss).set_epoch(epoch)
        expected = before if epoch < 2 else after
        torch.testing.assert_close(loss.objective(outputs, targets), expected)
        torch.testing.assert_close(loss.link(outputs), scores)
    loss.fit(Y_FIT)  # starts over
    torch.testing.assert_close(loss.objective(outputs, targets), before)
    inside = WithCount(SPLCLoss(start_epoch=1)).fit(Y_FIT)
    inside.set_epoch(1)
    assert inside.loss_.epoch_ == 1


# --- the count head


def test_outputs_of_the_count_head():
    assert WithCount("bce").fit(HARD).n_outputs_ == L + 1
    assert WithCount("atlop").fit(HARD).n_outputs_ == L + 2
    assert WithCount("bce", "categorical").fit(HARD).n_outputs_ == L + 6
    assert WithCount("bce", "categorical").fit(HARD[[0, 2, 4]]).n_outputs_ == L + 3


def test_count_of_the_heads():
    poisson = WithCount("lsep").fit(HARD)
    outputs = torch.tensor(OUTPUTS[:, : L + 1])
    np.testing.assert_allclose(poisson.count(outputs), np.exp(OUTPUTS[:, L]))
    categorical = WithCount("lsep", "categorical").fit(HARD[2:])
    c = OUTPUTS[:, L : L + 4]
    p = np.exp(c) / np.exp(c).sum(1, keepdims=True)
    expected = p @ np.arange(4.0)
    np.testing.assert_allclose(categorical.count(torch.tensor(OUTPUTS[:, : L + 4])), expected)


def test_initial_count_is_that_of_the_rows():
    Y = HARD[[0, 2, 2, 4, 4, 4, 3, 2]]
    poisson = WithCount("bce").fit(Y)
    bias = torch.tensor(poisson.initial_bias())
    assert poisson.count(bias).item() == pytest.approx(poisson.prior_.sum())
    categorical = WithCount("bce", "categorical").fit(Y)
    head = torch.tensor(categorical.initial_bias()[L:]).softmax(0)
    np.testing.assert_allclose(head, (np.array([1, 3, 3, 1]) + 0.5) / 10)


def test_sample_weights_count_in_the_categorical_head():
    """A row of weight 3 is three rows, one of weight 0 is none."""
    weight = np.array([1, 0, 3, 1, 2])
    weighted = WithCount("bce", "categorical").fit(HARD, weight)
    repeated = WithCount("bce", "categorical").fit(np.repeat(HARD, weight, 0))
    assert weighted.n_outputs_ == repeated.n_outputs_
    np.testing.assert_allclose(weighted.initial_bias(), repeated.initial_bias())


def test_a_count_beyond_those_seen_is_the_last():
    loss = WithCount("bce", "categorical").fit(HARD[2:])  # at most 3
    outputs = torch.tensor(OUTPUTS[:1, : L + 4])
    inner = WithCount("bce").fit(HARD[2:]).loss_
    value = loss.objective(outputs, torch.ones(1, L).double())
    head = -outputs[:, L:].log_softmax(1)[0, 3]
    torch.testing.assert_close(
        value[0], inner.objective(outputs[:, :L], torch.ones(1, L).double())[0] + head
    )


def test_hidden_targets_may_be_anything_in_the_categorical_head():
    loss = WithCount("bce", "categorical").fit(HARD)
    outputs = torch.tensor(OUTPUTS[:2, : L + 6])
    mask = torch.ones(2, L).double()
    mask[0, :3] = 0
    values = []
    for filler in (0.0, -3.0, 7.0):
        targets = torch.where(mask > 0, torch.tensor(HARD[:2]), filler)
        values.append(loss.objective(outputs, targets, mask))
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[0])


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_float32_of_many_labels(shift):
    """Sums over a thousand labels keep their digits, also where all logits of a row are large."""
    rng = np.random.default_rng(0)
    Y = (rng.random((16, 983)) < 0.02).astype(float)
    s = torch.tensor(rng.normal(0, 2, (16, 983)) + shift, dtype=torch.float32)
    s = s.double().float()
    for loss in (
        LSEPLoss(),
        TwoWayLoss(),
        BPMLLLoss(),
        BPMLLLoss(False),
        MultilabelMarginLoss(),
        PairwiseLogisticLoss(),
    ):
        loss.fit(Y)
        single = loss.objective(s, torch.tensor(Y).float()).double()
        double = loss.objective(s.double(), torch.tensor(Y))
        # The logits themselves are the same: the loss sees differences only.
        if not isinstance(loss, BPMLLLoss) or not loss.bounded:
            again = loss.objective(s.double() - shift, torch.tensor(Y))
            torch.testing.assert_close(double, again, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-4, msg=str(loss))
