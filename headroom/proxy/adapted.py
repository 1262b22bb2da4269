"""A backend's answer as one of the client's API: the same response to whoever reads it, its bytes read by the backend's `Reader`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx

from headroom.backends import Backend, Broken, Reader
from headroom.backends.base import said as read
from headroom.backends.translation import Translated
from headroom.dialects import Dialect
from headroom.errors import HeadroomError, UpstreamUnreachable
from headroom.proxy.relay import readable

_ERROR_BYTES = 1_000_000  # of an error; a longer one is told without its words
_BODY_HEADERS = ("content-type", "content-length", "content-encoding", "transfer-encoding", "connection")
_OVERLOADED = (503, 529)


_MOST = 16_000_000  # bytes of an answer that comes whole and is translated


class _Adapted(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, reader: Reader) -> None:
        self._response, self._reader = response, reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in readable(self._response):
                if data := self._reader.feed(piece):
                    yield data
            if data := self._reader.end():
                yield data
        except HeadroomError as failure:
            raise httpx.RemoteProtocolError(failure.message) from failure

    async def aclose(self) -> None:
        await self._response.aclose()


def adapted(response: httpx.Response, reader: Reader) -> httpx.Response:
    """The answer read by `reader`; closing it closes what it is read from."""
    headers = [*_other_headers(response), ("content-type", reader.content_type)]
    return httpx.Response(response.status_code, headers=headers, stream=_Adapted(response, reader))


class _Turned(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, translation: Translated) -> None:
        self._response, self._translation = response, translation

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self._translation.stream(readable(self._response)):
                yield data
        except HeadroomError as failure:
            raise httpx.RemoteProtocolError(failure.message) from failure

    async def aclose(self) -> None:
        await self._response.aclose()


async def turned(response: httpx.Response, translation: Translated) -> httpx.Response:
    """The answer in the client's API; closing it closes what it is read from. Raises UpstreamUnreachable for a whole one that is none."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        headers = [*_other_headers(response), ("content-type", "text/event-stream; charset=utf-8")]
        return httpx.Response(response.status_code, headers=headers, stream=_Turned(response, translation))
    body = bytearray()
    try:
        async for piece in readable(response):
            body += piece
            if len(body) > _MOST:
                raise UpstreamUnreachable(f"The answer is longer than {_MOST // 1_000_000} MB; it is not translated.")
        told = await asyncio.to_thread(translation.whole, bytes(body))
    except Broken as failure:
        raise UpstreamUnreachable(f"What the backend answered cannot be told: {failure.message}.") from failure
    except httpx.HTTPError as failure:
        raise UpstreamUnreachable(f"The backend broke off in its answer: {type(failure).__name__}.") from failure
    finally:
        await response.aclose()
    headers = [*_other_headers(response), ("content-type", "application/json"), ("content-length", str(len(told)))]
    return httpx.Response(response.status_code, headers=headers, stream=httpx.ByteStream(told))


async def refused(backend: Backend, dialect: Dialect, response: httpx.Response, *, translated: bool) -> httpx.Response:
    """An error in the words of the client's API; status and headers stay."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            if len(body) + len(chunk) > _ERROR_BYTES:
                break
            body += chunk
    except httpx.HTTPError:  # what came so far may say enough
        pass
    finally:
        await response.aclose()
    said = backend.message(bytes(body)) if backend.foreign else None
    if said is None and translated:  # the other API's error, which has its words where all have them
        error = read(bytes(body)).get("error")
        said = str((error.get("message") if isinstance(error, dict) else error) or "")
    told = bytes(body)
    content_type = response.headers.get("content-type", "application/json")
    if said is not None:
        kind = "overloaded_error" if response.status_code in _OVERLOADED else "api_error"
        words = said or f"The backend {backend.name} answered {response.status_code} without a word."
        told, content_type = json.dumps(dialect.error(response.status_code, kind, words)).encode(), "application/json"
    headers = [*_other_headers(response), ("content-type", content_type), ("content-length", str(len(told)))]
    return httpx.Response(response.status_code, headers=headers, stream=httpx.ByteStream(told))


def _other_headers(response: httpx.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _BODY_HEADERS]
