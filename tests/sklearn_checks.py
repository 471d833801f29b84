"""scikit-learn's `parametrize_with_checks`, which collects faster."""

from functools import cache

import pytest
from sklearn.utils import estimator_checks

__all__ = ["parametrize_with_checks"]


def parametrize_with_checks(estimators, *, expected_failed_checks):
    """As scikit-learn's, with the same names, but one `repr` per estimator, not per check."""
    checks = estimator_checks.parametrize_with_checks(
        estimators, expected_failed_checks=expected_failed_checks
    )
    return pytest.mark.parametrize(*checks.args, ids=cache(checks.kwargs["ids"]))
