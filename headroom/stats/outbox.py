"""Rows on their way to a ledger elsewhere: kept on this machine's disk until that ledger has them on its own.

Each process appends to files of its own, as in `headroom.stats.journal`; a sealed file is delivered by whichever process of the
machine takes its lock, also when the one that wrote it is dead, and deleted once all of it was taken. A file is renamed before
it is first delivered, so that whoever delivers it again says so. While nobody takes rows, one file grows, up to a bound.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from headroom.errors import StoreUnavailable
from headroom.stats.book import View
from headroom.stats.journal import SYNC_S, Journal, files
from headroom.stats.ledger import Buckets, Query
from headroom.stats.rows import Row
from headroom.stats.series import Series

if TYPE_CHECKING:
    from headroom.stats.board import Board, Wish

Method = Literal["look", "series", "board"]
_SENT = ".sent"
_BATCH_BYTES = 2_000_000
_HURRY_S = 1.0  # whoever asks waits so long for a delivery on its way, which may hang


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole lines of a journal. `name` is its own; `again` says that it may have been delivered before."""

    name: str
    lines: bytes
    again: bool


class Remote(Protocol):
    """The ledger elsewhere; called from threads. Raises StoreUnavailable when it does not answer, whatever it did."""

    def put(self, batch: Batch) -> None:
        """The rows are on its disk when this returns."""
        ...

    def ask(self, method: Method, about: Any) -> Any:
        """What the method of its `Book` answers."""
        ...


class Outbox:
    """What a `Book` is to a process, for a ledger elsewhere. Methods raise OSError when the disk fails or `max_bytes` wait on it."""

    def __init__(self, directory: Path, remote: Remote, max_bytes: int) -> None:
        self._directory = directory
        self._remote = remote
        self._max_bytes = max_bytes
        self._journal = Journal(directory, SYNC_S)
        self._writing = threading.Lock()
        self._delivering = threading.Lock()
        self._away = False

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(self, rows: Sequence[Row]) -> None:
        """They are written when this returns, and on the disk a moment later."""
        if self._waiting_bytes() >= self._max_bytes:
            raise OSError(errno.ENOSPC, f"{self._max_bytes // 1_000_000} MB wait for the Stats deployment (stats.spool_mb)")
        with self._writing:
            self._journal.append(rows)

    def seal(self, older_than_s: float = 0.0) -> None:
        """Let what was written be delivered, if the oldest of it is so old and somebody takes it."""
        if not self._away or not older_than_s:
            with self._writing:
                self._journal.seal(older_than_s)

    def compact(self, wait_s: float = -1) -> bool:
        """Deliver what is sealed, also what dead processes left behind; whether there was something and all of it was taken.

        `wait_s` is for how long a delivery that is on its way is waited for; -1: until it ends.
        """
        if not self._delivering.acquire(timeout=wait_s):
            return False
        done = False
        try:
            for file in files(self._directory):
                done |= self._deliver(file)
        except StoreUnavailable:
            self._away = True
            return False
        finally:
            self._delivering.release()
        self._away = False
        return done

    def close(self) -> None:
        self.seal()
        self.compact()

    def look(self, query: Query | None = None) -> View:
        """Totals with what this process wrote, unless that is slow to be taken. Raises StoreUnavailable, as the others do."""
        self._hurry()
        view: View = self._remote.ask("look", query)
        return view

    def series(self, query: Query | None = None) -> dict[Series, Buckets]:
        self._hurry()
        found: dict[Series, Buckets] = self._remote.ask("series", query)
        return found

    def board(self, wish: Wish) -> Board:
        board: Board = self._remote.ask("board", wish)
        return board

    def _hurry(self) -> None:
        self.seal()
        self.compact(0 if self._away else _HURRY_S)

    def _waiting_bytes(self) -> int:
        found = 0
        for file in files(self._directory):
            try:
                found += file.stat().st_size
            except FileNotFoundError:
                continue
        return found

    def _deliver(self, file: Path) -> bool:
        """Whether the file was delivered; one that somebody writes or delivers is let be. Raises StoreUnavailable."""
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not file.exists():
                return False
            name, again = file.stem.removesuffix(_SENT), file.stem.endswith(_SENT)
            if not again:
                file = file.rename(file.with_stem(name + _SENT))
            for number, lines in enumerate(_parts(file.read_bytes())):
                self._remote.put(Batch(f"{name}-{number}", lines, again))
            file.unlink()
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


def _parts(data: bytes) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time; a line that a kill cut was never acknowledged."""
    start, end = 0, data.rfind(b"\n") + 1
    while start < end:
        stop = end if end - start <= _BATCH_BYTES else max(data.rfind(b"\n", start, start + _BATCH_BYTES), data.find(b"\n", start)) + 1
        yield data[start:stop]
        start = stop
