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
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import itemgetter, lt
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
_QUOTED_START = JSON_START | {" "}
_FILL = 3  # an object is flattened when its columns have at most this many cells per value


@dataclass(frozen=True)
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

    @cached_property
    def kinds(self) -> frozenset[type]:
        """The types of its values."""
        return frozenset(map(type, self.values))

    @cached_property
    def distinct(self) -> frozenset[str]:
        """Its cells, each once."""
        return frozenset(self.cells)


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
    return Table(columns, _lines([column.cells for column in columns if not column.in_header], len(values)), values, keys)


def _lines(cells: Sequence[Sequence[str]], rows: int) -> list[str]:
    """One line per row, without the empty cells at its end."""
    if not cells:
        return [""] * rows
    lines = list(map("\t".join, zip(*cells, strict=True)))
    return [line.rstrip("\t") for line in lines] if "" in cells[-1] else lines


def alike(values: Sequence[dict[str, Any]]) -> bool:
    """Whether objects have enough keys in common to share columns."""
    return bool(_key_order(Counter(map(tuple, values)), len(values)))


def _columns(path: str, values: Sequence[Any], depth: int) -> Iterator[Column]:
    """The columns of values that stand at `path`: one, or those of their keys."""
    if dict not in set(map(type, values)):
        yield _column(path or "(value)", values)
        return
    shapes = [tuple(value) if type(value) is dict and value else None for value in values]
    counts = Counter(shapes)
    order = _key_order({shape: count for shape, count in counts.items() if shape}, len(values)) if depth < MAX_DEPTH else ()
    if not order or _all_the_same(values):
        yield _column(path or "(value)", values)
        return
    place = {key: index for index, key in enumerate(order)}
    fits = {shape: shape is not None and _ascending([place[key] for key in shape]) for shape in counts}
    objects = [value if fits[shape] else {} for value, shape in zip(values, shapes, strict=True)] if not all(fits.values()) else values
    if objects is not values:
        others = [ABSENT if item else value for value, item in zip(values, objects, strict=True)]
        if any(value is not ABSENT for value in others):
            yield _column(path or "(value)", others)
    for key, inner in zip(order, _by_key(objects, order, one_shape=len(fits) == 1), strict=True):
        name = json_packed.name(key)
        yield from _columns(f"{path}.{name}" if path else name, inner, depth + 1)


def _by_key(objects: Sequence[dict[str, Any]], order: Sequence[str], one_shape: bool) -> Iterable[Sequence[Any]]:
    """For each key its value in every object; with `one_shape` the keys of all objects are `order`."""
    if one_shape:
        return zip(*map(dict.values, objects), strict=True)
    return (list(map(dict.get, objects, repeat(key), repeat(ABSENT))) for key in order)


def _key_order(shapes: Mapping[tuple[str, ...], int], rows: int) -> Sequence[str]:
    """One order of all keys that follows as many shapes as it can; empty when too few cells would be filled.

    `shapes` says how many rows have these keys.
    """
    if len(set[str]().union(*shapes)) * rows > _FILL * sum([len(shape) * count for shape, count in shapes.items()]):
        return ()
    order: list[str] = []
    for shape in shapes:
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


def _all_the_same(values: Sequence[Any]) -> bool:
    """Whether all rows hold the same object; equality alone would take "1" for 1."""
    first = values[0]
    return len(values) > 1 and all(value == first for value in values) and len(set(map(dump, values))) == 1


def _column(path: str, values: Sequence[Any]) -> Column:
    kinds = set(map(type, values))
    sign = ""
    cells: Sequence[str]
    if kinds == {Number}:
        cells = values
    elif kinds & {list, dict}:
        packing = json_packed.find([value for value in values if value is not ABSENT]) if str not in kinds else None
        sign = str(packing or "")
        cells = ["" if value is ABSENT else json_packed.pack(value, packing) for value in values]
    else:
        cells, sign = _texts(values, kinds)
    if len(cells) > 1 and cells[0] and cells[0] == cells[-1] and path != "(key)" and cells.count(cells[0]) == len(cells):
        return Column(path, f"{path}={dump(values[0])}", (), values)
    return Column(path, path + sign, cells, values)


def _texts(values: Sequence[Any], kinds: Collection[type]) -> tuple[Sequence[str], str]:
    """The cells of strings, numbers and words, and the sign of their column."""
    strings = dict.fromkeys(values if kinds == {str} else [value for value in values if type(value) is str])
    starts = set(map(itemgetter(0), filter(None, strings)))
    typed = Number not in kinds and not starts.isdisjoint(_NUMERIC_START) and any(map(NUMBER.fullmatch, strings))
    sign = ":str" if typed else ""
    bare: dict[str, str] = {}
    if Number in kinds or not starts.isdisjoint(_QUOTED_START) or not _are_bare(strings):
        bare = {text: _bare(text, typed) for text in strings}
    if kinds == {str}:
        return [bare[text] for text in values] if bare else values, sign
    return [bare.get(value, value) if type(value) is str else "" if value is ABSENT else dump(value) for value in values], sign


def _are_bare(strings: Mapping[str, object]) -> bool:
    """Whether all of them can do without quotes as far as their starts and numbers do not decide."""
    if "" in strings or not strings.keys().isdisjoint(WORDS) or " " in set(map(itemgetter(-1), strings)):
        return False
    return "".join(strings).isprintable()


def _derived(columns: list[Column]) -> list[Column]:
    """The columns, those that repeat others of their row written as patterns."""
    texts = {column.path: column for column in columns if column.cells and column.kinds <= {str, Number}}
    targets = {path for path, column in texts.items() if Number not in column.kinds and path != "(key)"}
    paths = {column.path for column in columns}
    found = json_derived.patterns({path: column.values for path, column in texts.items()}, targets, paths)
    return [
        Column(column.path, f"{column.path}~{quote(found[column.path])}", (), column.values) if column.path in found else column
        for column in columns
    ]


def _bare(text: str, typed: bool) -> str:
    """The string without quotes where that is exact, else as JSON."""
    if (
        not text
        or not text.isprintable()
        or text[0] in _QUOTED_START
        or text[-1] == " "
        or text in WORDS
        or (not typed and text[0] in _NUMERIC_START and NUMBER.fullmatch(text))
    ):
        return quote(text)
    return text
