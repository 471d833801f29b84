"""The head of an ARFF file: relation, comments and attributes.

liac-arff parses the head with an expression whose time doubles with each value of a nominal
attribute that lacks its closing brace, and does not accept tabs, dates' formats and escaped
quotes: so the head is parsed here, and the rows by liac-arff.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .files import LineReader

__all__ = ["Attribute", "Head", "decode", "read_head"]

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_RELATION = re.compile(rf"@relation(?:\s+({_QUOTED}|.*))?$", re.I | re.S)
_ATTRIBUTE = re.compile(rf"""@attribute\s+({_QUOTED}|[^\s{{'"][^\s{{]*)\s*(.*)$""", re.I | re.S)
_VALUE = re.compile(rf"""\s*({_QUOTED}|[^\s,{{}}'"]+)\s*([,}}])""")
_COMMENT = re.compile(r"\s*(%.*)?$")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NUMERIC = ("numeric", "real", "integer")


class Attribute(NamedTuple):
    """A column of an ARFF file.

    `values` are the declared values of a nominal attribute; None if it is numeric or text.
    """

    name: str
    kind: str
    values: list[str] | None
    line: int


class Head(NamedTuple):
    """What precedes the rows of an ARFF file."""

    relation: str
    comments: str
    attributes: list[Attribute]


def read_head(lines: LineReader, encoding: str) -> Head:
    """Return the head of an ARFF file, and leave the reader at the first row."""
    relation, comments, attributes = "", [], dict[str, Attribute]()
    for raw in lines:
        text = decode(raw, lines, encoding)
        word = text[:10].lower()
        if text.startswith("%"):
            comments.append(text.lstrip("% "))
        elif word.startswith("@relation"):
            found = _RELATION.match(text)
            relation = _unquote(found[1] or "") if found else ""
        elif word.startswith("@attribute"):
            attribute = _attribute(text, lines)
            if attribute.name in attributes:
                earlier = attributes[attribute.name].line
                raise lines.error(
                    f"the attribute has the name of the one of line {earlier}",
                    column=attribute.name,
                )
            attributes[attribute.name] = attribute
        elif word.startswith("@data"):
            if not attributes:
                raise lines.error("@data before any @attribute")
            return Head(relation, "\n".join(comments).strip(), list(attributes.values()))
        elif text:
            raise lines.error(
                "expected @relation, @attribute, @data or a comment that begins with %"
                + ("; is this an ARFF file?" if not attributes else "")
            )
    raise lines.error("the file ends before @data: it is cut, or not an ARFF file")


def decode(raw: bytes, lines: LineReader, encoding: str) -> str:
    """Return a line as text, without the mark of UTF-8 and the white space around it."""
    try:
        return raw.decode(encoding).lstrip("\ufeff").strip()
    except UnicodeError:
        raise lines.error(
            f"the text is not in encoding={encoding!r}; many older files are in 'latin-1'"
        ) from None


def _attribute(text: str, lines: LineReader) -> Attribute:
    found = _ATTRIBUTE.match(text)
    if not found or not found[2]:
        raise lines.syntax_error(
            "expected @attribute name type; names with spaces must be in quotes"
        )
    name, kind = _unquote(found[1]), found[2]
    if kind.startswith("{"):
        return Attribute(name, "nominal", _values(kind, name, lines), lines.number)
    word = kind.split("%")[0].strip().lower()
    if word in _NUMERIC:
        return Attribute(name, "numeric", None, lines.number)
    if word == "string":
        return Attribute(name, "text", None, lines.number)
    raise lines.error(
        "the type must be numeric, real, integer, string or a list of values in braces; other "
        "types, such as dates, are not supported",
        column=name,
    )


def _values(text: str, name: str, lines: LineReader) -> list[str]:
    """Return the declared values of a nominal attribute."""
    values, position, after = [], 1, ","
    while after == ",":
        found = _VALUE.match(text, position)
        if not found:
            raise lines.syntax_error(
                "expected a list of values such as {red, 'dark blue'}; values with spaces, commas, "
                "quotes or braces must be in quotes",
                column=name,
            )
        values.append(_unquote(found[1]))
        position, after = found.end(), found[2]
    if not _COMMENT.match(text, position):
        raise lines.error("there is text after the list of values", column=name)
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise lines.error(f"the value {twice!r} is declared twice", column=name)
    return values


def _unquote(text: str) -> str:
    """Return a name or a value without quotes around it, and with its escapes replaced."""
    text = text.strip()
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        return text
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.S)
