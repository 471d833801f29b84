"""Training by shards on a GPU against the CPU."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import make_multilabel_classification

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.streaming import Streaming

needs_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_multilabel_classification(600, 6, n_classes=4, random_state=0)
MIXED = np.column_stack([np.where(X == 7, np.nan, X), X[:, 0] % 4])
NO_NOISE = {"dropout": 0, "mixup": 0, "input_dropout": 0, "precision": "float64"}
NO_NOISE |= {"linear_part": False}


class Batches:
    """Batches that may fail in a later pass."""

    def __init__(self, X, fails_in=np.inf):
        self.X, self.left = X, fails_in

    def __iter__(self):
        self.left -= 1
        for start in range(0, 600, 100):
            if start == 300 and not self.left:
                raise OSError("the disk is gone")
            yield self.X[start : start + 100], Y[start : start + 100]


def fit(device, rows, loss="bce", settings=None, **params):
    fixed = {"hidden_layer_sizes": (16,), "batch_size": 32, "max_epochs": 3, "random_state": 0}
    streaming = Streaming(buffer_rows=100, sample_rows=250, **(settings or {}))
    model = MultiLabelNetClassifier(loss, device=device, streaming=streaming)
    return model.set_params(**(fixed | params)).fit(rows)


def sparse():
    return sp.csr_array(np.where(X < 8, 0, X))


CASES = {
    "dense": (lambda: X, {}),
    "sparse": (sparse, {}),
    "mixed": (lambda: MIXED, {"categorical_features": [6], "linear_part": True}),
    "coupled": (lambda: X, {"loss": "soft_fbeta", "decoder": "per_label_threshold"}),
    "batch norm": (lambda: X, {"normalization": "batch"}),
}


@pytest.mark.parametrize("case", [pytest.param(name, marks=needs_cuda) for name in CASES])
def test_shards_give_the_same_on_a_gpu(case):
    make, params = CASES[case]
    there, here = (
        fit(device, Batches(make()), **(NO_NOISE | params)) for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(there.predict_proba(make()), here.predict_proba(make()), atol=1e-6)
    assert there.history_["valid_loss"] == pytest.approx(here.history_["valid_loss"])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_a_schedule_goes_on_from_a_checkpoint(device, tmp_path):
    params = {"lr_schedule": "cosine", "max_epochs": 4, "linear_part": True, "dropout": 0.5}
    expected = fit(device, Batches(X), settings={"checkpoint": str(tmp_path / "1")}, **params)
    settings = {"checkpoint": str(tmp_path / "2")}
    with pytest.raises(OSError, match="the disk is gone"):
        # After the key, the first pass and two epochs.
        fit(device, Batches(X, fails_in=5), settings=settings, **params)
    assert (tmp_path / "2" / "state.pt").exists()
    resumed = fit(device, Batches(X), settings=settings, **params)
    assert resumed.history_["learning_rate"] == expected.history_["learning_rate"]
    for name in "train_loss", "valid_loss":  # sums on a GPU have no fixed order
        rel = 0 if device == "cpu" else 1e-4
        assert resumed.history_[name] == pytest.approx(expected.history_[name], rel=rel)


def test_training_on_the_cpu_leaves_the_generators_of_gpus_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("seeded"))
    fit("cpu", Batches(X), max_epochs=1)
