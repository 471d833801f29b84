"""What each of two ranks does: fits, of which it saves the models and the rows of each step."""

import os
import pickle
import signal
import sys
import warnings

import numpy as np
import torch
from sklearn.datasets import make_multilabel_classification

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss._training.parameters import NETWORK
from sklearn_mlloss._training.shards import ranks
from sklearn_mlloss.losses import FunctionLoss
from sklearn_mlloss.streaming import RowSource, Streaming

LOSSES = ["bce", "softmax_ce", "soft_fbeta", "factorized", "hinge"]
X, Y = make_multilabel_classification(600, 6, n_classes=4, random_state=0)
X[:, 0] = np.arange(600)


class Parts(RowSource):
    """Shards of several sizes; those of the second rank may fail, press Ctrl-C or kill it."""

    def __init__(self, *stops, fails_after=np.inf, presses_after=None, dies_after=np.inf):
        self.starts, self.stops, self.left = (0, *stops), (*stops, 600), fails_after
        self.presses, self.life = presses_after, dies_after

    def shards(self):
        return [f"rows to {stop}" for stop in self.stops]

    def read(self, shard):
        for start in range(self.starts[shard], self.stops[shard], 40):
            self.left, self.life = self.left - 1, self.life - 1
            if self.life < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.left < 0:
                raise OSError("the disk is gone")
            if self.presses is not None:
                self.presses -= 1
                if self.presses == 0:
                    os.kill(os.getpid(), signal.SIGINT)
            rows = slice(start, min(start + 40, self.stops[shard]))
            yield X[rows], Y[rows], None


class Network(torch.nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        layers = torch.nn.Linear(n_features, 8), torch.nn.Tanh(), torch.nn.Linear(8, n_outputs)
        self.layers, self.unused = torch.nn.Sequential(*layers), torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.layers(x)


class Normalised(torch.nn.Sequential):
    def __init__(self, n_features, n_outputs):
        super().__init__(torch.nn.BatchNorm1d(n_features), torch.nn.Linear(n_features, n_outputs))


class Scaled(torch.nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        values = torch.nn.functional.binary_cross_entropy_with_logits
        return values(outputs * self.scale, targets, reduction="none") + self.scale**2


# Trained by autograd: losses, and other parameters.
GROUPS = {"optimizer__param_groups": [("layers.0.*", {"lr": 0.1})]}
UNFUSED = {
    "module": ("bce", {"module": lambda n_features, n_outputs: Network(n_features, n_outputs)}),
    "groups": ("bce", {"net_params": GROUPS}),
    "own parameter": (FunctionLoss(Scaled()), {}),
}


def net(loss="bce", settings=None, **params):
    fixed = {"hidden_layer_sizes": (16,), "batch_size": 64, "max_epochs": 3, "random_state": 0}
    fixed |= {"precision": "float64", "linear_part": False, "encoding": "standard"}
    fixed |= {"mixup": 0, "dropout": 0, "input_dropout": 0, "streaming": settings, "device": "cpu"}
    if "module" in params:
        fixed = {name: value for name, value in fixed.items() if name not in NETWORK}
    return MultiLabelNetClassifier(loss, **(fixed | params))


class Stop:
    """A callback of scikit-learn that ends training after its first check."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch"

    def teardown(self, estimator, context):
        pass


def main(folder):
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rank, steps, plain = int(os.environ["RANK"]), [], ranks._Batches.order

    def noted(batches):
        order = plain(batches)
        steps.append((batches.table.rows()[order.numpy(), 0], batches.sizes()))
        return order

    ranks._Batches.order = noted
    found = {}

    def note(name, model, *args):
        steps.clear()
        try:
            found[name] = model.fit(*args).predict_proba(X), list(steps)
        except Exception as error:
            found[name] = error
        except KeyboardInterrupt as error:
            kept = getattr(error, "kept", None) is model
            found[name] = kept, model.predict_proba(X) if kept else list(vars(model))

    settings = Streaming(buffer_rows=100, sample_rows=250, distributed="torch")
    for loss in LOSSES:
        note(loss, net(loss, settings), Parts(300, 550))
    for name, (loss, params) in UNFUSED.items():
        note(name, net(loss, settings, **params), Parts(300, 550))
    note("few rows", net("bce", settings), Parts(590))
    note("fewest rows", net("bce", settings), Parts(596))
    note("arrays", net("bce", settings), X, Y)
    note(
        "batches", net("bce", settings), [(X[k : k + 40], Y[k : k + 40]) for k in range(0, 600, 40)]
    )
    auto = {"linear_part": "auto", "dropout": 0.5, "mixup": 0.2, "precision": "float32"}
    auto |= {"decoder": "per_label_threshold"}
    note("auto", net("bce", settings, **auto), Parts(300, 550))
    note("coupled and mixed", net("soft_fbeta", settings, **auto), Parts(300, 550))
    saved = Streaming(**(settings.get_params() | {"checkpoint": f"{folder}/state"}))
    often = {"streaming": saved.set_params(steps_per_checkpoint=2), **auto}
    note("saved", net(**often), Parts(300, 550))
    # Both passes of the second rank are of 7 blocks; the first one is read for the hash, too.
    note("killed", net(**often), Parts(300, 550, fails_after=13 if rank else np.inf))
    found["files"] = sorted(os.listdir(f"{folder}/state"))
    torch.distributed.barrier()
    note("other", net(**(often | {"batch_size": 32})), Parts(300, 550))
    note("resumed", net(**often), Parts(300, 550))
    note("first epoch", net("bce", settings, max_epochs=1), Parts(300, 550))
    if hasattr(MultiLabelNetClassifier, "_init_callback_context"):
        note("stopped", net("bce", settings).set_callbacks(Stop()), Parts(300, 550))
    for name, n_blocks in (("first pass", 3), ("second epoch", 17)):
        # The passes of the second rank are of 7 blocks.
        rows = Parts(300, 550, presses_after=n_blocks if rank else None)
        note(f"interrupted in the {name}", net("bce", settings, n_iter_no_change=np.inf), rows)
    note("one shard", net("bce", settings), Parts())
    note("unequal", net("bce", settings, max_epochs=3 + rank), Parts(300))
    note("own rows", net("bce", settings), X[rank::2], Y[rank::2])
    note("batch norm", net("bce", settings, normalization="batch"), Parts(300))
    note("own batch norm", net("bce", settings, module=Normalised), Parts(300))
    note("own and coupled", net("soft_fbeta", settings, module=Network), Parts(300))
    note("own and few rows", net("bce", settings, module=Network), Parts(596))
    if rank == 0:
        note("lost", net("bce", settings), Parts(300, 550))
    with open(f"{folder}/{rank}.pickle", "wb") as file:
        pickle.dump(found, file)
    if rank == 1:
        net("bce", settings).fit(Parts(300, 550, dies_after=12))


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    main(sys.argv[1])
    torch.distributed.destroy_process_group()
