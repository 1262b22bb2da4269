"""Pure ASGI middleware: a request id for everybody, and the outermost fence."""

from __future__ import annotations

import json
import logging
import os

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headroom.proxy.body import ClientGone
from headroom.proxy.relay import UpstreamBroke

_log = logging.getLogger(__name__)


class RequestId:
    """Gives every HTTP request an id of ours and names it in every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = os.urandom(16).hex()
        scope["headroom.request_id"] = request_id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == b"x-headroom-request-id" for name, _ in headers):
                    headers.append((b"x-headroom-request-id", request_id.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, named)


class Fence:
    """An error nobody expected: logged with its request id, 500 if nothing was sent, otherwise a cut connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except UpstreamBroke:
            raise
        except ClientGone:
            return
        except Exception:
            if scope["type"] != "http" or started:
                raise
            request_id = scope.get("headroom.request_id", "")
            _log.exception("request %s failed", request_id)
            error = {"type": "api_error", "message": f"Headroom failed on this request; its log names request {request_id}."}
            body = json.dumps({"type": "error", "error": error}).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": body})
