import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_mlloss.decoders import FixedThreshold, HierarchyClosure, PerLabelThreshold, RiskControl


@st.composite
def forests(draw, max_labels=8):
    """Random parents, labels in random order."""
    n_labels = draw(st.integers(1, max_labels))
    parents = [draw(st.integers(-1, label - 1)) for label in range(n_labels)]
    name = draw(st.permutations(range(n_labels)))
    shuffled = [0] * n_labels
    for label, parent in enumerate(parents):
        shuffled[name[label]] = -1 if parent == -1 else name[parent]
    return shuffled


def consistent_sets(parents):
    return [
        np.array(h)
        for h in itertools.product([0, 1], repeat=len(parents))
        if all(parent == -1 or h[parent] >= h[label] for label, parent in enumerate(parents))
    ]


def assert_best(hat, parents, gain):
    sets = consistent_sets(parents)
    assert any((hat == h).all() for h in sets)
    values = np.array([gain @ h for h in sets])
    assert gain @ hat == pytest.approx(values.max(), abs=1e-9)
    assert hat.sum() == min(
        h.sum() for h, v in zip(sets, values, strict=True) if v > max(values) - 1e-11
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data(), parents=forests())
def test_the_best_of_all_consistent_sets(data, parents):
    value = st.one_of(
        st.integers(0, 20).map(lambda k: k / 20), st.floats(0, 1).map(lambda x: round(x, 9))
    )
    p = data.draw(hnp.arrays(float, len(parents), elements=value))
    assert_best(HierarchyClosure(parents).decode(p[None])[0], parents, p - 0.5)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), parents=forests())
def test_the_consistent_set_nearest_to_a_decision(data, parents):
    p = data.draw(hnp.arrays(float, len(parents), elements=st.floats(0, 1)))
    hat = HierarchyClosure(np.array(parents), FixedThreshold(0.3)).decode(p[None])[0]
    assert_best(hat, parents, (p >= 0.3) - 0.5)


def test_consistent_decisions_are_left_alone():
    parents = [-1, 0, 0, 1, -1]
    for h in consistent_sets(parents):
        assert HierarchyClosure(parents, FixedThreshold(0.3)).decode([h * 0.3]).tolist() == [
            h.astype(bool).tolist()
        ]


def test_without_edges_it_is_a_threshold():
    p = np.random.default_rng(0).random((50, 4))
    assert (HierarchyClosure([-1] * 4).decode(p) == FixedThreshold().decode(p)).all()


def test_a_label_without_its_parent():
    closure = HierarchyClosure([-1, 0, 0], FixedThreshold())
    assert closure.decode([[0.1, 0.9, 0.1], [0.1, 0.9, 0.9]]).tolist() == [
        [False, False, False],
        [True, True, True],
    ]


def test_it_delegates_and_fits_a_copy():
    inner = PerLabelThreshold(min_positives=1)
    closure = HierarchyClosure([-1, 0], inner)
    assert closure.requires_fit and not closure.needs_probabilities
    assert not HierarchyClosure([-1, 0]).requires_fit
    assert HierarchyClosure([-1, 0]).needs_probabilities
    assert HierarchyClosure([-1, 0], RiskControl()).untouched_rows
    assert not HierarchyClosure([-1, 0]).untouched_rows
    closure.fit([[0.3, 0.1], [0.1, 0.2]], [[1, 0], [0, 1]])
    assert closure.decoder_.thresholds_ == pytest.approx([0.2, 0.15])
    assert not hasattr(inner, "thresholds_")
    assert closure.get_params()["decoder__min_positives"] == 1


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        (None, "parents is None: HierarchyClosure needs the hierarchy"),
        ([-1, 0], "one integer for each of the 3 labels"),
        ([-1.0, 0.0, 0.0], "one integer for each"),
        ([-1, 0, 3], "indices of labels, 0 to 2, or -1 for a root, got 3"),
        ([-2, 0, 0], "got -2"),
        ([[-1, 0], [0]], "one integer for each of the 3 labels, got"),
        ([0, -1, 1], "has a cycle: label 0"),
        ([-1, 2, 1], "has a cycle: label 1"),
    ],
)
def test_bad_parents(parents, message):
    scores = np.full((2, 3), 0.6)
    with pytest.raises(ValueError, match=message):
        HierarchyClosure(parents).decode(scores)
    with pytest.raises(ValueError, match=message):
        HierarchyClosure(parents, "global_threshold").fit(scores, np.ones((2, 3)))
