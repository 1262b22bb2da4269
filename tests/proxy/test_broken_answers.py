"""An answer whose end only that of its connection tells: whole where the provider closed it, broken where it broke."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import uvloop

from headroom.proxy.transport import Transport
from tests.proxy.faces import HTTP, asking, serving, settings_for, stats_of
from tests.proxy.test_transport import Answer, LoopFactory, Wire, certificate, request

PART = b"part of an answer"
UNTIL_THE_END = (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PART, b"HTTP/1.0 200 OK\r\n\r\n" + PART)
WITH_AN_END = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + PART,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n" + PART + b"\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)


def _reset(place: socket.socket) -> None:
    place.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _half(place: socket.socket) -> None:
    place.shutdown(socket.SHUT_WR)  # under TLS without its own goodbye


def _part(sent: bytes, seen: asyncio.Event, end: Callable[[socket.socket], None] | None) -> Answer:
    """Sends this, and once it is seen ends the connection, by default as one should."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(sent)
        await seen.wait()
        if end:
            with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as place:
                end(place)
            writer.transport.abort()

    return answer


async def _outcome(transport: httpx.AsyncBaseTransport, wire: Wire, seen: asyncio.Event) -> type[Exception] | bytes:
    """What is told of an answer, of which a part is seen before it ends."""
    answer = await transport.handle_async_request(request(wire))
    said = b""
    try:
        async for chunk in answer.aiter_raw():
            said += chunk
            seen.set()
    except httpx.HTTPError as failure:
        return type(failure)
    finally:
        seen.set()
        await answer.aclose()
        await transport.aclose()
    return said


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("sent", [*UNTIL_THE_END, *WITH_AN_END], ids=["close", "http-1.0", "length", "chunked", "none"])
@pytest.mark.parametrize(("end", "broken"), [(None, False), (_half, False), (_reset, True)], ids=["closed", "half", "reset"])
def test_an_answer_that_ends_with_its_connection_is_whole_unless_that_broke(
    loop: LoopFactory,
    tls: bool,
    sent: bytes,
    end: Callable[[socket.socket], None] | None,
    broken: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    seen = asyncio.Event()

    async def run() -> None:
        part = _part(sent, seen, end)
        async with Wire(part, part, tls=context if tls else None) as wire:
            told = []
            for transport in (httpx.AsyncHTTPTransport(), Transport()):
                seen.clear()
                told.append(await _outcome(transport, wire, seen))
            body = b"" if b" 204 " in sent else PART
            assert told == [httpx.ReadError if broken and sent in UNTIL_THE_END else body] * 2

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_a_client_is_told_that_an_answer_broke(tmp_path: Path) -> None:
    def ask(url: str, loop: asyncio.AbstractEventLoop) -> str:
        with serving(settings_for(url, tmp_path)) as ours:
            with HTTP.stream("POST", f"{ours}/v1/messages", json=asking([{"role": "user", "content": "hi"}])) as answer:
                pieces = answer.iter_raw()
                assert next(pieces) == PART
                loop.call_soon_threadsafe(seen.set)
                with pytest.raises(httpx.RemoteProtocolError):
                    list(pieces)
            (row,) = stats_of(ours, 1)["recent_requests"]
            return str(row["error"])

    async def run() -> str:
        async with Wire(_part(UNTIL_THE_END[0], seen, _reset)) as wire:
            return await asyncio.to_thread(ask, wire.url, asyncio.get_running_loop())

    seen = asyncio.Event()
    assert "Connection reset by peer" in asyncio.run(run())
