"""Tables that are text: the header once, then the rows that matter, each gap described in place.

Rows stay as they are, but for the blanks that align columns: those go where they can be put back
exactly (`table_padding`). What of a large table stays in view is decided as for JSON: what the
question names or resembles, the ends, errors, and what is unusual in its column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headroom.ccr import marker
from headroom.compressors import table_padding
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.json_columns import describe, telling
from headroom.compressors.json_sample import asked_for, wanted
from headroom.compressors.json_table import Column, Table
from headroom.compressors.json_text import Number
from headroom.compressors.table_grid import Grid, read
from headroom.model import Fidelity, Segment

_LARGE = 3600  # characters from which rows are left out
_GAP = 80  # characters that a gap saves at least
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d{1,15})?", re.ASCII)  # 9,871
_DECIMAL_COMMA = re.compile(r"-?\d{1,15},\d{1,15}", re.ASCII)  # 21,37


@dataclass(frozen=True, slots=True)
class _Read:
    grid: Grid
    rule: str


class Tables:
    """Units are the records of the table, verbatim."""

    label: Final = "table"

    def parse(self, segment: Segment) -> Parsed | None:
        grid = read(segment.text)
        if grid is None:
            return None
        return Parsed(grid.records, _Read(grid, table_padding.rule(segment.text.split("\n"), grid.header)))

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        grid, rule = parsed.structure.grid, parsed.structure.rule
        rows = len(grid.records)
        whole = table_padding.squeeze(segment.text.split("\n"), rule) if rule else []
        if fidelity == "lossless" or len(segment.text) <= _LARGE:
            what = f"table of {rows} rows, complete, padding of the {rule} removed"
            return Draft("\n".join([marker.re_encoded(what, hash), *whole]), rows, rows) if rule else None
        table = _table(grid)
        gaps = _gaps(segment, table, scores)
        if not gaps:
            return None
        left_out = sum(end - start for start, end in gaps)
        said = f", padding of the {rule} removed" if rule else ""
        what = f"table of {rows} rows, {left_out} of them left out as marked in place{said}"
        return Draft("\n".join([marker.re_encoded(what, hash), *_lines(grid, rule, table, gaps)]), rows, rows - left_out)


def _gaps(segment: Segment, table: Table, scores: Sequence[float]) -> list[tuple[int, int]]:
    """(start, end) of the runs of rows that are left out."""
    _, kept = wanted(table, scores, asked_for(segment))
    found, start = [], 0
    for row in [*sorted(kept), len(table.rows)]:
        if sum(map(len, table.rows[start:row])) >= _GAP:
            found.append((start, row))
        start = row + 1
    return found


def _table(grid: Grid) -> Table:
    columns = []
    for name, cells in zip(grid.names, zip(*grid.cells, strict=True), strict=True):
        columns.append(Column(name, name, cells, _values(cells)))
    return Table(columns, grid.records, grid.cells)


def _values(cells: Sequence[str]) -> list[str]:
    """The cells, those that are numbers as such; a comma groups digits where it can in the whole column, else it begins the fraction."""
    with_comma = [cell for cell in cells if "," in cell and (_GROUPED.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell))]
    groups = all(map(_GROUPED.fullmatch, with_comma))
    found = []
    for cell in cells:
        plain = cell
        if "," in cell and (_GROUPED if groups else _DECIMAL_COMMA).fullmatch(cell):
            plain = cell.replace(",", "" if groups else ".")
        found.append(Number(plain) if _NUMBER.fullmatch(plain) else cell)
    return found


def _lines(grid: Grid, rule: str, table: Table, gaps: Sequence[tuple[int, int]]) -> list[str]:
    """The table's lines with a description in place of each gap."""

    def shown(texts: Sequence[str]) -> list[str]:
        lines = [line for text in texts for line in text.split("\n")]
        return table_padding.squeeze(lines, rule) if rule else lines

    columns = telling(table.columns)
    lines = shown(grid.head)
    position = 0
    for start, end in gaps:
        lines += shown(grid.records[position:start])
        rows = f"row {end}" if end == start + 1 else f"rows {start + 1}-{end} ({end - start} rows)"
        lines.append(marker.gap(rows + describe(columns, start, end)))
        position = end
    return [*lines, *shown(grid.records[position:]), *shown(grid.tail)]
