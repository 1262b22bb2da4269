"""Which rows of a large table stay in view, and what is said in place of the others.

Kept, in this order of right: rows that hold a literal name of the question, rows that score high
for it, the first and last ones, errors, and what is unusual in its column: a rare value or type, an outlier, a change.
Rows the question points at are shown whole, as JSON; of the others long values are cut.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headroom.ccr import marker
from headroom.compressors import named
from headroom.compressors.json_columns import describe, telling, unusual
from headroom.compressors.json_table import Table
from headroom.model import NO_ADVICE, Advice, Segment
from headroom.scoring.toin import field_name

_SMALL = 1200  # characters of a table that is shown whatever it holds
_HEAD = 2
_HUGE = 1500  # characters of a row
_NAMED_MOST = 0.03  # share of the rows a name may hit to single any out, and the least number
_NAMED_LEAST = 3
_NAMED_WEIGHT = 60  # of a name that one row holds
_SHORT_NUMBER = re.compile(r"(?<![\w.#/-])\d{1,2}(?![\w/-]|[.,]\d)")
_QUESTION_CHARS = 2000
_MOST_NUMBERS = 4
_RELEVANT_SHARE = 0.12  # of the characters, for rows that score high
_RELEVANT_LEAST = 2
_UNUSUAL_SHARE = 0.06  # of the characters, for errors and other unusual rows
_UNUSUAL_LEAST = 600
_LONG = 300  # characters of a cell that is cut in rows nobody asks for
_CUT = 120  # characters that stay of it
_ERRORS = ("error", "fail", "exception", "traceback", "fatal", "critical", "panic", "denied", "refused", "timeout", "timed out",
           "unavailable", "crash", "abort", "rejected")  # fmt: skip
_COMMON_ERRORS = 0.1  # share of the rows above which an error is nothing unusual, and the number below which it is
_ERRORS_LEAST = 3
_COLUMNS_PER_WEIGHT = 16  # with many columns every row is unusual in one
_TEXTS = 400  # characters of the mean row from which rows are texts: all are shown, most of them cut
_TEXTS_SHARE = 0.25  # of the characters, for the cut rows
_RECORDS_CHARS = 3000  # of relevant rows that are shown as JSON, not as lines of the table
_RECORDS_LEAST = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question names: `names` are looked for anywhere in a row, `numbers`, too short for that, as whole cells.

    `words` are the question's own in lower case; they tell which column a number belongs to. `advice` is what was asked for
    again in earlier outputs of the tool.
    """

    names: Sequence[str]
    numbers: Sequence[str]
    words: frozenset[str]
    advice: Advice = NO_ADVICE


def asked_for(segment: Segment) -> Asked:
    """The names in the turn's question, the assistant's intent and the call's arguments; short numbers only of the question."""
    names = named.names("\n".join((segment.question, segment.intent, segment.arguments)))
    question = segment.question[-_QUESTION_CHARS:]
    numbers = dict.fromkeys(_SHORT_NUMBER.findall(question))
    return Asked(names, list(numbers)[:_MOST_NUMBERS], frozenset(re.findall(r"\w+", question.lower())), segment.advice)


@dataclass(frozen=True, slots=True)
class View:
    """A table as it is shown. `kept` rows stand in it in full."""

    text: str
    kept: int
    whole: bool


def show(table: Table, number: int, scores: Sequence[float], asked: Asked, spaced: bool) -> View:
    """The table with the rows that matter, each gap marked; all of it when it is small.

    Rows shown as JSON are written as the source writes them, `spaced` or not.
    """
    rows = table.rows
    size = sum(map(len, rows)) + len(rows)
    if size <= _SMALL:
        return View(table.text(number), len(rows), True)
    relevant, kept = wanted(table, scores, asked)
    spared = _spared(table, asked.advice)
    if size > _TEXTS * len(rows) and sum([len(_cut(row, spared)) for row in rows]) <= size * _TEXTS_SHARE:
        kept = set(range(len(rows)))
    pointed = {*relevant, *_asked_again(len(rows), asked.advice)}
    shown = {row: table.rows[row] if row in pointed else _cut(table.rows[row], spared) for row in sorted(kept)}
    return _write(table, number, _records(table, relevant, spaced), shown)


def wanted(table: Table, scores: Sequence[float], asked: Asked) -> tuple[list[int], set[int]]:
    """The rows that the question points at, the best first, and all rows that stay in view. Of at least two rows."""
    offsets = named.starts(table.rows)
    text = "\n".join(table.rows)
    relevant = _relevant(table, text, offsets, scores, asked)
    unusual_rows = _unusual(table, text, offsets, every_error=asked.advice.errors)
    return relevant, {*relevant, *_ends(table.rows), *unusual_rows, *_asked_again(len(table.rows), asked.advice)}


def _asked_again(rows: int, advice: Advice) -> list[int]:
    """The rows where earlier outputs were asked for again."""
    return [row for row in range(rows) if 10 * row // rows in advice.tenths] if advice.tenths else []


def _spared(table: Table, advice: Advice) -> frozenset[int]:
    """The cells of a row that are not cut."""
    if not advice.fields:
        return frozenset()
    cells = [column for column in table.columns if not column.in_header]
    return frozenset(at for at, column in enumerate(cells) if field_name(column.path.split(".", 1)[0]) in advice.fields)


def _write(table: Table, number: int, records: Mapping[int, str], shown: Mapping[int, str]) -> View:
    """The rows in `shown`, those in `records` as JSON, and what is missing between them."""
    lines = [table.heading(number), table.header]
    columns = telling(table.columns)
    whole = 0
    next_row = 0
    for row in [*shown, len(table.rows)]:
        if row > next_row:
            lines.append(marker.gap(_range(next_row, row) + describe(columns, next_row, row)))
        next_row = row + 1
        if row == len(table.rows):
            break
        whole += shown[row] == table.rows[row]
        lines.append(f"row {row + 1}: {records[row]}" if row in records else shown[row])
    return View("\n".join(lines), whole, whole == len(table.rows))


def _records(table: Table, relevant: Sequence[int], spaced: bool) -> dict[int, str]:
    """The most relevant rows as JSON, as many as there is room for."""
    found: dict[int, str] = {}
    room = _RECORDS_CHARS
    for place, row in enumerate(relevant):
        if room < 0 and place >= _RECORDS_LEAST:
            break
        found[row] = table.record(row, spaced)
        room -= len(found[row])
    return found


def _range(start: int, end: int) -> str:
    return f"row {end}" if end == start + 1 else f"rows {start + 1}-{end} ({end - start} rows)"


def _cut(line: str, spared: frozenset[int] = frozenset()) -> str:
    """The row with what is long in it cut short, and said so; `spared` cells stay."""
    if len(line) <= _LONG:
        return line
    cells = enumerate(line.split("\t"))
    return "\t".join(
        [cell if len(cell) <= _LONG or at in spared else cell[:_CUT] + marker.gap(f"{len(cell) - _CUT} characters") for at, cell in cells]
    )


def _relevant(table: Table, text: str, offsets: list[int], scores: Sequence[float], asked: Asked) -> list[int]:
    """Rows a name singles out and those that score at least half of the best, within a share of the text; the best first."""
    weights = _named(table, text, offsets, asked)
    best = max(scores, default=0.0)
    high = [row for row, score in enumerate(scores) if score >= best / 2] if best > 0 else []
    found: list[int] = []
    room = len(text) * _RELEVANT_SHARE
    for row in sorted({*weights, *high}, key=lambda row: (-weights[row], -scores[row], row)):
        if not weights[row]:
            room -= len(table.rows[row])
            if room < 0 and len(found) >= _RELEVANT_LEAST:
                break
        found.append(row)
    return found


def _named(table: Table, text: str, offsets: list[int], asked: Asked) -> Counter[int]:
    """What the names in the question add up to per row; a name in few rows says more, one in many rows nothing."""
    most = max(_NAMED_LEAST, int(len(offsets) * _NAMED_MOST))
    weights: Counter[int] = Counter()
    hits = [named.holding(text, offsets, name, most + 1) for name in asked.names]
    for number in asked.numbers:
        columns = [column for column in table.columns if number in column.cells]
        columns = [column for column in columns if column.path.rsplit(".", 1)[-1].lower() in asked.words] or columns
        hits.append([row for row, cell in enumerate(columns[0].cells) if cell == number] if len(columns) == 1 else [])
    for rows in hits:
        if len(rows) <= most:
            for row in rows:
                weights[row] += _NAMED_WEIGHT // len(rows)
    return +weights  # without those that come to nothing


def _ends(rows: Sequence[str]) -> set[int]:
    """The first rows and the last; of huge rows one each, for they tell the shape already."""
    head = _HEAD if len(rows[1]) <= _HUGE else 1
    return {*range(head), len(rows) - 1}


def _unusual(table: Table, text: str, offsets: list[int], every_error: bool) -> set[int]:
    """Rows that hold an error, all unless they are common (or `every_error`), and in a share of the text the most unusual others."""
    errors = _errors(text, offsets)
    found = errors if every_error or len(errors) <= max(_ERRORS_LEAST, len(offsets) * _COMMON_ERRORS) else set()
    weights = Counter(errors)
    cells = [column for column in table.columns if not column.in_header]
    for column in cells:
        weights.update(unusual(column))
    least = max(1, len(cells) // _COLUMNS_PER_WEIGHT)
    room = max(_UNUSUAL_LEAST, len(text) * _UNUSUAL_SHARE)
    for row in sorted([row for row in weights if row not in found and weights[row] >= least], key=lambda row: (-weights[row], row)):
        room -= len(_cut(table.rows[row]))
        if room < 0:
            break
        found.add(row)
    return found


def _errors(text: str, offsets: list[int]) -> set[int]:
    """Rows in which a word starts, or a part of a name like `SomeError`, that speaks of failure."""
    text = text.replace("\u0130", "I")  # the one sign that is longer in lower case
    lower = text.lower()
    found: set[int] = set()
    for word in _ERRORS:
        at = lower.find(word)
        while at >= 0:
            row = bisect_right(offsets, at) - 1
            starts = text[at].isupper() or not text[at - 1].isalpha() or at == 0
            if starts:
                found.add(row)
            following = offsets[row + 1] if row + 1 < len(offsets) else len(lower)
            at = lower.find(word, following if starts else at + 1)
    return found
