"""Kinds of X: missing values, columns of categories, and what is refused."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from torch import nn

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._data.features import InputCodec
from sklearn_mlloss._training import net as net_file
from sklearn_mlloss._training.fast.loop import FusedTraining
from sklearn_mlloss.networks import (
    ENCODINGS,
    IdentityEncoding,
    PiecewiseLinearEncoding,
    StandardEncoding,
)
from sklearn_mlloss.networks.layers import OneHot

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
]

NAMES = sorted(ENCODINGS)
NAN = np.nan
rng = np.random.default_rng(0)
N = 150
NUMBERS = rng.normal(size=(N, 4)) * [1, 50, 1, 1] + [0, 300, 0, 0]
COLOR = rng.choice(["red", "green", "blue"], N)
SIZE = rng.choice(["S", "M", "L", "XL"], N)
Y = np.column_stack([COLOR == "red", (NUMBERS[:, 0] > 0) & (SIZE != "S"), NUMBERS[:, 1] > 310])
Y = Y.astype(int)
HOLES = NUMBERS.copy()
HOLES[::5, 1] = HOLES[2::7, 3] = NAN


def make(**params):
    defaults = dict(hidden_layer_sizes=(8,), max_epochs=4, batch_size=32, learning_rate=0.02,
                    random_state=0, device="cpu", early_stopping=False)  # fmt: skip
    return MultiLabelNetClassifier(**{**defaults, **params})


def keeping_inputs(**params):
    """Return one that leaves no inputs out: their number changes nothing that is drawn."""
    return make(input_dropout=0, **params)


def mixed(holes=True):
    """Return a frame: a number, a category, a number with holes, a category with holes."""
    size = np.where(np.arange(N) % 6 == 1, None, SIZE) if holes else SIZE
    return pd.DataFrame(
        {
            "weight": NUMBERS[:, 0],
            "color": pd.Categorical(COLOR),
            "price": HOLES[:, 1] if holes else NUMBERS[:, 1],
            "size": pd.Categorical(size, categories=["XL", "L", "M", "S"]),
        }
    )


# ------------------------------------------------------------------ missing values

# Values that replace NaN, in terms of scikit-learn; 0 after a quantile encoding.
TYPICAL = {"standard": "mean", "robust": "median", "piecewise_linear": "median"}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(TYPICAL))
def test_missing_values_train_as_an_imputer_with_indicator_before_the_first_layer(name, precision):
    net = keeping_inputs(encoding=name, precision=precision).fit(HOLES, Y)
    rows = HOLES.astype(precision)
    imputer = SimpleImputer(strategy=TYPICAL[name], add_indicator=True).fit(rows)
    plain = ENCODINGS[name](missing_indicator=False).fit(rows)

    def inputs(X):
        filled = imputer.transform(X.astype(precision)).astype(precision)
        encoded = plain.module(getattr(torch, precision))(torch.tensor(filled[:, :4]))
        return np.hstack([encoded.numpy(), filled[:, 4:]])

    expected = keeping_inputs(encoding=None, precision=precision).fit(inputs(HOLES), Y)
    tolerance = 1e-4 if precision == "float32" else 1e-9
    np.testing.assert_allclose(
        net.predict_proba(HOLES), expected.predict_proba(inputs(HOLES)), rtol=tolerance
    )
    # Columns that had all values in training, in a new row.
    new = HOLES[:7].copy()
    new[:, [0, 2]] = NAN
    np.testing.assert_allclose(
        net.predict_proba(new), expected.predict_proba(inputs(new)), rtol=tolerance
    )


@pytest.mark.parametrize("encoding", ["auto", *NAMES, IdentityEncoding(), StandardEncoding(False)])
@pytest.mark.parametrize("seen", [True, False])
def test_missing_values_never_fail_where_they_are_taken(encoding, seen):
    X = HOLES if seen else NUMBERS
    net = make(encoding=encoding, early_stopping=True, decoder="global_threshold").fit(X, Y)
    for rows in (HOLES, np.full((3, 4), NAN)):
        assert np.isfinite(net.predict_proba(rows)).all()
    net.partial_fit(HOLES, Y).fit_decoder(HOLES, Y)
    assert get_tags(net).input_tags.allow_nan
    width = net.net_.module_.layers[0].in_features
    without = make(encoding=encoding).fit(NUMBERS, Y).net_.module_.layers[0].in_features
    indicators = 0 if isinstance(encoding, StandardEncoding) else 2 * seen
    assert width == without + indicators


def test_the_network_learns_that_a_value_is_missing():
    X = rng.normal(size=(400, 2))
    missing = rng.random(400) < 0.3
    X[missing, 0] = NAN
    net = make(max_epochs=40, dropout=0).fit(X, missing[:, None].astype(int))
    assert net.score(X, missing[:, None].astype(int)) == 1


ODD = {
    "all missing": np.full(N, NAN),
    "99% missing": np.where(np.arange(N) % 100 == 7, 3.0, NAN),
    "one value": np.where(np.arange(N) == 7, 3.0, NAN),
    "constant or missing": np.where(np.arange(N) % 3, 3.0, NAN),
    "binary": np.where(np.arange(N) % 3, rng.integers(0, 2, N), NAN),
    "huge": np.where(np.arange(N) % 3, 1e30 * NUMBERS[:, 0], NAN),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("encoding", ["auto", *NAMES])
@pytest.mark.parametrize("n", [12, N])
def test_odd_columns(kind, encoding, n):
    X = np.column_stack([ODD[kind][:n], HOLES[:n, 0]])
    for rows in (X, X[:, :1]):
        with warnings.catch_warnings():
            # Of a few rows, labels may have one value.
            warnings.filterwarnings("ignore", ".*label\\(s\\) have only")
            net = make(encoding=encoding).fit(rows, Y[:n])
        other = np.vstack([rows, np.where(np.isnan(rows), 5.0, NAN)])
        assert np.isfinite(net.predict_proba(other)).all()
        assert net.encoding_ is not None


def test_binary_columns_with_holes_are_inputs_of_0_and_1():
    X = np.where(HOLES > 0, 1.0, 0)
    X[np.isnan(HOLES)] = NAN
    net = make().fit(X, Y)
    reason = (
        "all values are 0, 1 or missing, 1 of 4 columns are coded as 1 - x, 1 of 4 are constant"
    )
    assert net.encoding_reason_ == reason
    encoded = net.net_.module_.encoding(torch.tensor(X, dtype=torch.float32)).numpy()
    varying = np.ptp(np.nan_to_num(X, nan=1), axis=0) > 0
    most = (np.nanmean(X, axis=0) > 0.5) * 1.0
    filled = np.where(np.isnan(X), most, X)
    expected = np.where(most > 0, 1 - filled, filled)[:, varying]
    share = np.nanmean(np.where(most > 0, 1 - X, X), axis=0)[varying]
    expected = np.hstack([expected - share, np.isnan(X)[:, [1, 3]]])
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_binary_columns_take_missing_values_when_they_come():
    X = (NUMBERS > 0) * 1.0
    net = make().fit(X, Y)
    assert type(net.encoding_) is IdentityEncoding
    centered = np.where(X.mean(axis=0) > 0.5, 1 - X, X)
    centered -= centered.mean(axis=0)
    expected = make(encoding=None).fit(centered, Y).predict_proba(centered)
    np.testing.assert_allclose(net.predict_proba(X), expected, rtol=1e-4)
    mean = np.where(np.isnan(HOLES), X.mean(axis=0), X)
    X[np.isnan(HOLES)] = NAN
    np.testing.assert_allclose(net.predict_proba(X), net.predict_proba(mean), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 9, 60])
def test_first_rows_of_partial_fit_with_holes(n):
    X = HOLES - [0, 300, 0, 0]
    net = make().partial_fit(X[:n], Y[:n]) if n > 1 else make()
    if n == 1:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*label\\(s\\) have only")
            net.partial_fit(X[:1], Y[:1])
    for _ in range(3):
        net.partial_fit(X, Y)
    assert type(net.encoding_) is (PiecewiseLinearEncoding if n == 60 else IdentityEncoding)
    proba = net.predict_proba(X)
    assert np.isfinite(proba).all() and np.ptp(proba, axis=0).min() > 0.01


@pytest.mark.parametrize("frame", [False, True])
def test_no_encoding_refuses_missing_values_by_name(frame):
    X = pd.DataFrame(HOLES, columns=list("abcd")) if frame else HOLES
    names = "b, d" if frame else "1, 3"
    words = f"(?s)NaN in 2 column\\(s\\): {names}\\. encoding=None .*encoding='auto'.*SimpleImputer"
    with pytest.raises(ValueError, match=words):
        make(encoding=None).fit(X, Y)
    net = make(encoding=None).fit(X.fillna(0) if frame else NUMBERS, Y)
    with pytest.raises(ValueError, match=words):
        net.predict(X)
    with pytest.raises(ValueError, match=words):
        net.partial_fit(X, Y)
    assert not get_tags(net).input_tags.allow_nan
    # Fitted attributes count, not the current parameters.
    words = f"{names}\\. The first fit was with encoding=None, .*'standard' was set later: refit"
    net.set_params(encoding="standard", warm_start=True)
    for use in (net.predict, lambda X: net.fit(X, Y)):
        with pytest.raises(ValueError, match=words):
            use(X)


def test_after_sparse_rows_there_is_no_place_for_missing_values():
    net = make(encoding="standard").fit(sp.csr_array(np.maximum(NUMBERS, 0)), Y)
    with pytest.raises(ValueError, match="training on a sparse X left no place"):
        net.predict(HOLES)


def test_a_transformer_may_fill_in():
    imputer = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    net = make(encoding=imputer, early_stopping=True).fit(HOLES, Y)
    rows = HOLES.astype(np.float32)
    train = net.encoding_.transform(rows)
    assert train.shape == (N, 6) and np.isfinite(net.predict_proba(HOLES)).all()
    net.predict_proba(np.full((2, 4), NAN))
    with pytest.raises(ValueError, match="must return finite numbers, got NaN"):
        make(encoding=StandardScaler()).fit(HOLES, Y)
    # The tags of scikit-learn's Pipeline do not allow it, either.
    assert not get_tags(net).input_tags.allow_nan and not get_tags(imputer).input_tags.allow_nan


@pytest.mark.parametrize("kind", ["Int64", "Float64", "object"])
def test_frames_with_their_own_kinds_of_missing_values(kind):
    rounded = np.round(HOLES)
    frame = pd.DataFrame(rounded, columns=list("abcd")).astype(kind)
    if kind == "object":
        frame = frame.where(frame.notna(), None)
    expected = make().fit(rounded, Y).predict_proba(rounded)
    np.testing.assert_array_equal(make().fit(frame, Y).predict_proba(frame), expected)


def test_lost_digits_are_seen_beside_missing_values():
    far = np.column_stack([HOLES, np.where(np.arange(N) % 4, 1.7e9 + np.arange(N), NAN)])
    with pytest.warns(UserWarning, match="1 column.*far from 0.*: 4") as caught:
        make().fit(far, Y)
    assert caught[0].filename == __file__
    frame = mixed().assign(time=far[:, 4])
    with pytest.warns(UserWarning, match="1 column.*far from 0.*: time"):
        make().fit(frame, Y)


# ------------------------------------------------------------------ categories


def hot(frame, like):
    """Return, by pandas and scikit-learn, the inputs of a network with ``encoding="standard"``."""
    numbers, categories = ["weight", "price"], ["color", "size"]
    imputer = SimpleImputer(add_indicator=True).fit(like[numbers].to_numpy(np.float32))
    filled = imputer.transform(frame[numbers].to_numpy(np.float32))
    scaler = StandardScaler().fit(like[numbers].to_numpy(np.float32))
    parts = [scaler.transform(filled[:, :2]), filled[:, 2:]]
    for name in categories:
        levels = sorted(like[name].dropna().unique())
        column = frame[name].astype(object).where(frame[name].isin(levels), None)
        parts.append(pd.get_dummies(pd.Categorical(column, categories=levels)))
        if like[name].isna().any():
            parts.append(frame[[name]].isna())
    return np.hstack([np.asarray(part, dtype=np.float32) for part in parts])


def test_a_mixed_table_trains_as_its_one_hot_columns():
    frame = mixed()
    net = keeping_inputs(encoding="standard").fit(frame, Y)
    expected = keeping_inputs(encoding=None).fit(hot(frame, frame), Y)
    assert net.net_.module_.layers[0].in_features == 2 + 1 + 3 + 4 + 1
    np.testing.assert_allclose(
        net.predict_proba(frame), expected.predict_proba(hot(frame, frame)), rtol=1e-4
    )
    # Categories that were never seen, or missing where none was.
    new = frame[:6].copy()
    new["color"] = pd.Categorical(["red", "pink", None, "green", "black", "blue"])
    new["size"] = pd.Categorical(["S", "XXL", "M", None, None, "L"])
    np.testing.assert_allclose(
        net.predict_proba(new), expected.predict_proba(hot(new, frame)), rtol=1e-4
    )


@pytest.mark.parametrize("encoding", ["auto", None, *NAMES, PiecewiseLinearEncoding(3)])
def test_categories_with_all_encodings_of_the_numbers(encoding):
    frame = mixed()
    if encoding is None:
        frame["price"] = NUMBERS[:, 1]
    net = make(encoding=encoding, early_stopping=True).fit(frame, Y)
    # The split depends on y only.
    alone = make(encoding=encoding, early_stopping=True).fit(frame[["weight", "price"]], Y)
    assert type(net.encoding_) is type(alone.encoding_)
    if encoding is not None:
        one, two = (each.encoding_.module().state_dict() for each in (net, alone))
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert net.encoding_reason_ == alone.encoding_reason_
    widths = [each.net_.module_.layers[0].in_features for each in (net, alone)]
    assert widths[0] == widths[1] + 3 + 4 + 1
    assert get_tags(net).input_tags.allow_nan == (encoding is not None)


def as_lists(frame):
    rows = frame.astype(object).to_numpy().tolist()
    return [[None if value is NAN or value != value else value for value in row] for row in rows]


FORMS = {
    "other levels": (
        lambda f: f.assign(size=f["size"].cat.set_categories(["S", "M", "x", "L", "XL"])),
        "from_dtype",
    ),
    "ordered": (lambda f: f.assign(size=f["size"].cat.as_ordered()), "from_dtype"),
    "names": (lambda f: f.astype({"color": object, "size": object}), ["size", "color"]),
    "strings": (lambda f: f.astype({"color": "string", "size": "string"}), [1, 3]),
    "mask": (lambda f: f.astype(object), np.array([False, True, False, True])),
    "array": (lambda f: f.astype(object).to_numpy(), (1, 3)),
    "unsigned": (lambda f: f.astype(object).to_numpy(), np.array([1, 3], dtype=np.uint8)),
    "lists": (as_lists, [1, 3]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_categories_train_the_same(form):
    convert, features = FORMS[form]
    expected = make().fit(mixed(), Y)
    data = convert(mixed())
    net = make(categorical_features=features).fit(data, Y)
    np.testing.assert_array_equal(net.predict_proba(data), expected.predict_proba(mixed()))
    assert net.is_categorical_.tolist() == [False, True, False, True]
    assert [own.tolist() for own in net.categories_] == [
        ["blue", "green", "red"], ["L", "M", "S", "XL"],
    ]  # fmt: skip
    assert net.n_features_in_ == 4


@pytest.mark.parametrize("kind", ["Categorical", "Enum"])
def test_frames_of_polars(kind):
    pl = pytest.importorskip("polars")
    frame, parts = mixed(), {}
    for name in frame:
        values = [None if pd.isna(value) else value for value in frame[name].tolist()]
        dtype = pl.Float64
        if name in ("color", "size"):
            levels = sorted(frame[name].dropna().unique())
            dtype = pl.Categorical if kind == "Categorical" else pl.Enum(levels)
        parts[name] = pl.Series(values, dtype=dtype)
    data = pl.DataFrame(parts)
    net = make().fit(data, Y)
    expected = make().fit(frame, Y).predict_proba(frame)
    np.testing.assert_array_equal(net.predict_proba(data), expected)
    assert net.feature_names_in_.tolist() == ["weight", "color", "price", "size"]
    data = data.with_columns(text=pl.Series(["a"] * N))
    with pytest.raises(ValueError, match="column 'text' of X is not numeric") as caught:
        make().fit(data, Y)
    # The advice of the message works.
    remedy = str(caught.value).split("make it a category by ")[1].split(", or")[0]
    assert make().fit(eval(remedy, {"X": data, "pl": pl}), Y).is_categorical_[-1]


def test_a_mask_is_not_kept_by_reference():
    mask = np.array([False, True, False, True])
    net = make(categorical_features=mask).fit(mixed(), Y)
    expected = net.predict_proba(mixed())
    mask[:] = [True, False, False, False]
    np.testing.assert_array_equal(net.predict_proba(mixed()), expected)
    assert net.is_categorical_.tolist() == [False, True, False, True]


@pytest.mark.parametrize("trained, asked", [("f8", "f4"), ("f4", "f8"), ("f8", object)])
def test_fractions_are_the_same_category_in_every_precision(trained, asked):
    X = np.column_stack([NUMBERS[:, 0], rng.integers(0, 10, N) / 10])
    net = make(categorical_features=[1]).fit(X.astype(trained), Y)
    again = X.astype("f4").astype(asked)
    if asked is object:  # of both precisions, with what a sum may add
        again[:, 1] = [np.float32(v) if i % 2 else v * (1 + 1e-12) for i, v in enumerate(X[:, 1])]
    codes = net._check_X(again)[:, 1]
    np.testing.assert_array_equal(codes, np.round(10 * X[:, 1]))
    if trained == "f8":
        assert net.categories_[0].tolist() == [k / 10 for k in range(10)]


def test_whole_numbers_are_never_the_same_category():
    numbers = 2.0**40 + np.arange(N)  # float32 would have one for all of them
    net = make(categorical_features=[0]).fit(numbers[:, None], Y)
    assert net.categories_[0].tolist() == numbers.tolist()
    np.testing.assert_array_equal(net._check_X(numbers[:, None])[:, 0], np.arange(N))


def test_a_column_without_any_known_category_is_named():
    frame = mixed().assign(size=np.arange(N) % 4)
    net = make(categorical_features=["color", "size"]).fit(frame, Y)
    text = frame.assign(size=frame["size"].astype(str))
    words = "column 'size' of X has none of the categories .*'1'.* now, \\[0, 1, 2\\] then"
    for use in (net.predict, net.predict_proba, net.decision_function):
        with pytest.warns(UserWarning, match=words) as caught:
            use(text)
        assert len(caught) == 1 and caught[0].filename == __file__
    # One that is known, or none at all, is no reason to warn.
    net.predict(frame.assign(size=[3, *["?"] * (N - 1)]))
    net.predict(frame.assign(size=None))


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64, bool, "category"])
def test_numbers_as_categories(kind):
    number = rng.integers(0, 2, N) if kind is bool else rng.integers(0, 4, N) * 10 - 20
    values = number.astype(bool if kind is bool else kind if kind != "category" else np.int64)
    text = np.array([f"n{value:+03d}" for value in number + 50])
    frame = pd.DataFrame({"x": NUMBERS[:, 0], "code": values})
    if kind == "category":
        frame["code"] = frame["code"].astype("category")
        net = make().fit(frame, Y)
    else:
        net = make(categorical_features=[1]).fit(frame.to_numpy(), Y)
        frame = frame.to_numpy()
    expected = make().fit(pd.DataFrame({"x": NUMBERS[:, 0], "code": pd.Categorical(text)}), Y)
    np.testing.assert_array_equal(
        net.predict_proba(frame),
        expected.predict_proba(pd.DataFrame({"x": NUMBERS[:, 0], "code": pd.Categorical(text)})),
    )
    if kind is not bool:
        assert net.categories_[0].tolist() == sorted(set(number.tolist()))


def test_the_network_takes_rows_of_codes():
    frame = mixed()
    net = make().fit(frame, Y)
    rows = np.column_stack(
        [frame["weight"], np.searchsorted(net.categories_[0].astype(str), frame["color"]),
         frame["price"], [net.categories_[1].tolist().index(v) if isinstance(v, str) else NAN
                          for v in frame["size"]]]
    )  # fmt: skip
    rows = np.vstack([rows, [0, -1, NAN, -1]])
    more = pd.DataFrame({"weight": [0.0], "color": ["?"], "price": [NAN], "size": ["?"]})
    frame = pd.concat([frame.astype(object), more.astype(object)]).astype(
        {"weight": float, "price": float}
    )
    with torch.no_grad():
        scores = net.net_.module_.eval()(torch.tensor(rows, dtype=torch.float32)).sigmoid()
    np.testing.assert_allclose(net.predict_proba(frame), scores.numpy(), atol=1e-5)


def test_many_categories_stay_bounded():
    n = 3000
    names = np.array([f"c{i:04d}" for i in rng.integers(0, 2000, n)])
    frame = pd.DataFrame({"x": rng.normal(size=n), "id": pd.Categorical(names)})
    labels = (frame[["x"]].to_numpy() > 0).astype(int)
    net = make(max_epochs=1).fit(frame, labels)
    assert net.net_.module_.layers[0].in_features == 8 + 256
    known, counts = np.unique(names, return_counts=True)
    assert net.categories_[0].tolist() == known.tolist()
    rare = known[counts == 1][0]
    rows = pd.DataFrame({"x": [0.3] * 3, "id": pd.Categorical([rare, "new", None])})
    proba = net.predict_proba(rows)
    np.testing.assert_array_equal(proba, proba[[0, 0, 0]])


def test_only_rows_of_a_batch_are_expanded(monkeypatch):
    n, seen = 20_000, []
    forward = OneHot.forward
    monkeypatch.setattr(OneHot, "forward", lambda self, X: seen.append(len(X)) or forward(self, X))
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 250, (n, 4))])
    labels = (X[:, :1] > 0).astype(int)
    net = make(categorical_features=[1, 2, 3, 4], batch_size=256, max_epochs=1, early_stopping=True)
    net.fit(X, labels).predict(X)
    # 20 000 rows of 1008 inputs are more than what is encoded once for all epochs.
    assert max(seen) < n / 4 and sum(seen) >= 2 * n


@pytest.mark.parametrize("early_stopping", [False, True])
def test_without_autograd_the_same(monkeypatch, early_stopping):
    epochs = []

    class Counted(FusedTraining):
        def epoch(self, batches):
            epochs.append(len(batches))
            return super().epoch(batches)

    monkeypatch.setattr(net_file, "FusedTraining", Counted)
    params = dict(dropout=0, precision="float64", early_stopping=early_stopping)
    fast = make(**params).fit(mixed(), Y).predict_proba(mixed())
    assert len(epochs) == 4
    monkeypatch.setattr(net_file, "can_fuse", lambda *parts: False)
    slow = make(**params).fit(mixed(), Y).predict_proba(mixed())
    assert len(epochs) == 4
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


def test_custom_networks_get_encoded_rows():
    widths = []

    def factory(n_features, n_outputs):
        widths.append(n_features)
        return nn.Linear(n_features, n_outputs)

    net = make(module=factory, hidden_layer_sizes="auto", encoding="standard").fit(mixed(), Y)
    assert widths == [2 + 1 + 3 + 4 + 1]
    assert np.isfinite(net.predict_proba(mixed())).all()


def test_a_table_of_categories_alone():
    frame = mixed()[["color", "size"]]
    for encoding in ("auto", None, "quantile"):
        net = keeping_inputs(encoding=encoding).fit(frame, Y)
        assert net.encoding_ is None and net.encoding_reason_ == "all columns are categories"
    hot = (
        pd.get_dummies(frame.astype(object), dummy_na=True)
        .drop(columns="color_nan")
        .to_numpy(np.float32)
    )
    expected = keeping_inputs(encoding=None).fit(hot, Y).predict_proba(hot)
    np.testing.assert_allclose(net.predict_proba(frame), expected, rtol=1e-5)


def test_columns_that_never_change_contribute_nothing():
    frame = mixed(holes=False).assign(same=pd.Categorical(["x"] * N))
    frame["gone"] = pd.Categorical([None] * N, categories=["a"])
    net = make().fit(frame, Y)
    expected = make().fit(mixed(holes=False), Y).predict_proba(mixed(holes=False))
    np.testing.assert_array_equal(net.predict_proba(frame), expected)
    frame["same"], frame["gone"] = pd.Categorical(["y"] * N), pd.Categorical(["a"] * N)
    with pytest.warns(UserWarning, match="none of the categories") as caught:
        np.testing.assert_array_equal(net.predict_proba(frame), expected)
    assert [str(warning.message).split()[1] for warning in caught] == ["'same'", "'gone'"]


# ------------------------------------------------------------------ which rows are learned from


def test_categories_of_the_test_fold_are_unknown():
    frame = mixed(holes=False)
    folds = list(KFold(3).split(frame))
    only = folds[0][1][:5]
    frame["color"] = frame["color"].astype(object)
    frame.loc[only, "color"] = "violet"
    frame["color"] = frame["color"].astype("category")
    net = make(cv=folds, store_cv_results=True).fit(frame, Y)
    assert net.categories_[0].tolist() == ["blue", "green", "red", "violet"]
    widths = [part.module_.layers[0].in_features for part in net.nets_]
    assert widths[1] == widths[2] == widths[0] + 1
    first = net.nets_[0]
    codes = net._check_X(frame.iloc[only])
    np.testing.assert_array_equal(net.oof_scores_[only], first.scores(codes, "cpu")[0])
    codes[:, 1] = -1
    np.testing.assert_array_equal(net.oof_scores_[only], first.scores(codes, "cpu")[0])
    # A search slices the table before, with the same result.
    search = LossDecoderSearchCV(
        make(), losses=["bce"], decoders=["threshold"], cv=folds, scoring="f1_macro",
        random_state=0, store_cv_results=True, error_score="raise",
    ).fit(frame, Y)  # fmt: skip
    assert search.predict(frame).shape == Y.shape and get_tags(search).input_tags.allow_nan
    alone = make().fit(frame.iloc[folds[0][0]], Y[folds[0][0]])
    np.testing.assert_allclose(
        search.oof_scores_[0][folds[0][1]], alone.predict_proba(frame.iloc[folds[0][1]]), rtol=1e-6
    )
    assert alone.categories_[0].tolist() == ["blue", "green", "red"]


@pytest.mark.parametrize("left_out", ["weight", "target"])
def test_rows_that_are_left_out_teach_no_category(left_out):
    frame = mixed()
    frame["color"] = frame["color"].cat.add_categories("violet")
    rows = np.arange(N) % 10 == 3
    frame.loc[rows, "color"] = "violet"
    weight, targets = None, Y.astype(float)
    if left_out == "weight":
        weight = (~rows).astype(float)
    else:
        targets[rows] = NAN
    net = make().fit(frame, targets, weight)
    expected = make().fit(frame[~rows], Y[~rows])
    np.testing.assert_array_equal(net.predict_proba(frame), expected.predict_proba(frame))


def test_weights_count_categories():
    frame, weight = mixed(), rng.integers(0, 4, N)
    frame["id"] = pd.Categorical(rng.integers(0, 100, N) // 2)
    params = dict(dropout=0, batch_size=1000, precision="float64", max_epochs=20)
    times = np.repeat(np.arange(N), weight)
    one = make(**params).fit(frame, Y, weight)
    many = make(**params).fit(frame.iloc[times], Y[times])
    np.testing.assert_allclose(one.predict_proba(frame), many.predict_proba(frame), rtol=1e-8)


def test_going_on_keeps_the_first_categories():
    frame = mixed()
    net = make(warm_start=True).fit(frame[:90], Y[:90])
    kept = net.categories_
    later = frame.assign(color=pd.Categorical(["violet", *COLOR[1:]]))
    net.fit(later, Y)
    net.set_params(categorical_features=None).partial_fit(later, Y)
    assert net.categories_ is kept and net.is_categorical_.tolist() == [False, True, False, True]
    assert np.isfinite(net.predict_proba(later)).all()
    two = make().partial_fit(frame[:80], Y[:80]).partial_fit(later, Y)
    assert two.categories_[0].tolist() == ["blue", "green", "red"]


@pytest.mark.parametrize(
    "features, asks",
    [
        (None, "no column of X, but for \\['color', 'size'\\] in the first fit"),
        (["size"], "\\['size'\\] of X, but for \\['color', 'size'\\] in the first fit"),
        (["size", "color", "price"], "\\['color', 'price', 'size'\\] of X, but for"),
    ],
)
def test_a_warm_start_with_other_columns_of_categories_is_refused(features, asks):
    net = make(warm_start=True).fit(mixed(), Y)
    expected = net.predict_proba(mixed())
    net.set_params(categorical_features=features)
    with pytest.raises(ValueError, match=f"(?s)categorical_features=.*{asks}.*warm_start=False"):
        net.fit(mixed(), Y)
    np.testing.assert_array_equal(net.predict_proba(mixed()), expected)
    net.set_params(warm_start=False, categorical_features=["color", "size"]).fit(mixed(), Y)


def test_a_warm_start_may_name_the_same_columns_in_another_way():
    net = make(warm_start=True).fit(mixed(), Y)
    for n, features in enumerate(([3, 1], ["color", "size"], [False, True, False, True]), 2):
        net.set_params(categorical_features=features).fit(mixed(), Y)
        assert net.n_iter_ == 4 * n
    with pytest.raises(ValueError, match="feature names"):
        net.fit(mixed()[["color", "weight", "price", "size"]], Y)
    plain = make(warm_start=True, categorical_features=None).fit(NUMBERS, Y)
    plain.set_params(categorical_features=[False] * 4).fit(NUMBERS, Y)
    with pytest.raises(ValueError, match="stands for \\[2\\] of X, but for no column in the first"):
        plain.set_params(categorical_features=[2]).fit(NUMBERS, Y)


def test_pickles_clones_and_memory(tmp_path):
    frame = mixed()
    net = make(categorical_features=[1, 3], memory=str(tmp_path)).fit(frame.astype(object), Y)
    proba = net.predict_proba(frame)
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(loaded.predict_proba(frame), proba)
    np.testing.assert_array_equal(clone(net).fit(frame, Y).predict_proba(frame), proba)
    # The same numbers as categories, and not.
    codes = np.column_stack([NUMBERS[:, 0], np.arange(N) % 3])
    for features in (None, [1]):
        fitted = make(categorical_features=features, memory=str(tmp_path)).fit(codes, Y)
        plain = make(categorical_features=features).fit(codes, Y)
        np.testing.assert_array_equal(fitted.predict_proba(codes), plain.predict_proba(codes))


def test_grid_search_with_a_frame():
    grid = {"encoding": ["standard", "auto"], "categorical_features": ["from_dtype", ["size"]]}
    frame = mixed().assign(color=mixed()["color"].cat.codes)
    search = GridSearchCV(make(), grid, cv=2, scoring="f1_macro", error_score="raise")
    assert np.isfinite(search.fit(frame, Y).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "features",
    ["from_dtype", None, [], [1], (1, 3), [True, False, True, False], [False] * 4, ["size"],
     np.array(["color", "size"]), pd.Index(["color"]), [4], [-1], [True], ["none"], [1.5],
     ["size", 1], "size", 3],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("framed", [True, False])
def test_columns_are_chosen_as_by_gradient_boosting(features, framed):
    frame = mixed()
    if not framed:
        frame = frame.assign(color=frame["color"].cat.codes, size=frame["size"].cat.codes)
        frame = frame.to_numpy()
    trees = HistGradientBoostingClassifier(max_iter=1, categorical_features=features)
    net = make(categorical_features=features, max_epochs=1)
    try:
        expected = trees.fit(frame, Y[:, 0]).is_categorical_
    except (ValueError, TypeError):
        with pytest.raises((ValueError, TypeError)):
            net.fit(frame, Y)
        return
    found = net.fit(frame, Y).is_categorical_
    assert (found is None) == (expected is None)
    if found is not None:
        np.testing.assert_array_equal(found, expected)


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize("kind", [object, "string", "category"])
def test_columns_of_text_are_named_with_a_remedy(kind):
    frame = pd.DataFrame({"a": NUMBERS[:, 0], "b": SIZE}).astype({"b": kind})
    features = None if kind == "category" else "from_dtype"
    remedy = {"category": "categorical_features='from_dtype'"}.get(kind, "astype\\('category'\\)")
    net = make(categorical_features=features)
    with pytest.raises(ValueError, match=f"column 'b' of X is not numeric .*{remedy}"):
        net.fit(frame, Y)
    assert not [name for name in vars(net) if name.endswith("_")]
    with pytest.raises(ValueError, match="column 'b' of X is not numeric"):
        make(categorical_features=["c"]).fit(frame.assign(c=COLOR).astype({"b": object}), Y)
    array = frame.astype(object).to_numpy()
    with pytest.raises(ValueError, match="column 1 of X is not numeric .*categorical_features"):
        make().fit(array, Y)
    with pytest.raises(ValueError, match="column 2 of X is not numeric"):
        make(categorical_features=[1]).fit(np.column_stack([array, SIZE]), Y)
    fitted = make().fit(NUMBERS[:, :2], Y)
    with pytest.raises(ValueError, match="column 1 of X is not numeric"):
        fitted.predict(array)


def test_columns_of_lists_are_named_with_a_remedy():
    lists = pd.DataFrame({"a": NUMBERS[:, 0], "b": [[1, 2]] * len(NUMBERS)})
    with pytest.raises(ValueError, match="column 'b' of X .*give each of its values a column"):
        make().fit(lists, Y)


DAYS = np.arange(N).astype("M8[D]")
TIMES = {
    "dates": pd.Series(DAYS),
    "with a zone": pd.Series(DAYS).dt.tz_localize("UTC"),
    "durations": pd.Series(np.arange(N).astype("m8[s]")),
}


def refuses_times(X, name, features="from_dtype"):
    with pytest.raises(ValueError, match=f"column {name} of X is not numeric \\(its values are "):
        make(categorical_features=features).fit(X, Y)


@pytest.mark.parametrize("kind", TIMES)
def test_times_are_no_numbers(kind):
    times = TIMES[kind]
    refuses_times(pd.DataFrame({"day": times}), "'day'")
    refuses_times(pd.DataFrame({"x": NUMBERS[:, 0], "day": times}), "'day'")
    refuses_times(mixed()[["color"]].assign(day=times, other=times), "'day'")
    refuses_times(pd.DataFrame({"color": COLOR, "day": times}), "'day'", ["color"])
    net = make().fit(pd.DataFrame({"day": NUMBERS[:, 0]}), Y)
    with pytest.raises(ValueError, match="column 'day' of X is not numeric"):
        net.predict(pd.DataFrame({"day": times}))


@pytest.mark.parametrize(
    "times, remedy",
    [
        (pd.Series(DAYS), r"X\['day'\].dt.month, make it"),
        (TIMES["durations"], r"X\['day'\].dt.total_seconds\(\), make"),
        (pl.Series(DAYS), r"pl.col\('day'\).dt.month\(\), or"),
    ],
)
def test_times_may_be_replaced_by_numbers(times, remedy):
    frame = type(times.to_frame())({"day": times})
    with pytest.raises(ValueError, match=f"put numbers in its place, such as {remedy}"):
        make().fit(frame, Y)


@pytest.mark.parametrize("call", ["fit", "predict"])
def test_a_series_is_no_row(call):
    frame = pd.DataFrame(NUMBERS[:, :2], columns=["a", "b"])
    net = make().fit(frame, Y)
    with pytest.raises(ValueError, match=r"X: Expected 2D .* Series .*frame.iloc\[\[i\]\]"):
        net.fit(frame["a"], Y) if call == "fit" else net.predict(frame.iloc[0])


@pytest.mark.parametrize("dtype", ["M8[D]", "M8[ns]", "m8[s]"])
def test_arrays_of_times_are_no_numbers(dtype):
    X = np.arange(2 * N).astype(dtype).reshape(N, 2)
    refuses_times(X, "0")
    refuses_times(X, "1", [0])
    with pytest.raises(ValueError, match="Expected 2D array"):
        make().fit(X[:, 0], Y)


@pytest.mark.parametrize("kind", ["Date", "Datetime", "Duration"])
def test_times_of_polars_are_no_numbers(kind):
    pl = pytest.importorskip("polars")
    day = pl.Series(np.arange(N)).cast(getattr(pl, kind))
    refuses_times(pl.DataFrame({"day": day}), "'day'")
    refuses_times(pl.DataFrame({"x": NUMBERS[:, 0], "day": day}), "'day'")
    net = make(categorical_features=["day"]).fit(pl.DataFrame({"day": day}), Y)
    np.testing.assert_array_equal(net._check_X(pl.DataFrame({"day": day}))[:, 0], np.arange(N))


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
def test_dates_may_be_categories_in_any_unit(unit):
    frame = pd.DataFrame({"x": NUMBERS[:, 0], "day": DAYS})
    frame.loc[:2, "day"] = pd.NaT
    net = make(categorical_features=["day"]).fit(frame, Y)
    expected = [NAN] * 3 + list(range(N - 3))
    for table in (
        frame,
        frame.assign(day=frame["day"].astype(f"M8[{'s' if unit == 'D' else unit}]")),
    ):
        np.testing.assert_array_equal(net._check_X(table)[:, 1], expected)
    array = frame[["day"]].to_numpy().astype(f"M8[{unit}]")
    net = make(categorical_features=[0]).fit(array, Y)
    np.testing.assert_array_equal(net._check_X(array)[:, 0], expected)
    np.testing.assert_array_equal(net._check_X(array.astype("M8[us]"))[:, 0], expected)


def spoiled(column):
    X = NUMBERS.copy()
    X[3, column] = np.inf
    return X


@pytest.mark.parametrize(
    "features, X, error, words",
    [
        ([0], sp.csr_array(NUMBERS), ValueError, "categorical_features=\\[0\\] needs a dense X"),
        (["a"], NUMBERS, ValueError, "holds names, but X has none"),
        (["a", "x"], pd.DataFrame(NUMBERS, columns=list("abcd")), ValueError, "not: \\['x'\\]"),
        ([4], NUMBERS, ValueError, "must be in \\[0, n_features - 1\\] = \\[0, 3\\]"),
        ([True], NUMBERS, ValueError, "shape \\(n_features,\\) = \\(4,\\), got \\(1,\\)"),
        ([0], np.array([[{}, 1]] * N), TypeError, "column 0 of X has .*unhashable type: 'dict'"),
        ([0], spoiled(0), ValueError, "column 0 of X contains infinity"),
        (
            [0],
            np.array([[np.float32(np.inf)]] * N, dtype=object),
            ValueError,
            "column 0 of X contains infinity",
        ),
        ([1], spoiled(1), ValueError, "column 1 of X contains infinity"),
        ([0], NUMBERS[:, 0], ValueError, "Expected 2D array"),
        ([0], np.zeros((0, 2)), ValueError, "0 sample"),
    ],
)
def test_refused_categories(features, X, error, words):
    net = make(categorical_features=features)
    with pytest.raises(error, match=words):
        net.fit(X, Y)
    assert not [name for name in vars(net) if name.endswith("_")]


def test_categories_do_not_go_with_a_transformer():
    with pytest.raises(ValueError, match="columns of categories.*StandardScaler.*Pipeline"):
        make(encoding=StandardScaler()).fit(mixed(), Y)
    make(encoding=StandardScaler()).fit(mixed()[["weight"]], Y)


def test_rows_to_predict_must_have_the_same_columns():
    net = make().fit(mixed(), Y)
    with pytest.raises(ValueError, match="feature names"):
        net.predict(mixed()[["color", "weight", "price", "size"]])
    with pytest.raises(ValueError, match="3 features"):
        make(categorical_features=[1]).fit(NUMBERS, Y).predict(NUMBERS[:, :3])
    with pytest.raises(ValueError, match="X is sparse, but training was on columns of categories"):
        make(categorical_features=[1]).fit(NUMBERS, Y).predict(sp.csr_array(NUMBERS))
    with pytest.raises(ValueError, match="0 sample"):
        make().fit(mixed()[["size"]], Y).predict(mixed()[["size"]][:0])
    assert not get_tags(make(categorical_features=[1])).input_tags.sparse


# ------------------------------------------------------------------ odd tables

LEVELS = st.one_of(st.sampled_from(["a", "b", "", "nan"]), st.integers(-1, 2), st.booleans(),
                   st.none(), st.just(NAN), st.floats(-2, 2), st.just(pd.NA), st.just(pd.NaT),
                   st.tuples(st.integers(0, 1)))  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    first=st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=15),
    later=st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
def test_codes_are_places_among_the_categories(first, later, seed):
    def table(rows):
        array = np.empty((len(rows), 2), dtype=object)
        for i, row in enumerate(rows):
            array[i, 0], array[i, 1] = row
        return array

    estimator = MultiLabelNetClassifier(categorical_features=[0, 1])
    estimator._dtype = np.float32
    codec = InputCodec("auto", [0, 1])
    X = table(first)
    found = codec.fit_transform(estimator, X)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*none of the categories")
        new = codec.transform(estimator, table(later))

    def same(value):
        fraction = isinstance(value, float) and value != int(value)
        return float(np.float32(value)) if fraction else value

    for j in range(2):
        known = list(map(same, codec.categories_[j]))
        assert len(set(known)) == len(known)
        for rows, codes in ((first, found), (later, new)):
            for row, code in zip(rows, codes[:, j], strict=True):
                if pd.isna(row[j]) is True:
                    assert np.isnan(code)
                elif same(row[j]) in known:
                    assert known[int(code)] == same(row[j])
                else:
                    assert code == -1 and rows is later
    # The order of rows is no matter.
    other = InputCodec("auto", [0, 1])
    order = np.random.default_rng(seed).permutation(len(X))
    np.testing.assert_array_equal(other.fit_transform(estimator, X[order]), found[order])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_mixed_table_on_a_gpu():
    params = dict(dropout=0, precision="float64", early_stopping=True)
    there, here = (make(device=device, **params).fit(mixed(), Y) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(there.predict_proba(mixed()), here.predict_proba(mixed()), rtol=1e-6)
