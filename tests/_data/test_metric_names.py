"""Names of metrics: spellings that mean the same, and those that do not."""

import pytest
from sklearn.metrics import get_scorer_names

from sklearn_mlloss._data.metric_names import find_metric, suggest_average, suggest_metric
from sklearn_mlloss._decision.presets import PRESETS
from sklearn_mlloss.metrics import multilabel_scorers

OURS = list(multilabel_scorers(k=3))
# Spelling, the name in the presets, and that of the scorers of this package.
SPELLINGS = {
    "macro_f1": ("f1_macro", "f1_macro"),
    "f1_score_macro": ("f1_macro", "f1_macro"),
    "F1 macro": ("f1_macro", "f1_macro"),
    "neg_hamming_loss": ("hamming_loss", "neg_hamming_loss"),
    "hamming_loss": ("hamming_loss", "neg_hamming_loss"),
    "hamming": ("hamming_loss", "neg_hamming_loss"),
    "lrap": ("label_ranking_average_precision",) * 2,
    "label_ranking_average_precision_score": ("label_ranking_average_precision",) * 2,
    "label_ranking_loss": ("ranking_loss", "neg_ranking_loss"),
    "ece": ("calibration_error", "neg_calibration_error"),
    "expected_calibration_error": ("calibration_error", "neg_calibration_error"),
    "log_loss": ("log_loss", "neg_log_loss"),
    "multilabel_log_loss": ("log_loss", "neg_log_loss"),
    "brier": ("brier_score", "neg_brier_score"),
    "brier_score_loss": ("brier_score", "neg_brier_score"),
    "accuracy": ("accuracy", "subset_accuracy"),
    "subset_accuracy": ("accuracy", "subset_accuracy"),
    "macro_ap": ("average_precision", "macro_average_precision"),
    "average_precision": ("average_precision", "macro_average_precision"),
    "jaccard": ("jaccard_samples", "jaccard_samples"),
    "precision@3": ("precision_at_k", "precision_at_3"),
    "mAP": ("average_precision", "macro_average_precision"),
    "mean average precision": ("average_precision", "macro_average_precision"),
    "exact_match": ("accuracy", "subset_accuracy"),
    "micro-F1": ("f1_micro", "f1_micro"),
    "macro f1": ("f1_macro", "f1_macro"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_one_spelling_finds_the_metric_at_every_door(name):
    preset, scorer = SPELLINGS[name]
    assert find_metric(name, PRESETS) == preset
    assert find_metric(name, OURS) == scorer
    assert multilabel_scorers(k=3)[name] is not None


def test_names_that_exist_are_found_as_they_are():
    names = [*get_scorer_names(), *OURS]
    assert [find_metric(name, names) for name in names] == names


def test_different_metrics_are_not_confused():
    assert find_metric("precision_at_5", OURS) is None
    assert find_metric("precision_macro", OURS) is None
    assert find_metric("f1", PRESETS) is None
    assert find_metric("recall_macro", PRESETS) is None
    assert find_metric(None, PRESETS) is None


@pytest.mark.parametrize(
    "name, meant",
    [("makro_f1", "f1_macro"), ("haming_loss", "hamming_loss"), ("logg_loss", "log_loss")],
)
def test_suggestions_are_names_of_the_door(name, meant):
    assert suggest_metric(name, PRESETS) == f"; did you mean {meant!r}?"


def test_scorers_that_do_not_exist_are_refused():
    with pytest.raises(KeyError, match="'f1_makro'; the scorers are .*did you mean 'f1_macro'"):
        multilabel_scorers()["f1_makro"]
    assert "macro_f1" not in list(multilabel_scorers())
    assert multilabel_scorers()["macro f1"]._kwargs == {"average": "macro"}


@pytest.mark.parametrize("name", ["AUROC", "auc", "ROC-AUC", "macro_auroc"])
def test_the_area_under_the_roc_curve_has_many_names(name):
    assert find_metric(name, PRESETS) == "roc_auc"
    assert find_metric(name, get_scorer_names()) == "roc_auc"
    with pytest.raises(KeyError, match="scoring='roc_auc' is a scorer of scikit-learn"):
        multilabel_scorers()[name]


@pytest.mark.parametrize("name", ["ndcg", "ndcg@3", "NDCG_at_10"])
def test_ndcg_of_the_first_labels_has_the_preset_of_ndcg(name):
    assert find_metric(name, PRESETS) == "ndcg"
    with pytest.raises(KeyError, match=r"use sklearn.metrics.make_scorer\(ndcg_score"):
        multilabel_scorers()[name]


@pytest.mark.parametrize(
    "name, choices",
    [
        ("f1", "'f1_micro' or 'f1_macro' or 'f1_samples' or 'f1_weighted'"),
        ("precision", "'precision_macro' or 'precision_micro'"),
        ("Recall", "'recall_macro' or 'recall_micro'"),
    ],
)
def test_metrics_without_an_average_are_refused_with_the_choices(name, choices):
    with pytest.raises(KeyError, match=f"it needs an average over labels: use {choices}"):
        multilabel_scorers()[name]


def test_metrics_of_one_label():
    names = get_scorer_names()
    lacking = {name for name in names if suggest_average(name, names)}
    assert lacking == {"f1", "precision", "recall", "jaccard"}


@pytest.mark.parametrize("name", ["auprc", "PR AUC"])
def test_another_metric_is_suggested_but_not_taken(name):
    assert find_metric(name, PRESETS) is None
    assert suggest_metric(name, PRESETS) == "; did you mean 'average_precision'?"
