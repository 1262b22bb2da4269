"""Reads `text/event-stream` bytes as they come, whatever the split. Sans-I/O; the bytes themselves are never changed.

Follows the WHATWG server-sent events grammar as far as data lines go: CR, LF and CRLF end a line, a
blank line ends an event, several data lines are joined by LF, comments and other fields are passed over.
Every byte is looked at once, however the stream is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 4_000_000  # an event that grows beyond this is not looked at
_LINE = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """Feed it bytes; it yields the data of every event that ended in them."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of the line that has not ended yet
        self._data: list[bytes] = []
        self._size = 0  # of the event so far, its unfinished line included
        self._held = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each completed event, undecoded; events without data are passed over."""
        chunk = self._held + chunk
        # a CR at the very end may be the first half of CRLF: it waits for the next chunk
        self._held = b"\r" if chunk.endswith(b"\r") else b""
        first, *others = _LINE.split(chunk[: len(chunk) - len(self._held)])
        self._grow(first)
        for piece in others:
            line = b"".join(self._line)
            self._line = []
            if line.startswith(b"data:") and self._size <= MAX_EVENT_BYTES:
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._size:
                if self._data and self._size <= MAX_EVENT_BYTES:
                    yield b"\n".join(self._data)
                self._data, self._size = [], 0
            self._grow(piece)

    def _grow(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= MAX_EVENT_BYTES:
            self._line.append(piece)
        elif piece:
            self._line, self._data = [b":"], []  # the rest of the event counts as comments
