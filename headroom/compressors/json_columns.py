"""What is unusual in a column of a table, and how a stretch of its rows is described in a few words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from operator import ge, le, ne, sub
from typing import Any, Literal

from headroom.compressors.json_table import Column
from headroom.compressors.json_text import Number

_LEAST_ROWS = 8  # fewer have no usual value
_RARE = 0.01  # share of the rows up to which a value is rare
_RARE_ROWS = 0.03  # share of the rows above which rare values are the rule
_FAR = 4.0  # quartile distances from the middle half at which a number is an outlier
_OUTLIERS = 4  # per column
_RUNS = 0.02  # share of the rows up to which a change of value is a change point
_BLOCKS = 24  # stretches whose means are compared for a shift
_SHIFT = 3.0  # deviations within a stretch that make a shift
_STATUS = re.compile(r"(?:^|[._ ])(?:status|(?:http_?)?status_?code|exit_?code|return_?code)$", re.IGNORECASE)
_HTTP_ERROR = 400
_DESCRIBED = 5  # columns in one description
_ROWS_PER_COLUMN = 8  # rows of a stretch that one described column is worth
_VALUES = 3  # named in a description
_VALUE = 24  # characters of a value there
_FEW_VALUES = 12  # a column with at most this many is described by its values
_FEW_NUMBERS = 4  # the same for numbers

Kind = Literal["values", "numbers", "ordered"]


def unusual(column: Column) -> Iterable[int]:
    """Rows whose value, type, size or change is unusual in the column; a row may come several times."""
    rows = len(column.cells)
    if rows < _LEAST_ROWS or column.path == "(key)":
        return []
    found = [*_rare(column.cells, column.distinct), *_changes(column)]
    if len(column.kinds) > 1:
        found += _rare(list(map(type, column.values)), column.kinds)
    numbers = _numbers(column)
    if numbers.found:
        if _STATUS.search(column.path):
            found += [row for row, number in zip(numbers.rows, numbers.found, strict=True) if _HTTP_ERROR <= number < 600]
        if not _monotone(numbers.found):
            found += _outliers(numbers)
            found += _shifts(numbers)
    return found


def _rare(values: Sequence[object], distinct: Collection[object]) -> list[int]:
    if len(distinct) == 1 or len(distinct) > max(2, len(values) // 8):
        return []
    few = max(1, int(len(values) * _RARE))
    rare = {value for value, count in Counter(values).items() if count <= few}
    found = [row for row, value in enumerate(values) if value in rare] if rare else []
    return found if len(found) <= max(2, len(values) * _RARE_ROWS) else []


def _changes(column: Column) -> list[int]:
    """First rows of long stretches with the same value."""
    cells = column.cells
    if not 0 < len(column.distinct) - 1 <= len(cells) * _RUNS:  # every value but the first changes once at least
        return []
    changed = sum(map(ne, cells, cells[1:]))
    if changed > len(cells) * _RUNS:
        return []
    return [row for row in range(1, len(cells)) if cells[row] != cells[row - 1]]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The finite numbers of a column and the row of each."""

    found: list[float]
    rows: Sequence[int]


def _numbers(column: Column) -> _Numbers:
    """None when most of the column are no numbers."""
    values = column.values
    if Number not in column.kinds:
        return _Numbers([], ())
    if len(column.kinds) == 1:
        rows: Sequence[int] = range(len(values))
        found = list(map(float, values))
    else:
        rows = [row for row, value in enumerate(values) if type(value) is Number]
        found = [float(values[row]) for row in rows]
    if len(found) < max(_LEAST_ROWS, len(values) // 2):
        return _Numbers([], ())
    if all(map(math.isfinite, found)):
        return _Numbers(found, rows)
    finite = list(map(math.isfinite, found))
    return _Numbers(list(compress(found, finite)), list(compress(rows, finite)))


def _monotone(values: Sequence[float] | Sequence[str]) -> bool:
    return all(map(le, values, values[1:])) or all(map(ge, values, values[1:]))


def _outliers(numbers: _Numbers) -> list[int]:
    ordered = sorted(numbers.found)
    low, high = ordered[len(ordered) // 4], ordered[len(ordered) * 3 // 4]
    reach = (high - low) * _FAR
    lowest, highest = low - reach, high + reach
    if not 0 < reach < math.inf or lowest <= ordered[0] <= ordered[-1] <= highest:
        return []
    far = [
        (max(low - number, number - high), row)
        for row, number in zip(numbers.rows, numbers.found, strict=True)
        if number < lowest or number > highest
    ]
    far.sort(key=lambda pair: (-pair[0], pair[1]))
    return [row for _, row in far[:_OUTLIERS]]


def _shifts(numbers: _Numbers) -> list[int]:
    """Rows at which the mean of a stretch moves by more than the numbers scatter within it."""
    found = numbers.found
    size = max(_LEAST_ROWS, len(found) // _BLOCKS)
    blocks = [found[start : start + size] for start in range(0, len(found) - size + 1, size)]
    means = [math.fsum(block) / size for block in blocks]
    scatter = [math.fsum(map(abs, map(sub, block, repeat(mean)))) / size for block, mean in zip(blocks, means, strict=True)]
    shifted = []
    for index in range(1, len(blocks) - 1):
        if abs(means[index + 1] - means[index - 1]) > _SHIFT * max(scatter[index - 1], scatter[index + 1]):
            around = range((index - 1) * size + 1, (index + 2) * size)
            step = max(around, key=lambda place: abs(found[place] - found[place - 1]))
            shifted.append(numbers.rows[step])
    return shifted


@dataclass(frozen=True, slots=True)
class Described:
    """A column that tells rows apart, and how a stretch of it is put into words."""

    column: Column
    kind: Kind

    def words(self, start: int, end: int) -> str:
        name = self.column.path
        cells = [cell for cell in self.column.cells[start:end] if cell]
        if not cells:
            return ""
        if self.kind == "ordered":
            return f"{name} {_short(cells[0])}..{_short(cells[-1])}"
        if self.kind == "numbers":
            return _range(name, self.column.values[start:end], len(cells))
        counts = Counter(cells).most_common()
        named = [_short(value) if len(counts) == 1 else f"{_short(value)} x{count}" for value, count in counts[:_VALUES]]
        more = [f"{len(counts) - _VALUES} more values"] if len(counts) > _VALUES else []
        return f"{name} {', '.join(named + more)}"


def _range(name: str, values: Sequence[Any], present: int) -> str:
    """Between which numbers the cells of a column lie, and how many of those `present` are none: it is not said of all of them."""
    numbers = [value for value in values if type(value) is Number and math.isfinite(float(value))]
    if not numbers:
        return ""
    low, high = min(numbers, key=float), max(numbers, key=float)
    said = f"{name} {low}" if low == high else f"{name} {low}..{high}"
    return said if len(numbers) == present else f"{said} x{len(numbers)}, {present - len(numbers)} no numbers"


def _short(cell: str) -> str:
    return cell if len(cell) <= _VALUE else cell[: _VALUE - 1] + "…"


def telling(columns: Sequence[Column]) -> list[Described]:
    """The columns worth describing: one that orders the rows, then values and numbers in turn."""
    ordered: list[Described] = []
    others: dict[Kind, list[Described]] = {"values": [], "numbers": [], "ordered": []}
    for column in columns:
        kind = None if column.in_header else _kind(column)
        if kind == "ordered" and not ordered:
            ordered.append(Described(column, kind))
        elif kind:
            others[kind].append(Described(column, kind))
    mixed = others["values"][:3] + others["numbers"][:2] + others["values"][3:] + others["numbers"][2:]
    return (ordered + mixed)[:_DESCRIBED]


def _kind(column: Column) -> Kind | None:
    if len(column.cells) < _LEAST_ROWS:
        return None
    has_numbers, distinct = Number in column.kinds, column.distinct
    kind: Kind | None = "numbers" if has_numbers else None
    if len(distinct) <= min(_FEW_NUMBERS if has_numbers else _FEW_VALUES, len(column.cells) // 4):
        kind = "values"
    elif _is_ordered(column):
        kind = "ordered"
    return None if kind is None or any(cell.startswith(("[", "{")) for cell in distinct) else kind


def _is_ordered(column: Column) -> bool:
    """Whether the rows are sorted by the column: by its texts, or by numbers that differ in all of them."""
    if Number not in column.kinds:
        return _monotone(column.cells)
    if len(column.kinds) > 1 or len(column.distinct) < len(column.cells):
        return False
    return _monotone(list(map(float, column.values)))


def describe(columns: Sequence[Described], start: int, end: int) -> str:
    """`: amount 3..99; status ok x120, late x3` for the rows from `start` to before `end`; short for a short stretch."""
    words = [column.words(start, end) for column in columns[: (end - start) // _ROWS_PER_COLUMN]]
    said = "; ".join([word for word in words if word])
    return f": {said}" if said else ""
