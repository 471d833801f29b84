"""With known probabilities, the decoder for a metric is optimal for it."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from sklearn_mlloss.decoders import DECODERS, PerLabelThreshold

N_FIT, N_TEST = 2000, 3000


def per_row(measure):
    def values(Y, H):
        both, either = (Y * H).sum(axis=1), np.maximum(Y, H).sum(axis=1)
        return measure(both, either, Y, H)

    return values


ROWS = {
    "hamming": per_row(lambda both, either, Y, H: (Y == H).mean(axis=1)),
    "subset": per_row(lambda both, either, Y, H: (Y == H).all(axis=1) * 1.0),
    "f1": per_row(lambda both, either, Y, H: 2 * both / np.maximum(both + either, 1)),
    "jaccard": per_row(lambda both, either, Y, H: both / np.maximum(either, 1)),
}


def all_decisions(p, Y):
    """Every decoder that decides by its name alone, fitted and applied to other rows."""
    decoders = {name: cls() for name, cls in DECODERS.items() if name != "hierarchy"}
    decoders["micro"] = PerLabelThreshold(average="micro")
    return {
        name: decoder.fit(p[:N_FIT], Y[:N_FIT]).decode(p[N_FIT:])
        for name, decoder in decoders.items()
    }


@pytest.fixture(scope="module")
def independent():
    rng = np.random.default_rng(0)
    logits = rng.normal([-3, -2, -1, -1, 0, 1], 1.5, (N_FIT + N_TEST, 6))
    p = 1 / (1 + np.exp(-logits))
    Y = 1.0 * (rng.random(p.shape) < p)
    return Y[N_FIT:], all_decisions(p, Y)


@pytest.fixture(scope="module")
def dependent():
    """Six label sets; the scores are the probabilities of each label separately."""
    rng = np.random.default_rng(0)
    sets = rng.permutation(2**6)[:6, None] >> np.arange(6) & 1
    Y = 1.0 * sets[rng.choice(6, N_FIT + N_TEST, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05])]
    logits = 2 * 0.7 * (0.7 * (2 * Y - 1) + rng.normal(size=Y.shape))
    return Y[N_FIT:], all_decisions(1 / (1 + np.exp(-logits)), Y)


def assert_best_of_rows(measure, name, case):
    Y, decisions = case
    own = ROWS[measure](Y, decisions[name])
    for other, H in decisions.items():
        ahead = ROWS[measure](Y, H) - own
        assert ahead.mean() <= ahead.std() / np.sqrt(N_TEST), (other, ahead.mean())


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        ("hamming", "threshold"),
        ("hamming", "cost"),
        ("subset", "threshold"),
        ("f1", "expected_fbeta"),
        ("jaccard", "expected_jaccard"),
    ],
)
def test_best_with_independent_labels(measure, name, independent):
    assert_best_of_rows(measure, name, independent)


@pytest.mark.parametrize(("measure", "name"), [("subset", "label_set"), ("f1", "gfm")])
def test_best_with_dependent_labels(measure, name, dependent):
    assert_best_of_rows(measure, name, dependent)


@pytest.mark.parametrize(
    ("average", "name"), [("macro", "per_label_threshold"), ("micro", "global_threshold")]
)
def test_best_for_pooled_metrics(average, name, independent):
    # With calibrated scores one threshold for all labels is optimal for micro-F1.
    Y, decisions = independent

    def value(name, rows):
        return f1_score(Y[rows], decisions[name][rows], average=average, zero_division=0)

    rng = np.random.default_rng(1)
    samples = [slice(None), *(rng.integers(0, N_TEST, N_TEST) for _ in range(30))]
    best = np.array([value(name, rows) for rows in samples])
    for other in decisions:
        differences = np.array([value(other, rows) for rows in samples]) - best
        ahead, error = differences[0], differences[1:].std()
        assert ahead <= error + 1e-12, (other, ahead)


def test_the_metrics_are_those_of_scikit_learn(independent):
    Y, decisions = independent
    H = decisions["threshold"]
    assert ROWS["f1"](Y, H).mean() == pytest.approx(
        f1_score(Y, H, average="samples", zero_division=0)
    )
    assert ROWS["subset"](Y, H).mean() == accuracy_score(Y, H)
