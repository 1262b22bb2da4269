"""Request bodies, read so that a turn of a conversation costs what it adds.

A body that begins like an earlier one takes over what was read there: the messages up to the first that differs, and the tools and
instructions beside them. What was found out about those messages is taken over with them (`along`), because all of it depends on
nothing that comes later. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from headroom.dialects import wire

_ROWS = ("messages", "input")  # the list that grows from turn to turn
_BESIDE = ("tools", "functions", "system", "instructions")  # what stands beside it and stays
_WORTH_CHARS = 200  # shorter values are read faster than compared
MOVING = 3  # rows at the end that come again changed, because cache marks move with the last turns
_CACHE_MARK_CHARS = 200  # at the end of a message, that a mark takes at most
T = TypeVar("T")


@dataclass(slots=True)
class Document:
    """A body and its `root`. `duplicate_keys` is true when any object names a key twice: readers disagree on which one counts.

    `rows` is the list of messages, with the number of values read up to the end of each in `counts`; the first `shared` of them are
    those of an earlier document. `taken` is how many characters were not read because they stood there too. `beside` are the values
    that a later document may take over, with the number of values in each. `notes` are what was found out along the rows, `earlier` the
    notes of the document that lent the shared rows.
    """

    text: str
    root: Any = None
    duplicate_keys: bool = False
    values: int = 0
    rows: wire.Arr | None = None
    counts: list[int] = field(default_factory=list)
    shared: int = 0
    taken: int = 0
    beside: dict[str, int] = field(default_factory=dict)
    notes: dict[Hashable, Any] = field(default_factory=dict)
    earlier: dict[Hashable, Any] = field(default_factory=dict)

    def lasting(self) -> int:
        """Up to which position a later turn will say the same, as far as can be foreseen; 0 when nothing can."""
        if not self.rows:
            return 0
        marked: int = next((row.start for row in self.rows[-MOVING:] if _is_marked(row)), self.rows.end)
        first: int = self.rows[0].end
        return max(marked, first - _CACHE_MARK_CHARS)

    def same_rows(self, text: str, start: int) -> int:
        """How many rows a text has in common with this one, if its list begins at `start` too."""
        rows = self.rows
        if rows is None or rows.start != start or not text.startswith(self.text[:start]):
            return 0
        same, at, most = 0, start, len(rows)
        tried = most
        while same < most:  # mostly all of them, or all but the last few: cache marks have moved
            end = rows[tried - 1].end
            if text.startswith(self.text[at:end], at):
                same, at = tried, end
            else:
                most = tried - 1
            tried = most if most >= len(rows) - MOVING else (same + most + 1) // 2
        return same

    def again(self, key: str, text: str, pos: int) -> wire.Arr | wire.Obj | wire.Str | None:
        """The value of a key where the same stands at `pos` of another text. Only its own place is told, not that of what it holds."""
        if key not in self.beside:
            return None
        value: wire.Arr | wire.Obj | wire.Str = self.root[key]
        if not text.startswith(self.text[value.start : value.end], pos):
            return None
        copy: wire.Arr | wire.Obj | wire.Str
        match value:
            case wire.Arr():
                copy = wire.Arr(value)
            case wire.Obj():
                copy = wire.Obj(value)
            case _:
                copy = wire.Str(value)
        copy.start, copy.end = pos, pos + value.end - value.start
        return copy


def parse(text: str, before: Document | None = None, most: int = wire.MOST_VALUES) -> Document:
    """Reads JSON as `wire.parse` does and raises what it raises; what `before` has in common is not read again.

    `before` has no duplicate keys and was read with the same `most`.
    """
    return _Reader(text, before, most).document()


def lent(document: Document | None, rows: Sequence[Any], name: Hashable) -> tuple[Any, int]:
    """What was noted under a name along the rows that are shared, and how many these are; None where nothing was."""
    if document is None or document.rows is not rows:
        return None, 0
    return document.earlier.get(name), document.shared


def note(document: Document | None, rows: Sequence[Any], name: Hashable, found: Any) -> None:
    """Keep what was found along the rows of a document; `name` says everything else that it depends on. It must not change any more."""
    if document is not None and document.rows is rows:
        document.notes[name] = found


def along(document: Document | None, rows: Sequence[Any], name: Hashable, first: T, step: Callable[[T, Any], T]) -> list[T]:
    """What `step` makes of each row and of what it made of the row before, `first` at the beginning; `name` as for `note`."""
    noted, shared = lent(document, rows, name)
    found: list[T] = noted[:shared] if noted else []
    for row in rows[len(found) :]:
        found.append(step(found[-1] if found else first, row))
    note(document, rows, name, found)
    return found


def _is_marked(row: wire.Obj) -> bool:
    """Whether a provider is asked to cache the prompt up to a block of this message."""
    content = row.get("content")
    return isinstance(content, wire.Arr) and any(isinstance(block, wire.Obj) and "cache_control" in block for block in content)


class _Reader:
    """Reads the outermost object member by member and the list of messages row by row; all else is `wire.value_at`."""

    def __init__(self, text: str, before: Document | None, most: int) -> None:
        self._text = text
        self._before = before
        self._most = most
        self._pos = wire.skip(text, 0)
        self._read = Document(text)

    def document(self) -> Document:
        read = self._read
        read.root = self._root() if self._text.startswith("{", self._pos) else self._value()
        wire.end(self._text, self._pos)
        if read.rows is not None and not all(isinstance(row, wire.Obj) for row in read.rows):
            read.rows = None
        return read

    def _root(self) -> wire.Obj:
        root = wire.Obj()
        root.start = self._pos
        self._opened()
        closed = self._text.startswith("}", self._pos)
        self._pos += closed
        while not closed:
            key, self._pos = wire.key_at(self._text, self._pos)
            self._pos = wire.skip(self._text, self._pos)
            value = self._member(key)
            self._read.duplicate_keys |= key in root
            root[key] = value
            self._pos, closed = wire.delimiter(self._text, self._pos, "}")
        root.end = self._pos
        return root

    def _opened(self) -> None:
        """Past the bracket of a container."""
        if self._read.values >= self._most:
            raise wire.TooManyValues
        self._read.values += 1
        self._pos = wire.skip(self._text, self._pos + 1)

    def _member(self, key: str) -> Any:
        if key in _ROWS and self._read.rows is None and self._text.startswith("[", self._pos):
            return self._rows()
        if key not in _BESIDE:
            return self._value()
        read = self._read
        values = read.values
        value = self._again(key)
        if value is None:
            value = self._value()
        if isinstance(value, wire.Arr | wire.Obj | wire.Str) and value.end - value.start >= _WORTH_CHARS:
            read.beside[key] = read.values - values
        return value

    def _again(self, key: str) -> wire.Arr | wire.Obj | wire.Str | None:
        """The value of an earlier document, if the same stands here."""
        read, before = self._read, self._before
        value = before.again(key, self._text, self._pos) if before else None
        if before is None or value is None or read.values + before.beside[key] > self._most:
            return None
        read.values += before.beside[key]
        read.taken += value.end - self._pos
        self._pos = value.end
        return value

    def _rows(self) -> wire.Arr:
        read, before = self._read, self._before
        rows = read.rows = wire.Arr()
        rows.start = self._pos
        read.shared = before.same_rows(self._text, self._pos) if before else 0
        if before and before.rows and read.shared:
            rows.extend(before.rows[: read.shared])
            read.counts, read.earlier = before.counts[: read.shared], before.notes
            read.values, self._pos = read.counts[-1], rows[-1].end
            read.taken += self._pos - rows.start
            self._pos, closed = wire.delimiter(self._text, self._pos, "]")
        else:
            self._opened()
            closed = self._text.startswith("]", self._pos)
            self._pos += closed
        while not closed:
            rows.append(self._value())
            read.counts.append(read.values)
            self._pos, closed = wire.delimiter(self._text, self._pos, "]")
        rows.end = self._pos
        return rows

    def _value(self) -> Any:
        value, self._pos, count, duplicates = wire.value_at(self._text, self._pos, self._most - self._read.values)
        self._read.values += count
        self._read.duplicate_keys |= duplicates
        return value
