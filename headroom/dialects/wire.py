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
class Document:
    """`duplicate_keys` is true when any object names a key twice: readers disagree on which one counts."""

    root: Any
    duplicate_keys: bool


class TooManyValues(Exception):
    """The text holds more values than the reader takes; it may be valid all the same."""


MOST_VALUES = 1_000_000
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


class _Parser:
    def __init__(self, text: str, most: int) -> None:
        self.text = text
        self.left = most
        self.pos = 0
        self.duplicates = False

    def fail(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self.text, self.pos)

    def peek(self) -> str:
        match = _BLANK.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos
        return self.text[self.pos : self.pos + 1]

    def string(self) -> Str:
        start = self.pos
        value, self.pos = scanstring(self.text, start + 1, False)
        string = Str(value)
        string.start, string.end = start, self.pos
        return string

    def scalar(self, char: str) -> Any:
        if char == '"':
            return self.string()
        if char in _WORDS:
            word, value = _WORDS[char]
            if self.text.startswith(word, self.pos):
                self.pos += len(word)
                return value
        number = _NUMBER.match(self.text, self.pos)
        if not number:
            raise self.fail("Expecting value")
        value = Number(number[0])
        value.start, value.end = self.pos, number.end()
        self.pos = value.end
        return value

    def key(self, char: str) -> str:
        if char != '"':
            raise self.fail("Expecting property name enclosed in double quotes")
        key = self.string()
        if self.peek() != ":":
            raise self.fail("Expecting ':' delimiter")
        self.pos += 1
        return key

    def run(self) -> Any:
        """One value. `open` holds the containers around the position, `keys` the key each object waits to fill."""
        open: list[Arr | Obj] = []
        keys: list[str] = []
        while True:
            self.left -= 1
            if self.left < 0:
                raise TooManyValues
            char = self.peek()
            if char and char in "[{":
                container: Arr | Obj = Arr() if char == "[" else Obj()
                container.start = self.pos
                self.pos += 1
                if self.peek() != ("]" if char == "[" else "}"):
                    open.append(container)
                    if isinstance(container, Obj):
                        keys.append(self.key(self.peek()))
                    continue
                value: Any = self.close(container)
            else:
                value = self.scalar(char)
            while open:
                parent = open[-1]
                if isinstance(parent, Obj):
                    key = keys[-1]
                    self.duplicates |= key in parent
                    parent[key] = value
                else:
                    parent.append(value)
                char = self.peek()
                if char == ",":
                    self.pos += 1
                    if isinstance(parent, Obj):
                        keys[-1] = self.key(self.peek())
                    break
                if char != ("}" if isinstance(parent, Obj) else "]"):
                    raise self.fail("Expecting ',' delimiter")
                if isinstance(parent, Obj):
                    keys.pop()
                value = self.close(open.pop())
            else:
                return value

    def close(self, container: Arr | Obj) -> Arr | Obj:
        self.pos += 1
        container.end = self.pos
        return container


def parse(text: str, most: int = MOST_VALUES) -> Document:
    """Raises json.JSONDecodeError with the position of what is wrong, TooManyValues beyond `most` values."""
    parser = _Parser(text, most)
    root = parser.run()
    if parser.peek():
        raise parser.fail("Extra data")
    return Document(root, parser.duplicates)


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
