"""Reads JSON and remembers where its values stand, so that a body is edited in place, not re-written.

`parse` accepts what RFC 8259 allows (and, leniently, control characters inside strings) and gives
ordinary values; strings, numbers, arrays, objects and the keys in them have `start` and `end`, positions in the
text, brackets and quotes included. Numbers stay the literals they were (`Number`). It is iterative, so nesting has no limit; the number
of values has one, because a value takes fifty times the memory of its shortest text.
`splice` replaces ranges; every character outside them stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # documented nowhere, stable since 2.6
from typing import Any, NamedTuple

import orjson


class Str(str):
    """A JSON string, decoded; `start` and `end` frame its literal, quotes included."""

    __slots__ = ("end", "start")
    start: int
    end: int


class Number(str):
    """A JSON number, as the literal that stood there; `start` and `end` frame it."""

    __slots__ = ("end", "start")
    start: int
    end: int


class Arr(list[Any]):
    __slots__ = ("end", "start")
    start: int
    end: int


class Obj(dict[str, Any]):
    __slots__ = ("end", "start")
    start: int
    end: int


class Edit(NamedTuple):
    """Characters start..end become `text`; start == end inserts."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """`duplicate_keys` is true when any object names a key twice: readers disagree on which one counts."""

    root: Any
    duplicate_keys: bool


class TooManyValues(Exception):
    """The text holds more values than the reader takes; it may be valid all the same."""


MOST_VALUES = 1_000_000
_CLOSE = {"{": "}", "[": "]"}
_BLANKS = frozenset(" \t\n\r")
_BLANK = re.compile(r"[ \t\n\r]*+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


def parse(text: str, most: int = MOST_VALUES) -> Parsed:
    """Raises json.JSONDecodeError with the position of what is wrong, TooManyValues beyond `most` values."""
    root, pos, _, duplicates = value_at(text, 0, most)
    end(text, pos)
    return Parsed(root, duplicates)


def end(text: str, pos: int) -> None:
    """Raises json.JSONDecodeError unless nothing but blanks follows."""
    pos = skip(text, pos)
    if pos < len(text):
        raise json.JSONDecodeError("Extra data", text, pos)


def value_at(text: str, pos: int, most: int) -> tuple[Any, int, int, bool]:
    """The value that begins here, where it ends, how many values it holds with itself, and whether an object in it names a key twice.

    `open` holds the containers around the position, `keys` the key each object waits to fill.
    """
    open: list[Arr | Obj] = []
    keys: list[str] = []
    duplicates = False
    for count in range(1, most + 1):
        pos = skip(text, pos)
        char = text[pos : pos + 1]
        if char == '"':
            value: Any = _string(text, pos)
            pos = value.end
        elif char in _CLOSE:
            container: Arr | Obj = Obj() if char == "{" else Arr()
            container.start = pos
            pos = skip(text, pos + 1)
            if text[pos : pos + 1] != _CLOSE[char]:
                open.append(container)
                if char == "{":
                    key, pos = key_at(text, pos)
                    keys.append(key)
                continue
            container.end = pos = pos + 1
            value = container
        else:
            value, pos = _scalar(text, pos, char)
        while open:
            parent = open[-1]
            in_object = isinstance(parent, Obj)
            duplicates |= _fill(parent, keys, value)
            pos, closed = delimiter(text, pos, "}" if in_object else "]")
            if not closed:
                if in_object:
                    keys[-1], pos = key_at(text, pos)
                break
            if in_object:
                keys.pop()
            parent.end = pos
            value = open.pop()
        else:
            return value, pos, count, duplicates
    raise TooManyValues


def _fill(parent: Arr | Obj, keys: list[str], value: Any) -> bool:
    """Put a value where it belongs; whether one stood there under the same key."""
    if isinstance(parent, Obj):
        key = keys[-1]
        known = key in parent
        parent[key] = value
        return known
    parent.append(value)
    return False


def delimiter(text: str, pos: int, close: str) -> tuple[int, bool]:
    """What stands behind a member of a container: the position of the next member, or the container's end and True."""
    pos = skip(text, pos)
    char = text[pos : pos + 1]
    if char == ",":
        return skip(text, pos + 1), False
    if char != close:
        raise json.JSONDecodeError("Expecting ',' delimiter", text, pos)
    return pos + 1, True


def skip(text: str, pos: int) -> int:
    """The next position that is not blank."""
    if text[pos : pos + 1] not in _BLANKS:
        return pos
    pos += 1
    if text[pos : pos + 1] not in _BLANKS:
        return pos
    return _BLANK.match(text, pos).end()  # type: ignore[union-attr]


def _string(text: str, pos: int) -> Str:
    """The string whose literal begins here."""
    value, end = scanstring(text, pos + 1, False)
    string = Str(value)
    string.start, string.end = pos, end
    return string


def key_at(text: str, pos: int) -> tuple[Str, int]:
    """A key of an object, and the position of its value."""
    if text[pos : pos + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, pos)
    key = _string(text, pos)
    pos = skip(text, key.end)
    if text[pos : pos + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, pos)
    return key, pos + 1


def _scalar(text: str, pos: int, char: str) -> tuple[Any, int]:
    """A number or a word, and its end."""
    if char in _WORDS:
        word, value = _WORDS[char]
        if text.startswith(word, pos):
            return value, pos + len(word)
    found = _NUMBER.match(text, pos)
    if not found:
        raise json.JSONDecodeError("Expecting value", text, pos)
    number = Number(found[0])
    number.start, number.end = pos, found.end()
    return number, number.end


def unquote(text: str, start: int) -> str:
    """The string whose literal begins at `start`."""
    value: str = scanstring(text, start + 1, False)[0]
    return value


def quote(text: str) -> str:
    """The JSON literal of a text, other scripts as they are, unless it holds what UTF-8 cannot say."""
    try:
        return orjson.dumps(text).decode()
    except orjson.JSONEncodeError:  # a lone surrogate
        return json.dumps(text)


def splice(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits that do not overlap, in any order; insertions at one place keep their order."""

    def pieces() -> Iterator[str]:
        position = 0
        for edit in sorted(edits, key=lambda e: (e.start, e.end)):
            yield text[position : edit.start]
            yield edit.text
            position = edit.end
        yield text[position:]

    return "".join(pieces())
