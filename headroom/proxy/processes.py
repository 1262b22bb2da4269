"""The embedded face's compressor: worker processes of the server.

Neither the event loop nor another request's stream waits for compression. A job that outlives its
deadline goes on in the background: its result is remembered for requests to come, unless the
deadline was remembered first.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from typing import Any, TypeVar

import anyio
import anyio.to_process

from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.learning import open_learning
from headroom.model import Job, JobResult, Policy, Segment
from headroom.proxy.compress import Degraded
from headroom.proxy.heap import give_back
from headroom.settings import Settings
from headroom.store import open_store
from headroom.worker import Worker

HARD_LIMIT_S = 60.0  # a process still busy with one job after this is killed
_NICENESS = 5
_RETRY_S = 1.0  # after a process that did not start
_log = logging.getLogger(__name__)
Q = TypeVar("Q")
R = TypeVar("R")


def settle() -> None:
    """What a process that compresses does once it can: it stands back behind those that relay streams, where there is no processor to
    spare, spares the garbage collector what stays for its life (jobs leave few cycles, so that may come seldom), and keeps no room for the
    largest job it ever had.
    """
    os.nice(_NICENESS)
    give_back()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@functools.cache
def _worker(settings: Settings) -> Worker:
    store = open_store(settings)  # makes the home directory
    handler = RotatingFileHandler(settings.home / "worker.log", maxBytes=1_000_000, backupCount=1, delay=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[handler])
    worker = Worker(store, settings.vocabulary_dir, open_learning(store, settings))
    settle()
    return worker


def run_job(job: Job, settings: Settings) -> JobResult:
    """Runs inside a worker process, which keeps its store and vocabulary, and logs to a file: it has no terminal."""
    return _worker(settings).run(job)


def run_cut(outgrown: Outgrown, settings: Settings) -> Fitted:
    """The same for a conversation that no longer fits."""
    return _worker(settings).cut(outgrown)


def warm_up_job(policy: Policy) -> Job:
    """A small job that loads everything a worker needs, shows that it works, and leaves nothing behind."""
    text = "[" + ",".join(f'{{"id":{n},"name":"warm-up","state":"ok"}}' for n in range(100)) + "]"
    return Job((Segment(text, (0, 0)),), policy, scope="warm-up", model="", trial=True)


class WorkerProcesses:
    """Compress in `settings.compression.processes` processes of this server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.compression.processes)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._warming: asyncio.Task[None] | None = None
        self._ready = False

    @property
    def ready(self) -> bool:
        return self._ready

    async def start(self) -> None:
        self._warming = asyncio.create_task(self._warm_up())

    async def close(self) -> None:
        unfinished = [*self._tasks, *([self._warming] if self._warming else [])]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        return await self._asked(run_job, job, timeout_s)

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        return await self._asked(run_cut, outgrown, timeout_s)

    async def _asked(self, function: Callable[[Q, Settings], R], asked: Q, timeout_s: float) -> R:
        began = asyncio.Event()
        task = self._spawn(function, asked, began)
        try:
            await asyncio.wait({task}, timeout=timeout_s)
        finally:
            if not began.is_set():
                task.cancel()  # nobody waits for it any more, and it holds its texts
        if not task.done() or task.cancelled():
            raise Degraded("deadline")
        failure = task.exception()
        if failure is None:
            return task.result()
        raise failure if isinstance(failure, Degraded) else Degraded("failed") from failure

    async def _warm_up(self) -> None:
        """Ready is who has done a job; tried until it succeeds."""
        while not self._ready:
            await asyncio.wait({self._spawn(run_job, warm_up_job(self._settings.compression.policy), asyncio.Event())})
            if not self._ready:
                await asyncio.sleep(_RETRY_S)

    def _spawn(self, function: Callable[[Q, Settings], R], asked: Q, began: asyncio.Event) -> asyncio.Task[R]:
        task = asyncio.create_task(self._run(function, asked, began))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            _log.warning("compression gave no result: %r", failure)

    async def _run(self, function: Callable[[Q, Settings], R], asked: Q, began: asyncio.Event) -> R:
        async with self._slots:
            began.set()
            try:
                with anyio.fail_after(HARD_LIMIT_S):
                    result = await anyio.to_process.run_sync(function, asked, self._settings, cancellable=True)
            except TimeoutError:
                raise Degraded("hard_limit") from None
            except anyio.BrokenWorkerProcess:
                raise Degraded("worker_died") from None
            self._ready = True
            return result
