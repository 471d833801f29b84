"""The search over losses and decoders: trainings, decisions, candidates, errors, inputs."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.metrics import f1_score, get_scorer, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, PredefinedSplit, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss._data.fitting import draw_entropy
from sklearn_mlloss._search import scoring as search_scoring
from sklearn_mlloss._search.candidates import ALL_DECODERS, DEFAULT_DECODERS, DEFAULT_LOSSES
from sklearn_mlloss.calibration import CALIBRATORS, SigmoidCalibrator
from sklearn_mlloss.decoders import (
    DECODERS,
    Decoder,
    FixedThreshold,
    GlobalThreshold,
    PerLabelThreshold,
    get_decoder,
)
from sklearn_mlloss.losses import BinaryCrossEntropy, FocalLoss, get_loss
from sklearn_mlloss.metrics import multilabel_scorers
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold
from sklearn_mlloss.model_selection.comparison import draw_bootstraps

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:.*decided by the largest score"),
    pytest.mark.filterwarnings("ignore:.*label\\(s\\) have only positives or no positive"),
]


@pytest.fixture(autouse=True, scope="module")
def few_bootstraps():
    """Where each costs calls of a scorer, few of them show as much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_scoring, "N_SLOW_BOOTSTRAPS", 4)
        yield


rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = (2 * X @ rng.normal(size=(4, 3)) + rng.normal(size=(90, 3)) > 0.7).astype(int)
CV = KFold(3)


class Net(MultiLabelNetClassifier):
    """A small net that counts the fits of all its clones in this process."""

    fits = 0

    def __init__(
        self, loss="bce", decoder="auto", *, calibration=None, hidden_layer_sizes=(8,),
        max_epochs=3, learning_rate=0.03, random_state=0, device="cpu", batch_size=32,
        early_stopping=True, linear_part=False,
    ):  # fmt: skip
        super().__init__(
            loss, decoder, calibration=calibration, hidden_layer_sizes=hidden_layer_sizes,
            max_epochs=max_epochs, learning_rate=learning_rate, random_state=random_state,
            device=device, batch_size=batch_size, early_stopping=early_stopping,
            linear_part=linear_part,
        )  # fmt: skip

    def fit(self, X, y, sample_weight=None):
        Net.fits += 1
        return super().fit(X, y, sample_weight)


class Recording(Decoder):
    """Remembers the scores that it was fitted on; a score identifies its row."""

    requires_fit = True
    seen = []

    def _fit(self, scores, Y, sample_weight, count):
        self.known_ = {row.tobytes() for row in scores}
        Recording.seen.append(len(self.known_))

    def _decode(self, scores, count):
        return np.array([[row.tobytes() in self.known_] * scores.shape[1] for row in scores])


class Broken(Decoder):
    def _decode(self, scores, count):
        raise RuntimeError("cannot decide")


def diverges(outputs, targets):
    return outputs.sum() * float("nan")


def search(**params):
    """Return a small search over two losses and two decoders."""
    defaults = dict(
        estimator=Net(), losses=["bce", "zlpr"], decoders=["threshold", "global_threshold"], cv=CV,
        random_state=0,
    )  # fmt: skip
    return LossDecoderSearchCV(**(defaults | params))


def equal(one, other):
    """Compare results, except for times."""
    assert list(one) == list(other)
    for name, column in one.items():
        if "time" not in name and name != "params":
            np.testing.assert_array_equal(column, other[name], err_msg=name)


# ------------------------------------------------------------------ training and deciding


def test_each_setting_is_trained_once_per_fold():
    Net.fits = 0
    fitted = search(
        decoders="all", calibrations=[None, "sigmoid"], param_grid={"max_epochs": [1, 2]}
    ).fit(X, Y)
    assert Net.fits == 2 * 2 * 3 + 1
    assert len(fitted.cv_results_["params"]) > 100
    Net.fits = 0
    search(refit=False).fit(X, Y)
    assert Net.fits == 2 * 3


@pytest.mark.parametrize("calibration", [None, "sigmoid"])
def test_results_are_those_of_a_loop(calibration):
    losses, decoders = ["bce", "factorized"], ["threshold", "cardinality", "gfm"]
    fitted = search(
        losses=losses, decoders=decoders, calibrations=[calibration], scoring="f1_samples"
    ).fit(X, Y)
    row = 0
    for loss in losses:
        folds = list(CV.split(X))
        nets = [Net(loss, "global_threshold").fit(X[train], Y[train]) for train, _ in folds]
        scored = [
            net._raw_scores(net._check_X(X[test]))
            for net, (_, test) in zip(nets, folds, strict=True)
        ]
        for name in decoders:
            for k, (_, test) in enumerate(folds):
                others = [j for j in range(3) if j != k]
                rows = np.concatenate([folds[j][1] for j in others])
                scores = np.concatenate([scored[j][0] for j in others])
                count = own_count = scored[k][1]
                if count is not None:
                    count = np.concatenate([scored[j][1] for j in others])
                tested = scored[k][0]
                if calibration is not None:
                    map_ = SigmoidCalibrator().fit(scores, Y[rows])
                    scores, tested = map_.transform(scores), map_.transform(tested)
                decoder = get_decoder(name).fit(scores, Y[rows], count=count)
                score = f1_score(
                    Y[test], decoder.decode(tested, own_count), average="samples", zero_division=0
                )
                np.testing.assert_allclose(fitted.cv_results_[f"split{k}_test_score"][row], score)
            row += 1


def test_refit_keeps_the_decision_of_all_out_of_fold_scores():
    fitted = search(
        losses=["bce"], decoders=["per_label_threshold"], calibrations=["beta"],
        store_cv_results=True,
    ).fit(X, Y)  # fmt: skip
    best = fitted.best_estimator_
    scores = fitted.oof_scores_[0]
    calibrator = CALIBRATORS["beta"]().fit(scores, Y)
    decoder = PerLabelThreshold().fit(calibrator.transform(scores), Y)
    np.testing.assert_array_equal(best.decoder_.thresholds_, decoder.thresholds_)
    plain = Net().fit(X, Y)
    proba = calibrator.transform(plain.predict_proba(X))
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)
    np.testing.assert_array_equal(fitted.predict(X), decoder.decode(proba))
    assert best.get_params()["decoder"] == "per_label_threshold"
    assert best.get_params()["calibration"] == "beta"


def test_decoders_are_never_fitted_on_rows_that_they_decide():
    Recording.seen = []
    fitted = search(losses=["bce"], decoders={"recording": Recording()}, refit=False).fit(X, Y)
    assert Recording.seen == [60] * 3
    # If it had been fitted on a row of its fold, that row would have all labels.
    nothing = f1_score(Y, np.zeros_like(Y), average="macro", zero_division=0)
    np.testing.assert_array_equal(fitted.cv_results_["mean_test_score"], nothing)


def test_repeats_neither_count_rows_twice_nor_show_them():
    Recording.seen = []
    fitted = search(
        losses=["bce"], decoders={"recording": Recording()}, cv=3, repeats=2, refit=False
    ).fit(X, Y)
    assert fitted.n_splits_ == 6
    # 60 other rows, with a score in each repeat.
    assert Recording.seen == [120] * 6
    assert (fitted.cv_results_["mean_test_score"] == 0).all()
    twice = search(cv=3, repeats=2, losses=["bce"], decoders=[PerLabelThreshold()]).fit(X, Y)
    assert twice.best_estimator_.decoder_.fallback_labels_.size == 0
    with pytest.raises(ValueError, match="repeats works with an int cv only"):
        search(repeats=2).fit(X, Y)


def test_oof_scores():
    fitted = search(store_cv_results=True).fit(X, Y)
    assert fitted.oof_scores_.shape == (2, 90, 3)
    for train, test in CV.split(X):
        net = Net("zlpr").fit(X[train], Y[train])
        np.testing.assert_array_equal(fitted.oof_scores_[1, test], net.predict_proba(X[test]))
    assert not hasattr(search().fit(X, Y), "oof_scores_")


def test_histories_are_those_of_each_setting_and_fold():
    fitted = search(
        estimator=make_pipeline(StandardScaler(), Net()), losses=["bce", "focal"], refit=False,
        param_grid={"net__max_epochs": [1, 2], "net__loss__gamma": [1, 3]},
    ).fit(X, Y)  # fmt: skip
    results = fitted.cv_results_
    assert [len(parts) for parts in fitted.histories_] == [3] * 6
    assert results["setting"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    for row, setting in enumerate(results["setting"]):
        net = make_pipeline(StandardScaler(), Net()).set_params(**results["params"][row])
        for history, (train, _) in zip(fitted.histories_[setting], CV.split(X), strict=True):
            assert history == net.fit(X[train], Y[train])[-1].history_
            assert len(history["valid_loss"]) == results["param_net__max_epochs"][row]


def test_histories_of_an_estimator_with_inner_folds():
    net = MultiLabelNetClassifier(hidden_layer_sizes=(8,), max_epochs=3, cv=2, linear_part=False)
    fitted = search(estimator=net, losses=["bce"], decoders=["threshold"], refit=False).fit(X, Y)
    assert [len(nets) for nets in fitted.histories_[0]] == [2] * 3
    assert all(len(curve["train_loss"]) == 3 for nets in fitted.histories_[0] for curve in nets)


# ------------------------------------------------------------------ candidates


def test_presets():
    fitted = search(losses="default", decoders="default", refit=False).fit(X, Y)
    results = fitted.cv_results_
    assert set(results["param_loss"]) == set(DEFAULT_LOSSES)
    assert set(results["param_decoder"]) == set(DEFAULT_DECODERS)
    assert len(results["params"]) == len(DEFAULT_LOSSES) * len(DEFAULT_DECODERS)
    assert not any(results["error"])
    assert set(ALL_DECODERS) | {"hierarchy", "cost"} == set(DECODERS)


def test_names_and_objects():
    fitted = search(
        losses={"mild": FocalLoss(gamma=0.5), "plain": "bce"}, decoders=["auto", FixedThreshold()],
        calibrations=[None, SigmoidCalibrator()],
    ).fit(X, Y)  # fmt: skip
    results = fitted.cv_results_
    assert list(dict.fromkeys(results["param_loss"])) == ["mild", "plain"]
    assert list(dict.fromkeys(results["param_decoder"])) == ["auto", "threshold"]
    assert list(dict.fromkeys(results["param_calibration"])) == [None, "sigmoid"]
    assert fitted.best_loss_ in ("mild", "plain")
    objects = search(losses=[FocalLoss(gamma=0.5), BinaryCrossEntropy()]).fit(X, Y).cv_results_
    assert set(objects["param_loss"]) == {"FocalLoss(gamma=0.5)", "bce"}
    one = search(losses="bce", decoders=GlobalThreshold).fit(X, Y).cv_results_
    assert one["param_decoder"].tolist() == ["global_threshold"]


def test_objects_are_not_changed():
    loss, decoder = FocalLoss(gamma=0.5), GlobalThreshold()
    search(losses=[loss], decoders=[decoder]).fit(X, Y)
    assert not hasattr(loss, "n_labels_") and not hasattr(decoder, "n_labels_")


def test_grid_of_hyperparameters():
    fitted = search(
        losses=["bce", "focal"], decoders=["threshold"],
        param_grid={"loss__gamma": [1, 2], "max_epochs": [1, 2]},
    ).fit(X, Y)  # fmt: skip
    results = fitted.cv_results_
    # The cross-entropy has no gamma.
    assert results["param_loss"].tolist() == ["bce"] * 2 + ["focal"] * 4
    assert results["param_loss__gamma"].tolist() == [None, None, 1, 1, 2, 2]
    assert results["param_loss__gamma"].mask.tolist() == [True, True] + [False] * 4
    grid = fitted.compare().sort_values("index")["loss__gamma"]
    assert grid.isna().tolist() == [True, True] + [False] * 4
    assert "loss__gamma" in fitted.summary() and "-" in fitted.summary()
    by_hand = Net("focal", max_epochs=2).set_params(loss__gamma=2)
    train, test = next(CV.split(X))
    by_hand.set_params(decoder="threshold").fit(X[train], Y[train])
    score = f1_score(Y[test], by_hand.predict(X[test]), average="macro", zero_division=0)
    np.testing.assert_allclose(results["split0_test_score"][-1], score)
    assert clone(fitted.estimator).set_params(**fitted.best_params_)


@pytest.mark.parametrize(
    "params, message",
    [
        (dict(losses=["bce", "nonsense"]), "nonsense"),
        (dict(losses=[]), "losses is empty"),
        (dict(losses=["bce", "bce"]), "twice"),
        (dict(decoders=["nonsense"]), "nonsense"),
        (dict(calibrations=["nonsense"]), "nonsense"),
        (dict(param_grid={"decoder": ["threshold"]}), "give decoders="),
        (dict(param_grid={"loss": ["bce"]}), "give losses="),
        (dict(param_grid={"loss__nonsense": [1]}), "no loss has the parameters"),
        (dict(param_grid={"nonsense": [1]}), "nonsense"),
        (dict(rule="nonsense"), "rule must be"),
        (dict(refit="nonsense"), "refit must be"),
        (dict(refit=3), "refit must be"),
        (dict(scoring=["f1_macro", "f1_micro"]), "refit must be False or the name"),
        (dict(scoring="nonsense"), "nonsense"),
        (dict(cv=1), "cv must be at least 2"),
        (dict(cv=[]), "no fold|No folds|at least|cv"),
        (dict(error_score="nonsense"), "error_score"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        search(**params).fit(X, Y)


def test_estimator_must_be_ours():
    with pytest.raises(TypeError, match="must be None, a MultiLabelNetClassifier or a Pipeline"):
        search(estimator=StandardScaler()).fit(X, Y)


# ------------------------------------------------------------------ what goes wrong


def test_a_failing_decoder_is_recorded():
    fitted = search(losses=["bce"], decoders=["threshold", Broken()]).fit(X, Y)
    error = fitted.cv_results_["error"]
    assert error[0] == "" and "RuntimeError: cannot decide" in error[1]
    assert np.isnan(fitted.cv_results_["mean_test_score"][1])
    assert fitted.cv_results_["rank_test_score"].tolist() == [1, 2]
    assert np.isfinite(fitted.best_score_corrected_)
    assert "1 candidate failed" in fitted.summary() and "cannot decide" in fitted.summary()
    zero = search(losses=["bce"], decoders=["threshold", Broken()], error_score=0).fit(X, Y)
    assert zero.cv_results_["mean_test_score"][1] == 0
    with pytest.raises(RuntimeError, match="cannot decide"):
        search(decoders=["threshold", Broken()], error_score="raise").fit(X, Y)


def test_a_failing_loss_is_recorded():
    with pytest.warns(FitFailedWarning, match="3 of 6 trainings failed"):
        fitted = search(losses={"bce": "bce", "bad": diverges}, store_cv_results=True).fit(X, Y)
    assert fitted.best_loss_ == "bce"
    assert all(fitted.cv_results_["error"][2:]) and not any(fitted.cv_results_["error"][:2])
    assert np.isnan(fitted.oof_scores_[1]).all()
    assert None not in fitted.histories_[0] and fitted.histories_[1] == [None] * 3
    with pytest.raises(ValueError, match="3 of 3 trainings failed"):
        search(losses=[diverges]).fit(X, Y)
    with pytest.raises(Exception, match="finite|NaN|nan"):
        search(losses=[diverges], error_score="raise").fit(X, Y)


def test_a_search_that_fails_is_as_it_was():
    fitted = search().fit(X, Y)
    before = fitted.best_score_
    with pytest.raises(ValueError, match="could be scored"):
        fitted.set_params(decoders=[Broken()]).fit(X, Y)
    assert fitted.best_score_ == before
    with pytest.raises(ValueError, match="no candidate could be scored"):
        fitted.set_params(scoring=["f1_macro", "f1_micro"], refit="f1_micro").fit(X, Y)
    assert fitted.best_score_ == before
    with pytest.raises(NotFittedError):
        search().predict(X)


def test_one_split_allows_decoders_without_a_fit():
    fitted = search(cv=ShuffleSplit(1, test_size=0.3, random_state=0)).fit(X, Y)
    assert "there is no other fold to fit the decoder" in fitted.cv_results_["error"][1]
    calibrated = search(cv=fitted.cv, calibrations=[None, "sigmoid"]).fit(X, Y)
    assert "there is no other fold to fit the calibration" in calibrated.cv_results_["error"][2]
    assert fitted.best_decoder_ == "threshold"
    assert "One split says nothing about chance" in fitted.summary()


def test_rows_that_may_serve_nothing_else():
    fitted = search(
        losses=["bce"], decoders=["risk_control"], calibrations=[None, "sigmoid"],
        scoring="recall_samples",
    ).fit(X, Y)  # fmt: skip
    assert not any(fitted.cv_results_["error"])
    assert fitted.best_score_ > 0.8
    both = search(losses=["bce"], decoders=["risk_control"], calibrations=["sigmoid"]).fit(X, Y)
    assert both.predict(X).shape == Y.shape


def test_an_estimator_with_inner_folds():
    net = MultiLabelNetClassifier(hidden_layer_sizes=(8,), max_epochs=3, cv=2, linear_part=False)
    fitted = search(estimator=net, losses=["bce"]).fit(X, Y)
    assert len(fitted.best_estimator_.nets_) == 2


def test_splits_that_overlap_or_leave_rows_out():
    fitted = search(
        cv=ShuffleSplit(4, test_size=0.3, random_state=0), store_cv_results=True
    ).fit(X, Y)  # fmt: skip
    assert not any(fitted.cv_results_["error"])
    assert np.isnan(fitted.oof_scores_).any()
    masks = [(np.arange(90) >= 30, np.arange(90) < 30), (np.arange(90) < 60, np.arange(90) >= 60)]
    assert search(cv=masks).fit(X, Y).n_splits_ == 2


def test_missing_labels():
    missing = np.where(rng.random(Y.shape) < 0.1, np.nan, Y)
    scorer = multilabel_scorers()["f1_macro"]
    fitted = search(cv=3, scoring=scorer).fit(X, missing)
    assert np.isfinite(fitted.best_score_) and np.isfinite(fitted.best_score_corrected_)
    with pytest.raises(ValueError, match="multilabel_scorers"):
        search(cv=3).fit(X, missing)


# ------------------------------------------------------------------ kinds of input


@pytest.fixture(scope="module")
def reference():
    return search().fit(X, Y)


def test_the_score_of_rows_beyond_memory_names_what_computes_it(reference):
    da = pytest.importorskip("dask.array")
    parts = da.from_array(X, chunks=(20, -1)), da.from_array(Y, chunks=(20, -1))
    with pytest.raises(ValueError, match=r"needs X in memory, got Array: best_estimator_.score"):
        reference.score(*parts)
    assert reference.best_estimator_.score(*parts) == reference.best_estimator_.score(X, Y)


@pytest.mark.parametrize("kind", ["frames", "sparse", "lists"])
def test_kinds_of_input(kind, reference):
    if kind == "frames":
        tables = pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(Y, columns=list("xyz"))
    elif kind == "sparse":
        tables = sp.csr_array(X), sp.csr_array(Y)
    else:
        tables = X.tolist(), Y.tolist()
    fitted = search().fit(*tables)
    plain = X
    if kind == "sparse":  # sparse numbers are encoded otherwise
        plain = tables[0]
        reference = search().fit(plain, Y)
    np.testing.assert_allclose(
        fitted.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], atol=1e-6
    )
    labels = fitted.predict(tables[0])
    assert sp.issparse(labels) == (kind == "sparse")
    np.testing.assert_array_equal(
        labels.toarray() if kind == "sparse" else labels, reference.predict(plain)
    )
    assert fitted.n_features_in_ == 4
    assert hasattr(fitted, "feature_names_in_") == (kind == "frames")


def test_pipeline(reference):
    pipe = make_pipeline(FunctionTransformer(lambda x: 10 * x), StandardScaler(), Net())
    fitted = search(estimator=pipe, param_grid={"net__max_epochs": [1, 3]}).fit(X, Y)
    assert set(fitted.best_params_) == {
        "net__loss", "net__decoder", "net__calibration", "net__max_epochs"
    }  # fmt: skip
    assert {"param_loss", "param_decoder", "param_net__max_epochs"} <= set(fitted.cv_results_)
    scores = []
    for train, test in CV.split(X):
        by_hand = clone(pipe).set_params(net__loss="zlpr", net__decoder="threshold")
        labels = by_hand.fit(X[train], Y[train]).predict(X[test])
        scores.append(f1_score(Y[test], labels, average="macro", zero_division=0))
    row = fitted.cv_results_["params"].index(
        {"net__loss": "zlpr", "net__max_epochs": 3, "net__calibration": None,
         "net__decoder": "threshold"}
    )  # fmt: skip
    np.testing.assert_allclose(fitted.cv_results_["mean_test_score"][row], np.mean(scores))
    assert fitted.predict(X).shape == (90, 3)
    inside = make_pipeline(StandardScaler(), search()).fit(X, Y)
    assert inside.predict(X).shape == (90, 3)


@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"]])
def test_classes(classes):
    y = np.array(classes)[(X[:, 0] > 0).astype(int) + (X[:, 0] > 1) * (len(classes) > 2)]
    fitted = search(decoders="default", scoring=["f1_macro", "roc_auc_ovr"], refit="f1_macro")
    fitted.fit(X, y)
    decoders = set(fitted.cv_results_["param_decoder"])
    expected = {"argmax"} if len(classes) > 2 else {"threshold", "global_threshold"}
    assert decoders == expected
    np.testing.assert_array_equal(fitted.classes_, classes)
    assert set(fitted.predict(X)) <= set(classes)
    grid = GridSearchCV(
        Net(), {"loss": ["bce", "zlpr"], "decoder": [sorted(expected)[-1]]}, cv=CV,
        scoring=["f1_macro", "roc_auc_ovr"], refit=False,
    ).fit(X, y)  # fmt: skip
    rows = [
        row
        for row, name in enumerate(fitted.cv_results_["param_decoder"])
        if name == sorted(expected)[-1]
    ]
    for metric in ("f1_macro", "roc_auc_ovr"):
        for k in range(3):
            name = f"split{k}_test_{metric}"
            np.testing.assert_allclose(fitted.cv_results_[name][rows], grid.cv_results_[name])


def test_one_label():
    fitted = search(decoders="default").fit(X, Y[:, :1])
    assert set(fitted.cv_results_["param_decoder"]) == {"threshold", "global_threshold"}
    assert fitted.predict(X).shape == (90, 1)


def test_no_estimator():
    fitted = LossDecoderSearchCV(
        None, ["bce"], ["threshold"], param_grid={"max_epochs": [1]}, cv=2
    ).fit(X, Y)
    assert type(fitted.best_estimator_) is MultiLabelNetClassifier


# ------------------------------------------------------------------ as in scikit-learn


def test_results_are_those_of_grid_search():
    scoring = {
        "auc": "roc_auc",
        "f1": "f1_micro",
        "brier": make_scorer(roc_auc_score, response_method="decision_function"),
    }
    fitted = search(decoders=["threshold"], scoring=scoring, refit="f1").fit(X, Y)
    grid = GridSearchCV(
        Net(decoder="threshold"), {"loss": ["bce", "zlpr"]}, cv=CV, scoring=scoring, refit="f1"
    ).fit(X, Y)
    for name, column in grid.cv_results_.items():
        assert name in fitted.cv_results_
        if "test" in name:
            np.testing.assert_allclose(fitted.cv_results_[name], column, err_msg=name)
    assert fitted.best_index_ == grid.best_index_ and fitted.multimetric_
    assert fitted.best_score_ == pytest.approx(grid.best_score_)
    assert fitted.score(X, Y) == pytest.approx(grid.score(X, Y))
    assert set(fitted.scorer_) == set(scoring)
    assert len(pd.DataFrame(fitted.cv_results_)) == 2
    assert fitted.compare("auc").shape[0] == 2
    with pytest.raises(ValueError, match="metric must be one of"):
        fitted.compare("nonsense")


def test_scoring_by_callables():
    def two(estimator, X, y):
        assert X.shape[1] == 4  # the rows themselves
        labels = estimator.predict(X)
        return {"a": f1_score(y, labels, average="micro"), "b": -len(X)}

    fitted = search(scoring=two, refit="a").fit(X, Y)
    grid = GridSearchCV(
        Net(decoder="threshold"), {"loss": ["bce", "zlpr"]}, cv=CV, scoring=two, refit="a"
    ).fit(X, Y)
    np.testing.assert_allclose(
        fitted.cv_results_["mean_test_a"][[0, 2]], grid.cv_results_["mean_test_a"]
    )
    assert np.isfinite(fitted.best_score_corrected_)
    with pytest.raises(ValueError, match=r"refit must be False or one of \['a', 'b'\], got 'c'"):
        search(scoring=two, refit="c").fit(X, Y)
    none = search(scoring=None, decoders=["threshold"]).fit(X, Y)
    assert none.best_score_ == pytest.approx(none.cv_results_["mean_test_score"].max())

    def half(estimator, X, y):
        return f1_score(y[:5], estimator.predict(X[:5]), average="micro")

    with pytest.raises(ValueError, match="asked for 5 rows"):
        search(scoring=half).fit(X, Y)


def test_without_refit():
    fitted = search(refit=False).fit(X, Y)
    assert fitted.best_score_ == fitted.cv_results_["mean_test_score"].max()
    for name in ("predict", "predict_proba", "score", "best_estimator_"):
        assert not hasattr(fitted, name)
    several = search(scoring=["f1_macro", "f1_micro"], refit=False).fit(X, Y)
    assert not hasattr(several, "best_index_")
    assert "not significantly different" in several.summary("f1_micro")
    assert hasattr(search(), "predict")


def test_methods_are_those_of_the_refitted_estimator(reference):
    best = reference.best_estimator_
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(reference, name)(X), getattr(best, name)(X))
    assert reference.score(X, Y) == get_scorer("f1_macro")(best, X, Y)
    np.testing.assert_array_equal(reference.classes_, best.classes_)


def test_clone_and_pickle(reference):
    assert not hasattr(clone(reference), "cv_results_")
    again = pickle.loads(pickle.dumps(reference))
    np.testing.assert_array_equal(again.predict(X), reference.predict(X))
    assert again.summary() == reference.summary()
    assert "LossDecoderSearchCV" in repr(reference)
    assert reference._repr_html_()


def test_same_random_state_same_result(reference):
    equal(reference.cv_results_, search().fit(X, Y).cv_results_)
    # An int of folds, and a net without a random state.
    drawn = [search(estimator=Net(random_state=None), cv=3).fit(X, Y) for _ in range(2)]
    equal(drawn[0].cv_results_, drawn[1].cv_results_)
    assert drawn[0].best_score_corrected_ == drawn[1].best_score_corrected_
    np.testing.assert_array_equal(drawn[0].predict_proba(X), drawn[1].predict_proba(X))


def test_jobs(reference):
    from joblib import parallel_config

    with parallel_config("threading"):
        two = search(n_jobs=2).fit(X, Y)
    equal(reference.cv_results_, two.cv_results_)


@pytest.mark.slow
def test_jobs_in_processes():
    # Processes of loky cannot import a class of this file.
    net = MultiLabelNetClassifier(hidden_layer_sizes=(8,), max_epochs=3, random_state=0)
    one, two = (search(estimator=net, n_jobs=n).fit(X, Y) for n in (None, 2))
    equal(one.cv_results_, two.cv_results_)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_groups():
    groups = np.repeat(np.arange(30), 3)
    for cv in (3, GroupKFold(3)):
        Recording.seen = []
        fitted = search(cv=cv, refit=False).fit(X, Y, groups=groups)
        assert fitted.n_splits_ == 3
    with pytest.raises(ValueError, match="groups"):
        search(cv=GroupKFold(3)).fit(X, Y)


def test_weights_reach_nets_decisions_and_scores():
    weight = rng.integers(0, 3, 90).astype(float)
    fitted = search(losses=["bce"], decoders=["global_threshold"]).fit(X, Y, sample_weight=weight)
    folds = list(CV.split(X))
    nets = [Net(decoder="threshold").fit(X[a], Y[a], weight[a]) for a, _ in folds]
    scores = np.concatenate(
        [net.predict_proba(X[b]) for net, (_, b) in zip(nets, folds, strict=True)]
    )
    for k, (train, test) in enumerate(folds):
        decoder = GlobalThreshold().fit(scores[train], Y[train], weight[train])
        score = f1_score(
            Y[test], decoder.decode(scores[test]), average="macro", sample_weight=weight[test],
            zero_division=0,
        )  # fmt: skip
        np.testing.assert_allclose(fitted.cv_results_[f"split{k}_test_score"], score)
    decoder = GlobalThreshold().fit(scores, Y, weight)
    assert fitted.best_estimator_.decoder_.threshold_ == decoder.threshold_
    by_label = np.repeat(weight[:, None], 3, axis=1)
    assert search(losses=["bce"]).fit(X, Y, sample_weight=by_label)
    pipe = make_pipeline(StandardScaler(), Net())
    assert search(estimator=pipe).fit(X, Y, net__sample_weight=weight)


def test_a_weight_of_two_is_a_repeated_row():
    net = MultiLabelNetClassifier(
        hidden_layer_sizes=(8,), max_epochs=10, dropout=0, early_stopping=False, batch_size=1000,
        precision="float64", random_state=0,
    )  # fmt: skip
    rows = np.concatenate([np.arange(90), np.arange(0, 90, 2)])
    weight = np.bincount(rows).astype(float)
    weight[rng.permutation(90)[:9]] = 0
    rows = np.repeat(np.arange(90), weight.astype(int))
    # Counts are in rows of mean weight 1, so that none may enter, as in a calibration.
    decoders = ["threshold", "global_threshold", PerLabelThreshold(min_positives=0), "gfm"]
    params = dict(estimator=net, losses=["bce"], decoders=decoders)
    one = search(cv=PredefinedSplit(np.arange(90) % 3), **params)
    one.fit(X, Y, sample_weight=weight)
    two = search(cv=PredefinedSplit(rows % 3), **params).fit(X[rows], Y[rows])
    name = "mean_test_score"
    np.testing.assert_allclose(one.cv_results_[name], two.cv_results_[name], atol=1e-7)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-6)


def test_metadata_routing():
    weight, groups = rng.random(90) + 0.5, np.repeat(np.arange(30), 3)
    plain = search(losses=["bce"]).fit(X, Y, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        routed = search(
            losses=["bce"],
            estimator=Net().set_fit_request(sample_weight=True),
            scoring=get_scorer("f1_macro").set_score_request(sample_weight=True),
        ).fit(X, Y, sample_weight=weight)
        equal(plain.cv_results_, routed.cv_results_)
        assert routed.score(X, Y, sample_weight=weight)
        with pytest.raises(Exception, match="sample_weight"):
            search().fit(X, Y, sample_weight=weight)
        scale = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scale, Net().set_fit_request(sample_weight=True))
        grouped = search(
            estimator=pipe, cv=GroupKFold(3), scoring=["f1_macro", "roc_auc"], refit="roc_auc"
        )
        with pytest.raises(Exception, match="sample_weight"):
            grouped.fit(X, Y, sample_weight=weight, groups=groups)
        scorers = {
            name: get_scorer(name).set_score_request(sample_weight=name == "roc_auc")
            for name in ("f1_macro", "roc_auc")
        }
        grouped.set_params(scoring=scorers).fit(X, Y, sample_weight=weight, groups=groups)
        assert np.isfinite(grouped.best_score_corrected_)
        # Two that could be computed from counts, of which one is not weighted.
        scorers = {
            name: get_scorer("f1_macro").set_score_request(sample_weight=name == "weighted")
            for name in ("plain", "weighted")
        }
        both = search(
            losses=["bce"],
            estimator=Net().set_fit_request(sample_weight=True),
            scoring=scorers,
            refit="weighted",
        ).fit(X, Y, sample_weight=weight)
        results = both.cv_results_
        np.testing.assert_allclose(
            results["mean_test_weighted"], plain.cv_results_["mean_test_score"]
        )
        assert (results["mean_test_plain"] != results["mean_test_weighted"]).any()


# ------------------------------------------------------------------ choosing


@pytest.mark.parametrize("rule", ["best", "one_std_error"])
def test_corrected_score_is_that_of_the_choice_repeated_on_bootstraps(rule, monkeypatch):
    monkeypatch.setattr(search_scoring, "N_BOOTSTRAPS", 50)
    fitted = search(losses=["bce", "zlpr", "brier"], decoders=["threshold"], rule=rule)
    fitted.set_params(store_cv_results=True, scoring="f1_micro").fit(X, Y)
    decided = fitted.oof_scores_ >= 0.5
    splits = np.array([fitted.cv_results_[f"split{k}_test_score"] for k in range(3)]).T
    seeds = np.random.SeedSequence(draw_entropy(0)).generate_state(4)
    scores = []
    for times in draw_bootstraps(90, search_scoring.N_BOOTSTRAPS, int(seeds[2])):
        rows = np.repeat(np.arange(90), times)
        inside = np.array([f1_score(Y[rows], labels[rows], average="micro") for labels in decided])
        winner = inside.argmax()
        if rule == "one_std_error":  # all are equally simple: the first that is near
            differences = splits - splits[winner]
            error = np.sqrt(differences.var(axis=1, ddof=1) * (1 / 3 + 30 / 60))
            winner = np.flatnonzero(inside >= inside[winner] - error)[0]
        scores.append(f1_score(Y[times == 0], decided[winner][times == 0], average="micro"))
    assert fitted.best_score_corrected_ == pytest.approx(np.mean(scores))


def test_simpler_candidates_within_a_standard_error():
    fitted = search(
        losses=[FocalLoss(gamma=1), "bce", "zlpr"],
        decoders=["global_threshold", "threshold"],
        calibrations=["temperature", None],
        scoring="roc_auc",
        rule="one_std_error",
    ).fit(X, Y)
    # Decoders do not matter to the metric, so those without a fit are left, and no tuning.
    assert fitted.best_loss_ in ("bce", "zlpr") or fitted.best_params_["loss"] == "bce"
    assert fitted.best_decoder_ == "threshold"
    table = fitted.compare()
    chosen = table[table["index"] == fitted.best_index_].iloc[0]
    assert chosen["difference"] >= -chosen["std_error"]
    assert "(chosen)" in fitted.summary()
    assert fitted.best_score_ == fitted.cv_results_["mean_test_score"][fitted.best_index_]


def test_a_score_of_probabilities_is_computed_once_for_all_decoders():
    calls = []

    def area(y, scores):
        calls.append(len(y))
        return roc_auc_score(y, scores)

    scoring = {
        "auc": make_scorer(area, response_method="predict_proba"),
        "f1": "f1_micro",
        "own": lambda estimator, X, y: f1_score(y, estimator.predict(X), average="macro"),
    }
    decoders = ["threshold", "global_threshold", "risk_control"]
    fitted = search(
        losses=["bce"], decoders=decoders, calibrations=[None, "sigmoid"], scoring=scoring,
        refit=False,
    ).fit(X, Y)  # fmt: skip
    # The calibration for a decoder with a guarantee is fitted on fewer rows.
    assert len(calls) == 4 * 3
    calls.clear()
    for k, name in enumerate(decoders):
        alone = search(
            losses=["bce"], decoders=[name], calibrations=[None, "sigmoid"], scoring=scoring,
            refit=False,
        ).fit(X, Y)  # fmt: skip
        for metric in scoring:
            column = fitted.cv_results_[f"mean_test_{metric}"]
            np.testing.assert_array_equal(column[k::3], alone.cv_results_[f"mean_test_{metric}"])


def test_default_losses_exist():
    assert all(get_loss(name) for name in DEFAULT_LOSSES)
    assert MultilabelStratifiedKFold(3)
