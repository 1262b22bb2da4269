"""Every path and method that is neither ours nor a compressed route: to the provider and back, streamed, untouched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from headroom.backends import Ask
from headroom.backends.base import COUNT
from headroom.backends.paths import COUNT_PATH
from headroom.dialects import ANTHROPIC
from headroom.errors import HeadroomError, InvalidRequest
from headroom.proxy.admission import READING
from headroom.proxy.body import ClientGone, read_pieces
from headroom.proxy.refusal import dialect_to, send_error
from headroom.proxy.relay import closed, disconnected, relay, until_gone
from headroom.proxy.routing import Way
from headroom.proxy.services import Services
from headroom.proxy.threads import offload
from headroom.proxy.upstream import ask_of, provider_of, request_headers, response_headers

_log = logging.getLogger(__name__)


class PassThrough:
    """ASGI endpoint; the provider is the one the request's headers speak to.

    `read_here` tells which path a server may take another for, where requests to that are read: they do not pass unread.
    """

    def __init__(self, services: Services, read_here: Callable[[str], str] = lambda _: "") -> None:
        self._services = services
        self._read_here = read_here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider = provider_of(Headers(scope=scope))
        answered = asyncio.Event()
        whole: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            work = self._pass(provider, scope, _body(receive, whole), send, answered)
            await until_gone(work, _gone(receive, whole), answered.is_set)
        except HeadroomError as failure:
            await send_error(send, dialect_to(provider), failure, [])
        except ClientGone:
            return

    async def _pass(self, provider: str, scope: Scope, body: AsyncIterator[bytes], send: Send, answered: asyncio.Event) -> None:
        services = self._services
        caller = await services.admission.pass_on(Headers(scope=scope), scope["method"], scope["path"], scope["headroom.request_id"])
        if scope["method"] not in READING and (meant := self._read_here(scope["path"])):
            told = f"{scope['method']} {scope['path'][:200]} may be taken for {meant}, whose requests are read and counted here"
            raise InvalidRequest(f"{told}: send POST to exactly that path.")
        services.rollout.admit_unread(scope["method"], scope["path"], caller)
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        if not has_body:
            async for _ in body:
                pass
        if services.backends.configured and scope["path"] == COUNT_PATH:
            ask = await self._counted(scope, body)
        else:
            ask = ask_of(scope, "", request_headers(scope, body_changed=False), body if has_body else None)
        route = "/v1/messages" if ask.dialect else scope["path"]  # what is counted is sent there next
        asked = services.rollout.treatment(route, caller, ask.model).backend
        target = services.backends.target(route, ask.model, provider, asked, home=scope.get("headroom.home", True))
        way = Way(target.way(bytes).members[:1])  # a body that is passed on as it comes cannot be sent twice
        response = await way.send(ask, dialect_to(provider), caller, services.admission, services.upstream)
        try:
            await relay(response, response_headers(response), send, None)
            answered.set()
        finally:
            await closed(response)

    async def _counted(self, scope: Scope, body: AsyncIterator[bytes]) -> Ask:
        """A question for a count of tokens, read, because clouds want it in words of their own."""
        headers, limit = Headers(scope=scope), 1_000_000 * self._services.settings.max_body_mb
        content = await read_pieces(body, limit, headers.get("content-encoding", ""))
        call = await offload(len(content.decoded), ANTHROPIC.read, content.decoded)
        return ask_of(scope, COUNT, request_headers(scope, body_changed=True), content.decoded, model=call.model)


async def _body(receive: Receive, whole: asyncio.Future[bool]) -> AsyncIterator[bytes]:
    """The client's body as it comes; `whole` tells how it ended.

    When the client goes away, or the server takes its request from us, waits to be cancelled: an error would have the connection to the
    provider closed, and whoever cancels the request then would interrupt that.
    """
    while True:
        try:
            message = await receive()
        except Exception as failure:  # noqa: BLE001 - whatever a server raises here
            _log.info("the rest of a request did not come: %r", failure)
            message = {"type": "http.disconnect"}
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
