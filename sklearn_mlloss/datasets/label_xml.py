"""XML files that name the labels of an ARFF file, as Mulan has them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from .files import FileFormatError

__all__ = ["Label", "read_label_xml"]


class Label(NamedTuple):
    """A label of an XML file: the name of its parent, if it is within another, and its line."""

    parent: str | None
    line: int


def read_label_xml(path: Path) -> dict[str, Label]:
    """Return the labels of an XML file by name.

    Declarations of document types and entities are refused: a small file can blow up to gigabytes
    by entities, or read other files, and label files need none.
    """
    parser = expat.ParserCreate()
    labels: dict[str, Label] = {}
    within: list[str | None] = []

    def error(message: str) -> FileFormatError:
        column = parser.CurrentColumnNumber + 1
        return FileFormatError(message, path, parser.CurrentLineNumber, column)

    def refuse(*_: object) -> None:
        raise error("DOCTYPE and ENTITY are not allowed in a file of labels")

    def start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if not within:
            if tag != "labels":
                raise error(f"expected <labels> as in label files of Mulan, got <{tag}>")
            within.append(None)
            return
        if tag != "label" or not attributes.get("name"):
            raise error(f'expected <label name="...">, got <{tag}>')
        name = attributes["name"]
        if name in labels:
            raise error(f"the label {name!r} is also in line {labels[name].line}")
        labels[name] = Label(within[-1], parser.CurrentLineNumber)
        within.append(name)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: within.pop()
    try:
        parser.Parse(path.read_bytes(), True)
    except FileFormatError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as wrong:  # the latter of encodings
        raise error(f"not a whole XML file: {wrong}") from wrong
    if not labels:
        raise error("the file names no label")
    return labels
