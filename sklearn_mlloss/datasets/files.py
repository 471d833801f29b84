"""Lines of text files, and errors that name the file and the line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._data.messages import describe
from .._data.validation import InvalidParameterError

__all__ = ["FileFormatError", "LineReader", "check_path", "without_compression"]

OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


class FileFormatError(ValueError):
    """A file is cut, or not in the format that it should have.

    Parameters
    ----------
    message : str
        What is wrong.
    path : Path
        The file.
    line : int
        The number of the line.
    column : str or int, optional
        The name of the attribute, or the number of the character.
    """

    def __init__(
        self, message: str, path: Path, line: int, column: str | int | None = None
    ) -> None:
        where = f"{path}, line {line}" + (f", column {column!r}" if column is not None else "")
        super().__init__(f"{where}: {message}")


class LineReader(io.BufferedIOBase):
    """A file of lines, decompressed, that counts them.

    Parameters
    ----------
    path : Path
        A file whose name ends in .gz, .bz2 or .xz is decompressed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self._file = OPENERS.get(path.suffix.lower(), io.FileIO)(path)
        if isinstance(self._file, io.FileIO):
            self._file = io.BufferedReader(self._file)

    def readline(self, size: int | None = -1) -> bytes:
        """Return the next line, or no bytes at the end."""
        try:
            line = self._file.readline()
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            self.number += 1
            raise self.error(f"the compressed file is cut or damaged ({error})") from error
        self.number += bool(line)
        return line

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def error(self, message: str, column: str | None = None) -> FileFormatError:
        """Return an error at the line that was read last."""
        return FileFormatError(message, self.path, self.number, column)

    def syntax_error(self, message: str, column: str | None = None) -> FileFormatError:
        """Return an error at the line that was read last, with a hint if the file ends there."""
        line = self.number
        cut = "" if self.readline() else ". It is the last line: the file may be cut"
        return FileFormatError(message + cut, self.path, line, column)


def check_path(path: Any, name: str) -> Path:
    """Return a path, or raise a TypeError that names the parameter."""
    if not isinstance(path, str | os.PathLike):
        raise InvalidParameterError(f"{name} must be the path of a file, got {describe(path)}")
    return Path(path)


def without_compression(path: Path) -> Path:
    """Return a path without .gz, .bz2 or .xz at its end."""
    return path.with_suffix("") if path.suffix.lower() in OPENERS else path
