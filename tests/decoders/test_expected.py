import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_mlloss.decoders import ExpectedFBeta, ExpectedJaccard, expected


def every_set(n_labels):
    return np.array(list(itertools.product([0, 1], repeat=n_labels)), dtype=float)


def fbeta(beta, empty):
    def value(Y, H):
        both, size = Y @ H.T, beta**2 * Y.sum(axis=1)[:, None] + H.sum(axis=1)
        return np.where(size > 0, (1 + beta**2) * both / np.where(size > 0, size, 1), empty)

    return value


def jaccard(empty):
    def value(Y, H):
        both = Y @ H.T
        union = Y.sum(axis=1)[:, None] + H.sum(axis=1) - both
        return np.where(union > 0, both / np.where(union > 0, union, 1), empty)

    return value


def expected_values(p, measure):
    """Expected value of every set, by enumeration of all label sets."""
    sets = every_set(len(p))
    probability = np.where(sets == 1, p, 1 - np.asarray(p)).prod(axis=1)
    return sets, probability @ measure(sets, sets)


def assert_optimal(decoder, p, measure):
    sets, values = expected_values(p, measure)
    hat = decoder.decode(p[None])[0]
    reached = values[(sets == hat).all(axis=1)][0]
    assert reached == pytest.approx(values.max(), abs=1e-12)
    smaller = sets.sum(axis=1) < hat.sum()
    assert not (values[smaller] >= reached * (1 - 1e-13)).any()  # the fewest of the best


rows = hnp.arrays(
    float,
    st.integers(1, 8),
    elements=st.one_of(
        st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1e-9, 1 - 1e-9, 1e-300])
    ),
)


@pytest.mark.parametrize("empty", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2, 1.3])
@settings(max_examples=40, deadline=None)
@given(p=rows)
def test_expected_fbeta_against_all_sets(beta, empty, p):
    assert_optimal(ExpectedFBeta(beta, empty), p, fbeta(beta, empty))


@pytest.mark.parametrize("empty", [0.0, 0.3, 1.0])
@settings(max_examples=80, deadline=None)
@given(p=rows)
def test_expected_jaccard_against_all_sets(empty, p):
    assert_optimal(ExpectedJaccard(empty), p, jaccard(empty))


@settings(max_examples=60, deadline=None)
@given(p=rows, empty=st.floats(0, 1), beta=st.floats(0.1, 10))
def test_the_values_of_all_lengths(p, empty, beta):
    p = np.sort(p)[::-1]
    sets = every_set(len(p))
    prefixes = [(sets == (np.arange(len(p)) < k)).all(axis=1).argmax() for k in range(len(p) + 1)]
    wanted = expected_values(p, fbeta(beta, empty))[1][prefixes]
    assert expected._fbeta_values(p[None], beta, empty)[0] == pytest.approx(wanted, abs=1e-13)
    wanted = expected_values(p, jaccard(empty))[1][prefixes]
    assert expected._jaccard_values(p[None], empty)[0] == pytest.approx(wanted, abs=1e-13)


def recursion_of_ye(p, q, r):
    """Expected F of the first k = 1..L labels for beta² = q / r: Algorithm 1 of Ye et al. 2012."""
    n_labels = len(p)
    s = 1 / np.arange(1, (q + r) * n_labels + 1)  # s[m - 1]
    prefix = [np.ones(1)]
    for pl in p:
        prefix.append(np.append((1 - pl) * prefix[-1], 0) + np.append(0, pl * prefix[-1]))
    values = np.zeros(n_labels)
    for k in range(n_labels, 0, -1):
        a = np.arange(1, k + 1)
        values[k - 1] = (q + r) * (a * prefix[k][1:] * s[q * a + r * k - 1]).sum()
        s = (1 - p[k - 1]) * s[:-q] + p[k - 1] * s[q:]
    return values


@pytest.mark.parametrize(("q", "r"), [(1, 1), (4, 1), (1, 4), (9, 4)])
@pytest.mark.parametrize("shape", [(0.3, 2), (1, 1), (0.2, 0.2), (50, 50)])
@pytest.mark.parametrize("n_labels", [60, 500])
def test_against_the_recursion_of_ye(q, r, shape, n_labels):
    """Another algorithm, where enumeration does not reach; above all, no error builds up."""
    p = np.sort(np.random.default_rng(0).beta(*shape, size=n_labels))[::-1]
    found = expected._fbeta_values(p[None], math.sqrt(q / r), 0.0)[0, 1:]
    np.testing.assert_allclose(found, recursion_of_ye(p, q, r), rtol=1e-11)


def test_the_convention_for_empty_rows():
    p = np.array([0.2, 0.1, 0.05])
    nothing = [False] * 3
    assert ExpectedFBeta(empty=1.0).decode(p[None])[0].tolist() == nothing
    assert expected._fbeta_values(p[None], 1.0, 1.0)[0, 0] == pytest.approx(0.684)
    # As scikit-learn has it the empty set is never best: 0.1902 for one label, 0.1910 for two.
    values = expected._fbeta_values(p[None], 1.0, 0.0)[0]
    assert values == pytest.approx([0, 0.190167, 0.190967, 0.1681], abs=1e-6)
    assert ExpectedFBeta().decode(p[None])[0].tolist() == [True, True, False]
    assert ExpectedJaccard(empty=1.0).decode(p[None])[0].tolist() == nothing
    assert ExpectedJaccard().decode(p[None])[0].tolist() == [True, False, False]


@pytest.mark.parametrize("decoder", [ExpectedFBeta(), ExpectedJaccard()])
def test_certain_and_tied_rows(decoder):
    certain = [[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]
    assert decoder.decode(certain).tolist() == np.array(certain, dtype=bool).tolist()
    hat = decoder.decode(np.full((1, 6), 0.3))[0]
    assert hat.tolist() == sorted(hat, reverse=True)  # lower indices first


def test_many_labels_use_the_ratio_of_expectations(monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.beta(0.1, 5, (5, 501))
    hat = ExpectedFBeta(2.0).decode(p)
    for row, decided in zip(p, hat, strict=True):
        ranked = np.sort(row)[::-1]
        ratios = 5 * np.cumsum(ranked) / (np.arange(1, 502) + 4 * ranked.sum())
        assert decided.sum() == 1 + ratios.argmax()
        assert row[decided].min() > row[~decided].max()
    assert not ExpectedFBeta(empty=1.0).decode(np.full((1, 501), 1e-6)).any()
    monkeypatch.setattr(expected, "_EXACT_LABELS", 501)
    exact = ExpectedFBeta(2.0).decode(p)
    assert np.abs(exact.sum(axis=1) / hat.sum(axis=1) - 1).max() < 0.2


@pytest.mark.parametrize("decoder", [ExpectedFBeta(), ExpectedJaccard()])
def test_blocks_do_not_change_anything(decoder, monkeypatch):
    p = np.random.default_rng(0).random((50, 7))
    whole = decoder.decode(p)
    monkeypatch.setattr(expected, "_BLOCK_ENTRIES", 20)
    assert (decoder.decode(p) == whole).all()


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (ExpectedFBeta(beta=0), "beta must be a finite number > 0, got 0"),
        (ExpectedFBeta(beta=math.inf), "beta must be"),
        (ExpectedFBeta(empty=1.5), r"empty must be a number in \[0, 1\], got 1.5"),
        (ExpectedJaccard(empty=None), "empty must be"),
    ],
)
def test_bad_parameters(decoder, message):
    with pytest.raises(ValueError, match=message):
        decoder.decode([[0.1, 0.2]])
    with pytest.raises(ValueError, match=message):
        decoder.fit([[0.1, 0.2]], [[0, 1]])


@pytest.mark.parametrize("decoder", [ExpectedFBeta(), ExpectedJaccard()])
def test_scores_must_be_probabilities(decoder):
    with pytest.raises(ValueError, match=r"probabilities, in \[0, 1\], for Expected.*got -0.5"):
        decoder.decode([[0.1, -0.5]])
    assert decoder.decode([[1 + 1e-7, -1e-7]]).tolist() == [[True, False]]
