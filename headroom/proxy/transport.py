"""httpx's transport over aiohttp, which parses HTTP in C: half the processor time of a request and its answer.

It is for what there is much of, POST. Other methods, which aiohttp would send again by itself when a connection breaks, and what it cannot
send byte for byte (a header that is not UTF-8, a path that it would write otherwise) go through httpx's own.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from headroom.errors import SettingsError
from headroom.settings.egress import egress_proxy
from headroom.settings.parts import shown_url

_HEADER_BYTES = 256_000  # of an answer's status line, and of each of its headers
_ADDED = ("accept", "accept-encoding", "content-type", "user-agent")  # by aiohttp, where a client sends none
_WITHOUT_BODY = (204, 304)  # statuses
_MOST_IDLE = 200  # connections of httpx's own transport
_IDLE_S = 30.0  # for which a connection without a request is kept


def certificates() -> ssl.SSLContext:
    """Whom providers are trusted by: certifi's authorities, or those that the environment names. Raises SettingsError."""
    try:
        return httpx.create_ssl_context()
    except OSError as failure:
        raise SettingsError(f"SSL_CERT_FILE or SSL_CERT_DIR: the certificates cannot be read ({failure.strerror or failure})") from None


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 without limits of its own; an answer's body is to be closed. Belongs to the event loop of its first request.

    Takes the extensions "target", the bytes of the request line, and "timeout". What never left is sent once more. Goes through the
    HTTP proxy of the environment where there is one. Raises the errors of httpx; SettingsError where that proxy's URL is none.
    """

    def __init__(self) -> None:
        self._tls = certificates()
        for scheme in ("http", "https"):
            egress_proxy(f"{scheme}://provider.invalid")  # a wrong one is told at the start
        self._tls.set_alpn_protocols(["http/1.1"])
        self._session: aiohttp.ClientSession | None = None
        self._httpx: dict[str, httpx.AsyncHTTPTransport] = {}  # by the proxy that stands between
        self._between: dict[str, str] = {}  # by the address that is reached through it

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if between := self._proxy(request.url):
            return await self._through_httpx(_whole(request), between)
        if request.method != "POST":
            return await self._through_httpx(request)
        try:
            url, headers = _url(request), [(name.lower().decode(), value.decode()) for name, value in request.headers.raw]
        except UnicodeDecodeError:
            return await self._through_httpx(request)
        if url.raw_path_qs.encode() != request.extensions["target"]:
            return await self._through_httpx(request)
        body: Any = request.stream
        if isinstance(body, httpx.ByteStream):
            body = request.read() or None
        headers = [(name, value) for name, value in headers if name != "transfer-encoding"]  # aiohttp says so itself
        with _errors_of_httpx():
            answer = await self._send(url, headers=headers, data=body, timeout=_timeout(request.extensions["timeout"]))
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def _send(self, url: URL, **options: Any) -> _Answer:
        """The answer, its body unread."""
        session = self._open()
        try:
            answer = await session.post(url, allow_redirects=False, **options)
        except aiohttp.ClientOSError as failure:
            if not _never_left(failure, options["data"]):
                raise
            answer = await session.post(url, allow_redirects=False, **options)
        assert isinstance(answer, _Answer)
        return answer

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=0, keepalive_timeout=_IDLE_S, ssl=self._tls),
                response_class=_Answer,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_ADDED,
                auto_decompress=False,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
            )
        return self._session

    def _proxy(self, url: httpx.URL) -> str:
        address = f"{url.scheme}://{url.netloc.decode()}"
        if address not in self._between:
            self._between[address] = egress_proxy(address)
        return self._between[address]

    async def _through_httpx(self, request: httpx.Request, proxy: str = "") -> httpx.Response:
        if proxy not in self._httpx:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=_MOST_IDLE, keepalive_expiry=_IDLE_S)
            self._httpx[proxy] = httpx.AsyncHTTPTransport(verify=self._tls, retries=1, limits=limits, proxy=proxy or None)
        try:
            return await self._httpx[proxy].handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as failure:
            if not proxy:
                raise
            raise type(failure)(f"{str(failure) or type(failure).__name__} (through the proxy {shown_url(proxy)})") from failure

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()
        for transport in self._httpx.values():
            await transport.aclose()


def _whole(request: httpx.Request) -> httpx.Request:
    """The same request with its target in its URL, written as httpx writes it: the proxy would be asked for the extension's."""
    extensions = {name: value for name, value in request.extensions.items() if name != "target"}
    try:
        url = request.url.copy_with(raw_path=request.extensions["target"])
    except httpx.InvalidURL as failure:
        raise httpx.LocalProtocolError(str(failure)) from failure
    return httpx.Request(request.method, url, headers=request.headers.raw, stream=request.stream, extensions=extensions)


class _Connector(aiohttp.TCPConnector):
    """Looks at a kept connection before it is used, as httpx does: one that can be read was closed by the provider, and the event loop
    has not yet heard of it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[Any] = WeakSet()  # protocols

    async def connect(self, *args: Any, **options: Any) -> Connection:
        while True:
            connection = await super().connect(*args, **options)
            if connection.protocol not in self._used or not _readable(connection):
                self._used.add(connection.protocol)
                return connection
            connection.close()


def _readable(connection: Connection) -> bool:
    transport = connection.transport
    place = transport.get_extra_info("socket") if transport else None
    if place is None:
        return True
    look = select.poll()
    look.register(place.fileno(), select.POLLIN)
    return bool(look.poll(0))


class _Answer(aiohttp.ClientResponse):
    """Knows what ended its connection, which aiohttp has taken from it by then."""

    _came_on: ResponseHandler | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self._came_on = connection.protocol
        return await super().start(connection)

    def broke(self) -> BaseException | None:
        """What broke an answer whose end only that of its connection tells, once no more bytes come; None where it ended."""
        coding = self.headers.get("transfer-encoding", "").lower()
        if "content-length" in self.headers or "chunked" in coding or self.status in _WITHOUT_BODY or self._came_on is None:
            return None
        ended = self._came_on.exception()
        return None if isinstance(ended, aiohttp.ServerDisconnectedError) else ended


class _Body(httpx.AsyncByteStream):
    """The bytes of an answer as they come."""

    def __init__(self, answer: _Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for chunk in self._answer.content.iter_any():
                yield chunk
        if broken := self._answer.broke():
            raise httpx.ReadError(str(broken)) from broken

    async def aclose(self) -> None:
        self._answer.release()


def _url(request: httpx.Request) -> URL:
    """Where to, with the path and query of the request line."""
    path, _, query = request.extensions["target"].decode().partition("?")
    authority = request.url.netloc.decode()
    return URL.build(scheme=request.url.scheme, authority=authority, path=path, query_string=query, encoded=True)


def _never_left(failure: aiohttp.ClientOSError, body: Any) -> bool:
    """Whether no byte of a request was sent and all of its body is still there: no connection was made, or the one that was kept had
    just been closed.
    """
    closed = isinstance(failure.__cause__, aiohttp.ClientConnectionResetError) and "closing transport" in str(failure.__cause__)
    return isinstance(failure, aiohttp.ClientConnectorError) or (closed and (body is None or isinstance(body, bytes)))


def _timeout(times: dict[str, float | None]) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=times["connect"], sock_read=times["read"])


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientConnectorError as failure:
        raise httpx.ConnectError(failure.strerror or str(failure)) from failure
    except aiohttp.ConnectionTimeoutError as failure:
        raise httpx.ConnectTimeout(str(failure)) from failure
    except (TimeoutError, aiohttp.ServerTimeoutError) as failure:
        raise httpx.ReadTimeout(str(failure)) from failure
    except (aiohttp.ClientError, OSError) as failure:
        raise httpx.RemoteProtocolError(str(failure)) from failure
    except ValueError as failure:  # a header with a line break
        raise httpx.LocalProtocolError(str(failure)) from failure
