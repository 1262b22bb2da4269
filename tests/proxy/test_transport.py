"""What goes over the wire to a provider and how its trouble is told, byte for byte as httpx's own transport would have it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from headroom.errors import SettingsError
from headroom.proxy.transport import Transport
from headroom.settings.egress import egress_proxy
from tests.provider import WAIT_S

OK = b"HTTP/1.1 200 OK\r\nX-Odd: \xe9\r\nx-odd: 2\r\nContent-Length: 2\r\n\r\nok"
AWAY = "provider.invalid"
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A server of bytes on a loopback port: what each request looked like, and its connection."""

    def __init__(self, *answers: bytes | Answer, tls: ssl.SSLContext | None = None) -> None:
        self.url = ""
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                answer = self._answers.pop(0)
                if callable(answer):
                    await answer(reader, writer)
                    return
                self.requests.append(head.replace(self.url.removeprefix("http://").encode(), b"HOST") + await _body(head, reader))
                writer.write(answer)
                await writer.drain()
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


def certificate(place: Path) -> tuple[Path, ssl.SSLContext]:
    """One of 127.0.0.1 and of a provider that no name server knows, which only it itself vouches for, and a server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(AWAY)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = place / "certificate.pem", place / "key.pem"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n"))}
    if b"transfer-encoding" not in fields:
        return await reader.readexactly(int(fields.get(b"content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return b"chunked:" + body


async def pieces() -> AsyncIterator[bytes]:
    yield b"a piece, "
    yield b"and another"


def request(
    wire: Wire, target: bytes = b"/v1/x", method: str = "POST", headers: tuple[tuple[bytes, bytes], ...] = (), content: object = b"{}"
) -> httpx.Request:
    extensions = {"target": target, "timeout": {"connect": WAIT_S, "read": WAIT_S, "write": WAIT_S, "pool": None}}
    return httpx.Request(method, wire.url, headers=list(headers), content=content, extensions=extensions)  # type: ignore[arg-type]


async def ask(transport: httpx.AsyncBaseTransport, asked: httpx.Request) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    answer = await transport.handle_async_request(asked)
    try:
        return answer.status_code, answer.headers.raw, b"".join([chunk async for chunk in answer.aiter_raw()])
    finally:
        await answer.aclose()


ODD = ((b"X-Case", b"Kept"), (b"accept", b"b"), (b"x-twice", b"1"), (b"X-Twice", b"2"), (b"x-empty", b""), (b"x-utf", "é".encode()))


@pytest.mark.parametrize("target", [b"/", b"/v1/x?", b"/v1//x/../y?a=%2F&b=+&a=c%20d", b"//x", b"/%7Euser/a:b@c", b"/a#b"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("headers", [(), ODD, ((b"x-latin", b"caf\xe9"),)], ids=["none", "odd", "latin"])
@pytest.mark.parametrize("content", [None, b"", b"{}", pieces], ids=["no-body", "empty", "bytes", "pieces"])
def test_the_same_bytes_as_httpx(target: bytes, method: str, headers: tuple[tuple[bytes, bytes], ...], content: object) -> None:
    async def run() -> None:
        async with Wire(OK, OK) as wire:
            for transport in (httpx.AsyncHTTPTransport(), Transport()):
                body = content() if callable(content) else content
                status, fields, said = await ask(transport, request(wire, target, method, headers, body))
                assert (status, said) == (200, b"ok")
                assert [(name.lower(), value) for name, value in fields] == [
                    (b"x-odd", b"\xe9"),
                    (b"x-odd", b"2"),
                    (b"content-length", b"2"),
                ]
                await transport.aclose()
            first, second = wire.requests
            assert _parts(second) == _parts(first)

    asyncio.run(run())


def _parts(sent: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    head, _, body = sent.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    pairs = [field.partition(b": ")[::2] for field in fields]
    return line, sorted((name.lower(), value) for name, value in pairs), body


def test_a_large_body_and_a_long_header() -> None:
    async def run() -> None:
        async with Wire(OK.replace(b"X-Odd: ", b"X-Odd: " + b"o" * 100_000)) as wire:
            transport = Transport()
            status, fields, _ = await ask(transport, request(wire, content=b"x" * 5_000_000))
            assert (status, len(fields[0][1])) == (200, 100_001)
            assert wire.requests[0].endswith(b"x" * 5_000_000)
            await transport.aclose()

    asyncio.run(run())


def test_a_connection_is_used_again_and_one_that_was_closed_is_not() -> None:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(OK)

    async def run() -> None:
        async with Wire(OK, closing, OK) as wire:
            transport = Transport()
            for connections in (1, 1, 2):
                assert (await ask(transport, request(wire)))[0] == 200
                assert wire.connections == connections
                await asyncio.sleep(0.1)
            await transport.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_connection_that_was_closed_while_the_loop_was_busy_is_not_used_again(loop: LoopFactory) -> None:
    def serve(listener: socket.socket, close: threading.Event, closed: threading.Event) -> None:
        first, _ = listener.accept()
        first.recv(65536)
        first.sendall(OK)
        close.wait(WAIT_S)
        first.close()
        closed.set()
        second, _ = listener.accept()
        second.recv(65536)
        second.sendall(OK)
        second.close()

    async def run(url: str, close: threading.Event, closed: threading.Event) -> None:
        transport = Transport()
        wire = Wire()
        wire.url = url
        assert (await ask(transport, request(wire)))[0] == 200
        close.set()
        closed.wait(WAIT_S)  # the event loop stands still
        assert (await ask(transport, request(wire)))[0] == 200
        await transport.aclose()

    close, closed = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        served = threads.submit(serve, listener, close, closed)
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run(f"http://127.0.0.1:{listener.getsockname()[1]}", close, closed))
        served.result(WAIT_S)


def test_a_provider_may_answer_before_it_has_the_whole_body() -> None:
    stop = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"a piece"
        await stop.wait()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        assert await asyncio.wait_for(reader.read(), WAIT_S)  # until the client has closed

    async def run() -> None:
        async with Wire(early, OK) as wire:
            transport = Transport()
            assert (await ask(transport, request(wire, content=endless())))[2] == b"ok"
            assert (await ask(transport, request(wire)))[2] == b"ok"
            assert wire.connections == 2
            await transport.aclose()

    asyncio.run(run())


async def _vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await reader.read()


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (_vanish, httpx.RemoteProtocolError),
        (_silent, httpx.ReadTimeout),
        (b"no HTTP at all\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1_000_000, httpx.RemoteProtocolError),
    ],
)
def test_trouble_is_told_in_the_words_of_httpx(answer: bytes | Answer, failure: type[Exception]) -> None:
    async def then_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()

    async def run() -> None:
        async with Wire(answer if callable(answer) else then_close) as wire:
            asked = request(wire)
            asked.extensions["timeout"]["read"] = 0.2
            await _fails(asked, failure)

    asyncio.run(run())


def test_nobody_listens() -> None:
    async def run() -> None:
        async with Wire() as wire:
            pass
        await _fails(request(wire), httpx.ConnectError, "Connect call failed")

    asyncio.run(run())


def test_a_header_that_cannot_be_sent() -> None:
    async def run() -> None:
        async with Wire() as wire:
            await _fails(request(wire, headers=((b"x", b"a\r\nb: c"),)), httpx.LocalProtocolError)

    asyncio.run(run())


async def _fails(asked: httpx.Request, failure: type[Exception], says: str | None = None) -> None:
    transport = Transport()
    with pytest.raises(failure, match=says):
        await ask(transport, asked)
    await transport.aclose()


def test_what_a_provider_may_have_read_is_not_sent_again() -> None:
    """Whatever the method: also on a connection that was used before."""

    async def read_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)

    async def run(method: str) -> None:
        async with Wire(OK, read_and_close, OK) as wire:
            transport = Transport()
            await ask(transport, request(wire, method=method))
            with pytest.raises(httpx.HTTPError):
                await ask(transport, request(wire, method=method))
            assert wire.connections == 1
            await transport.aclose()

    for method in ("POST", "GET", "PUT", "DELETE"):
        asyncio.run(run(method))


class Between:
    """An HTTP proxy on a loopback port that takes every host for one wire, and what it was asked for."""

    def __init__(self, wire: Wire) -> None:
        self._port = int(wire.url.rpartition(":")[2])
        self.asked: list[bytes] = []

    async def __aenter__(self) -> Between:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://me:p%40ss@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            back.write(head)
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
def test_providers_are_reached_through_the_proxy_of_the_environment(
    method: str, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    async def run() -> None:
        async with Wire(OK, OK, tls=context if tls else None) as wire, Between(wire) as between:
            monkeypatch.setenv("HTTPS_PROXY" if tls else "HTTP_PROXY", between.url)
            wire.url = f"{'https' if tls else 'http'}://{AWAY}"
            transport = Transport()
            for _ in range(2):
                asked = request(wire, b"/v1/x?a=%2F&b=c", method, ((b"host", AWAY.encode()), (b"x-own", b"1")))
                status, _, body = await ask(transport, asked)
                assert (status, body) == (200, b"ok")
            await transport.aclose()
            assert b"proxy-authorization: basic bwu6cebzcw==" in between.asked[0].lower()
            assert len(between.asked) == 1, "its connection is kept"
            assert between.asked[0].startswith(
                b"CONNECT provider.invalid:443 " if tls else b"%s http://%s/v1/x?a=%%2F&b=c " % (method.encode(), AWAY.encode())
            )
            if tls:
                assert wire.requests[0].startswith(b"%s /v1/x?a=%%2F&b=c HTTP/1.1\r\n" % method.encode())
                assert b"proxy-authorization" not in wire.requests[0].lower()
            assert b"x-own: 1" in wire.requests[0] + wire.requests[1]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("variables", "url", "between"),
    [
        ({"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, "https://a.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example", ""),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "small:3"}, "https://a.example", "http://small:3"),
        ({"ALL_PROXY": "p:1"}, "http://a.example", "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "b.example, .example"}, "http://a.example:8080", ""),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "*"}, "http://a.example", ""),
        ({"ALL_PROXY": "p:1"}, "http://127.0.0.1:9", ""),
        ({"ALL_PROXY": "p:1"}, "https://localhost", ""),
        ({}, "https://a.example", ""),
    ],
)
def test_which_proxy_stands_between(variables: dict[str, str], url: str, between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert egress_proxy(url) == between


@pytest.mark.parametrize("wrong", ["ftp://me:secret@p:1", "http://", "http://p:x", "socks5://p:1"])
def test_a_proxy_that_is_none_stops_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", wrong)
    with pytest.raises(SettingsError, match="HTTPS_PROXY: a proxy ") as told:
        Transport()
    assert "secret" not in str(told.value)


def test_a_proxy_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")

    async def run() -> None:
        transport = Transport()
        wire = Wire()
        wire.url = f"https://{AWAY}"
        with pytest.raises(httpx.ConnectError, match=f"through the proxy http://127.0.0.1:{port}") as told:
            await ask(transport, request(wire))
        assert "secret" not in str(told.value)
        await transport.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_certificate_that_is_trusted_is_spoken_to(trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    async def run() -> None:
        async with Wire(OK, tls=context) as wire:
            if not trusted:
                await _fails(request(wire), httpx.ConnectError, "certificate verify failed")
                return
            transport = Transport()
            assert (await ask(transport, request(wire)))[2] == b"ok"
            await transport.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_connection_is_kept_also_one_of_tls(loop: LoopFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))

    async def run(tls: ssl.SSLContext | None) -> None:
        async with Wire(OK, OK, OK, tls=tls) as wire:
            transport = Transport()
            for _ in range(3):
                assert (await ask(transport, request(wire)))[2] == b"ok"
            assert wire.connections == 1
            await transport.aclose()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run(None))
        runner.run(run(context))
