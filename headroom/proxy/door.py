"""Pure ASGI middleware: a process that is about to end lets nobody in any more, and waits for those who are inside.

uvicorn does so for a process that owns its port; a replica of a Ray Serve application stands behind a proxy that goes on listening.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Receive, Scope, Send

from headroom.errors import Closing
from headroom.proxy.refusal import dialect_of, send_error

_ALIVE = "/livez"
_CLOSING = Closing("Headroom is about to end here and takes no new requests: try again, at another of its servers if there is one.")


class Door:
    """Which requests are inside. Used on one event loop."""

    def __init__(self) -> None:
        self.is_open = True
        self._inside = 0
        self._left = asyncio.Event()

    def enter(self) -> None:
        self._inside += 1

    def leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._left.set()

    async def close(self, within_s: float) -> int:
        """Lets nobody in from now on; returns when everybody has left, or how many are still inside after so many seconds."""
        self.is_open = False
        self._left.clear()
        if self._inside:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), within_s)
        return self._inside


class Guarded:
    """The application behind its door."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _ALIVE:
            await self._app(scope, receive, send)
        elif not self._door.is_open:
            await send_error(send, dialect_of(scope), _CLOSING, [(b"connection", b"close")])
        else:
            self._door.enter()
            try:
                await self._app(scope, receive, send)
            finally:
                self._door.leave()
