"""Out-of-fold scores from epochs that the rows themselves did not choose.

A network that stops early on its own fold is at the epoch that suits these rows best, and what it
says of them is better than what it says of new rows. The network stays as it is; the scores of its
fold are those that it had after as many epochs as the networks of the other folds needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["OutputsByEpoch", "epochs_of_others"]

# Outputs that are kept per fold, and the number of epochs that stay whatever their size.
KEPT_BYTES, FEWEST = 2**26, 8


class OutputsByEpoch:
    """The outputs of held-out rows after each epoch, or of every 2nd, 4th, ... where they are many.

    Attributes
    ----------
    n_epochs : int
        Epochs that were recorded.
    """

    def __init__(self) -> None:
        self.n_epochs, self._step = 0, 1
        self._outputs: dict[int, Tensor] = {}

    def record(self, batches: Sequence[Tensor]) -> None:
        """Take the outputs of all held-out rows, in order, after one more epoch."""
        self.n_epochs += 1
        if self.n_epochs % self._step:
            return
        outputs = torch.cat(list(batches)).cpu()
        self._outputs[self.n_epochs] = outputs
        n = len(self._outputs)
        if n > FEWEST and n * outputs.nbytes > KEPT_BYTES:
            self._step *= 2
            self._outputs = {e: o for e, o in self._outputs.items() if e % self._step == 0}

    def at(self, epoch: int) -> Tensor:
        """Return the outputs after so many epochs, or of the epoch next to it that was kept."""
        return self._outputs[min(self._outputs, key=lambda kept: (abs(kept - epoch), kept))]


def epochs_of_others(epochs: Sequence[int]) -> list[int]:
    """Return for each fold the median of the best epochs of the other folds.

    A single fold has its own: there is nothing else to go by.
    """
    if len(epochs) == 1:
        return list(epochs)
    return [int(np.median(np.delete(epochs, k))) for k in range(len(epochs))]
