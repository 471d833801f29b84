"""Common parts of all `fit` methods."""

import warnings

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    MultiLabelExtraTreesClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data.fitting import draw_entropy, unchanged_on_error


def test_seeds_follow_from_the_random_state_and_leave_the_global_generator():
    before = np.random.get_state()[1].tolist()
    assert draw_entropy(0) == draw_entropy(0) == draw_entropy(np.random.RandomState(0))
    assert draw_entropy(0) != draw_entropy(1) and draw_entropy(None) != draw_entropy(None)
    assert np.random.get_state()[1].tolist() == before
    with pytest.raises(ValueError, match="random_state must be None, an int .* got 'x'"):
        draw_entropy("x")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_estimator_is_restored_after_an_error(error):
    estimator = BaseEstimator()
    estimator.kept_ = estimator.changed_ = 1
    with pytest.raises(error), unchanged_on_error(estimator):
        estimator.changed_ = estimator.new_ = 2
        del estimator.kept_
        raise error
    assert vars(estimator) == {"kept_": 1, "changed_": 1}
    with unchanged_on_error(estimator):
        estimator.new_ = 2
    assert estimator.new_ == 2


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_warnings_of_fits_within_a_fit_are_given_once(n_jobs):
    tree = DecisionTreeClassifier(max_depth=1)
    vote = SoftVotingClassifier(
        [("tree", tree), ("trees", MultiLabelExtraTreesClassifier(n_estimators=2))]
    )
    text = np.array(["red|round", "round|blue", "red|blue"])[np.arange(30) % 3]
    with warnings.catch_warnings(record=True) as caught, parallel_config("threading"):
        warnings.simplefilter("always")
        DecodedClassifierCV(vote, cv=2, n_jobs=n_jobs).fit(np.arange(30.0)[:, None], text)
    assert [str(one.message)[:24] for one in caught] == ["y is text with '|' in it"]
