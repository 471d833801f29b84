"""scikit-learn's own checks of MultiLabelLogisticRegressionCV."""

import pytest
from sklearn_checks import parametrize_with_checks

from sklearn_mlloss import MultiLabelLogisticRegressionCV

# True and expected on tables as small as those of the checks.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*label\\(s\\) have only positives or no positive",
    "ignore:.*none of the categories that it had in training",
)

# xfail_strict turns an unexpected pass into a failure.
BY_ROWS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "folds, drawn by rows, choose the penalty"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [
        MultiLabelLogisticRegressionCV(random_state=0),
        MultiLabelLogisticRegressionCV(cv=2, store_cv_results=True, random_state=0),
        MultiLabelLogisticRegressionCV(cv=2, categorical_features=[0], random_state=0),
    ],
    expected_failed_checks=lambda estimator: BY_ROWS,
)
def test_sklearn_checks(estimator, check):
    check(estimator)
