"""Requests on their way to a provider, so that one that asks the same meanwhile can wait for their answer. For one event loop.

No wait is endless: a client may read its answer as slowly as it likes. Of those that have waited long enough the first asks the provider
itself, and the others wait once more, for either answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE_S = 30.0
Place = tuple[str, str]  # scope and key of the answer


@dataclass
class _Flight:
    over: asyncio.Event = field(default_factory=asyncio.Event)
    leaders: int = 0
    taken_over: int = 0  # how often one that waited stopped, to ask itself


class Flights:
    """`patience_s`: how long one waits, and how long once more where another stopped waiting just then."""

    def __init__(self, patience_s: Sequence[float] = (PATIENCE_S, PATIENCE_S)) -> None:
        self._patience_s = patience_s
        self._flights: dict[Place, _Flight] = {}

    async def wait(self, place: Place) -> bool:
        """Whether a request for this answer is over, however it ended; False at once when there is none, later when patience is over."""
        flight = self._flights.get(place)
        if flight is None:
            return False
        for patience_s in self._patience_s:
            taken_over = flight.taken_over
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await flight.over.wait()
                return True
            if flight.taken_over == taken_over:
                flight.taken_over += 1
                break
        return False

    @contextmanager
    def lead(self, place: Place) -> Iterator[None]:
        """Others wait while this runs; where several lead, until one of them is over, or all have failed."""
        flight, ended = self._flights.setdefault(place, _Flight()), False
        flight.leaders += 1
        try:
            yield
            ended = True
        finally:
            flight.leaders -= 1
            if ended or not flight.leaders:
                flight.over.set()
                if self._flights.get(place) is flight:
                    del self._flights[place]
