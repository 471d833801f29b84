"""scikit-learn's own checks of SoftVotingClassifier."""

import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn_checks import parametrize_with_checks

from sklearn_mlloss import DecodedClassifierCV, SoftVotingClassifier

# True and expected on tables of the checks with more than two classes.
pytestmark = pytest.mark.filterwarnings("ignore:.*decided by the largest score")

TREES = ExtraTreesClassifier(5, random_state=0)
SHALLOW = DecisionTreeClassifier(max_depth=3, random_state=0)
DEEP = DecisionTreeClassifier(random_state=1)


def of_folds(estimator):
    return DecodedClassifierCV(
        estimator, "threshold", cv=2, ensemble=True, store_cv_results=True, random_state=0
    )


LEARNED = SoftVotingClassifier(
    [("shallow", of_folds(SHALLOW)), ("deep", of_folds(DEEP))], weights="learned"
)
CONFIGURATIONS = [
    LEARNED,
    SoftVotingClassifier([("shallow", SHALLOW), ("deep", DEEP)]),
    SoftVotingClassifier([("deep", DEEP), ("trees", TREES)], weights=[2, 1]),
    SoftVotingClassifier([("shallow", SHALLOW), ("trees", "drop"), ("deep", DEEP)]),
]


@parametrize_with_checks(
    CONFIGURATIONS,
    # scikit-learn sees to folds that keep repeated rows together by a `cv` of the object itself.
    expected_failed_checks=lambda estimator: {
        f"check_sample_weight_equivalence_on_{kind}_data": "folds cut repeated rows apart"
        for kind in ("dense", "sparse")
        if estimator.weights == "learned"
    },
)
def test_sklearn_checks(estimator, check):
    check(estimator)
