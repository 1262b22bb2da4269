"""Requests on their way to a provider, so that one that asks the same meanwhile can wait for their answer. For one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

Place = tuple[str, str]  # scope and key of the answer


class Flights:
    def __init__(self) -> None:
        self._over: dict[Place, asyncio.Event] = {}

    async def wait(self, place: Place) -> bool:
        """Returns when the request for this answer is over, however it ended; False at once when there is none."""
        over = self._over.get(place)
        if over:
            await over.wait()
        return over is not None

    @contextmanager
    def lead(self, place: Place) -> Iterator[None]:
        """Others wait while this runs; without effect beside another that leads already."""
        if place in self._over:
            yield
            return
        over = self._over[place] = asyncio.Event()
        try:
            yield
        finally:
            del self._over[place]
            over.set()
