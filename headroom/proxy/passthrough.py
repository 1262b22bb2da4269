"""Every path and method that is neither ours nor a compressed route: to the provider and back, streamed, untouched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from headroom.dialects import ANTHROPIC, OPENAI_CHAT
from headroom.errors import HeadroomError
from headroom.proxy.body import ClientGone
from headroom.proxy.exchange import send_error
from headroom.proxy.relay import closed, disconnected, relay, until_gone
from headroom.proxy.services import Services
from headroom.proxy.upstream import provider_of, request_headers, response_headers


class PassThrough:
    """ASGI endpoint; the provider is the one the request's headers speak to."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider = provider_of(Headers(scope=scope))
        answered = asyncio.Event()
        whole: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            work = self._pass(provider, scope, _body(receive, whole), send, answered)
            await until_gone(work, _gone(receive, whole), answered.is_set)
        except HeadroomError as failure:
            await send_error(send, ANTHROPIC if provider == "anthropic" else OPENAI_CHAT, failure, [])
        except ClientGone:
            return

    async def _pass(self, provider: str, scope: Scope, body: AsyncIterator[bytes], send: Send, answered: asyncio.Event) -> None:
        caller = await self._services.admission.pass_on(Headers(scope=scope), scope["method"], scope["path"], scope["headroom.request_id"])
        self._services.rollout.admit_unread(scope["method"], scope["path"], caller)
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        if not has_body:
            async for _ in body:
                pass
        headers = self._services.admission.credentials(caller, provider, request_headers(scope, body_changed=False))
        response = await self._services.upstream.send(provider, scope, headers, body if has_body else None)
        try:
            await relay(response, response_headers(response), send, None)
            answered.set()
        finally:
            await closed(response)


async def _body(receive: Receive, whole: asyncio.Future[bool]) -> AsyncIterator[bytes]:
    """The client's body as it comes; `whole` tells how it ended. When the client goes away, waits to be cancelled."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            whole.set_result(False)
            await asyncio.Event().wait()
        yield message.get("body", b"")
        if not message.get("more_body"):
            whole.set_result(True)
            return


async def _gone(receive: Receive, whole: asyncio.Future[bool]) -> None:
    """Returns when the client has gone away, which the body tells until its end."""
    if await asyncio.shield(whole):
        await disconnected(receive)
