"""Thresholds fitted on rows that do not fit in memory equal those fitted in memory."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_mlloss import DecodedClassifierCV
from sklearn_mlloss._data import partitions
from sklearn_mlloss.calibration import BetaCalibrator, IsotonicCalibrator, SigmoidCalibrator
from sklearn_mlloss.decoders import (
    AtLeastOne,
    GlobalThreshold,
    HierarchyClosure,
    PerLabelThreshold,
    ProportionCut,
    RiskControl,
    _cuts,
)
from sklearn_mlloss.streaming import RowSource

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
pd = pytest.importorskip("pandas")
dask = pytest.importorskip("dask")

RNG = np.random.default_rng(0)
N, SIZES = 400, (150, 0, 30, 20, 200)
X = RNG.beta(0.7, 2, (N, 4)).clip(1e-3, 1 - 1e-3)
X[:, 0] = X[:, 0].round(2).clip(0.01, 0.99)  # with ties
Y = (RNG.random(X.shape) < X).astype(float)
Y[:, 3] = 0
Y[[7, 180], 3] = 1  # rare, and in no other partition
HIDDEN = np.where(RNG.random(X.shape) < 0.2, np.nan, Y)
HIDDEN[150:180, 1] = np.nan
HIDDEN[190:195] = np.nan
WEIGHT = RNG.integers(0, 4, N) * 0.7
WEIGHT[180:200] = 0


class Echo(ClassifierMixin, BaseEstimator):
    """Features that are probabilities."""

    def fit(self, X, y):
        self.classes_ = [np.array([0, 1])] * y.shape[1]
        return self

    def predict_proba(self, X):
        return np.asarray(X)


class Constant(PerLabelThreshold):
    """A custom decoder, of which the fit on partitions knows nothing."""

    def _fit(self, scores, Y, sample_weight, count):
        self.thresholds_ = np.full(Y.shape[1], 0.5)


class Shards(RowSource):
    """Rows of a source, in blocks of which one has none and one has weights of 0."""

    def __init__(self, y=Y, weight=None):
        self.parts = X, y, weight

    def shards(self):
        return ["first", "second"]

    def read(self, shard):
        for start, stop in [[(0, 150), (150, 150), (150, 180)], [(180, 200), (200, N)]][shard]:
            yield tuple(None if part is None else part[start:stop] for part in self.parts)


@pytest.fixture(scope="module")
def model():
    return DecodedClassifierCV(Echo(), cv=2).fit(X, Y)


@pytest.fixture
def nothing_fits(monkeypatch):
    # One label at a time, or the entries of a few bins.
    monkeypatch.setattr(partitions, "MOST_GATHERED", 3 * N)
    monkeypatch.setattr(_cuts, "_SORTED_ENTRIES", 50)
    monkeypatch.setattr(_cuts, "_BINS", 1000)


DECODERS = {
    "f1": GlobalThreshold(),
    "fbeta": GlobalThreshold("fbeta", beta=2),
    "jaccard": GlobalThreshold("jaccard"),
    "balanced": GlobalThreshold("balanced_accuracy"),
    "macro": PerLabelThreshold(),
    "micro": PerLabelThreshold(average="micro"),
    "shrunk": PerLabelThreshold(shrinkage=5, min_positives=1),
    "common": PerLabelThreshold(min_positives=np.inf),
    "proportion": ProportionCut(),
    "risk": RiskControl(0.2),
    "no risk": RiskControl(0.001),
    "wrapped": AtLeastOne(HierarchyClosure([-1, 0, 0, -1], "per_label_threshold")),
}


def lazy(values, sizes=SIZES):
    return da.from_array(values, chunks=(sizes, *values.shape[1:]))


def parameters(model):
    decoder = model.decoder_
    while hasattr(decoder, "decoder_"):
        decoder = decoder.decoder_
    names = [name for name in vars(decoder) if name.endswith("_") and name[0] != "_"]
    return {name: getattr(decoder, name) for name in names}, model._decision.n_rows


@pytest.mark.filterwarnings("ignore:4 of 4 labels have too few positives")
@pytest.mark.parametrize("weighted", [0, 1, 2])
@pytest.mark.parametrize("name", DECODERS)
def test_thresholds_are_those_of_rows_in_memory(model, nothing_fits, name, weighted):
    decoder, y = DECODERS[name], HIDDEN if weighted else Y
    weight = [None, WEIGHT, WEIGHT[:, None] * (1 + (X > 0.2))][weighted]
    expected, n_rows = parameters(model.fit_decoder(X, y, decoder, None, weight))
    lazy_weight = None if weight is None else lazy(weight)
    for rows in ((lazy(X), lazy(y), lazy_weight), (Shards(y, weight), None, None)):
        model.fit_decoder(X, Y, "threshold")
        model.fit_decoder(*rows[:2], decoder, sample_weight=rows[2])
        found, n_rows_found = parameters(model)
        assert n_rows_found == n_rows and found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-11, err_msg=key)


CALIBRATORS = SigmoidCalibrator(2), BetaCalibrator(2), IsotonicCalibrator(2)


@pytest.mark.parametrize("decoder", ["threshold", "global_threshold", "per_label_threshold"])
@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=lambda each: type(each).__name__)
def test_calibrators_are_those_of_rows_in_memory(model, nothing_fits, calibrator, decoder):
    scores, y = X.copy(), HIDDEN.copy()
    scores[[3, 170], 0] = 0, 1  # which are moved inside, by half the resolution of all scores
    y[:, 3] = 0  # constant
    for weight in (None, WEIGHT):
        expected = model.fit_decoder(scores, y, decoder, calibrator, weight).predict_proba(X)
        decided, rows = model.predict(X), model._decision.n_rows
        lazy_weight = None if weight is None else lazy(weight)
        model.fit_decoder(X, Y, "threshold", None)
        model.fit_decoder(lazy(scores), lazy(y), decoder, calibrator, lazy_weight)
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-9)
        np.testing.assert_array_equal(model.predict(X), decided)
        assert model._decision.n_rows == rows
    with pytest.raises(ValueError, match=r"labels \[3\] have fewer .*min_positives=0"):
        params = calibrator.get_params() | {"min_positives": 5}
        model.fit_decoder(lazy(X), lazy(Y), decoder, type(calibrator)(**params))


def test_forms_of_rows(nothing_fits, monkeypatch):
    names = list("abcd")
    frame = pd.DataFrame(X, columns=names)
    model = DecodedClassifierCV(Echo(), cv=2).fit(frame, pd.DataFrame(Y, columns=names))
    expected = model.fit_decoder(frame, Y, "global_threshold").decoder_.threshold_
    rows = dd.from_pandas(frame, npartitions=3)
    for y in (Y, lazy(Y), dd.from_pandas(pd.DataFrame(Y, columns=names), npartitions=3)):
        fitted = model.fit_decoder(rows, y, GlobalThreshold())
        assert fitted.decoder_.threshold_ == expected
    classes = np.array(["no", "yes"])[Y[:, 0].astype(int)]

    class Two(Echo):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.column_stack([1 - X[:, 0], X[:, 0]])

    binary = DecodedClassifierCV(Two(), cv=2).fit(X, classes)
    expected = binary.fit_decoder(X, classes, "global_threshold").decoder_.threshold_
    monkeypatch.setattr(partitions, "MOST_GATHERED", 3 * N - 1)
    binary.fit_decoder(lazy(X), lazy(classes), GlobalThreshold())
    assert binary.decoder_.threshold_ == expected


def test_a_failed_fit_changes_nothing(model, nothing_fits, monkeypatch):
    before = model.fit_decoder(X, Y, "global_threshold", None).decoder_
    bad = Y.copy()
    bad[170] = 3
    with pytest.raises(ValueError, match="y must hold 0 and 1"):
        model.fit_decoder(lazy(X), lazy(bad), "per_label_threshold")
    with pytest.raises(ValueError, match="y must hold 0 and 1") as raised:
        model.fit_decoder(Shards(bad), None, "per_label_threshold")
    assert raised.value.__notes__ == ["This happened in first."]
    with pytest.raises(ValueError, match="y is NaN in all of them"):
        model.fit_decoder(lazy(X), lazy(HIDDEN * np.nan), "per_label_threshold")
    with pytest.raises(ValueError, match="sample_weight must be non-negative"):
        model.fit_decoder(lazy(X), lazy(Y), sample_weight=lazy(-WEIGHT - 1))
    monkeypatch.setattr(partitions, "MOST_GATHERED", 100)
    with pytest.raises(ValueError, match="a threshold of all labels is chosen among"):
        model.fit_decoder(lazy(X), lazy(Y), "global_threshold")
    with pytest.raises(ValueError, match="a threshold of all labels is chosen among 1.6e[+]03"):
        model.fit_decoder(lazy(X), lazy(np.where(np.arange(4) == 2, np.nan, Y)), "proportion")
    monkeypatch.setattr(partitions, "MOST_GATHERED", 2 * N - 1)
    with pytest.raises(ValueError, match="of 400 rows are 8e[+]02 numbers"):
        model.fit_decoder(lazy(X), lazy(Y), "per_label_threshold")
    for decoder, calibration in (
        ("cardinality", None),
        (Constant(), None),
        ("global_threshold", "temperature"),
        ("risk_control", "sigmoid"),
    ):
        with pytest.raises(ValueError, match="of 400 rows are 3.6e[+]03 numbers"):
            model.fit_decoder(lazy(X), lazy(Y), decoder, calibration)
    macro = GlobalThreshold(average="macro")
    with pytest.raises(ValueError, match="of 400 rows are 3.6e[+]03 numbers"):
        model.fit_decoder(lazy(X), lazy(Y), macro)
    with pytest.raises(ValueError, match="more than 8e[+]02 numbers, .* already in first"):
        model.fit_decoder(Shards(), None, "cardinality")
    assert model.decoder_ is before
