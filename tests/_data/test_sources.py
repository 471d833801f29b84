"""Rows of a source in other methods than `fit`: a sample, predictions, refusals."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data import partitions
from sklearn_mlloss._data.sampling import MOST_PARTS, RowSample, join
from sklearn_mlloss.streaming import RowSource, Streaming

X, Y = make_multilabel_classification(90, 5, n_classes=3, random_state=0)
WEIGHT = np.arange(90) % 17 / 8  # whose sums are exact in any order
ENDS = 20, 20, 50, 90  # the second shard is empty
METHODS = "predict", "predict_proba", "predict_log_proba", "decision_function", "predict_labels"


class Shards(RowSource):
    """Blocks of 7 rows, in shards of several sizes."""

    def __init__(self, X=X, Y=Y, weight=None):
        self.parts = X, Y, weight

    def shards(self):
        return [f"shard {k}" for k in range(len(ENDS))]

    def read(self, shard):
        for start in range((0, *ENDS)[shard], ENDS[shard], 7):
            rows = slice(start, min(start + 7, ENDS[shard]))
            yield tuple(None if part is None else part[rows] for part in self.parts)


class Nothing(RowSource):
    def shards(self):
        return ["nothing"]

    def read(self, shard):
        yield X[:0], Y[:0], None


def net(**params):
    settings = {"hidden_layer_sizes": (4,), "max_epochs": 1, "batch_size": 32, "random_state": 0}
    return MultiLabelNetClassifier(early_stopping=False, **(settings | params))


@pytest.fixture(scope="module")
def models():
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    return {
        "net": net(loss="factorized").fit(X, Y),
        "decoded": DecodedClassifierCV(tree, "per_label_threshold", cv=2).fit(X, Y),
        "vote": SoftVotingClassifier([("a", tree), ("b", DecisionTreeClassifier())]).fit(X, Y),
    }


def test_a_sample_is_uniform_and_in_the_order_of_the_rows():
    rows = Shards(np.arange(90)[:, None], Y, WEIGHT)
    chosen, labels, weight = rows.sample(30, random_state=0)
    places = chosen[:, 0]
    assert len(places) == 30 and (np.diff(places) > 0).all()
    np.testing.assert_array_equal(labels, Y[places])
    np.testing.assert_array_equal(weight, WEIGHT[places])
    np.testing.assert_array_equal(rows.sample(30, random_state=0)[0], chosen)
    counts = np.zeros(90)
    for seed in range(300):
        counts[rows.sample(30, random_state=seed)[0][:, 0]] += 1
    # 100 each; the standard deviation is 8.
    assert counts.sum() == 9000 and np.abs(counts - 100).max() < 40


def test_a_sample_of_more_rows_than_there_are_has_all_of_them():
    for matrix in (X, sp.csr_array(X)):
        part, labels, weight = Shards(matrix).sample(1000)
        assert type(part) is type(matrix) and weight is None
        np.testing.assert_array_equal(part.toarray() if sp.issparse(part) else part, X)
        np.testing.assert_array_equal(labels, Y)
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X).assign(kind=pd.Categorical(["a", "b", "c"] * 30))
    pd.testing.assert_frame_equal(Shards(frame, pd.DataFrame(Y)).sample(90)[0], frame)


def test_a_sample_holds_no_more_parts_the_more_blocks_there_are():
    draw, all_rows = np.random.default_rng(0), np.arange(3000)
    numbers, sample = draw.random(3000), RowSample(500)
    for row in all_rows:
        place = np.array([[0, row]])
        sample.add(numbers[[row]], place, np.array([[row]]), np.array([[1]]), None)
        assert len(sample.parts) <= MOST_PARTS
    places, X, _, _ = sample.joined()
    np.testing.assert_array_equal(X[:, 0], np.sort(np.argsort(numbers)[:500]))
    np.testing.assert_array_equal(places[:, 1], X[:, 0])


def test_bad_samples_are_refused():
    for n_rows in (0, -1, 1.5, "all", None):
        with pytest.raises((ValueError, TypeError), match="n_rows must be an integer >= 1, got"):
            Shards().sample(n_rows)
    with pytest.raises(ValueError, match="random_state must be None, an int"):
        Shards().sample(3, random_state="seed")
    with pytest.raises(ValueError, match="Nothing has no row in its 1 shards"):
        Nothing().sample(3)
    with pytest.raises(ValueError, match="sample_weight must be given for all rows or for none"):
        join([WEIGHT, None])


@pytest.mark.parametrize("name", ["net", "decoded", "vote"])
def test_predictions_equal_those_in_memory(models, name):
    model, rows = models[name], Shards()
    for method in (*METHODS, "predict_frame"):
        if not hasattr(model, method):
            continue
        predicted, expected = getattr(model, method)(rows), getattr(model, method)(X)
        assert type(predicted) is type(expected) and len(predicted) == 90
        if isinstance(expected, list):
            assert predicted == expected
        else:
            np.testing.assert_array_equal(predicted, expected)
    if name == "net":  # whose last digit depends on the place of a row among others
        np.testing.assert_allclose(model.predict_count(rows), model.predict_count(X), rtol=1e-6)
    assert model.predict_proba(Nothing()).shape == (0, 3)
    np.testing.assert_array_equal(model.label(1).predict(rows), model.label(1).predict(X))
    for weight in (None, WEIGHT):
        assert model.score(Shards(weight=weight)) == model.score(X, Y, weight)


@pytest.mark.parametrize("name", ["net", "decoded"])
def test_a_decoder_is_fitted_on_all_rows(models, name):
    model, options = models[name], {"decoder": "per_label_threshold", "calibration": "sigmoid"}
    hidden = np.where(np.arange(90)[:, None] % 7 == 0, np.nan, Y.astype(float))
    expected = model.fit_decoder(X, hidden, **options, sample_weight=WEIGHT).decoder_.thresholds_
    model.fit_decoder(X, Y, "global_threshold", None)
    model.fit_decoder(Shards(X, hidden, WEIGHT), **options)
    np.testing.assert_array_equal(model.decoder_.thresholds_, expected)


def test_sparse_predictions_and_classes_keep_their_form():
    model = net(decoder="threshold").fit(X, sp.csr_array(Y))
    predicted = model.predict(Shards())
    assert sp.issparse(predicted)
    np.testing.assert_array_equal(predicted.toarray(), model.predict(X).toarray())
    classes = np.array(["a", "b"])[Y[:, 0]]
    model = DecodedClassifierCV(DecisionTreeClassifier(max_depth=2), cv=2).fit(X, classes)
    rows = Shards(X, classes)
    assert model.score(rows) == model.score(X, classes)
    np.testing.assert_array_equal(model.predict(rows), model.predict(X))


def test_what_is_wrong_with_rows_is_named(models, monkeypatch):
    model = models["net"]
    with pytest.raises(ValueError, match="y comes from X, a Shards: leave it out, and give"):
        model.score(Shards(), Y)
    with pytest.raises(ValueError, match="sample_weight comes from X, a Shards: leave it out"):
        model.fit_decoder(Shards(), sample_weight=WEIGHT)
    with pytest.raises(ValueError, match="the target y is None"):
        model.score(X)
    with pytest.raises(ValueError, match="Nothing has no row"):
        model.score(Nothing())
    bad = X.copy()
    bad[63, 2] = np.inf
    with pytest.raises(ValueError, match="infinity") as raised:
        model.predict(Shards(bad))
    assert raised.value.__notes__ == ["This happened in shard 3, rows 7 to 13."]
    monkeypatch.setattr(partitions, "MOST_GATHERED", 150)
    assert len(model.predict_count(Shards())) == 90
    assert model.score(Shards()) == model.score(X, Y)
    with pytest.raises(ValueError, match="more than 1.5e[+]02 numbers.* already in shard 3: give"):
        model.predict(Shards())


DOORS = {
    "Pipeline": lambda rows: make_pipeline(StandardScaler(), net()).fit(rows),
    "a scaler": lambda rows: StandardScaler().partial_fit(rows),
    "GridSearchCV": lambda rows: GridSearchCV(net(), {"batch_size": [8]}).fit(rows),
    "cross_val_score": lambda rows: cross_val_score(net(), rows),
    "train_test_split": lambda rows: train_test_split(rows),
    "an array": lambda rows: np.asarray(rows),
    "a tree": lambda rows: DecisionTreeClassifier().fit(rows, Y),
    "the search": lambda rows: LossDecoderSearchCV(net()).fit(rows),
    "D": lambda rows: DecodedClassifierCV(DecisionTreeClassifier()).fit(rows),
    "V": lambda rows: SoftVotingClassifier([("a", DecisionTreeClassifier())]).fit(rows),
    "partial_fit": lambda rows: net().partial_fit(rows, Y),
}


@pytest.mark.parametrize("door", DOORS)
def test_what_needs_rows_in_memory_names_the_sample(door):
    with pytest.raises((TypeError, ValueError), match=r"Shards.*give .*rows.sample\(100_000\)"):
        DOORS[door](Shards())


def test_blocks_of_a_source_are_tuples_of_three():
    class Pairs(Shards):
        def read(self, shard):
            for X, y, _ in super().read(shard):
                yield X, y

    with pytest.raises(ValueError, match=r"Pairs must yield tuples \(X, y, sample_weight\)"):
        net().fit(Pairs())


def test_decode_takes_no_rows(models):
    with pytest.raises(ValueError, match="proba must be an array of numbers, got Shards"):
        models["net"].decode(Shards())


class Batches:
    """Batches that can be read once only, although this is no iterator."""

    def __init__(self):
        self.once = iter([(X, Y)])

    def __iter__(self):
        return self.once


class Rest(Batches):
    """The rest of batches, by another iterator each time."""

    def __iter__(self):
        yield from self.once


def test_what_is_no_table_of_rows_is_refused_with_a_remedy(tmp_path):
    for streaming in (None, Streaming()):
        model = net(streaming=streaming)
        for once in (Batches(), Rest(), iter([(X, Y)]), ((X, Y) for _ in range(1))):
            with pytest.raises(ValueError, match="X is read several times, and a .* only once"):
                model.fit(once)
        for path in ("rows.parquet", tmp_path):
            for y in (None, Y):
                with pytest.raises(ValueError, match=r"give .*ParquetRows\(folder, labels="):
                    model.fit(path, y)
    with pytest.raises(ValueError, match=r"ParquetRows\(folder, labels="):
        net().fit(X, Y).predict("rows.parquet")


def test_tables_of_other_libraries_are_read_or_refused(models):
    torch = pytest.importorskip("torch")
    pieces = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(pieces, batch_size=30)
    lazy: list = [(loader, "object whose __iter__ yields")]
    try:
        import pyarrow as pa
        from pyarrow import dataset

        table = pa.table({f"x{k}": column for k, column in enumerate(X.T)})
        lazy.append(
            (dataset.dataset(table), r"give X.to_table\(\).to_pandas\(\), or .*ParquetRows")
        )
        labels = pa.table({f"y{k}": column for k, column in enumerate(Y.T)})
        model = net(streaming=Streaming(buffer_rows=40, sample_rows=60))
        fitted = model.fit(table, labels)
        proba = fitted.predict_proba(table.to_batches()[0])
        expected = model.fit(table.to_pandas(), labels.to_pandas()).predict_proba(table)
        np.testing.assert_array_equal(proba, expected)
    except ImportError:
        pass
    try:
        import polars as pl

        lazy.append((pl.LazyFrame(X), r"give X.collect\(\)"))
    except ImportError:
        pass
    for rows, remedy in lazy:
        for streaming in (None, Streaming()):
            with pytest.raises(ValueError, match=remedy):
                net(streaming=streaming).fit(rows, Y)
    with pytest.raises(ValueError, match="object whose __iter__ yields"):
        net().fit(loader)
