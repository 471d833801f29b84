"""Labels that were not observed: little is lost, whichever loss."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.losses import LOSSES, WithCount

HIDDEN = 0.3


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 6))
    logits = 2 * X @ rng.normal(size=(6, 12)) - np.linspace(0, 2, 12)
    Y = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    partly = np.where(rng.random(Y.shape) < HIDDEN, np.nan, Y)
    return X, Y, partly


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss", [*LOSSES, WithCount("bce"), WithCount("lsep", "categorical")], ids=str
)
def test_hidden_labels_cost_little(tables, loss):
    X, Y, partly = tables

    def score(targets):
        net = MultiLabelNetClassifier(
            loss, "global_threshold", hidden_layer_sizes=(), max_epochs=12, learning_rate=0.03,
            batch_size=100, early_stopping=False, weight_decay=0, random_state=0, device="cpu",
            encoding=None,
        )  # fmt: skip
        Y_hat = net.fit(X[:2000], targets[:2000]).predict(X[2000:])
        return f1_score(Y[2000:], Y_hat, average="micro")

    complete = score(Y)
    assert complete > 0.65, "too low to tell"
    assert score(partly) > complete - 0.03
