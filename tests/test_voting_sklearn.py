"""scikit-learn's own checks of SoftVotingClassifier."""

from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_mlloss import SoftVotingClassifier

TREES = ExtraTreesClassifier(5, random_state=0)
SHALLOW = DecisionTreeClassifier(max_depth=3, random_state=0)
DEEP = DecisionTreeClassifier(random_state=1)
LINEAR = LogisticRegression()

MANY = "the mean takes several labels, and logistic regression takes one"
ONE_LABEL = dict.fromkeys(
    (
        "check_classifiers_multilabel_output_format_decision_function",
        "check_classifiers_multilabel_output_format_predict",
        "check_classifiers_multilabel_output_format_predict_proba",
        "check_classifiers_multilabel_representation_invariance",
    ),
    MANY,
)

# With the checks that are expected to fail; xfail_strict turns an unexpected pass into a failure.
CONFIGURATIONS = [
    (SoftVotingClassifier([("shallow", SHALLOW), ("deep", DEEP)]), {}),
    (SoftVotingClassifier([("deep", DEEP), ("trees", TREES)], weights=[2, 1]), {}),
    (SoftVotingClassifier([("a", LINEAR), ("trees", "drop"), ("deep", DEEP)]), ONE_LABEL),
]
EXPECTED = {repr(estimator): expected for estimator, expected in CONFIGURATIONS}


@parametrize_with_checks(
    [estimator for estimator, _ in CONFIGURATIONS],
    expected_failed_checks=lambda estimator: EXPECTED[repr(estimator)],
)
def test_sklearn_checks(estimator, check):
    check(estimator)
