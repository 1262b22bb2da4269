"""Answers to questions that ask the same in other words: looked up under a budget, learned behind the answer.

`Neighbours` is what differs between the faces: an index in this process, or the SemanticCache deployment. The vector comes from
`Embed`, the log from the store. Whatever fails or is late is a miss with a reason; a question that cannot be learned is not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from headroom.cache.follower import open_follower, open_index
from headroom.cache.question import Lone
from headroom.cache.semantic import Clearing, Entry, Found, Query, append
from headroom.errors import StoreUnavailable
from headroom.proxy.compress import Degraded
from headroom.proxy.embed import Embed
from headroom.settings import Settings
from headroom.store.base import Store
from headroom.store.threaded import ThreadedStore

TIER = "semantic_cache"
_LEARN_TIMEOUT_S = 60.0  # a model may have to be loaded first
_WAITING = 1000  # questions that wait to be learned; further ones are not
_AT_ONCE = 32
_log = logging.getLogger(__name__)


class Neighbours(Protocol):
    """An index of earlier questions."""

    async def __call__(self, query: Query, timeout_s: float) -> Found | None:
        """Raises Degraded when there is no answer in time."""

    @property
    def ready(self) -> bool: ...

    @property
    def status(self) -> str:
        """One line for a person."""

    def nudge(self) -> None:
        """Something was appended to the log."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Learned:
    scope: str
    lone: Lone
    key: str
    at: float


class Similar:
    """One per process."""

    def __init__(self, settings: Settings, embed: Embed, store: ThreadedStore, neighbours: Neighbours) -> None:
        self._cache = settings.cache
        self._embed = embed
        self._store = store
        self._neighbours = neighbours
        self._waiting: asyncio.Queue[Learned] = asyncio.Queue(_WAITING)
        self._learning: asyncio.Task[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether there are vectors, as far as is known."""
        return self._embed.enabled

    @property
    def enabled(self) -> bool:
        """Whether questions are looked up where no rule says otherwise."""
        return self._cache.enabled and self._cache.semantic and self._embed.enabled

    @property
    def ready(self) -> bool:
        return self.enabled and self._neighbours.ready

    @property
    def status(self) -> str:
        if not self._cache.enabled or not self._cache.semantic:
            return "off"
        return self._neighbours.status if self._embed.enabled else self._embed.status

    async def find(self, lone: Lone, threshold: float) -> Found | None:
        """The earlier question whose answer may be given. Raises Degraded when that is not known in time."""
        ends = time.monotonic() + self._cache.lookup_ms / 1000
        (vector,) = await self._embed([lone.text], self._cache.lookup_ms / 1000)
        left = ends - time.monotonic()
        if left <= 0:
            raise Degraded("deadline")
        return await self._neighbours(Query(self._namespace(lone), lone.text, vector, threshold), left)

    def _namespace(self, lone: Lone) -> str:
        """Where its last vector may be compared: with those of the same model on the same engine."""
        return f"{lone.namespace}-{self._embed.model}"

    def learn(self, scope: str, lone: Lone, key: str) -> None:
        """A question whose answer stands under this key; returns at once."""
        if not self._waiting.full():
            self._waiting.put_nowait(Learned(scope, lone, key, time.time()))

    async def clear(self, scope: str | None) -> None:
        """Forget what a scope has asked, or everybody. Raises StoreUnavailable."""
        if self._embed.enabled:
            await self._append([Clearing(scope)])

    async def start(self) -> None:
        if self.usable:
            await self._neighbours.start()
            self._learning = asyncio.create_task(self._learn())

    async def close(self) -> None:
        """What waits to be learned is lost. The store must still be open."""
        if self._learning:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
            await self._neighbours.close()

    async def _learn(self) -> None:
        while True:
            some = [await self._waiting.get()]
            while not self._waiting.empty() and len(some) < _AT_ONCE:
                some.append(self._waiting.get_nowait())
            try:
                vectors = await self._embed([one.lone.text for one in some], _LEARN_TIMEOUT_S)
                await self._append(
                    [
                        Entry(self._namespace(one.lone), one.scope, one.key, one.lone.text, one.at, row)
                        for one, row in zip(some, vectors, strict=True)
                    ]
                )
            except Degraded as degraded:
                _log.info("%d questions were not learned: %s", len(some), degraded.reason)
            except StoreUnavailable as failure:
                _log.warning("%d questions were not learned: %s", len(some), failure.message)

    async def _append(self, items: list[Entry | Clearing]) -> None:
        await self._store.use(lambda store: append(store, items, self._cache.semantic_entries))
        self._neighbours.nudge()


class LocalNeighbours(Neighbours):
    """The index in this process; asked on one thread."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._index = open_index(settings)
        self._follower = open_follower(self._index, store, settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neighbours")

    @property
    def ready(self) -> bool:
        return self._follower.ready

    @property
    def status(self) -> str:
        return f"{self._index.entries:,} questions" if self.ready else "reads its log"

    def nudge(self) -> None:
        self._follower.nudge()

    async def start(self) -> None:
        self._follower.start()

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._follower.close)

    async def __call__(self, query: Query, timeout_s: float) -> Found | None:
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._index.find, query)
        try:
            return await asyncio.wait_for(call, timeout_s)
        except TimeoutError:
            raise Degraded("deadline") from None
