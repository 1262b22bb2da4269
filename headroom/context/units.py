"""Which messages can only leave together, and which may not leave at all.

A unit is a tool call with all its results and the reasoning that led to it, a user's message with the answer that followed at
once, or a single message.
Leaving out whole units keeps every call with its results. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headroom.dialects.outline import Message


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages start..end (end excluded) of the conversation."""

    start: int
    end: int

    @property
    def span(self) -> range:
        return range(self.start, self.end)


def units(messages: Sequence[Message], sources: Sequence[int] = ()) -> list[Unit]:
    """All messages in units, in order, each in exactly one. Messages with the same number in `sources` are not parted."""
    found: list[Unit] = []
    position = 0
    last_answer = _last_answers(messages)
    while position < len(messages):
        end = _end(messages, position, last_answer)
        while end < len(sources) and sources[end] == sources[end - 1]:
            end = max(end + 1, _end(messages, end, last_answer))
        found.append(Unit(position, end))
        position = end
    return found


def _last_answers(messages: Sequence[Message]) -> dict[int, int]:
    """Message with calls -> the last message that answers one of them. An id used twice belongs to the call before the answer."""
    made: dict[str, int] = {}
    last: dict[int, int] = {}
    for number, message in enumerate(messages):
        for answer in message.answers:
            if answer in made:
                last[made[answer]] = number
        made |= {call.id: number for call in message.calls}
    return last


def _end(messages: Sequence[Message], start: int, last_answer: dict[int, int]) -> int:
    first = messages[start]
    if first.role == "user" and first.spoken and start + 1 < len(messages):
        answer = messages[start + 1]
        return start + 2 if answer.side == "assistant" and not answer.calls and not answer.leads else start + 1
    end = position = start
    while position <= end:  # what stands between a call and its results goes with them
        end = max(end, last_answer.get(position, position), position + messages[position].leads)
        end = min(end, len(messages) - 1)
        position += 1
    return end + 1


@dataclass(frozen=True, slots=True)
class Protection:
    """Numbers of units: `kept` never leave; `fixed` of them cannot even become smaller."""

    kept: frozenset[int]
    turns: int


def protections(messages: Sequence[Message], found: Sequence[Unit], turns: int) -> list[Protection]:
    """From the widest that is asked for to the narrowest that makes sense; the first that leaves enough room is the one.

    The widest protects instructions and everything from the last `turns` user messages on, the narrowest instructions,
    the last user message and the last unit.
    """
    spoken = [number for number, unit in enumerate(found) if any(messages[n].spoken for n in unit.span)]
    always = {number for number, unit in enumerate(found) if any(not messages[n].side for n in unit.span)}
    always |= {len(found) - 1, *spoken[-1:]}
    wide = [
        Protection(frozenset(always | set(range(spoken[-count], len(found)))), count) for count in range(min(turns, len(spoken)), 0, -1)
    ]
    return [*wide, Protection(frozenset(always), 0)]
