"""Makes the next cut: whole units leave, by a strategy, until the conversation fits with a reserve.

What leaves is said by a marker in its place and given back by its hash: the caller stores the originals first. A cut
holds all that earlier ones held; a run of messages that did not grow keeps its marker, so what stands before the
first change keeps its bytes. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from headroom.ccr import marker
from headroom.context.about import about
from headroom.context.cut import Cut, Run, Smaller, ranges
from headroom.context.references import whole
from headroom.context.units import Protection, Unit, protections, units
from headroom.context.view import Blocks, Count, View, size, sizes
from headroom.context.windows import Room
from headroom.model import Original, content_hash

TOO_MUCH_PROTECTED = "context_protected_exceeds_window"
_ROUNDS = 6  # markers have a size too, so what is picked may have to be a little more


@dataclass(frozen=True, slots=True)
class State:
    """What a strategy chooses from: `tokens` per unit as things are, 0 for one that has left; `kept` may not leave."""

    view: View
    units: Sequence[Unit]
    tokens: Sequence[int]
    kept: frozenset[int]
    cut: Cut


@dataclass(frozen=True, slots=True)
class Choice:
    """Numbers of the units that leave, and the tools' texts that become smaller, beside those of before."""

    leave: Sequence[int] = ()
    smaller: Sequence[Smaller] = ()


class Strategy(Protocol):
    @property
    def name(self) -> str:
        """As it is called in statistics."""

    def __call__(self, state: State, excess: int) -> Choice:
        """What saves `excess` tokens, or as much as there is to save."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A cut and the originals it refers to for the first time, or a reason why there is none."""

    cut: Cut | None
    originals: Sequence[Original] = ()
    reason: str = ""


def next_cut(seen: View, before: Cut, blocks: Blocks, room: Room, turns: int, strategy: Strategy, count: Count) -> Fitted:
    """The cut after `before` (an empty one if there is none yet). `turns` user messages at the end are protected if they fit."""
    found = units(seen.messages, seen.sources)
    now = sizes(seen, before, blocks, count)
    tokens = [sum(now[number] for number in unit.span) for unit in found]
    kept = _protection(protections(seen.messages, found, turns), tokens, seen.beside, room).kept
    state = State(seen, found, tokens, kept, before)
    over = excess = size(seen, before, blocks, count) - room.target
    best: Cut | None = None
    for _ in range(_ROUNDS):
        choice = strategy(state, excess)
        best = _cut(seen, before, found, choice, strategy.name)
        over = size(seen, best, blocks, count) - room.target
        if over <= 0:
            break
        excess += over
    if best is None or over + room.target > room.limit:
        return Fitted(None, reason=TOO_MUCH_PROTECTED)
    return Fitted(best, _originals(seen, before, best, count))


def _protection(choices: Sequence[Protection], tokens: Sequence[int], beside: int, room: Room) -> Protection:
    """The widest under which the conversation can still fit."""
    for most in (room.target, room.trigger):
        for choice in choices:
            if beside + sum(tokens[number] for number in choice.kept) <= most:
                return choice
    return choices[-1]


def _cut(seen: View, before: Cut, found: Sequence[Unit], choice: Choice, by: str) -> Cut:
    gone = before.gone.union(number for unit in choice.leave for number in found[unit].span)
    known = {(run.start, run.end): run for run in before.runs}
    runs = tuple(known.get(place) or _run(seen, *place) for place in ranges(gone))
    smaller = {(item.message, item.slot): item for item in (*before.smaller, *choice.smaller) if item.message not in gone}
    return whole(seen, Cut(len(seen.came), runs, tuple(smaller.values()), by))


def _run(seen: View, start: int, end: int) -> Run:
    hash = content_hash(run_text(seen, start, end))
    came = seen.came[seen.sources[start] : seen.sources[end - 1] + 1]
    return Run(start, end, hash, marker.messages_left_out(len(came), about(came), hash))


def run_text(seen: View, start: int, end: int) -> str:
    """The messages that start..end stand for, exactly as they came, as a JSON array."""
    first, last = seen.came[seen.sources[start]], seen.came[seen.sources[end - 1]]
    return f"[{seen.came_text[first.start : last.end]}]"


def originals(seen: View, cut: Cut, count: Count) -> list[Original]:
    """Everything that a cut refers to, as it can be read back."""
    found = [
        Original(
            run.hash,
            run_text(seen, run.start, run.end),
            "conversation",
            sum(seen.tokens[run.start : run.end]),
            seen.sources[run.end - 1] - seen.sources[run.start] + 1,
        )
        for run in cut.runs
    ]
    for item in cut.smaller:
        text = seen.slot(item.message, item.slot)
        lines = text.count("\n") + 1
        found.append(Original(item.hash, text, "", count(text), lines, min(lines, item.text.count("\n") + 1)))
    return found


def _originals(seen: View, before: Cut, cut: Cut, count: Count) -> list[Original]:
    known = set(before.hashes)
    return [original for original in originals(seen, cut, count) if original.hash not in known]
