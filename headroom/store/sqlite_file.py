"""An SQLite file for any number of threads and processes: its connections, its tables, and every failure as StoreUnavailable.

A connection belongs to one thread of one process; nothing inherited over a fork is used. The file is opened at the first use,
with mode 0600, and brought to this version's tables. What commits have written is taken from SQLite's log into the file on a thread
beside them: that waits for the disk, and others would wait for the commit.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from headroom.errors import StoreUnavailable
from headroom.store.schema import SCHEMA_VERSION, STEPS

_CAUSES = {
    "SQLITE_BUSY": "locked by another process",
    "SQLITE_LOCKED": "locked by another process",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "read-only",
    "SQLITE_CANTOPEN": "cannot be opened",
    "SQLITE_IOERR": "cannot be read or written",
    "SQLITE_CORRUPT": "corrupt, move the file away to start a new one",
    "SQLITE_NOTADB": "not a database, move the file away to start a new one",
}


_CHECKPOINT_S = 5.0  # between two checkpoints of a process
_CHECKPOINT_PAGES = 16_000  # of 4 KB, after which a commit does it itself: only where no thread came to it in time
_log = logging.getLogger(__name__)


class SqliteFile:
    """`busy_s` is how long a write waits for another process."""

    def __init__(self, path: Path, busy_s: float) -> None:
        self.path = path
        self._busy_s = busy_s
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}
        self._closed = False
        self._checkpoint: tuple[int, threading.Thread] | None = None  # the last one, and the process that made it
        self._checkpoint_at = time.monotonic() + _CHECKPOINT_S

    def close(self) -> None:
        """Close this process's connections."""
        self._closed = True
        if self._checkpoint and self._checkpoint[0] == os.getpid():
            self._checkpoint[1].join()
        for owner in list(self._connections):
            if owner[0] == os.getpid():
                self._connections.pop(owner).close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end or not at all."""
        with self.read() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        if time.monotonic() >= self._checkpoint_at and not self._closed:
            self._checkpoint_at = time.monotonic() + _CHECKPOINT_S
            thread = threading.Thread(target=self._checkpointed, name="checkpoint", daemon=True)
            self._checkpoint = os.getpid(), thread
            thread.start()

    def _checkpointed(self) -> None:
        try:
            with self.read() as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except StoreUnavailable as failure:
            _log.warning("what was committed stays in SQLite's log for now: %s", failure.message)
        finally:
            self._checkpoint_at = time.monotonic() + _CHECKPOINT_S
            if used := self._connections.pop(_owner(), None):
                used.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection; a foreign error inside becomes StoreUnavailable, and the next use opens anew."""
        try:
            yield self._connection()
        except (sqlite3.Error, zstandard.ZstdError, OSError) as failure:
            broken = self._connections.pop(_owner(), None)
            if broken is not None:
                broken.close()
            raise StoreUnavailable(f"{self.path}: {_cause(failure)}") from failure

    def _connection(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self.path}: the store is closed")
        owner = _owner()
        if owner not in self._connections:
            self._connections[owner] = self._open()
        return self._connections[owner]

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False)
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()  # makes the file, still empty
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o600)
            _use_wal(db, self._busy_s)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA journal_size_limit = 67108864")
            db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            if version < SCHEMA_VERSION:
                version = _upgrade(db)
            if version != SCHEMA_VERSION:
                raise sqlite3.DatabaseError(f"schema {version} is of another version of Headroom, which knows {SCHEMA_VERSION}")
        except BaseException:
            db.close()
            raise
        return db


def _owner() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _use_wal(db: sqlite3.Connection, busy_s: float) -> None:
    """The change to WAL does not wait for others that make the same change, so it is tried again."""
    pause_s = 0.01
    for attempt in range(int(busy_s / pause_s), -1, -1):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as failure:
            if failure.sqlite_errorname != "SQLITE_BUSY" or attempt == 0:
                raise
            time.sleep(pause_s)
        else:
            return


def _upgrade(db: sqlite3.Connection) -> int:
    """Make the tables that a file of an older version lacks, unless another process was quicker; the schema version."""
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for step in STEPS[version:]:
            _execute_all(db, step)
            version += 1
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return int(version)


def _execute_all(db: sqlite3.Connection, script: str) -> None:
    """Each statement, without the commit that `executescript` begins with."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""


def _cause(failure: Exception) -> str:
    name = getattr(failure, "sqlite_errorname", "")
    known = next((words for prefix, words in _CAUSES.items() if name.startswith(prefix)), "")
    return f"{known} ({failure})" if known else str(failure)
