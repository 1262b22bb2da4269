"""Reads `text/event-stream` bytes as they come, whatever the split. Sans-I/O; the bytes themselves are never changed.

Follows the WHATWG server-sent events grammar as far as data lines go: CR, LF and CRLF end a line, a
blank line ends an event, several data lines are joined by LF, comments and other fields are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 4_000_000  # an event that grows beyond this is not looked at
_LINE = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """Feed it bytes; it yields the data of every event that ended in them."""

    def __init__(self) -> None:
        self._tail = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each completed event, undecoded; events without data are passed over."""
        buffer = self._tail + chunk
        # a CR at the very end may be the first half of CRLF: it waits for the next chunk
        held = b"\r" if buffer.endswith(b"\r") else b""
        *lines, rest = _LINE.split(buffer[: len(buffer) - len(held)])
        self._tail = (rest + held)[-MAX_EVENT_BYTES:]
        for line in lines:
            if not line:
                if self._data and self._size <= MAX_EVENT_BYTES:
                    yield b"\n".join(self._data)
                self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                value = line[5:].removeprefix(b" ")
                self._size += len(value)
                if self._size <= MAX_EVENT_BYTES:
                    self._data.append(value)
