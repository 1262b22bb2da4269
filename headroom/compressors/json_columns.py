"""What is unusual in a column of a table, and how a stretch of its rows is described in a few words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import ge, le, ne
from typing import Literal

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
    found = [*_rare(column.cells), *_rare([type(value) for value in column.values]), *_changes(column.cells)]
    numbers = _numbers(column.values)
    if numbers:
        if _STATUS.search(column.path):
            found += [row for row, number in numbers if _HTTP_ERROR <= number < 600]
        if not _monotone([number for _, number in numbers]):
            found += _outliers(numbers)
            found += _shifts(numbers)
    return found


def _rare(values: Sequence[object]) -> list[int]:
    counts = Counter(values)
    few = max(1, int(len(values) * _RARE))
    if len(counts) == 1 or len(counts) > max(2, len(values) // 8):
        return []
    rare = {value for value, count in counts.items() if count <= few}
    found = [row for row, value in enumerate(values) if value in rare] if rare else []
    return found if len(found) <= max(2, len(values) * _RARE_ROWS) else []


def _changes(cells: Sequence[str]) -> list[int]:
    """First rows of long stretches with the same value."""
    changed = sum(map(ne, cells, cells[1:]))
    if not 0 < changed <= len(cells) * _RUNS:
        return []
    return [row for row in range(1, len(cells)) if cells[row] != cells[row - 1]]


def _numbers(values: Sequence[object]) -> list[tuple[int, float]]:
    """Rows with their finite numbers, when most of the column are numbers."""
    numbers = [(row, float(value)) for row, value in enumerate(values) if type(value) is Number]
    if len(numbers) < max(_LEAST_ROWS, len(values) // 2):
        return []
    return [pair for pair in numbers if math.isfinite(pair[1])]


def _monotone(numbers: Sequence[float]) -> bool:
    return all(map(le, numbers, numbers[1:])) or all(map(ge, numbers, numbers[1:]))


def _outliers(numbers: list[tuple[int, float]]) -> list[int]:
    ordered = sorted([number for _, number in numbers])
    low, high = ordered[len(ordered) // 4], ordered[len(ordered) * 3 // 4]
    reach = (high - low) * _FAR
    if not 0 < reach < math.inf:
        return []
    far = [(max(low - number, number - high), row) for row, number in numbers if number < low - reach or number > high + reach]
    far.sort(key=lambda pair: (-pair[0], pair[1]))
    return [row for _, row in far[:_OUTLIERS]]


def _shifts(numbers: list[tuple[int, float]]) -> list[int]:
    """Rows at which the mean of a stretch moves by more than the numbers scatter within it."""
    size = max(_LEAST_ROWS, len(numbers) // _BLOCKS)
    blocks = [[number for _, number in numbers[start : start + size]] for start in range(0, len(numbers) - size + 1, size)]
    means = [math.fsum(block) / size for block in blocks]
    scatter = [math.fsum([abs(number - mean) for number in block]) / size for block, mean in zip(blocks, means, strict=True)]
    found = []
    for index in range(1, len(blocks) - 1):
        if abs(means[index + 1] - means[index - 1]) > _SHIFT * max(scatter[index - 1], scatter[index + 1]):
            around = range((index - 1) * size + 1, (index + 2) * size)
            step = max(around, key=lambda place: abs(numbers[place][1] - numbers[place - 1][1]))
            found.append(numbers[step][0])
    return found


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
            numbers = [value for value in self.column.values[start:end] if type(value) is Number]
            if not numbers:
                return ""
            low, high = min(numbers, key=float), max(numbers, key=float)
            return f"{name} {low}" if low == high else f"{name} {low}..{high}"
        counts = Counter(cells).most_common()
        named = [_short(value) if len(counts) == 1 else f"{_short(value)} x{count}" for value, count in counts[:_VALUES]]
        more = [f"{len(counts) - _VALUES} more values"] if len(counts) > _VALUES else []
        return f"{name} {', '.join(named + more)}"


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
    cells = column.cells
    if len(cells) < _LEAST_ROWS or any(cell[:1] in ("[", "{") for cell in cells):
        return None
    distinct = len(set(cells))
    numbers = [float(value) for value in column.values if type(value) is Number]
    if distinct <= min(_FEW_NUMBERS if numbers else _FEW_VALUES, len(cells) // 4):
        return "values"
    if numbers:
        return "ordered" if distinct == len(cells) == len(numbers) and _monotone(numbers) else "numbers"
    return "ordered" if all(map(le, cells, cells[1:])) or all(map(ge, cells, cells[1:])) else None


def describe(columns: Sequence[Described], start: int, end: int) -> str:
    """`: amount 3..99; status ok x120, late x3` for the rows from `start` to before `end`; short for a short stretch."""
    words = [column.words(start, end) for column in columns[: (end - start) // _ROWS_PER_COLUMN]]
    said = "; ".join([word for word in words if word])
    return f": {said}" if said else ""
