"""Work that is finished also where whoever waits for it is cancelled: what it took from a store is then known, and can go back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Finishing:
    """For one event loop. Keeps what runs, until it is over."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], late: Callable[[T], None] = lambda _: None) -> T:
        """What `work` returns or raises; `late` is given what it returns where whoever waits here is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: None if done.cancelled() or done.exception() else late(done.result()))
            raise

    async def close(self) -> None:
        """Returns when all of it is over."""
        while self._tasks:
            await asyncio.wait(self._tasks)
