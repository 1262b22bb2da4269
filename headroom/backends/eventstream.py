"""AWS event streams (`application/vnd.amazon.eventstream`), read by botocore, which checks both checksums of every frame.

https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html describes the frames.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from headroom.backends.base import Broken, said

EVENT_STREAM = "application/vnd.amazon.eventstream"
SSE = "text/event-stream; charset=utf-8"
# Exceptions inside a stream, as Anthropic names errors.
_KINDS = {
    "throttlingException": "rate_limit_error",
    "serviceQuotaExceededException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "validationException": "invalid_request_error",
    "accessDeniedException": "permission_error",
    "modelTimeoutException": "timeout_error",
}


class Frames:
    """Feed it bytes; it yields (kind, name, payload) of every frame that ended in them. Kind is event, exception or error."""

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._buffer: Any = EventStreamBuffer()
        self._open = 0  # bytes of a frame that has not ended

    def feed(self, data: bytes) -> Iterator[tuple[str, str, bytes]]:
        """Raises Broken for a frame whose checksum is wrong."""
        from botocore.eventstream import ParserError

        self._buffer.add_data(data)
        self._open += len(data)
        try:
            for frame in self._buffer:
                self._open -= frame.prelude.total_length
                headers = frame.headers
                kind = str(headers.get(":message-type", "event"))
                name = headers.get(f":{kind}-type") or headers.get(":error-code") or ""
                words = str(headers.get(":error-message", "")).encode()
                yield kind, str(name), frame.payload or words
        except ParserError as failure:
            raise Broken(f"the event stream is damaged: {failure}") from None

    def end(self) -> None:
        """Raises Broken in the middle of a frame."""
        if self._open:
            raise Broken("the event stream ended in the middle of a frame")


def error_kind(name: str) -> str:
    return _KINDS.get(name[:1].lower() + name[1:], "api_error")


class MessagesStream:
    """InvokeModelWithResponseStream as Anthropic streams it: each chunk holds an event, whose JSON stays as it is."""

    content_type = SSE

    def __init__(self) -> None:
        self._frames = Frames()

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._event(*frame) for frame in self._frames.feed(data))

    def _event(self, kind: str, name: str, payload: bytes) -> bytes:
        if kind != "event":
            words = said(payload).get("message") or payload.decode(errors="replace") or name
            error = {"type": "error", "error": {"type": error_kind(name), "message": str(words)}}
            return b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
        chunk = said(payload).get("bytes")
        if name != "chunk" or not isinstance(chunk, str):
            return b""
        try:
            event = base64.b64decode(chunk, validate=True)
        except ValueError:
            raise Broken("a chunk of the event stream is not base64") from None
        told = str(said(event).get("type") or "").encode()
        return b"".join((b"event: ", told, b"\ndata: ", event, b"\n\n"))

    def end(self) -> bytes:
        self._frames.end()
        return b""


def chunk(event: bytes) -> bytes:
    """An event of a model as Bedrock streams it, for a client that speaks to Bedrock."""
    payload = json.dumps({"bytes": base64.b64encode(event).decode()}).encode()
    headers = (("event-type", "chunk"), ("content-type", "application/json"), ("message-type", "event"))
    named = b"".join(_header(f":{name}".encode(), value.encode()) for name, value in headers)
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    head = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return head + struct.pack(">I", zlib.crc32(head))


def _header(name: bytes, value: bytes) -> bytes:
    """A header whose value is a string (type 7)."""
    return bytes((len(name),)) + name + b"\x07" + struct.pack(">H", len(value)) + value
