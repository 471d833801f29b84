"""Scores of a search are those of the named scorer, for all scorers and forms of y."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.metrics import get_scorer, get_scorer_names, log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._data.targets import TargetCodec
from sklearn_mlloss._search import scoring as search_scoring
from sklearn_mlloss._search.scored_rows import ScoredRows
from sklearn_mlloss._search.scoring import Scoring, make_scorer, takes_weights
from sklearn_mlloss.metrics import multilabel_scorers

SCORERS = {name: get_scorer(name) for name in get_scorer_names()}
SCORERS |= {f"{name} of this package": scorer for name, scorer in multilabel_scorers().items()}


@pytest.fixture(autouse=True, scope="module")
def few_bootstraps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_scoring, "N_SLOW_BOOTSTRAPS", 2)
        yield


rng = np.random.default_rng(0)
N = 20
LABELS = rng.integers(0, 2, (N, 3))
FORMS = {
    "1 label": LABELS[:, :1],
    "1 label, sparse": sp.csr_matrix(LABELS[:, :1]),
    "1 label, DataFrame": pd.DataFrame(LABELS[:, :1], columns=["a"]),
    "1 label, bool": LABELS[:, :1] == 1,
    "2 labels": LABELS[:, :2],
    "3 labels": LABELS,
    "3 labels, sparse": sp.csr_array(LABELS),
    "3 labels, DataFrame": pd.DataFrame(LABELS),
    "binary": LABELS[:, 0],
    "names of two classes": np.array(["no", "yes"])[LABELS[:, 0]],
    "three classes": rng.integers(0, 3, N),
}


def respond(targets, rng):
    """Return random scores and decisions."""
    if targets.kind == "multiclass":
        scores = rng.dirichlet(np.ones(targets.n_labels_), N)
        return ScoredRows(targets, scores, scores == scores.max(axis=1, keepdims=True))
    scores = rng.uniform(0.01, 0.99, (N, targets.n_labels_))
    return ScoredRows(targets, scores, rng.random(scores.shape) < scores)


def by_hand(scorer, response, y, weight):
    """Return the score by a scorer alone, NaN if it raises."""
    params = {} if weight is None or not takes_weights(scorer) else {"sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return scorer(response, np.zeros((len(y), 1)), y, **params)
        except (TypeError, ValueError, ZeroDivisionError):
            return np.nan


@pytest.mark.parametrize(
    "form, weighted",
    [(form, False) for form in FORMS]
    + [(form, True) for form in ("1 label", "3 labels", "binary", "three classes")],
)
def test_all_scorers(form, weighted):
    y = FORMS[form]
    rng = np.random.default_rng(1)
    targets = TargetCodec().fit(y)
    response, weight = respond(targets, rng), None
    if weighted:  # a label, or a class, has positives of weight 0 only
        weight = rng.uniform(0.1, 3, N)
        weight[np.asarray(targets.transform(y))[:, -1] == 1] = 0
    dense = y.toarray() if sp.issparse(y) else y
    draw = rng.permutation(np.repeat(np.arange(N), rng.integers(0, 3, N)))[:N]
    times = np.bincount(draw, minlength=N)
    n_scored = 0
    for name, scorer in SCORERS.items():
        used = weight if takes_weights(scorer) else None
        params = {} if used is None else {"sample_weight": used}
        scoring = Scoring(scorer, "score", np.zeros((N, 1)), y, targets, params)
        parts = [np.arange(N)]
        if scoring.chosen.counts is not None:  # others call the scorer for bootstraps, too
            parts += [np.repeat(np.arange(N), times), np.flatnonzero(times == 0)]
        expected = []
        for rows in parts:
            taken = dense.iloc[rows] if hasattr(dense, "iloc") else dense[rows]
            part = None if used is None else used[rows]
            expected.append(by_hand(scorer, response.dense()[rows], taken, part))
        if np.isnan(expected).any():
            continue  # of those, see test_defined.py
        n_scored += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = scoring.score_fold(response, np.arange(N), {})[0]["score"]
        np.testing.assert_allclose(score, expected[0], err_msg=name)
        if len(expected) > 1:
            boots = scoring.bootstraps(response, np.arange(N), times[None])
            np.testing.assert_allclose(boots.ravel(), expected[1:], rtol=1e-5, err_msg=name)
    assert n_scored > 25


@pytest.mark.parametrize("form", ["1 label", "1 label, bool", "1 label, DataFrame", "binary"])
def test_one_label_is_scored_as_by_grid_search(form):
    y = FORMS[form]
    X = LABELS + rng.normal(size=(N, 3))
    net = MultiLabelNetClassifier(
        decoder="threshold", hidden_layer_sizes=(4,), max_epochs=2, early_stopping=False,
        random_state=0,
    )  # fmt: skip
    names = ["f1_macro", "f1_micro", "f1_weighted", "f1", "jaccard_macro", "accuracy", "roc_auc"]
    cv = PredefinedSplit(np.arange(N) % 2)
    search = LossDecoderSearchCV(
        net, ["bce", "focal"], ["threshold"], cv=cv, scoring=names, refit="f1_macro", random_state=0
    ).fit(X, y)
    grid = GridSearchCV(
        net, {"loss": ["bce", "focal"]}, cv=cv, scoring=names, refit="f1_macro"
    ).fit(X, y)
    for name in names:
        for k in range(2):
            column = f"split{k}_test_{name}"
            np.testing.assert_allclose(search.cv_results_[column], grid.cv_results_[column])
    assert search.best_index_ == grid.best_index_
    assert search.best_score_ == pytest.approx(grid.best_score_)


CONTAINERS = {
    "tuples": lambda Y: tuple(map(tuple, Y)),
    "objects": lambda Y: Y.astype(object),
    "bool": lambda Y: Y == 1,
    "Int64": lambda Y: pd.DataFrame(Y).astype("Int64"),
    "sparse array": sp.csr_array,
    "sparse matrix": sp.csc_matrix,
    "sparse columns": lambda Y: pd.DataFrame.sparse.from_spmatrix(sp.csr_matrix(Y)),
}


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")
@pytest.mark.parametrize(
    "form, n_labels", [*((form, 3) for form in CONTAINERS), ("sparse array", 1), ("Int64", 1)]
)
def test_labels_in_any_container_are_scored_by_any_metric(form, n_labels):
    labels = LABELS[:, :n_labels]
    X = LABELS + np.random.default_rng(0).normal(size=(N, 3))
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(4,), max_epochs=1, early_stopping=False, random_state=0
    )
    names = ["roc_auc", "neg_brier_score", "f1_macro", "neg_mean_squared_error", "accuracy"]
    search = LossDecoderSearchCV(
        net, ["bce"], ["threshold"], cv=PredefinedSplit(np.arange(N) % 2), scoring=names,
        refit="roc_auc", random_state=0,
    )  # fmt: skip
    results = []
    for y in (labels, CONTAINERS[form](labels)):
        fitted = search.fit(X, y)
        scores = {name: fitted.cv_results_[f"mean_test_{name}"][0] for name in names}
        results.append(scores | {"new": fitted.score(X, CONTAINERS[form](labels))})
        assert np.isfinite(list(results[-1].values())).all()
    assert results[0] == pytest.approx(results[1])


def test_labels_in_another_order_are_not_scored():
    frame = pd.DataFrame(LABELS, columns=list("abc"))
    net = MultiLabelNetClassifier(hidden_layer_sizes=(4,), max_epochs=1, early_stopping=False)
    search = LossDecoderSearchCV(net, ["bce"], ["threshold"], cv=2, random_state=0)
    search.fit(LABELS, frame)
    with pytest.raises(ValueError, match="y must have the columns"):
        search.score(LABELS, frame[list("cba")])


def test_each_metric_gets_the_weights_that_it_asks_for():
    targets = TargetCodec().fit(LABELS)
    response, rows, weight = respond(targets, rng), np.arange(N), rng.random(N)
    f1 = SCORERS["f1_macro"]
    plain, weighted = f1(response, None, LABELS), f1(response, None, LABELS, sample_weight=weight)
    assert plain != weighted
    with config_context(enable_metadata_routing=True):
        several = {
            name: get_scorer("f1_macro").set_score_request(sample_weight=name == "weighted")
            for name in ("plain", "weighted")
        }
        multi = search_scoring._MultimetricScorer(scorers=several)
        scoring = Scoring(multi, "plain", rows[:, None], LABELS, targets, {"sample_weight": weight})
    scores, failed = scoring.score_fold(response, rows, {})
    assert not failed
    assert scores["plain"] == pytest.approx(plain)
    assert scores["weighted"] == pytest.approx(weighted)


@pytest.mark.parametrize(
    "name",
    ["neg_log_loss", "log_loss", "brier_score", "hamming_loss", "lrap", "ece", "precision_at_2",
     "exact_match", "f1_score_macro"],
)  # fmt: skip
def test_names_of_metrics_have_many_spellings(name):
    labels = TargetCodec().fit(np.eye(3))
    proba = np.random.default_rng(0).uniform(0.1, 0.9, size=(3, 3))
    rows = ScoredRows(labels, proba, proba > 0.5)
    scorer, _ = make_scorer(name, True, np.nan, MultiLabelNetClassifier())
    expected = multilabel_scorers(k=2)[name]
    assert scorer(rows, None, np.eye(3, dtype=int)) == expected(rows, None, np.eye(3, dtype=int))
    several, metric = make_scorer([name, "roc_auc"], name, np.nan, MultiLabelNetClassifier())
    assert metric == name and list(several._scorers) == [name, "roc_auc"]
    both, _ = make_scorer({"one": name}, "one", np.nan, MultiLabelNetClassifier())
    assert type(both._scorers["one"]) is type(scorer)


def test_names_for_classes_are_those_of_scikit_learn():
    for name in ("log_loss", "neg_log_loss"):
        scorer, _ = make_scorer(name, True, np.nan, MultiLabelNetClassifier(), multilabel=False)
        assert scorer._score_func is log_loss
    with pytest.raises(ValueError, match="'ece'"):
        make_scorer("ece", True, np.nan, MultiLabelNetClassifier(), multilabel=False)


def test_unknown_names_are_refused_with_a_suggestion():
    for scoring in ("makro_f1", ["accuracy", "makro_f1"], {"one": "makro_f1"}):
        with pytest.raises(ValueError, match="'makro_f1'; did you mean 'f1_macro'"):
            make_scorer(scoring, False, np.nan, MultiLabelNetClassifier())
