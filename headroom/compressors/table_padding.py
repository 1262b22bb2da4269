"""Takes the blanks that align the columns of a table away, and puts them back exactly.

The rule is a list of columns, `21<,62<,8>,=`: the width of a column without the blank at its
edges, and where its text stands; `=` is a column that stays as it is. Two forms:

- columns under a header (`kubectl get`): cells become separated by tabs,
- pipes: each cell keeps one blank on either side.

A line that does not follow the rule stands for itself, behind a backslash where it could be misread.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Form = Literal["tabs", "pipes"]

_RULE = re.compile(r"columns? (?:between )?(tabs|pipes) of widths ((?:\d+[<>^]|=)(?:,(?:\d+[<>^]|=))*)")
_FOLLOW = 0.6  # share of the lines that must follow the rule
_GAIN = 0.95  # the longest result that is worth it, as a share of the text
_MOST = 200  # columns
_SAMPLE = 200  # lines by which the alignment is chosen
_NAME = re.compile(r"\S+(?: \S+)*")


def rule(lines: Sequence[str], header: int) -> str:
    """The rule for the lines of a table whose header is the line with that number; empty when there is none that pays."""
    if any("\t" in line for line in lines):
        return ""
    found = _pipe_rule(lines) if "|" in lines[header] else _tab_rule(lines[header])
    if not found:
        return ""
    short = squeeze(lines, found)
    size = sum(map(len, lines)) + len(lines)
    followed = sum(1 for line, new in zip(lines, short, strict=True) if len(new) < len(line))
    good = followed >= _FOLLOW * len(lines) and sum(map(len, short)) + len(lines) <= _GAIN * size
    return found if good else ""


def squeeze(lines: Sequence[str], rule: str) -> list[str]:
    """The lines without their padding; those that would not come back stay as they are."""
    form, columns = _read(rule)
    short = _squeeze_tabs if form == "tabs" else _squeeze_pipes
    long = _stretch_tabs if form == "tabs" else _stretch_pipes
    result = []
    for line in lines:
        new = short(line, columns)
        plain = new if long(new, columns) == line else line
        misread = plain.startswith("\\") or long(plain, columns) != line
        result.append(f"\\{line}" if misread else plain)
    return result


def stretch(lines: Sequence[str], rule: str) -> list[str]:
    """The inverse of `squeeze`."""
    form, columns = _read(rule)
    long = _stretch_tabs if form == "tabs" else _stretch_pipes
    return [line[1:] if line.startswith("\\") else long(line, columns) for line in lines]


def decode(text: str) -> str:
    """The table that a head line with a rule and the lines below it stand for. Raises ValueError when the head holds none."""
    head, _, body = text.partition("\n")
    match = _RULE.search(head)
    if match is None:
        raise ValueError("no rule for the columns")
    return "\n".join(stretch(body.split("\n"), match[0]))


_Columns = list[tuple[int, str]]


def _read(rule: str) -> tuple[str, _Columns]:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ValueError(f"not a rule: {rule}")
    return match[1], [(0, "=") if column == "=" else (int(column[:-1]), column[-1]) for column in match[2].split(",")]


def _tab_rule(header: str) -> str:
    starts = [match.start() for match in _NAME.finditer(header)]
    if not 2 <= len(starts) <= _MOST:
        return ""
    widths = [end - start for start, end in zip([0, *starts[1:-1]], starts[1:], strict=True)]
    return "columns between tabs of widths " + ",".join(f"{width}<" for width in widths) + ",="


def _squeeze_tabs(line: str, columns: _Columns) -> str:
    cells, start = [], 0
    for width, _ in columns[:-1]:
        start += width
        if line[start - 1 : start] not in ("", " "):
            return line  # a value reaches into the next column
        cells.append(line[start - width : start].rstrip(" "))
    return "\t".join([*cells, line[start:]])


def _stretch_tabs(line: str, columns: _Columns) -> str:
    cells = line.split("\t")
    if len(cells) != len(columns):
        return line
    return "".join([cell.ljust(width) for cell, (width, _) in zip(cells[:-1], columns[:-1], strict=True)]) + cells[-1]


def _pipe_rule(lines: Sequence[str]) -> str:
    rows = [line.split("|") for line in lines[:_SAMPLE]]
    sizes = Counter(map(len, rows))
    size = max(sizes, key=lambda count: (sizes[count], count))
    if not 2 <= size <= _MOST:
        return ""
    cells = zip(*[row for row in rows if len(row) == size], strict=True)
    return "columns between pipes of widths " + ",".join(map(_alignment, cells))


def _alignment(cells: Sequence[str]) -> str:
    """Width and side that most cells of a column follow."""
    width = Counter(map(len, cells)).most_common(1)[0][0]
    if width < 3:
        return "="
    fits = {side: sum(1 for cell in cells if _pad(cell.strip(" "), width - 2, side) == cell) for side in "<>^"}
    side = max("<>^", key=lambda side: fits[side])
    return f"{width - 2}{side}" if fits[side] >= _FOLLOW * len(cells) else "="


def _pad(text: str, width: int, side: str) -> str:
    return f" {text:{side}{width}} "


def _squeeze_pipes(line: str, columns: _Columns) -> str:
    cells = line.split("|")
    if len(cells) != len(columns):
        return line
    return "|".join([cell if side == "=" else f" {cell.strip(' ')} " for cell, (_, side) in zip(cells, columns, strict=True)])


def _stretch_pipes(line: str, columns: _Columns) -> str:
    cells = line.split("|")
    if len(cells) != len(columns):
        return line
    return "|".join(
        [cell if side == "=" else _pad(cell.strip(" "), width, side) for cell, (width, side) in zip(cells, columns, strict=True)]
    )
