"""Metrics of dask collections are sums over partitions, equal to those in memory."""

import numpy as np
import pytest
import scipy.sparse as sp

from sklearn_mlloss import metrics as ml
from sklearn_mlloss._data import partitions, reductions
from sklearn_mlloss._data.reductions import sum_partitions

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")
dask = pytest.importorskip("dask")

RNG = np.random.default_rng(0)
N, NAMES = 90, ["red", "green", "blue", "rare"]
Y = (RNG.random((N, 4)) < [0.5, 0.3, 0.4, 0]).astype(float)
Y[60:63, 3] = 1  # in no other partition
PROBA = np.clip(0.4 * Y + RNG.random(Y.shape) * 0.6, 0, 1).round(2)  # with ties
HARD = Y.copy()
Y[RNG.random(Y.shape) < 0.1] = np.nan
Y[:2], Y[8:20, 2] = np.nan, np.nan  # a label that is missing in a partition
Y_HAT = (PROBA > 0.5).astype(int)
WEIGHT = RNG.integers(0, 4, N) / 2
WEIGHT[20:47] = 0  # all of a partition
SIZES = (8, 12, 0, 27, 43)
CLOSE = {"rtol": 1e-12, "atol": 0}

MEANS = [
    (ml.f_measure, {"average": "micro"}),
    (ml.f_measure, {"average": "macro", "empty": np.nan}),
    (ml.f_measure, {"average": "samples", "empty": 1}),
    (ml.f_measure, {"average": None, "beta": 2}),
    (ml.jaccard, {}),
    (ml.jaccard, {"average": None}),
    (ml.hamming_loss, {"average": "macro"}),
    (ml.subset_accuracy, {}),
    (ml.multilabel_log_loss, {}),
    (ml.multilabel_log_loss, {"average": None}),
    (ml.multilabel_brier_score, {"average": "samples"}),
    (ml.expected_calibration_error, {}),
    (ml.expected_calibration_error, {"average": None, "n_bins": 5}),
    (ml.expected_calibration_error, {"average": "macro", "n_bins": 10**8}),
    (ml.precision_at_k, {"k": 2}),
    (ml.propensity_scored_precision_at_k, {"k": 2}),
    (ml.one_error, {}),
    (ml.coverage_error, {}),
    (ml.ranking_loss, {"empty": 0}),
    (ml.label_ranking_average_precision, {}),
]
OF_DECISIONS = ml.f_measure, ml.jaccard, ml.hamming_loss, ml.subset_accuracy
EVERY = pytest.mark.parametrize(
    ("metric", "params"), MEANS, ids=lambda value: getattr(value, "__name__", str(value))
)


def values_for(metric):
    return Y_HAT if metric in OF_DECISIONS else PROBA


def array(values, sizes=SIZES):
    return da.from_array(values, chunks=(sizes, *values.shape[1:]))


@pytest.fixture
def nothing_fits(monkeypatch):
    monkeypatch.setattr(partitions, "MOST_GATHERED", 1)
    monkeypatch.setattr(reductions, "ADDED_AT_ONCE", 2)


@EVERY
def test_means_are_sums_over_partitions(nothing_fits, metric, params):
    values = values_for(metric)
    lazy = array(Y), array(values)
    np.testing.assert_allclose(metric(*lazy, **params), metric(Y, values, **params), **CLOSE)
    expected = metric(Y, values, **params, sample_weight=WEIGHT)
    weighted = metric(*lazy, **params, sample_weight=array(WEIGHT))
    assert type(weighted) is type(expected)
    np.testing.assert_allclose(weighted, expected, **CLOSE)


def test_all_metrics_are_compared():
    compared = {metric.__name__ for metric, _ in MEANS}
    others = {"macro_average_precision", "multilabel_report", "label_propensities"}
    assert compared | others | {"multilabel_scorers"} == set(ml.__all__)
    np.testing.assert_allclose(
        ml.label_propensities(array(Y), sample_weight=array(WEIGHT)),
        ml.label_propensities(Y, sample_weight=WEIGHT),
        **CLOSE,
    )


def frame(values, divisions=(0, 30, 45, 89)):
    table = pd.DataFrame(values, columns=NAMES if np.ndim(values) > 1 else ["weight"])
    return dd.from_pandas(table, npartitions=1).repartition(divisions=divisions)


LAZY_OF = {
    "frames": lambda *values: [frame(each) for each in values],
    "frame and array": lambda Y, P, w: (frame(Y), array(P), array(w, (N,))),
    "array and frame": lambda Y, P, w: (array(Y), frame(P), frame(w)["weight"]),
    "frame and memory": lambda Y, P, w: (frame(Y), P.tolist(), w),
    "memory and array": lambda Y, P, w: (sp.csr_array(np.nan_to_num(Y)), array(P), pd.Series(w)),
    "other chunks": lambda Y, P, w: (array(Y, (90,)), array(P, (1, 88, 1)), array(w)),
    "columns in chunks": lambda Y, P, w: (da.from_array(Y, (45, 2)), da.from_array(P, (9, 3)), w),
    "sizes not known": lambda Y, P, w: [
        each[array(np.ones(N, dtype=bool))] for each in map(array, (Y, P, w))
    ],
    "sparse": lambda Y, P, w: (
        array(np.nan_to_num(Y)).map_blocks(sp.csr_array, meta=sp.csr_array((0, 4))),
        array(P, (50, 40)),
        w,
    ),
}


@pytest.mark.parametrize("form", LAZY_OF)
def test_rows_are_matched_in_all_forms(nothing_fits, form):
    labels = np.nan_to_num(Y) if "sparse" in form or "memory and" in form else Y
    expected = ml.precision_at_k(labels, PROBA, 2, sample_weight=WEIGHT)
    lazy_Y, proba, weight = LAZY_OF[form](labels, PROBA, WEIGHT)
    value = ml.precision_at_k(lazy_Y, proba, 2, sample_weight=weight)
    np.testing.assert_allclose(value, expected, **CLOSE)


@pytest.mark.parametrize("n_labels_at_once", [1, 3])
@pytest.mark.parametrize("soft", [False, True])
def test_few_labels_are_gathered_at_a_time(monkeypatch, n_labels_at_once, soft):
    labels = np.where(np.arange(N)[:, None] % 5 == 0, Y / 3, Y) if soft else Y
    lazy = array(labels), array(PROBA.astype(np.float32))
    for average in ("macro", None):
        expected = ml.macro_average_precision(labels, PROBA.astype(np.float32), average=average)
        monkeypatch.setattr(partitions, "MOST_GATHERED", 2 * N * n_labels_at_once)
        value = ml.macro_average_precision(*lazy, average=average)
        np.testing.assert_allclose(value, expected, **CLOSE)
    monkeypatch.setattr(partitions, "MOST_GATHERED", 2 * N - 1)
    with pytest.raises(ValueError, match="of 90 rows are 1.8e[+]02 numbers"):
        ml.macro_average_precision(*lazy)


def test_report_in_one_pass_or_few_labels_at_a_time(monkeypatch):
    names = pd.DataFrame(Y, columns=NAMES)
    expected = ml.multilabel_report(names, PROBA, Y_HAT, sample_weight=WEIGHT)
    n_calls = []

    def predicted(block):
        n_calls.append(len(block))
        return block

    proba = array(PROBA).map_blocks(predicted, dtype=float, meta=np.empty((0, 4)))
    lazy = array(Y), proba, array(Y_HAT)
    report = ml.multilabel_report(*lazy, NAMES, sample_weight=array(WEIGHT))
    pd.testing.assert_frame_equal(report, expected)
    assert sorted(n_calls) == sorted(SIZES)
    of_frames = ml.multilabel_report(frame(Y), frame(PROBA), frame(Y_HAT), sample_weight=WEIGHT)
    pd.testing.assert_frame_equal(of_frames, expected)
    monkeypatch.setattr(partitions, "MOST_GATHERED", 3 * N * 2)
    report = ml.multilabel_report(*lazy, NAMES, sample_weight=array(WEIGHT))
    expected.loc["micro", ["average_precision", "roc_auc"]] = np.nan  # documented
    pd.testing.assert_frame_equal(report, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Y": np.where(np.arange(N)[:, None] == 50, 2, Y)}, "Y must hold .* got 2"),
        ({"proba": PROBA[:, :3]}, r"proba must have the shape \(\d+, 4\) of Y, got \(\d+, 3\)"),
        ({"proba": np.where(np.arange(N)[:, None] == 50, 7, PROBA)}, "probabilities in .* got 7"),
        ({"sample_weight": -np.ones(N)}, "sample_weight must be non-negative"),
    ],
)
def test_errors_name_the_partition(change, message):
    values = {"Y": Y, "proba": PROBA, "sample_weight": None} | change
    lazy = {name: None if each is None else array(each) for name, each in values.items()}
    with pytest.raises(ValueError, match=message) as raised, dask.config.set(scheduler="sync"):
        ml.multilabel_log_loss(**lazy)
    (note,) = raised.value.__notes__
    assert note.startswith("This happened in partition ")


def test_errors_of_rows_and_columns_that_do_not_match():
    with pytest.raises(ValueError, match="must have the same number of rows, got 80 and 90"):
        ml.hamming_loss(array(HARD), array(HARD[:80], (40, 40)))
    with pytest.raises(ValueError, match="must have the same number of rows, got 80 and 90"):
        ml.hamming_loss(HARD[:80], array(HARD))
    with pytest.raises(ValueError, match="with 1 and 3 partitions of unknown sizes"):
        ml.hamming_loss(frame(HARD), frame(HARD, (0, 89)))
    with pytest.raises(ValueError, match=r"Y_hat must have the columns .* of Y in that order"):
        ml.hamming_loss(frame(HARD), frame(HARD)[NAMES[::-1]])
    with pytest.raises(ValueError, match="as many rows in each partition, got"):
        ml.hamming_loss(frame(HARD, (0, 31, 45, 89)), frame(HARD))
    with pytest.raises(ValueError, match="no row counts: all partitions are empty, or"):
        ml.hamming_loss(array(HARD), array(HARD), sample_weight=da.zeros(N))
    none = frame(HARD)
    with pytest.raises(ValueError, match="no row counts: all partitions are empty, or"):
        ml.macro_average_precision(none[none["red"] > 1], none[none["red"] > 1])


def test_parameters_are_checked_before_anything_is_computed():
    def fail(block):
        raise AssertionError("computed")

    proba = array(PROBA).map_blocks(fail, dtype=float, meta=np.empty((0, 4)))
    for metric, params, message in (
        (ml.f_measure, {"average": "mean"}, "average"),
        (ml.f_measure, {"empty": 2}, "empty"),
        (ml.expected_calibration_error, {"n_bins": 0}, "n_bins"),
        (ml.coverage_error, {"empty": -1}, "empty"),
        (ml.macro_average_precision, {"average": "micro"}, "average"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(array(Y), proba, **params)


def test_what_is_in_memory_is_not_divided():
    assert sum_partitions(lambda *values: values, Y, None) == (Y, None)
