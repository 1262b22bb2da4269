"""Recall at the tail: what a later turn asks for, found in what earlier turns left out.

A tool output is cut before anybody knows what will be asked of it. So each turn is a query over
everything its conversation left out so far, and the best excerpts stand, verbatim and with their
place, behind that turn's last message. A block depends on the turn and what stands before it,
on nothing later: the prefix never moves. Nothing is recalled twice. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from headroom.scoring import bm25
from headroom.tokens import Counter

MAX_TOKENS = 1500
SHARE = 0.05  # of the tokens left out
MIN_TOKENS = 300  # a single record needs room, however little was left out
_RELEVANT = 0.22  # of the score of a text that holds all the query's terms
_CLOSE_TO_BEST = 0.45  # of the best score
_MAX_EXCERPTS = 24
_NEIGHBOUR_CHARS = 400  # a longer unit explains itself
_HEAD = "[Headroom recall: excerpts of earlier tool results that were left out above, verbatim, picked for this message]"
_UNITS = {"smart_crusher": "row", "log": "line", "search": "line", "diff": "line", "code": "line", "table": "row"}


@dataclass(frozen=True, slots=True)
class Source:
    """A text that was cut: its units, what remained visible, and the tokens that did not."""

    transform: str
    hash: str
    units: Sequence[str]
    visible: str
    tokens_left_out: int


@dataclass(frozen=True, slots=True)
class _Pick:
    source: int
    unit: int


def recall(query: str, sources: Sequence[Source], shown: Sequence[str], counter: Counter) -> str:
    """The block to append, or an empty string when nothing left out has to do with the query.

    `shown` are the blocks of earlier turns of the same conversation.
    """
    places = [_Pick(number, unit) for number, source in enumerate(sources) for unit in range(len(source.units))]
    units = [sources[place.source].units[place.unit] for place in places]
    scores = bm25.scores(query, [*units, query])
    if not units or max(scores[:-1], default=0.0) < _RELEVANT * scores[-1]:
        return ""
    room = budget(sum(source.tokens_left_out for source in sources))
    picked = dict(_pick(places, scores[:-1], _Page(sources, shown, counter, room), _RELEVANT * scores[-1]))
    return _render(sources, picked) if picked else ""


def budget(tokens_left_out: int) -> int:
    """Tokens that a block may take."""
    return min(MAX_TOKENS, max(round(SHARE * tokens_left_out), min(MIN_TOKENS, tokens_left_out // 2)))


class _Page:
    """What fits on the block: room left, and whether a text is readable already."""

    def __init__(self, sources: Sequence[Source], shown: Sequence[str], counter: Counter, room: int) -> None:
        self.sources, self._shown, self._counter, self.room = sources, shown, counter, room

    def text(self, place: _Pick) -> str:
        return self.sources[place.source].units[place.unit].strip("\n")

    def is_visible(self, place: _Pick) -> bool:
        text = self.text(place).strip()
        return not text or text in self.sources[place.source].visible or any(text in block for block in self._shown)

    def fits(self, text: str) -> bool:
        """Takes the room when there is enough."""
        cost = self._counter.count(text) + 1 if len(text) < 8 * self.room else self.room + 1
        if cost > self.room:
            return False
        self.room -= cost
        return True


def _pick(places: Sequence[_Pick], scores: Sequence[float], page: _Page, least: float) -> Iterator[tuple[_Pick, str]]:
    """The hidden units that score best, with their neighbours where they are short."""
    ranked = sorted((index for index, score in enumerate(scores) if score >= least), key=lambda index: (-scores[index], index))
    best = next((scores[index] for index in ranked), 0.0)
    hits: list[_Pick] = []
    for index in ranked:
        if len(hits) == _MAX_EXCERPTS or scores[index] < _CLOSE_TO_BEST * best:
            break
        place = places[index]
        if page.is_visible(place):
            continue
        text = page.text(place)
        if page.fits(text):
            hits.append(place)
            yield place, text
    taken = set(hits)
    for hit in hits:
        for near in (_Pick(hit.source, hit.unit + 1), _Pick(hit.source, hit.unit - 1)):
            if near in taken or not 0 <= near.unit < len(page.sources[near.source].units) or page.is_visible(near):
                continue
            text = page.text(near)
            if len(text) <= _NEIGHBOUR_CHARS and page.fits(text):
                taken.add(near)
                yield near, text


def _render(sources: Sequence[Source], picked: dict[_Pick, str]) -> str:
    lines = [_HEAD]
    order = sorted(picked, key=lambda place: (place.source, place.unit))
    for number, group in groupby(order, key=lambda place: place.source):
        source = sources[number]
        noun = _UNITS.get(source.transform, "part")
        lines.append(f"From hash={source.hash}:")
        lines += [f"{noun} {place.unit + 1} of {len(source.units)}: {picked[place]}" for place in group]
    return "\n".join(lines)
