import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.exceptions import NotFittedError

from sklearn_mlloss.decoders import (
    AtLeastOne,
    ExpectedFBeta,
    GFMDecoder,
    HierarchyClosure,
    LabelSetDecoder,
    sets,
)


@st.composite
def problems(draw, max_labels=6):
    """Rows of labels, most of them dependent by chance, weights and one new row of scores."""
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, max_labels)))
    Y = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 1))).astype(float)
    weight = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(1, 3))).astype(float)
    value = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    return Y, weight, draw(hnp.arrays(float, shape[1], elements=value))


def posterior_by_loop(Y, weight, p, dependence=0.5):
    p = np.clip(p, 1e-12, 1 - 1e-12)
    seen = {}
    for row, w in zip(Y, weight, strict=True):
        seen[tuple(row)] = seen.get(tuple(row), 0) + w / weight.sum()
    for S in seen:
        independent = 1.0
        for label, present in enumerate(S):
            rate = weight[Y[:, label] == present].sum() / weight.sum()
            independent *= rate
        seen[S] = (seen[S] / independent) ** dependence
        seen[S] *= np.where(np.array(S) == 1, p, 1 - p).prod()
    return seen


@pytest.mark.parametrize("dependence", [0, 0.5, 0.8, 1])
@settings(max_examples=80, deadline=None)
@given(problem=problems())
def test_label_set_is_the_most_probable_of_those_seen(dependence, problem):
    Y, weight, p = problem
    posterior = posterior_by_loop(Y, weight, p, dependence)
    hat = LabelSetDecoder(dependence).fit(np.zeros_like(Y), Y, weight).decode(p[None])[0]
    assert posterior[tuple(1.0 * hat)] >= max(posterior.values()) * (1 - 1e-8)


@pytest.mark.parametrize("cls", [LabelSetDecoder, GFMDecoder])
def test_sets_of_independent_labels_add_nothing(cls):
    # Frequencies are products: the scores of the labels contain all information.
    Y = np.array([[a, b] for a in [1, 1, 1, 0] for b in [1, 0, 0, 0, 0]])
    assert cls().fit(np.zeros(Y.shape), Y).log_lift_ == pytest.approx([0, 0, 0, 0], abs=1e-12)
    decoder = LabelSetDecoder(dependence=1).fit(np.zeros(Y.shape), Y)
    p = np.random.default_rng(0).random((200, 2))
    np.testing.assert_array_equal(decoder.decode(p), p >= 0.5)


def test_labels_that_exclude_each_other_are_not_put_together():
    Y = [[1, 0]] * 5 + [[0, 1]] * 4 + [[1, 1]]
    p = [[0.8, 0.55]]
    free, bound = (LabelSetDecoder(d).fit(np.zeros((10, 2)), Y).decode(p) for d in (0, 1))
    assert free.tolist() == [[True, True]] and bound.tolist() == [[True, False]]


@pytest.mark.parametrize("empty", [0.0, 1.0])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_gfm_is_the_best_of_all_sets(beta, empty, problem):
    Y, weight, p = problem
    posterior = posterior_by_loop(Y, weight, p)
    total = sum(posterior.values())

    def expected_fbeta(h):
        value = 0.0
        for S, probability in posterior.items():
            size = beta**2 * sum(S) + sum(h)
            f = (1 + beta**2) * np.dot(S, h) / size if size else empty
            value += f * probability / total
        return value

    decoder = GFMDecoder(beta, empty).fit(np.zeros_like(Y), Y, weight)
    best = max(expected_fbeta(h) for h in itertools.product([0, 1], repeat=len(p)))
    assert expected_fbeta(1 * decoder.decode(p[None])[0]) == pytest.approx(best, abs=1e-9)


def test_gfm_on_independent_labels_is_expected_fbeta():
    # All sets equally often: the posterior is the product of the probabilities.
    Y = np.array(list(itertools.product([0, 1], repeat=5)))
    p = np.random.default_rng(0).random((100, 5))
    for beta, empty in [(1.0, 0.0), (2.0, 1.0), (0.5, 0.5)]:
        found = GFMDecoder(beta, empty).fit(np.zeros(Y.shape), Y).decode(p)
        assert (found == ExpectedFBeta(beta, empty).decode(p)).all()


def test_gfm_may_predict_unseen_label_sets():
    Y = np.array([[1, 1, 0], [1, 0, 1]])
    decoder = GFMDecoder().fit(np.zeros((2, 3)), Y)
    assert decoder.decode([[0.5, 0.5, 0.5]]).tolist() == [[True, True, True]]  # 0.8, not 0.75
    Y = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    hat = GFMDecoder(beta=3).fit(np.zeros((4, 3)), Y).decode([[0.6, 0.5, 0.2]])
    assert hat.tolist() == [[True, True, True]]


@pytest.mark.parametrize("cls", [LabelSetDecoder, GFMDecoder])
def test_fitted_attributes(cls):
    Y = [[1, 1, 0], [0, 0, 1], [1, 1, 0], [1, np.nan, 0], [0.9, 0.5, 0.4], [0, 0, 0]]
    decoder = cls().fit(np.zeros((6, 3)), Y)
    assert decoder.label_sets_.astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 0]]
    assert np.exp(decoder.log_prior_) == pytest.approx([0.2, 0.2, 0.6])


def test_without_a_complete_row_labels_are_independent():
    rng = np.random.default_rng(0)
    p = rng.random((40, 3))
    Y = 1.0 * (rng.random((40, 3)) < p)
    Y[:, 1] = np.nan
    assert (LabelSetDecoder().fit(p, Y).decode(p) == (p >= 0.5)).all()
    decoder = GFMDecoder(2.0, 1.0).fit(p, Y)
    assert decoder.label_sets_.shape == (0, 3)
    assert (decoder.decode(p) == ExpectedFBeta(2.0, 1.0).decode(p)).all()


def test_ties_take_the_fewest_labels_and_no_single_score_decides():
    Y = [[1, 1], [0, 0], [0, 1]]
    decoder = LabelSetDecoder().fit(np.zeros((3, 2)), Y)
    assert decoder.decode([[0.5, 0.5]]).tolist() == [[False, False]]
    # {1} alone was never seen: either probability of 1 or of 0 is wrong.
    assert decoder.decode([[1.0, 0.0]]).any(axis=1).tolist() in ([True], [False])
    assert decoder.decode([[1.0, 0.3]]).tolist() == [[True, True]]


@pytest.mark.parametrize("cls", [LabelSetDecoder, GFMDecoder])
def test_blocks_do_not_change_anything(cls, monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.random((60, 5))
    decoder = cls().fit(p, 1.0 * (rng.random((60, 5)) < p))
    whole = decoder.decode(p)
    monkeypatch.setattr(sets, "_BLOCK_ENTRIES", 100)
    assert (decoder.decode(p) == whole).all()


def test_refuses():
    with pytest.raises(ValueError, match="beta must be"):
        GFMDecoder(beta=-1).fit([[0.5]], [[1]])
    with pytest.raises(ValueError, match="empty must be"):
        GFMDecoder(empty=2).fit([[0.5]], [[1]])
    for cls in (LabelSetDecoder, GFMDecoder):
        for value in (-0.1, 1.1, "a", None):
            with pytest.raises(ValueError, match=r"dependence must be a number in \[0, 1\]"):
                cls(dependence=value).fit([[0.5]], [[1]])
    for cls in (LabelSetDecoder, GFMDecoder):
        with pytest.raises(ValueError, match=f"probabilities, .* {cls.__name__}"):
            cls().fit([[0.5]], [[1]]).decode([[3.0]])


# ---- learn_sets

SETS = [LabelSetDecoder, GFMDecoder]


@pytest.mark.parametrize("cls", SETS)
@settings(max_examples=60, deadline=None)
@given(problem=problems(), data=st.data())
def test_learn_sets_is_fit_without_scores(cls, problem, data):
    Y, weight, _ = problem
    keep = data.draw(st.integers(1, len(Y)))
    Y = np.where(np.random.default_rng(0).random(Y.shape) < 0.1, np.nan, Y)
    expected = cls().fit(np.zeros_like(Y), Y, weight)
    decoder = cls().fit(np.zeros_like(Y[:keep]), Y[:keep], weight[:keep])
    assert decoder.learn_sets(Y, weight) is decoder
    np.testing.assert_array_equal(decoder.label_sets_, expected.label_sets_)
    np.testing.assert_array_equal(decoder.log_prior_, expected.log_prior_)


@pytest.mark.parametrize("cls", SETS)
def test_learn_sets_takes_what_fit_takes(cls):
    decoder = cls().fit(np.zeros((1, 3)), [[1, 1, 1]])
    Y = [[1, 1, 0], [0, 0, 1], [1, 1, 0], [1, np.nan, 0], [0.9, 0.5, 0.4], [0, 0, 0], [0, 1, 0]]
    decoder.learn_sets(Y, [1, 1, 1, 9, 2, 1, 0])
    assert decoder.label_sets_.astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 0]]
    assert np.exp(decoder.log_prior_) == pytest.approx([1 / 6, 1 / 6, 4 / 6])
    decoder.learn_sets(np.array([[1, 0, 0]], dtype=np.uint8))
    assert decoder.label_sets_.astype(int).tolist() == [[1, 0, 0]]
    decoder.fit(np.zeros((1, 3)), [[1, 1, 1]])
    assert decoder.label_sets_.all()


def test_a_set_that_only_training_rows_have_can_be_predicted():
    scores = [[0.9, 0.8, 0.1], [0.1, 0.1, 0.9]]
    decoder = LabelSetDecoder().fit(scores, [[1, 0, 0], [0, 0, 1]])
    assert decoder.decode([[0.9, 0.9, 0.1]]).tolist() == [[True, False, False]]
    decoder.learn_sets([[1, 0, 0], [0, 0, 1], [1, 1, 0]])
    assert decoder.decode([[0.9, 0.9, 0.1]]).tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    "wrapped", [AtLeastOne("label_set"), HierarchyClosure([-1, -1, -1], LabelSetDecoder())]
)
def test_wrapping_decoders_pass_label_sets_on(wrapped):
    wrapped.fit(np.zeros((1, 3)), [[1, 0, 0]]).learn_sets([[1, 1, 0], [0, 0, 0]], [3, 1])
    assert wrapped.decoder_.label_sets_.astype(int).tolist() == [[0, 0, 0], [1, 1, 0]]
    assert np.exp(wrapped.decoder_.log_prior_) == pytest.approx([0.25, 0.75])


def test_packed_label_sets_are_those_of_numpy():
    rng = np.random.default_rng(0)
    for n_labels in (1, 7, 8, 9, 17, 70):
        Y = rng.random((300, n_labels)) < rng.random(n_labels) ** 3
        decoder = LabelSetDecoder().fit(np.zeros(Y.shape), Y)
        sets, counts = np.unique(Y, axis=0, return_counts=True)
        order = np.argsort(sets.sum(axis=1), kind="stable")
        np.testing.assert_array_equal(decoder.label_sets_, sets[order])
        np.testing.assert_allclose(np.exp(decoder.log_prior_), counts[order] / 300)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 0]],), r"one column for each of the 3 labels .*got shape \(1, 2\)"),
        (([1, 0, 1],), r"one column for each of the 3 labels .*got shape \(3,\)"),
        ((np.empty((0, 3)),), r"at least one row.*got shape \(0, 3\)"),
        (([[1, 0, 2]],), r"Y must hold values in \[0, 1\].*got 2"),
        (([["a", "b", "c"]],), "Y must be a dense numeric array"),
        (([[1, 0, 1]], [1, 1]), r"sample_weight .*\(1,\), got \(2,\)"),
        (([[1, 0, 1]], [-1]), "sample_weight must be non-negative"),
        (([[1, 0, 1]], [0]), "sample_weight is 0 for every row"),
    ],
)
@pytest.mark.parametrize("cls", SETS)
def test_learn_sets_raises_and_keeps_the_label_sets(cls, arguments, message):
    decoder = cls().fit(np.zeros((1, 3)), [[1, 1, 0]])
    with pytest.raises(ValueError, match=message):
        decoder.learn_sets(*arguments)
    assert decoder.label_sets_.astype(int).tolist() == [[1, 1, 0]]
    with pytest.raises(NotFittedError, match=f"{cls.__name__} is not fitted yet; call fit"):
        cls().learn_sets(*arguments)
