"""A finished answer as each API tells it, streamed or whole, and the way from one form to the other. Sans-I/O.

Only answers are followed that consist of words: whatever else a stream may hold (calls, sound,
blocks not known here) makes `whole` say None, and that answer is told in no other form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from headroom.model import Call

Event = dict[str, Any]


class AnswerForm(Protocol):
    """One API's answers. `Event` and whole answers are JSON objects."""

    def tells_usage(self, call: Call) -> bool:
        """Whether the answer to this call, in the form it asks for, says what was billed."""

    def usage_told(self, whole: Event) -> bool: ...

    def whole(self, events: Sequence[bytes]) -> Event | None:
        """The answer that the data of a stream's events tell; None when it is cut off, an error, or more than words."""

    def is_final(self, whole: Event) -> bool:
        """Whether the model ended it by itself, with words: no call, nothing truncated, filtered or refused."""

    def events(self, whole: Event, usage: bool) -> Iterator[bytes]:
        """The frames of a stream that tells this answer; with what was billed if `usage`."""


def frame(event: Event, name: str = "") -> bytes:
    """One event as bytes."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def objects(events: Sequence[bytes]) -> list[Event] | None:
    """The events, parsed; None when one is not a JSON object."""
    found = []
    for data in events:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(event, dict):
            return None
        found.append(event)
    return found


def part(event: Any, key: str) -> Event:
    """An object within an object, empty when there is none."""
    value = event.get(key) if isinstance(event, dict) else None
    return value if isinstance(value, dict) else {}


def parts(event: Any, key: str) -> list[Event]:
    """The objects of a list within an object; one that is odd becomes an empty object, so that nothing is overlooked."""
    value = event.get(key) if isinstance(event, dict) else None
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []
