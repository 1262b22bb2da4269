"""The Compressor deployment: the work behind the hop, on threads of a replica, and the ingress's way to it.

A replica compresses under one interpreter lock: threads keep a small job from waiting behind a
large one, replicas use more cores. A job whose caller is gone is finished all the same once it has
begun: its result is remembered for requests to come, unless its absence was remembered first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.learning import open_learning
from headroom.model import Job, JobResult, Policy
from headroom.proxy.compress import Compress, Degraded
from headroom.proxy.processes import HARD_LIMIT_S, settle, warm_up_job
from headroom.settings import Settings
from headroom.store import open_store
from headroom.worker import Worker
from serve_app.logs import join_serve_logs
from serve_app.tiers import Tier

_PING_TIMEOUT_S = 30.0
_PING_PAUSE_S = 1.0
Q = TypeVar("Q")
R = TypeVar("R")


class Compressor:
    """The deployment: compresses at most `threads` jobs at a time; warm when its constructor returns."""

    def __init__(self, settings: Settings, threads: int) -> None:
        join_serve_logs()
        store = open_store(settings)
        self._worker = Worker(store, settings.vocabulary_dir, open_learning(store, settings))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="compress")
        self._began: dict[int, float] = {}
        self._check = warm_up_job(settings.compression.policy)
        self._worker.run(self._check)
        settle()

    async def __call__(self, job: Job) -> JobResult:
        return await self._threaded(self._worker.run, job)

    async def cut(self, outgrown: Outgrown) -> Fitted:
        """What leaves a conversation that no longer fits its model."""
        return await self._threaded(self._worker.cut, outgrown)

    async def check_health(self) -> None:
        """Raises when a job hangs or a small one fails; Serve then replaces this replica."""
        oldest = min(self._began.copy().values(), default=time.monotonic())
        if time.monotonic() - oldest > HARD_LIMIT_S:
            raise RuntimeError(f"a job has not ended after {HARD_LIMIT_S:.0f} s")
        await asyncio.to_thread(self._worker.run, self._check)

    async def _threaded(self, work: Callable[[Q], R], asked: Q) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work, asked)

    def _timed(self, work: Callable[[Q], R], asked: Q) -> R:
        self._began[id(asked)] = time.monotonic()
        try:
            return work(asked)
        finally:
            del self._began[id(asked)]


class RemoteCompress(Compress):
    """Compress in the Compressor deployment; ready once a first job came back."""

    def __init__(
        self,
        tier: Tier[Job, JobResult],
        cutting: Tier[Outgrown, Fitted],
        policy: Policy,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tier = tier
        self._cutting = cutting
        self._policy = policy
        self._pause = pause
        self._ready = False
        self._pinging: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._ready

    async def start(self) -> None:
        self._pinging = asyncio.create_task(self._until_ready())

    async def close(self) -> None:
        if self._pinging:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        done = await self._tier(job, timeout_s)
        self._ready = True
        return done

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        return await self._cutting(outgrown, timeout_s)

    async def _until_ready(self) -> None:
        while not self._ready:
            try:
                await self(warm_up_job(self._policy), _PING_TIMEOUT_S)
            except Degraded:
                await self._pause(_PING_PAUSE_S)
