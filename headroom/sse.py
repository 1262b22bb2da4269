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


_FRAME_END = re.compile(rb"(?>\r\n|\n|\r){2}")
_DATA = re.compile(rb"(?<![^\r\n])data:[ ]?([^\r\n]*)")


class FrameReader:
    """Cuts a stream into its events, each with its own bytes: whatever the split, the frames joined are what came.

    An event that grows beyond MAX_EVENT_BYTES comes in pieces, none of which can be read.
    """

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The frames that end in `chunk`, blank line included."""
        held, start = self._held + chunk, 0
        for end in _FRAME_END.finditer(held, max(0, len(self._held) - 3)):
            yield held[start : end.end()]
            start = end.end()
        self._held = held[start:]
        if len(self._held) > MAX_EVENT_BYTES:
            yield self._held
            self._held = b""

    def rest(self) -> bytes:
        """What came behind the last complete frame."""
        return self._held


def data_of(frame: bytes) -> bytes:
    """The data of one frame, empty when it has none."""
    return b"\n".join(match[1] for match in _DATA.finditer(frame))


def completed(frame: bytes) -> bytes:
    """A last frame with the line ends that its blank line lacks."""
    ends = _LINE.findall(frame)
    end = ends[-1] if ends else b"\n"
    return frame + (end if frame.endswith((b"\n", b"\r")) else 2 * end)


def with_data(frame: bytes, data: bytes) -> bytes:
    """The frame with other data, which holds no line end; its other lines stay as they are."""
    first = True

    def line(_: re.Match[bytes]) -> bytes:
        nonlocal first
        first, now = False, first
        return b"data: " + data if now else b":"

    return _DATA.sub(line, frame)
