"""What a turn asks of the messages that left: excerpts behind its last message, as for what compression cut.

A block is made once, for the turn a request ends with, from what had left by then; later turns and other replicas find
it under a key over everything before it and forward the same bytes. A turn that has none by then never gets one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from headroom.ccr import messages
from headroom.context.cut import Cut
from headroom.context.view import Blocks, View
from headroom.conversation import NOTHING
from headroom.dialects.gaps import can_append
from headroom.model import Compressed, Job, Policy, Recall, SourceRef, Turn
from headroom.proxy.compress import Degraded
from headroom.proxy.services import Services

_LEAST = 120  # tokens; less says nothing
_CALL_CHARS = 1000  # of a call's arguments, as what its results are about
Asked = tuple[Turn, Compressed]  # a turn and what it recalled of what compression cut


@dataclass
class AskedBack:
    """The blocks of one request. `keys` has a key per message as it came, over all up to it."""

    services: Services
    model: str
    scope: str
    seen: View
    keys: Sequence[str]
    turns: Sequence[Asked]
    places: list[int] = field(init=False)  # of each turn the message, as it came, that it ends with
    degraded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        starts = [message.start for message in self.seen.came]
        self.places = [bisect_right(starts, turn.slot[0]) - 1 for turn, _ in self.turns]

    def _key(self, place: int) -> str:
        return f"{self.keys[place]}:asked"

    async def known(self, first: int) -> Blocks:
        """By forwarded message, for the turns before this one, since the request of `first` messages made the first cut.

        The block of this turn must not count when it is decided whether to cut: a repeated request has it already.
        """
        wanted = {self._key(place): place for place in self.places if first - 1 <= place < len(self.keys) - 1}
        found = await self.services.replay.lookup(self.scope, list(wanted), {})
        return {self._shown_at(wanted[key]): result.text for key, result in found.items() if result.text}

    def _shown_at(self, place: int) -> int:
        """The last forwarded message that came from this one."""
        return bisect_right(self.seen.sources, place) - 1

    async def now(self, cut: Cut, blocks: Blocks, most: int, timeout_s: float) -> Blocks:
        """`blocks`, and the one of the turn that this request ends with; at most `most` tokens."""
        if not self.places or self.places[-1] != len(self.keys) - 1 or not can_append(self.seen.messages[-1]):
            return blocks
        key = self._key(self.places[-1])
        result = (await self.services.replay.lookup(self.scope, [key], {})).get(key)
        if result is None:
            result = await self._made(key, cut, blocks, most, timeout_s)
        return {**blocks, len(self.seen.messages) - 1: result.text} if result.text else blocks

    async def _made(self, key: str, cut: Cut, blocks: Blocks, most: int, timeout_s: float) -> Compressed:
        sources = _sources(self.seen, cut)
        if most < _LEAST or not sources:
            return (await self.services.replay.pin([key], NOTHING))[key]
        turn, recalled = self.turns[-1]
        gone = cut.gone
        shown = [Compressed(text) for number, text in blocks.items() if number not in gone]
        before = [Recall("", "", 0, turn.spoken, known) for known in (*shown, recalled) if known.text]
        asked = Recall(key, turn.query, len(sources), turn.spoken, most=most)
        job = Job((), Policy(), self.scope, self.model, sources=sources, recalls=(*before, asked))
        try:
            result = (await self.services.compress(job, timeout_s)).recalled[0]
        except Degraded as degraded:
            self.degraded.append(degraded.reason)
            return (await self.services.replay.pin([key], NOTHING))[key]
        self.services.replay.remember({key: result})
        return result


def _sources(seen: View, cut: Cut) -> tuple[SourceRef, ...]:
    """All that is not readable under a cut, as what compression cut is searched."""
    gone = cut.gone
    left = [
        ("", Compressed(run.marker, messages.TRANSFORM, "", sum(seen.tokens[run.start : run.end]), 0, run.hash, run.end - run.start))
        for run in cut.runs
    ]
    made = {call.id: f"{call.tool}({call.arguments[:_CALL_CHARS]})" for message in seen.messages for call in message.calls}
    for item in cut.smaller:
        if item.message not in gone:
            size = len(seen.slot(item.message, item.slot)) // 4
            about = "\n".join(made[id] for id in seen.messages[item.message].answers if id in made)
            left.append((about, Compressed(item.text, "text", "", size, len(item.text) // 4, item.hash, 1)))
    return tuple(SourceRef(number, known.hash, known, about) for number, (about, known) in enumerate(left))
