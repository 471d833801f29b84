"""Metrics of decisions in closed form give the scores of the scorers."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import f1_score, get_scorer, hamming_loss, make_scorer

from sklearn_mlloss._data.targets import TargetCodec
from sklearn_mlloss._search import scoring as search_scoring
from sklearn_mlloss._search.count_metrics import count_metric
from sklearn_mlloss._search.scored_rows import ScoredRows
from sklearn_mlloss._search.scoring import Scoring
from sklearn_mlloss.metrics import multilabel_scorers

rng = np.random.default_rng(0)


def scorings(scorer, *args):
    """Return what scores in closed form, and what scores by the scorer."""
    fast = Scoring(scorer, *args)
    assert set(fast.metrics) == {"score"} and fast.chosen.counts is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_scoring, "count_metric", lambda *args: None)
        slow = Scoring(scorer, *args)
    assert slow.chosen.counts is None and slow.chosen.defined is scorer
    return fast, slow


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        f"{m}_{a}"
        for m in ("f1", "precision", "recall", "jaccard")
        for a in ("micro", "macro", "weighted", "samples")
    ]
    + ["accuracy", "hamming", "f_measure", "jaccard_mlloss", "zero_division"],
)
def test_closed_forms_are_the_scorers(name, weighted):
    others = {
        "hamming": make_scorer(hamming_loss, greater_is_better=False),
        "f_measure": multilabel_scorers()["f1_macro"],
        "jaccard_mlloss": multilabel_scorers()["jaccard_samples"],
        "zero_division": make_scorer(f1_score, average="macro", zero_division=0),
    }
    scorer = others.get(name) or get_scorer(name)
    truth, decisions = rng.integers(0, 2, (2, 40, 4))
    truth[:3] = decisions[:2] = 0
    truth[:, 3] = decisions[:, 3] = 0
    params = {"sample_weight": rng.random(40)} if weighted else {}
    targets = TargetCodec().fit(truth)
    assert count_metric(scorer) is not None
    response = ScoredRows(targets, np.full((40, 4), 0.5), decisions.astype(bool))
    rows = np.arange(40)
    fast, slow = scorings(scorer, "score", rows[:, None], truth, targets, params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(
            fast.score_fold(response, rows, {})[0]["score"],
            slow.score_fold(response, rows, {})[0]["score"],
        )
    drawn = np.stack([np.bincount(rng.integers(0, 40, 40), minlength=40) for _ in range(5)])
    np.testing.assert_allclose(
        fast.bootstraps(response, rows, drawn), slow.bootstraps(response, rows, drawn), rtol=1e-6
    )


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize(
    "name",
    [
        f"{measure}_{average}"
        for measure in ("f1", "precision", "recall", "jaccard")
        for average in ("micro", "macro", "weighted")
    ]
    + ["accuracy"],
)
def test_closed_forms_of_classes_are_the_scorers(name, n_classes):
    scorer = get_scorer(name)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 40)])
    targets = TargetCodec().fit(y)
    # The last class has one row, and is not among those of most bootstraps.
    y[n_classes:] = np.minimum(y[n_classes:], max(1, n_classes - 2))
    guess = np.where(rng.random(len(y)) < 0.7, y, 0)
    response = ScoredRows(
        targets, np.full((len(y), targets.n_labels_), 0.5), targets.transform(guess) == 1
    )
    rows = np.arange(len(y))
    fast, slow = scorings(scorer, "score", rows[:, None], y, targets, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in (rows, rows[n_classes:]):
            np.testing.assert_allclose(
                fast.score_fold(response[part], part, {})[0]["score"],
                slow.score_fold(response[part], part, {})[0]["score"],
            )
    drawn = np.stack(
        [np.bincount(rng.integers(0, len(y), len(y)), minlength=len(y)) for _ in range(5)]
    )
    np.testing.assert_allclose(
        fast.bootstraps(response, rows, drawn), slow.bootstraps(response, rows, drawn), rtol=1e-6
    )


def test_no_closed_form_for_other_parameters():
    assert count_metric(make_scorer(f1_score, average="macro", zero_division=1)) is None
    assert count_metric(get_scorer("roc_auc")) is None
    assert count_metric(get_scorer("f1")) is None
    assert count_metric(lambda estimator, X, y: 0) is None
