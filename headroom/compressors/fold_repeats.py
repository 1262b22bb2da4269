"""Blocks of whole lines that stand earlier in the same text, written as a reference to where they stand.

After a head that states the rule, `[lines 3-9 again]` stands for a copy of those lines of the
original text (numbered from 1), `[line 3 again]` for one; any other line is itself, behind a
backslash where it could be taken for a reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from headroom.ccr import marker

_ANCHOR = 8  # characters of a line that may begin the search for a block; shorter ones stand everywhere
_LEAST_CHARS, _LEAST_LINES = 120, 1  # of a block; a reference costs about 8 tokens
RULE = "[lines a-b again] = copy of these lines of the original"
_REFERENCE = re.compile(r"\[lines? (\d+)(?:-(\d+))? again\]", re.ASCII)


def blocks(lines: Sequence[str], least_chars: int = _LEAST_CHARS, least_lines: int = _LEAST_LINES) -> dict[int, tuple[int, int]]:
    """By the first line of each block: the line behind its end, and where its lines stand first. Blocks do not overlap."""
    found: dict[int, tuple[int, int]] = {}
    stands: dict[str, int] = {}  # the last place where a line is written out
    position = covered = 0
    while position < len(lines):
        at = stands.get(lines[position])
        if at is not None:
            start, end, at = _widen(lines, position, at, covered)
            if end - start >= least_lines and sum(map(len, lines[start:end])) + end - start >= least_chars:
                found[start] = (end, at)
                position = covered = end
                continue
        if len(lines[position]) >= _ANCHOR:
            stands[lines[position]] = position
        position += 1
    return found


def _widen(lines: Sequence[str], position: int, at: int, covered: int) -> tuple[int, int, int]:
    """Start and end of the block around a line that stands at `at` too, and where the block stands there."""
    start, end, behind = position, position + 1, at + 1
    while start > max(covered, behind) and at > 0 and lines[start - 1] == lines[at - 1]:
        start, at = start - 1, at - 1
    while end < len(lines) and behind < start and lines[end] == lines[behind]:
        end, behind = end + 1, behind + 1
    return start, end, at


def reference(start: int, end: int) -> str:
    """What stands for a copy of lines start..end (from 0, end excluded) of the text."""
    return f"[line {end} again]" if end == start + 1 else f"[lines {start + 1}-{end} again]"


def referred(line: str) -> tuple[int, int] | None:
    """The inverse of `reference`, None for any other line."""
    match = _REFERENCE.fullmatch(line)
    return None if match is None else (int(match[1]) - 1, int(match[2] or match[1]))


def encode(text: str, hash: str) -> str:
    """The text under its marker, whether or not that is smaller."""
    lines = text.split("\n")
    found = blocks(lines)
    rule = f"; {RULE}" if found else ""
    return "\n".join([marker.re_encoded(f"{len(lines)} lines, complete{rule}", hash), *_written(lines, found)])


def decode(folded: str) -> str:
    """The text that `encode` was given. Raises ValueError for a text that it did not write."""
    out: list[str] = []
    for line in folded.split("\n")[1:]:
        place = referred(line)
        if place is None:
            out.append(line.removeprefix("\\"))
        else:
            out += copied(out, place)
    return "\n".join(out)


def copied(out: Sequence[str], place: tuple[int, int]) -> Sequence[str]:
    """The lines that a reference stands for. Raises ValueError where they do not stand in `out`."""
    if not 0 <= place[0] < place[1] <= len(out):
        raise ValueError(f"no lines {place[0] + 1}-{place[1]}")
    return out[place[0] : place[1]]


def _written(lines: Sequence[str], found: dict[int, tuple[int, int]]) -> Iterator[str]:
    position = 0
    while position < len(lines):
        if position in found:
            end, at = found[position]
            yield reference(at, at + end - position)
            position = end
            continue
        line = lines[position]
        yield "\\" + line if line.startswith("\\") or referred(line) else line
        position += 1
