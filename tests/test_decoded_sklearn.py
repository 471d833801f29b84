"""scikit-learn's own checks of DecodedClassifierCV."""

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn_checks import parametrize_with_checks

from sklearn_mlloss import DecodedClassifierCV

# True and expected on tables as small as those of the checks.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*decided by the largest score"),
    pytest.mark.filterwarnings("ignore:.*labels have too few positives"),
    pytest.mark.filterwarnings("ignore:.*fit takes no sample_weight"),
    pytest.mark.filterwarnings("ignore:Label .* is present in all training examples"),
]

LINEAR = LogisticRegression(C=1)
FOREST = RandomForestClassifier(8, random_state=0)
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
NET = OneVsRestClassifier(MLPClassifier((8,), max_iter=12, random_state=0))

TUNED = {
    "check_classifiers_train": (
        "demands the sign of decision_function, not a tuned threshold; scikit-learn expects it of "
        "TunedThresholdClassifierCV, too"
    )
}


OF_FOLDS = DecodedClassifierCV(
    LINEAR, "threshold", cv=3, ensemble=True, store_cv_results=True, random_state=0
)


def unweighted(reason):
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")
    }


BOOTSTRAP = unweighted("a forest draws other rows; scikit-learn expects it of the forest itself")
NO_WEIGHTS = unweighted("the estimator takes no weights, so they reach the decision only")
RATIOS = unweighted("weights are scaled to mean 1, so that a calibration counts fewer rows")
OWN_FOLDS = unweighted("scikit-learn keeps repeated rows in one fold by a `cv` of the outer object")

# With the checks that are expected to fail; xfail_strict turns an unexpected pass into a failure.
CONFIGURATIONS = [
    (DecodedClassifierCV(LINEAR, random_state=0), TUNED),
    (DecodedClassifierCV(LINEAR, "threshold"), {}),
    (
        DecodedClassifierCV(LINEAR, "threshold", calibration="sigmoid", cv=3, random_state=0),
        RATIOS,
    ),
    (DecodedClassifierCV(LINEAR, "global_threshold", ensemble=True, cv=3, random_state=0), TUNED),
    (
        DecodedClassifierCV(LINEAR, response_method="decision_function", cv=3, random_state=0),
        TUNED,
    ),
    (DecodedClassifierCV(FOREST, "threshold"), BOOTSTRAP),
    (DecodedClassifierCV(FOREST, "global_threshold", cv=3, random_state=0), TUNED | BOOTSTRAP),
    (DecodedClassifierCV(FOREST, "threshold", calibration="beta", cv=3, ensemble=True), BOOTSTRAP),
    (DecodedClassifierCV(NET, "global_threshold", cv=2, random_state=0), TUNED | NO_WEIGHTS),
    (
        DecodedClassifierCV(KNeighborsClassifier(3), "global_threshold", cv=3, random_state=0),
        NO_WEIGHTS,
    ),
    (DecodedClassifierCV(RidgeClassifier(), "threshold", cv=3, random_state=0), {}),
    (
        DecodedClassifierCV(
            [("tree", TREE), ("forest", FOREST), ("no", "drop")],
            "threshold",
            weights="learned",
            cv=3,
            random_state=0,
        ),
        BOOTSTRAP,
    ),
    (
        DecodedClassifierCV(OF_FOLDS, "global_threshold", cv="oof", random_state=0),
        TUNED | OWN_FOLDS,
    ),
]
EXPECTED = {repr(estimator): expected for estimator, expected in CONFIGURATIONS}


@parametrize_with_checks(
    [estimator for estimator, _ in CONFIGURATIONS],
    expected_failed_checks=lambda estimator: EXPECTED[repr(estimator)],
)
def test_sklearn_checks(estimator, check):
    check(estimator)
