"""Training of nets: tables in memory, batches of them, and the skorch net."""

from .._data.rows import Rows
from .batches import Batches, Table
from .build import Plan, build_net, check_accepts, make_loss
from .device import resolve_device, seeded, torch_defaults
from .encoding import Encoder, fit_encoder
from .fit import Trained, mean_scores, train_folds, train_net, train_on, train_part
from .net import TableNet
from .optimizers import OPTIMIZERS, SCHEDULES

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Batches",
    "Encoder",
    "Plan",
    "Rows",
    "Table",
    "TableNet",
    "Trained",
    "build_net",
    "check_accepts",
    "fit_encoder",
    "make_loss",
    "mean_scores",
    "resolve_device",
    "seeded",
    "torch_defaults",
    "train_folds",
    "train_net",
    "train_on",
    "train_part",
]
