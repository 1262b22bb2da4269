"""The provider's answer to the client, as it comes; a meter reads usage from the same bytes.

Nothing is buffered, re-framed or decoded on its way. If the provider breaks off, so do we: the
client sees a broken connection, not a clean end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import httpx
from starlette.types import Receive, Send

from headroom.backends.base import HeaderList
from headroom.dialects import Dialect
from headroom.encodings import Decoder
from headroom.errors import HeadroomError
from headroom.outcome import Usage
from headroom.proxy.body import ClientGone
from headroom.sse import EventReader

STREAM, JSON = "text/event-stream", "application/json"
_METER_BYTES = 16_000_000  # of a whole answer; usage beyond that is not read
_STREAM_BYTES = 200_000_000  # the same of a stream, decoded
DECODED_BYTES = 200_000_000  # of one answer that is read to act on it
_SAID = re.compile(rb'"(?:text|thinking|partial_json|content|arguments|delta)": ?"((?:[^"\\]|\\.)*)"')
_log = logging.getLogger(__name__)


class UpstreamBroke(Exception):
    """The provider broke off in the middle of its answer; the connection to the client is cut too."""


class BrokenStreams(logging.Filter):
    """A provider that breaks off is recorded in its outcome; the server need not print a traceback for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], UpstreamBroke))


class Meter:
    """Reads what was billed from the bytes of an answer, streamed or whole. Never raises."""

    def __init__(self, dialect: Dialect, content_type: str, content_encoding: str) -> None:
        self.usage = Usage()
        self.said = 0  # characters of what a stream answered, for one that ends before its usage
        self._dialect = dialect
        self._events = EventReader() if content_type.startswith(STREAM) else None
        self._whole = bytearray()
        self._decoder: Decoder | None = None
        self._blind = not content_type.startswith((STREAM, JSON))
        try:
            limit = _STREAM_BYTES if self._events else _METER_BYTES
            self._decoder = Decoder(content_encoding, limit) if content_encoding else None
        except HeadroomError as unknown:
            self._give_up(unknown)

    def feed(self, chunk: bytes) -> None:
        if self._blind:
            return
        try:
            data = self._decoder.feed(chunk) if self._decoder else chunk
        except HeadroomError as broken:
            self._give_up(broken)
            return
        if self._events:
            for event in self._events.feed(data):
                self._read(event)
        elif len(self._whole) + len(data) <= _METER_BYTES:
            self._whole += data
        else:
            self._give_up("the answer is too large")

    def finish(self) -> Usage:
        """The usage so far; call it once, after the last byte. A last event without its blank line counts."""
        if self._events and not self._blind:
            for event in self._events.feed(b"\n\n"):
                self._read(event)
        if not self._blind and self._whole:
            self._read(bytes(self._whole))
        return self.usage

    def _read(self, data: bytes) -> None:
        if self._events:
            self.said += sum(len(found[1]) for found in _SAID.finditer(data))
        if b'"usage"' not in data:
            return
        try:
            self.usage = self.usage.merge(self._dialect.usage(json.loads(data)))
        except (ValueError, RecursionError) as odd:
            _log.debug("usage was not readable: %s", odd)

    def _give_up(self, why: object) -> None:
        _log.info("usage of this answer is not metered: %s", why)
        self._blind = True
        self._whole.clear()


def kind_of(response: httpx.Response, stream: bool) -> str:
    """The content type of an answer; where none is named, that of the answer that was asked for."""
    named: str = response.headers.get("content-type", "")
    return named or ("" if response.status_code != 200 else STREAM if stream else JSON)


async def relay(response: httpx.Response, headers: HeaderList, send: Send, meter: Meter | None) -> float:
    """Send the whole answer; returns the monotonic time of its first byte (or of its end).

    Raises UpstreamBroke when the provider stops before its answer is complete.
    """
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    first: float | None = None
    try:
        async for chunk in response.aiter_raw():
            first = first or time.perf_counter()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if meter:
                meter.feed(chunk)
    except httpx.HTTPError as failure:
        raise UpstreamBroke(str(failure) or type(failure).__name__) from failure
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return first or time.perf_counter()


async def readable(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The decoded bytes as they come; those of an unknown encoding as they are.

    Raises httpx.HTTPError also where they do not fit their encoding, or end before it does: the client is told of no encoding, so it
    cannot notice.
    """
    encoding = response.headers.get("content-encoding", "")
    try:
        decoder = Decoder(encoding, DECODED_BYTES) if encoding else None
    except HeadroomError:
        decoder = None
    try:
        async for chunk in response.aiter_raw():
            yield decoder.feed(chunk) if decoder else chunk
        if decoder:
            decoder.finish()
    except HeadroomError as failure:
        raise httpx.RemoteProtocolError(failure.message) from failure


async def closed(response: httpx.Response) -> None:
    """Close it; whoever is cancelled meanwhile, the closing goes on."""
    await asyncio.shield(asyncio.ensure_future(response.aclose()))


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_gone(work: Coroutine[Any, Any, None], gone: Coroutine[Any, Any, None], answered: Callable[[], bool]) -> None:
    """Run `work`; when `gone` returns before the client is `answered`, cancel it and raise ClientGone.

    Whoever cancels us, and how often, `work` is cancelled once: a second time would interrupt the closing of what it has open.
    """
    main, watch = asyncio.create_task(work), asyncio.create_task(gone)
    try:
        await asyncio.wait({main, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not main.done() and not answered():
            raise ClientGone
        await main
    finally:
        watch.cancel()
        main.cancel()
        ended = asyncio.gather(main, watch, return_exceptions=True)
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            await asyncio.shield(ended)
            raise
