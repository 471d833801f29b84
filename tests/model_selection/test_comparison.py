"""Comparisons of models against hand computations, numerical integration and simulation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from sklearn.metrics import roc_auc_score

from sklearn_mlloss.model_selection import (
    bootstrap_corrected_score,
    corrected_t_test,
    practical_difference,
)
from sklearn_mlloss.model_selection.comparison import correct_for_selection, draw_bootstraps

DIFFERENCES = np.array([0.03, 0.01, -0.02, 0.05, 0.01])


def accuracy(y, guess):
    return np.mean(y == guess)


def fast_auc(y, score):
    """Return roc_auc_score in a hundredth of its time; only copies of a row are tied."""
    ranks = np.empty(len(y))
    ranks[score.argsort()] = np.arange(1, len(y) + 1)
    n_pos = y.sum()
    return (ranks[y == 1].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * (len(y) - n_pos))


# ------------------------------------------------------------------ corrected t-test


def test_t_test_by_hand():
    found = corrected_t_test(DIFFERENCES, n_train=80, n_test=20)
    # Mean 0.016; squared deviations 196, 36, 1296, 1156, 36 (times 1e-6) sum to 2720, so s2 = 680.
    error = np.sqrt(680e-6 * (1 / 5 + 1 / 4))
    np.testing.assert_allclose(found.difference, 0.016)
    np.testing.assert_allclose(found.std_error, error)
    np.testing.assert_allclose(found.p_value, 2 * student.sf(0.016 / error, 4))


def test_t_test_is_the_ordinary_one_where_nothing_is_shared():
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(7, 10))
    found = corrected_t_test(differences, n_train=1e12, n_test=1)
    np.testing.assert_allclose(found.p_value, ttest_1samp(differences, 0, axis=1).pvalue)


def test_t_test_degenerate():
    found = corrected_t_test([[0, 0, 0], [0.1, 0.1, 0.1], [np.nan, 0, 1]], 2, 1)
    np.testing.assert_array_equal(found.p_value, [1, 0, np.nan])
    one = corrected_t_test([0.1], 2, 1)
    assert one.difference == 0.1 and np.isnan(one.std_error) and np.isnan(one.p_value)
    with pytest.raises(ValueError, match="n_train must be a finite number > 0"):
        corrected_t_test([0.1, 0.2], 0, 1)
    with pytest.raises(ValueError, match="one value per split"):
        corrected_t_test(0.1, 2, 1)


def test_t_test_keeps_its_level_where_the_ordinary_one_does_not():
    # Splits of random train and test parts, two rules that are equally good.
    rng = np.random.default_rng(0)
    rejected = np.zeros(2)
    for _ in range(300):
        x = rng.normal(size=(40, 2))
        differences = []
        for _ in range(10):
            rows = rng.permutation(40)
            train, test = rows[:30], rows[30:]
            # The squared error of the mean of each of two independent samples.
            errors = (x[test] - x[train].mean(axis=0)) ** 2
            differences.append(errors.mean(axis=0) @ [1, -1])
        ordinary = ttest_1samp(differences, 0).pvalue
        rejected += [ordinary < 0.05, corrected_t_test(differences, 30, 10).p_value < 0.05]
    assert rejected[0] / 300 > 0.15
    assert rejected[1] / 300 < 0.12


# ------------------------------------------------------------------ practical difference


@pytest.mark.parametrize("rope", [0, 0.01, 0.03])
def test_probabilities_are_those_of_the_posterior(rope):
    found = practical_difference(DIFFERENCES, 80, 20, rope)
    # With rho = n_test / n the scale is that of Benavoli et al., (1 / n + rho / (1 - rho)) s2.
    rho = 20 / 100
    scale = np.sqrt((1 / 5 + rho / (1 - rho)) * DIFFERENCES.var(ddof=1))

    def density(x):
        return student.pdf(x, 4, DIFFERENCES.mean(), scale)

    inside = quad(density, -rope, rope)[0]
    np.testing.assert_allclose(found.equivalent, inside, atol=1e-9)
    np.testing.assert_allclose(found.better, quad(density, rope, np.inf)[0], atol=1e-7)
    np.testing.assert_allclose(found.better + found.equivalent + found.worse, 1)


def test_probabilities_mirror_the_p_value_without_a_rope():
    test = corrected_t_test(DIFFERENCES, 80, 20)
    np.testing.assert_allclose(2 * practical_difference(DIFFERENCES, 80, 20, 0).worse, test.p_value)


def test_probabilities_degenerate():
    found = practical_difference([[0, 0], [0.1, 0.1], [-0.1, -0.1]], 2, 1)
    np.testing.assert_array_equal(found.equivalent, [1, 0, 0])
    np.testing.assert_array_equal(found.better, [0, 1, 0])
    np.testing.assert_array_equal(found.worse, [0, 0, 1])
    with pytest.raises(ValueError, match="rope"):
        practical_difference(DIFFERENCES, 80, 20, -1)


# ------------------------------------------------------------------ bootstrap correction


def test_bootstraps_are_drawn_with_replacement():
    drawn = draw_bootstraps(50, 400, 0)
    assert (drawn.sum(axis=1) == 50).all() and (drawn == 0).any(axis=1).all()
    assert abs((drawn == 0).mean() - np.exp(-1)) < 0.01
    np.testing.assert_array_equal(drawn, draw_bootstraps(50, 400, 0))
    assert (draw_bootstraps(2, 100, 0) == 0).any(axis=1).all()
    with pytest.raises(ValueError, match="n_rows must be an integer >= 2"):
        draw_bootstraps(1, 10)


def test_correction_by_hand():
    in_bag = [[0.9, 0.4, np.nan, 0.1], [0.8, 0.6, 0.1, np.nan]]
    out = [[0.5, 0.6, 0.3, np.nan], [0.2, 0.4, 0.2, 0.3]]
    found = correct_for_selection(in_bag, out)
    # Winners 0, 1, 1; the last bootstrap has no score of its winner.
    np.testing.assert_allclose(found.score, np.mean([0.5, 0.4, 0.2]))
    np.testing.assert_allclose(found.interval, np.quantile([0.5, 0.4, 0.2], [0.025, 0.975]))
    first = correct_for_selection(in_bag, out, lambda scores: 0)
    np.testing.assert_allclose(first.score, np.mean([0.5, 0.6, 0.3]))
    nothing = correct_for_selection([[np.nan]], [[1.0]])
    assert np.isnan(nothing.score) and np.isnan(nothing.interval).all()


def test_one_candidate_needs_no_correction():
    rng = np.random.default_rng(0)
    y, guess = rng.integers(0, 2, (2, 60))
    found = bootstrap_corrected_score(y, [guess], accuracy, random_state=0)
    assert abs(found.score - accuracy(y, guess)) < 0.03
    assert found.interval[0] < found.score < found.interval[1]


def test_correction_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    y, guesses = rng.integers(0, 2, 30), rng.integers(0, 2, (4, 30))
    scores = []
    for times in draw_bootstraps(30, 20, 5):
        rows = [row for row in range(30) for _ in range(times[row])]
        inside = [accuracy(y[rows], guess[rows]) for guess in guesses]
        winner = guesses[int(np.argmax(inside))]
        scores.append(accuracy(y[times == 0], winner[times == 0]))
    found = bootstrap_corrected_score(y, guesses, accuracy, n_bootstraps=20, random_state=5)
    np.testing.assert_allclose(found.score, np.mean(scores))


def test_noise_is_no_better_than_noise():
    # Related candidates, as losses on one table are, and labels that nothing can predict.
    rng = np.random.default_rng(0)
    found = []
    for run in range(100):
        y = rng.permutation(np.repeat([0, 1], 50))
        scores = rng.normal(size=(8, 100)) + 0.7 * rng.normal(size=100)
        best = max(fast_auc(y, score) for score in scores)
        assert best == pytest.approx(max(roc_auc_score(y, score) for score in scores))
        corrected = bootstrap_corrected_score(
            y, scores, fast_auc, n_bootstraps=20, random_state=run
        )
        found.append([best, corrected.score])
    mean = np.mean(found, axis=0)
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert mean[0] - 0.5 > 5 * error[0]
    assert abs(mean[1] - 0.5) < 2.5 * error[1]


def test_a_clear_winner_keeps_its_score():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    guesses = [np.where(rng.random(200) < p, y, 1 - y) for p in (0.9, 0.6, 0.5)]
    found = bootstrap_corrected_score(y, guesses, accuracy, random_state=0)
    assert found.score == pytest.approx(accuracy(y, guesses[0]), abs=0.01)


def test_predictions_must_have_the_rows_of_y():
    with pytest.raises(ValueError, match="the 3 rows of y"):
        bootstrap_corrected_score([0, 1, 1], [[0, 1]], accuracy)
