"""Which parts of a program fold: those that the turn does not point at.

A name, a line number or a high score keeps the lines that hold it: a small body whole, of a large
one the statements around. A body stays whole when its definition is named.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headroom.compressors import named
from headroom.compressors.code_definitions import definitions
from headroom.compressors.code_lines import Section, paths
from headroom.compressors.code_tree import Region, RegionKind

_LEAST = 2  # rows of a fold
_LEAST_CHARS = 90
_NAMED_WHOLE = 12_000  # characters of a body that stays whole because its definition is named, and of an outline
_OUTLINE_WHOLE = 5000
_BELOW = 3  # rows below a comment in which the definition it is about may begin
_ASKED_WHOLE = 1600  # characters of a body that stays whole because one of its lines is asked for
_MOST_LINES = 12  # lines that a name or a high score may keep
_HIGH = 0.6  # share of the best score that keeps a line
_AROUND = 6  # rows around a line that is asked for, where no smaller part of the program holds it
_LOOKED_AT = 8000  # characters of the words of a turn
_DATA_HEAD = 2  # elements of a literal that stay

_WORD = re.compile(r"(?<![\w./\\-])[A-Za-z]{4,30}(?![\w/\\]|\.\w)")
_DEFINING_WORDS = """def class func fn function interface struct enum type trait impl const let var val fun module mod static public
    private protected namespace #define macro_rules! describe( it( test( sub void"""
_DEFINING = frozenset(_DEFINING_WORDS.split())
_REQUEST_WORDS = "read show open look view please file files path file_path these this that them have need want code source content command"
_REQUEST = frozenset(_REQUEST_WORDS.split())
_WHOLE_FILE = r"(?:entire|whole|full|complete) (?:file|source|code)s?"
_IN_FULL = re.compile(rf"\b(?:in full|in its entirety|in their entirety|{_WHOLE_FILE}|line by line|every line|verbatim)\b", re.IGNORECASE)
_LINE_NUMBERS = re.compile(r"(?:\blines?|\bL|:|#L)[ ]?(\d{1,7})(?:[ ]?(?:-|\u2013|to|and|,|-L)[ ]?(\d{1,7}))?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows `start` to `end`, inclusive, of a section that are left out."""

    start: int
    end: int
    kind: RegionKind


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows of a section that the turn points at, ascending; `defined` are those where a named thing is defined."""

    rows: list[int]
    defined: list[int]

    def within(self, start: int, end: int) -> bool:
        return _any(self.rows, start, end)

    def defines(self, start: int, end: int) -> bool:
        return _any(self.defined, start, end)


def _any(rows: list[int], start: int, end: int) -> bool:
    at = bisect_left(rows, start)
    return at < len(rows) and rows[at] <= end


def wanted(section: Section, regions: Sequence[Region], question: str, scores: Sequence[float]) -> Wanted:
    """What the words of the turn single out in a section, given one score per line of it."""
    defined = definitions(section.code, regions, question)
    rows = set(defined)
    text, offsets = "\n".join(section.code), named.starts(section.code)
    for name in named.names(question):
        hits = named.holding(text, offsets, name, 200)
        defining = [row for row in hits if _defines(section.code[row], name)]
        defined.update(defining[:_MOST_LINES])
        rows.update(hits if len(hits) <= _MOST_LINES else sorted(hits, key=lambda row: (-scores[row], row))[:_MOST_LINES])
        rows.update(defining[:_MOST_LINES])
    for match in _LINE_NUMBERS.finditer(question[:_LOOKED_AT]):
        first = int(match[1]) - section.first
        last = int(match[2]) - section.first if match[2] else first
        rows.update(range(max(0, first), min(len(section.code), last + 1, first + 400)))
    rows.update(_best(scores) if says_more_than_paths(question) else ())
    return Wanted(sorted(rows), sorted(defined))


def _best(scores: Sequence[float]) -> list[int]:
    """The rows that score high, unless so many do that none stands out."""
    best = max(scores, default=0.0)
    if best <= 0:
        return []
    high = sorted([row for row, score in enumerate(scores) if score >= _HIGH * best], key=lambda row: (-scores[row], row))
    return high[:_MOST_LINES] if len(high) <= 2 * _MOST_LINES else []


def says_more_than_paths(question: str) -> bool:
    """Whether there are words in a turn beside the paths to read and the request to do so."""
    words = {word.lower() for word in _WORD.findall(question[:_LOOKED_AT])}
    return len(words - _REQUEST) >= 2


def points_elsewhere(path: str, question: str) -> bool:
    """Whether the words of the turn name source files, and another one than this."""
    files = {_base(other) for other in paths(question)}
    return bool(path and files) and _base(path) not in files


def _base(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def asks_for_all(question: str) -> bool:
    """Whether the turn says that files are to be read from beginning to end."""
    return bool(_IN_FULL.search(question))


def _defines(line: str, name: str) -> bool:
    """Whether a line looks like the definition of a name: a keyword before it, or nothing but a value behind it."""
    at = line.find(name)
    before = line[:at].split()
    if any(word in _DEFINING for word in before):
        return True
    return not before and bool(re.match(r"\s*(?:\(.*[{:]|[:=])", line[at + len(name) :][:300]))


def folds(section: Section, regions: Sequence[Region], wants: Wanted) -> list[Fold]:
    """What is left out of a section, in order."""
    return [fold for region in regions for fold in _of(section, region, wants) if _pays(section, fold)]


def _of(section: Section, region: Region, wants: Wanted) -> Iterator[Fold]:
    size = sum(map(len, section.code[region.start : region.end + 1]))
    header_end = region.end + _BELOW if region.kind == "text" else region.start - 1
    if wants.defines(region.owner, header_end) and size <= (_OUTLINE_WHOLE if region.kind == "outline" else _NAMED_WHOLE):
        return
    if region.kind == "outline":
        for inner in region.inner:
            yield from _of(section, inner, wants)
    elif wants.within(region.start, region.end):
        if size > _ASKED_WHOLE:
            yield from _around(section, region, wants)
    elif region.kind == "data" and len(region.parts) > 2 * _DATA_HEAD:
        yield Fold(region.parts[_DATA_HEAD][0], region.parts[-2][1], "data")
    else:
        yield Fold(region.start, region.end, region.kind)


def _around(section: Section, region: Region, wants: Wanted) -> Iterator[Fold]:
    """The folds of a region some of whose parts are asked for."""
    if not region.parts:
        yield from _between(section, region, wants)
        return
    gap = region.start
    for top, bottom in region.parts:
        if not wants.within(top - 1, bottom + 1):
            continue
        if top > gap:
            yield Fold(gap, top - 1, region.kind)
        gap = bottom + 1
        if sum(map(len, section.code[top : bottom + 1])) > _ASKED_WHOLE:
            for inner in region.inner:
                if top <= inner.start and inner.end <= bottom:
                    yield from _of(section, inner, wants)
    if gap <= region.end:
        yield Fold(gap, region.end, region.kind)


def _between(section: Section, region: Region, wants: Wanted) -> Iterator[Fold]:
    """The rows of a region that are far from every row that is asked for."""
    gap = region.start
    for row in wants.rows[bisect_left(wants.rows, region.start) :]:
        if row > region.end:
            break
        if row - _AROUND > gap:
            yield Fold(gap, row - _AROUND - 1, region.kind)
        gap = row + _AROUND + 1
    if gap <= region.end:
        yield Fold(gap, region.end, region.kind)


def _pays(section: Section, fold: Fold) -> bool:
    rows = section.code[fold.start : fold.end + 1]
    return len(rows) >= _LEAST and sum(map(len, rows)) >= _LEAST_CHARS
