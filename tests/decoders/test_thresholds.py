import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    jaccard_score,
)

from sklearn_mlloss._data.counts import fbeta
from sklearn_mlloss._data.scored_rows import ScoredRows
from sklearn_mlloss.decoders import FixedThreshold, GlobalThreshold, PerLabelThreshold, _cuts
from sklearn_mlloss.decoders.thresholds import _METRICS

NAMED = {
    "f1": lambda y, h, w: f1_score(y, h, sample_weight=w, zero_division=0),
    "jaccard": lambda y, h, w: jaccard_score(y, h, sample_weight=w, zero_division=0),
    "accuracy": lambda y, h, w: accuracy_score(y, h, sample_weight=w),
    "balanced_accuracy": lambda y, h, w: balanced_accuracy(y, h, w),
}


def balanced_accuracy(y, h, w):
    # scikit-learn warns when a class is only predicted; its mean is over the classes of y.
    return np.mean([np.average(h[y == c] == c, weights=w[y == c]) for c in np.unique(y)])


def every_cut(scores):
    """All thresholds that give different predictions, from none to all."""
    distinct = np.unique(scores)[::-1]
    return np.concatenate([[np.inf], (distinct[1:] + distinct[:-1]) / 2, distinct[-1:]])


def largest_best(thresholds, values):
    values = np.asarray(values)
    return thresholds[np.flatnonzero(values >= values.max() - 1e-12)[0]], values.max()


@st.composite
def problems(draw, max_rows=8, max_labels=3, nan=True, weights=True):
    """Small tables with many ties, all kinds of degenerate columns and integer weights."""
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_labels)))
    scores = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6))) / 8
    values = [0.0, 1.0, np.nan] if nan else [0.0, 1.0]
    Y = draw(hnp.arrays(float, shape, elements=st.sampled_from(values)))
    high = 3 if weights else 1
    weight = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(1, high))).astype(float)
    return scores, Y, weight


@pytest.mark.parametrize("metric", NAMED)
@settings(max_examples=80, deadline=None)
@given(problem=problems())
def test_micro_is_the_best_of_all_cuts(metric, problem):
    scores, Y, weight = problem
    decoder = GlobalThreshold(metric).fit(scores, Y, weight)
    observed = ~np.isnan(Y)
    y = Y[observed]
    if metric in ("f1", "jaccard") and not y.any() or not y.size:
        assert decoder.threshold_ == 0.5 and decoder.best_score_ == 0.0
        return
    s, w = scores[observed], np.repeat(weight[:, None], Y.shape[1], axis=1)[observed]
    thresholds = every_cut(s)
    values = [NAMED[metric](y, (s >= t).astype(float), w) for t in thresholds]
    t, value = largest_best(thresholds, values)
    assert decoder.best_score_ == pytest.approx(value, abs=1e-12)
    assert decoder.threshold_ == t


@pytest.mark.parametrize("average", ["macro", "samples"])
@pytest.mark.parametrize("metric", NAMED)
@settings(max_examples=30, deadline=None)
@given(problem=problems(max_rows=6))
def test_macro_and_samples_are_the_best_of_all_cuts(metric, average, problem):
    scores, Y, weight = problem
    decoder = GlobalThreshold(metric, average).fit(scores, Y, weight)
    if not (Y > 0).any():
        return
    entry_weight = np.repeat(weight[:, None], Y.shape[1], axis=1)
    groups = (scores.T, Y.T, entry_weight.T) if average == "macro" else (scores, Y, np.ones_like(Y))
    group_weight = np.ones(Y.shape[1]) if average == "macro" else weight
    thresholds = every_cut(scores[~np.isnan(Y)])
    values = np.zeros(len(thresholds))
    total = 0.0
    for s, y, w, share in zip(*groups, group_weight, strict=True):
        seen = ~np.isnan(y)
        if seen.any():
            total += share
            values += share * np.array(
                [NAMED[metric](y[seen], 1.0 * (s[seen] >= t), w[seen]) for t in thresholds]
            )
    t, value = largest_best(thresholds, values / total)
    assert decoder.best_score_ == pytest.approx(value, abs=1e-12)
    assert decoder.threshold_ == t


@settings(max_examples=40, deadline=None)
@given(problem=problems(nan=False))
def test_a_callable_agrees_with_the_named_metric(problem):
    scores, Y, weight = problem

    def micro_f1(Y, Y_hat, sample_weight=None):
        w = None if sample_weight is None else np.repeat(sample_weight, Y.shape[1])
        return f1_score(Y.ravel(), Y_hat.ravel(), sample_weight=w, zero_division=0)

    named = GlobalThreshold("f1").fit(scores, Y, weight)
    given_callable = GlobalThreshold(micro_f1).fit(scores, Y, weight)
    assert given_callable.threshold_ == named.threshold_
    assert given_callable.best_score_ == pytest.approx(named.best_score_)


@pytest.mark.parametrize("average", ["micro", "macro", "samples"])
def test_other_names_and_beta(average):
    rng = np.random.default_rng(0)
    scores = rng.random((40, 3))
    Y = 1.0 * (rng.random((40, 3)) < scores**2)

    def fitted(*args):
        decoder = GlobalThreshold(*args).fit(scores, Y)
        return decoder.threshold_, decoder.best_score_

    assert fitted("hamming", average) == fitted("accuracy", average)
    assert fitted("fbeta", average) == fitted("f1", average) == fitted("f1", average, 9)
    for beta in (0.5, 2.0):
        t, value = fitted("fbeta", average, beta)
        flat = average == "micro"
        values = [
            fbeta_score(
                Y.ravel() if flat else Y,
                (scores >= cut).ravel() if flat else scores >= cut,
                beta=beta,
                average="binary" if flat else average,
                zero_division=0,
            )
            for cut in every_cut(scores)
        ]
        assert (t, value) == pytest.approx(largest_best(every_cut(scores), values))
    assert fitted("fbeta", average, 2.0)[0] < fitted("fbeta", average, 0.5)[0]


def test_a_callable_sees_complete_rows_only():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.5]])
    Y = np.array([[1, 0], [0, 1], [np.nan, 1]])
    seen = []

    def metric(Y, Y_hat):
        seen.append(Y.copy())
        return float((Y == Y_hat).mean())

    decoder = GlobalThreshold(metric).fit(scores, Y)
    assert all(np.array_equal(y, [[1, 0], [0, 1]]) for y in seen)
    assert decoder.threshold_ == 0.5 and decoder.best_score_ == 1.0


def test_a_callable_that_cannot_take_weights_or_is_nan():
    scores, Y = np.array([[0.9], [0.2]]), np.array([[1], [0]])
    with pytest.raises(ValueError, match="takes no sample_weight"):
        GlobalThreshold(lambda Y, H: 1.0).fit(scores, Y, [1, 2])
    GlobalThreshold(lambda Y, H: 1.0).fit(scores, Y, [2, 2])
    with pytest.raises(ValueError, match="finite"):
        GlobalThreshold(lambda Y, H: np.nan).fit(scores, Y)
    with pytest.raises(TypeError, match="metric .* must return a number, got list"):
        GlobalThreshold(lambda Y, H: [1.0, 2.0]).fit(scores, Y)
    with pytest.raises(ValueError, match="average must be left"):
        GlobalThreshold(lambda Y, H: 1.0, average="macro").fit(scores, Y)
    with pytest.raises(ValueError, match="not observed"):
        GlobalThreshold(lambda Y, H: 1.0).fit([[0.1, 0.2]], [[np.nan, 1]])


def test_the_thinned_grid_reaches_rare_positives():
    rng = np.random.default_rng(0)
    scores = rng.random((20_000, 2)) * 0.9
    Y = np.zeros((20_000, 2))
    # Positives and the negatives mixed with them fill a sliver of the ranks (0.1 %).
    rare = rng.choice(20_000, 40, replace=False)
    scores[rare] = 0.9 + 0.1 * rng.random((40, 2))
    Y[rare] = (scores[rare] - 0.9) / 0.1 > rng.random((40, 2))
    macro = GlobalThreshold("f1", "macro").fit(scores, Y)
    best = max(
        f1_score(Y, scores >= t, average="macro", zero_division=0)
        for t in np.unique(scores[rare]) - 1e-12
    )
    assert macro.best_score_ == pytest.approx(best, abs=1e-12)
    hat = macro.decode(scores)
    assert f1_score(Y, hat, average="macro") == pytest.approx(macro.best_score_)


def test_blocks_do_not_change_the_mean(monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.random((50, 4))
    Y = 1.0 * (rng.random((50, 4)) < scores)
    whole = [GlobalThreshold("f1", a).fit(scores, Y).best_score_ for a in ("macro", "samples")]
    monkeypatch.setattr("sklearn_mlloss.decoders._cuts._BLOCK_ENTRIES", 3)
    parts = [GlobalThreshold("f1", a).fit(scores, Y).best_score_ for a in ("macro", "samples")]
    assert parts == pytest.approx(whole)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_per_label_macro_is_the_best_of_all_cuts(beta, problem):
    scores, Y, weight = problem
    decoder = PerLabelThreshold(beta=beta, min_positives=0).fit(scores, Y, weight)
    for label in range(Y.shape[1]):
        seen = ~np.isnan(Y[:, label])
        y, s, w = Y[seen, label], scores[seen, label], weight[seen]
        assert (label in decoder.fallback_labels_) == (not y.any() or y.all())
        if label in decoder.fallback_labels_:
            continue
        thresholds = every_cut(s)
        values = [
            fbeta_score(y, s >= t, beta=beta, sample_weight=w, zero_division=0) for t in thresholds
        ]
        assert decoder.thresholds_[label] == largest_best(thresholds, values)[0]


def micro_fbeta(scores, Y, weight, thresholds, beta):
    observed = ~np.isnan(Y)
    w = np.repeat(weight[:, None], Y.shape[1], axis=1)[observed]
    hat = (scores >= thresholds)[observed]
    tp = (w * hat * Y[observed]).sum()
    bottom = beta**2 * (w * Y[observed]).sum() + (w * hat).sum()
    return (1 + beta**2) * tp / bottom if bottom else 0.0


@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize("min_positives", [0, 3])
@settings(max_examples=50, deadline=None)
@given(problem=problems(max_rows=7))
def test_per_label_micro_is_the_joint_optimum(beta, min_positives, problem):
    scores, Y, weight = problem
    decoder = PerLabelThreshold(beta, "micro", min_positives).fit(scores, Y, weight)
    choices = []
    for label in range(Y.shape[1]):
        if label in decoder.fallback_labels_:
            choices.append(decoder.thresholds_[[label]])
        else:
            choices.append(every_cut(scores[~np.isnan(Y[:, label]), label]))
    best = max(
        micro_fbeta(scores, Y, weight, np.array(t), beta) for t in itertools.product(*choices)
    )
    reached = micro_fbeta(scores, Y, weight, decoder.thresholds_, beta)
    assert reached == pytest.approx(best, abs=1e-12)
    for label in np.setdiff1d(np.arange(Y.shape[1]), decoder.fallback_labels_):
        for t in choices[label][choices[label] > decoder.thresholds_[label]]:
            fewer = decoder.thresholds_.copy()
            fewer[label] = t
            assert micro_fbeta(scores, Y, weight, fewer, beta) < best - 1e-12


def test_micro_may_never_predict_a_hopeless_label():
    scores = np.column_stack([[0.9, 0.8, 0.7, 0.2, 0.1, 0.1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    Y = np.column_stack([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    decoder = PerLabelThreshold(average="micro", min_positives=1).fit(scores, Y)
    assert decoder.thresholds_[1] == np.inf
    assert PerLabelThreshold(min_positives=1).fit(scores, Y).thresholds_[1] == 0.4


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_labels_with_too_few_positives_share_the_micro_threshold(average):
    rng = np.random.default_rng(0)
    scores = rng.random((200, 5))
    Y = 1.0 * (rng.random((200, 5)) < scores)
    Y[:, 1] = 0
    Y[:9, 1] = 1  # one short of ten
    Y[:, 2] = 1
    Y[:, 3] = np.nan
    decoder = PerLabelThreshold(average=average).fit(scores, Y)
    common = GlobalThreshold("f1", "micro").fit(scores, Y).threshold_
    assert decoder.fallback_labels_.tolist() == [1, 2, 3]
    assert (decoder.thresholds_[[1, 2, 3]] == common).all()
    assert (decoder.thresholds_[[0, 4]] != common).all()
    Y[9, 1] = 1
    refitted = PerLabelThreshold(average=average).fit(scores, Y)
    assert refitted.fallback_labels_.tolist() == [2, 3]


@pytest.mark.parametrize("target", [0.0, np.nan])
def test_without_any_positive_the_threshold_is_one_half(target):
    scores, Y = np.random.default_rng(0).random((20, 3)), np.full((20, 3), target)
    for average in ("macro", "micro"):
        decoder = PerLabelThreshold(average=average).fit(scores, Y)
        assert decoder.thresholds_.tolist() == [0.5] * 3
        assert decoder.fallback_labels_.tolist() == [0, 1, 2]
    for average in ("micro", "macro", "samples"):
        assert GlobalThreshold(average=average).fit(scores, Y).threshold_ == 0.5
    # Accuracy does determine a threshold then.
    never = 0.5 if np.isnan(target) else np.inf
    assert GlobalThreshold("accuracy").fit(scores, Y).threshold_ == never


def test_cuts_are_midpoints_and_fewer_positives_win_ties():
    scores, Y = [[0.8], [0.6], [0.4]], [[1], [1], [0]]
    assert GlobalThreshold().fit(scores, Y).threshold_ == pytest.approx(0.5)
    assert PerLabelThreshold(min_positives=1).fit(scores, Y).thresholds_ == pytest.approx(0.5)
    # F1 is 2/3 after one label and after three: 2·1/(2+1) = 2·2/(2+4).
    scores, Y = [[0.8], [0.6], [0.4], [0.2]], [[1], [0], [0], [1]]
    assert GlobalThreshold().fit(scores, Y).threshold_ == pytest.approx(0.7)
    assert PerLabelThreshold(min_positives=1).fit(scores, Y).thresholds_ == pytest.approx(0.7)


def test_tied_scores_are_never_split():
    scores, Y = np.array([[0.5], [0.5], [0.5], [0.1]]), np.array([[1], [0], [0], [0]])
    for decoder in (GlobalThreshold(), PerLabelThreshold(min_positives=1)):
        hat = decoder.fit(scores, Y).decode(scores)
        assert hat.ravel().tolist() == [True, True, True, False]


@pytest.mark.parametrize("low", [0.1, 1.0, 1e-320, -1.0, 1e308])
def test_neighbouring_floats_are_separated(low):
    high = np.nextafter(low, np.inf)
    scores, Y = np.array([[high], [low]]), np.array([[1], [0]])
    for decoder in (GlobalThreshold(), PerLabelThreshold(min_positives=1)):
        assert decoder.fit(scores, Y).decode(scores).ravel().tolist() == [True, False]


def test_huge_scores_do_not_overflow():
    scores, Y = np.array([[1.7e308], [1.6e308], [-1.7e308]]), np.array([[1], [1], [0]])
    assert GlobalThreshold().fit(scores, Y).decode(scores).ravel().tolist() == [True, True, False]


def test_soft_labels_are_fractional_positives():
    # A soft 0.25 equals one positive and three negatives with the same score.
    soft = PerLabelThreshold(min_positives=0.1).fit([[0.9], [0.6], [0.3]], [[1], [0.25], [0]])
    scores = [[0.9]] * 4 + [[0.6]] * 4 + [[0.3]] * 4
    hard = PerLabelThreshold(min_positives=0.1).fit(scores, [[1]] * 5 + [[0]] * 7)
    assert soft.thresholds_ == hard.thresholds_ == pytest.approx(0.75)
    soft = GlobalThreshold().fit([[0.9], [0.6], [0.3]], [[1], [0.75], [0]])
    assert soft.threshold_ == pytest.approx(0.45)
    assert soft.best_score_ == pytest.approx(2 * 1.75 / (1.75 + 2))


def test_fixed_threshold_values():
    scores = np.array([[0.5, 0.49], [0.3, 0.9]])
    assert FixedThreshold().decode(scores).tolist() == [[True, False], [False, True]]
    per_label = FixedThreshold([0.3, np.inf]).decode(scores)
    assert per_label.tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (FixedThreshold([0.1, 0.2, 0.3]), r"threshold has shape \(3,\) but scores has 2 labels"),
        (FixedThreshold(None), "threshold must be a number"),
        (FixedThreshold(np.nan), "threshold must be a number"),
        (FixedThreshold("0.5"), "threshold must be a number"),
        (GlobalThreshold("f2"), "metric must be one of 'f1', 'jaccard'"),
        (GlobalThreshold(None), "metric must be one of"),
        (GlobalThreshold("fbeta", beta=0), "beta must be a finite number > 0, got 0"),
        (GlobalThreshold(average="weighted"), "average must be one of 'micro', 'macro'"),
        (PerLabelThreshold(beta=0), "beta must be a finite number > 0, got 0"),
        (PerLabelThreshold(beta=np.nan), "beta must be"),
        (PerLabelThreshold(average="samples"), "average must be one of 'macro', 'micro'"),
        (PerLabelThreshold(min_positives=-1), "min_positives must be a number >= 0, got -1"),
        (PerLabelThreshold(min_positives="10"), "min_positives must be"),
        (PerLabelThreshold(shrinkage=-1), "shrinkage must be a finite number >= 0, got -1"),
        (PerLabelThreshold(shrinkage=np.inf), "shrinkage must be"),
        (PerLabelThreshold(shrinkage=None), "shrinkage must be"),
    ],
)
def test_bad_parameters(decoder, message):
    with pytest.raises(ValueError, match=message):
        decoder.fit([[0.1, 0.2], [0.3, 0.4]], [[0, 1], [1, 0]])


def test_the_reference_for_balanced_accuracy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, h, w = rng.integers(0, 2, 50), rng.integers(0, 2, 50), rng.random(50)
    assert balanced_accuracy(y, h, w) == pytest.approx(
        balanced_accuracy_score(y, h, sample_weight=w)
    )


# ---- the pooled cut without a full sort

POOLED = {**_METRICS, "fbeta": partial(fbeta, beta=2.0)}


def pooled_by_sorting(metric, scores, Y, weight):
    observed = ~np.isnan(Y)
    w = np.broadcast_to(weight[:, None], Y.shape)[observed]
    thresholds, tp, predicted = _cuts.cuts(scores[observed], Y[observed], w)
    values = metric(tp, predicted, w @ Y[observed], w.sum())
    best = _cuts.first_best(values)
    return thresholds[best], values[best]


@pytest.fixture
def few_bins(monkeypatch):
    """Bins from three entries on, so that small tables go through them, several times."""
    for name, value in [("_SORTED_ENTRIES", 2), ("_BINS", 5), ("_STRIP_ENTRIES", 4)]:
        monkeypatch.setattr(_cuts, name, value)


@pytest.mark.parametrize("name", POOLED)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(problem=problems(max_rows=12), power=st.sampled_from([1, 9]), soft=st.booleans())
def test_bins_find_what_sorting_finds(few_bins, name, problem, power, soft):
    scores, Y, weight = problem
    scores = (scores - 0.25) ** power
    Y = Y * 0.75 if soft else Y
    found = _cuts.best_pooled_cut(POOLED[name], ScoredRows.in_memory(scores, Y, weight))
    assert found == pytest.approx(pooled_by_sorting(POOLED[name], scores, Y, weight), abs=1e-14)


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("shape", ["even", "skewed", "tied", "outliers", "flat", "huge", "logits"])
@pytest.mark.parametrize("weighted", [False, True])
def test_bins_find_what_sorting_finds_in_large_tables(name, shape, weighted, monkeypatch):
    monkeypatch.setattr(_cuts, "_SORTED_ENTRIES", 500)
    monkeypatch.setattr(_cuts, "_BINS", 1000)
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 2, (4000, 5))
    Y = 1.0 * (rng.random(p.shape) < (0.1 if shape == "flat" else p))
    scores = {
        "skewed": p**9,
        "tied": p.round(2),
        "outliers": np.where(rng.random(p.shape) < 1e-3, -1e9, p),
        "huge": 1.7e308 * (2 * p - 1),
        "logits": np.log(p) - np.log1p(-p),
    }.get(shape, p)
    weight = np.ones(4000)
    if weighted:
        weight = rng.random(4000) + 0.01
        Y[rng.random(Y.shape) < 0.2] = np.nan
    found = _cuts.best_pooled_cut(POOLED[name], ScoredRows.in_memory(scores, Y, weight))
    expected = pooled_by_sorting(POOLED[name], scores, Y, weight)
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1], rel=1e-12)


@pytest.mark.parametrize("low", [0.1, 1e-320, -1.0, 1e308])
def test_bins_separate_neighbouring_floats(few_bins, low):
    high = np.nextafter(low, np.inf)
    scores, Y = np.array([[high], [low], [low], [low]]), np.array([[1], [0], [0], [0]])
    decoder = GlobalThreshold().fit(scores, Y)
    assert decoder.decode(scores).ravel().tolist() == [True, False, False, False]


def test_large_tables_do_not_go_through_one_sort(monkeypatch):
    sorted_entries = []
    monkeypatch.setattr(
        _cuts,
        "cuts",
        lambda s, y, w, cuts=_cuts.cuts: sorted_entries.append(s.size) or cuts(s, y, w),
    )
    rng = np.random.default_rng(0)
    scores = rng.random((30_000, 20)) ** 6
    GlobalThreshold().fit(scores, rng.random(scores.shape) < scores)
    assert sorted_entries[0] <= _cuts._SORTED_ENTRIES


# ---- shrinkage


def skewed_labels(seed=0, n_rows=400):
    rng = np.random.default_rng(seed)
    scores = rng.random((n_rows, 6)) ** np.array([1, 2, 3, 4, 5, 6])
    return scores, 1.0 * (rng.random(scores.shape) < scores)


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("scale", [1, 7], ids=["probabilities", "margins"])
def test_shrinkage_goes_from_separate_thresholds_to_the_common_one(average, scale):
    scores, Y = skewed_labels()
    scores = scale * scores
    fits = [
        PerLabelThreshold(average=average, shrinkage=c).fit(scores, Y).thresholds_
        for c in (0, 1e-9, 1, 10, 100, 1e15)
    ]
    common = GlobalThreshold().fit(scores, Y).threshold_
    np.testing.assert_array_equal(
        fits[0], PerLabelThreshold(average=average).fit(scores, Y).thresholds_
    )
    np.testing.assert_allclose(fits[1], fits[0], rtol=1e-6)
    np.testing.assert_allclose(fits[-1], common, rtol=1e-9)
    gaps = np.abs(np.array(fits) - common)
    assert (np.diff(gaps, axis=0) <= 1e-9).all() and (gaps[3] < gaps[0]).all()


def test_shrinkage_is_a_mean_weighted_by_positives():
    scores, Y = skewed_labels()
    weight = np.random.default_rng(0).integers(1, 4, len(Y))
    common = GlobalThreshold().fit(scores, Y, weight).threshold_
    plain = PerLabelThreshold(min_positives=0).fit(scores, Y, weight).thresholds_
    share = weight @ Y / (weight @ Y + 20)

    def shrunk(scores):
        return PerLabelThreshold(min_positives=0, shrinkage=20).fit(scores, Y, weight).thresholds_

    expected = special.logit(plain) * share + special.logit(common) * (1 - share)
    np.testing.assert_allclose(shrunk(scores), special.expit(expected))
    # Margins, here with the same decisions, are averaged as they are.
    np.testing.assert_allclose(shrunk(scores - 5), plain * share + common * (1 - share) - 5)


def test_shrinkage_leaves_labels_that_fall_back():
    scores, Y = skewed_labels()
    Y[5:, 2] = 0
    decoder = PerLabelThreshold(shrinkage=5).fit(scores, Y)
    assert decoder.fallback_labels_.tolist() == [2]
    assert decoder.thresholds_[2] == GlobalThreshold().fit(scores, Y).threshold_


def test_shrinkage_of_infinite_and_extreme_thresholds():
    scores = np.column_stack([[0.9, 0.8, 0.7, 0.2, 0.1, 0.1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]])
    Y = np.column_stack([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    given = dict(average="micro", min_positives=1)
    assert PerLabelThreshold(**given).fit(scores, Y).thresholds_[1] == np.inf
    thresholds = PerLabelThreshold(**given, shrinkage=2).fit(scores, Y).thresholds_
    assert 0.5 < thresholds[1] < 0.9
    extreme = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.0]])
    hat = [[1, 1], [1, 1], [1, 1], [0, 0]]
    assert np.isfinite(
        PerLabelThreshold(min_positives=1, shrinkage=1).fit(extreme, hat).thresholds_
    ).all()


def test_shrinkage_helps_rare_labels_on_new_rows():
    """Labels that differ by chance only: differences between their thresholds are noise."""
    plain, shrunk = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = rng.beta(0.5, 8, (2000, 10))
        Y = 1.0 * (rng.random(scores.shape) < scores)
        for shrinkage, found in [(0, plain), (20, shrunk)]:
            rule = PerLabelThreshold(shrinkage=shrinkage)
            hat = rule.fit(scores[:300], Y[:300]).decode(scores[300:])
            found.append(f1_score(Y[300:], hat, average="macro"))
    assert np.mean(shrunk) > np.mean(plain) + 0.005


def test_large_tables_in_which_nothing_is_best_to_predict():
    rng = np.random.default_rng(0)
    scores = rng.random((30_000, 10))
    decoder = GlobalThreshold("accuracy").fit(scores, rng.random(scores.shape) < 0.1)
    assert decoder.threshold_ == np.inf and 0.89 < decoder.best_score_ < 0.91
    assert GlobalThreshold().fit(scores, np.zeros(scores.shape)).threshold_ == 0.5
    assert GlobalThreshold().fit(scores, np.full(scores.shape, np.nan)).threshold_ == 0.5
