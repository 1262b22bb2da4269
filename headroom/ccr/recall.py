"""Recall at the tail: what a later turn asks for, found in what earlier turns left out.

A tool output is cut before anybody knows what will be asked of it. So each turn is a query over
everything its conversation left out before, and the best excerpts stand, verbatim and with their
place, behind that turn's last message. A block depends on the turn and what stands before it,
on nothing later: the prefix never moves. Nothing is recalled twice, and what is recalled never
costs more than a part of what was saved. Sans-I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from headroom.compressors import named
from headroom.scoring import bm25
from headroom.tokens import Counter

MAX_TOKENS = 1500  # of one block
# for a user's turn and for a tool's:
SHARE = {True: 0.05, False: 0.02}  # of the tokens left out, for one block
LEAST = {True: 300, False: 150}  # tokens of one block; a single record needs room, however little was left out
ALL_BLOCKS = {True: 0.5, False: 0.2}  # of the tokens left out, for all blocks so far
_RARE = 5  # places that hold a name; what stands in more places is no name for a place
_NEWS = 24  # characters that a line must hold beside the name
_LONGEST_QUESTION = 1500  # characters; a longer message is pasted text or a summary
_CLOSE_TO_BEST = 0.45  # of the best score
_MAX_EXCERPTS = 24
_AROUND = 240  # characters shown behind a word of the query in a unit too long to be shown
_NEIGHBOUR_CHARS = 400  # a longer unit explains itself
_INDEX = re.compile(r"(\w{1,100})\[(\d{1,9})\]")  # `tree[5]` is the sixth item of "tree"
_WORD = re.compile(r"\w+")
_PART = re.compile(r"[^.\[\]/\\:]{4,}")  # of a path into a record
HEAD = "[Headroom recall: verbatim excerpts of earlier results that are not shown in full above, picked for this message]"


class Unit(NamedTuple):
    """A piece of an original and where it stands: "line 41", "item 12".

    `about` is the call that it answers, if that is known; `of_call` says that it belongs to a call itself.
    """

    place: str
    text: str
    about: str = ""
    of_call: bool = False


class Units(tuple[Unit, ...]):
    """The units of one text, with what every turn searches of them, which is made once."""

    @cached_property
    def text(self) -> str:
        """All units, one behind the other."""
        return "\n".join([unit.text for unit in self])

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def offsets(self) -> Sequence[int]:
        """Where each unit starts in `text`."""
        return named.starts([unit.text for unit in self])


@dataclass(frozen=True)
class Source:
    """A text that was cut: its units, what remained visible, the tokens that did not, and the call it answers where units do not say."""

    hash: str
    units: Units
    visible: str
    tokens_left_out: int
    about: str = ""


class _Place(NamedTuple):
    source: int
    unit: int


def recall(
    query: str,
    sources: Sequence[Source],
    shown: Sequence[str],
    counter: Counter,
    *,
    spoken: bool,
    spent: int | None = None,
    most: int = MAX_TOKENS,
) -> str:
    """The block to append, or an empty string when nothing left out has to do with the query.

    `shown` are the blocks of earlier turns of the same conversation, `spent` their tokens where they
    are counted already; `spoken` says that the query is a user's words. A tool's arguments, and a
    message too long to be a question, recall only what they name. `most` are the tokens of the block.
    """
    asks = spoken and len(query) <= _LONGEST_QUESTION
    if not asks and not named.names(query) and not _INDEX.search(query):
        return ""
    page = _Page(sources, shown, counter, spoken, sum(map(counter.count, shown)) if spent is None else spent, most)
    if page.room <= 0:
        return ""
    picked = dict(_pick(_Relevance(query, sources, asks), page))
    return _render(sources, picked) if picked else ""


class _Relevance:
    """Which units the query points at: those that hold a rare name of it and, when it asks, those that share its words."""

    def __init__(self, query: str, sources: Sequence[Source], asks: bool) -> None:
        self._sources, self._names = sources, named.names(query)
        self._said = frozenset(_WORD.findall(query.lower()))
        self.named = _indexed(query, sources) | self._holders()
        self.scores: dict[_Place, float] = {}
        self._words: Sequence[str] = bm25.terms(query)
        if asks:
            self._words = [term for term in self._words if any(term in source.units.lower for source in sources)]
            self.scores = _scored(" ".join(self._words), sources)
        self.best = max(self.scores.values(), default=0.0)
        self._least = 2 if len(self._words) > 2 else 1

    def _holders(self) -> set[_Place]:
        """The units that hold a rare name of the query, and more than that."""
        found: set[_Place] = set()
        for name in self._names:
            holders: list[_Place] = []
            for number, source in enumerate(self._sources):
                most = _RARE + 1 - len(holders)
                holders += [_Place(number, unit) for unit in named.holding(source.units.text, source.units.offsets, name, most)]
                if len(holders) > _RARE:
                    break
            else:
                found.update(place for place in holders if _tells_more(self.text(place).strip(), name))
        return found

    def text(self, place: _Place) -> str:
        return self._sources[place.source].units[place.unit].text

    def points_at(self, place: _Place) -> bool:
        """Whether the unit is named, or close to the best and holding enough of the query's words."""
        if place in self.named:
            return True
        if self.scores.get(place, 0.0) < _CLOSE_TO_BEST * self.best:
            return False
        held = f"{_call(self._sources, place)}\n{self.text(place)}".lower()
        return sum(word in held for word in self._words) >= self._least

    def is_echo(self, unit: Unit) -> bool:
        """Whether a call's argument says nothing that the query, which repeats it, does not say itself."""
        value = unit.text.partition(": ")[2] or unit.text
        return unit.of_call and self._said.issuperset(_WORD.findall(value.lower()))

    def excerpt(self, text: str, most: int) -> str:
        """The surroundings of what the query names in a text too long to be shown, at most `most` characters."""
        lower, room = text.lower(), most
        windows: list[tuple[int, int]] = []
        parts = (part for name in self._names for part in (name, *_PART.findall(name)))
        for word in dict.fromkeys((*(part.lower() for part in parts), *self._words)):
            at = lower.find(word)
            if at < 0 or any(start <= at < end for start, end in windows):
                continue
            start, end = max(0, at - _AROUND // 4), min(len(text), at + len(word) + _AROUND)
            if end - start > room:
                break
            room -= end - start
            windows.append((start, end))
        return " ... ".join(text[start:end] for start, end in _joined(windows))

    def ranked(self) -> list[_Place]:
        """All units that have to do with the query, those with a name first."""
        touched = self.named.union(self.scores)
        return sorted(touched, key=lambda place: (place not in self.named, -self.scores.get(place, 0.0), place))


def _scored(query: str, sources: Sequence[Source]) -> dict[_Place, float]:
    """The score of every unit that has one, all sources taken together; what answers a call that the query names counts more."""
    scores = bm25.scores(query, [unit.text for source in sources for unit in source.units])
    found: dict[_Place, float] = {}
    start = 0
    for number, source in enumerate(sources):
        end = start + len(source.units)
        found.update({_Place(number, unit): score for unit, score in enumerate(scores[start:end]) if score > 0})
        start = end
    called = sorted({unit.about or source.about for source in sources for unit in source.units} - {""})
    named = dict(zip(called, bm25.scores(query, called), strict=True))
    return {place: score + named.get(_call(sources, place), 0.0) for place, score in found.items()}


def _call(sources: Sequence[Source], place: _Place) -> str:
    """What a unit answers."""
    source = sources[place.source]
    return source.units[place.unit].about or source.about


def _tells_more(text: str, name: str) -> bool:
    """Whether a unit says something beside the name: a listing's line with the very path that was named does not."""
    bare_path = "/" in name and not any(map(str.isspace, text))
    return not bare_path and len(text) - len(name) >= _NEWS


def _indexed(query: str, sources: Sequence[Source]) -> set[_Place]:
    """The units that a path in the query counts out."""
    places = {f'item {int(number) + 1} of "{key}"' for key, number in _INDEX.findall(query)}
    if not places:
        return set()
    return {_Place(n, m) for n, source in enumerate(sources) for m, unit in enumerate(source.units) if unit.place in places}


def _joined(windows: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The windows in order, those that touch as one."""
    current: tuple[int, int] | None = None
    for start, end in sorted(windows):
        if current and start <= current[1]:
            current = current[0], max(end, current[1])
        else:
            if current:
                yield current
            current = start, end
    if current:
        yield current


class _Page:
    """What fits on the block: room left, and whether a text is readable already."""

    def __init__(self, sources: Sequence[Source], shown: Sequence[str], counter: Counter, spoken: bool, spent: int, most: int) -> None:
        left_out = sum(source.tokens_left_out for source in sources)
        one = min(most, max(round(SHARE[spoken] * left_out), LEAST[spoken]))
        self.room = min(one, round(ALL_BLOCKS[spoken] * left_out) - spent) - counter.count(HEAD)
        self._sources, self._shown, self._counter = sources, shown, counter
        self._opened: set[int] = set()

    def unit(self, place: _Place) -> Unit | None:
        units = self._sources[place.source].units
        return units[place.unit] if 0 <= place.unit < len(units) else None

    def is_visible(self, place: _Place, text: str) -> bool:
        bare = text.strip()
        return not bare or bare in self._sources[place.source].visible or any(bare in block for block in self._shown)

    def fits(self, unit: Unit, source: int) -> bool:
        """Takes the room when there is enough, also for the line that names the source."""
        if len(unit.text) > 8 * self.room:
            return False
        opening = "" if source in self._opened else f"{_opening(self._sources[source])}\n"
        cost = self._counter.count(f"{opening}{unit.place}: {unit.text}\n")
        if cost > self.room:
            return False
        self.room -= cost
        self._opened.add(source)
        return True


def _pick(relevance: _Relevance, page: _Page) -> Iterator[tuple[_Place, Unit]]:
    """The hidden units that the query points at, then their neighbours where they are short."""
    hits: list[_Place] = []
    for place in relevance.ranked():
        if len(hits) == _MAX_EXCERPTS:
            break
        unit = page.unit(place)
        if unit is None or not relevance.points_at(place) or relevance.is_echo(unit) or page.is_visible(place, unit.text):
            continue
        if not page.fits(unit, place.source):
            unit = Unit(unit.place, relevance.excerpt(unit.text, 2 * page.room))
            if not unit.text or not page.fits(unit, place.source):
                continue
        hits.append(place)
        yield place, unit
    taken = set(hits)
    for hit in hits:
        for near in (_Place(hit.source, hit.unit + 1), _Place(hit.source, hit.unit - 1)):
            unit = page.unit(near)
            if unit is None or near in taken or len(unit.text) > _NEIGHBOUR_CHARS or page.is_visible(near, unit.text):
                continue
            if relevance.is_echo(unit):
                continue
            if page.fits(unit, near.source):
                taken.add(near)
                yield near, unit


def _render(sources: Sequence[Source], picked: dict[_Place, Unit]) -> str:
    lines = [HEAD]
    order = sorted(picked, key=lambda place: (place.source, place.unit))
    for number, group in groupby(order, key=lambda place: place.source):
        lines.append(_opening(sources[number]))
        lines += [f"{picked[place].place}: {picked[place].text}" for place in group]
    return "\n".join(lines)


def _opening(source: Source) -> str:
    return f"From hash={source.hash}:"
