"""Running text made shorter by leaving out: transcripts, articles, documentation, retrieved passages.

What stays is verbatim and in its order: headings, the beginning and the end, the first sentence of
each section, what the question and the call point at with its surroundings, and then whatever says
most, up to a share of the text. Each gap says in place how much it held; the hash redeems the original.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from headroom.ccr import marker
from headroom.compressors import extract
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.prose_units import Unit, split
from headroom.model import Fidelity, Segment

_LEAST = 6000  # characters, about 1,500 tokens, from which anything is left out
_GAP = 120  # characters that a gap saves at least
_TALK, _TALK_ASKED = 0.7, 0.55  # share of a transcript that stays; when it is known what is asked
_TEXT, _TEXT_ASKED = 0.75, 0.4  # share of other texts that stays
_ENDS = 2  # units at the beginning and at the end that always stay
_NOUNS = {"turn": "turns", "heading": "headings", "item": "list items", "code": "code blocks", "row": "table rows", "sentence": "sentences"}


class Prose:
    """Units are turns, headings, list items, sentences; verbatim pieces of the text."""

    label: Final = "prose"

    def parse(self, segment: Segment) -> Parsed | None:
        text = segment.text
        if len(text) < _LEAST:
            return None
        units = split(text)
        return Parsed([text[unit.start : unit.end] for unit in units], units) if units else None

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        if fidelity == "lossless":
            return None
        units: list[Unit] = parsed.structure
        sizes = [unit.end - unit.start for unit in units]
        kept = _kept(segment, parsed.units, units, scores, sizes)
        gaps = list(extract.gaps(sizes, kept, _GAP))
        if not gaps:
            return None
        left_out = sum(end - first for first, end in gaps)
        what = f"Text of {_count(units)}, {_count(_within(units, gaps))} left out as marked in place, the rest verbatim"
        body = "".join(_pieces(segment.text, units, gaps))
        return Draft(f"{marker.re_encoded(what, hash)}\n{body}", len(units), len(units) - left_out)


def _kept(segment: Segment, texts: Sequence[str], units: Sequence[Unit], scores: Sequence[float], sizes: Sequence[int]) -> set[int]:
    asked = extract.points(segment) and max(scores, default=0.0) > 0
    talk = sum(1 for unit in units if unit.kind == "turn") > len(units) / 2
    share = (_TALK_ASKED if asked else _TALK) if talk else (_TEXT_ASKED if asked else _TEXT)
    relevance = scores if asked else [0.0] * len(units)
    values = extract.worth(texts, relevance)
    kept = {*range(_ENDS), *range(len(units) - _ENDS, len(units))} & set(range(len(units)))
    kept |= {at for at, unit in enumerate(units) if unit.kind == "heading"}
    kept |= {at for at in range(1, len(units)) if units[at - 1].kind == "heading"}
    kept |= extract.asked_for(segment, texts, relevance)
    return extract.fill(sizes, kept, values, share * sum(sizes))


def _within(units: Sequence[Unit], gaps: Sequence[tuple[int, int]]) -> list[Unit]:
    return [unit for first, end in gaps for unit in units[first:end]]


def _count(units: Sequence[Unit]) -> str:
    """`12 sentences, 3 list items`."""
    counts = Counter(unit.kind for unit in units)
    return ", ".join(f"{count} {_NOUNS[kind] if count > 1 else _NOUNS[kind][:-1]}" for kind, count in counts.most_common())


def _pieces(text: str, units: Sequence[Unit], gaps: Sequence[tuple[int, int]]) -> Iterator[str]:
    """The text with each gap replaced by what it held, on a line of its own unless it begins or ends within one."""
    position = 0
    for first, end in gaps:
        if first:
            before = units[first - 1].end
            yield text[position:before] + _between(text, before, units[first].start)
        yield marker.gap(_count(units[first:end]))
        position = units[end].start if end < len(units) else len(text)
        if end < len(units):
            yield _between(text, units[end - 1].end, position)
    yield text[position:]


def _between(text: str, start: int, end: int) -> str:
    return "\n" if "\n" in text[start:end] else " "
