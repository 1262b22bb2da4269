"""A backend's answer as one of the client's API: the same response to whoever reads it, its bytes read by the backend's `Reader`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx

from headroom.backends import Backend, Reader
from headroom.dialects import Dialect
from headroom.encodings import Decoder
from headroom.errors import HeadroomError

_ERROR_BYTES = 1_000_000  # of an error; a longer one is told without its words
_DECODED_BYTES = 200_000_000
_BODY_HEADERS = ("content-type", "content-length", "content-encoding", "transfer-encoding", "connection")
_OVERLOADED = (503, 529)


class _Adapted(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, reader: Reader) -> None:
        self._response, self._reader = response, reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        encoding = self._response.headers.get("content-encoding", "")
        try:
            decoder = Decoder(encoding, _DECODED_BYTES) if encoding else None
            async for chunk in self._response.aiter_raw():
                if data := self._reader.feed(decoder.feed(chunk) if decoder else chunk):
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


async def refused(backend: Backend, dialect: Dialect, response: httpx.Response) -> httpx.Response:
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
    said = backend.message(bytes(body))
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
