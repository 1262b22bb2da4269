"""Content encodings of HTTP bodies, decoded piece by piece and never beyond a limit. Sans-I/O."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from headroom.errors import BodyTooLarge, InvalidRequest


class _Decompressor(Protocol):
    def __call__(self, data: bytes, most: int, /) -> bytes: ...


def _zlib(bits: int) -> _Decompressor:
    state = zlib.decompressobj(bits)

    def decode(data: bytes, most: int) -> bytes:
        out = state.decompress(data, most)
        if state.unconsumed_tail:
            raise BodyTooLarge("")
        return out

    return decode


def _brotli() -> _Decompressor:
    state = brotli.Decompressor()

    def decode(data: bytes, most: int) -> bytes:
        out: bytes = state.process(data, output_buffer_limit=most)
        while not state.can_accept_more_data() and len(out) < most:
            more = state.process(b"", output_buffer_limit=most - len(out))
            if not more:
                break
            out += more
        if not state.can_accept_more_data():
            raise BodyTooLarge("")
        return out

    return decode


def _zstd() -> _Decompressor:
    state = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    pieces = 4096  # input fed at once, so that a bomb is noticed before it has grown

    def decode(data: bytes, most: int) -> bytes:
        out = bytearray()
        for start in range(0, len(data), pieces):
            out += state.decompress(data[start : start + pieces])
            if len(out) > most:
                raise BodyTooLarge("")
        return bytes(out)

    return decode


_DECODERS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: _zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _zlib(zlib.MAX_WBITS),
    "br": _brotli,
    "zstd": _zstd,
}


class Decoder:
    """Decodes one body. `encoding` is the Content-Encoding header; `limit` bounds the decoded bytes.

    Raises InvalidRequest for an unknown encoding or broken data, BodyTooLarge beyond the limit.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        names = [name for name in (part.strip().lower() for part in encoding.split(",")) if name and name != "identity"]
        unknown = [name for name in names if name not in _DECODERS]
        if unknown or len(names) > 2:
            raise InvalidRequest(f"content-encoding {encoding!r} is not supported; use gzip, deflate, br or zstd.")
        self._steps = [_DECODERS[name]() for name in reversed(names)]
        self._limit = limit
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes that `data` completes."""
        try:
            for step in self._steps:
                data = step(data, self._limit - self._size + 1)
        except (zlib.error, brotli.error, zstandard.ZstdError) as failure:
            raise InvalidRequest(f"The body does not match its content-encoding: {failure}") from None
        except BodyTooLarge:
            self._size = self._limit + 1
        else:
            self._size += len(data)
        if self._size > self._limit:
            raise BodyTooLarge(f"The request body is larger than {self._limit // 1_000_000} MB; send less or raise max_body_mb.")
        return data
