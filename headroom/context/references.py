"""References to text that stands earlier in a request, under a cut: where that text has left, the reference gives way to its original.

Compression writes them (`repeats.py`, `compressors/json_delta.py`) without knowing what leaves, or has left. Whether one holds
depends on the cut and on what stands before it, so a message reads the same in every later request under that cut. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from headroom.ccr import marker
from headroom.compressors import json_delta
from headroom.context.cut import Cut, Smaller
from headroom.context.view import View
from headroom.dialects.outline import Asked
from headroom.model import content_hash
from headroom.naming import PASTED
from headroom.sections import head_of_output


def whole(seen: View, cut: Cut) -> Cut:
    """The cut with every text as it came that would point at what is not forwarded, also such as came after it was made."""
    return replace(cut, smaller=(*cut.smaller, *restored(seen, cut)))


def restored(seen: View, cut: Cut) -> Iterator[Smaller]:
    """The tools' texts that point at something which is not forwarded under this cut, as they came."""
    gone, done = cut.gone, {(item.message, item.slot): item.text for item in cut.smaller}
    if not gone and not done:
        return
    before = _Before()
    made: dict[str, Asked] = {}
    for number, message in enumerate(seen.messages):
        made |= {call.id: call for call in message.calls}
        left, calls = number in gone, frozenset((made[id].tool, made[id].arguments) for id in message.answers if id in made)
        before.torn = before.torn or (left and any(text.readable is not None for text in before.printed))
        for slot, text in enumerate(seen.slots(number)):
            original = seen.slot(number, slot)
            readable = done.get((number, slot), text)
            if (number, slot) not in done and text != original and marker.refers(text):
                readable = original
                if not left and not before.holds(text, original):
                    yield Smaller(number, slot, content_hash(original), original)
            unchanged = (number, slot) not in done or readable == original
            before.printed.append(_Printed(_body(original), None if left else _body(readable), unchanged, calls))
        if not left and message.side == "user":
            printed = set(map(id, (came := seen.came[seen.sources[number]]).slots))
            before.pasted += [text for text in came.texts if id(text) not in printed]


@dataclass(frozen=True, slots=True)
class _Printed:
    """A text of a tool as it came. `readable` is what of it can be read where it stands, None where it left; `unchanged` says that this is
    what compression made of it, or all of it; `calls` are those that its message answers.
    """

    text: str
    readable: str | None
    unchanged: bool
    calls: frozenset[tuple[str, str]]

    def has(self, lines: Sequence[str], at: int) -> bool:
        """Whether these are its lines from the one numbered `at`, from 1."""
        return "\n".join(lines) in self.text and self.text.split("\n")[at - 1 : at - 1 + len(lines)] == lines


@dataclass
class _Before:
    """What stands before a text. `torn` says that something has left from between results that stay, so that they cannot be counted."""

    printed: list[_Printed] = field(default_factory=list)
    pasted: list[str] = field(default_factory=list)
    torn: bool = False

    def holds(self, text: str, original: str) -> bool:
        """Whether all that a text refers to can be read."""
        original, counted = _body(original), marker.counts_back(text)
        if marker.refers_to_object(text):
            sign = json_delta.signature(original)
            states = [printed for printed in self.printed if json_delta.signature(printed.text) == sign]
            return self._readable([state for state in states if state.text == states[0].text], states[0].text, counted) if states else False
        lines = original.split("\n")
        return all(self._stand(lines[start - 1 : end], at, name, counted) for (start, end), at, name in marker.references(text))

    def _stand(self, lines: list[str], at: int, name: str, counted: bool) -> bool:
        run = "\n".join(lines)
        if name == PASTED:
            return any(run in text for text in self.pasted)
        return self._readable([printed for printed in self.printed if printed.has(lines, at)], run, counted)

    def _readable(self, places: Sequence[_Printed], run: str, counted: bool) -> bool:
        """Whether a run can be read in the first of the places that have it, or in another result of the same call."""
        if not places:
            return False
        first, *others = places
        if first.readable is not None and (first.unchanged or run in first.readable):
            return not (counted and self.torn)
        return not counted and any(run in other.readable and other.calls & first.calls for other in others if other.readable is not None)


def _body(text: str) -> str:
    """A tool's text as it is compressed: without the head that an agent has put above it."""
    return text[head_of_output(text) :]
