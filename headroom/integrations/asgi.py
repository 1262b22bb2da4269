"""`HeadroomMiddleware`: for an ASGI application that is, or stands before, a provider's API.

The application sees a request with a smaller body on the routes of the known APIs, whatever stands before their last part
(`/v1/messages`, `/openai/v1/chat/completions`); everything else, and every answer, passes untouched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headroom.integrations.bodies import Shrink
from headroom.library import dialect_for
from headroom.settings import Settings
from headroom.store import Store

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class HeadroomMiddleware:
    """`app.add_middleware(HeadroomMiddleware)`, or `HeadroomMiddleware(app)` around any ASGI application.

    Bodies above `max_body_mb` and encoded ones pass; so does a request with `x-headroom-bypass: true`.
    """

    def __init__(self, app: App, *, store: Store | None = None, settings: Settings | None = None, max_body_mb: int = 100) -> None:
        self._app = app
        self._shrink = Shrink(store, settings)
        self._most = 1_000_000 * max_body_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not _compressible(scope):
            await self._app(scope, receive, send)
            return
        messages = await self._body(receive)
        last = messages[-1]
        if last["type"] != "http.request" or last.get("more_body"):
            await self._app(scope, _replayed(messages, receive), send)
            return
        raw = b"".join(message.get("body", b"") for message in messages)
        smaller = raw if len(raw) > self._most else await asyncio.to_thread(self._shrink.bytes, raw, scope["path"])
        if smaller is raw:
            await self._app(scope, _replayed(messages, receive), send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")]
        headers.append((b"content-length", str(len(smaller)).encode()))
        await self._app({**scope, "headers": headers}, _replayed([{"type": "http.request", "body": smaller}], receive), send)

    async def _body(self, receive: Receive) -> list[Message]:
        """The messages of the whole body; fewer when it is too large or the client goes away."""
        messages, size = [await receive()], 0
        while messages[-1]["type"] == "http.request" and messages[-1].get("more_body"):
            size += len(messages[-1].get("body", b""))
            if size > self._most:
                break
            messages.append(await receive())
        return messages


def _compressible(scope: Scope) -> bool:
    names = {name: value for name, value in scope["headers"] if name in (b"content-encoding", b"x-headroom-bypass")}
    encoded = names.get(b"content-encoding", b"identity").lower() != b"identity"
    return dialect_for(scope["path"]) is not None and not encoded and names.get(b"x-headroom-bypass", b"").lower() != b"true"


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    """`receive`, with the given messages before what it gives."""
    rest = iter(messages)

    async def next_message() -> Message:
        for message in rest:
            return message
        return await receive()

    return next_message
