"""The embedded face's LLMLingua-2: one process beside the server, started when the first prose comes.

Calls wait in order, and leave the queue when their time is over; so does what has begun, between two batches.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headroom import tokens
from headroom.compressors.llmlingua.classifier import check
from headroom.errors import ModelUnavailable, SettingsError
from headroom.model import Passage, Pruned, PrunerSpec
from headroom.proxy.compress import Degraded
from headroom.proxy.model_process import ModelProcess
from headroom.proxy.prune import Answer, NoPrune, Prune, answered
from headroom.settings import Settings

RETRY_S = 10.0  # after a process that died
Request = tuple[tuple[Passage, ...], float]
_log = logging.getLogger(__name__)


def embedded_prune(settings: Settings) -> Prune:
    """What the settings name. Raises SettingsError where it is wanted and cannot be: not installed, or no model on this machine."""
    lingua = settings.llmlingua
    if not lingua.enabled:
        return NoPrune()
    try:
        check(lingua.spec)
    except ModelUnavailable as failure:
        raise SettingsError(f"--llmlingua: {failure.message}") from None
    return ProcessPrune(lingua.spec, settings.vocabulary_dir)


def load(spec: PrunerSpec, vocabulary_dir: Path | None) -> Callable[[Request], Answer]:
    """In the process: the model, warm, as a function of passages and the seconds they may take. Raises ModelUnavailable."""
    from headroom.compressors.llmlingua.timely import Timely

    timely = Timely(spec, tokens.counter("", vocabulary_dir).count)
    return lambda request: timely(*request)


class ProcessPrune(Prune):
    """Prune in a process of this server."""

    def __init__(self, spec: PrunerSpec, vocabulary_dir: Path | None = None, retry_s: float = RETRY_S) -> None:
        self._spec = spec
        self._vocabulary_dir = vocabulary_dir
        self._retry_s = retry_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prune")
        self._process: ModelProcess | None = None
        self._absent: ModelUnavailable | None = None
        self._loaded = False
        self._rests_until = 0.0

    @property
    def enabled(self) -> bool:
        return self._absent is None

    @property
    def ready(self) -> bool:
        return self._loaded

    @property
    def status(self) -> str:
        if self._absent:
            return f"{self._absent.reason}: {self._absent.message}; prose is compressed without it"
        if self._loaded:
            return "ready"
        return "loading" if self._process else "loads when it is needed"

    async def start(self) -> None:
        return

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._process:
            await asyncio.to_thread(self._process.end)

    async def __call__(self, passages: Sequence[Passage], timeout_s: float) -> Sequence[Pruned]:
        if self._absent:
            raise Degraded(self._absent.reason)
        was_loaded = self._loaded
        call = self._thread.submit(self._compute, tuple(passages), time.monotonic() + timeout_s)
        waiting = asyncio.wrap_future(call)
        try:
            await asyncio.wait({waiting}, timeout=timeout_s)
        finally:
            call.cancel()  # without effect once it has begun
            waiting.add_done_callback(_taken)
        if not waiting.done() or waiting.cancelled():
            raise Degraded("deadline" if was_loaded else "starting")
        return answered(waiting.result())

    def _compute(self, passages: tuple[Passage, ...], until: float) -> Answer:
        """On the one thread. Raises Degraded."""
        if time.monotonic() < self._rests_until:
            raise Degraded("worker_died")
        try:
            process = self._running()
            answer: Answer = process.ask((passages, until - time.monotonic()))
        except ModelUnavailable as failure:
            _log.warning("no LLMLingua: %s", failure.message)
            self._absent = failure
            self._end()
            raise Degraded(failure.reason) from None
        except (OSError, EOFError) as failure:
            _log.warning("the process of LLMLingua gave no answer: %r", failure)
            self._rests_until = time.monotonic() + self._retry_s
            self._end()
            raise Degraded("worker_died") from None
        return answer

    def _running(self) -> ModelProcess:
        if self._process is None:
            self._process = ModelProcess("headroom-llmlingua", load, self._spec, self._vocabulary_dir)
            self._process.loaded()
            self._loaded = True
        return self._process

    def _end(self) -> None:
        process, self._process, self._loaded = self._process, None, False
        if process:
            process.end()


def _taken(call: asyncio.Future[Answer]) -> None:
    """A failure that nobody waits for any more has been logged."""
    if not call.cancelled():
        call.exception()
