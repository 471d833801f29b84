"""Habits of a user of scikit-learn: each works, or is refused with advice on what to use."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    f1_score,
    hamming_loss,
    make_scorer,
    multilabel_confusion_matrix,
    roc_auc_score,
    roc_curve,
)
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss.metrics import multilabel_scorers
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
]

rng = np.random.default_rng(0)
N = 48
X = rng.normal(size=(N, 4))
Y = (X[:, :3] + 0.5 * rng.normal(size=(N, 3)) > 0.2).astype(int)
Y_NAN = np.where(rng.random(Y.shape) < 0.1, np.nan, Y)
NAMES = ["comedy", "drama", "horror"]
FRAME = pd.DataFrame(X, columns=list("abcd"))
LABELS = pd.DataFrame(Y, columns=NAMES)
TREES = MultiOutputClassifier(DecisionTreeClassifier(max_depth=3, random_state=0))


def net(**params):
    usual = dict(hidden_layer_sizes=(4,), max_epochs=2, linear_part=False, encoding="standard",
                 random_state=0, device="cpu")  # fmt: skip
    return MultiLabelNetClassifier(**usual | params)


def decoded(**params):
    usual = dict(decoder="global_threshold", cv=2, random_state=0)
    return DecodedClassifierCV(TREES, **usual | params)


def search(**params):
    usual = dict(cv=2, random_state=0)
    return LossDecoderSearchCV(net(), ["bce"], ["threshold", "top_k"], **usual | params)


MODELS = {"net": net, "decoded": decoded, "search": search}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: make().fit(FRAME, LABELS) for name, make in MODELS.items()}


each_fitted = pytest.mark.parametrize("name", MODELS)

# ------------------------------------------------------------------ what works


def split_stratified():
    train, test = train_test_split(np.arange(N), test_size=0.5, stratify=Y, random_state=0)
    assert 0 <= net().fit(X[train], Y[train]).score(X[test], Y[test]) <= 1


def grid_over_a_parameter_of_the_loss():
    grid = GridSearchCV(net(loss="focal"), {"loss__gamma": [0, 2]}, cv=2, scoring="f1_macro")
    assert grid.fit(X, Y).best_estimator_.loss_.gamma in (0, 2)


def random_search():
    chosen = RandomizedSearchCV(
        decoded(), {"decoder": ["top_k", "threshold"], "estimator__estimator__max_depth": [1, 2]},
        n_iter=2, cv=2, scoring="f1_samples", random_state=0,
    )  # fmt: skip
    assert chosen.fit(X, Y).best_params_["decoder"] in ("top_k", "threshold")


def pipeline_with_frames():
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), net())
    assert pipe.fit(FRAME, LABELS)[-1].feature_names_in_.tolist() == list("abcd")


def column_transformer():
    table = FRAME.assign(city=["x", "y"] * (N // 2))
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), ["city"]),
    )
    assert make_pipeline(columns, net()).fit(table, Y).predict(table).shape == (N, 3)


def category_columns():
    table = FRAME.assign(city=pd.Categorical(["x", "y"] * (N // 2)))
    assert net().fit(table, Y).is_categorical_.tolist() == [False] * 4 + [True]


def lists_of_lists():
    np.testing.assert_array_equal(
        net().fit(X.tolist(), Y.tolist()).predict(X.tolist()), net().fit(X, Y).predict(X)
    )


def bool_labels():
    assert net().fit(X, Y == 1).predict(X).dtype == bool


def sparse_labels():
    predicted = net().fit(sp.csr_matrix(X), sp.csr_matrix(Y)).predict(sp.csr_matrix(X))
    assert sp.issparse(predicted) and 0 <= f1_score(Y, predicted, average="micro") <= 1


def binary_column():
    clf = net().fit(X, np.array(["no", "yes"])[Y[:, 0]])
    assert clf.classes_.tolist() == ["no", "yes"] and clf.predict_proba(X).shape == (N, 2)


def missing_labels_in_cross_validation():
    scores = cross_val_score(
        net(), X, Y_NAN, cv=MultilabelStratifiedKFold(2), scoring=multilabel_scorers()["f1_macro"]
    )
    assert np.isfinite(scores).all()
    assert np.isfinite(cross_val_score(net(), X, Y_NAN, cv=MultilabelStratifiedKFold(2))).all()


def missing_labels_in_search():
    assert search(scoring="hamming_loss").fit(X, Y_NAN).best_score_ < 0


def no_early_stopping():
    assert net(early_stopping=False).fit(X, Y).n_iter_ == 2


def all_cores():
    with joblib.parallel_backend("threading"):
        assert len(net(cv=2, n_jobs=-1).fit(X, Y).nets_) == 2
        assert len(decoded(n_jobs=-1).fit(X, Y).estimators_) == 2


def another_decoder_with_its_parameter():
    clf = net().set_params(decoder="top_k", decoder__k=2).fit(X, Y)
    assert (clf.predict(X).sum(axis=1) == 2).all()


def one_net_per_label():
    proba = MultiOutputClassifier(net()).fit(X, Y).predict_proba(X)
    assert [part.shape for part in proba] == [(N, 2)] * 3
    assert OneVsRestClassifier(net()).fit(X, Y).predict(X).shape == (N, 3)
    assert ClassifierChain(net(), random_state=0).fit(X, Y).predict(X).shape == (N, 3)


def tuned_threshold_of_one_label():
    tuned = TunedThresholdClassifierCV(net(), cv=2).fit(X, Y[:, 0])
    assert 0 <= tuned.best_threshold_ <= 1


def calibration():
    proba = net(calibration="sigmoid").fit(X, Y).predict_proba(X)
    assert ((proba > 0) & (proba < 1)).all()


def stacking():
    stack = StackingClassifier(
        [("trees", TREES.estimator), ("net", net())], final_estimator=net(), cv=2
    )
    assert stack.fit(X, Y).predict(X).shape == (N, 3)


def averaging():
    vote = SoftVotingClassifier([("net", net()), ("trees", TREES)]).fit(X, Y)
    assert vote.predict_proba(X).shape == (N, 3)


def select_features():
    chosen = SequentialFeatureSelector(
        decoded(), n_features_to_select=1, cv=2, scoring="f1_macro"
    ).fit(X[:, :2], Y)
    assert chosen.get_support().sum() == 1


def curve_over_rows():
    _, _, scores = learning_curve(net(), X, Y, cv=2, train_sizes=[0.5, 1.0], scoring="f1_macro")
    assert np.isfinite(scores).all()


WORKS = [
    split_stratified, grid_over_a_parameter_of_the_loss, random_search, pipeline_with_frames,
    column_transformer, category_columns, lists_of_lists, bool_labels, sparse_labels,
    binary_column, missing_labels_in_cross_validation, missing_labels_in_search,
    no_early_stopping, all_cores, another_decoder_with_its_parameter, one_net_per_label,
    tuned_threshold_of_one_label, calibration, stacking, averaging, select_features,
    curve_over_rows,
]  # fmt: skip


@pytest.mark.parametrize("habit", WORKS, ids=lambda habit: habit.__name__)
def test_it_works(habit):
    habit()


@pytest.mark.parametrize("make", [net, decoded], ids=["net", "decoded"])
def test_names_of_scorers(make):
    names = ["f1_macro", "accuracy", "average_precision", "roc_auc", "jaccard_samples"]
    cv = MultilabelStratifiedKFold(2)
    results = cross_validate(make(), X, Y, scoring=names, cv=cv, error_score="raise")
    assert all(np.isfinite(results[f"test_{name}"]).all() for name in names)
    proba = cross_val_predict(make(), X, Y, cv=2, method="predict_proba")
    assert proba.shape == (N, 3)


@each_model
def test_copies_are_equal(make, tmp_path):
    model = make()
    assert repr(clone(model).get_params()) == repr(model.get_params())


@each_fitted
def test_saved_models_predict_the_same(fitted, name, tmp_path):
    model = fitted[name]
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(copy.predict(FRAME), model.predict(FRAME))


@each_fitted
def test_metrics_of_predictions(fitted, name):
    model = fitted[name]
    predicted, proba = model.predict(FRAME), model.predict_proba(FRAME)
    assert proba.shape == predicted.shape == (N, 3) and predicted.dtype == Y.dtype
    text = classification_report(Y, predicted, target_names=NAMES, zero_division=0)
    assert "horror" in text
    assert multilabel_confusion_matrix(Y, predicted).shape == (3, 2, 2)
    assert 0 <= hamming_loss(Y, predicted) <= 1 and 0 <= roc_auc_score(Y, proba) <= 1
    by_hand = (proba >= 0.3).astype(int)
    assert 0 <= f1_score(Y, by_hand, average="macro", zero_division=0) <= 1
    scorer = make_scorer(f1_score, average="samples", zero_division=0)
    assert scorer(model, FRAME, Y) == f1_score(Y, predicted, average="samples", zero_division=0)
    expected = accuracy_score(Y, predicted)
    if name == "search":
        expected = f1_score(Y, predicted, average="macro")
    assert model.score(FRAME, LABELS) == pytest.approx(expected)
    assert model.feature_names_in_.tolist() == list("abcd")


@each_fitted
def test_missing_labels_do_not_count_in_score(fitted, name):
    if name != "search":  # whose score is a scorer of scikit-learn, unless another one is given
        assert fitted[name].score(FRAME, Y_NAN) >= fitted[name].score(FRAME, Y)


@each_fitted
def test_tools_for_one_label(fitted, name):
    model = fitted[name]
    one = model.label("drama")
    curve = partial_dependence(one, FRAME, ["b"], grid_resolution=3)
    assert curve["average"].shape == (1, 3)
    assert len(roc_curve(Y[:, 1], one.predict_proba(FRAME)[:, 1])) == 3
    importance = permutation_importance(
        model, FRAME, Y, scoring="f1_macro", n_repeats=1, random_state=0
    )
    assert importance.importances_mean.shape == (4,)


# ------------------------------------------------------------------ what is refused

INDICATOR = "y must hold 0 and 1"
REFUSED = {
    "class_weight": (lambda: net(class_weight="balanced"), TypeError, "sample_weight.*pos_weight"),
    "class_weight of a decoded classifier": (
        lambda: decoded(class_weight="balanced"), TypeError, "in the classifier that is wrapped",
    ),
    "class_weight, set": (
        lambda: net().set_params(class_weight={}), ValueError, "sample_weight.*pos_weight",
    ),
    "epochs": (lambda: net(epochs=3), TypeError, "'epochs': use max_epochs"),
    "lr": (lambda: net().set_params(lr=0.1), ValueError, "'lr'.*: use learning_rate"),
    "threshold": (lambda: net(threshold=0.3), TypeError, r"FixedThreshold\(0.3\)"),
    "a number as decoder": (lambda: decoded(decoder=0.3).fit(X, Y), TypeError, "names are"),
    "parameter of the loss": (lambda: net(loss__gamma=2), TypeError, "set_params"),
    "parameter of another loss": (
        lambda: net().set_params(loss__gamma=2), ValueError, "BinaryCrossEntropy, which has",
    ),
    "loss of a search": (lambda: search(loss="bce"), TypeError, "'loss': use losses"),
    "misspelt": (lambda: net(drop_out=0.1), TypeError, "did you mean 'dropout'"),
    "-1 and 1": (lambda: net().fit(X, 2 * Y - 1), ValueError, r"use \(y > 0\)"),
    "tags": (lambda: net().fit(X, [["a"], ["a", "b"]] * (N // 2)), ValueError, "split_tags"),
    "tags as text": (lambda: net().fit(X, ["a", "a|b"] * (N // 2)), UserWarning, "split_tags"),
    "numbers of labels": (lambda: net().fit(X, [[0], [0, 2]] * (N // 2)), ValueError, "Binarizer"),
    "several classes per column": (lambda: net().fit(X, Y + Y[:, :1]), ValueError, INDICATOR),
    "no y": (lambda: net().fit(X, None), ValueError, "requires y"),
    "predict before fit": (lambda: net().predict(X), NotFittedError, "Call 'fit'"),
    "predict before fit, decoded": (lambda: decoded().predict(X), NotFittedError, "Call 'fit'"),
    "other order of columns": (
        lambda: net().fit(FRAME, Y).predict(FRAME[list("dcba")]), ValueError, "same order",
    ),
    "text in X": (lambda: net().fit(FRAME.assign(e="x"), Y), ValueError, "astype.'category'"),
    "NaN for a metric of scikit-learn": (
        lambda: search(scoring="accuracy").fit(X, Y_NAN), ValueError, "multilabel_scorers",
    ),
    "misspelt metric": (
        lambda: search(scoring="makro_f1").fit(X, Y), ValueError, "did you mean 'f1_macro'",
    ),
    "metric without average": (
        lambda: MultiLabelNetClassifier.for_metric(f1_score), ValueError, "average='macro'",
    ),
    # By scikit-learn itself; the tests above have what to use instead.
    "cv=5 with NaN in y": (lambda: cross_val_score(net(), X, Y_NAN, cv=5), ValueError, "NaN"),
    "one threshold for several labels": (
        lambda: TunedThresholdClassifierCV(net()).fit(X, Y), ValueError, "Only binary",
    ),
    "hard votes": (
        lambda: VotingClassifier([("net", net())]).fit(X, Y), NotImplementedError, "Multilabel",
    ),
    "partial dependence of all labels": (
        lambda: partial_dependence(net().fit(X, Y), X, [0]), ValueError, "not supported",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("habit", REFUSED)
def test_it_is_refused(habit):
    call, error, words = REFUSED[habit]
    with pytest.raises(error, match=f"(?s){words}"):
        call()
