"""Categories as inputs: against scikit-learn's one-hot encoder and missing indicator."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder

from sklearn_mlloss._data.rows import RowView
from sklearn_mlloss.networks import OneHotEncoding
from sklearn_mlloss.networks.layers import Mixed

NAN = np.nan


def encode(encoding, X, dtype=torch.float64):
    return encoding.module(dtype)(torch.tensor(X, dtype=dtype)).numpy()


def reference(train, new, max_categories):
    """Return the outputs of each column by scikit-learn, missing rows left out and marked."""
    parts = []
    for x, z in zip(train.T, new.T, strict=True):
        there, missing = x[~np.isnan(x)], np.isnan(x).any()
        found = np.zeros((len(z), 0))
        if len(there):
            # At exactly the limit, scikit-learn would name the rarest "infrequent".
            many = len(np.unique(there)) > max_categories
            encoder = OneHotEncoder(
                max_categories=max_categories if many else None,
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            ).fit(there[:, None])
            # -9 is none of the codes.
            found = encoder.transform(np.where(np.isnan(z) & (not missing), -9, z)[:, None])
            if missing:
                found[np.isnan(z)] = 0
        if missing:
            found = np.column_stack([found, np.isnan(z)])
        if found.shape[1] > 1:
            parts.append(found)
    return np.hstack(parts) if parts else np.zeros((len(new), 1))


def codes(rows, n_codes=12):
    numbers = st.one_of(st.integers(0, n_codes).map(float), st.integers(0, 2).map(float))
    shape = st.tuples(rows, st.just(3))
    return hnp.arrays(np.float64, shape, elements=st.one_of(numbers, st.just(NAN)))


@settings(deadline=None, max_examples=80)
@given(
    train=codes(st.integers(1, 30)),
    new=codes(st.integers(1, 5), n_codes=20),
    limit=st.integers(2, 9),
)
def test_outputs_are_those_of_sklearn(train, new, limit):
    encoding = OneHotEncoding(max_categories=limit).fit(train)
    new = np.vstack([new, np.full((1, 3), -1.0), train])
    expected = reference(train, new, limit)
    for dtype in (torch.float32, torch.float64):
        np.testing.assert_array_equal(encode(encoding, new, dtype), expected)
    assert encoding.n_outputs_ == expected.shape[1]


def test_the_limit_is_256():
    x = np.arange(300.0)
    train = np.concatenate([x, x[30:285]])[:, None]
    encoded = encode(OneHotEncoding().fit(train), np.append(x, [300.0, NAN])[:, None])
    assert encoded.shape == (302, 256) and (encoded.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(encoded[30:285, :255], np.eye(255))
    assert encoded[:30, 255].all() and encoded[285:, 255].all()
    few = encode(OneHotEncoding().fit(x[:256, None]), x[:256, None])
    np.testing.assert_array_equal(few, np.eye(256))


@settings(deadline=None, max_examples=40)
@given(X=codes(st.just(9)), data=st.data())
def test_a_weight_is_a_repetition(X, data):
    weight = np.array(data.draw(st.lists(st.integers(0, 4), min_size=9, max_size=9).filter(any)))
    scale = data.draw(st.sampled_from([1, 0.1, 7]))
    one = OneHotEncoding(max_categories=3).fit(X, sample_weight=scale * weight)
    many = OneHotEncoding(max_categories=3).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_array_equal(encode(one, X), encode(many, X))


@pytest.mark.parametrize("rows", [1, 7])
def test_counts_are_added_up_in_blocks(rows, monkeypatch):
    X = np.random.default_rng(0).geometric(0.2, size=(50, 3)) * 1.0
    X[::9, 1] = NAN
    whole = OneHotEncoding(max_categories=5).fit(X)
    monkeypatch.setattr("sklearn_mlloss.networks.columns.BLOCK", 3 * rows)
    parts = OneHotEncoding(max_categories=5).fit(X)
    view = OneHotEncoding(max_categories=5).fit(RowView(np.vstack([X, X + 1]), np.arange(50)))
    for other in (parts, view):
        for a, b in zip(whole.slots_, other.slots_, strict=True):
            np.testing.assert_array_equal(a, b)


def test_more_axes_in_front_and_a_pickle():
    X = np.random.default_rng(0).integers(0, 4, (24, 2)) * 1.0
    encoding = clone(OneHotEncoding(max_categories=3)).fit(X)
    module = pickle.loads(pickle.dumps(encoding)).module(torch.float64)
    together = module(torch.tensor(X).reshape(2, 3, 4, 2))
    np.testing.assert_array_equal(together.reshape(24, -1).numpy(), encode(encoding, X))
    assert encoding.get_params() == {"max_categories": 3} and not list(module.parameters())


@pytest.mark.parametrize(
    "X, problem",
    [
        ([[0.5], [1]], "fractions"),
        ([[-1.0], [1]], "from 0 to"),
        ([[2.0**24], [1]], "from 0 to 16777215"),
        ([[np.inf], [1]], "infinite"),
        (sp.csr_array([[1.0], [0]]), "dense arrays"),
    ],
)
def test_values_other_than_codes_raise(X, problem):
    with pytest.raises(ValueError, match=problem):
        OneHotEncoding().fit(X if sp.issparse(X) else np.array(X))


@pytest.mark.parametrize("limit", [1, 2.5, None])
def test_limits_out_of_range(limit):
    with pytest.raises((ValueError, TypeError), match="max_categories"):
        OneHotEncoding(max_categories=limit).fit(np.eye(2))


def test_columns_of_two_kinds():
    class Twice(torch.nn.Module):
        def forward(self, X):
            return 2 * X

    module = Mixed(Twice(), torch.nn.Identity(), np.array([False, True, False]))
    found = module(torch.tensor([[[1.0, 2, 3]]]))
    assert found.tolist() == [[[2, 6, 2]]]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    X = np.array([[0.0, 3], [1, NAN], [5, 3]])
    encoding = OneHotEncoding().fit(X)
    there = encoding.module().cuda()(torch.tensor(X, dtype=torch.float32).cuda()).cpu().numpy()
    np.testing.assert_array_equal(there, encode(encoding, X))


@settings(deadline=None, max_examples=50)
@given(X=codes(st.integers(1, 30)), limit=st.integers(2, 6), weighted=st.booleans())
def test_counts_give_the_same_encoding_as_rows(X, limit, weighted):
    weight = np.linspace(1, 3, len(X)) if weighted else None
    expected = OneHotEncoding(limit).fit(X, sample_weight=weight)
    counts = [np.bincount(x[~np.isnan(x)].astype(int), None if weight is None else
                          weight[~np.isnan(x)], 20) for x in X.T]  # fmt: skip
    fitted = OneHotEncoding(limit).fit_counts(counts, np.isnan(X).any(axis=0))
    for name, value in vars(expected).items():
        if name == "slots_":
            for a, b in zip(fitted.slots_, value, strict=True):
                np.testing.assert_array_equal(a, b)
        elif name.endswith("_"):
            np.testing.assert_array_equal(getattr(fitted, name), value)
    with pytest.raises(ValueError, match="max_categories must be"):
        OneHotEncoding(1).fit_counts(counts, np.isnan(X).any(axis=0))
