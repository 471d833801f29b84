import math
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss import metrics as ml
from sklearn_mlloss.metrics import rankings
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

nan = math.nan

# ------------------------------------------------------------------ plain loops


def mean(pairs):
    """Weighted mean of (value, weight), leaving NaN out."""
    pairs = [(v, w) for v, w in pairs if not math.isnan(v)]
    total = sum(w for _, w in pairs)
    return sum(v * w for v, w in pairs) / total if total else nan


def seen(y):
    return [label for label, value in enumerate(y) if not math.isnan(value)]


def averaged(entry, Y, P, w, average):
    """Average entry(y, p) over the observed entries."""
    n, L = Y.shape
    if average == "micro":
        return mean([(entry(Y[i, j], P[i, j]), w[i]) for i in range(n) for j in seen(Y[i])])
    if average == "samples":
        return mean([(mean([(entry(Y[i, j], P[i, j]), 1) for j in seen(Y[i])]), w[i])
                     for i in range(n)])  # fmt: skip
    labels = [
        mean([(entry(Y[i, j], P[i, j]), w[i]) for i in range(n) if not math.isnan(Y[i, j])])
        for j in range(L)
    ]
    return labels if average is None else mean([(v, 1) for v in labels])


def naive_log_loss(Y, P, w, average):
    def entry(y, p):
        p = min(max(p, 2.0**-52), 1 - 2.0**-52)
        return -y * math.log(p) - (1 - y) * math.log(1 - p)

    return averaged(entry, Y, P, w, average)


def naive_ece(Y, P, w, n_bins, average):
    def one(triples):
        bins = {}
        for y, p, weight in triples:
            bins.setdefault(min(int(p * n_bins), n_bins - 1), []).append((y - p, weight))
        total = sum(weight for _, _, weight in triples)
        gaps = [abs(sum(d * weight for d, weight in members)) for members in bins.values()]
        return sum(gaps) / total if total else nan

    n, L = Y.shape
    cells = [[(Y[i, j], P[i, j], w[i]) for i in range(n) if not math.isnan(Y[i, j])]
             for j in range(L)]  # fmt: skip
    if average == "micro":
        return one(sum(cells, []))
    labels = [one(cell) for cell in cells]
    return labels if average is None else mean([(v, 1) for v in labels])


def top(y, scores, k):
    return sorted(seen(y), key=lambda label: (-scores[label], label))[:k]


def naive_precision(Y, S, w, k):
    rows = []
    for y, s, weight in zip(Y, S, w, strict=True):
        best = top(y, s, k)
        rows.append((sum(y[j] for j in best) / len(best) if best else nan, weight))
    return mean(rows)


def naive_psp(Y, S, w, k, p):
    got = ideal = 0.0
    for y, s, weight in zip(Y, S, w, strict=True):
        got += weight * sum(y[j] / p[j] for j in top(y, s, k))
        ideal += weight * sum(sorted((y[j] / p[j] for j in seen(y)), reverse=True)[:k])
    return got / ideal if ideal else nan


def naive_ranking(Y, S, w, row, empty):
    """Average row(positive scores, negative scores), None where it is not defined."""
    pairs = []
    for y, s, weight in zip(Y, S, w, strict=True):
        if seen(y):
            value = row([s[j] for j in seen(y) if y[j]], [s[j] for j in seen(y) if not y[j]])
            pairs.append((empty if value is None else value, weight))
    return mean(pairs)


def coverage(pos, neg):
    return sum(s >= min(pos) for s in pos + neg) if pos else None


def wrong_pairs(pos, neg):
    if not pos or not neg:
        return None
    return sum(n >= p for p in pos for n in neg) / (len(pos) * len(neg))


def lrap(pos, neg):
    if not pos:
        return None
    return sum(sum(q >= p for q in pos) / sum(q >= p for q in pos + neg) for p in pos) / len(pos)


def naive_average_precision(y, s, w):
    """Sum of precision times step in recall, over the distinct scores from above."""
    rows = [i for i in range(len(y)) if not math.isnan(y[i])]
    n_positive = sum(w[i] * y[i] for i in rows)
    if not n_positive:
        return nan
    value = recall = 0.0
    for cut in sorted({s[i] for i in rows}, reverse=True):
        hit = sum(w[i] * y[i] for i in rows if s[i] >= cut)
        value += (hit / n_positive - recall) * hit / sum(w[i] for i in rows if s[i] >= cut)
        recall = hit / n_positive
    return value


def naive_counts(Y, P, w, average, empty, ratio):
    def one(cells):
        if not cells:
            return nan
        tp = sum(y * p * weight for y, p, weight in cells)
        fn = sum(y * (1 - p) * weight for y, p, weight in cells)
        fp = sum((1 - y) * p * weight for y, p, weight in cells)
        return ratio(tp, fp, fn) if any(y + p for y, p, _ in cells) else empty

    n, L = Y.shape
    cell = [[(Y[i, j], P[i, j], w[i]) for j in seen(Y[i])] for i in range(n)]
    if average == "micro":
        return one(sum(cell, []))
    if average == "samples":
        return mean([(one(cell[i]), w[i]) for i in range(n)])
    labels = [
        one([(Y[i, j], P[i, j], w[i]) for i in range(n) if not math.isnan(Y[i, j])])
        for j in range(L)
    ]
    return labels if average is None else mean([(v, 1) for v in labels])


# ------------------------------------------------------------------ against the loops


@st.composite
def tables(draw, soft=True):
    """Labels with NaN or without, scores with ties, decisions and weights."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, L = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    Y = (rng.random((n, L)) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))).astype(float)
    if soft and draw(st.booleans()):
        Y = np.where(rng.random((n, L)) < 0.3, rng.random((n, L)), Y)
    Y[rng.random((n, L)) < draw(st.sampled_from([0.0, 0.3, 0.8]))] = nan
    S = rng.integers(0, 5, (n, L)) / 4 if draw(st.booleans()) else rng.random((n, L))
    w = rng.integers(1, 4, n).astype(float) if draw(st.booleans()) else np.ones(n)
    return Y, S, (rng.random((n, L)) < 0.4).astype(int), w


def agree(value, reference):
    np.testing.assert_allclose(value, reference, rtol=1e-9, atol=1e-12)


fast = settings(max_examples=60, deadline=None)


@fast
@given(tables(), st.sampled_from(["micro", "macro", "samples", None]), st.sampled_from([0, 1, nan]))
def test_means_and_counts_against_loops(table, average, empty):
    Y, P, Y_hat, w = table
    how = {"average": average, "sample_weight": w}
    agree(ml.multilabel_log_loss(Y, P, **how), naive_log_loss(Y, P, w, average))
    brier = averaged(lambda y, p: (y - p) ** 2, Y, P, w, average)
    agree(ml.multilabel_brier_score(Y, P, **how), brier)
    wrong = averaged(lambda y, p: abs(y - p), Y, Y_hat, w, average)
    agree(ml.hamming_loss(Y, Y_hat, **how), wrong)

    def f2(tp, fp, fn):
        return 5 * tp / (5 * tp + 4 * fn + fp)

    reference = naive_counts(Y, Y_hat, w, average, empty, f2)
    agree(ml.f_measure(Y, Y_hat, beta=2, empty=empty, **how), reference)
    reference = naive_counts(Y, Y_hat, w, average, empty, lambda tp, fp, fn: tp / (tp + fp + fn))
    agree(ml.jaccard(Y, Y_hat, empty=empty, **how), reference)


@fast
@given(tables(), st.sampled_from(["micro", "macro", None]), st.integers(1, 20))
def test_calibration_error_against_a_loop(table, average, n_bins):
    Y, P, _, w = table
    value = ml.expected_calibration_error(Y, P, n_bins=n_bins, average=average, sample_weight=w)
    agree(value, naive_ece(Y, P, w, n_bins, average))


@fast
@given(tables(), st.data())
def test_best_labels_against_loops(table, data):
    Y, S, _, w = table
    k = data.draw(st.integers(1, Y.shape[1]))
    agree(ml.precision_at_k(Y, S, k, sample_weight=w), naive_precision(Y, S, w, k))
    agree(ml.one_error(Y, S, sample_weight=w), 1 - naive_precision(Y, S, w, 1))
    p = []
    for y in Y.T:
        N = sum(w[i] for i in range(len(y)) if not math.isnan(y[i]))
        N_l = sum(w[i] * y[i] for i in range(len(y)) if not math.isnan(y[i]))
        C = max(math.log(N) - 1, 0) * 2.5**0.55 if N else 0
        p.append(1 / (1 + C * (N_l + 1.5) ** -0.55))
    agree(ml.label_propensities(Y, sample_weight=w), p)
    value = ml.propensity_scored_precision_at_k(Y, S, k, sample_weight=w)
    agree(value, naive_psp(Y, S, w, k, p))
    agree(ml.propensity_scored_precision_at_k(Y, S, k, p, sample_weight=w), value)
    agree(
        ml.macro_average_precision(Y, S, average=None, sample_weight=w),
        [naive_average_precision(y, s, w) for y, s in zip(Y.T, S.T, strict=True)],
    )


@fast
@given(tables(soft=False), st.sampled_from([0, 0.5, nan]))
def test_rankings_and_subsets_against_loops(table, empty):
    Y, S, Y_hat, w = table
    how = {"empty": empty, "sample_weight": w}
    agree(ml.coverage_error(Y, S, **how), naive_ranking(Y, S, w, coverage, empty))
    agree(ml.ranking_loss(Y, S, **how), naive_ranking(Y, S, w, wrong_pairs, empty))
    agree(ml.label_ranking_average_precision(Y, S, **how), naive_ranking(Y, S, w, lrap, empty))
    right = [
        float(all(y[j] == y_hat[j] for j in seen(y))) if seen(y) else nan
        for y, y_hat in zip(Y, Y_hat, strict=True)
    ]
    agree(ml.subset_accuracy(Y, Y_hat, sample_weight=w), mean(list(zip(right, w, strict=True))))


# ------------------------------------------------------------------ against scikit-learn


@pytest.fixture
def complete():
    rng = np.random.default_rng(0)
    Y = (rng.random((60, 5)) < 0.3).astype(int)
    Y[0] = 0
    P = np.round(rng.random((60, 5)), 1)
    return Y, P, (P > 0.6).astype(int), rng.integers(1, 4, 60).astype(float)


def test_agreement_with_scikit_learn(complete):
    Y, P, Y_hat, w = complete
    how = {"sample_weight": w}
    columns = [sk.log_loss(y, p, **how) for y, p in zip(Y.T, P.T, strict=True)]
    agree(ml.multilabel_log_loss(Y, P, average=None, **how), columns)
    agree(ml.multilabel_log_loss(Y, P, **how), np.mean(columns))
    columns = [sk.brier_score_loss(y, p, **how) for y, p in zip(Y.T, P.T, strict=True)]
    agree(ml.multilabel_brier_score(Y, P, average="macro", **how), np.mean(columns))
    agree(ml.coverage_error(Y, P, empty=0, **how), sk.coverage_error(Y, P, **how))
    agree(ml.ranking_loss(Y, P, empty=0, **how), sk.label_ranking_loss(Y, P, **how))
    value = sk.label_ranking_average_precision_score(Y, P, **how)
    agree(ml.label_ranking_average_precision(Y, P, empty=1, **how), value)
    value = sk.average_precision_score(Y, P, average="macro", **how)
    agree(ml.macro_average_precision(Y, P, **how), value)
    agree(ml.hamming_loss(Y, Y_hat, **how), sk.hamming_loss(Y, Y_hat, **how))
    agree(ml.subset_accuracy(Y, Y_hat, **how), sk.accuracy_score(Y, Y_hat, **how))


@pytest.mark.parametrize("average", ["micro", "macro", "samples", None])
@pytest.mark.parametrize("empty", [0, 1])
def test_agreement_of_set_metrics_with_scikit_learn(complete, average, empty):
    Y, _, Y_hat, w = complete
    Y, Y_hat = Y.copy(), Y_hat.copy()
    Y[:, 1] = Y_hat[:, 1] = 0
    how = {"average": average, "zero_division": empty, "sample_weight": w}
    value = ml.f_measure(Y, Y_hat, beta=0.5, average=average, empty=empty, sample_weight=w)
    agree(value, sk.fbeta_score(Y, Y_hat, beta=0.5, **how))
    value = ml.jaccard(Y, Y_hat, average=average, empty=empty, sample_weight=w)
    agree(value, sk.jaccard_score(Y, Y_hat, **how))


def test_log_loss_of_scikit_learn_ignores_false_positives():
    Y = np.array([[1, 0], [0, 1]])
    good, bad = np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    # Rows must sum to 1 there, which multi-label probabilities have no reason to do.
    with pytest.warns(UserWarning, match="sum to one"):
        assert sk.log_loss(Y, bad) < sk.log_loss(Y, good)
    assert ml.multilabel_log_loss(Y, bad) > 17 > ml.multilabel_log_loss(Y, good)


# ------------------------------------------------------------------ worked examples


def test_log_loss_by_hand():
    value = ml.multilabel_log_loss([[1, 0], [nan, 0]], [[0.5, 0.25], [0.1, 0.75]], average=None)
    agree(value, [math.log(2), (math.log(4 / 3) + math.log(4)) / 2])
    assert math.isclose(ml.multilabel_log_loss([[0.0]], [[1.0]]), 52 * math.log(2))
    single = ml.multilabel_log_loss([[0.0]], np.ones((1, 1), dtype=np.float32))
    assert math.isclose(single, 23 * math.log(2), rel_tol=1e-6)
    agree(ml.multilabel_log_loss([[0.25]], [[0.5]]), math.log(2))


def test_calibration_errors_of_opposite_labels_cancel_when_pooled():
    Y, P = [[1, 0], [0, 1], [1, 0], [1, 0]], np.full((4, 2), 0.5)
    agree(ml.expected_calibration_error(Y, P), 0)
    agree(ml.expected_calibration_error(Y, P, average=None), [0.25, 0.25])
    agree(ml.expected_calibration_error([[1], [0]], [[1.0], [0.0]]), 0)


def test_ties_go_to_the_lower_label():
    S = [[0.5, 0.5, 0.5]]
    assert ml.precision_at_k([[1, 0, 0]], S) == 1 and ml.precision_at_k([[0, 1, 0]], S) == 0
    assert ml.one_error([[0, 1, 0]], S) == 1
    assert ml.precision_at_k([[nan, 1, 0]], S) == 1
    assert ml.propensity_scored_precision_at_k([[0, 1, 0]], S, 2) == 1
    # Rankings as a whole count ties as errors.
    assert ml.ranking_loss([[1, 0, 0]], S) == 1
    assert ml.coverage_error([[1, 0, 0]], S) == 3
    agree(ml.label_ranking_average_precision([[1, 0, 0]], S), 1 / 3)


def test_missing_labels_do_not_take_a_place():
    Y, S = [[1, nan, 0]], [[0.5, 0.9, 0.1]]
    assert ml.precision_at_k(Y, S) == ml.label_ranking_average_precision(Y, S) == 1
    assert ml.coverage_error(Y, S) == 1 and ml.ranking_loss(Y, S) == 0
    assert ml.precision_at_k(Y, S, 3) == 0.5  # only two are observed


def test_scores_of_any_size_are_ranked():
    assert ml.ranking_loss([[1, 0, nan]], [[-1e308, -1.5e308, 1e308]]) == 0


def test_blocks_of_labels_do_not_matter(complete, monkeypatch):
    Y, P, *_ = complete
    value = ml.macro_average_precision(Y, P, average=None)
    monkeypatch.setattr(rankings, "BLOCK_ENTRIES", 2 * len(Y))
    np.testing.assert_array_equal(ml.macro_average_precision(Y, P, average=None), value)


def test_labels_without_positives_are_left_out_of_macro_average_precision(complete):
    Y, P, _, _ = complete
    more = np.column_stack([Y, np.zeros(60)]), np.column_stack([P, P[:, 0]])
    agree(ml.macro_average_precision(*more), ml.macro_average_precision(Y, P))
    assert np.isnan(ml.macro_average_precision(*more, average=None)[-1])


# ------------------------------------------------------------------ all metrics

PROBA = [ml.multilabel_log_loss, ml.multilabel_brier_score, ml.expected_calibration_error]
LABELS = [ml.f_measure, ml.jaccard, ml.hamming_loss, ml.subset_accuracy]
HARD = [ml.coverage_error, ml.ranking_loss, ml.label_ranking_average_precision]
RANKING = [
    ml.precision_at_k,
    ml.one_error,
    ml.propensity_scored_precision_at_k,
    ml.macro_average_precision,
    *HARD,
]
EVERY = pytest.mark.parametrize("metric", PROBA + LABELS + RANKING, ids=lambda f: f.__name__)


@pytest.fixture
def sparse_labels(complete):
    Y, P, Y_hat, w = complete
    Y = Y.astype(float)
    Y[np.random.default_rng(1).random(Y.shape) < 0.3] = nan
    return Y, P, Y_hat, w


def given_to(metric, P, Y_hat):
    return Y_hat if metric in LABELS else P


@EVERY
def test_weights_are_counts(metric, sparse_labels):
    Y, P, Y_hat, _ = sparse_labels
    values = given_to(metric, P, Y_hat)
    w = np.random.default_rng(2).integers(0, 3, len(Y))
    repeated = np.repeat(np.arange(len(Y)), w)
    agree(metric(Y, values, sample_weight=w), metric(Y[repeated], values[repeated]))
    if metric is not ml.propensity_scored_precision_at_k:  # which needs to know how many rows
        agree(metric(Y, values, sample_weight=np.full(len(Y), 2.5)), metric(Y, values))


@EVERY
def test_rows_without_observed_labels_change_nothing(metric, sparse_labels):
    Y, P, Y_hat, _ = sparse_labels
    values = given_to(metric, P, Y_hat)
    Y, values = np.vstack([Y, np.full((2, 5), nan)]), np.vstack([values, values[:2]])
    agree(metric(Y, values), metric(Y[:-2], values[:-2]))


@EVERY
def test_labels_never_observed_change_nothing(metric, sparse_labels):
    Y, P, Y_hat, _ = sparse_labels
    values = given_to(metric, P, Y_hat)
    more = np.column_stack([np.full(60, nan), Y]), np.column_stack([values[:, 1], values])
    agree(metric(*more), metric(Y, values))


@EVERY
def test_nothing_observed_is_nan(metric):
    assert math.isnan(metric(np.full((2, 3), nan), np.ones((2, 3))))


@EVERY
def test_a_single_label_and_forms_of_input(metric):
    Y, values = np.array([[1], [0], [1.0]]), np.array([[1], [0], [0]])
    expected = metric(Y, values)
    assert isinstance(expected, float)
    frame = pd.DataFrame({"a": pd.array([True, False, True], dtype="boolean")})
    for same in (Y.tolist(), Y.astype(bool), sp.csr_array(Y), frame, Y.astype(object)):
        agree(metric(same, values), expected)
    frame.loc[1, "a"] = pd.NA
    agree(metric(frame, values), metric([[1], [nan], [1]], values))


@EVERY
def test_errors_show_the_value(metric):
    ok = np.array([[1, 0], [0, 1]])
    for Y, values, message in [
        ([1, 0], ok, r"Y must be 2-D.*\(2,\).*reshape"),
        ([[1, 2], [0, 1]], ok, "Y must hold (values in .0, 1.|0, 1), .*got 2"),
        ([["a", "b"], ["c", "d"]], ok, "Y must be an array of numbers"),
        (ok, ok[:1], r"must have the shape \(2, 2\) of Y, got \(1, 2\)"),
        (ok, ok * nan, r"must (be|hold) .*, got nan"),
        (np.empty((0, 2)), np.empty((0, 2)), r"at least one row .*\(0, 2\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric(Y, values)
    with pytest.raises(ValueError, match="must (be|hold) .*, got nan"):
        metric(missing := np.array([[1, nan], [0, 1]]), missing)
    for weight, message in [
        ([1], r"sample_weight must have shape \(2,\), got \(1,\)"),
        ([1, -1], "sample_weight must be non-negative, got a minimum of -1"),
        ([0, 0], "sample_weight is 0 for every row"),
        ([1, nan], "must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric(ok, ok, sample_weight=weight)


def test_errors_of_single_arguments():
    ok = np.array([[1, 0], [0, 1]])
    psp = ml.propensity_scored_precision_at_k
    for call, message in [
        (
            lambda: ml.multilabel_log_loss(ok, ok * 1.5),
            "proba must hold .* .0, 1., got 1.5",
        ),
        (lambda: ml.f_measure(ok, ok * 0.5), "Y_hat must hold 0 or 1, got 0.5"),
        (lambda: ml.precision_at_k(ok, ok, 3), r"k must be an integer in \[1, 2\], got 3"),
        (lambda: ml.precision_at_k(ok, ok, True), "got True"),
        (lambda: ml.f_measure(ok, ok, beta=0), "beta must be a finite number > 0, got 0"),
        (lambda: ml.f_measure(ok, ok, empty=2), "empty must be NaN or a number in .0, 1., got 2"),
        (lambda: ml.f_measure(ok, ok, average="binary"), "average must be .* got 'binary'"),
        (lambda: ml.hamming_loss(ok, ok, average="x"), "average must be .* got 'x'"),
        (lambda: ml.macro_average_precision(ok, ok, average="micro"), "got 'micro'"),
        (lambda: ml.expected_calibration_error(ok, ok, average="samples"), "got 'samples'"),
        (lambda: ml.expected_calibration_error(ok, ok, n_bins=0), "n_bins .* got 0"),
        (lambda: ml.coverage_error(ok, ok, empty=-1), "empty must be .* got -1"),
        (lambda: ml.label_propensities(ok, A=0), "A must be a finite number > 0, got 0"),
        (lambda: psp(ok, ok, 1, [1.0]), r"shape \(2,\), got shape \(1,\)"),
        (lambda: psp(ok, ok, 1, [1.0, 0]), r"in \(0, 1\], got 0"),
        (lambda: ml.multilabel_scorers(0), "k must be .* got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("metric", [*HARD, ml.subset_accuracy])
def test_soft_labels_are_refused_where_they_mean_nothing(metric):
    with pytest.raises(ValueError, match="Y must hold 0, 1, or NaN .*, got 0.5; cut soft labels"):
        metric([[0.5, 1]], [[1, 0]])


@EVERY
def test_inputs_are_left_alone(metric, sparse_labels):
    Y, P, Y_hat, w = (array.copy() for array in sparse_labels)
    values = given_to(metric, P, Y_hat)
    for array in (Y, values, w):
        array.flags.writeable = False
    metric(Y, values, sample_weight=w)


# ------------------------------------------------------------------ scorers


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0.3).astype(float)
    return X, Y


CV = MultilabelStratifiedKFold(3, random_state=0)
FOREST = RandomForestClassifier(5, max_depth=4, random_state=0)


def small_net(**params):
    params = {"hidden_layer_sizes": (8,), "max_epochs": 5, "random_state": 0} | params
    return MultiLabelNetClassifier(early_stopping=False, **params)


def test_scorers_in_cross_validate_with_missing_labels(problem):
    X, Y = problem
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.2, nan, Y)
    scorers = ml.multilabel_scorers()
    result = cross_validate(small_net(), X, Y, scoring=scorers, cv=CV, error_score="raise")
    assert all(np.isfinite(result[f"test_{name}"]).all() for name in scorers)
    assert all((result[f"test_{name}"] <= 0).all() for name in scorers if name.startswith("neg_"))
    train, test = next(CV.split(X, Y))
    net = small_net().fit(X[train], Y[train])
    loss = ml.multilabel_log_loss(Y[test], net.predict_proba(X[test]))
    agree(result["test_neg_log_loss"][0], -loss)
    agree(result["test_f1_macro"][0], ml.f_measure(Y[test], net.predict(X[test]), average="macro"))


def test_scorers_with_a_list_of_arrays(problem):
    X, Y = problem
    scorers = ml.multilabel_scorers(k=2)
    result = cross_validate(FOREST, X, Y, scoring=scorers, cv=CV, error_score="raise")
    train, test = next(CV.split(X, Y))
    forest = clone(FOREST).fit(X[train], Y[train])
    proba = np.column_stack([p[:, 1] for p in forest.predict_proba(X[test])])
    agree(result["test_neg_ranking_loss"][0], -ml.ranking_loss(Y[test], proba))
    agree(result["test_precision_at_2"][0], ml.precision_at_k(Y[test], proba, 2))
    # A forest takes no NaN in training, but can be scored on it.
    missing = np.where(np.arange(3) == 1, nan, Y)
    scorer = scorers["neg_brier_score"]
    everything = np.column_stack([p[:, 1] for p in forest.predict_proba(X)])
    agree(scorer(forest, X, missing), -ml.multilabel_brier_score(missing, everything))


def test_scorers_with_a_label_absent_or_ubiquitous_in_training(problem):
    X, Y = problem
    Y = np.column_stack([Y[:, 0], np.zeros(90), np.ones(90)])
    forest = clone(FOREST).fit(X, Y)
    Z = Y.copy()
    Z[0, 1] = 1
    value = ml.multilabel_scorers()["neg_brier_score"](forest, X, Z)
    proba = np.column_stack([forest.predict_proba(X)[0][:, 1], np.zeros(90), np.ones(90)])
    agree(value, -ml.multilabel_brier_score(Z, proba))


@pytest.mark.parametrize("n_labels", [1, 2])
@pytest.mark.parametrize(
    "estimator",
    [
        FOREST,
        small_net(),
        OneVsRestClassifier(DecisionTreeClassifier(max_depth=3, random_state=0)),
        MLPClassifier((4,), solver="lbfgs", max_iter=500, max_fun=5000, random_state=0, alpha=1),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scorers_with_few_labels(problem, estimator, n_labels):
    # classes_ of two labels is [0, 1], as of a binary problem: scikit-learn takes one column.
    X, Y = problem
    Y = Y[:, :n_labels]
    target = Y.ravel() if n_labels == 1 and not hasattr(estimator, "loss") else Y
    if n_labels == 1 and isinstance(estimator, MLPClassifier):
        target = Y.ravel()
    model = clone(estimator).fit(X, target)
    proba = model.predict_proba(X)
    proba = np.column_stack([p[:, 1] for p in proba]) if isinstance(proba, list) else proba
    expected = -ml.multilabel_log_loss(Y, proba[:, -n_labels:])
    for name, scorer in ml.multilabel_scorers().items():
        value = scorer(model, X, Y)
        assert math.isfinite(value) or name == "neg_ranking_loss"
    agree(ml.multilabel_scorers()["neg_log_loss"](model, X, Y), expected)
    agree(ml.multilabel_scorers()["neg_log_loss"](model, X, target), expected)


def test_scorers_fall_back_on_the_decision_function(problem):
    X, Y = problem
    model = OneVsRestClassifier(LinearSVC(random_state=0)).fit(X, Y)
    scorers = ml.multilabel_scorers()
    agree(scorers["neg_one_error"](model, X, Y), -ml.one_error(Y, model.decision_function(X)))
    with pytest.raises(AttributeError, match="predict_proba"):
        scorers["neg_log_loss"](model, X, Y)


def test_scorers_with_sparse_predictions(problem):
    X, Y = problem
    model = OneVsRestClassifier(DecisionTreeClassifier(max_depth=2, random_state=0))
    model.fit(X, sp.csr_array(Y.astype(int)))
    assert sp.issparse(model.predict(X))
    expected = ml.f_measure(Y, model.predict(X).toarray())
    agree(ml.multilabel_scorers()["f1_micro"](model, X, sp.csr_array(Y)), expected)


class CountingForest(RandomForestClassifier):
    calls = []

    def predict_proba(self, X):
        CountingForest.calls.append(1)
        return super().predict_proba(X)


def test_scorers_of_a_dict_share_predictions(problem):
    X, Y = problem
    scorers = {n: s for n, s in ml.multilabel_scorers().items() if s._response_method != "predict"}
    CountingForest.calls.clear()
    forest = CountingForest(2, random_state=0)
    cross_validate(forest, X, Y, scoring=scorers, cv=CV, error_score="raise")
    assert len(CountingForest.calls) == 3


def test_scorers_in_a_search_that_is_cloned_and_pickled(problem):
    X, Y = problem
    Y = np.where(np.random.default_rng(1).random(Y.shape) < 0.2, nan, Y)
    grid = {"loss": ["bce", "focal"]}
    scorers = ml.multilabel_scorers(propensities=[0.5, 0.5, 1])
    search = GridSearchCV(small_net(), grid, scoring=scorers, refit="f1_samples", cv=CV)
    search = clone(pickle.loads(pickle.dumps(search))).fit(X, Y)
    assert search.best_score_ == search.cv_results_["mean_test_f1_samples"].max()
    search = GridSearchCV(small_net(), grid, scoring=scorers["neg_log_loss"], cv=CV)
    assert clone(search).fit(X, Y).best_score_ < 0


def test_scorers_weight_rows(problem):
    X, Y = problem
    forest = clone(FOREST).fit(X, Y)
    w = np.arange(90) % 3
    proba = np.column_stack([p[:, 1] for p in forest.predict_proba(X)])
    expected = -ml.multilabel_log_loss(Y, proba, sample_weight=w)
    scorer = ml.multilabel_scorers()["neg_log_loss"]
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = scorer.set_score_request(sample_weight=True)
        agree(scorer(forest, X, Y, sample_weight=w), expected)
        result = cross_validate(
            clone(FOREST).set_fit_request(sample_weight=False),
            *(X, Y),
            scoring={"loss": scorer},
            cv=CV,
            params={"sample_weight": w},
        )
    train, test = next(CV.split(X, Y))
    forest = clone(FOREST).fit(X[train], Y[train])
    proba = np.column_stack([p[:, 1] for p in forest.predict_proba(X[test])])
    expected = -ml.multilabel_log_loss(Y[test], proba, sample_weight=w[test])
    agree(result["test_loss"][0], expected)


# ------------------------------------------------------------------ report


def test_report_against_the_metrics(sparse_labels):
    Y, P, Y_hat, w = sparse_labels
    Y[:, 3], Y[:, 4] = np.where(np.isnan(Y[:, 3]), nan, 0), nan
    report = ml.multilabel_report(Y, P, Y_hat, list("abcde"), sample_weight=w)
    assert report.index.tolist() == [*"abcde", "micro", "macro"]
    labels, micro, macro = report.iloc[:5], report.loc["micro"], report.loc["macro"]
    how = {"sample_weight": w}
    f1 = ml.f_measure(Y, Y_hat, average=None, empty=nan, **how)
    agree(labels["f1"], f1)
    agree(macro["f1"], ml.f_measure(Y, Y_hat, average="macro", empty=nan, **how))
    agree(micro["f1"], ml.f_measure(Y, Y_hat, **how))
    agree(labels["log_loss"], ml.multilabel_log_loss(Y, P, average=None, **how))
    agree(micro["log_loss"], ml.multilabel_log_loss(Y, P, **how))
    agree(micro["ece"], ml.expected_calibration_error(Y, P, **how))
    agree(macro["ece"], ml.expected_calibration_error(Y, P, average="macro", **how))
    agree(macro["average_precision"], ml.macro_average_precision(Y, P, **how))
    seen_rows = ~np.isnan(Y[:, 0])
    part = Y[seen_rows, 0], Y_hat[seen_rows, 0], w[seen_rows]
    agree(report.loc["a", "precision"], sk.precision_score(*part[:2], sample_weight=part[2]))
    agree(report.loc["a", "recall"], sk.recall_score(*part[:2], sample_weight=part[2]))
    auc = sk.roc_auc_score(part[0], P[seen_rows, 0], sample_weight=part[2])
    agree(report.loc["a", "roc_auc"], auc)
    agree(report.loc["a", "support"], (part[0] * part[2]).sum())
    agree(report.loc["a", "observed"], part[2].sum())
    agree(report.loc["a", "prevalence"], np.average(part[0], weights=part[2]))
    agree(report.loc["a", "mean_proba"], np.average(P[seen_rows, 0], weights=part[2]))
    agree(micro["support"], labels["support"].sum())
    agree(macro["observed"], micro["observed"])
    assert np.isnan(report.loc["d", ["recall", "average_precision", "roc_auc"]]).all()
    assert report.loc["e", "observed"] == 0
    assert np.isnan(report.loc["e"].drop(["support", "observed"])).all()


def test_report_names_labels():
    Y, P = pd.DataFrame({"x": [1, 0], "y": [0, 1]}), np.full((2, 2), 0.5)
    assert ml.multilabel_report(Y, P, Y).index.tolist() == ["x", "y", "micro", "macro"]
    assert ml.multilabel_report(Y.to_numpy(), P, Y).index.tolist() == [0, 1, "micro", "macro"]
    with pytest.raises(ValueError, match="label_names must .* each of the 2 labels, got 3"):
        ml.multilabel_report(Y, P, Y, "abc")


def test_report_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"sklearn_mlloss\[examples\]"):
        ml.multilabel_report([[1]], [[0.5]], [[1]])
