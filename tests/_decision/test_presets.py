"""Presets of metrics: every preset fits, and predicts as documented."""

import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    get_scorer,
    hamming_loss,
    label_ranking_average_precision_score,
    log_loss,
    make_scorer,
    roc_auc_score,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from sklearn_mlloss import DecodedClassifierCV, LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._decision.presets import PRESETS, vote_for
from sklearn_mlloss.decoders import DECODERS, GlobalThreshold, get_decoder
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.metrics import f_measure, multilabel_scorers

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(200, 3)) > 0.5).astype(int)
TREE = MultiOutputClassifier(DecisionTreeClassifier(max_depth=2, random_state=0))
SMALL = dict(hidden_layer_sizes=(8,), max_epochs=3, linear_part=False, random_state=0, device="cpu")


def test_presets_are_parameters():
    own = MultiLabelNetClassifier().get_params()
    for preset in PRESETS.values():
        assert preset.keys() <= own.keys()
        assert preset["loss"] in LOSSES and preset["decoder"] in ["auto", *DECODERS]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("preset", {str(p): p for p in PRESETS.values()}.values(), ids=str)
def test_the_classifier_of_a_preset_fits(preset):
    metric = next(name for name, given in PRESETS.items() if given == preset)
    net = MultiLabelNetClassifier.for_metric(metric, **SMALL).fit(X, Y)
    assert len(net.nets_) == preset["cv"]
    assert type(net.loss_) is LOSSES[preset["loss"]]
    if preset["decoder"] != "auto":
        assert type(net.decoder_) is type(get_decoder(preset["decoder"]))


def test_parameters_that_are_given_take_precedence():
    net = MultiLabelNetClassifier.for_metric("f1_micro", cv=None, loss="focal", dropout=0.3)
    assert (net.cv, net.loss, net.dropout) == (None, "focal", 0.3)
    assert net.decoder == PRESETS["f1_micro"]["decoder"]


def test_a_custom_network_replaces_that_of_the_preset():
    net = MultiLabelNetClassifier.for_metric("f1_micro", module=nn.Linear, cv=None, max_epochs=2,
                                             early_stopping=False, device="cpu")  # fmt: skip
    assert isinstance(net.fit(X, Y).net_.module_.network, nn.Linear)


def test_probabilities_are_calibrated():
    two = (256, 256)
    for metric, sizes in ("log_loss", two), ("brier_score", two), ("ece", "auto"):
        net = MultiLabelNetClassifier(cv=10, calibration="beta", hidden_layer_sizes=sizes)
        assert MultiLabelNetClassifier.for_metric(metric).get_params() == net.get_params()
        forest = DecodedClassifierCV.for_metric(metric, ExtraTreesClassifier())
        assert forest.calibration == DecodedClassifierCV.for_metric(metric).calibration == "beta"
        # A tenth of the rows is too few for that.
        assert MultiLabelNetClassifier.for_metric(metric, cv=None).calibration is None
        given = MultiLabelNetClassifier.for_metric(metric, cv=None, calibration="isotonic")
        assert given.calibration == "isotonic"
    assert MultiLabelNetClassifier.for_metric("f1_micro").calibration is None
    assert DecodedClassifierCV.for_metric("ndcg").calibration is None


def test_weights_of_a_soft_voting_ensemble():
    for metric in ("average_precision", "roc_auc", "neg_roc_auc", "macro_average_precision"):
        assert vote_for(metric) is None
    for metric in ("f1_macro", "ndcg", "label_ranking_average_precision", "neg_log_loss"):
        assert vote_for(metric) == "learned"
    with pytest.raises(ValueError, match="did you mean"):
        vote_for("f1_makro")


def test_names_of_scorers_mean_the_same():
    for name in multilabel_scorers(k=7):
        one = MultiLabelNetClassifier.for_metric(name)
        other = MultiLabelNetClassifier.for_metric(name.removeprefix("neg_").replace("_7", "_k"))
        assert one.get_params() == other.get_params()


KNOWN = {
    "scorer by name": (get_scorer("f1_macro"), "f1_macro"),
    "scorer of scikit-learn": (make_scorer(f1_score, average="samples"), "f1_samples"),
    "zero division": (make_scorer(f1_score, average="micro", zero_division=1), "f1_micro"),
    "partial": (partial(f1_score, average="macro"), "f1_macro"),
    "scorer of a partial": (make_scorer(partial(f1_score, average="macro")), "f1_macro"),
    "F-beta of 1": (partial(fbeta_score, beta=1, average="macro"), "f1_macro"),
    "loss": (make_scorer(hamming_loss, greater_is_better=False), "hamming_loss"),
    "function": (roc_auc_score, "roc_auc"),
    "ranking": (label_ranking_average_precision_score, "label_ranking_average_precision"),
    "probabilities": (log_loss, "log_loss"),
    "ours": (partial(f_measure, average="samples"), "f1_samples"),
    "ours by default": (f_measure, "f1_micro"),
} | {f"our {name}": (scorer, name) for name, scorer in multilabel_scorers(k=2).items()}


@pytest.mark.parametrize("case", KNOWN)
def test_functions_and_scorers_have_the_preset_of_their_name(case):
    metric, name = KNOWN[case]
    of_metric, of_name = (
        (MultiLabelNetClassifier.for_metric(one), DecodedClassifierCV.for_metric(one, TREE))
        for one in (metric, name)
    )
    for one, other in zip(of_metric, of_name, strict=True):
        assert one.get_params() == other.get_params()
    assert vote_for(metric) == vote_for(name)


def found(Y, Y_hat):
    return float(Y[Y_hat == 1].sum())


def missed(Y, Y_hat):
    return float(Y[Y_hat == 0].sum())


def f2(Y, Y_hat):
    return fbeta_score(Y, Y_hat, beta=2, average="micro")


@pytest.mark.parametrize(
    "metric, same",
    [
        (found, found),
        (make_scorer(missed, greater_is_better=False), found),
        (make_scorer(fbeta_score, beta=2, average="micro"), f2),
        (partial(fbeta_score, beta=2, average="micro"), f2),
    ],
    ids=["function", "loss", "scorer", "partial"],
)
def test_a_metric_of_decisions_without_a_preset_is_maximised(metric, same):
    clf = DecodedClassifierCV.for_metric(metric, TREE, cv=2, random_state=0)
    clf = pickle.loads(pickle.dumps(clone(clf)))
    assert "GlobalThreshold" in repr(clf) and callable(clf.get_params()["decoder__metric"])
    clf = pickle.loads(pickle.dumps(clf.fit(X, Y)))
    expected = DecodedClassifierCV(TREE, GlobalThreshold(same), cv=2, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(clf.predict(X), expected.predict(X))
    net = MultiLabelNetClassifier.for_metric(metric)
    assert isinstance(net.decoder, GlobalThreshold) and net.cv == 10 and vote_for(metric)


def test_a_metric_of_scores_without_a_preset_keeps_the_decoder_of_the_loss():
    for metric in (
        make_scorer(roc_auc_score, response_method="predict_proba", average="micro"),
        partial(roc_auc_score, average="micro"),
    ):
        assert MultiLabelNetClassifier.for_metric(metric).decoder == "auto"
        assert DecodedClassifierCV.for_metric(metric, TREE).decoder == "auto"


def test_functions_that_are_no_metric_are_refused():
    with pytest.raises(ValueError, match="f1_score needs an average.*average='macro'"):
        MultiLabelNetClassifier.for_metric(f1_score)
    with pytest.raises(TypeError, match=r"metric must be callable with \(Y, Y_hat\)"):
        MultiLabelNetClassifier.for_metric(lambda model, X, y: 0.0)
    clf = DecodedClassifierCV.for_metric(balanced_accuracy_score, TREE, cv=2)
    with pytest.raises(ValueError, match="multilabel-indicator"):
        clf.fit(X, Y)


class Untrained(DecisionTreeClassifier):
    def fit(self, *args, **params):
        raise AssertionError("trained")


def test_metrics_of_several_numbers_are_refused_before_training(monkeypatch):
    monkeypatch.setattr("sklearn_mlloss.classifier.train_cached", Untrained.fit)
    per_label = partial(f1_score, average=None)
    for clf in (
        DecodedClassifierCV.for_metric(per_label, Untrained()),
        DecodedClassifierCV.for_metric(per_label),
        MultiLabelNetClassifier.for_metric(per_label),
        LossDecoderSearchCV(losses=["bce"], decoders=[GlobalThreshold(per_label)]),
        LossDecoderSearchCV(losses=["bce"], scoring=make_scorer(per_label)),
    ):
        with pytest.raises((TypeError, ValueError), match="must return a number|cannot score y"):
            clf.fit(X, Y)


@pytest.mark.parametrize(
    "metric, hint",
    [
        ("f1_makro", "did you mean 'f1_macro'"),
        ("F1", "average over labels: use 'f1_micro' or 'f1_macro' or 'f1_weighted' or 'f1_s"),
        ("precision", r"fbeta_score, beta=2, average='macro'\), .* or 'precision_at_k'"),
        ("recall_macro", "predicting all of them recall"),
        (None, "None"),
        ([], r"\[\]"),
    ],
)
def test_unknown_metrics_are_named(metric, hint):
    with pytest.raises(ValueError, match=f"metric must be one of f1_micro, .*{hint}"):
        MultiLabelNetClassifier.for_metric(metric)


def test_presets_are_not_changed_by_what_is_made_of_them():
    MultiLabelNetClassifier.for_metric("f1_micro").set_params(loss="focal")
    assert PRESETS["f1_micro"]["loss"] == "bce"
