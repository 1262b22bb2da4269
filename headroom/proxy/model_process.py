"""A model in a process beside the server, started when it is first asked.

A process and not a thread: while a thread imports a model library the event loop, and every stream on it, is late by up to a
fifth of a second.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from headroom.errors import ModelUnavailable
from headroom.proxy.compress import Degraded

RETRY_S = 10.0  # after a process that died
HARD_LIMIT_S = 120.0  # a process still busy with one call after this is killed; loading a model takes up to a minute
T = TypeVar("T")
_log = logging.getLogger(__name__)


def _serve(pipe: Connection, load: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """The process: loads the model, says so, then answers each request until the server closes its end."""
    try:
        answer = load(*arguments)
    except ModelUnavailable as failure:
        pipe.send(failure)
        return
    pipe.send(None)
    try:
        while True:
            pipe.send(answer(pipe.recv()))
    except (EOFError, KeyboardInterrupt):
        return


class ModelProcess:
    """The process, seen from a thread of the server. Raises OSError or EOFError when it has died or was killed.

    `load(*arguments)` runs there and gives the function that answers; it may raise ModelUnavailable.
    """

    def __init__(self, name: str, load: Callable[..., Callable[[Any], Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, load, arguments), name=name, daemon=True)
        self._ending = threading.Lock()
        self._process.start()
        theirs.close()

    def loaded(self) -> None:
        """Returns once the model is loaded; raises ModelUnavailable."""
        failure = self._answer()
        if isinstance(failure, ModelUnavailable):
            raise failure

    def ask(self, request: Any) -> Any:
        self._pipe.send(request)
        return self._answer()

    def end(self) -> None:
        """It holds nothing worth waiting for. Any thread may end it, also several at once: the one that closes, and the one that waits."""
        with self._ending:
            self._process.kill()
            self._process.join()
            self._pipe.close()

    def _answer(self) -> Any:
        if not self._pipe.poll(HARD_LIMIT_S):
            raise EOFError(f"no answer after {HARD_LIMIT_S:.0f} s")
        return self._pipe.recv()


class ProcessModel:
    """A model in a process, for the event loop: calls wait in order, and leave the queue when their time is over.

    `load(*arguments)` as for ModelProcess. `without` says what is done where there is no model; `retry_s` is how long a process
    that died is left alone.
    """

    def __init__(self, name: str, without: str, load: Callable[..., Callable[[Any], Any]], *arguments: Any, retry_s: float) -> None:
        self._name = name
        self._without = without
        self._load, self._arguments = load, arguments
        self._retry_s = retry_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._process: ModelProcess | None = None
        self._absent: ModelUnavailable | None = None
        self._loaded = False
        self._rests_until = 0.0
        self._closing = False

    @property
    def enabled(self) -> bool:
        return self._absent is None

    @property
    def ready(self) -> bool:
        return self._loaded

    @property
    def status(self) -> str:
        if self._absent:
            return f"{self._absent.reason}: {self._absent.message}; {self._without}"
        if self._loaded:
            return "ready"
        return "loading" if self._process else "loads when it is needed"

    async def close(self) -> None:
        self._closing = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._process:
            await asyncio.to_thread(self._process.end)

    async def ask(self, work: Callable[[ModelProcess], T], timeout_s: float) -> T:
        """What `work` makes of the process; it is finished although nobody waits any more. Raises Degraded."""
        if self._absent:
            raise Degraded(self._absent.reason)
        was_loaded = self._loaded
        call = self._thread.submit(self._done, work)
        waiting = asyncio.wrap_future(call)
        try:
            await asyncio.wait({waiting}, timeout=timeout_s)
        finally:
            call.cancel()  # without effect once it has begun
            waiting.add_done_callback(_taken)
        if not waiting.done() or waiting.cancelled():
            raise Degraded("deadline" if was_loaded else "starting")
        return waiting.result()

    def gone(self, failure: ModelUnavailable, *, told: bool = True) -> None:
        """There is no model, for as long as this process lives; a log says so where it is to be `told`."""
        if told:
            _log.warning("%s: there is no model: %s", self._name, failure.message)
        self._absent = failure

    def _done(self, work: Callable[[ModelProcess], T]) -> T:
        """On the one thread. Raises Degraded."""
        if time.monotonic() < self._rests_until:
            raise Degraded("worker_died")
        try:
            return work(self._running())
        except ModelUnavailable as failure:
            self.gone(failure)
            self._end()
            raise Degraded(failure.reason) from None
        except (OSError, EOFError) as failure:
            if not self._closing:
                _log.warning("%s: the process gave no answer: %r", self._name, failure)
            self._rests_until = time.monotonic() + self._retry_s
            self._end()
            raise Degraded("worker_died") from None

    def _running(self) -> ModelProcess:
        if self._process is None:
            self._process = ModelProcess(f"headroom-{self._name}", self._load, *self._arguments)
            self._process.loaded()
            self._loaded = True
        return self._process

    def _end(self) -> None:
        process, self._process, self._loaded = self._process, None, False
        if process:
            process.end()


def _taken(call: asyncio.Future[Any]) -> None:
    """A failure that nobody waits for any more has been logged."""
    if not call.cancelled():
        call.exception()
