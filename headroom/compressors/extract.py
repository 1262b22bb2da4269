"""Which units of a running text stay: what the question points at with its surroundings, then what says most.

A unit's worth is its relevance, the relevance of its surroundings (an answer often shares no word
with the question, but stands near words that do), and how much it says by itself: numbers, names,
decisions, negations, length. Pure, linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

from headroom.compressors import named
from headroom.model import Segment

_WORD = re.compile(r"[a-z]+(?:'t)?")
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"[a-z\u00df-\u024f,;] [A-Z\u00c0-\u00de][\w\u00c0-\u024f]|[A-Z]{2}|`|\w[._/]\w")
_NUMBERS = frozenset(
    re.findall(r"\w+", "two three four five six seven eight nine ten twelve twenty thirty fifty hundred thousand million half")
)
_NEGATIONS = frozenset(
    re.findall(r"\S+", "no not never without except cannot unless nor none can't don't won't isn't doesn't didn't wasn't")
)
_DECISIONS = frozenset(
    re.findall(
        r"\w+",
        """decide decided decision agree agreed should must need needs needed will propose proposed proposal suggest suggested
        suggestion recommend recommended conclude conclusion problem problems issue issues because therefore important note warning
        action plan cause caused result results require required instead change changed fail failed failure error risk deadline cost""",
    )
)
_LENGTH, _LENGTH_WORTH = 400, 0.8  # characters of a unit from which length says nothing more, and what they are worth
_NEAR = ((2, 1), (4, 4), (10, 10))  # half widths of the two windows that together weigh what is near more
_TOP = 0.5  # share of the best score from which a unit's neighbours stay too
_TOP_MOST = 12
_NAMED_SHARE, _NAMED_LEAST = 0.02, 4  # of the units, that a name may hit to single any out
_BRING = re.compile(
    r"\s*(?:(?:please|now|ok(?:ay)?|then|first|next|(?:can|could|would) you|let's|let us|i want you to|go and)[\s,]+)*"
    r"(?:read|open|fetch|load|get|show|view|display|print|cat|look at|check out|pull|download|browse|visit|go to|import|retrieve|access)\b"
    r"[^?]{0,120}$",
    re.IGNORECASE,
)
_PHRASE = re.compile(r"\"[^\"/\\]{0,200}[^\W\d_]{2,} [^\"/\\]{0,200}[^\W\d_]{2,} [^\"/\\]*\"|[\u3040-\u30ff\u3400-\u9fff]{4}")


def points(segment: Segment) -> bool:
    """Whether the question or the call says what matters in the text; a wish to have it read says nothing."""
    asked = segment.question.strip()
    return bool(asked and not _BRING.match(asked)) or bool(_PHRASE.search(segment.arguments))


def worth(units: Sequence[str], scores: Sequence[float]) -> list[float]:
    """How much each unit is worth keeping. Scores that are all 0 leave what the units say by themselves."""
    result = [_says(unit) for unit in units]
    if max(scores, default=0.0) > 0:
        for first, second in _NEAR:
            near = _window(_window(scores, first), second)
            most = max(near)
            result = [total + value / most for total, value in zip(result, near, strict=True)]
    return result


def _says(unit: str) -> float:
    words = set(_WORD.findall(unit.lower()))
    result = min(len(unit), _LENGTH) / _LENGTH * _LENGTH_WORTH
    result += 0 if words.isdisjoint(_DECISIONS) else 0.2
    result += 0 if words.isdisjoint(_NEGATIONS) else 0.15
    result += 0.15 if _NAME.search(unit) else 0
    return result + (0.2 if _DIGIT.search(unit) or not words.isdisjoint(_NUMBERS) else 0)


def _window(values: Sequence[float], half: int) -> list[float]:
    """The sum of the values up to `half` places before and after each."""
    sums = list(accumulate(values, initial=0.0))
    last = len(values)
    return [sums[min(last, at + half + 1)] - sums[max(0, at - half)] for at in range(last)]


def asked_for(segment: Segment, units: Sequence[str], scores: Sequence[float]) -> set[int]:
    """Units that a name singles out, and the best for the question, each with the unit before and after it."""
    found: set[int] = set()
    text, offsets = "\n".join(units), named.starts(units)
    most = max(_NAMED_LEAST, int(len(units) * _NAMED_SHARE))
    for name in named.names("\n".join((segment.question, segment.intent))):
        hits = named.holding(text, offsets, name, most + 1)
        if len(hits) <= most:
            found.update(hits)
    best = max(scores, default=0.0)
    if best > 0:
        top = [at for at, score in enumerate(scores) if score >= _TOP * best]
        found.update(sorted(top, key=lambda at: (-scores[at], at))[:_TOP_MOST])
    return {near for at in found for near in (at - 1, at, at + 1) if 0 <= near < len(units)}


def fill(sizes: Sequence[int], kept: set[int], values: Sequence[float], room: float) -> set[int]:
    """`kept` and the most valuable of the other units until `room` characters are taken."""
    result = set(kept)
    room -= sum(sizes[at] for at in kept)
    for at in sorted(range(len(sizes)), key=lambda at: (-values[at], at)):
        if room <= 0:
            break
        if at not in result:
            result.add(at)
            room -= sizes[at]
    return result


def gaps(sizes: Sequence[int], kept: set[int], least: int) -> Iterator[tuple[int, int]]:
    """(first, end) of every run of units that are not kept and hold at least `least` characters."""
    start = size = 0
    for at in range(len(sizes) + 1):
        if at < len(sizes) and at not in kept:
            size += sizes[at]
            continue
        if size >= least:
            yield start, at
        start, size = at + 1, 0
