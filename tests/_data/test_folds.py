"""Splits that users give: row numbers and masks, checked before anything is trained."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
)
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data.folds import check_groups, list_folds

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, :2] > 0.3).astype(int)
ROWS = np.arange(40)
HALVES = [(ROWS[:20], ROWS[20:]), (ROWS[20:], ROWS[:20])]


class Unsplit(KFold):
    def split(self, X, y=None, groups=None):
        return None


BAD = [
    (Unsplit(2), "cv must be an int, a splitter .*, got Unsplit.*, whose split returns None"),
    (5.0, r"cv must be an int, a splitter or an iterable .*, got 5\.0"),
    ("five", "cv must be an int, a splitter.*, got 'five'"),
    (KFold, "cv must be an int, a splitter or an iterable .*, got <class .*KFold"),
    ([1, 2], "cv must be an int, .* fold 0 is no pair"),
    ([*HALVES, (ROWS, ROWS, ROWS)], "fold 2 is no pair"),
    ([], r"cv must have a fold at least, got \[\]"),
    ([(ROWS[:20], ROWS[20:] + 1)], "fold 0 of cv has row number 40, but X has 40 rows"),
    ([HALVES[0], (ROWS, [-41])], "fold 1 of cv has row number -41, but X has 40 rows"),
    ([(np.ones(30, bool), ROWS)], "fold 0 of cv has a mask of 30 rows, but X has 40 rows"),
    ([(np.ones(41, bool), ROWS)], "fold 0 of cv has a mask of 41 rows, but X has 40 rows"),
    ([(ROWS / 2, ROWS)], "fold 0 of cv must hold row numbers or masks, .* float64"),
    ([(["a", "b"], ROWS)], "fold 0 of cv must hold row numbers or masks"),
    ([(ROWS[:, None], ROWS)], r"fold 0 of cv must hold row numbers .* shape \(40, 1\)"),
    ([(ROWS, [])], "fold 0 of cv is without rows to test"),
    ([HALVES[0], (np.zeros(40, bool), ROWS)], "fold 1 of cv is without rows to train on"),
]


def never(outputs, targets):
    raise AssertionError("trained")


NET = MultiLabelNetClassifier(never, hidden_layer_sizes=(4,), random_state=0)
ESTIMATORS = {
    "net": lambda cv: MultiLabelNetClassifier(never, hidden_layer_sizes=(4,), cv=cv),
    "decoded": lambda cv: DecodedClassifierCV(NET, cv=cv),
    "search": lambda cv: LossDecoderSearchCV(NET, {"never": never}, ["threshold"], cv=cv),
}


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("cv, message", BAD)
def test_unusable_splits_are_refused_before_training(make, cv, message):
    with pytest.raises(ValueError, match=message):
        make(cv).fit(X, Y)


@pytest.mark.parametrize(
    "cv",
    [
        HALVES,
        iter(HALVES),
        [(train.tolist(), test.tolist()) for train, test in HALVES],
        [(ROWS < 20, ROWS >= 20), (ROWS >= 20, ROWS < 20)],
        [(ROWS[:20], ROWS[20:] - 40), (ROWS[20:] - 40, ROWS[:20])],
        PredefinedSplit(1 - ROWS // 20),
    ],
    ids=["arrays", "iterator", "lists", "masks", "negative", "splitter"],
)
def test_all_forms_of_the_same_splits(cv):
    found = list_folds(cv, X, Y)
    order = [0, 1] if found[0][0][0] == 0 else [1, 0]
    for k, (train, test) in zip(order, HALVES, strict=True):
        np.testing.assert_array_equal(found[k][0], train)
        np.testing.assert_array_equal(found[k][1], test)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("y", [ROWS % 2, ROWS % 3, np.array(["a", "b", "c"])[ROWS % 3]])
def test_splitters_of_classes_get_a_1d_y(name, y):
    # What is asserted is raised by the training: the folds are there.
    with pytest.raises(AssertionError, match="trained"):
        estimator = ESTIMATORS[name](StratifiedKFold(2))
        if name == "search":
            estimator.set_params(error_score="raise")
        estimator.fit(X, y)


def test_rows_that_may_not_be_used_are_left_out():
    kept = ROWS % 2 == 0
    for train, test in list_folds(HALVES, X, Y, kept):
        assert len(train) == len(test) == 10
        assert not (train % 2).any() and not (test % 2).any()
    with pytest.raises(ValueError, match="fold 0 of cv is without rows to test"):
        list_folds(HALVES, X, Y, ROWS < 20)


def test_groups_reach_the_splitter():
    groups = ROWS // 4
    for train, test in list_folds(GroupKFold(5), X, Y, groups=groups):
        assert not set(groups[train]) & set(groups[test])


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_no_fold_may_have_a_group_in_both_parts():
    groups = ROWS // 4
    for cv in (HALVES, GroupKFold(4), PredefinedSplit(ROWS // 20)):
        assert list_folds(cv, X, Y, groups=groups)
    for cv in ([HALVES[0], (ROWS[:18], ROWS[18:])], KFold(3), PredefinedSplit(ROWS // 10)):
        with pytest.raises(
            ValueError, match=r"fold [01] of cv has rows of one group in both parts"
        ):
            list_folds(cv, X, Y, groups=groups)
    # Rows that may not be used do not matter.
    kept = (ROWS < 16) | (ROWS >= 20)
    assert list_folds([(ROWS[:18], ROWS[18:])], X, Y, kept, groups=groups)


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
@pytest.mark.parametrize("cv", [GroupKFold(3), LeaveOneGroupOut()], ids=str)
def test_a_splitter_of_groups_says_where_to_give_them(make, cv):
    name = type(cv).__name__
    match = rf"cv={name}\(.*\) needs groups: .*cv=list\({name}\(\).split\(X, y, groups\)\)"
    with pytest.raises(ValueError, match=match):
        make(cv).fit(X, Y)


@pytest.mark.parametrize(
    "groups",
    [ROWS // 4, [f"site {k // 4}" for k in ROWS], pd.Series(ROWS // 4, dtype="Int64"),
     pd.Categorical((ROWS // 4).astype(str)), ROWS // 4 * 1.5,
     np.datetime64("2020") + ROWS // 4, np.array([f"{k // 4}" for k in ROWS], dtype=object)],
    ids=["int", "list", "Int64", "categorical", "float", "time", "object"],
)  # fmt: skip
def test_kinds_of_groups(groups):
    found = check_groups(groups, 40)
    np.testing.assert_array_equal(np.unique(found[::4]), np.unique(found))
    assert len(np.unique(found)) == 10


@pytest.mark.parametrize(
    "groups, match",
    [
        (ROWS[:39], r"groups must be 1-D, one value per row, shape \(40,\), got shape \(39,\)"),
        (ROWS[:, None], r"one value per row, shape \(40,\), got shape \(40, 1\)"),
        (3, r"one value per row, shape \(40,\), got shape \(\)"),
        (np.where(ROWS == 3, np.nan, ROWS), "groups contains NaN"),
        ([None, *ROWS[1:]], "groups contains NaN or another missing value"),
        (pd.Series(ROWS, dtype="Int64").mask(ROWS == 3), "groups contains NaN"),
        (pd.Categorical(np.where(ROWS == 3, None, "a")), "groups contains NaN"),
        (np.where(ROWS == 3, np.datetime64("NaT"), np.datetime64("2020")), "groups contains NaN"),
        (np.ma.masked_equal(ROWS, 3), "groups contains NaN or another missing value"),
        (np.array(["a", *ROWS[1:]], dtype=object), "groups must be values of one kind"),
    ],
    ids=["short", "column", "number", "NaN", "None", "NA", "no category", "NaT", "masked", "mixed"],
)
def test_groups_that_are_none_are_refused(groups, match):
    with pytest.raises(ValueError, match=match):
        check_groups(groups, 40)


# ------------------------------------------------------------------ labels that folds lack

SORTED = np.repeat([0, 1, 2], [14, 13, 13])
LABELS = np.eye(3, dtype=int)[SORTED]
NAMED = pd.DataFrame(LABELS, columns=["a", "b", "c"])
QUICK = MultiLabelNetClassifier(
    hidden_layer_sizes=(4,), max_epochs=1, early_stopping=False, random_state=0
)
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
FITS = {
    "net": lambda cv: clone(QUICK).set_params(cv=cv),
    "decoded": lambda cv: DecodedClassifierCV(TREE, "global_threshold", cv=cv, ensemble=True),
    "vote": lambda cv: SoftVotingClassifier(
        [("d", DecodedClassifierCV(TREE, "threshold", cv=cv, ensemble=True)), ("tree", TREE)]
    ),
    "search": lambda cv: LossDecoderSearchCV(
        QUICK, ["bce", "focal"], ["threshold"], cv=cv, random_state=0, scoring="accuracy"
    ),
}
fits = pytest.mark.parametrize("make", FITS.values(), ids=FITS)


def warnings_of(make, cv, y, **params):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(cv).fit(X, y, **params)
    # Those of estimators within are of other lines.
    assert all(w.filename == __file__ for w in caught if "of some folds lack" in str(w.message))
    found = [str(w.message) for w in caught]
    return [message for message in found if "decided by the largest score" not in message]


@fits
def test_labels_that_folds_do_not_train_on_are_named(make):
    (message,) = warnings_of(make, KFold(3), NAMED)
    assert message.startswith("the training rows of some folds lack labels, in 3 of 3 (fold 0: la")
    assert "(fold 0: label 'a'; fold 1: label 'b'; fold 2: label 'c'), of which" in message
    assert "use a stratified cv, such as cv=5 " in message
    (message,) = warnings_of(make, KFold(3), 1 - LABELS)  # no negatives
    assert "(fold 0: label 0; fold 1: label 1; fold 2: label 2), of which" in message
    assert not warnings_of(make, 3, NAMED)
    assert not warnings_of(make, KFold(3, shuffle=True, random_state=0), NAMED)


@fits
def test_a_label_of_one_row_is_lacking_in_one_fold(make):
    rare = np.column_stack([LABELS, ROWS == 7])
    (message,) = warnings_of(make, 4, rare)
    assert "lack labels, in 1 of 4 (fold " in message and ": label 3)" in message


@fits
def test_classes_that_folds_do_not_train_on_are_named_by_all(make):
    (message,) = warnings_of(make, KFold(3), np.array(["x", "y", "z"])[SORTED])
    assert "lack classes, in 3 of 3 (fold 0: class 'x'; fold 1: class 'y'; fold 2: cl" in message
    assert not warnings_of(make, 3, SORTED)


@pytest.mark.parametrize("make", [FITS["net"], FITS["decoded"]], ids=["net", "decoded"])
def test_the_only_class_of_a_fold(make):
    y = np.where(ROWS < 20, "no", "yes")
    found = warnings_of(make, HALVES, y)
    assert ["(fold 0: class 'yes'; fold 1: class 'no')" in message for message in found] == [True]


@fits
def test_labels_that_are_constant_in_all_rows_are_not_lacking(make):
    constant = np.column_stack([LABELS, np.zeros((40, 1), int), np.ones((40, 1), int)])
    found = warnings_of(make, 3, constant)
    assert not [message for message in found if "of some folds lack" in message]
    # The network has a warning of its own, once.
    expected = make in (FITS["net"], FITS["search"])
    assert len([message for message in found if "2 label(s) have only pos" in message]) == expected


def test_labels_that_are_not_observed_in_a_fold():
    missing = LABELS.astype(float)
    missing[14:, 0] = np.nan
    missing[:3, 0] = 0
    (message,) = warnings_of(FITS["net"], [(ROWS[12:], ROWS[:12]), (ROWS[:12], ROWS[12:])], missing)
    assert "fold 0: label 0" in message
    hidden = np.where(np.isnan(missing), 0.0, 1.0)
    targets = np.nan_to_num(missing, nan=1)
    splits = [(ROWS[12:], ROWS[:12]), (ROWS[:12], ROWS[12:])]
    assert warnings_of(FITS["net"], splits, targets, sample_weight=hidden) == [message]


def test_many_labels_and_folds_are_cut_short():
    Y = np.eye(40, dtype=int)
    (message,) = warnings_of(FITS["decoded"], KFold(8), Y)
    assert "lack labels, in 8 of 8 (fold 0: labels 0, 1, 2, 3, 4; fold 1" in message
    assert "fold 4: labels 20, 21, 22, 23, 24; 3 more)" in message


def test_splitters_for_one_class_per_row_are_refused_with_another():
    Y = np.eye(2, dtype=int)[np.arange(8) % 2]
    with pytest.raises(ValueError, match="stratifies a 1-D y: .* or MultilabelStratifiedKFold"):
        list_folds(StratifiedKFold(2), np.zeros((8, 1)), Y)
    assert len(list_folds(StratifiedKFold(2), np.zeros((8, 1)), Y[:, 0])) == 2
