"""Diffs made smaller: context and what nobody asks for folded, in place and counted; kept lines verbatim.

Reads unified, git and combined diffs and the output of `git log -p`, `git show` and `format-patch`.
A small diff is left alone. Which lines stay is decided in `diff_keep`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from headroom.ccr import marker
from headroom.compressors import diff_fold
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.diff_keep import Kept, choose
from headroom.compressors.diff_lines import ADDED, BINARY, CHANGES, CONTEXT, HUNK, MESSAGE, NAMES, NOTE, REMOVED, STAT, Patch
from headroom.model import Fidelity, Segment

_SMALL = 5200  # characters, about 1,500 tokens, of a diff that is left alone
_IN_HUNK = (CONTEXT, ADDED, REMOVED, NOTE)
_HEAD = "diff with parts left out as marked, the lines shown are verbatim; index, --- and +++ lines that repeat a file's name are left out"


class Diff:
    """Unified, git and combined diffs. Units are lines."""

    label: Final = "diff"

    def parse(self, segment: Segment) -> Parsed | None:
        if len(segment.text) < _SMALL:
            return None
        patch = Patch(segment.text)
        return Parsed(patch.lines, patch) if patch.hunks else None

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        patch: Patch = parsed.structure
        if fidelity == "lossless":
            return Draft(diff_fold.encode(patch.lines, hash), len(patch.lines), len(patch.lines))
        question = "\n".join((segment.question, segment.intent, segment.arguments))
        kept = choose(patch, segment.text, question, scores)
        lines = list(_write(patch, kept))
        shown = sum(kept.lines)
        if shown == len(patch.lines):
            return None
        return Draft("\n".join([marker.re_encoded(_HEAD, hash), *lines]), len(patch.lines), shown)


def _write(patch: Patch, kept: Kept) -> Iterator[str]:
    """The kept lines, and a gap for every run of others; context before a hunk's first change is told at its next gap."""
    lines, kinds, keep = patch.lines, patch.kinds, kept.lines
    row, end, leading = 0, len(lines), 0
    while row < end:
        start = row
        if keep[row]:
            if leading and kinds[row] not in _IN_HUNK:
                yield _gap(Counter(), 0, leading)
                leading = 0
            yield lines[row]
            row += 1
            continue
        while row < end and not keep[row]:
            row += 1
        held = Counter(kinds[start:row])
        if start > 0 and kinds[start - 1] == HUNK and row < end and kinds[row] in CHANGES and held.keys() == {CONTEXT}:
            leading = row - start
            continue
        told = _gap(held, sum(kept.moved[start:row]), leading)
        if told and not leading and len(told) >= sum(map(len, lines[start:row])) + row - start:
            keep[start:row] = b"\x01" * (row - start)
            yield from lines[start:row]
        elif told:
            leading = 0
            yield told
    if leading:
        yield _gap(Counter(), 0, leading)


def _gap(kinds: Counter[int], moved: int, leading: int) -> str:
    """What a run of lines held; empty when it only repeated a file's name."""
    words = []
    if moved:
        words.append(f"{moved} added lines moved unchanged from where they are removed")
    if kinds[ADDED] + kinds[REMOVED] > moved:
        words.append(f"changed lines +{kinds[ADDED] - moved} -{kinds[REMOVED]}")
    words += [f"{count} {name}" for count, name in _named(kinds, leading) if count]
    if words:
        return marker.gap(", ".join(words))
    return "" if kinds.keys() <= {NAMES} else marker.gap(f"{kinds.total()} lines")


def _named(kinds: Counter[int], leading: int) -> Iterator[tuple[int, str]]:
    yield kinds[CONTEXT] + leading, "context lines"
    yield kinds[MESSAGE], "message lines"
    yield kinds[STAT], "lines of the diffstat"
    yield kinds[BINARY], "lines of binary data"
