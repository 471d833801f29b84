"""scikit-learn's own checks of SoftVotingClassifier."""

from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_mlloss import SoftVotingClassifier

TREES = ExtraTreesClassifier(5, random_state=0)
SHALLOW = DecisionTreeClassifier(max_depth=3, random_state=0)
DEEP = DecisionTreeClassifier(random_state=1)

CONFIGURATIONS = [
    SoftVotingClassifier([("shallow", SHALLOW), ("deep", DEEP)]),
    SoftVotingClassifier([("deep", DEEP), ("trees", TREES)], weights=[2, 1]),
    SoftVotingClassifier([("shallow", SHALLOW), ("trees", "drop"), ("deep", DEEP)]),
]


@parametrize_with_checks(CONFIGURATIONS)
def test_sklearn_checks(estimator, check):
    check(estimator)
