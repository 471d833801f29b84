"""Freeze the predictions of small fitted models.

    python -m golden.freeze [NAME ...]      with `tests` on the path

Writes values.npz beside this file. Freeze again the names that a change is meant to change, and
no others: without a name it freezes all.
"""

import sys
from pathlib import Path

import numpy as np

from golden.cases import CASES, arithmetic, outputs

VALUES = Path(__file__).parent / "values.npz"


def main(names):
    values = dict(np.load(VALUES)) if names else {}
    for name in names or CASES:
        values |= {f"{name}: {kind}": value for kind, value in outputs(name).items()}
    values["arithmetic"] = np.array(arithmetic())
    np.savez_compressed(VALUES, **values)


if __name__ == "__main__":
    main(sys.argv[1:])
