"""Content encodings of HTTP bodies, decoded piece by piece and never beyond a limit. Sans-I/O."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from headroom.errors import BodyTooLarge, InvalidRequest


class _Step(Protocol):
    """One decompressor."""

    @property
    def complete(self) -> bool:
        """Whether the data may end here."""

    def decode(self, data: bytes, most: int) -> bytes:
        """Raises _TooMuch when there are more than `most` bytes."""


class _TooMuch(Exception):
    """More came out than is wanted."""


class _Zlib:
    """A member may follow a member. What is left behind one is copied, so a short member is handed little beyond its end."""

    _FIRST, _MOST = 512, 65_536  # bytes handed at once: of a new member, and of one that goes on
    complete = False

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._state = zlib.decompressobj(bits)

    def decode(self, data: bytes, most: int) -> bytes:
        out = bytearray()
        place, size = 0, self._FIRST
        while place < len(data):
            if self._state.eof:
                self._state, size = zlib.decompressobj(self._bits), self._FIRST
            piece = data[place : place + size]
            out += self._state.decompress(piece, most - len(out) + 1)
            if len(out) > most:
                raise _TooMuch
            place += len(piece) - len(self._state.unused_data)
            size = min(2 * size, self._MOST)
        self.complete = self._state.eof
        return bytes(out)


class _Brotli:
    def __init__(self) -> None:
        self._state = brotli.Decompressor()

    @property
    def complete(self) -> bool:
        return bool(self._state.is_finished())

    def decode(self, data: bytes, most: int) -> bytes:
        out = bytearray(self._state.process(data, output_buffer_limit=most + 1))
        while len(out) <= most and not self._state.can_accept_more_data():
            out += self._state.process(b"", output_buffer_limit=most + 1 - len(out))
        if len(out) > most:
            raise _TooMuch
        return bytes(out)


class _Zstd:
    """A frame may follow a frame; input is fed in pieces, so that a bomb is noticed before it has grown."""

    _PIECE = 512
    complete = False

    def __init__(self) -> None:
        self._frames = zstandard.ZstdDecompressor(max_window_size=1 << 27)  # making one takes longer than most frames
        self._state = self._frames.decompressobj()

    def decode(self, data: bytes, most: int) -> bytes:
        out = bytearray()
        for start in range(0, len(data), self._PIECE):
            piece = data[start : start + self._PIECE]
            while piece:
                if self._state.eof:
                    self._state = self._frames.decompressobj()
                out += self._state.decompress(piece)
                if len(out) > most:
                    raise _TooMuch
                piece = self._state.unused_data if self._state.eof else b""
        self.complete = self._state.eof
        return bytes(out)


_STEPS: dict[str, Callable[[], _Step]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}


class Decoder:
    """Decodes one body. `encoding` is the Content-Encoding header; `limit` bounds the decoded bytes.

    Raises InvalidRequest for an unknown encoding or broken data, BodyTooLarge beyond the limit.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        names = [name for name in (part.strip().lower() for part in encoding.split(",")) if name and name != "identity"]
        if len(names) > 2 or not all(name in _STEPS for name in names):
            raise InvalidRequest(f"content-encoding {encoding[:100]!r} is not supported; use gzip, deflate, br or zstd.")
        self._steps = [_STEPS[name]() for name in reversed(names)]
        self._limit = limit
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes that `data` completes."""
        try:
            for step in self._steps:
                data = step.decode(data, self._limit - self._size)
        except (zlib.error, brotli.error, zstandard.ZstdError) as failure:
            raise InvalidRequest(f"The body does not match its content-encoding: {failure}") from None
        except _TooMuch:
            self._size = self._limit + 1
        else:
            self._size += len(data)
        if self._size > self._limit:
            raise BodyTooLarge(f"The request body is larger than {self._limit // 1_000_000} MB; send less or raise max_body_mb.")
        return data

    def finish(self) -> None:
        """Raises InvalidRequest when the data broke off."""
        if not all(step.complete for step in self._steps):
            raise InvalidRequest("The body ends before its content-encoding does.")


def decoded(data: bytes, encoding: str, limit: int) -> bytes:
    """All of a body at once. Raises as `Decoder` does."""
    decoder = Decoder(encoding, limit)
    out = decoder.feed(data)
    decoder.finish()
    return out
