"""One label of a fitted classifier, with scikit-learn's tools."""

import copy
import pickle

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    confusion_matrix,
    roc_auc_score,
)
from sklearn.model_selection import TunedThresholdClassifierCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)

matplotlib.use("agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LABELS = ["sea", "hill", "sun"]
rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(120, 3)), columns=["heat", "wind", "rain"])
Y = pd.DataFrame((X.to_numpy() @ rng.normal(size=(3, 3)) > 0.4).astype(int), columns=LABELS)
KINDS = pd.Series(np.array(["ant", "bee", "cat"])[X.to_numpy().argmax(axis=1)])
NET = MultiLabelNetClassifier(
    decoder="top_k", max_epochs=3, hidden_layer_sizes=(4,), linear_part=False, device="cpu",
    random_state=0,
)  # fmt: skip
LINEAR = OneVsRestClassifier(LogisticRegression())
ESTIMATORS = {
    "net": NET,
    "decoded": DecodedClassifierCV(LINEAR, "per_label_threshold", cv=2, random_state=0),
    "voting": SoftVotingClassifier([("a", LINEAR), ("b", LINEAR)]),
    "linear": MultiLabelLogisticRegressionCV(cv=2, random_state=0),
    "search": LossDecoderSearchCV(NET, ["bce"], ["threshold"], cv=2, random_state=0),
    "piped": LossDecoderSearchCV(
        make_pipeline(StandardScaler(), NET), ["bce"], ["threshold"], cv=2, random_state=0
    ),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted():
    return {name: clone(est).fit(X, Y) for name, est in ESTIMATORS.items()}


@pytest.fixture(scope="module")
def sun(fitted):
    return fitted["decoded"].label("sun")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_all_estimators_have_labels_that_predict_as_they_do(fitted, name):
    model = fitted[name]
    for j, label in enumerate(LABELS):
        view = model.label(label)
        assert view.estimator is model and view.classes_.tolist() == [0, 1]
        proba = view.predict_proba(X)
        assert proba.shape == (120, 2)
        np.testing.assert_array_equal(proba[:, 1], model.predict_proba(X)[:, j])
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-15)
        np.testing.assert_array_equal(view.predict(X), model.predict(X)[:, j])
        assert hasattr(view, "decision_function") == hasattr(model, "decision_function")
        if hasattr(view, "decision_function"):
            np.testing.assert_array_equal(
                view.decision_function(X), model.decision_function(X)[:, j]
            )
        assert view.n_features_in_ == 3
        assert view.feature_names_in_.tolist() == X.columns.tolist()


def test_the_view_is_a_fitted_binary_classifier(sun):
    check_is_fitted(sun)
    assert is_classifier(sun)
    tags = get_tags(sun)
    assert not tags.classifier_tags.multi_class and not tags.classifier_tags.multi_label
    assert tags.input_tags == get_tags(sun.estimator).input_tags
    assert sun.score(X, Y["sun"]) == (sun.predict(X) == Y["sun"]).mean()
    assert "name='sun'" in repr(sun) and "DecodedClassifierCV" in repr(sun)
    assert "LabelView" in estimator_html_repr(sun)


def test_the_decoder_of_the_model_decides(fitted):
    view = copy.copy(fitted["decoded"]).label("hill")
    view.estimator.fit_decoder(X, Y, "threshold")
    before = view.predict(X)
    view.estimator.decoder_ = (
        clone(view.estimator.decoder_)
        .set_params(threshold=0.99)
        .fit(np.full((2, 3), 0.5), Y[:2].to_numpy())
    )
    assert before.sum() > view.predict(X).sum()


def test_labels_are_found_by_name_and_by_number(fitted):
    model = copy.copy(fitted["linear"])
    assert [model.label(j).name for j in (0, 2, np.int64(1))] == ["sea", "sun", "hill"]
    assert model.label(np.str_("hill")).index == 1
    # A number that is a name is the name.
    model.label_names_ = [2, 0, 2024]
    assert [model.label(j).index for j in (2, 0, 1, 2024)] == [0, 1, 1, 2]
    model.label_names_ = np.asarray(pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]))
    assert model.label(("a", 2)).index == 1


@pytest.mark.parametrize("wrong", ["hil", 3, -1, True, 1.5, None, ["sea"], np.arange(3)])
def test_unknown_labels_are_refused(fitted, wrong):
    near = "; did you mean 'hill'" if isinstance(wrong, str) else ""
    with pytest.raises(ValueError, match=f"nor an index of the 3 labels, 0 to 2; .*{near}"):
        fitted["net"].label(wrong)


def test_a_model_without_fit_has_no_labels():
    with pytest.raises(ValueError, match="not fitted"):
        DecodedClassifierCV(LINEAR).label(0)
    search = LossDecoderSearchCV(NET, ["bce"], ["threshold"], cv=2, refit=False, random_state=0)
    assert not hasattr(search.fit(X, Y), "label")


def test_other_forms_of_y():
    model = clone(ESTIMATORS["decoded"]).fit(X, sp.csr_matrix(Y.to_numpy()))
    view = model.label(1)
    np.testing.assert_array_equal(view.predict(X), model.predict(X).toarray()[:, 1])
    one = clone(ESTIMATORS["decoded"]).fit(X, Y[["sun"]])
    np.testing.assert_array_equal(one.label("sun").predict(X), one.predict(X).ravel())
    assert one.label(0).decision_function(X).shape == (120,)
    flags = clone(ESTIMATORS["decoded"]).fit(X, Y.astype(bool))
    assert set(flags.label("sun").predict(X).tolist()) == {0, 1}


def test_classes_of_a_1d_y_are_separated_from_the_others():
    model = DecodedClassifierCV(LogisticRegression(), cv=2, random_state=0).fit(X, KINDS)
    for j, kind in enumerate(("ant", "bee", "cat")):
        view = model.label(kind)
        np.testing.assert_array_equal(view.predict_proba(X)[:, 1], model.predict_proba(X)[:, j])
        np.testing.assert_array_equal(view.predict(X), model.predict(X) == kind)
        assert roc_auc_score(KINDS == kind, view.decision_function(X)) > 0.9
    with pytest.raises(ValueError, match="an index of the 3 classes.*did you mean 'bee'"):
        model.label("beet")
    two = DecodedClassifierCV(LogisticRegression(), cv=2, random_state=0).fit(X, KINDS == "cat")
    for value in (False, True):
        view = two.label(value)
        np.testing.assert_array_equal(view.predict(X), two.predict(X) == value)
        np.testing.assert_allclose(
            view.decision_function(X), np.log(view.predict_proba(X)) @ [-1, 1], rtol=1e-6
        )


def test_scores_without_probabilities():
    ridge = OneVsRestClassifier(RidgeClassifier())
    view = DecodedClassifierCV(ridge, "threshold").fit(X, Y).label(0)
    assert not hasattr(view, "predict_proba")
    assert RocCurveDisplay.from_estimator(view, X, Y["sea"]).roc_auc > 0.8


# ------------------------------------------------------------------ scikit-learn's tools


def test_partial_dependence(sun):
    curve = partial_dependence(sun, X, ["heat"], grid_resolution=4)
    varied = X.assign(heat=curve["grid_values"][0][2])
    expected = sun.estimator.predict_proba(varied)[:, 2].mean()
    np.testing.assert_allclose(curve["average"][0, 2], expected)
    display = PartialDependenceDisplay.from_estimator(
        sun, X, ["heat", ("wind", "rain")], grid_resolution=3
    )
    assert display.axes_.size == 2


def test_partial_dependence_of_a_category():
    table = X.assign(site=pd.Categorical(np.where(X["heat"] > 0, "north", "south")))
    net = clone(NET).fit(table, Y)
    display = PartialDependenceDisplay.from_estimator(
        net.label("sea"), table, ["site"], categorical_features=["site"]
    )
    assert display.bars_.size > 0


def test_permutation_importance(sun):
    result = permutation_importance(
        sun, X, Y["sun"], scoring="average_precision", n_repeats=2, random_state=0
    )
    assert result.importances.shape == (3, 2) and result.importances_mean.max() > 0.1


def test_displays(sun):
    y = Y["sun"]
    roc = RocCurveDisplay.from_estimator(sun, X, y)
    assert roc.roc_auc == pytest.approx(roc_auc_score(y, sun.predict_proba(X)[:, 1]))
    assert PrecisionRecallDisplay.from_estimator(sun, X, y).average_precision > 0.8
    assert len(CalibrationDisplay.from_estimator(sun, X, y, n_bins=3).prob_true) == 3
    np.testing.assert_array_equal(
        ConfusionMatrixDisplay.from_estimator(sun, X, y).confusion_matrix,
        confusion_matrix(y, sun.predict(X)),
    )
    assert DetCurveDisplay.from_estimator(sun, X, y).fpr.max() <= 1
    two = clone(ESTIMATORS["decoded"]).fit(X[["heat", "wind"]], Y).label("sun")
    boundary = DecisionBoundaryDisplay.from_estimator(
        two, X[["heat", "wind"]], response_method="predict_proba", grid_resolution=5
    )
    assert boundary.response.shape == (5, 5)


def test_to_fit_a_view_is_refused_and_frozen_views_are_not(sun):
    for refused in (sun, CalibratedClassifierCV(sun)):
        with pytest.raises(TypeError, match=r"'sun' is a view of a fitted Dec.*FrozenEstimator"):
            refused.fit(X, Y["sun"])
    with pytest.raises(TypeError, match="FrozenEstimator"):
        cross_val_score(sun, X, Y["sun"], error_score="raise")
    calibrated = CalibratedClassifierCV(FrozenEstimator(sun)).fit(X, Y["sun"])
    assert calibrated.predict_proba(X).shape == (120, 2)
    tuned = TunedThresholdClassifierCV(sun, cv="prefit", refit=False).fit(X, Y["sun"])
    assert 0 < tuned.best_threshold_ < 1


def test_a_pipeline_may_end_with_a_view():
    pipe = make_pipeline(StandardScaler(), clone(ESTIMATORS["decoded"])).fit(X, Y)
    view = make_pipeline(pipe[:-1], pipe[-1].label("sun"))
    np.testing.assert_array_equal(view.predict_proba(X)[:, 1], pipe.predict_proba(X)[:, 2])
    curve = partial_dependence(view, X, ["heat"], grid_resolution=3)
    assert curve["average"].shape == (1, 3)


def test_views_can_be_pickled_and_copied(sun):
    for same in (pickle.loads(pickle.dumps(sun)), copy.deepcopy(sun)):
        np.testing.assert_array_equal(same.predict_proba(X), sun.predict_proba(X))
    assert clone(sun) is sun
