"""The state of a training in a folder, from which a killed training goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..._data.messages import LONGEST, describe
from .ranks import Ranks

__all__ = ["Checkpoint"]


class Checkpoint:
    """Files in a folder that belong to one fit.

    Parameters
    ----------
    folder : str
    key : str
        Hash of the parameters, the shards and the first rows of the fit.
    ranks : Ranks, optional
        The first of them reads and writes the files, and all call each method.

    Raises
    ------
    ValueError
        If there can be no files in the folder.
    """

    names = ("start", "state")

    def __init__(self, folder: str, key: str, ranks: Ranks | None = None):
        self.folder, self.key, self.ranks = Path(folder), key, ranks
        self._by_first(self._check)

    def load(self, name: str) -> Any:
        """Return what was saved under a name, or None; raise if it is of another fit."""
        if self.ranks is None:
            return self._load(name)
        return self.ranks.first(self._by_first(lambda: self._load(name)))

    def save(self, name: str, content: Any) -> None:
        """Save something, which replaces what was saved under the name as a whole."""
        self._by_first(lambda: self._save(name, content))

    def remove(self) -> None:
        """Remove the files, and the folder if nothing else is in it."""
        self._by_first(self._remove)

    def _by_first(self, function: Callable[[], Any]) -> Any:
        if self.ranks is None:
            return function()
        is_first = self.ranks.rank == 0
        return self.ranks.together(function if is_first else lambda: None)

    def _check(self) -> None:
        part = self._path(self.names[0]).with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.touch()
            part.unlink()
        except OSError as error:
            raise ValueError(
                f"checkpoint={describe(str(self.folder))} must be a folder that can be written to: "
                f"{error}. Give the name of another one"
            ) from error

    def _load(self, name: str) -> Any:
        path = self._path(name)
        if not path.exists():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=False)
            key = saved["key"]
        except Exception as error:  # of torch, pickle, or a file that holds something else
            raise ValueError(
                f"checkpoint={describe(str(self.folder))}: {path.name} holds no state of a "
                f"training: {error!r}. Remove the folder, or give another one"
            ) from error
        if key != self.key:
            raise ValueError(
                f"checkpoint={describe(str(self.folder))} holds the state of another fit, with "
                "other parameters, versions, shards or rows: remove the folder, or give another "
                "one"
            )
        return saved["content"]

    def _save(self, name: str, content: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(name)
        part = path.with_suffix(".part")
        try:
            # torch hides why it cannot write to a path.
            with part.open("wb") as file:
                torch.save({"key": self.key, "content": content}, file)
        except Exception as error:  # each class fails in its own way
            part.unlink(missing_ok=True)
            raise self._not_saved(error) from error
        os.replace(part, path)

    def _not_saved(self, error: Exception) -> Exception:
        """Return the error of a state that cannot be written, or cannot be pickled."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError):
                return OSError(
                    cause.errno,
                    f"checkpoint={describe(str(self.folder))}: the state of the training cannot be "
                    f"written: {cause}. The next fit continues from the last state that was saved",
                )
            cause = cause.__cause__ or cause.__context__
        reason = str(error)[:LONGEST] or type(error).__name__
        return ValueError(
            f"checkpoint={describe(str(self.folder))} saves the state of the training, which "
            f"cannot be pickled: {reason}. Define functions and classes in a module, or set "
            "checkpoint=None"
        )

    def _remove(self) -> None:
        for name in self.names:
            self._path(name).unlink(missing_ok=True)
            # Of a process that was killed while it saved.
            self._path(name).with_suffix(".part").unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.pt"
