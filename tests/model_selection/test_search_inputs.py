"""What a search is given: it is told what is wrong before anything is trained."""

import numpy as np
import pytest

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = (X[:, :2] > 0.3).astype(int)
ROWS = np.arange(40)
NET = MultiLabelNetClassifier(
    hidden_layer_sizes=(4,), max_epochs=1, early_stopping=False, random_state=0
)


def never(outputs, targets):
    raise AssertionError("trained")


def untrained(**params):
    """Return a search that fails if it trains anything."""
    defaults = dict(estimator=NET, losses={"never": never}, decoders=["threshold"], cv=2,
                    error_score="raise", random_state=0)  # fmt: skip
    return LossDecoderSearchCV(**(defaults | params))


@pytest.mark.parametrize("names", [["no", "yes"], [0, 1], ["a", "b", "c"]])
def test_a_fold_that_trains_on_one_class(names):
    y = np.array(names)[np.minimum(ROWS // 20, len(names) - 1)]
    y[39] = names[-1]
    halves = [(ROWS[:30], ROWS[30:]), (ROWS[:20], ROWS[20:])]
    with pytest.raises(ValueError, match=rf"fold 1 of cv have only 1 class, {names[0]!r}: use"):
        untrained(cv=halves).fit(X, y)


def test_classes_that_folds_do_not_train_on_are_named():
    y = np.where(X[:, 0] > 0, "a", "b")
    y[7] = "r"
    search = LossDecoderSearchCV(NET, ["bce"], cv=4, scoring="accuracy", random_state=0)
    with pytest.warns(UserWarning, match=r"lack classes, .* \(fold \d: class .r.\)") as caught:
        search.fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
