"""The way to the provider: headers and bytes as they are.

One transport of httpx, without the redirects, cookies and credentials of its client. Nothing is sent twice once it may have arrived.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from urllib.parse import quote

import httpx
from starlette.datastructures import Headers
from starlette.types import Scope

from headroom.backends import Ask, Outgoing
from headroom.backends.base import HeaderList
from headroom.errors import InvalidRequest, UpstreamUnreachable
from headroom.proxy.transport import Transport
from headroom.settings import UpstreamSettings

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
_OURS = b"x-headroom-"


def request_headers(scope: Scope, *, body_changed: bool, readable: bool = False) -> HeaderList:
    """The client's headers without those of its own connection and ours.

    Blanks around a value are no part of it. With a changed body, content-encoding goes too, and the length is left to the client library.
    An answer that is to be `readable` is asked for without an encoding.
    """
    drop = {b"host", b"expect", *_named_by_connection(scope["headers"])}
    if body_changed:
        drop |= {b"content-length", b"content-encoding"}
    plain = [(b"accept-encoding", b"identity")] if readable else []
    if readable:
        drop.add(b"accept-encoding")
    return [(name, value.strip(b" \t")) for name, value in scope["headers"] if _passes(name, drop)] + plain


def response_headers(response: httpx.Response) -> HeaderList:
    """The provider's headers without those of its connection."""
    drop = _named_by_connection(response.headers.raw)
    return [(name.lower(), value) for name, value in response.headers.raw if _passes(name.lower(), drop)]


def _passes(name: bytes, drop: Iterable[bytes]) -> bool:
    return name not in _HOP_BY_HOP and name not in drop and not name.startswith(_OURS)


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    return {token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")}


def provider_of(headers: Headers) -> str:
    """Whose API an unknown path belongs to."""
    return "anthropic" if "anthropic-version" in headers or "x-api-key" in headers else "openai"


def ask_of(
    scope: Scope, dialect: str, headers: HeaderList, body: bytes | AsyncIterator[bytes] | None, *, model: str = "", stream: bool = False
) -> Ask:
    """A request as backends take it; `headers` are those to forward."""
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    return Ask(dialect, scope["method"], path.split(b"?")[0], scope["query_string"], headers, body, model, stream)


@lru_cache(maxsize=1024)
def _address(base: str) -> tuple[httpx.URL, bytes]:
    """A base URL, and the host that a request to it names."""
    url = httpx.URL(base)
    return url, url.netloc


class Upstream:
    """`transport` replaces the network in tests."""

    def __init__(self, settings: UpstreamSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport or Transport()
        self._timeout = httpx.Timeout(settings.idle_timeout_s, connect=settings.connect_timeout_s, pool=None).as_dict()

    async def send(self, out: Outgoing) -> httpx.Response:
        """The response with its body unread; the caller closes it. Raises UpstreamUnreachable, InvalidRequest."""
        try:
            return await self._transport.handle_async_request(self._request(out))
        except httpx.LocalProtocolError:  # its message may hold a credential
            raise InvalidRequest("The request cannot be sent on: its path or one of its headers is not valid HTTP.") from None
        except httpx.HTTPError as failure:
            raise UpstreamUnreachable(
                f"The provider at {out.base} could not be reached: {str(failure) or type(failure).__name__}. "
                "Check the network and the API URL in the settings."
            ) from failure

    def _request(self, out: Outgoing) -> httpx.Request:
        """As httpx writes it, with a host and a length; where the body is there, without its detours."""
        (url, host), extensions = _address(out.base), {"target": out.target, "timeout": self._timeout}
        if not isinstance(out.body, bytes) or not out.body:
            return httpx.Request(out.method, url, headers=out.headers, content=out.body, extensions=extensions)
        headers = list(out.headers)
        names = {name.lower() for name, _ in headers}
        if b"host" not in names:
            headers.insert(0, (b"Host", host))
        if b"content-length" not in names:
            headers.append((b"Content-Length", str(len(out.body)).encode()))
        return httpx.Request(out.method, url, headers=headers, stream=httpx.ByteStream(out.body), extensions=extensions)

    async def close(self) -> None:
        await self._transport.aclose()
