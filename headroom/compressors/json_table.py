"""JSON rows as a table and back, without loss.

A table is a heading (`<table 1: 60 rows>`), a line of columns and one line per row, cells separated
by tabs. Nested objects become dotted columns. What must hold, so that `decode` is exact:

- A cell is a JSON literal, or a string without quotes where it cannot be taken for anything else.
  JSON never holds a raw tab or line feed, so cells and rows are split by these alone.
- An empty cell is an absent key; the empty string is `""`.
- `name=JSON` in the column line is the value of every row and has no cell.
- `name:str` says that cells which look like numbers are strings.
- `(value)` holds rows that are no objects (or do not fit the columns); `(key)` the keys of an object
  whose entries are the rows. A column `a` next to `a.b` holds what `a` is when it is not flattened.
- The columns of one object stand together, in the order of its keys, and every row follows that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import lt
from typing import Any, Final

from headroom.compressors.json_text import MAX_DEPTH, Number, decoder, dump, quote, read


class _Absent:
    """The value of a key that a row does not have."""


ABSENT: Final = _Absent()
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity", re.ASCII)
_BARE_NAME = re.compile(r"[\w$@#/-][\w$@#/ -]*")
_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|[\w$@#/ -]+')
_HEADING = re.compile(r"<table (\d+): (\d+) (rows|entries)>")
_PLACE = re.compile(r'"(?:[^"\\]|\\.)*"|<table (\d+)>')
_WORDS = {"true": True, "false": False, "null": None}
_NUMERIC_START = frozenset("-0123456789NI")
_JSON_START = frozenset('"[{')
_FILL = 3  # an object is flattened when its columns have at most this many cells per value


@dataclass(frozen=True, slots=True)
class Column:
    """`name` as it stands in the column line; one cell and one value per row, `cells` is empty for a constant."""

    name: str
    cells: Sequence[str]
    values: Sequence[Any]

    @property
    def constant(self) -> bool:
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

    def record(self, row: int) -> str:
        """One row as JSON, with all its keys."""
        body = dump(self.values[row])
        return body if self.keys is None else f"{quote(self.keys[row])}: {body}"


def tabulate(rows: list[Any] | dict[str, Any]) -> Table:
    """A table of an array's items or of an object's entries. Raises ValueError beyond the depth limit."""
    keys = list(rows) if isinstance(rows, dict) else None
    values = list(rows.values()) if isinstance(rows, dict) else rows
    columns = [] if keys is None else [_column("(key)", keys)]
    columns += _columns("", values, 0)
    cells = [column.cells for column in columns if not column.constant]
    lines = ["\t".join(line).rstrip("\t") for line in zip(*cells, strict=True)] if cells else [""] * len(values)
    return Table(columns, lines, values, keys)


def alike(values: Sequence[dict[str, Any]]) -> bool:
    """Whether objects have enough keys in common to share columns."""
    return bool(_key_order([tuple(value) for value in values], len(values)))


def _columns(path: str, values: list[Any], depth: int) -> Iterator[Column]:
    shapes = [tuple(value) if type(value) is dict and value else None for value in values]
    order = _key_order([shape for shape in shapes if shape], len(values)) if depth < MAX_DEPTH else ()
    if not order:
        yield _column(path or "(value)", values)
        return
    place = {key: index for index, key in enumerate(order)}
    fits = {shape: shape is not None and _ascending([place[key] for key in shape]) for shape in dict.fromkeys(shapes)}
    objects = [value if fits[shape] else {} for value, shape in zip(values, shapes, strict=True)]
    others = [ABSENT if item else value for value, item in zip(values, objects, strict=True)] if not all(fits.values()) else []
    if any(value is not ABSENT for value in others):
        yield _column(path or "(value)", others)
    for key in order:
        name = key if _BARE_NAME.fullmatch(key) else quote(key)
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


def _column(name: str, values: list[Any]) -> Column:
    kinds = set(map(type, values))
    looks_numeric = False
    if kinds == {Number}:
        cells: list[str] = values
    else:
        strings = dict.fromkeys([value for value in values if type(value) is str])
        looks_numeric = any(text[:1] in _NUMERIC_START and _NUMBER.fullmatch(text) for text in strings)
        typed = looks_numeric and Number not in kinds
        bare = {text: _bare(text, typed) for text in strings}
        cells = [bare[value] if type(value) is str else "" if value is ABSENT else dump(value) for value in values]
        name += ":str" if typed else ""
    if len(cells) > 1 and cells.count(cells[0]) == len(cells) and values[0] is not ABSENT and name != "(key)":
        return Column(f"{name.removesuffix(':str')}={dump(values[0])}", (), values)
    return Column(name, cells, values)


def _bare(text: str, typed: bool) -> str:
    """The string without quotes where that is exact, else as JSON."""
    if (
        not text
        or not text.isprintable()
        or text[0] in _JSON_START
        or text[0] == " "
        or text[-1] == " "
        or text in _WORDS
        or (not typed and text[0] in _NUMERIC_START and _NUMBER.fullmatch(text))
    ):
        return quote(text)
    return text


def decode(text: str) -> Any:
    """The value that a skeleton and its tables stand for (see `json_rows.encode`); numbers come as `Number`.

    Raises ValueError when the text is not such an encoding.
    """
    lines = text.split("\n")
    skeleton = "<table 1>" if _HEADING.fullmatch(lines[0]) else lines.pop(0)
    tables: dict[str, Any] = {}
    at = 0
    while at < len(lines):
        match = _HEADING.fullmatch(lines[at])
        if match is None:
            raise ValueError(f"no table at line {at + 1}")
        end = at + 2 + int(match[2])
        tables[match[1]] = _decode_table(lines[at + 1], lines[at + 2 : end], match[3] == "entries")
        at = end
    return decoder(partial(_object, tables)).decode(_PLACE.sub(_twice, skeleton))


def _twice(match: re.Match[str]) -> str:
    """A table's place as an object no document holds: with a key twice."""
    return match[0] if match[1] is None else f'{{"{match[1]}":0,"{match[1]}":0}}'


def _object(tables: dict[str, Any], pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else tables[pairs[0][0]]


@dataclass(frozen=True, slots=True)
class _Spec:
    path: tuple[str, ...]
    typed: bool
    constant: Any
    key: bool


def _decode_table(header: str, lines: list[str], entries: bool) -> Any:
    specs = [_decode_name(name) for name in header.split("\t")] if header else []
    rows = [_decode_row(specs, line.split("\t") if line else []) for line in lines]
    return {row[0]: row[1] for row in rows} if entries else [row[-1] for row in rows]


def _decode_name(name: str) -> _Spec:
    path: list[str] = []
    at = 0
    if name.startswith("("):
        at = name.index(")") + 1
    while at == 0 or name[at : at + 1] == ".":
        match = _NAME.match(name, at + bool(path))
        if match is None:
            raise ValueError(f"not a column: {name}")
        path.append(read(match[0]) if match[0].startswith('"') else match[0])
        at = match.end()
    rest = name[at:]
    return _Spec(tuple(path), rest == ":str", read(rest[1:]) if rest.startswith("=") else ABSENT, name.startswith("(key)"))


def _decode_row(specs: list[_Spec], line: list[str]) -> list[Any]:
    """The row's value, behind its key if it is an entry."""
    cells = iter(line)
    key: list[str] = []
    row: Any = {}
    for spec in specs:
        value = _decode_cell(next(cells, ""), spec.typed) if spec.constant is ABSENT else spec.constant
        if spec.key:
            key.append(value)
        elif value is not ABSENT and not spec.path:
            row = value
        elif value is not ABSENT:
            inner = row
            for part in spec.path[:-1]:
                inner = inner.setdefault(part, {})
            inner[spec.path[-1]] = value
    return [*key, row]


def _decode_cell(cell: str, typed: bool) -> Any:
    if not cell:
        return ABSENT
    if cell[0] in _JSON_START:
        return read(cell)
    if cell in _WORDS:
        return _WORDS[cell]
    return Number(cell) if not typed and _NUMBER.fullmatch(cell) else cell
