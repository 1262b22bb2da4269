"""The journal: rows on this machine's disk, one JSON line each, written through before anybody is told that they are kept.

Each process appends to files of its own and holds a lock on the one it writes; whoever can take the lock knows that nothing is
added any more. A file is deleted once its rows stand in Parquet. A line that a kill cut in the middle was never acknowledged.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headroom.stats.rows import Row, complete

_SUFFIX = ".jsonl"
_MAX_BYTES = 64_000_000
SYNC_S = 0.2  # for rows of this machine's own requests, of which nobody was told that they are kept
_log = logging.getLogger(__name__)


class Journal:
    """The files that one process writes. Not thread-safe: one thread appends and seals. Raises OSError when the disk fails."""

    def __init__(self, directory: Path, sync_s: float = 0.0) -> None:
        """`sync_s` is for how long rows may be left to the system before they are forced onto the disk."""
        self._directory = directory
        self._sync_s = sync_s
        self._descriptor: int | None = None
        self._size = 0
        self._opened = 0.0
        self._waiting_since: float | None = None  # to be forced onto the disk

    def append(self, rows: Sequence[Row]) -> None:
        """Rows outlive this process when this returns, and the machine `sync_s` later, if more rows come or `seal` is called then.

        After an error none, some or all of them may be there, each whole.
        """
        if not rows:
            return
        data = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
        descriptor = self._open()
        try:
            _write_all(descriptor, data)
            self._waiting_since = self._waiting_since or time.monotonic()
            self._sync(self._sync_s)
        except OSError:
            self._cut(descriptor, data)
            raise
        self._size += len(data)
        if self._size >= _MAX_BYTES:
            self.seal()

    def _cut(self, descriptor: int, data: bytes) -> None:
        """Take away the half line that a write left: what follows must not stand behind it. Whole ones a reader may have read already."""
        try:
            written = os.fstat(descriptor).st_size - self._size
            whole = data.rfind(b"\n", 0, written) + 1
            os.ftruncate(descriptor, self._size + whole)
        except OSError:
            self.seal()
        else:
            self._size += whole

    def seal(self, older_than_s: float = 0.0) -> None:
        """End the file that is written, if it has been for so long; the next row opens another."""
        if self._descriptor is None:
            return
        ends = time.monotonic() - self._opened >= older_than_s
        try:
            self._sync(0.0 if ends else self._sync_s)
        except OSError as failure:
            _log.warning("the last rows of the ledger are written, but may not outlive this machine: %s", failure)
        if ends:
            os.close(self._descriptor)
            self._descriptor = self._waiting_since = None

    def _sync(self, older_than_s: float) -> None:
        """Force onto the disk what waits for it, if it has for so long."""
        if self._descriptor is not None and self._waiting_since and time.monotonic() - self._waiting_since >= older_than_s:
            os.fdatasync(self._descriptor)
            self._waiting_since = None

    def _open(self) -> int:
        if self._descriptor is None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{time.time_ns() // 1000:016d}-{uuid.uuid4().hex[:12]}"
            hidden = self._directory / f".{name}"
            descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # before anybody can see it
            hidden.rename(self._directory / (name + _SUFFIX))
            sync_directory(self._directory)
            self._descriptor, self._size, self._opened = descriptor, 0, time.monotonic()
        return self._descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(directory: Path) -> None:
    """Make new and renamed names in it durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, shared: bool = False) -> Iterator[bool]:
    """Whether a lock between processes was free; it is held inside."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def files(directory: Path) -> list[Path]:
    """Every journal file, oldest first."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def is_sealed(file: Path) -> bool:
    """Whether nobody writes it any more; a file that is gone is not."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def parsed(lines: Iterable[bytes], where: str) -> Iterator[Row]:
    """The rows of whole lines; a line that is none is passed over and named."""
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and isinstance(row.get("event_id"), str) and isinstance(row.get("timestamp"), int):
            yield complete(row)
        else:
            _log.warning("%s: line %d is no row, it is passed over", where, number)


class Tail:
    """Reads a journal file as it grows, each row once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0

    def rows(self) -> list[Row]:
        """The rows since the last call. Raises FileNotFoundError once the file is gone."""
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return list(parsed(whole.splitlines(), self._file.name))
