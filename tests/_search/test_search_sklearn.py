"""scikit-learn's own checks of LossDecoderSearchCV."""

import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_checks import parametrize_with_checks

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier

# True and expected on tables as small as those of the checks.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:.*label\\(s\\) have only positives or no positive"),
]

NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(16,),
    learning_rate=0.06,
    max_epochs=7,
    n_iter_no_change=8,
    random_state=0,
    linear_part=False,
)
# With the encoding that "auto" chooses it decides as the check demands, which is chance.
PLAIN = clone(NET).set_params(encoding=None)
PIPE = make_pipeline(StandardScaler(), NET)

TUNED = {
    "check_classifiers_train": (
        "demands the sign of decision_function, not a tuned threshold; scikit-learn expects it of "
        "TunedThresholdClassifierCV, too"
    )
}

COLLECTED = {
    "check_dtype_object": (
        "demands a TypeError; where errors are collected, and not raised, it is a ValueError that "
        "tells of them, as with GridSearchCV"
    ),
    "check_estimators_nan_inf": (
        "demands that NaN is refused: a Pipeline of scikit-learn never tells that it takes NaN"
    ),
}


def search(*args, **params):
    """Raise errors as they are, as scikit-learn checks GridSearchCV."""
    return LossDecoderSearchCV(*args, **(dict(cv=2, error_score="raise", random_state=0) | params))


# With the checks that are expected to fail; xfail_strict turns an unexpected pass into a failure.
CONFIGURATIONS = [
    (search(NET, ["bce", "focal"], ["threshold"]), {}),
    (search(PLAIN, ["zlpr"], ["global_threshold"], calibrations=["sigmoid"]), TUNED),
    (search(PIPE, ["bce"], ["threshold"], error_score=0), COLLECTED),
]
EXPECTED = {repr(estimator): expected for estimator, expected in CONFIGURATIONS}


@parametrize_with_checks(
    [estimator for estimator, _ in CONFIGURATIONS],
    expected_failed_checks=lambda estimator: EXPECTED[repr(estimator)],
)
def test_sklearn_checks(estimator, check):
    check(estimator)
