"""Predictions on collections of dask, and metrics and decoders from them."""

import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier, SoftVotingClassifier
from sklearn_mlloss._data import partitions
from sklearn_mlloss._data.partitions import is_partitioned
from sklearn_mlloss.metrics import multilabel_log_loss, multilabel_report, multilabel_scorers

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")

NAMES = ["red", "green", "blue"]
X, Y = make_multilabel_classification(60, 5, n_classes=3, random_state=0)
TABLE = pd.DataFrame(X, index=np.arange(60) * 2).add_prefix("x")
TABLE["kind"] = pd.Categorical(np.where(X[:, 0] > 4, "many", "few"))
LABELS = pd.DataFrame(Y, columns=NAMES, index=TABLE.index)
METHODS = "predict", "predict_proba", "predict_log_proba", "decision_function"


def net(loss="bce", decoder="auto", **params):
    settings = {"hidden_layer_sizes": (8,), "max_epochs": 2, "batch_size": 32, "random_state": 0}
    settings |= {"early_stopping": False, "linear_part": False}
    return MultiLabelNetClassifier(loss, decoder, **(settings | params))


@pytest.fixture(scope="module")
def models():
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    return {
        "net": net("factorized", "global_threshold").fit(X, Y),
        "decoded": DecodedClassifierCV(tree, "per_label_threshold", cv=2).fit(X, Y),
        "vote": SoftVotingClassifier([("a", tree), ("b", DecisionTreeClassifier())]).fit(X, Y),
    }


@pytest.fixture(scope="module")
def of_table():
    return net(decoder="global_threshold").fit(TABLE, LABELS)


def lazy_table(n=3):
    return dd.from_pandas(TABLE, npartitions=n)


# Columns in several chunks, and an empty chunk.
LAZY = da.from_array(X, chunks=((20, 0, 7, 33), (2, 3)))


@pytest.mark.parametrize("name", ["net", "decoded", "vote"])
def test_predictions_for_arrays_equal_those_in_memory(models, name):
    model = models[name]
    for method in METHODS:
        if not hasattr(model, method):
            continue
        lazy, expected = getattr(model, method)(LAZY), getattr(model, method)(X)
        assert isinstance(lazy, da.Array) and lazy.dtype == expected.dtype
        assert lazy.chunks == ((20, 0, 7, 33), (3,))
        np.testing.assert_array_equal(lazy.compute(), expected)
    labels = model.predict_labels(LAZY)
    assert labels.chunks == ((20, 0, 7, 33),)
    assert labels.compute().tolist() == model.predict_labels(X)
    pd.testing.assert_frame_equal(
        model.predict_frame(LAZY).compute(), model.predict_frame(X), check_index_type=False
    )
    assert model.predict_frame(LAZY.rechunk(20)).divisions == (0, 20, 40, 59)
    view, lazy = model.label(1), model.label(1).predict_proba(LAZY)
    np.testing.assert_array_equal(lazy.compute(), view.predict_proba(X))


def test_predictions_for_frames_have_their_names_and_index(of_table):
    table = lazy_table()
    frame = of_table.predict_frame(table)
    assert frame.divisions == table.divisions
    assert frame["probability"].columns.tolist() == NAMES
    pd.testing.assert_frame_equal(frame.compute(), of_table.predict_frame(TABLE))
    for method in METHODS:
        lazy = getattr(of_table, method)(table)
        assert isinstance(lazy, da.Array) and lazy.shape[1] == 3
        np.testing.assert_array_equal(lazy.compute(), getattr(of_table, method)(TABLE))
    none = table[table["x0"] < -1]
    assert of_table.predict(none).compute().shape == (0, 3)
    assert of_table.predict_frame(none).compute().shape == (0, 6)


def test_sparse_labels_and_classes_keep_their_form():
    sparse = net().fit(sp.csr_array(X), sp.csr_array(Y))
    rows = LAZY.rechunk({1: -1}).map_blocks(sp.csr_array, meta=sp.csr_array((0, 5)))
    predicted = sparse.predict(rows).compute()
    assert sp.issparse(predicted)
    np.testing.assert_array_equal(predicted.toarray(), sparse.predict(X).toarray())
    for classes in (np.array(["no", "yes"]), np.array(["a", "b", "c", "d"])):
        model = DecodedClassifierCV(DecisionTreeClassifier(), cv=2)
        model.fit(X, classes[Y[:, : len(classes) // 2] @ [1, 2][: len(classes) // 2]])
        for method in METHODS:
            lazy, expected = getattr(model, method)(LAZY), getattr(model, method)(X)
            assert lazy.dtype.kind == expected.dtype.kind and lazy.ndim == expected.ndim
            np.testing.assert_array_equal(lazy.compute(), expected)


def test_decode_takes_lazy_probabilities_and_counts(models):
    model = models["net"]
    proba, expected = model.predict_proba(LAZY), model.decode(model.predict_proba(X))
    np.testing.assert_array_equal(model.decode(proba).compute(), expected)
    counted = net("factorized", "cardinality").fit(X, Y)
    proba, count = counted.predict_proba(LAZY), counted.predict_count(LAZY)
    assert count.chunks == (proba.chunks[0],)
    decided = counted.decode(proba, count).compute()
    np.testing.assert_array_equal(decided, counted.predict(X))
    with pytest.raises(ValueError, match="count must be a dask array with the chunks of proba"):
        counted.decode(proba, np.ones(60))


def test_a_model_is_sent_once_and_as_it_was(models):
    model = models["decoded"]
    expected, lazy = model.predict(X), model.predict(LAZY)
    model.fit_decoder(X, Y, "argmax")
    np.testing.assert_array_equal(lazy.compute(), expected)
    graph = dict(lazy.__dask_graph__())
    assert sum("DecodedClassifierCV-" in str(key) for key in graph) == 1


@pytest.mark.parametrize("in_frames", [False, True])
def test_a_decoder_is_fitted_on_gathered_scores(models, in_frames):
    weight = np.linspace(0, 2, len(X))
    hidden = np.where(np.arange(len(X))[:, None] % 7 == 0, np.nan, Y.astype(float))
    y = pd.DataFrame(hidden) if in_frames else hidden
    lazy_y = dd.from_pandas(y, npartitions=3) if in_frames else da.from_array(y, (25, 3))
    lazy_X = dd.from_pandas(pd.DataFrame(X), npartitions=3) if in_frames else LAZY
    for model in (models["net"], models["decoded"]):
        options = {"decoder": "per_label_threshold", "calibration": "sigmoid"}
        expected = model.fit_decoder(X, y, **options, sample_weight=weight).decoder_.thresholds_
        model.fit_decoder(X, Y, "global_threshold", None)
        model.fit_decoder(lazy_X, lazy_y, **options, sample_weight=da.from_array(weight, chunks=30))
        np.testing.assert_array_equal(model.decoder_.thresholds_, expected)


def test_metrics_take_collections(models):
    model, y = models["net"], da.from_array(Y, chunks=(25, 3))
    assert model.score(LAZY, y) == model.score(X, Y)
    scorers = multilabel_scorers()
    for name in ("f1_macro", "neg_log_loss", "precision_at_1"):
        assert scorers[name](model, LAZY, y) == scorers[name](model, X, Y)
    proba, decisions = model.predict_proba(LAZY), model.predict(LAZY)
    assert multilabel_log_loss(y, proba) == multilabel_log_loss(Y, model.predict_proba(X))
    expected = multilabel_report(Y, model.predict_proba(X), model.predict(X))
    pd.testing.assert_frame_equal(multilabel_report(y, proba, decisions), expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_score_sums_over_partitions(models, of_table, monkeypatch, weighted):
    monkeypatch.setattr(partitions, "MOST_GATHERED", 1)
    weight = np.repeat([0, 0.5, 2], 20) if weighted else None
    hidden = np.where(np.arange(60)[:, None] % 7 < 2, np.nan, Y.astype(float))
    hidden[20:40] = np.nan  # all of a partition
    classes = np.array(["a", "b", "c", "d"])[Y[:, :2] @ [1, 2]]
    tree = DecodedClassifierCV(DecisionTreeClassifier(max_depth=3, random_state=0), cv=2)
    tables = lazy_table(), dd.from_pandas(LABELS, npartitions=3)
    for model, rows, y in (
        (models["net"], (X, LAZY), (hidden, da.from_array(hidden, (20, 3)))),
        (models["decoded"], (X, LAZY), (Y, Y)),
        (of_table, (TABLE, tables[0]), (LABELS, tables[1])),
        (tree.fit(X, classes), (X, LAZY), (classes, da.from_array(classes, 25))),
    ):
        expected = model.score(rows[0], y[0], weight)
        assert 0 < expected < 1
        for w in (weight, None if weight is None else da.from_array(weight, 20)):
            assert model.score(rows[1], y[1], w) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="y is NaN, or sample_weight 0, in all rows"):
        models["net"].score(LAZY, da.full((60, 3), np.nan))
    with pytest.raises(ValueError, match="no row counts"):
        models["net"].score(LAZY, Y, da.zeros(60))


def test_what_does_not_fit_is_not_gathered(models, monkeypatch):
    monkeypatch.setattr(partitions, "MOST_GATHERED", 300)
    with pytest.raises(ValueError, match="of 60 rows are 4.2e[+]02 numbers.*give a part"):
        models["net"].fit_decoder(LAZY, da.from_array(Y), "cardinality")
    rows = da.from_array(X)[da.from_array(X[:, 0] >= 0)]  # of a number that is not known
    with pytest.raises(ValueError, match="of 60 rows"):
        models["net"].fit_decoder(
            rows, da.from_array(Y)[da.from_array(X[:, 0] >= 0)], calibration="temperature"
        )


def test_errors_come_before_anything_is_computed(models, of_table):
    with pytest.raises(ValueError, match="X has 4 features, but .* is expecting 5"):
        models["net"].predict(LAZY[:, :4])
    with pytest.raises(ValueError, match="feature names"):
        of_table.predict_proba(lazy_table().rename(columns={"x1": "other"}))
    with pytest.raises(ValueError, match="Expected 2D array"):
        models["decoded"].predict(LAZY[:, 0])
    with pytest.raises(ValueError, match=r"X must be.*give X.compute\(\) if .*alone trains"):
        DecodedClassifierCV(LogisticRegression()).fit(LAZY, Y)
    with pytest.raises(ValueError, match=r"y must be array-like.*give y.compute\(\)"):
        DecodedClassifierCV(LogisticRegression()).fit(X, da.from_array(Y))
    with pytest.raises(ValueError, match="fitted"):
        net().predict(LAZY)


def test_only_arrays_and_frames_are_collections():
    assert is_partitioned(LAZY) and is_partitioned(lazy_table())
    assert not any(map(is_partitioned, (X, TABLE, None, sys.modules["dask"].delayed(X))))
