"""JSON rows as a table, without loss; `json_decode` is the way back.

A table is a heading (`<table 1: 60 rows>`), a line of columns and one line per row, cells separated
by tabs. Nested objects become dotted columns. What must hold, so that decoding is exact:

- A cell is a JSON literal, or a string without quotes where it cannot be taken for anything else.
  JSON never holds a raw tab or line feed, so cells and rows are split by these alone.
- An empty cell is an absent key; the empty string is `""`.
- `name=JSON` in the column line is the value of every row and has no cell; `name~"a/{id}"` has none
  either and is that string with the row's `id` in it.
- `name:str` says that cells which look like numbers are strings; a packing behind a name (`json_packed`)
  which keys the lists in its cells stand for.
- `(value)` holds rows that are no objects (or do not fit the columns); `(key)` the keys of an object
  whose entries are the rows. A column `a` next to `a.b` holds what `a` is when it is not flattened.
- The columns of one object stand together, in the order of its keys, and every row follows that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import lt
from typing import Any, Final

from headroom.compressors import json_derived, json_packed
from headroom.compressors.json_text import MAX_DEPTH, Number, dump, quote


class Absent:
    """The value of a key that a row does not have."""


ABSENT: Final = Absent()
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity", re.ASCII)
WORDS = {"true": True, "false": False, "null": None}
JSON_START = frozenset('"[{')
_NUMERIC_START = frozenset("-0123456789NI")
_FILL = 3  # an object is flattened when its columns have at most this many cells per value


@dataclass(frozen=True, slots=True)
class Column:
    """`name` as it stands in the column line, `path` the part before the signs; one value per row.

    `cells` are the texts of the values, none when the column line says all.
    """

    path: str
    name: str
    cells: Sequence[str]
    values: Sequence[Any]

    @property
    def in_header(self) -> bool:
        return not self.cells and bool(self.values)


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` are the lines of the table, `values` the JSON values they stand for (entries: without their keys)."""

    columns: Sequence[Column]
    rows: Sequence[str]
    values: Sequence[Any]
    keys: Sequence[str] | None = None

    @property
    def header(self) -> str:
        return "\t".join([column.name for column in self.columns])

    def heading(self, number: int) -> str:
        return f"<table {number}: {len(self.values)} {'rows' if self.keys is None else 'entries'}>"

    def text(self, number: int) -> str:
        return "\n".join([self.heading(number), self.header, *self.rows])

    @property
    def derived(self) -> bool:
        return any(column.name.startswith("~", len(column.path)) for column in self.columns)

    def verbatim(self) -> Table:
        """The same table without patterns."""
        return tabulate(list(self.values) if self.keys is None else dict(zip(self.keys, self.values, strict=True)), derive=False)

    def record(self, row: int, spaced: bool = False) -> str:
        """One row as JSON, with all its keys."""
        body = dump(self.values[row], spaced)
        return body if self.keys is None else f"{quote(self.keys[row])}: {body}"


def tabulate(rows: list[Any] | dict[str, Any], derive: bool = True) -> Table:
    """A table of an array's items or of an object's entries. Raises ValueError beyond the depth limit.

    Without `derive` every value that is not the same in all rows stands in it verbatim.
    """
    keys = list(rows) if isinstance(rows, dict) else None
    values = list(rows.values()) if isinstance(rows, dict) else rows
    columns = [] if keys is None else [_column("(key)", keys)]
    columns += _columns("", values, 0)
    if derive:
        columns = _derived(columns)
    cells = [column.cells for column in columns if not column.in_header]
    lines = ["\t".join(line).rstrip("\t") for line in zip(*cells, strict=True)] if cells else [""] * len(values)
    return Table(columns, lines, values, keys)


def alike(values: Sequence[dict[str, Any]]) -> bool:
    """Whether objects have enough keys in common to share columns."""
    return bool(_key_order([tuple(value) for value in values], len(values)))


def _columns(path: str, values: list[Any], depth: int) -> Iterator[Column]:
    shapes = [tuple(value) if type(value) is dict and value else None for value in values]
    order = _key_order([shape for shape in shapes if shape], len(values)) if depth < MAX_DEPTH else ()
    if not order or _all_the_same(values):
        yield _column(path or "(value)", values)
        return
    place = {key: index for index, key in enumerate(order)}
    fits = {shape: shape is not None and _ascending([place[key] for key in shape]) for shape in dict.fromkeys(shapes)}
    objects = [value if fits[shape] else {} for value, shape in zip(values, shapes, strict=True)]
    others = [ABSENT if item else value for value, item in zip(values, objects, strict=True)] if not all(fits.values()) else []
    if any(value is not ABSENT for value in others):
        yield _column(path or "(value)", others)
    for key in order:
        name = json_packed.name(key)
        yield from _columns(f"{path}.{name}" if path else name, [item.get(key, ABSENT) for item in objects], depth + 1)


def _key_order(shapes: list[tuple[str, ...]], rows: int) -> Sequence[str]:
    """One order of all keys that follows as many shapes as it can; empty when too few cells would be filled."""
    if len(set[str]().union(*shapes)) * rows > _FILL * sum(map(len, shapes)):
        return ()
    order: list[str] = []
    for shape in dict.fromkeys(shapes):
        known = set(order)
        if known.issuperset(shape):
            continue
        behind: dict[str | None, list[str]] = {}
        before = None
        for key in shape:
            if key in known:
                before = key
            else:
                behind.setdefault(before, []).append(key)
        merged = behind.get(None, [])
        for key in order:
            merged += (key, *behind.get(key, ()))
        order = merged
    return order


def _ascending(places: list[int]) -> bool:
    return all(map(lt, places, places[1:]))


def _all_the_same(values: list[Any]) -> bool:
    """Whether all rows hold the same object; equality alone would take "1" for 1."""
    first = values[0]
    return len(values) > 1 and all(value == first for value in values) and len(set(map(dump, values))) == 1


def _column(path: str, values: list[Any]) -> Column:
    kinds = set(map(type, values))
    if kinds == {Number}:
        sign, cells = "", values
    elif kinds & {list, dict}:
        packing = json_packed.find([value for value in values if value is not ABSENT]) if str not in kinds else None
        sign = str(packing or "")
        cells = ["" if value is ABSENT else json_packed.pack(value, packing) for value in values]
    else:
        strings = dict.fromkeys([value for value in values if type(value) is str])
        typed = Number not in kinds and any(text[:1] in _NUMERIC_START and NUMBER.fullmatch(text) for text in strings)
        sign = ":str" if typed else ""
        bare = {text: _bare(text, typed) for text in strings}
        cells = [bare[value] if type(value) is str else "" if value is ABSENT else dump(value) for value in values]
    if len(cells) > 1 and cells[0] and path != "(key)" and cells.count(cells[0]) == len(cells):
        return Column(path, f"{path}={dump(values[0])}", (), values)
    return Column(path, path + sign, cells, values)


def _derived(columns: list[Column]) -> list[Column]:
    """The columns, those that repeat others of their row written as patterns."""
    texts = {column.path: column.values for column in columns if column.cells and set(map(type, column.values)) <= {str, Number}}
    targets = [path for path, values in texts.items() if Number not in set(map(type, values)) and path != "(key)"]
    paths = {column.path for column in columns}
    found = json_derived.patterns(texts, targets, paths)
    return [
        Column(column.path, f"{column.path}~{quote(found[column.path])}", (), column.values) if column.path in found else column
        for column in columns
    ]


def _bare(text: str, typed: bool) -> str:
    """The string without quotes where that is exact, else as JSON."""
    if (
        not text
        or not text.isprintable()
        or text[0] in JSON_START
        or text[0] == " "
        or text[-1] == " "
        or text in WORDS
        or (not typed and text[0] in _NUMERIC_START and NUMBER.fullmatch(text))
    ):
        return quote(text)
    return text
