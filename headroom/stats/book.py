"""The ledger of one machine as a process uses it: rows go in, totals come out, and now and then somebody compacts.

Every process of a machine opens the same book. Appending is for one thread, compacting for one, looking for any.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headroom.settings.parts import shown_url
from headroom.stats import report
from headroom.stats.journal import Journal, files, is_sealed, locked
from headroom.stats.ledger import Buckets, Ledger, Query
from headroom.stats.places import Places
from headroom.stats.rows import SCHEMA_VERSION, Row
from headroom.stats.series import SERIES, Series
from headroom.stats.summary import read_json, replace
from headroom.stats.tally import Tally

if TYPE_CHECKING:
    from headroom.stats.board import Board, Wish

_HOUR_S = 3600.0
_SAVINGS_HISTORY = 400  # days in proxy_savings.json
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What is known at a moment. `session` is counted since the first of the processes that run now began; `path` is the folder."""

    total: Tally
    recent: Sequence[Mapping[str, Any]] = ()
    labels: Sequence[str] = ()
    session: Mapping[str, Any] | None = None
    path: str = ""


class Book:
    """Opened without touching the disk; `start` does. Methods raise OSError when a disk fails."""

    def __init__(self, places: Places, retention_days: int, savings: Path, sync_s: float = 0.0) -> None:
        self._places = places
        self._retention_days = retention_days
        self._savings = savings
        self._journal = Journal(places.journal, sync_s)
        self._looking = threading.Lock()
        self._ledger = Ledger(places, self._compaction)
        self._session: int | None = None
        self._compacted = time.monotonic()

    def start(self) -> None:
        """Join the session that runs, or begin one."""
        self._places.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._session = os.open(self._places.home / ".session", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._session, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            with self._looking:
                base = report.lifetime(self._ledger.total())
            replace(self._session_file, {"started": time.time(), "base": base})
        fcntl.flock(self._session, fcntl.LOCK_SH)

    def append(self, rows: Sequence[Row]) -> None:
        """They are written when this returns, and on the disk `sync_s` later."""
        self._journal.append(rows)

    def unknown(self, rows: Sequence[Row]) -> list[Row]:
        """Those that the ledger does not hold yet; the first of each event."""
        with self._looking:
            return self._ledger.unknown(rows)

    def seal(self, older_than_s: float = 0.0) -> None:
        """Let others compact what this process wrote, if the oldest of it is so old."""
        self._journal.seal(older_than_s)

    def close(self) -> None:
        self.seal()
        if self._session is not None:
            os.close(self._session)
            self._session = None

    def compact(self, now: float | None = None) -> bool:
        """Whether it was done; False when there is nothing to do, or another process is at it."""
        if not self._due():
            return False
        if not self._compaction(now):
            return False
        self._compacted = time.monotonic()
        self._write_savings()
        return True

    def check(self) -> str:
        """Why the Parquet folder cannot be written now; empty where it can, or is at home. Raises SettingsError as `owner.check` does."""
        if not self._places.elsewhere:
            return ""
        from headroom.stats import owner

        return owner.check(self._places)

    def _compaction(self, now: float | None = None) -> bool:
        from headroom.stats.compaction import Compaction

        if self._places.elsewhere:
            from headroom.stats import owner

            owner.claim(self._places)
        return Compaction(self._places, self._retention_days).run(now)

    def _due(self) -> bool:
        """Whether there is something to compact; once an hour there is always."""
        sealed = any(map(is_sealed, files(self._places.journal)))
        return sealed or self._places.dirty or time.monotonic() - self._compacted > _HOUR_S

    def look(self, query: Query | None = None) -> View:
        """Totals of the requests that are meant; the rest of the view is of all."""
        with self._looking:
            total, recent, labels = self._ledger.total(query), self._ledger.recent(), self._ledger.labels()
            everything = total if query is None or query.everything else self._ledger.total()
        return View(total, recent, labels, self._since(report.lifetime(everything)), shown_url(self._places.url))

    def series(self, query: Query | None = None) -> dict[Series, Buckets]:
        """Every series."""
        with self._looking:
            return {name: self._ledger.buckets(name, query) for name in SERIES}

    def board(self, wish: Wish) -> Board:
        """What a dashboard shows of the requests that are meant."""
        with self._looking:
            return self._ledger.board(wish)

    @property
    def _session_file(self) -> Path:
        return self._places.home / "session.json"

    def _since(self, lifetime: Mapping[str, Any]) -> dict[str, Any]:
        session = read_json(self._session_file) or {}
        base = session.get("base", {})
        counted = {name: value - base.get(name, 0) for name, value in lifetime.items()}
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in counted.items()} | {
            "started": session.get("started")
        }

    def _write_savings(self) -> None:
        """proxy_savings.json, for people and tools that read it; it is written from the ledger and never read."""
        with locked(self._places.home / ".savings") as free, self._looking:
            if not free:
                return
            lifetime = report.lifetime(self._ledger.total())
            days = report.series_rows(self._ledger.buckets("daily"))[-_SAVINGS_HISTORY:]
        self._savings.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {"schema_version": SCHEMA_VERSION, "lifetime": lifetime, "display_session": self._since(lifetime), "history": days}
        replace(self._savings, content)
