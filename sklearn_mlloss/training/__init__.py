"""Training: tables in memory, batches of them, and the net that learns from them."""

from .batches import Batches, Table
from .build import build_net
from .device import resolve_device
from .net import TableNet, seeded
from .optimizers import OPTIMIZERS, SCHEDULES
from .rows import Rows, check_weight

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Batches",
    "Rows",
    "Table",
    "TableNet",
    "build_net",
    "check_weight",
    "resolve_device",
    "seeded",
]
