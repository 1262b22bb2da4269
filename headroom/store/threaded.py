"""Asyncio's way to a blocking store: the same methods, awaited, on threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from headroom.errors import StoreUnavailable
from headroom.model import Compressed, Original
from headroom.store.base import AnswerStats, BlobStats, Draw, Drawn, Entry, Store

P = ParamSpec("P")
T = TypeVar("T")


class ThreadedStore:
    """A `Store` for an event loop. At most `threads` calls run at once, further ones wait in order.

    A call whose awaiter is cancelled is finished all the same once it has begun.
    """

    def __init__(self, store: Store, threads: int = 2) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")

    async def put_originals(self, scope: str, originals: Iterable[Original]) -> None:
        await self._run(self._store.put_originals, scope, originals)

    async def get_original(self, scope: str, hash: str, count: bool = True) -> Original:
        return await self._run(self._store.get_original, scope, hash, count)

    async def touch_originals(self, scope: str, hashes: Sequence[str]) -> Sequence[str]:
        return await self._run(self._store.touch_originals, scope, hashes)

    async def blob_stats(self) -> BlobStats:
        return await self._run(self._store.blob_stats)

    async def get_results(self, keys: Sequence[str]) -> Mapping[str, Compressed]:
        return await self._run(self._store.get_results, keys)

    async def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        return await self._run(self._store.put_results, results)

    async def get_first(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return await self._run(self._store.get_first, keys)

    async def put_first(self, values: Mapping[str, bytes]) -> Mapping[str, bytes]:
        return await self._run(self._store.put_first, values)

    async def get_answer(self, scope: str, key: str) -> bytes | None:
        return await self._run(self._store.get_answer, scope, key)

    async def put_answer(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        await self._run(self._store.put_answer, scope, key, value, ttl_s)

    async def drop_answers(self, scope: str | None) -> int:
        return await self._run(self._store.drop_answers, scope)

    async def answer_stats(self) -> AnswerStats:
        return await self._run(self._store.answer_stats)

    async def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        return await self._run(self._store.draw, draws, once, once_s)

    async def append(self, log: str, entries: Sequence[bytes], keep: int = 100_000) -> int:
        return await self._run(self._store.append, log, entries, keep)

    async def read_log(self, log: str, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        return await self._run(self._store.read_log, log, after, limit)

    async def get_record(self, table: str, key: str) -> bytes | None:
        return await self._run(self._store.get_record, table, key)

    async def list_records(self, table: str) -> Mapping[str, bytes | None]:
        return await self._run(self._store.list_records, table)

    async def swap_record(self, table: str, key: str, old: bytes | None, new: bytes | None, idle_s: float | None = None) -> bool:
        return await self._run(self._store.swap_record, table, key, old, new, idle_s)

    async def secret(self, name: str) -> bytes:
        return await self._run(self._store.secret, name)

    async def use(self, work: Callable[[Store], T]) -> T:
        """Run `work` with the store itself."""
        return await self._run(work, self._store)

    async def close(self) -> None:
        """Wait for the calls that have begun or wait, then close the store."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._store.close)

    async def _run(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            call: Future[T] = self._threads.submit(method, *args, **kwargs)
        except RuntimeError as failure:
            raise StoreUnavailable("the store is closed") from failure
        return await asyncio.wrap_future(call)
