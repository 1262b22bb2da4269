"""How commands write to a terminal: colours where there is a terminal, plain text where there is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headroom.ccr import marker

_WIDEST = 1000
_BARS = "▁▂▃▄▅▆▇█"


def console(stderr: bool = False) -> Console:
    """A console that never folds words to a width or guesses at markup, so that its lines can be copied."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False)


def print_whole(table: Table) -> None:
    """A table of figures, none of which loses a digit where the terminal is narrower: its lines go on below."""
    out = console()
    narrow, out.width = out.width, _WIDEST
    out.width = max(narrow, out.measure(table).maximum)
    out.print(table)


def write(text: str) -> None:
    """A text to standard output: coloured for a person, otherwise byte for byte."""
    out = console()
    if out.is_terminal:
        out.print(highlighted(text), end="" if text.endswith("\n") else "\n")
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))
        sys.stdout.buffer.flush()


def percent_saved(before: int, after: int) -> str:
    """`-83 %`; `+2 %` if it grew."""
    return f"{100 * (after - before) / before:+.0f} %" if before else "0 %"


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, from nothing (or the lowest, where it is below) to the highest."""
    low, high = min(0, *values), max(0, *values)
    return "".join(_BARS[round((len(_BARS) - 1) * (value - low) / (high - low))] if high > low else _BARS[0] for value in values)


def highlighted(text: str) -> Text:
    """Compressed text with its markers set off from what was kept."""
    shown = Text()
    for line in text.splitlines(keepends=True):
        is_marker = "left out here]" in line or marker.HASH.search(line) is not None
        shown.append(line, style="yellow" if is_marker else "")
    return shown
