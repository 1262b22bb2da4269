"""Makes room by importance: the most important units stay, one after the other, as long as they fit.

A unit that does not fit whole becomes smaller if it fits then, unless that is switched off; else it leaves, and less important
ones that fit are asked. To make everything smaller before anything leaves would show less of what is needed: what left
is found again by recall, word by word, and what matters most would be cut for the sake of what matters least. Where what is
protected does not fit by itself, its tools' texts become smaller too, the oldest first. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from headroom.context.cut import Smaller
from headroom.context.fit import Choice, State
from headroom.context.harder import harder
from headroom.context.units import Unit
from headroom.context.view import Count, View
from headroom.model import Advice, content_hash
from headroom.scoring import importance

_SHARE = 0.25  # of a text's tokens that are left, at least, when it becomes smaller
_MOST_SHARE = 0.9
_LEAST = 60  # tokens a text keeps
_WORTH = 40  # tokens that must be saved by making a text smaller
_LAST = 3  # messages that say what the conversation is about now
_UNIT_CHARS = 4000  # of a unit, as a model of meaning sees it


@dataclass(frozen=True, slots=True)
class Said:
    """A unit as it is scored: `text` is all of it, `used` without what tools printed."""

    text: str
    used: str
    failed: bool
    advice: tuple[Advice, ...] = ()


def said(seen: View, found: Sequence[Unit], advice: Mapping[int, Sequence[Advice]]) -> list[Said]:
    """One per unit; `advice` is by number of the message as it came."""
    told = []
    for unit in found:
        messages = seen.messages[unit.start : unit.end]
        told.append(
            Said(
                "\n".join(text for message in messages for text in message.texts),
                "\n".join(text for message in messages for text in _own(message.texts, message.slots)),
                any(message.failed for message in messages),
                tuple(given for number in unit.span for given in advice.get(seen.sources[number], ())),
            )
        )
    return told


def _own(texts: Sequence[str], slots: Sequence[str]) -> Sequence[str]:
    printed = set(map(id, slots))
    return [text for text in texts if id(text) not in printed]


def about_now(seen: View) -> list[str]:
    """The last messages, and the last words of a user if they are not among them."""
    last = ["\n".join(message.texts)[:_UNIT_CHARS] for message in seen.messages[-_LAST:]]
    spoken = ["\n".join(message.texts)[:_UNIT_CHARS] for message in seen.messages if message.spoken]
    return [text for text in dict.fromkeys([*last, *spoken[-1:]]) if text.strip()]


def to_embed(told: Sequence[Said]) -> list[str]:
    """What stands for each unit in front of a model of meaning: both ends of what is long."""
    half = _UNIT_CHARS // 4
    return [text if len(text) <= 2 * half else f"{text[:half]}\n{text[-half:]}" for text in (item.text for item in told)]


def factors(told: Sequence[Said], similarity: Sequence[float]) -> dict[str, Sequence[float]]:
    """All six, by name; `similarity` comes from a model or from words."""
    texts = [item.text for item in told]
    return {
        "recency": importance.recency(len(told)),
        "similarity": similarity,
        "learned": importance.learned([item.advice for item in told]),
        "errors": importance.errors(texts, [item.failed for item in told]),
        "references": importance.references(texts, [item.used for item in told]),
        "density": importance.density(texts),
    }


@dataclass(frozen=True)
class ByImportance:
    """The strategy. `scores` has one value per unit, `compress_first` says whether a unit may become smaller to stay."""

    scores: Sequence[float]
    compress_first: bool
    told: Sequence[Said]
    query: str
    count: Count
    name = "intelligent_context"

    def __call__(self, state: State, excess: int) -> Choice:
        free = [number for number, size in enumerate(state.tokens) if size and number not in state.kept]
        room = sum(state.tokens[number] for number in free) - excess
        leave: list[int] = []
        smaller: dict[int, list[Smaller]] = {}
        for number in sorted(free, key=lambda number: (-self.scores[number], -number)):
            size = state.tokens[number]
            if size > room and self.compress_first and (share := self._share(state, number, room)):
                smaller[number], saved = self._smaller(state, number, share)
                size -= saved
            if size <= room:
                room -= size
            else:
                leave.append(number)
                smaller.pop(number, None)
        if room < 0:
            smaller |= self._squeezed(state, -room)
        return Choice(sorted(leave), [item for items in smaller.values() for item in items])

    def _share(self, state: State, number: int, room: int) -> float:
        """The share of its tools' texts with which a unit fits; 0.0 where that is less than says anything."""
        texts = sum(self.count(text) for text in self._texts(state, number).values())
        share = min(_MOST_SHARE, 1 - (state.tokens[number] - room) / texts) if texts else 0.0
        return share if share >= _SHARE else 0.0

    def _squeezed(self, state: State, excess: int) -> dict[int, list[Smaller]]:
        """The tools' texts of units that may not leave, small enough to save `excess` if that can be."""
        found: dict[int, list[Smaller]] = {}
        kept = sorted(state.kept)
        for number in kept:
            if excess <= 0:
                break
            texts = sum(self.count(text) for text in self._texts(state, number).values())
            share = max(0.02, min(_MOST_SHARE, 1 - excess / texts)) if texts else 0.0
            share = share if number == kept[-1] else min(share, _SHARE)
            items, saved = self._smaller(state, number, share)
            if items:
                found[number] = items
                excess -= saved
        return found

    def _texts(self, state: State, number: int) -> dict[tuple[int, int], str]:
        """The texts of tools in a unit as they would be forwarded, by message and slot."""
        done = {(item.message, item.slot): item.text for item in state.cut.smaller}
        there = [message for message in state.units[number].span if message not in state.cut.gone]
        shown = {(message, slot): str(text) for message in there for slot, text in enumerate(state.view.slots(message))}
        return {place: done.get(place, text) for place, text in shown.items()}

    def _smaller(self, state: State, number: int, share: float) -> tuple[list[Smaller], int]:
        """The unit's tool texts at a share of their size, and the tokens that saves."""
        items: list[Smaller] = []
        saved = 0
        for (message, slot), now in self._texts(state, number).items():
            before = self.count(now)
            most = max(_LEAST, round(share * before))
            original = state.view.slot(message, slot)
            if before - most < _WORTH:
                continue
            hash = content_hash(original)
            text = harder(original, self.query, self._used_later[number], most, hash, self.count)
            if text is not None and before - self.count(text) >= _WORTH:
                items.append(Smaller(message, slot, hash, text))
                saved += before - self.count(text)
        return items, saved

    @cached_property
    def _used_later(self) -> list[Collection[str]]:
        """For each unit the names that later units use."""
        later: set[str] = set()
        found: list[Collection[str]] = []
        for item in reversed(self.told):
            found.append(frozenset(later))
            later |= importance.names(item.used)
        return found[::-1]
