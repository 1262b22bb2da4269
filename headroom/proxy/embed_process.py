"""The embedded face's embedding model: one process beside the server, started when the first vector is asked for.

Vectors are remembered on this side, so known texts do not cross.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.proxy.compress import Degraded
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.model_process import ModelProcess
from headroom.scoring.embedding import Embedder, EmbeddingMemo, Lookup, check, joined
from headroom.settings import Settings

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors

RETRY_S = 10.0  # after a process that died
_log = logging.getLogger(__name__)


def embedded_embed(settings: Settings) -> Embed:
    """What the settings name."""
    scoring = settings.scoring
    return ProcessEmbed(scoring.spec, scoring.cache_entries) if scoring.enabled else NoEmbed()


class ProcessEmbed(Embed):
    """Embed in a process of this server; calls wait in order, and leave the queue when their time is over."""

    def __init__(self, spec: ModelSpec, entries: int, retry_s: float = RETRY_S) -> None:
        self._spec = spec
        self._retry_s = retry_s
        self._memo = EmbeddingMemo(entries)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._process: ModelProcess | None = None
        self._absent: ModelUnavailable | None = None
        self._loaded = False
        self._rests_until = 0.0
        self._checking: asyncio.Task[None] | None = None

    @property
    def enabled(self) -> bool:
        return self._absent is None

    @property
    def ready(self) -> bool:
        return self._loaded

    @property
    def status(self) -> str:
        if self._absent:
            return f"{self._absent.reason}: {self._absent.message}; scores by words alone"
        if self._loaded:
            return "ready"
        return "loading" if self._process else "loads when it is needed"

    async def start(self) -> None:
        self._checking = asyncio.create_task(asyncio.to_thread(self._check))

    async def close(self) -> None:
        if self._checking:
            await asyncio.gather(self._checking, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._process:
            await asyncio.to_thread(self._process.end)

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        found = self._memo.lookup(texts)
        if not found.missing:
            return joined(found)
        if self._absent:
            raise Degraded(self._absent.reason)
        was_loaded = self._loaded
        call = self._thread.submit(self._compute, found)
        waiting = asyncio.wrap_future(call)
        try:
            await asyncio.wait({waiting}, timeout=timeout_s)
        finally:
            call.cancel()  # without effect once it has begun
            waiting.add_done_callback(_taken)
        if not waiting.done() or waiting.cancelled():
            raise Degraded("deadline" if was_loaded else "starting")
        return joined(found, waiting.result())

    def _check(self) -> None:
        try:
            check(self._spec)
        except ModelUnavailable as failure:
            self._gone(failure)

    def _gone(self, failure: ModelUnavailable) -> None:
        _log.warning("no embeddings: %s", failure.message)
        self._absent = failure

    def _compute(self, found: Lookup) -> Vectors:
        """On the one thread. Raises Degraded."""
        if time.monotonic() < self._rests_until:
            raise Degraded("worker_died")
        try:
            vectors: Vectors = self._running().ask(list(found.missing.values()))
        except ModelUnavailable as failure:
            self._gone(failure)
            self._end()
            raise Degraded(failure.reason) from None
        except (OSError, EOFError) as failure:
            _log.warning("the process that embeds gave no answer: %r", failure)
            self._rests_until = time.monotonic() + self._retry_s
            self._end()
            raise Degraded("worker_died") from None
        self._memo.remember(found, vectors)
        return vectors

    def _running(self) -> ModelProcess:
        if self._process is None:
            self._process = ModelProcess("headroom-embed", Embedder, self._spec)
            self._process.loaded()
            self._loaded = True
        return self._process

    def _end(self) -> None:
        process, self._process, self._loaded = self._process, None, False
        if process:
            process.end()


def _taken(call: asyncio.Future[Vectors]) -> None:
    """A failure that nobody waits for any more has been logged."""
    if not call.cancelled():
        call.exception()
