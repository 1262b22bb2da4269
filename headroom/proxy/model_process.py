"""A model in a process beside the server, started when it is first asked.

A process and not a thread: while a thread imports a model library the event loop, and every stream on it, is late by up to a
fifth of a second.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from headroom.errors import ModelUnavailable

HARD_LIMIT_S = 120.0  # a process still busy with one call after this is killed; loading a model takes up to a minute


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
        """It holds nothing worth waiting for."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _answer(self) -> Any:
        if not self._pipe.poll(HARD_LIMIT_S):
            raise EOFError(f"no answer after {HARD_LIMIT_S:.0f} s")
        return self._pipe.recv()
