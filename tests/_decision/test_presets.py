"""Presets of metrics: every preset fits, and predicts as documented."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from torch import nn

from sklearn_mlloss import DecodedClassifierCV, MultiLabelNetClassifier
from sklearn_mlloss._decision.presets import PRESETS, vote_for
from sklearn_mlloss.decoders import DECODERS, get_decoder
from sklearn_mlloss.losses import LOSSES
from sklearn_mlloss.metrics import multilabel_scorers

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(200, 3)) > 0.5).astype(int)
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


@pytest.mark.parametrize(
    "metric, hint", [("f1_makro", "did you mean 'f1_macro'"), (None, "None"), ([], r"\[\]")]
)
def test_unknown_metrics_are_named(metric, hint):
    with pytest.raises(ValueError, match=f"metric must be one of f1_micro, .*{hint}"):
        MultiLabelNetClassifier.for_metric(metric)


def test_presets_are_not_changed_by_what_is_made_of_them():
    MultiLabelNetClassifier.for_metric("f1_micro").set_params(loss="focal")
    assert PRESETS["f1_micro"]["loss"] == "bce"
