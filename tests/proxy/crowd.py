"""Many clients of a server at once, on bare sockets, who break off without a word."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import body_of

_TOOLS = {
    "/v1/messages": [{"name": "look", "input_schema": {"type": "object"}}],
    "/v1/chat/completions": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
}
_PASSED = "/v1/other"  # whose bodies go on while they come
_ROUTES = ("/v1/messages", "/v1/chat/completions", "/v1/responses", _PASSED)


class Crowd:
    """One in five never ends its request; the others have seen the beginning of their answer, which the provider then holds."""

    def __init__(self, url: str, provider: Provider, clients: int) -> None:
        self._address = urlsplit(url)
        self._provider = provider
        self._clients = clients

    def come_and_vanish(self) -> None:
        """Returns when the provider is rid of all of them; fails when it is not, within WAIT_S."""
        asyncio.run(asyncio.wait_for(self._come_and_vanish(), 2 * WAIT_S))

    async def _come_and_vanish(self) -> None:
        before = self._provider.abandoned
        links = await asyncio.gather(*(self._come(number) for number in range(self._clients)))
        waiting = sum(map(_ends, range(self._clients)))
        begun = sum(_route(number) == _PASSED and not _ends(number) for number in range(self._clients))
        await asyncio.to_thread(self._provider.wait_until, lambda seen: seen.open == waiting + begun)
        for link in links:
            link.transport.abort()
        await asyncio.to_thread(self._provider.wait_until, lambda seen: seen.open == 0 and seen.abandoned == before + waiting)

    async def _come(self, number: int) -> asyncio.StreamWriter:
        route, ends = _route(number), _ends(number)
        body = json.dumps({**body_of(route, 1), "stream": True, "tools": _TOOLS.get(route, [])}).encode()
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        ccr = "on" if number % 2 else "off"
        head = f"POST {route} HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nx-headroom-ccr: {ccr}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + (body if ends else body[: len(body) // 2]))
        await writer.drain()
        if ends:
            await reader.readuntil(b"\n\n")
        return writer


def _route(number: int) -> str:
    return _ROUTES[number % len(_ROUTES)]


def _ends(number: int) -> bool:
    """Whether this client sends all of its request."""
    return number % 5 > 0
