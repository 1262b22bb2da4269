"""What a cut says: which messages of a conversation are left out, and which tools' texts became smaller, from now on.

A cut is made once, at the request whose conversation no longer fitted, and remembered under a key that covers all of
that request's messages. Every later request of the conversation finds it by its own prefix, whichever replica it
meets, and forwards the same bytes until the reserve is used up; the next cut only adds. Sans-I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from headroom.model import Compressed

VERSION = 1


@dataclass(frozen=True, slots=True)
class Run:
    """Messages start..end (end excluded) are left out; `hash` gives them back, `marker` stands in their place."""

    start: int
    end: int
    hash: str
    marker: str


@dataclass(frozen=True, slots=True)
class Smaller:
    """The text of a tool, by message and slot, that is forwarded as `text`; `hash` gives it back."""

    message: int
    slot: int
    hash: str
    text: str


@dataclass(frozen=True, slots=True)
class Cut:
    """All that is left out after this cut, earlier cuts included.

    `messages` is how many the request had that made it, 0 for no cut at all; `by` is the strategy that chose.
    """

    messages: int
    runs: tuple[Run, ...] = ()
    smaller: tuple[Smaller, ...] = ()
    by: str = ""

    @property
    def gone(self) -> frozenset[int]:
        """The numbers of the messages that are left out."""
        return frozenset(number for run in self.runs for number in range(run.start, run.end))

    @property
    def hashes(self) -> list[str]:
        """Every hash that what is forwarded refers to."""
        gone = self.gone
        return list(dict.fromkeys([run.hash for run in self.runs] + [s.hash for s in self.smaller if s.message not in gone]))


def encode(cut: Cut) -> Compressed:
    """As a result that the store remembers, first writer wins."""
    return Compressed(json.dumps({"version": VERSION, **asdict(cut)}), "context")


def decode(result: Compressed) -> Cut | None:
    """None for what another version wrote."""
    try:
        values = json.loads(result.text or "")
        if values.pop("version") != VERSION:
            return None
        runs = tuple(Run(**run) for run in values.pop("runs"))
        smaller = tuple(Smaller(**item) for item in values.pop("smaller"))
        return Cut(values["messages"], runs, smaller, values["by"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def ranges(numbers: Iterable[int]) -> Sequence[tuple[int, int]]:
    """The numbers as (start, end) ranges that do not touch, in order."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = found[-1][0], number + 1
        else:
            found.append((number, number + 1))
    return found
