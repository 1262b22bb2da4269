"""Finds text that stands earlier in the same request: files read twice, the same query asked again.

Only runs of whole lines count, and each is traced to the first place where it stands. Sans-I/O;
linear in the texts but for the lines looked at around a match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headroom.model import Repeat

MIN_CHARS = 250  # of a run; a reference costs about 25 tokens
_ANCHOR_CHARS = 12  # shorter lines stand everywhere and start no run


def repeats(texts: Sequence[str], wanted: Sequence[bool]) -> list[tuple[Repeat, ...]]:
    """Per text, its runs that stand in an earlier text; empty where `wanted` is False."""
    lines = [text.split("\n") for text in texts]
    first: dict[str, tuple[int, int]] = {}
    found: list[tuple[Repeat, ...]] = []
    for number, own in enumerate(lines):
        found.append(tuple(_runs(own, lines, first)) if wanted[number] else ())
        for position, line in enumerate(own):
            if len(line) >= _ANCHOR_CHARS:
                first.setdefault(line, (number, position))
    return found


def _runs(own: Sequence[str], lines: Sequence[Sequence[str]], first: dict[str, tuple[int, int]]) -> Iterator[Repeat]:
    position = covered = 0
    while position < len(own):
        anchor = first.get(own[position])
        if anchor is None:
            position += 1
            continue
        source, at = anchor
        earlier = lines[source]
        start, end, behind = position, position + 1, at + 1
        while start > covered and at > 0 and own[start - 1] == earlier[at - 1]:
            start, at = start - 1, at - 1
        while end < len(own) and behind < len(earlier) and own[end] == earlier[behind]:
            end, behind = end + 1, behind + 1
        if sum(map(len, own[start:end])) + end - start > MIN_CHARS:
            yield Repeat(start, end, source, at, end - start == len(own) == len(earlier))
            covered = end
        position = end
