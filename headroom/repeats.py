"""Finds text that stands earlier in the same request: files read twice, the same query asked again.

Only runs of whole lines count, and each is traced to the first place where it stands. Sans-I/O;
linear in the texts but for the lines looked at around a match.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from headroom.model import Repeat

MIN_CHARS = 250  # of a run; a reference costs about 25 tokens
_ANCHOR_CHARS = 12  # shorter lines stand everywhere and start no run


def repeats(texts: Sequence[str], wanted: Sequence[bool]) -> list[tuple[Repeat, ...]]:
    """Per text, its runs that stand in an earlier text; empty where `wanted` is False."""
    lines = [text.split("\n") for text in texts]
    looked_for = {line for own, is_wanted in zip(lines, wanted, strict=True) if is_wanted for line in own if len(line) >= _ANCHOR_CHARS}
    first: dict[str, tuple[int, int]] = {}
    found: list[tuple[Repeat, ...]] = []
    last = max((number for number, is_wanted in enumerate(wanted) if is_wanted), default=0)
    for number, own in enumerate(lines):
        found.append(tuple(_runs(own, lines, first)) if wanted[number] and first else ())
        if number < last:
            first |= _anchors(own, number, looked_for, first)
    return found


def _anchors(own: Sequence[str], number: int, looked_for: set[str], known: Container[str]) -> dict[str, tuple[int, int]]:
    """Where each line that is looked for, and that no earlier text has, stands first in a text."""
    here = looked_for.intersection(own)
    if not here:
        return {}
    places = dict(zip(reversed(own), range(len(own) - 1, -1, -1), strict=True))
    return {line: (number, places[line]) for line in here if line not in known}


def _runs(own: Sequence[str], lines: Sequence[Sequence[str]], first: dict[str, tuple[int, int]]) -> Iterator[Repeat]:
    beyond = covered = 0
    for position, anchor in enumerate(map(first.get, own)):
        if anchor is None or position < beyond:
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
        beyond = end
