"""Pure ASGI middleware: an upgrade to WebSocket is refused with 426, before any route.

Over a WebSocket a request would pass uncompressed. 426 is the status that clients with both transports
take as the word to go on over HTTP at once: Codex does so for the whole session, while any other
refusal costs it a series of attempts. Servers with WebSockets say what came in a scope of its
own, servers without them in the headers of a plain GET.
"""

from __future__ import annotations

import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from headroom.proxy.refusal import dialect_of

_STATUS = 426
_MESSAGE = "Headroom takes no WebSocket connections: send the request by HTTP, streamed if you like. Codex does so by itself."
_EXTENSION = "websocket.http.response"


class RefuseUpgrade:
    """Everything but an upgrade goes on to the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "websocket" and _EXTENSION not in scope.get("extensions", ()):
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": _MESSAGE})
        elif kind == "websocket":
            await receive()
            await _refuse(scope, send, _EXTENSION)
        elif kind == "http" and Headers(scope=scope).get("upgrade", "").strip().lower() == "websocket":
            await _refuse(scope, send, "http.response")
        else:
            await self._app(scope, receive, send)


async def _refuse(scope: Scope, send: Send, kind: str) -> None:
    """The refusal in the words of the API that was called."""
    body = json.dumps(dialect_of(scope).error(_STATUS, "invalid_request", _MESSAGE)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"upgrade, close"),
        (b"upgrade", b"HTTP/1.1"),
    ]
    await send({"type": f"{kind}.start", "status": _STATUS, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
