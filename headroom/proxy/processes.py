"""The embedded face's compressor: worker processes of the server.

Neither the event loop nor another request's stream waits for compression. A job that outlives its
deadline goes on in the background: its result is remembered for requests to come, unless the
deadline was remembered first.
"""

from __future__ import annotations

import asyncio
import functools
import logging

import anyio
import anyio.to_process

from headroom.model import Job, JobResult, Policy, Segment
from headroom.proxy.compress import Degraded
from headroom.settings import Settings
from headroom.store import open_store
from headroom.worker import Worker

HARD_LIMIT_S = 60.0  # a process still busy with one job after this is killed
_log = logging.getLogger(__name__)


@functools.cache
def _worker(settings: Settings) -> Worker:
    return Worker(open_store(settings), settings.vocabulary_dir)


def run_job(job: Job, settings: Settings) -> JobResult:
    """Runs inside a worker process, which keeps its store and vocabulary."""
    return _worker(settings).run(job)


def warm_up_job(policy: Policy) -> Job:
    """A small job that loads everything a worker needs and shows that it works."""
    text = "[" + ",".join(f'{{"id":{n},"name":"warm-up","state":"ok"}}' for n in range(100)) + "]"
    return Job((Segment(text, (0, 0)),), policy, scope="warm-up", model="")


class WorkerProcesses:
    """Compress in `settings.compression.processes` processes of this server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.compression.processes)
        self._tasks: set[asyncio.Task[JobResult]] = set()
        self._ready = False

    @property
    def ready(self) -> bool:
        return self._ready

    async def start(self) -> None:
        self._spawn(warm_up_job(self._settings.compression.policy), set())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        abandoned: set[str] = set()
        task = self._spawn(job, abandoned)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            abandoned.add("client")
            raise
        if not done:
            abandoned.add("deadline")
            raise Degraded("deadline")
        return task.result()

    def _spawn(self, job: Job, abandoned: set[str]) -> asyncio.Task[JobResult]:
        task = asyncio.create_task(self._run(job, abandoned))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[JobResult]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            _log.warning("compression gave no result: %s", failure)

    async def _run(self, job: Job, abandoned: set[str]) -> JobResult:
        async with self._slots:
            if abandoned:
                raise Degraded(next(iter(abandoned)))
            try:
                with anyio.fail_after(HARD_LIMIT_S):
                    result = await anyio.to_process.run_sync(run_job, job, self._settings, cancellable=True)
            except TimeoutError:
                raise Degraded("hard_limit") from None
            except anyio.BrokenWorkerProcess:
                raise Degraded("worker_died") from None
            self._ready = True
            return result
