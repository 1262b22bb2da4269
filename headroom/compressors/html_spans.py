"""Cells of an HTML table that reach over several rows or columns, given again in each."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import TypeVar

_MOST = 50  # rows or columns
_WIDE = 200  # columns behind which every cell is one
T = TypeVar("T")
Reach = tuple[int, int]  # rows, columns


def reach(attributes: Mapping[str, str | None]) -> Reach:
    return _number(attributes.get("rowspan")), _number(attributes.get("colspan"))


def _number(value: str | None) -> int:
    digits = (value or "").strip()
    return min(max(1, int(digits)), _MOST) if digits.isdecimal() and len(digits) < 9 else 1


def spread(cells: Sequence[T], reaches: Sequence[Reach], from_above: MutableMapping[int, tuple[int, T]]) -> list[T]:
    """One row with every column filled.

    `from_above` maps columns to what reaches into them and for how many more rows; it is brought up to date.
    """
    found: list[T] = []

    def fill() -> None:
        while len(found) in from_above:
            rows, cell = from_above.pop(len(found))
            if rows > 1:
                from_above[len(found)] = rows - 1, cell
            found.append(cell)

    for cell, reached in zip(cells, reaches, strict=True):
        fill()
        rows, columns = reached if len(found) < _WIDE else (1, 1)
        for _ in range(columns):
            if rows > 1:
                from_above[len(found)] = rows - 1, cell
            found.append(cell)
    fill()
    return found
