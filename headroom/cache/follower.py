"""The thread that keeps a semantic index: from the snapshot and the log when it begins, along the log from then on.

It alone changes the index, so it also builds anew what is worn, and saves. While the store does not answer, what is known stays.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from headroom.cache import snapshot
from headroom.cache.semantic import Bounds, SemanticIndex, follow
from headroom.errors import StoreUnavailable
from headroom.settings import Settings
from headroom.store import open_seal
from headroom.store.base import Store
from headroom.store.vault import Seal

_POLL_S = 1.0
_log = logging.getLogger(__name__)


def open_index(settings: Settings) -> SemanticIndex:
    cache = settings.cache
    return SemanticIndex(Bounds(cache.semantic_entries, 1_000_000 * cache.semantic_mb, cache.ttl_s))


def open_follower(index: SemanticIndex, store: Store, settings: Settings) -> Follower:
    """Raises SettingsError."""
    directory = settings.cache.snapshot_dir or settings.home / "semantic"
    return Follower(index, store, directory, open_seal(settings), settings.cache.snapshot_every)


class Follower:
    """`every` is how many entries behind the last snapshot, and a tenth of those held, make a new one."""

    def __init__(self, index: SemanticIndex, store: Store, directory: Path, seal: Seal, every: int, poll_s: float = _POLL_S) -> None:
        self._index = index
        self._store = store
        self._directory = directory
        self._seal = seal
        self._every = every
        self._poll_s = poll_s
        self._saved = 0
        self._due = threading.Event()
        self._closing = False
        self._lost = False
        self._reached = threading.Event()
        self._thread = threading.Thread(target=self._run, name="semantic-cache", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether the end of the log was reached once."""
        return self._reached.is_set()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def nudge(self) -> None:
        """Something was appended."""
        self._due.set()

    def wait(self, timeout_s: float) -> bool:
        """Returns when the end of the log was reached, or after this time; whether it was."""
        return self._reached.wait(timeout_s)

    def close(self) -> None:
        """Save and end. The store must still be open."""
        self._closing = True
        self._due.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        loaded = snapshot.load(self._index, self._directory, self._seal)
        self._saved = self._index.number
        before = self._index.entries
        while not self._closing and not self._followed():
            self._due.wait(self._poll_s)
        _log.info(
            "semantic cache: %s, %d entries read from the log behind it, %d entries in %d namespaces, %.1f s",
            f"snapshot used, {before} entries at number {self._saved}" if loaded else "no snapshot",
            self._index.number - self._saved,
            self._index.entries,
            self._index.namespaces,
            time.monotonic() - started,
        )
        self._reached.set()
        while not self._closing:
            self._due.wait(self._poll_s)
            self._due.clear()
            self._followed()
            self._index.trim()
            for namespace in self._index.worn():
                self._index.rebuild(namespace)
            self._save(self._every + self._index.entries // 10)
        self._followed()
        self._save(1)

    def _followed(self) -> bool:
        """Whether the end of the log was reached."""
        try:
            follow(self._index, self._store)
        except StoreUnavailable as failure:
            if not self._lost:  # once, however long it lasts
                _log.warning("the log of the semantic cache cannot be read, it is tried every %.0f s: %s", self._poll_s, failure.message)
            self._lost = True
            return False
        if self._lost:
            _log.warning("the log of the semantic cache is read again")
        self._lost = False
        try:
            if self._index.cleared > self._saved:
                snapshot.remove(self._directory)
                self._saved = self._index.cleared
        except OSError as failure:
            _log.warning("a snapshot with what was cleared cannot be removed: %s", failure)
        return True

    def _save(self, behind: int) -> None:
        """Save the index if its file, another process's or ours, is so many entries behind."""
        index = self._index
        if index.number - self._saved < behind or not index.entries:
            return
        try:
            self._saved = max(self._saved, snapshot.saved_number(self._directory, self._seal))
            if index.number - self._saved >= behind:
                self._saved = snapshot.save(index, self._directory, self._seal)
                _log.info("semantic cache: snapshot of %d entries saved at number %d", index.entries, self._saved)
        except (OSError, ValueError, MemoryError) as failure:
            self._saved = index.number  # tried again after as many entries
            _log.warning("the semantic cache could not be saved: %s", failure)
