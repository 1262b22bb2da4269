"""Where the ledger stands: the Parquet folder, and on this machine the journal, the summary and the locks between processes."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

_PATIENCE_S = 10.0  # for a lock that is held while files are read or written
_LOOK_AGAIN_S = 0.005


@dataclass(frozen=True, slots=True)
class Places:
    """`url` is the Parquet folder, by default `home` itself; `home` is on this machine."""

    home: Path
    url: str

    @property
    def elsewhere(self) -> bool:
        """Whether the Parquet folder is not the home, so that other homes could be given it too."""
        return "://" in self.url or Path(self.url).resolve() != self.home.resolve()

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    @property
    def summary(self) -> Path:
        return self.home / "summary.json"

    @property
    def lock(self) -> Path:
        """Held by the process that compacts."""
        return self.home / ".compaction"

    @property
    def dirty(self) -> bool:
        """Whether the files of a commit were begun and not finished. True while another process commits."""
        try:
            return self._commit.stat().st_size > 0
        except FileNotFoundError:
            return False

    @property
    def _commit(self) -> Path:
        return self.home / ".commit"

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Rollups and summary are written together inside: nobody reads them meanwhile, and a kill is noticed. Raises OSError."""
        descriptor = os.open(self._commit, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _held(descriptor, LOCK_EX)
            os.pwrite(descriptor, b"1", 0)
            os.fsync(descriptor)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def doubt(self) -> None:
        """As if a commit were left unfinished. Raises OSError."""
        descriptor = os.open(self._commit, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _held(descriptor, LOCK_EX)
            os.pwrite(descriptor, b"1", 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def steady(self) -> Iterator[bool]:
        """Rollups and summary do not change inside. Yields False when a commit was left unfinished: a run must mend it first.

        Raises OSError when a commit lasts too long.
        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._commit, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _held(descriptor, LOCK_SH)
            yield os.fstat(descriptor).st_size == 0
        finally:
            os.close(descriptor)


def _held(descriptor: int, kind: int) -> None:
    """Take a lock of this kind. Raises TimeoutError when others do not let it go."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            flock(descriptor, kind | LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds the ledger") from None
            time.sleep(_LOOK_AGAIN_S)
        else:
            return
