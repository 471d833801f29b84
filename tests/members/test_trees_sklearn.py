"""scikit-learn's own checks of MultiLabelExtraTreesClassifier."""

import pytest
from sklearn_checks import parametrize_with_checks

from sklearn_mlloss import MultiLabelExtraTreesClassifier

# True and expected on tables as small as those of the checks.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*none of the categories that it had in training",
)

PLAIN = MultiLabelExtraTreesClassifier(n_estimators=5, random_state=0)
CATEGORIES = MultiLabelExtraTreesClassifier(
    n_estimators=5, categorical_features=[0], random_state=0
)
# xfail_strict turns an unexpected pass into a failure.
FAILS = {
    "check_sample_weight_equivalence_on_dense_data": "categories of rows of weight 0 have a number"
}


@parametrize_with_checks(
    [PLAIN, CATEGORIES],
    expected_failed_checks=lambda clf: {} if clf.categorical_features == "from_dtype" else FAILS,
)
def test_sklearn_checks(estimator, check):
    check(estimator)
