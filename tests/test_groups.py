"""Groups of rows that are kept together, in every estimator, or an error that says what to do."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, cross_validate

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelLogisticRegressionCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._decision.cross_fit import hold_out
from sklearn_mlloss._decision.decision import reserve
from sklearn_mlloss.decoders import Decoder, RiskControl
from sklearn_mlloss.model_selection import MultilabelStratifiedGroupKFold, MultilabelStratifiedKFold

rng = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(24), 5)[rng.permutation(120)]
X = np.column_stack([GROUPS, rng.normal(size=120)])
Y = (rng.random((24, 2)) < 0.5).astype(int)[GROUPS]


class Remembers(ClassifierMixin, BaseEstimator):
    """Gives groups that it was trained on a probability of 1, and others one of 0."""

    def fit(self, X, y):
        self.groups_ = np.unique(X[:, 0])
        return self

    def predict_proba(self, X):
        return np.tile(1.0 * np.isin(X[:, :1], self.groups_), (1, 2))


class Untrained(Remembers):
    """Must not be trained."""

    def fit(self, X, y):
        raise AssertionError("trained")


class Untouched(Decoder):
    """Keeps the scores that it was given."""

    requires_fit = True
    untouched_rows = True

    def _fit(self, scores, Y, sample_weight, count):
        self.given_ = scores.copy()

    def _decode(self, scores, count):
        return scores >= 0.5


def decoded(estimator=None, decoder="global_threshold", **params):
    given = dict(store_cv_results=True, random_state=0) | params
    return DecodedClassifierCV(estimator or Remembers(), decoder, **given)


def net(**params):
    return MultiLabelNetClassifier(
        hidden_layer_sizes=(4,), early_stopping=False, max_epochs=1, random_state=0, **params
    )


SPLITTERS = {
    "5": 5,
    "None": None,
    "3": 3,
    "GroupKFold": GroupKFold(4),
    "ours": MultilabelStratifiedGroupKFold(3),
    "LeaveOneGroupOut": LeaveOneGroupOut(),
    "splits": list(GroupKFold(4).split(X, Y, GROUPS)),
}
splitters = pytest.mark.parametrize("cv", SPLITTERS.values(), ids=SPLITTERS)


@splitters
@pytest.mark.parametrize("kind", [list, lambda g: np.array([f"site {k}" for k in g])])
def test_no_row_is_scored_by_a_model_of_its_group(cv, kind):
    clf = decoded(cv=cv, ensemble=True).fit(X, Y, groups=kind(GROUPS))
    assert clf.oof_scores_.max() < 0.5  # without groups they would all be 1
    n_folds = 5 if cv is None else cv
    if isinstance(n_folds, int):
        assert len(clf.estimators_) == n_folds
        assert decoded(cv=cv).fit(X, Y).oof_scores_.min() > 0.5
        again = decoded(cv=cv).fit(X, Y, groups=kind(GROUPS))
        np.testing.assert_array_equal(clf.oof_scores_, again.oof_scores_)


def test_groups_for_a_metric():
    clf = DecodedClassifierCV.for_metric("f1_macro", Remembers(), store_cv_results=True)
    assert clf.fit(X, Y, groups=GROUPS).oof_scores_.max() < 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_groups_for_a_metric_without_an_estimator():
    clf = DecodedClassifierCV.for_metric("f1_macro", cv=3, max_epochs=2, random_state=0)
    clf.set_params(estimator__trees__estimator__n_estimators=3).fit(X, Y, groups=GROUPS)
    splits = list(MultilabelStratifiedGroupKFold(3, random_state=0).split(X, Y, GROUPS))
    alone = MultiLabelLogisticRegressionCV(cv=splits, store_cv_results=True).fit(X, Y)
    for member in clf.estimator_.estimators_:
        # Groups have the same labels, which only rows of a group tell.
        assert np.corrcoef(member.oof_scores_.ravel(), Y.ravel())[0, 1] < 0.5, member
    assert alone.oof_scores_.shape == clf.estimator_.oof_scores_.shape


@pytest.mark.parametrize(
    "make",
    [
        lambda cv: net(cv=cv, store_cv_results=True),
        lambda cv: MultiLabelLogisticRegressionCV(cv=cv, store_cv_results=True, random_state=0),
    ],
    ids=["network", "linear"],
)
@pytest.mark.filterwarnings("ignore:.*learned nothing beyond the label priors")
def test_estimators_with_folds_keep_groups_together(make):
    by_groups = make(GroupKFold(4)).fit(X, Y, groups=GROUPS)
    by_splits = make(SPLITTERS["splits"]).fit(X, Y)
    np.testing.assert_array_equal(by_groups.oof_scores_, by_splits.oof_scores_)
    # An int stands for folds that keep groups together, rows without labels or not.
    some = np.where(np.arange(120)[:, None] % 7 == 0, np.nan, Y)
    kept = ~np.isnan(some[:, 0])
    clf = make(3).fit(X, some, groups=GROUPS)
    again = make(3).fit(X[kept], Y[kept], groups=GROUPS[kept])
    np.testing.assert_allclose(clf.oof_scores_[kept], again.oof_scores_, atol=1e-6)
    with pytest.raises(ValueError, match=r"number of groups \(24\)"):
        make(30).fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match="groups contains NaN"):
        make(3).fit(X, Y, groups=np.where(GROUPS == 3, np.nan, GROUPS))


def test_rows_held_out_by_a_network_are_of_other_groups(monkeypatch):
    seen = []

    def spy(Y, share, seed, groups=None):
        seen.append((groups, hold_out(Y, share, seed, groups)))
        return seen[-1][1]

    monkeypatch.setattr("sklearn_mlloss._decision.fit_rows.hold_out", spy)
    net(decoder="global_threshold").fit(X, Y, groups=GROUPS)
    net(decoder=RiskControl(0.5), calibration="sigmoid").fit(X, Y, groups=GROUPS)
    for groups, (train, test) in seen:
        assert len(test) and not np.isin(groups[train], groups[test]).any()
    assert len(seen[0][0]) == 120 > len(seen[1][0])
    with pytest.raises(ValueError, match="groups has only 1 group, and the rows that are held out"):
        net(decoder="global_threshold").fit(X, Y, groups=np.zeros(120))


@pytest.mark.parametrize(
    "params",
    [
        dict(cv=3),
        dict(cv=None, calibration="sigmoid"),
        dict(cv=GroupKFold(3), ensemble=False, calibration="sigmoid"),
        dict(cv=SPLITTERS["splits"], calibration="beta"),
        dict(cv="oof", estimator=decoded(cv=3)),
        dict(cv=3, store_cv_results=False),
    ],
    ids=["3", "None", "GroupKFold", "splits", "oof", "not stored"],
)
def test_reserved_rows_are_of_other_groups(params):
    clf = decoded(decoder=Untouched(), **params).fit(X, Y, groups=GROUPS)
    given = clf.decoder_.given_
    assert 20 <= len(given) <= 28 and len(np.unique(given, axis=0)) == 1
    models = clf.estimators_
    models = models[0].estimators_ if params["cv"] == "oof" else models
    trained = np.unique(np.concatenate([model.groups_ for model in models]))
    kept = ~np.isin(GROUPS, trained)
    assert len(given) == kept.sum() and np.unique(GROUPS[kept]).size < 24


def test_reserved_rows_are_of_other_groups_than_those_of_the_calibration(monkeypatch):
    seen = []

    def spy(Y, seed, groups=None, **params):
        seen.append((groups, reserve(Y, seed, groups=groups, **params)))
        return seen[-1][1]

    monkeypatch.setattr("sklearn_mlloss._decision.decision.reserve", spy)
    fitted = Remembers().fit(X[:1], Y)
    decoded(fitted, Untouched(), cv="prefit", calibration="sigmoid").fit(X, Y, groups=GROUPS)
    assert len(seen) == 1
    search = LossDecoderSearchCV(net(), ["bce"], [Untouched()], calibrations=["sigmoid"], cv=3)
    search.fit(X, Y, groups=GROUPS)
    assert len(seen) == 1 + 3 + 1  # each fold, and all rows
    # A row that is tested twice is on one side as well.
    search.set_params(repeats=2).fit(X, Y)
    assert len(seen) == 5 + 6 + 1
    for groups, (rest, own) in seen:
        assert len(own) and not np.isin(groups[own], groups[rest]).any()
        assert 0.15 < len(own) / len(groups) <= 0.25


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_reserved_rows_of_few_groups(n_groups):
    groups = np.arange(120) % n_groups
    rest, own = reserve(Y, 0, groups=groups)
    assert len(own) == 120 // n_groups and len(np.unique(groups[own])) == 1
    with pytest.raises(ValueError, match="groups has only 1 group, and the decoder keeps rows"):
        decoded(Untrained(), RiskControl()).fit(X, Y, groups=np.zeros(120))


def test_rows_without_weight_are_not_reserved():
    weight = 1.0 * (np.arange(120) < 40)
    for groups in (None, GROUPS):
        rest, own = reserve(Y, 0, weight, groups)
        assert own.max() < 40 and 6 <= len(own) <= 10
        assert len(rest) == 112 or not np.isin(groups[rest], groups[own]).any()
    missing = np.where(weight[:, None] > 0, Y, np.nan)
    assert reserve(missing, 0)[1].max() < 40


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "params, error, match",
    [
        (dict(cv="prefit"), TypeError, "groups are kept together in folds, and with an estimator"),
        (
            dict(estimator=FrozenEstimator(Untrained())),
            TypeError,
            "groups are kept together in folds, and with an estimator that is fitted already",
        ),
        (
            dict(decoder="threshold", store_cv_results=False),
            TypeError,
            "groups are kept together in folds, and there are none, since neither decoder='thresh",
        ),
        (
            dict(decoder="threshold", store_cv_results=False, cv=GroupKFold(3)),
            TypeError,
            "groups are kept together in folds, and there are none",
        ),
        (dict(cv="oof"), TypeError, "Untrained.fit takes no groups, and with cv='oof' the folds"),
        (
            dict(cv=list(KFold(3).split(X))),
            ValueError,
            "fold 0 of cv has rows of one group in both parts",
        ),
        (dict(cv=30), ValueError, r"n_splits must be at most the number of groups \(24\)"),
    ],
    ids=["prefit", "frozen", "no folds", "no folds, splitter", "oof", "splits", "folds"],
)
def test_groups_that_nothing_would_keep_together(params, error, match):
    given = dict(estimator=Untrained()) | params
    if given.get("cv") == "prefit" or "Frozen" in str(given["estimator"]):
        getattr(given["estimator"], "estimator", given["estimator"]).groups_ = []
    with pytest.raises(error, match=match):
        decoded(**given).fit(X, Y, groups=GROUPS)


@pytest.mark.parametrize("cv", [KFold(3), MultilabelStratifiedKFold(3)], ids=str)
@pytest.mark.parametrize("make", [decoded, lambda e, **p: LossDecoderSearchCV(net(), **p)])
def test_splitters_that_ignore_groups_are_refused(make, cv):
    with (
        pytest.warns(UserWarning, match="The groups parameter is ignored by"),
        pytest.raises(ValueError, match="fold 0 of cv has rows of one group in both parts"),
    ):
        make(Untrained(), cv=cv).fit(X, Y, groups=GROUPS)


@pytest.mark.parametrize(
    "groups, match",
    [
        (GROUPS[1:], r"groups must be 1-D, one value per row, shape \(120,\), got shape \(119,\)"),
        (np.where(GROUPS == 3, np.nan, GROUPS), "groups contains NaN"),
        ([None, *GROUPS[1:]], "groups contains NaN or another missing value"),
        (GROUPS[:, None], r"got shape \(120, 1\)"),
    ],
    ids=["short", "NaN", "None", "column"],
)
@pytest.mark.parametrize(
    "clf",
    [
        decoded(Untrained()),
        decoded(Untrained(), cv=GroupKFold(3)),
        decoded(Untrained(), "threshold", store_cv_results=False),
        decoded(decoded(Untrained()), cv="oof"),
        LossDecoderSearchCV(net(), error_score="raise"),
        LossDecoderSearchCV(net(), cv=GroupKFold(3), error_score="raise"),
    ],
    ids=["decoded", "splitter", "no folds", "oof", "search", "search, splitter"],
)
def test_groups_are_checked_before_training(clf, groups, match):
    with pytest.raises(ValueError, match=match):
        clf.fit(X, Y, groups=groups)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize(
    "make",
    [
        lambda cv: net(cv=cv),
        lambda cv: decoded(Untrained(), cv=cv),
        lambda cv: LossDecoderSearchCV(net(), cv=cv),
        lambda cv: decoded(net(cv=cv, store_cv_results=True), cv="oof"),
        lambda cv: SoftVotingClassifier([("net", net(cv=cv))]),
    ],
    ids=["net", "decoded", "search", "oof", "vote"],
)
def test_splitters_of_groups_without_groups(make):
    match = r"cv=GroupKFold.* needs groups: .* cv=list\(GroupKFold\(\)\.split\(X, y, groups\)\)"
    with pytest.raises(ValueError, match=match):
        make(GroupKFold(3)).fit(X, Y)


def test_repeats_do_not_work_with_groups():
    with pytest.raises(ValueError, match="repeats does not work with groups"):
        LossDecoderSearchCV(net(), repeats=2).fit(X, Y, groups=GROUPS)


def test_soft_voting_names_where_groups_go():
    vote = SoftVotingClassifier([("a", Untrained())])
    with pytest.raises(TypeError, match="the member 'a' takes none, .* give DecodedClassifierCV"):
        vote.fit(X, Y, groups=GROUPS)
    # Plain members have no folds, so that groups do not matter to them.
    members = [("a", decoded()), ("b", Remembers())]
    assert (
        SoftVotingClassifier(members).fit(X, Y, groups=GROUPS).estimators_[0].oof_scores_.max() < 1
    )
    forest = RandomForestClassifier(10, oob_score=True, bootstrap=True)
    with pytest.raises(TypeError, match="the member 'b' takes none"):
        SoftVotingClassifier([("a", decoded()), ("b", forest)]).fit(X, Y, groups=GROUPS)


# ------------------------------------------------------------------ metadata routing


def test_groups_with_metadata_routing():
    with config_context(enable_metadata_routing=True):
        for cv in (GroupKFold(4), MultilabelStratifiedGroupKFold(3)):
            clf = decoded(cv=cv).fit(X, Y, groups=GROUPS)
            assert clf.oof_scores_.max() < 0.5
            kept = decoded(decoder=Untouched(), cv=cv).fit(X, Y, groups=GROUPS)
            assert kept.decoder_.given_.max() < 0.5
        vote = SoftVotingClassifier([("a", decoded(cv=GroupKFold(4)))])
        vote.fit(X, Y, groups=GROUPS)
        assert vote.oof_scores_.max() < 0.5
        of_vote = decoded(vote, Untouched(), cv="oof", calibration="sigmoid")
        of_vote.fit(X, Y, groups=GROUPS)
        assert of_vote.estimator_.oof_scores_.max() < 0.5
        assert len(np.unique(of_vote.decoder_.given_, axis=0)) == 1
        for estimator in (decoded(Untrained()), LossDecoderSearchCV(net())):
            with pytest.raises(TypeError, match="groups"):
                estimator.fit(X, Y, groups=GROUPS)
        with pytest.raises(ValueError, match="one value per row"):
            decoded(Untrained(), cv=GroupKFold(3)).fit(X, Y, groups=GROUPS[1:])


def test_folds_of_a_number_keep_groups_together_on_request():
    with config_context(enable_metadata_routing=True):
        requesting = decoded(cv=3).set_fit_request(groups=True)
        assert requesting.fit(X, Y, groups=GROUPS).oof_scores_.max() < 0.5
        vote = SoftVotingClassifier([("a", requesting)]).fit(X, Y, groups=GROUPS)
        assert vote.oof_scores_.max() < 0.5
        scores = cross_validate(
            requesting, X, Y, params={"groups": GROUPS}, cv=GroupKFold(3), return_estimator=True
        )
        for fitted in scores["estimator"]:
            assert fitted.oof_scores_.max() < 0.5
        preset = DecodedClassifierCV.for_metric("f1_micro", Remembers(), store_cv_results=True)
        assert preset.fit(X, Y, groups=GROUPS).oof_scores_.max() < 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_for_metric_takes_groups_and_weights_with_metadata_routing():
    params = dict(cv=2, max_epochs=1, hidden_layer_sizes=(4,), linear_part=False, random_state=0)
    preset = DecodedClassifierCV.for_metric("f1_micro", store_cv_results=True, **params)
    given = {"groups": GROUPS, "sample_weight": 1 + GROUPS % 2}
    expected = clone(preset).fit(X, Y, **given).oof_scores_
    with config_context(enable_metadata_routing=True):
        np.testing.assert_array_equal(clone(preset).fit(X, Y, **given).oof_scores_, expected)
    assert not np.array_equal(preset.fit(X, Y).oof_scores_, expected)


@pytest.mark.parametrize(
    ("estimator", "what"),
    [
        (lambda: MultiLabelNetClassifier(cv=2), "estimator has cv=2"),
        (lambda: DecodedClassifierCV(Untrained(), cv=None), "estimator has cv=None"),
        (
            lambda: SoftVotingClassifier([("a", MultiLabelNetClassifier(cv=2))]),
            "a within estimator has cv=2",
        ),
    ],
)
def test_groups_are_refused_if_an_estimator_makes_its_own_folds(estimator, what):
    with pytest.raises(ValueError, match=f"{what}, and groups would not reach its folds"):
        DecodedClassifierCV(estimator(), cv=2).fit(X, Y, groups=GROUPS)
    search = LossDecoderSearchCV(MultiLabelNetClassifier(cv=2), ["bce"], ["threshold"], cv=2)
    with pytest.raises(ValueError, match="estimator has cv=2"):
        search.fit(X, Y, groups=GROUPS)
