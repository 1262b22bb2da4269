"""Writes a diff smaller without leaving anything out, and reads it back byte for byte.

The lines that head a file say its path four times; where they agree, one line says all:

    diff 6cb3b4d..dbcf2a7 100644 src/a.py           of a changed file
    diff 0000000..dbcf2a7 new 100644 src/a.py       of a new one; `deleted` of one that is gone
    [lines 3-9 again]                               a copy of these lines of the original
    \\text                                           text, where it could be taken for one of the above

Every other line is itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from headroom.ccr import marker
from headroom.compressors import fold_repeats

_GIT = "diff --git a/"
_INDEX = re.compile(r"index ([0-9a-f]{4,64}\.\.[0-9a-f]{4,64})(?: (\d{6}))?", re.ASCII)
_MODE = re.compile(r"(new|deleted) file mode (\d{6})", re.ASCII)
_SHORT = re.compile(r"diff ([0-9a-f]{4,64}\.\.[0-9a-f]{4,64}) (?:(new|deleted) )?(\d{6}) ([^\n]*)", re.ASCII)
_LEAST_CHARS = 200  # of a block of changes that is referred to


def encode(lines: Sequence[str], hash: str) -> str:
    """The diff under its marker, whether or not that is smaller."""
    blocks = fold_repeats.blocks(lines, least_chars=_LEAST_CHARS)
    body = list(_body(lines, blocks))
    what = [f"diff of {len(lines)} lines, complete; diff x..y MODE P = the lines diff --git a/P b/P, index x..y MODE, --- a/P, +++ b/P"]
    if blocks:
        what.append(fold_repeats.RULE)
    return "\n".join([marker.re_encoded("; ".join(what), hash), *body])


def decode(folded: str) -> str:
    """The text that `encode` was given. Raises ValueError for a text that it did not write."""
    out: list[str] = []
    for line in folded.split("\n")[1:]:
        if match := _SHORT.fullmatch(line):
            out += _head(match[4], match[1], match[2] or "", match[3])
        elif place := fold_repeats.referred(line):
            out += fold_repeats.copied(out, place)
        else:
            out.append(line.removeprefix("\\"))
    return "\n".join(out)


def _body(lines: Sequence[str], blocks: dict[int, tuple[int, int]]) -> Iterator[str]:
    position = 0
    while position < len(lines):
        if position in blocks:
            end, at = blocks[position]
            yield fold_repeats.reference(at, at + end - position)
            position = end
            continue
        line = lines[position]
        short, size = _shortened(lines, position) if line.startswith(_GIT) else ("", 0)
        if short and not any(inner in blocks for inner in range(position, position + size)):
            yield short
            position += size
            continue
        yield "\\" + line if line.startswith("\\") or _SHORT.fullmatch(line) or fold_repeats.referred(line) else line
        position += 1


def _shortened(lines: Sequence[str], position: int) -> tuple[str, int]:
    """The one line for a file's head at `position`, and how many it stands for; empty where they do not agree."""
    names = lines[position][len(_GIT) :]
    path = names[: (len(names) - 3) // 2]
    mode = _MODE.fullmatch(lines[position + 1]) if position + 1 < len(lines) else None
    at = position + 1 + bool(mode)
    index = _INDEX.fullmatch(lines[at]) if at < len(lines) else None
    if index is None or bool(mode) == bool(index[2]):
        return "", 0
    state, bits = (mode[1], mode[2]) if mode else ("", index[2])
    head = _head(path, index[1], state, bits)
    if list(lines[position : position + len(head)]) != head:
        return "", 0
    return " ".join(filter(None, ("diff", index[1], state, bits))) + f" {path}", len(head)


def _head(path: str, index: str, state: str, mode: str) -> list[str]:
    """The lines that head a file in a diff; `state` is "new", "deleted" or empty."""
    return [
        f"{_GIT}{path} b/{path}",
        *([f"{state} file mode {mode}", f"index {index}"] if state else [f"index {index} {mode}"]),
        "--- /dev/null" if state == "new" else f"--- a/{path}",
        "+++ /dev/null" if state == "deleted" else f"+++ b/{path}",
    ]
