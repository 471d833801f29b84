"""Rows of X and y that are matched by position although both have names."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from sklearn_mlloss import (
    DecodedClassifierCV,
    LossDecoderSearchCV,
    MultiLabelNetClassifier,
    SoftVotingClassifier,
)
from sklearn_mlloss._data.tables import match_index
from sklearn_mlloss.members import MultiLabelExtraTreesClassifier, MultiLabelLogisticRegressionCV

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"), index=rng.permutation(40) + 7)
Y = pd.DataFrame((X.to_numpy()[:, :2] > 0).astype(int), columns=["p", "q"], index=X.index)
OTHER = Y.sort_index()
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(4,), max_epochs=1, early_stopping=False, random_state=0
)


def messages(call, *args, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **kwargs)
    return [str(one.message) for one in caught if "another order" in str(one.message)]


@pytest.mark.parametrize(
    "estimator",
    [
        NET,
        DecodedClassifierCV(TREE, cv=2),
        SoftVotingClassifier(
            [
                ("tree", DecodedClassifierCV(TREE, cv=2)),
                ("trees", MultiLabelExtraTreesClassifier(n_estimators=2)),
            ]
        ),
        LossDecoderSearchCV(NET, ["bce"], ["threshold"], scoring="f1_micro", cv=2, refit=True),
        MultiLabelExtraTreesClassifier(n_estimators=2),
        MultiLabelLogisticRegressionCV(cv=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_another_order_of_the_index_is_warned_of_once(estimator):
    assert len(messages(estimator.fit, X, OTHER)) == 1
    assert messages(estimator.fit, X, Y) == []
    assert len(messages(estimator.score, X, OTHER)) == 1
    weight = pd.Series(1.0, index=OTHER.index)
    (message,) = messages(estimator.fit, X, Y, sample_weight=weight)
    assert "use sample_weight = sample_weight.loc[X.index], or" in message


def test_it_is_warned_of_once_for_nested_fits_with_groups():
    vote = SoftVotingClassifier(
        [("tree", DecodedClassifierCV(TREE, cv=2)), ("linear", MultiLabelLogisticRegressionCV())]
    )
    groups = pd.Series(np.arange(40) // 2, index=OTHER.index)
    (message,) = messages(vote.fit, X, OTHER, groups=groups)
    assert message.startswith("y and groups have the index of X in another order")
    assert len(messages(DecodedClassifierCV(vote, cv=2).fit, X, OTHER)) == 1
    fitted = DecodedClassifierCV(TREE, cv=2).fit(X, Y)
    assert len(messages(fitted.fit_decoder, X, OTHER)) == 1


def test_rows_go_by_position():
    with pytest.warns(UserWarning, match=r"y = y.loc\[X.index\], or y.to_numpy\(\)"):
        (aligned,) = match_index(X, y=OTHER).values()
    assert aligned.index.equals(X.index)
    np.testing.assert_array_equal(aligned, OTHER)


@pytest.mark.parametrize(
    "y",
    [
        Y,
        Y.to_numpy(),
        Y["p"],
        Y.reset_index(drop=True),
        Y.set_axis(np.arange(40)),
        OTHER.set_axis(np.minimum(OTHER.index, 45)),  # not unique
        OTHER.iloc[1:],
        None,
    ],
)
def test_other_indexes_are_no_reason_to_warn(y):
    assert match_index(X, y=y)["y"] is y
    assert match_index(X.to_numpy(), y=OTHER)["y"] is OTHER
