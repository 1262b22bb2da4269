"""Which rows of a large table stay in view, and what is said in place of the others.

Kept, in this order of right: rows that hold a literal name of the question, rows that score high
for it, the first and last ones, errors, and what is unusual in its column: a rare value or type, an outlier, a change.
Rows the question points at are shown whole, as JSON; of the others long values are cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from headroom.ccr import marker
from headroom.compressors import named
from headroom.compressors.json_columns import describe, telling, unusual
from headroom.compressors.json_table import Table

_SMALL = 1200  # characters of a table that is shown whatever it holds
_HEAD, _TAIL = 2, 1
_NAMED_MOST = 0.03  # share of the rows a name may hit to single any out, and the least number
_NAMED_LEAST = 3
_RELEVANT_SHARE = 0.12  # of the characters, for rows that score high
_RELEVANT_LEAST = 2
_UNUSUAL_SHARE = 0.06  # of the characters, for errors and other unusual rows
_UNUSUAL_LEAST = 600
_LONG = 300  # characters of a cell that is cut in rows nobody asks for
_CUT = 120  # characters that stay of it
_ERRORS = ("error", "fail", "exception", "traceback", "fatal", "critical", "panic", "denied", "refused", "timeout", "timed out",
           "unavailable", "crash", "abort", "rejected")  # fmt: skip
_COMMON_ERRORS = 0.1  # share of the rows above which an error is nothing unusual
_TEXTS = 400  # characters of the mean row from which rows are texts: all are shown, most of them cut
_TEXTS_SHARE = 0.25  # of the characters, for the cut rows
_AS_RECORDS = 8  # relevant rows up to this number are shown as JSON


@dataclass(frozen=True, slots=True)
class View:
    """A table as it is shown. `kept` rows stand in it in full."""

    text: str
    kept: int
    whole: bool


def show(table: Table, number: int, scores: Sequence[float], names: Sequence[str]) -> View:
    """The table with the rows that matter, each gap marked; all of it when it is small."""
    rows = table.rows
    offsets = named.starts(rows)
    text = "\n".join(rows)
    if len(text) <= _SMALL:
        return View(table.text(number), len(rows), True)
    relevant = _relevant(text, offsets, rows, scores, names)
    kept = relevant | _ends(rows) | _unusual(table, text, offsets)
    if len(text) > _TEXTS * len(rows) and sum(map(len, map(_cut, rows))) <= len(text) * _TEXTS_SHARE:
        kept = set(range(len(rows)))
    return _write(table, number, relevant, sorted(kept))


def _write(table: Table, number: int, relevant: set[int], kept: list[int]) -> View:
    lines = [table.heading(number), table.header]
    columns = telling(table.columns)
    whole = 0
    next_row = 0
    for row in [*kept, len(table.rows)]:
        if row > next_row:
            lines.append(marker.gap(_range(next_row, row) + describe(columns, next_row, row)))
        next_row = row + 1
        if row == len(table.rows):
            break
        line = table.rows[row]
        shown = line if row in relevant else _cut(line)
        whole += shown == line
        lines.append(f"row {row + 1}: {table.record(row)}" if row in relevant and len(relevant) <= _AS_RECORDS else shown)
    return View("\n".join(lines), whole, whole == len(table.rows))


def _range(start: int, end: int) -> str:
    return f"row {end}" if end == start + 1 else f"rows {start + 1}-{end} ({end - start} rows)"


def _cut(line: str) -> str:
    """The row with what is long in it cut short, and said so."""
    if len(line) <= _LONG:
        return line
    return "\t".join(
        [cell if len(cell) <= _LONG else cell[:_CUT] + marker.gap(f"{len(cell) - _CUT} characters") for cell in line.split("\t")]
    )


def _relevant(text: str, offsets: list[int], rows: Sequence[str], scores: Sequence[float], names: Sequence[str]) -> set[int]:
    """Rows a name singles out, then those that score at least half of the best, within a share of the text."""
    most = max(_NAMED_LEAST, int(len(rows) * _NAMED_MOST))
    found: set[int] = set()
    for name in names:
        hits = named.holding(text, offsets, name, most + 1)
        if len(hits) <= most:
            found.update(hits)
    best = max(scores, default=0.0)
    if best <= 0:
        return found
    ranked = sorted([row for row, score in enumerate(scores) if score >= best / 2], key=lambda row: (-scores[row], row))
    room = len(text) * _RELEVANT_SHARE - sum(len(rows[row]) for row in found)
    for taken, row in enumerate(ranked):
        room -= len(rows[row])
        if room < 0 and taken >= _RELEVANT_LEAST:
            break
        found.add(row)
    return found


def _ends(rows: Sequence[str]) -> set[int]:
    return {*range(min(_HEAD, len(rows))), *range(max(0, len(rows) - _TAIL), len(rows))}


def _unusual(table: Table, text: str, offsets: list[int]) -> set[int]:
    """The most unusual rows, within a share of the text; a row unusual in several ways goes first."""
    weights: Counter[int] = Counter()
    errors = _errors(text.lower(), offsets)
    for row in errors:
        weights[row] += 4 if len(errors) <= len(offsets) * _COMMON_ERRORS else 1
    for column in table.columns:
        weights.update(unusual(column))
    room = max(_UNUSUAL_LEAST, len(text) * _UNUSUAL_SHARE)
    found = set()
    for row in sorted(weights, key=lambda row: (-weights[row], row)):
        room -= len(_cut(table.rows[row]))
        if room < 0:
            break
        found.add(row)
    return found


def _errors(lower: str, offsets: list[int]) -> set[int]:
    found: set[int] = set()
    for word in _ERRORS:
        at = lower.find(word)
        while at >= 0:
            row = bisect_right(offsets, at) - 1
            found.add(row)
            at = lower.find(word, offsets[row + 1]) if row + 1 < len(offsets) else -1
    return found
