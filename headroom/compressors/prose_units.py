"""Prose taken apart: turns of a conversation, headings, list items, code blocks, sentences.

Units are ranges of the text, in order; what lies between two of them is white space. Costs one
pass over the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["turn", "heading", "item", "code", "row", "sentence"]

_CLOCK = r"[\[(]?\d[\d:.,]{2,12}[\])]?"
_TURN = re.compile(rf"[ \t>]{{0,4}}(?:{_CLOCK}[ \t-]*)?\**([A-Z\u00c0-\uffff][\w .,'()/&-]{{0,40}}?)\**[ \t]?(?:{_CLOCK})?\**:\**(?=\s|$)")
_TURNS = 0.4  # share of the non-empty lines that are turns in a transcript, at least
_MOST_SPEAKERS = 40
_LINES = 4  # turns of a speaker on average, at least
_HEADING = re.compile(r"#{1,6} \S|={1,6} \S.* ={1,6}$|\*\*[^*]{2,80}\*\*:?$")
_UNDERLINE = re.compile(r"[ \t]*(?:={3,}|-{3,}|~{3,}|\^{3,})[ \t]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+\u2022\u2013] +|\d{1,3}[.)] +|[a-zA-Z][.)] +|\[\d{1,3}\] )\S")
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*$")
_WRAPPED = (40, 140)  # characters of a line that goes on in the next one
_LONG = 900  # characters of a turn or an item that is taken apart into sentences
_PIECE = 300  # characters to which sentences of a long turn are put together
_OVERLONG = 1500  # characters of a sentence that is none
_SHORT = 40  # a sentence shorter than this belongs to the next one
_END = re.compile("[.!?\u2026\u061f\u06d4\u0964][\"'\u201d\u2019\u00bb)\\]]*\\s+|[\u3002\uff01\uff1f][\u300d\u300f\u201d\u2019]*\\s*")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[A-Z]|[A-Za-z]\.[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|vs|etc|cf|al|ca|Nos?|Figs?|Eq|Sec|Vol|pp|eds?|Inc|Ltd|Co|Corp|approx)\.$"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Characters start..end of the text."""

    start: int
    end: int
    kind: Kind


def split(text: str) -> list[Unit]:
    """The units of a text of any kind; none only when it is blank."""
    lines = _lines(text)
    groups = _turns(text, lines) if _is_transcript(text, lines) else _blocks(text, lines)
    return [unit for start, end, kind in groups for unit in _units(text, start, end, kind)]


def _lines(text: str) -> list[tuple[int, int]]:
    """(start, end) of every line, without its line end and the white space at its end."""
    found, start = [], 0
    for line in text.split("\n"):
        found.append((start, start + len(line.rstrip())))
        start += len(line) + 1
    return found


def _is_transcript(text: str, lines: Sequence[tuple[int, int]]) -> bool:
    """Whether few speakers take turns, each several times."""
    full = [(start, end) for start, end in lines if end > start]
    speakers = Counter(match[1] for start, end in full if (match := _TURN.match(text, start, min(end, start + 100))))
    turns = speakers.total()
    several = sum(count for count in speakers.values() if count > 1)
    return turns >= max(8, _TURNS * len(full)) and len(speakers) <= max(_MOST_SPEAKERS, turns // _LINES) and several >= 0.8 * turns


def _turns(text: str, lines: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Kind]]:
    start = stop = -1
    for line, end in lines:
        if end == line:
            continue
        if start >= 0 and _TURN.match(text, line, min(end, line + 100)):
            yield start, stop, "turn"
            start = line
        if start < 0:
            start = line
        stop = end
    if start >= 0:
        yield start, stop, "turn"


def _blocks(text: str, lines: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Kind]]:
    """Headings, items, rows, fenced code and paragraphs."""
    at = 0
    while at < len(lines):
        start, end = lines[at]
        at += 1
        if start == end:
            continue
        line = text[start : min(end, start + 300)]
        if fence := _FENCE.match(line):
            at = _fence_end(text, lines, at, fence[1])
            yield start, lines[at - 1][1], "code"
        elif at < len(lines) and end - start <= 100 and _UNDERLINE.match(text[slice(*lines[at])]):
            yield start, lines[at][1], "heading"
            at += 1
        elif end - start <= 200 and _HEADING.match(line):
            yield start, end, "heading"
        elif _ROW.match(line):
            yield start, end, "row"
        else:
            kind: Kind = "item" if _ITEM.match(line) else "sentence"
            while at < len(lines) and _goes_on(text, lines[at - 1], lines[at]):
                end = lines[at][1]
                at += 1
            yield start, end, kind


def _fence_end(text: str, lines: Sequence[tuple[int, int]], at: int, fence: str) -> int:
    """The line behind the closing fence; behind the opening one when there is none nearby."""
    for line in range(at, min(len(lines), at + 200)):
        if text[slice(*lines[line])].strip().startswith(fence):
            return line + 1
    return at


def _goes_on(text: str, line: tuple[int, int], following: tuple[int, int]) -> bool:
    """Whether a line is the wrapped continuation of the one before."""
    start, end = following
    if start == end or not _WRAPPED[0] <= line[1] - line[0] <= _WRAPPED[1]:
        return False
    ahead = text[start : min(end, start + 200)]
    return not (_ITEM.match(ahead) or _HEADING.match(ahead) or _FENCE.match(ahead) or _ROW.match(ahead) or _UNDERLINE.match(ahead))


def _units(text: str, start: int, end: int, kind: Kind) -> Iterator[Unit]:
    if kind in ("heading", "code", "row") or (kind != "sentence" and end - start <= _LONG):
        yield Unit(start, end, kind)
        return
    least = _SHORT if kind == "sentence" else _PIECE
    for match in _END.finditer(text, start, end):
        if match.end() - start < least or _ABBREVIATION.search(text, max(start, match.start() - 12), match.start() + 1):
            continue
        yield from _cut(text, start, match.start() + len(match[0].rstrip()), kind)
        start = match.end()
    if start < end:
        yield from _cut(text, start, end, kind)


def _cut(text: str, start: int, end: int, kind: Kind) -> Iterator[Unit]:
    """A sentence; in pieces of a few hundred characters where nothing ends it for long."""
    while end - start > _OVERLONG:
        blank = text.rfind(" ", start + _PIECE, start + 2 * _PIECE)
        stop = blank if blank > 0 else start + 2 * _PIECE
        yield Unit(start, stop, kind)
        start = stop + (blank > 0)
    yield Unit(start, end, kind)
