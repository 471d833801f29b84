"""Versions of the packages in use, for bug reports."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__", "package_versions", "show_versions"]

__version__ = "0.1.0.dev0"

NEEDED = ("numpy", "scipy", "scikit-learn", "torch", "skorch", "joblib")
OPTIONAL = (
    "matplotlib",
    "pandas",
    "river",
    "dask",
    "distributed",
    "safetensors",
    "skops",
    "onnx",
    "onnxruntime",
)


def show_versions() -> None:
    """Print the versions of Python and of the packages in use, and torch's devices.

    Paste it into bug reports.

    Examples
    --------
    >>> import sklearn_mlloss
    >>> sklearn_mlloss.show_versions()  # doctest: +SKIP
    """
    import torch

    devices = {
        f"cuda:{number}": torch.cuda.get_device_name(number)
        for number in range(torch.cuda.device_count())
    }
    sections = {
        "System": {
            "sklearn_mlloss": __version__,
            "python": sys.version.replace("\n", " "),
            "executable": sys.executable,
            "machine": platform.platform(),
            "cores": str(os.cpu_count()),
        },
        "Packages": package_versions(NEEDED),
        "Optional packages": package_versions(OPTIONAL),
        "torch": {
            "threads": str(torch.get_num_threads()),
            "built with CUDA": torch.version.cuda or "no",
            "CUDA devices": str(len(devices)),
            **devices,
        },
    }
    for title, lines in sections.items():
        print(f"\n{title}:")
        for name, value in lines.items():
            print(f"{name:>16}: {value}")


def package_versions(names: tuple[str, ...] = NEEDED) -> dict[str, str]:
    """Return the versions of packages, without importing them."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
