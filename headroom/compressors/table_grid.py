"""Reads tables that are text: CSV and its kin, pipes with or without rules, columns of a command's output.

A record is a verbatim piece of the text, a line as a rule, with its cells. What stands before the
header line and behind the last record is not part of the table. Linear; nothing is guessed about
cells beyond where they begin and end.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_HEADER_WITHIN = 6  # lines in which the header must stand
_ALIKE = 0.8  # share of the lines below the header that must have as many cells as it
_LEAST = 3  # records
_SAMPLE = 200  # records by which cells are told apart
_SEPARATORS = ("\t", ",", ";", "|")
_RULE_SIGNS = " \t\r-+|:=" + "".join(map(chr, range(0x2500, 0x2580)))  # of lines drawn between header and rows
_QUOTED = re.compile(r'"[^"\n]*"')
_NAME = re.compile(r"\S+(?: \S+)*")
_WORD = re.compile(r"\S+")
_NAMES = 3  # columns of a command's output, at least


@dataclass(frozen=True, slots=True)
class Grid:
    """`head` and `tail` are the lines around the records; line `header` of `head` holds the names.

    `cells` has one list per record, each as long as `names`.
    """

    head: Sequence[str]
    header: int
    names: Sequence[str]
    records: Sequence[str]
    cells: Sequence[Sequence[str]]
    tail: Sequence[str]


def read(text: str) -> Grid | None:
    """The table that a text is for the most part, or None."""
    lines = text.split("\n")
    found: Grid | None = None
    for separator in _SEPARATORS:  # one whose header stands above another's: there the other is part of a value, as in 21,37
        grid = _delimited(lines, separator)
        if grid and (not found or grid.header < found.header):
            found = grid
        if found and not found.header:
            break
    return found or _columns(lines)


def _delimited(lines: list[str], separator: str) -> Grid | None:
    quoted = separator != "|" and any('"' in line for line in lines)
    counts = [(_QUOTED.sub("", line) if quoted and '"' in line else line).count(separator) for line in lines]
    filled = [count for count in counts if count]
    if len(filled) < _LEAST + 1:
        return None
    cells = max(Counter(filled).items(), key=lambda pair: (pair[1], pair[0]))[0]
    header = next((at for at, count in enumerate(counts[:_HEADER_WITHIN]) if count == cells), -1)
    if header < 0:
        return None
    first = header + 1
    while first < len(lines) and _is_rule(lines[first]):
        first += 1
    found = list(_quoted(lines, first, separator) if quoted else _plain(lines, first, separator))
    while found and len(found[-1][1]) != cells + 1:
        found.pop()
    named = _QUOTED.sub(lambda match: match[0].replace(separator, " "), lines[header]) if quoted else lines[header]
    names = [name.strip(' "\r') for name in named.split(separator)]
    records = ["\n".join(lines[start : start + size]) for start, _, size in found]
    return _grid(lines[:first], header, names, records, [row for _, row, _ in found], lines[found[-1][0] + found[-1][2] :] if found else [])


def _is_rule(line: str) -> bool:
    return not line.strip(_RULE_SIGNS) and len(line.strip()) > 2


def _plain(lines: list[str], first: int, separator: str) -> Iterator[tuple[int, list[str], int]]:
    """(line, cells, number of lines) of each record."""
    for at in range(first, len(lines)):
        yield at, [cell.strip() for cell in lines[at].split(separator)], 1


def _quoted(lines: list[str], first: int, separator: str) -> Iterator[tuple[int, list[str], int]]:
    """The same where cells are quoted and may hold line ends; nothing more from where that cannot be read."""
    reader = csv.reader((f"{line}\n" for line in lines[first:]), delimiter=separator)
    before = 0
    try:
        for row in reader:
            yield first + before, [cell.strip() for cell in row], reader.line_num - before
            before = reader.line_num
    except csv.Error:  # a cell larger than the reader takes
        return


def _columns(lines: list[str]) -> Grid | None:
    """Columns under the names of a header line."""
    for header, line in enumerate(lines[:_HEADER_WITHIN]):
        last = next((at for at in range(header + 1, len(lines)) if not lines[at].strip()), len(lines))
        body = lines[header + 1 : last]
        if len(body) < _LEAST:
            continue
        wide, narrow = ([match.span() for match in pattern.finditer(line)] for pattern in (_NAME, _WORD))
        joined = [*narrow[:-2], (narrow[-2][0], narrow[-1][1])] if len(narrow) > _NAMES else []  # as df's "Mounted on"
        words = {len(row.split()) for row in body[:_SAMPLE]}
        for spans in sorted((wide, narrow, joined), key=lambda spans: words != {len(spans)}):
            if len(spans) < _NAMES:
                continue
            cut = None if words == {len(spans)} else _cut_at([start for start, _ in spans], body)
            if cut is None and spans is not wide:
                cut = _cut_words(len(spans), body)
            if cut:
                names = [line[slice(*span)] for span in spans]
                return _grid(lines[: header + 1], header, names, body, [cut(row) for row in body], lines[last:])
    return None


def _cut_at(starts: list[int], rows: Sequence[str]) -> Callable[[str], list[str]] | None:
    """Cuts rows where the names begin, if a blank stands before that in nearly all of them."""
    inner = starts[1:]
    good = sum(1 for row in rows if all(row[at - 1 : at] in ("", " ") for at in inner) and len(row) > inner[0])
    if good < _ALIKE * len(rows):
        return None
    return lambda row: [row[start:end].strip() for start, end in zip([0, *inner], [*inner, None], strict=True)]


def _cut_words(names: int, rows: Sequence[str]) -> Callable[[str], list[str]] | None:
    """Cuts rows at blanks, if nearly all have a word per name; what is more belongs to the last."""
    enough = sum(1 for row in rows if len(row.split(None, names - 1)) == names)
    return (lambda row: row.split(None, names - 1)) if enough >= _ALIKE * len(rows) else None


def _grid(
    head: Sequence[str], header: int, names: Sequence[str], records: Sequence[str], cells: Sequence[Sequence[str]], tail: Sequence[str]
) -> Grid | None:
    width = len(names)
    same = sum(1 for row in cells if len(row) == width)
    if len(records) < _LEAST or same < _ALIKE * len(records) or len(tail) > max(5, len(records) // 5):
        return None
    return Grid(head, header, names, records, [[*row[:width], *[""] * (width - len(row))] for row in cells], tail)
