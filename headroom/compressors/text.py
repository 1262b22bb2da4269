"""Texts of no known kind: terminal output, descriptions, listings, literals, dumps.

What a terminal would not show is taken away first. From about 1,500 tokens on, units (lines, or
the elements of one overlong line) are left out whose like is still readable. Kept, and verbatim,
are the ends, what the question names or resembles, what went wrong, headings, one of each shape,
and the extremes of numbers. Each gap says in place which units it stands for. A view of a file of
moderate size stays as it is: an agent needs what it has just looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headroom.ccr import marker
from headroom.compressors import log_fold, text_rows
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.text_keep import select
from headroom.compressors.text_units import Units, take_apart
from headroom.model import Fidelity, Segment
from headroom.tokens import Estimate

_CUT_TOKENS, _VIEW_TOKENS = 1500, 2500  # from which units are left out of a text, of a view of a file
_COUNTED = 20_000  # characters from which a text is large without counting
_FEWEST = 12  # units
_FEW, _ENOUGH = 0.2, 0.25  # share of distinct units that makes a lossless form likely; how small it must be
_WORTH = 0.9  # share of the text from which leaving out is not worth the gaps
_NAMES = 1.0  # share of the budget that the names of files left out of a listing may take

_NUMBERED = re.compile(r"\s{0,8}\d{1,7}(?:[:|\t→]|: | {2})")
_WINDOW = re.compile(r"\[File: |Here's the result of running `cat|\(this is the beginning of the file\)|\(\d+ (?:more )?lines above\)")
_VIEWS = re.compile(r"(?:^|_|\b)(?:read|view|open|cat|edit|str_?replace)(?:_|\b)|(?:Read|View|Edit)$", re.IGNORECASE)
_PATH = re.compile(r'"\w{0,20}(?:path|file|filename)"\s*:', re.IGNORECASE)
_PRINTS = re.compile(r'"\w+"\s*:\s*"(?:\s*cd [^&;"]{1,200}(?:&&|;))?\s*(?:cat|head|tail|sed -n|less|more|nl|bat|open|goto|edit)\b')
_FILE = re.compile(
    r"[-dlbcps][-rwxsStT]{9}[.+@]?\s.{0,120}?\s"
    r"(?:[A-Z][a-z]{2} +\d{1,2} +(?:\d\d:\d\d|\d{4})|\d{4}-\d\d-\d\d \d\d:\d\d\S*(?: [+-]\d{4})?) (\S.*)"
)


@dataclass(frozen=True, slots=True)
class _Text:
    units: Units
    is_view: bool
    is_large: bool


class Text:
    """Compressor of texts that no other compressor knows; see the module."""

    label = "text"

    def parse(self, segment: Segment) -> Parsed | None:
        """Units are the lines as a terminal shows them, overlong ones in pieces; None for a text that should stay."""
        units = take_apart(segment.text)
        is_view = _is_view(segment, units)
        is_large = len(units.texts) >= _FEWEST and _reaches(segment.text, _VIEW_TOKENS if is_view else _CUT_TOKENS)
        return Parsed(units.texts, _Text(units, is_view, is_large)) if is_large or units.cleaned else None

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        text: _Text = parsed.structure
        units, count = text.units, len(text.units.texts)
        if fidelity == "lossless":
            return _whole(segment.text, units, hash, 1.0)
        if not text.is_large:
            return _cleaned(segment.text, units, hash)
        if len(set(units.texts)) < _FEW * count and (whole := _whole(segment.text, units, hash, _ENOUGH)):
            return whole
        budget = budget_of(len(segment.text), text.is_view)
        kept = select(segment, units, scores, budget)
        written = _write(units, kept, int(_NAMES * budget), hash)
        if all(kept) or len(written) > _WORTH * len(segment.text):
            return _cleaned(segment.text, units, hash)
        return Draft(written, count, sum(kept))


def budget_of(chars: int, is_view: bool = False) -> int:
    """How many characters of a text may stay beside what must: three eighths, less of a long one; half of a view."""
    return min(chars // 2, 6000 + chars // 8) if is_view else min(3 * chars // 8, 4000 + chars // 8, 16_000 + chars // 32)


def _reaches(text: str, tokens: int) -> bool:
    return len(text) > _COUNTED or Estimate().count(text) >= tokens


def _is_view(segment: Segment, units: Units) -> bool:
    """Whether the text shows a file, or what an editor made of it."""
    if _PRINTS.search(segment.arguments[:400]) or (_VIEWS.search(segment.tool) and _PATH.search(segment.arguments[:2000])):
        return True
    sample = [text for text in units.texts[:200] if text.strip()]
    numbered = sum(1 for text in sample if _NUMBERED.match(text))
    return numbered >= 0.6 * len(sample) or any(_WINDOW.match(text) for text in sample[:20])


def _whole(text: str, units: Units, hash: str, share: float) -> Draft | None:
    """The text without anything left out, if that takes no more than a share of it."""
    rows = units.lines == 1 and not units.cleaned and len(units.texts) > 1
    folded = text_rows.encode(units.texts, hash) if rows else log_fold.encode(text.split("\n"), hash)
    count = len(units.texts)
    return Draft(folded, count, count) if folded is not None and len(folded) < share * len(text) else None


def _cleaned(text: str, units: Units, hash: str) -> Draft | None:
    """Everything that a terminal would show."""
    if not units.cleaned:
        return None
    body = "".join(part for pair in zip(units.texts, units.glue, strict=True) for part in pair)
    written = marker.re_encoded("; ".join(units.cleaned), hash) + "\n" + body
    count = len(units.texts)
    return Draft(written, count, count) if len(written) < len(text) else None


def _write(units: Units, kept: bytearray, room: int, hash: str) -> str:
    count = len(kept)
    what = f"{_extent(units, kept)} here verbatim, gaps marked in place"
    head = marker.re_encoded("; ".join((what, *units.cleaned)), hash)
    readable = {text for unit, text in enumerate(units.texts) if kept[unit]}
    out = [head, "\n"]
    unit, broken = 0, False
    while unit < count:
        if kept[unit]:
            out += (units.texts[unit], units.glue[unit])
            broken = not units.glue[unit]
            unit += 1
            continue
        end = kept.find(1, unit)
        end = count if end < 0 else end
        described = _describe(units, unit, end, readable, room)
        room -= len(described)
        out += ("\n" if broken else "", marker.gap(described), "\n")
        unit, broken = end, False
    return "".join(out).rstrip("\n")


def _describe(units: Units, start: int, end: int, readable: set[str], room: int) -> str:
    """Which units a gap stands for, and what is known of all of them."""
    texts = units.texts[start:end]
    where = _place(units, start, end)
    if start and all(text == units.texts[start - 1] for text in texts):
        return f"{where}: the {'element' if units.first[start] else 'line'} above {end - start} more times"
    if all(text in readable for text in texts if text.strip()):
        return f"{where}: repeats of what is shown here"
    files = [match[1] for match in map(_FILE.match, texts) if match] if _FILE.match(texts[0]) else []
    if len(files) >= 0.9 * len(texts) and sum(map(len, files)) + 2 * len(files) <= room:
        return f"{where}: {', '.join(files)}"
    return where


def _extent(units: Units, kept: bytearray) -> str:
    """How much of the text stays, in lines or in the elements or characters of its one line."""
    if units.lines > 1:
        return f"{units.lines} lines, {len({line for line, keep in zip(units.line, kept, strict=True) if keep})} of them"
    shown = sum(last - first + 1 for first, last, keep in zip(units.first, units.last, kept, strict=True) if keep)
    return f"{units.last[-1]} {_noun(units, 1)}s, {shown} of them"


def _place(units: Units, start: int, end: int) -> str:
    """The lines of a gap, or the elements or characters where it lies within one line."""
    first, last = units.line[start], units.line[end - 1]
    if first < last or not units.first[start]:
        return _span("line", first, last)
    line = f" of line {first}" if units.lines > 1 else ""
    return _span(_noun(units, first), units.first[start], units.last[end - 1]) + line


def _noun(units: Units, line: int) -> str:
    return "character" if line in units.flowing else "element"


def _span(noun: str, first: int, last: int) -> str:
    return f"{noun} {first}" if first == last else f"{noun}s {first}-{last}"
