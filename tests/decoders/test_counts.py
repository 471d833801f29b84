import math

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression

from sklearn_mlloss.decoders import (
    Argmax,
    AtLeastOne,
    CardinalityCut,
    CumulativeCut,
    FixedThreshold,
    OneOverN,
    PerLabelThreshold,
    TopK,
)


@pytest.fixture
def tied():
    """Scores on a coarse grid, so that rows have ties."""
    return np.random.default_rng(0).integers(0, 5, (200, 6)) / 4


def naive_top(row, k):
    """The k best labels, ties by lower index."""
    order = sorted(range(len(row)), key=lambda label: (-row[label], label))
    return [label in order[: max(0, int(k))] for label in range(len(row))]


@pytest.mark.parametrize("k", [1, 3, 6])
def test_top_k_against_a_loop(tied, k):
    assert TopK(k).decode(tied).tolist() == [naive_top(row, k) for row in tied]


@pytest.mark.parametrize(
    ("Y", "weight", "k"),
    [
        ([[1, 1, 0], [1, 0, 0]], None, 2),  # 1.5, half up
        ([[1, 1, 0], [1, 1, 1]], None, 3),  # 2.5, not to even
        ([[1, 1, 0], [1, 0, 0]], [1, 1.01], 1),
        ([[0, 0, 0], [0, 0, 1]], None, 1),  # 0.5
        ([[0, 0, 0], [0, 0, 0]], None, 1),  # never 0
        ([[1, np.nan, 0], [1, 1, np.nan]], None, 2),  # 1 + 1 + 0
        ([[1, np.nan, np.nan], [1, np.nan, 0]], None, 1),
        ([[0.9, 0.8, 0.1], [0.9, 0.7, 0.9]], None, 2),  # 2.15
        ([[1, 1, 1], [1, 1, 1]], None, 3),
    ],
)
def test_top_k_fits_the_rounded_mean(Y, weight, k):
    scores = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]])
    decoder = TopK().fit(scores, Y, weight)
    assert decoder.k_ == k
    assert decoder.decode(scores).sum(axis=1).tolist() == [k, k]


def test_top_k_needs_fit_only_without_k():
    assert TopK().requires_fit and not TopK(2).requires_fit
    assert TopK(2).fit([[0.1, 0.2]], [[0, 0]]).k_ == 2


@pytest.mark.parametrize("k", [0, 4, -1, 1.0, True, "2"])
def test_top_k_refuses(k):
    with pytest.raises(ValueError, match=r"k must be an integer from 1 to .* \(3\)"):
        TopK(k).decode([[0.1, 0.2, 0.3]])


@pytest.mark.parametrize("use_count", [False, True])
def test_cardinality_against_regression_and_a_loop(use_count):
    rng = np.random.default_rng(1)
    scores = rng.random((300, 5))
    Y = 1.0 * (rng.random((300, 5)) < 0.7 * scores)
    weight = rng.integers(1, 4, 300).astype(float)
    count = Y.sum(axis=1) + rng.normal(size=300) if use_count else None
    decoder = CardinalityCut().fit(scores, Y, weight, count)
    z = count if use_count else scores.sum(axis=1)
    line = LinearRegression().fit(z[:, None], Y.sum(axis=1), weight)
    assert line.coef_[0] > 0.1
    assert [decoder.slope_, decoder.intercept_] == pytest.approx([line.coef_[0], line.intercept_])
    numbers = [math.floor(line.coef_[0] * zi + line.intercept_ + 0.5) for zi in z]
    expected = [naive_top(row, k) for row, k in zip(scores, numbers, strict=True)]
    assert decoder.decode(scores, count).tolist() == expected
    assert len(set(numbers)) > 1


def test_cardinality_never_fits_a_decreasing_line():
    scores = np.array([[0.1, 0.1], [0.9, 0.9]])
    decoder = CardinalityCut().fit(scores, [[1, 1], [0, 0]])
    assert decoder.slope_ == 0 and decoder.intercept_ == 1


def test_cardinality_of_softmax_scores_is_the_mean():
    rng = np.random.default_rng(0)
    exp = np.exp(rng.normal(size=(50, 7))).astype(np.float32)
    scores = exp / exp.sum(axis=1, keepdims=True)
    assert np.ptp(scores.astype(float).sum(axis=1)) > 0  # rounding only
    Y = 1.0 * (rng.random((50, 7)) < 0.4)
    decoder = CardinalityCut().fit(scores, Y)
    assert decoder.slope_ == 0
    assert decoder.intercept_ == pytest.approx(Y.sum(axis=1).mean())


def test_cardinality_counts_unobserved_labels_as_their_score():
    scores = np.array([[0.9, 0.4, 0.2], [0.1, 0.6, 0.9], [0.2, 0.1, 0.3]])
    Y = np.array([[1, np.nan, 0], [np.nan, np.nan, 1], [0, 0, np.nan]])
    filled = np.where(np.isnan(Y), scores, Y)
    left, right = CardinalityCut().fit(scores, Y), CardinalityCut().fit(scores, filled)
    assert (left.slope_, left.intercept_) == (right.slope_, right.intercept_)


def test_cardinality_stays_between_none_and_all():
    scores = np.array([[0.1, 0.1], [0.4, 0.4], [0.5, 0.5]])
    decoder = CardinalityCut().fit(scores, [[0, 0], [1, 0], [1, 1]])
    assert decoder.decode([[0.0, 0.0], [9.0, 8.0]]).tolist() == [[False, False], [True, True]]


def test_cardinality_needs_count_at_decode_iff_at_fit():
    scores, Y = [[0.1, 0.2], [0.8, 0.9]], [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match="count is missing"):
        CardinalityCut().fit(scores, Y, count=[0, 2]).decode(scores)
    with pytest.raises(ValueError, match="fitted without it"):
        CardinalityCut().fit(scores, Y).decode(scores, count=[0, 2])


@pytest.mark.parametrize("n_true", [*range(1, 25), 40, 100])
def test_cumulative_on_even_scores_selects_95_percent(n_true):
    scores = np.zeros((1, 101))
    scores[0, :n_true] = 1 / n_true
    hat = CumulativeCut().decode(scores)
    selected = math.ceil(95 * n_true / 100)
    assert hat.sum() == selected
    assert hat[0, :selected].all()
    assert (selected == n_true) == (n_true <= 19)


@pytest.mark.parametrize("mass", [0.3, 0.5, 0.75, 1.0])
def test_cumulative_against_a_loop(tied, mass):
    expected = []
    for row in tied:
        shares = row / row.sum() if row.sum() else np.full(6, 1 / 6)
        k = next(k for k in range(1, 7) if np.sort(shares)[::-1][:k].sum() >= mass - 1e-9)
        expected.append(naive_top(row, k))
    assert CumulativeCut(mass).decode(tied).tolist() == expected


def test_the_sources_example():
    scores = [[0.7, 0.1, 0.2]]
    assert OneOverN().decode(scores).tolist() == [[True, False, False]]
    assert CumulativeCut(0.95).decode(scores).tolist() == [[True, True, True]]
    assert CumulativeCut(0.9).decode(scores).tolist() == [[True, False, True]]
    assert TopK(2).decode(scores).tolist() == [[True, False, True]]


@pytest.mark.parametrize("decoder", [CumulativeCut(), CumulativeCut(1e-12), OneOverN()])
def test_never_empty_and_scale_does_not_matter(decoder, tied):
    assert decoder.decode(tied).any(axis=1).all()
    assert (decoder.decode(tied) == decoder.decode(1000 * tied)).all()


@pytest.mark.parametrize("n_true", [1, 2, 3, 7, 49])
def test_one_over_n_recovers_even_scores(n_true):
    scores = np.zeros((1, 49))
    scores[0, :n_true] = 1 / n_true
    assert (OneOverN().decode(scores) == (scores > 0)).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("n_labels", [1, 3, 6, 7, 49])
def test_equal_scores_select_all(value, n_labels):
    assert OneOverN().decode(np.full((2, n_labels), value)).all()


def test_one_over_n_is_the_row_mean():
    scores = np.random.default_rng(0).random((100, 5))
    expected = scores >= scores.mean(axis=1, keepdims=True)
    assert (OneOverN().decode(scores) == expected).all()


@pytest.mark.parametrize("decoder", [CumulativeCut(), OneOverN()])
def test_shares_need_non_negative_scores(decoder):
    with pytest.raises(ValueError, match="scores must be non-negative .* got -0.5"):
        decoder.decode([[0.5, -0.5]])


@pytest.mark.parametrize("mass", [0, 1.1, np.nan, "0.9", True, None])
def test_bad_mass(mass):
    with pytest.raises(ValueError, match=r"mass must be a number in \(0, 1\]"):
        CumulativeCut(mass).decode([[0.5, 0.5]])


def test_argmax_is_top_1(tied):
    assert (Argmax().decode(tied) == TopK(1).decode(tied)).all()


def test_at_least_one_fills_only_empty_rows(tied):
    plain = FixedThreshold(0.8).decode(tied)
    hat = AtLeastOne(FixedThreshold(0.8)).decode(tied)
    empty = ~plain.any(axis=1)
    assert empty.any() and not empty.all()
    assert (hat[~empty] == plain[~empty]).all()
    assert (hat[empty] == Argmax().decode(tied)[empty]).all()


def test_at_least_one_leaves_a_row_without_its_top_label():
    decoder = AtLeastOne(FixedThreshold([0.9, 0.1]))
    assert decoder.decode([[0.8, 0.2]]).tolist() == [[False, True]]


def test_at_least_one_takes_names_classes_and_instances():
    scores = [[0.7, 0.1, 0.2]]
    for decoder in ("cumulative", CumulativeCut, CumulativeCut()):
        assert AtLeastOne(decoder).decode(scores).all()
    assert AtLeastOne().decode([[0.5, 0.1]]).tolist() == [[True, False]]
    with pytest.raises(ValueError, match="unknown decoder 'nope'; the names are: threshold"):
        AtLeastOne("nope").decode(scores)
    with pytest.raises(TypeError, match="must be a name"):
        AtLeastOne(3).fit(scores, [[1, 0, 0]])


def test_at_least_one_delegates():
    class Reserved(FixedThreshold):
        untouched_rows = True

    assert AtLeastOne("per_label_threshold").requires_fit
    assert AtLeastOne(TopK()).requires_fit and not AtLeastOne(TopK(1)).requires_fit
    assert not AtLeastOne().requires_fit and not AtLeastOne().untouched_rows
    assert AtLeastOne(Reserved()).untouched_rows


def test_at_least_one_fits_a_copy_and_passes_everything_on():
    scores, Y = np.array([[0.1, 0.2], [0.8, 0.9], [0.3, 0.9]]), np.array([[0, 0], [1, 1], [0, 1]])
    inner = CardinalityCut()
    outer = AtLeastOne(inner).fit(scores, Y, [1, 2, 0], count=[0, 2, 5])
    direct = clone(inner).fit(scores, Y, [1, 2, 0], count=[0, 2, 5])
    assert not hasattr(inner, "slope_")
    assert outer.decoder_.slope_ == direct.slope_ and outer.decoder_.uses_count_
    assert outer.decode(scores, count=[0, 2, 1]).tolist() == [
        [False, True],
        [True, True],
        [False, True],
    ]


def test_at_least_one_has_nested_parameters():
    decoder = AtLeastOne(PerLabelThreshold(beta=2))
    assert decoder.get_params()["decoder__beta"] == 2
    assert clone(decoder).set_params(decoder__beta=3).decoder.beta == 3
    assert decoder.decoder.beta == 2
