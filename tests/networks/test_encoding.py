"""Encodings of numeric inputs."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from sklearn_mlloss._data.rows import RowView
from sklearn_mlloss.networks import (
    ENCODINGS,
    MLP,
    Encoding,
    IdentityEncoding,
    PiecewiseLinearEncoding,
    QuantileEncoding,
    RobustEncoding,
    StandardEncoding,
    choice,
    choose_encoding,
    columns,
    get_encoding,
    layers,
)

NAMES = sorted(ENCODINGS)
NAN = np.nan


def encode(encoding, X, dtype=torch.float64):
    return encoding.module(dtype)(torch.tensor(X, dtype=dtype)).numpy()


def table(n=200, seed=0):
    """Return columns: normal, heavy tails, far from 0, few values, binary, constant."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    X[:, 1] = np.exp(3 * X[:, 1])
    X[:, 2] += 1000
    X[:, 3] = rng.integers(-2, 3, n)
    X[:, 4] = X[:, 4] > 0.8
    X[:, 5] = 7
    return X


def with_nan(X):
    X = X.copy()
    X[::7, 0] = X[3::5, 3] = NAN
    return X


# --- values -------------------------------------------------------------------------------------


def test_standard_is_the_scaler_of_sklearn():
    X = with_nan(table())
    expected = StandardScaler().fit_transform(X)
    encoded = encode(StandardEncoding().fit(X), X)
    np.testing.assert_allclose(encoded[:, :6], np.nan_to_num(expected))


def test_standard_of_sparse_rows_only_scales():
    X = sp.random(50, 4, 0.3, format="csr", random_state=0)
    expected = StandardScaler(with_mean=False).fit_transform(X).toarray()
    np.testing.assert_allclose(encode(StandardEncoding().fit(X), X.toarray()), expected)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e30])
def test_standard_of_sparse_rows_of_any_size(size):
    X = sp.random(50, 4, 0.3, format="csr", random_state=0).astype(np.float32)
    expected = encode(StandardEncoding().fit(X), X.toarray())
    X *= np.float32(size)
    encoded = encode(StandardEncoding().fit(X), X.toarray())
    np.testing.assert_allclose(encoded, expected, rtol=1e-5)


def test_standard_keeps_the_variance_of_columns_far_from_0():
    X = 1e6 + np.random.default_rng(0).integers(0, 3, (500, 1)).astype(np.float32)
    encoding = StandardEncoding().fit(X)
    np.testing.assert_allclose(1 / encoding.factor_, X.astype(np.float64).std(axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_standard_of_weighted_sparse_rows_far_from_0(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([1e9 + rng.normal(size=49), np.full(49, 1e9), rng.normal(size=49)])
    weight = rng.random(49)
    dense = StandardEncoding().fit(X, sample_weight=weight)
    sparse = StandardEncoding().fit(sp.csr_array(X), sample_weight=weight)
    np.testing.assert_allclose(sparse.factor_, dense.factor_, rtol=1e-6)


def test_robust_is_a_robust_scaler_and_a_smooth_clip():
    # Of 201 rows, quartiles by interpolation are rows.
    X = with_nan(table(201))[:, 1:3]
    z = RobustScaler(unit_variance=True).fit_transform(X)
    expected = np.nan_to_num(z / np.sqrt(1 + (z / 3) ** 2))
    np.testing.assert_allclose(encode(RobustEncoding().fit(X), X), expected, atol=1e-12)


def test_robust_takes_half_the_range_where_most_values_are_the_same():
    X = np.array([[0.0], [0], [0], [0], [0], [0], [0], [4]])
    z = np.array([[0.0], [2]])
    expected = z / np.sqrt(1 + (z / 3) ** 2)
    np.testing.assert_allclose(encode(RobustEncoding().fit(X), [[0], [4]]), expected)


@pytest.mark.parametrize("sparse", [False, True])
def test_quantile_is_the_normal_quantile_of_the_mid_rank(sparse):
    X = np.round(np.random.default_rng(0).exponential(size=(30, 3)), 1)
    X[X < 0.5] = 0
    rank = stats.rankdata(X, axis=0)
    encoding = QuantileEncoding().fit(sp.csr_array(X) if sparse else X)
    np.testing.assert_allclose(encode(encoding, X), stats.norm.ppf((rank - 0.5) / 30), atol=1e-12)


def test_quantile_is_near_that_of_sklearn_but_not_at_the_ends():
    X = table(5000)[:, :3]
    expected = QuantileTransformer(output_distribution="normal").fit_transform(X)
    encoded = encode(QuantileEncoding().fit(X), X)
    bulk = np.abs(expected) < 2
    assert np.abs(encoded - expected)[bulk].max() < 0.1
    assert np.abs(encoded - expected)[bulk].mean() < 0.02
    np.testing.assert_allclose(encoded.max(axis=0), stats.norm.ppf(1 - 0.5 / 5000))
    assert (expected.max(axis=0) > 5).all()


def test_quantile_is_linear_between_values_and_constant_beyond():
    encoding = QuantileEncoding().fit(np.array([[0.0], [1], [10]]))
    low, mid, high = encode(encoding, [[0], [1], [10]])
    X = [[-5], [0.5], [5.5], [99]]
    np.testing.assert_allclose(
        encode(encoding, X), [low, (low + mid) / 2, (mid + high) / 2, high], atol=1e-12
    )


def test_quantile_standardises_binary_columns():
    X = np.array([[0.0], [0], [0], [3]])
    expected = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(encode(QuantileEncoding().fit(X), X), expected)
    rare = np.zeros((1000, 1))
    rare[0] = 1
    assert encode(QuantileEncoding().fit(rare), [[1]]) == 5


@pytest.mark.parametrize("n_quantiles", [2, 3, 10, 100])
def test_quantile_keeps_so_many_knots_with_the_extremes(n_quantiles):
    X = table(500)
    encoding = QuantileEncoding(n_quantiles=n_quantiles).fit(X)
    for j, knots in enumerate(encoding.knots_[:5]):
        distinct = np.unique(X[:, j])
        assert len(knots) <= n_quantiles
        assert np.isin(knots, distinct).all() and (np.diff(knots) > 0).all()
        assert knots[0] == distinct[0] and knots[-1] == distinct[-1]
        assert len(distinct) > n_quantiles or len(knots) == len(distinct)


def piecewise_linear(x, edges):
    """Return the definition of the reference, for one number."""
    filled = []
    for t in range(1, len(edges)):
        e = (x - edges[t - 1]) / (edges[t] - edges[t - 1])
        if t > 1:
            e = max(e, 0)
        if t < len(edges) - 1:
            e = min(e, 1)
        filled.append(min(max(e, -1), 2))
    return filled


@pytest.mark.parametrize("n_bins", [1, 2, 5, 16])
def test_piecewise_linear_is_its_definition(n_bins):
    X = table(301)
    encoding = PiecewiseLinearEncoding(n_bins=n_bins, center=False).fit(X)
    edges = [
        np.unique(np.quantile(x, np.linspace(0, 1, n_bins + 1), method="averaged_inverted_cdf"))
        for x in X.T
    ]
    for j in (3, 4):
        if len(np.unique(X[:, j])) <= n_bins + 1:
            edges[j] = np.unique(X[:, j])
    new = table(20, seed=1) * 1.5
    expected = [
        np.concatenate([piecewise_linear(x, e) for x, e in zip(row, edges, strict=True)])
        for row in new
    ]
    encoded = encode(encoding, new)
    np.testing.assert_allclose(encoded, expected, atol=1e-9)
    assert encoding.n_outputs_ == encoded.shape[1] == sum(len(e) - 1 for e in edges)
    centered = PiecewiseLinearEncoding(n_bins=n_bins).fit(X)
    means = encode(encoding, X).mean(axis=0)
    np.testing.assert_allclose(np.concatenate(centered.means_), means, atol=1e-12)
    np.testing.assert_allclose(encode(centered, new), expected - means, atol=1e-9)
    np.testing.assert_allclose(encode(centered, X).mean(axis=0), 0, atol=1e-9)


def test_means_of_piecewise_linear_outputs_are_weighted_and_leave_nan_out():
    X = np.array([[0.0, 1], [1, np.nan], [4, 0], [4, 0]])
    encoding = PiecewiseLinearEncoding(missing_indicator=False).fit(X, sample_weight=[2, 1, 1, 0])
    np.testing.assert_allclose(np.concatenate(encoding.means_), [2 / 4, 1 / 4, 1 / 3])
    assert encoding.flipped_.tolist() == [False, True]
    # NaN is encoded like the median, here the value that becomes 0.
    np.testing.assert_allclose(encode(encoding, [[0, np.nan]]), [[-1 / 2, -1 / 4, -1 / 3]])
    with pytest.raises(TypeError, match="^center must be True or False, got 1"):
        PiecewiseLinearEncoding(center=1).fit(X)


def test_piecewise_linear_is_that_of_its_authors():
    # rtdl_num_embeddings 0.0.12: bins = compute_bins(X, 4); PiecewiseLinearEncoding(bins)(X[:5]).
    # Its float32 "x * weight + bias" loses digits in the last column, hence the tolerance. Of 21
    # rows, quarters by interpolation are rows.
    X = np.sin(np.arange(63.0) ** 2).reshape(21, 3).astype(np.float32)
    X[:, 1] = np.exp(3 * X[:, 1])
    X[:, 2] += 100
    edges = [
        [-0.99999, -0.62989, 0, 0.56631, 0.9978],
        [0.04991, 0.13393, 0.72783, 6.0821, 19.20866],
        [99.03397, 99.34987, 99.84147, 100.63695, 100.99882],
    ]
    rows = [
        [1, 1, 0, 0, 1, 1, 1, 0.48767, 0.66232, 0, 0, 0],
        [1, 1, 0.72773, 0, 1, 0.48437, 0, 0, 1, 1, 0.03291, 0],
        [0.02219, 0, 0, 0, 0.08677, 0, 0, 0, 1, 1, 1, 0.78229],
        [1, 0, 0, 0, 1, 0.14308, 0, 0, 1, 1, 1, 1.00001],
        [1, 0.22046, 0, 0, 1, 0.05115, 0, 0, 1, 1, 1, 0.83618],
    ]
    encoding = PiecewiseLinearEncoding(n_bins=4, center=False).fit(X)
    np.testing.assert_allclose(encoding.edges_, edges, atol=2e-5)
    np.testing.assert_allclose(encode(encoding, X[:5], torch.float32), rows, atol=1e-4)


def test_piecewise_linear_takes_few_values_as_edges():
    # Interpolated quantiles of an even number of rows would put an edge at 0.5.
    X = np.repeat([[0.0, 0], [1, 5], [1, 9]], [2, 1, 1], axis=0)
    encoding = PiecewiseLinearEncoding(n_bins=2).fit(X)
    assert [edges.tolist() for edges in encoding.edges_] == [[0, 1], [0, 5, 9]]


def test_columns_with_as_many_bins_or_not_give_the_same():
    X = table()[:, :3]
    one = [encode(PiecewiseLinearEncoding().fit(X[:, [j]]), X[:, [j]]) for j in range(3)]
    encoding = PiecewiseLinearEncoding().fit(X)
    assert encoding.module().even
    np.testing.assert_array_equal(encode(encoding, X), np.hstack(one))
    X = np.hstack([X, table()[:, 3:]])
    encoding = PiecewiseLinearEncoding().fit(X)
    assert not encoding.module().even
    np.testing.assert_array_equal(encode(encoding, X)[:, :24], np.hstack(one))


def test_narrow_bins_far_from_0_keep_their_digits():
    X = (10_000 + np.arange(33) / 32).astype(np.float32)[:, None]
    for center, mean in (False, 0), (True, 2):
        encoding = PiecewiseLinearEncoding(n_bins=4, center=center).fit(X)
        encoded = encode(encoding, X, torch.float32)
        np.testing.assert_allclose(encoded.sum(axis=1), np.arange(33) / 8 - mean, atol=1e-6)


# --- what holds for each ------------------------------------------------------------------------

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
SMALL = st.integers(-2, 2).map(float)
NUMBERS = st.one_of(FLOAT32, SMALL, st.floats(-100, 100, width=32))


def tables(min_rows=1):
    shape = st.tuples(st.integers(min_rows, 12), st.integers(1, 4))
    return hnp.arrays(np.float32, shape, elements=NUMBERS)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(X=tables(), seed=st.integers(0, 9))
def test_outputs_are_finite_and_monotone_in_each_column(name, X, seed):
    rng = np.random.default_rng(seed)
    encoding = get_encoding(name).fit(X)
    module = encoding.module()
    x = np.concatenate([X.ravel(), rng.normal(size=20) * 10.0 ** rng.integers(-9, 9, 20)])
    x = np.sort(np.concatenate([x, [-3e38, 0, 3e38]]).astype(np.float32))
    # Where the lower of two values is the rarer, it is the larger output.
    signs = np.where(getattr(encoding, "flipped_", np.zeros(X.shape[1], dtype=bool)), -1, 1)
    for j in range(X.shape[1]):
        rows = np.repeat(X[:1], len(x), axis=0)
        rows[:, j] = x[:: signs[j]]
        encoded = module(torch.tensor(rows))
        assert encoded.shape == (len(x), encoding.n_outputs_)
        assert encoded.isfinite().all()
        assert (encoded.diff(dim=0) >= -3e-7 * encoded[1:].abs()).all()
        changes = bool((encoded != encoded[0]).any())
        assert changes <= bool(not encoding.constant_[j])
        if name in ("quantile", "piecewise_linear") and np.ptp(X[:, j].astype(float)) > 1e-30:
            assert changes


def learned(encoding):
    """Return the fitted attributes of an encoding in one array."""
    found = [value for name, value in sorted(vars(encoding).items()) if name.endswith("_")]
    flat = [part for value in found for part in (value if isinstance(value, list) else [value])]
    return np.concatenate([np.ravel(np.asarray(part, dtype=np.float64)) for part in flat])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(X=tables(), data=st.data())
def test_a_weight_is_a_repetition(name, sparse, X, data):
    counts = st.lists(st.integers(0, 4), min_size=len(X), max_size=len(X)).filter(any)
    weight = np.array(data.draw(counts))
    scale = data.draw(st.sampled_from([1, 0.1, 7]))
    repeated = np.repeat(X, weight, axis=0)
    repeated = repeated[np.random.default_rng(0).permutation(len(repeated))]
    kind = sp.csr_matrix if sparse else np.asarray
    one = get_encoding(name).fit(kind(X), sample_weight=scale * weight)
    many = get_encoding(name).fit(kind(repeated))
    largest = np.abs(X).max(axis=0).astype(np.float64)
    # Where nothing but the last digits of a mean differs, the deviation from it is noise.
    noise = (np.ptp(X.astype(np.float64), axis=0) < 1e-3 * largest).any()
    if not (noise and name == "standard"):
        np.testing.assert_allclose(learned(one), learned(many), rtol=1e-11, atol=1e-12)
    assert one.n_outputs_ == many.n_outputs_


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_many_rows(name, monkeypatch):
    X = with_nan(table(3000))
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    monkeypatch.setattr(columns, "BLOCK", 999)
    one = get_encoding(name).fit(X, sample_weight=weight)
    many = get_encoding(name).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(learned(one), learned(many), rtol=1e-9, atol=1e-12)
    plain = get_encoding(name).fit(X[weight > 0])
    assert learned(plain).shape != learned(one).shape or (learned(plain) != learned(one)).any()
    ones = get_encoding(name).fit(X, sample_weight=np.full(len(X), 3.0))
    np.testing.assert_allclose(learned(ones), learned(get_encoding(name).fit(X)), rtol=1e-12)


@pytest.mark.parametrize("weight", [[1, -1], [0, 0], [[1, 2], [3, 4]], [1, NAN], [1]])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="sample_weight|inconsistent"):
        StandardEncoding().fit(np.eye(2), sample_weight=weight)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_rows_is_these_rows(name, sparse):
    X, rows = table(400), np.random.default_rng(0).permutation(400)[:150]
    X = sp.csr_matrix(X) if sparse else X
    one = get_encoding(name).fit(RowView(X, rows))
    np.testing.assert_array_equal(learned(one), learned(get_encoding(name).fit(X[rows])))


@pytest.mark.parametrize("name", NAMES)
def test_outliers_do_not_explode(name):
    X = table()
    far = X.copy()
    far[:, :5] = 1e30
    limit = {"standard": 1000, "robust": 3, "quantile": 5, "piecewise_linear": 2}[name]
    for dtype in (torch.float32, torch.float64):
        encoded = encode(get_encoding(name).fit(X), far, dtype)
        assert np.abs(encoded).max() <= limit + 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 2, 20])
def test_constant_columns_have_no_effect(name, n):
    X = np.full((n, 2), 0.1, dtype=np.float32)
    encoding = get_encoding(name).fit(X)
    assert encoding.constant_.all()
    encoded = encode(encoding, [[0.1, 5], [1e30, -1e30]], torch.float32)
    assert encoded.shape == (2, encoding.n_outputs_)
    assert encoding.n_outputs_ >= 1 and (encoded == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_neighbours(name, monkeypatch):
    X = torch.tensor(with_nan(table(300)), dtype=torch.float32)
    module = get_encoding(name).set_params(missing_indicator=True).fit(X.numpy()).module()
    encoded = module(X)
    for size in (1, 3, 17, 256):
        torch.testing.assert_close(torch.cat([module(x) for x in X.split(size)]), encoded,
                                   rtol=0, atol=0)  # fmt: skip
    monkeypatch.setattr(layers, "BLOCK", 1000)
    torch.testing.assert_close(module(X), encoded, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_more_axes_in_front(name):
    X = torch.tensor(with_nan(table(24)), dtype=torch.float32)
    encoding = get_encoding(name).set_params(missing_indicator=True).fit(X.numpy())
    module = encoding.module()
    together = module(X.reshape(2, 3, 4, 6))
    assert together.shape == (2, 3, 4, encoding.n_outputs_)
    torch.testing.assert_close(together.reshape(24, -1), module(X))
    assert module(X[0]).shape == (encoding.n_outputs_,)
    assert module(X[:0]).shape == (0, encoding.n_outputs_)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_not_written_to_and_gradients_pass(name):
    X = table(20)
    module = get_encoding(name).fit(X).module(torch.float64)
    rows = torch.tensor(X, requires_grad=True)
    module(rows).sum().backward()
    np.testing.assert_array_equal(rows.detach().numpy(), X)
    assert rows.grad.isfinite().all() and (rows.grad[:, 0] != 0).any()
    assert torch.autograd.gradcheck(module, torch.randn(3, 6, dtype=torch.float64).requires_grad_())


# --- missing values -----------------------------------------------------------------------------


# What an imputer takes for a typical value; a quantile encoding has 0 for it.
TYPICAL = {"identity": "mean", "standard": "mean", "robust": "median", "piecewise_linear": "median"}


def named(name, **params):
    cls = IdentityEncoding if name == "identity" else ENCODINGS[name]
    return cls(**params)


@pytest.mark.parametrize("name", ["identity", *NAMES])
def test_missing_values_are_left_out(name):
    X = table()
    holes = np.vstack([X, X[:50]])
    holes[200:] = NAN
    one, other = named(name).fit(X), named(name).fit(holes)
    assert one.missing_features_.tolist() == [] and other.missing_features_.tolist() == [*range(6)]
    assert other.n_outputs_ == one.n_outputs_ + 6
    np.testing.assert_allclose(encode(one, X), encode(other, X)[:, :-6], atol=1e-12)


@pytest.mark.parametrize("name", ["identity", *NAMES])
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not seen in training"])
def test_missing_values_are_those_of_an_imputer(name, seen):
    train = with_nan(table(201)) if seen else table(201)
    new = with_nan(table(50, seed=1))
    encoding = named(name).fit(train)
    plain = named(name, missing_indicator=False).fit(train)
    imputer = SimpleImputer(strategy=TYPICAL.get(name, "mean"), add_indicator=True).fit(train)
    filled = imputer.transform(new)
    expected = encode(plain, filled[:, :6])
    if name == "quantile":
        expected[:, [0, 3]] *= ~np.isnan(new[:, [0, 3]])
    expected = np.hstack([expected, filled[:, 6:]])
    assert filled.shape[1] == 8 if seen else 6
    np.testing.assert_allclose(encode(encoding, new), expected, atol=1e-9)
    assert encoding.n_outputs_ == expected.shape[1]


def test_missing_values_of_an_even_number_of_rows_are_encoded_like_the_median():
    X = np.array([[1.0], [2], [4], [9]])
    encoding = PiecewiseLinearEncoding(n_bins=3).fit(X)
    assert encoding.median_ == [3]
    np.testing.assert_array_equal(encode(encoding, [[NAN]]), encode(encoding, [[3]]))


@pytest.mark.parametrize("name", NAMES)
def test_a_column_without_any_value_is_constant(name):
    X = table()
    X[:, 0] = NAN
    encoding = get_encoding(name).fit(X)
    assert encoding.constant_.tolist() == [True, False, False, False, False, True]
    # An indicator that is always 1 would be a second bias, and wrong for a value that comes.
    assert encoding.missing_features_.tolist() == []
    other = X.copy()
    other[0, 0] = 3
    np.testing.assert_array_equal(encode(encoding, other), encode(encoding, X))


# --- sparse rows --------------------------------------------------------------------------------


def sparse_table(density=0.4):
    X = sp.random(80, 5, density, format="csr", random_state=0, dtype=np.float32)
    X.data *= 10
    return X


@pytest.mark.parametrize("name", ["quantile", "piecewise_linear"])
def test_zeros_that_are_not_stored_count(name):
    X = sparse_table()
    X.data[:20] = 0  # stored zeros
    one, other = get_encoding(name).fit(X), get_encoding(name).fit(X.toarray())
    np.testing.assert_array_equal(encode(one, X.toarray()), encode(other, X.toarray()))


@pytest.mark.parametrize("name", ["standard", "robust"])
def test_zeros_stay_zeros(name):
    X = sparse_table(density=0.8)
    encoded = encode(get_encoding(name).fit(X), X.toarray())
    np.testing.assert_array_equal(encoded == 0, X.toarray() == 0)
    same = encode(get_encoding(name).fit(X.toarray()), X.toarray())
    assert (same[X.toarray() == 0] != 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_forms_of_sparse_rows(name):
    X = sparse_table()
    halves = (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr)
    halves = sp.csr_array(halves, X.shape)
    wide = sp.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    expected = encode(get_encoding(name).fit(X), X.toarray())
    for other in (sp.csr_array(X), X.tocsc(), X.tocoo(), halves, wide, X.astype(np.float64)):
        stored = other.nnz
        encoded = encode(get_encoding(name).fit(other), X.toarray())
        np.testing.assert_allclose(encoded, expected, rtol=1e-5, atol=1e-5)
        assert other.nnz == stored


@pytest.mark.parametrize("name", NAMES)
def test_sparse_columns_without_or_full_of_values(name):
    X = sp.csr_matrix(np.array([[0, 1, 3], [0, 2, 3], [0, 4, 3.0]]))
    encoding = get_encoding(name).fit(X)
    assert encoding.constant_.tolist() == [True, False, True]
    assert np.isfinite(encode(encoding, X.toarray())).all()


@pytest.mark.parametrize("name", NAMES)
def test_sparse_rows_without_any_value(name):
    encoding = get_encoding(name).fit(sp.csr_matrix((5, 3)))
    assert encoding.constant_.all() and (encode(encoding, np.ones((2, 3))) == 0).all()


# --- many rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_fitting_copies_a_part_of_the_table_only(name):
    X = np.random.default_rng(0).random((250_000, 40), dtype=np.float32)
    X.setflags(write=False)
    tracemalloc.start()
    try:
        get_encoding(name).fit(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * X.nbytes, f"{peak / X.nbytes:.2f} of the table"


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_quantiles_are_those_of_a_sample_of_the_rows(name, sparse, monkeypatch):
    X = table(4000)[:, :4]
    X[17, 0], X[18, 0] = -50, 60
    given = sp.csr_matrix(X) if sparse else X
    whole = get_encoding(name).fit(given)
    monkeypatch.setattr(columns, "SAMPLE_ROWS", 1000)
    monkeypatch.setattr(columns, "BLOCK", 999)
    part, again = get_encoding(name).fit(given), get_encoding(name).fit(given)
    assert pickle.dumps(part) == pickle.dumps(again)
    if name == "piecewise_linear":
        assert part.edges_[0][0] == -50 and part.edges_[0][-1] == 60
        np.testing.assert_allclose(part.edges_[0][1:-1], whole.edges_[0][1:-1], atol=0.3)
    else:
        assert np.abs(encode(part, X) - encode(whole, X)).mean() < 0.05


def test_moments_of_sparse_rows_are_added_up_in_blocks(monkeypatch):
    X = sparse_table()
    monkeypatch.setattr(columns, "BLOCK", 7)
    expected = StandardScaler(with_mean=False).fit(X.astype(np.float64))
    np.testing.assert_allclose(1 / StandardEncoding().fit(X).factor_, expected.scale_)


# --- as a part of a network and of scikit-learn -------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_module_is_a_layer_with_buffers_only(name):
    X = with_nan(table())
    encoding = get_encoding(name).set_params(missing_indicator=True).fit(X)
    module = encoding.module()
    assert not list(module.parameters())
    rows = torch.tensor(X, dtype=torch.float32)
    encoded = module(rows)
    assert encoded.dtype == torch.float32
    net = torch.nn.Sequential(module, MLP(encoding.n_outputs_, 3))
    assert net(rows).shape == (200, 3)
    for other in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        torch.testing.assert_close(other(rows), encoded, rtol=0, atol=0)
    blank = encoding.module()
    for buffer in blank.buffers():
        buffer.zero_()
    blank.load_state_dict(module.state_dict())
    torch.testing.assert_close(blank(rows), encoded, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_modules_of_several_nets_run_as_one(name):
    # Nothing that torch.vmap cannot batch: its warning would be an error here.
    X = np.random.default_rng(0).normal(size=(3, 40, 5)).astype(np.float32)
    modules = [get_encoding(name).fit(x).module() for x in X]
    _, buffers = torch.func.stack_module_state(modules)
    rows = torch.tensor(X)
    together = torch.vmap(lambda b, x: torch.func.functional_call(modules[0], b, (x,)))
    expected = torch.stack([module(x) for module, x in zip(modules, rows, strict=True)])
    torch.testing.assert_close(together(buffers, rows), expected)


@pytest.mark.parametrize("name", NAMES)
def test_precision_of_the_module(name):
    X = table()
    encoding = get_encoding(name).fit(X)
    exact = encoding.module(torch.float64)(torch.tensor(X))
    double = encoding.module().double()(torch.tensor(X))
    single = encoding.module()(torch.tensor(X, dtype=torch.float32))
    assert exact.dtype == double.dtype == torch.float64
    torch.testing.assert_close(double, exact, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(single.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("name", NAMES)
def test_module_on_a_device(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    X = with_nan(table())
    module = get_encoding(name).fit(X).module()
    rows = torch.tensor(X, dtype=torch.float32)
    expected = module(rows)
    torch.testing.assert_close(module.cuda()(rows.cuda()).cpu(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_an_encoding_is_an_estimator(name):
    encoding = get_encoding(name)
    assert isinstance(encoding, ENCODINGS[name])
    own = {"quantile": {"n_quantiles": 9}, "piecewise_linear": {"n_bins": 9, "center": False}}
    own = own.get(name, {})
    params = {"missing_indicator": True} | own
    assert encoding.get_params().keys() == params.keys()
    encoding.set_params(**params)
    with pytest.raises(NotFittedError, match=type(encoding).__name__):
        encoding.module()
    encoding.fit(table())
    copied = clone(encoding)
    assert copied.get_params() == params and not hasattr(copied, "n_outputs_")
    kept = pickle.loads(pickle.dumps(encoding))
    np.testing.assert_array_equal(encode(kept, table()), encode(encoding, table()))


def test_identity():
    X = with_nan(table())
    encoding = get_encoding(None).fit(X)
    assert isinstance(encoding, IdentityEncoding)
    assert encoding.n_outputs_ == 8
    there = ~np.isnan(X)
    np.testing.assert_array_equal(encode(encoding, X)[:, :6][there], X[there])
    sparse = get_encoding(None).fit(sp.csr_array(table()))
    assert type(sparse.module()) is torch.nn.Identity and sparse.mean_ is None


def test_names_classes_and_instances():
    for name, cls in ENCODINGS.items():
        assert type(get_encoding(name)) is type(get_encoding(cls)) is cls
    own = QuantileEncoding(n_quantiles=5)
    assert get_encoding(own) is own
    assert all(issubclass(cls, Encoding) for cls in ENCODINGS.values())
    with pytest.raises(ValueError, match="unknown encoding 'quantiles'; .* quantile, robust"):
        get_encoding("quantiles")
    with pytest.raises(TypeError, match="got 3"):
        get_encoding(3)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_errors_name_the_column(name, sparse):
    X = table()
    X[3, 2] = -np.inf
    with pytest.raises(ValueError, match="column 2 of X has infinite"):
        get_encoding(name).fit(sp.csr_matrix(X) if sparse else X)
    X[3, 2] = NAN
    if sparse:
        with pytest.raises(ValueError, match="column 2 of the sparse X has NaN"):
            get_encoding(name).fit(sp.csr_matrix(X))


@pytest.mark.parametrize(
    ("encoding", "error", "match"),
    [
        (QuantileEncoding(n_quantiles=1), ValueError, "n_quantiles must be an integer >= 2, got 1"),
        (
            QuantileEncoding(n_quantiles=2.5),
            TypeError,
            "n_quantiles must be an integer >= 2, got 2.5",
        ),
        (PiecewiseLinearEncoding(n_bins=0), ValueError, "n_bins must be an integer >= 1, got 0"),
        (StandardEncoding(missing_indicator="yes"), TypeError, "missing_indicator must be"),
        (RobustEncoding(missing_indicator=None), TypeError, "missing_indicator must be"),
    ],
)
def test_errors_name_the_parameter(encoding, error, match):
    with pytest.raises(error, match=match):
        encoding.fit(table())


# --- the choice ---------------------------------------------------------------------------------


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def heavy(*shape):
    X = normal(*shape)
    X[0, 0] = 1e6
    return X


@pytest.mark.parametrize(
    ("X", "name", "reason"),
    [
        ((normal(99, 4) > 0) * 1.0, None, "0 or 1"),
        (np.where(normal(99, 4) > 1, NAN, normal(99, 4) > 0), "piecewise_linear", "or missing"),
        (np.where(normal(9, 4) > 1, NAN, normal(9, 4) > 0), "piecewise_linear", "or missing"),
        (np.full((99, 4), NAN), "piecewise_linear", "or missing"),
        (with_nan(normal(30, 4)), "standard", "30 rows"),
        (np.where(normal(999, 4) < 2.5, NAN, normal(999, 4)), "piecewise_linear", "dense columns"),
        (sp.csr_matrix((normal(99, 4) > 1) * 1.0), None, "0 or 1"),
        (sp.csr_matrix((5, 3)), None, "0 or 1"),
        (sparse_table(0.2) / 10, None, "sparse"),
        (sparse_table(0.2) * 1000, "robust", "up to 9"),
        (sparse_table(0.2) / 1e6, "robust", "sparse"),
        (sparse_table(0.4), "piecewise_linear", "dense columns"),
        (normal(30, 4), "standard", "30 rows"),
        (with_nan(table()), "piecewise_linear", "6 dense columns give 31 outputs"),
        (normal(750, 600), "quantile", "4800 piecewise-linear outputs"),
        (normal(60, 61), "quantile", "60 rows are few for 61 dense columns"),
        (normal(74, 60), "quantile", "74 rows are few for 60 dense columns"),
        (normal(75, 60), "piecewise_linear", "60 dense columns give 480 outputs"),
        (normal(200, 1001), "standard", "too many"),
        (heavy(200, 1001), "robust", "heavy tails"),
    ],
)
def test_choice_of_an_encoding(X, name, reason):
    chosen, why = choose_encoding(X)
    assert chosen == name and reason in why
    encoding = get_encoding(chosen).fit(X)
    rows = X.toarray() if sp.issparse(X) else X
    assert encode(encoding, rows).shape == (len(rows), encoding.n_outputs_)


def test_choice_for_many_rows_uses_a_sample(monkeypatch):
    X = normal(300, 5)
    monkeypatch.setattr(choice, "AUTO_FEWER", 100)
    monkeypatch.setattr(choice, "AUTO_NUMBERS", 500)
    seen = []
    monkeypatch.setattr(choice, "Columns", lambda X: seen.append(X.shape) or columns.Columns(X))
    assert choose_encoding(X)[0] == "piecewise_linear"
    assert seen == [(100, 5)]


def test_choice_finds_missing_values_outside_of_its_sample(monkeypatch):
    X = (normal(5000, 3) > 0) * 1.0
    monkeypatch.setattr(choice, "AUTO_ROWS", 1000)
    assert choose_encoding(X)[0] is None
    looked_at = columns.sample(5000, 1000)
    X[np.setdiff1d(np.arange(5000), looked_at)[0], 1] = NAN
    assert choose_encoding(X)[0] == "piecewise_linear"
    assert choose_encoding(RowView(X, looked_at))[0] is None


def test_choice_is_cheaper_where_rows_are_many(monkeypatch):
    X = normal(300, 5)
    monkeypatch.setattr(choice, "AUTO_CELLS", 300 * 40)
    assert choose_encoding(X)[0] == "piecewise_linear"
    monkeypatch.setattr(choice, "AUTO_CELLS", 300 * 40 - 1)
    reason = "40 piecewise-linear outputs of 300 rows would cost too much"
    assert choose_encoding(X) == ("quantile", reason)
    monkeypatch.setattr(choice, "AUTO_CELLS", 300 * 10 - 1)
    assert choose_encoding(X)[0] == "standard"
    # What half a million rows of 64 columns get, without making them.
    monkeypatch.undo()
    assert 500_000 * 64 * 8 > choice.AUTO_CELLS >= 500_000 * 64 * choice.AUTO_QUANTILE


# --- values beyond the training rows ------------------------------------------------------------


BINARY = (np.random.default_rng(0).random((60, 4)) < 0.4).astype(np.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("encoding", [IdentityEncoding(clip=True), StandardEncoding()])
def test_values_are_limited_to_one_range_beyond_the_training_rows(encoding, dtype):
    module = encoding.fit(BINARY).module(dtype)
    far = torch.tensor([[10.0, 1e30, -1e30, 2.0]], dtype=dtype)
    end = torch.tensor([[2.0, 2.0, -1.0, 2.0]], dtype=dtype)
    torch.testing.assert_close(module(far), module(end), rtol=1e-6, atol=0)
    within = torch.tensor(BINARY, dtype=dtype)
    free = IdentityEncoding().fit(BINARY).module(dtype)(within)
    if isinstance(encoding, IdentityEncoding):
        assert torch.equal(module(within), free)
    else:
        expected = (within - within.mean(0)) / within.std(0, correction=0)
        torch.testing.assert_close(module(within), expected, rtol=1e-5, atol=1e-6)


def test_limits_of_columns_without_a_range():
    X = np.column_stack([np.full(5, 7.0), np.full(5, np.nan), np.arange(5.0)])
    module = IdentityEncoding(missing_indicator=False, clip=True).fit(X).module()
    found = module(torch.tensor([[9.0, 9.0, 9.0], [torch.nan] * 3, [-9.0, -9.0, -9.0]]))
    assert found.tolist() == [[7, 0, 8], [7, 0, 2], [7, 0, -4]]


def test_an_identity_is_without_limits_unless_asked_for():
    module = IdentityEncoding().fit(BINARY).module()
    assert module(torch.full((1, 4), 1e6)).tolist() == [[1e6] * 4]
    with pytest.raises(TypeError, match="^clip must be True or False, got 1"):
        IdentityEncoding(clip=1).fit(BINARY)


def test_more_bins_than_values_take_no_memory():
    X = np.random.default_rng(0).normal(size=(100, 2))
    for n_bins in (99, 10**9, 10**400):
        encoding = PiecewiseLinearEncoding(n_bins).fit(X)
        assert encoding.n_outputs_ == 198 and len(encoding.edges_[0]) == 100
    assert QuantileEncoding(10**400).fit(X).knots_[0].tolist() == sorted(X[:, 0])
