"""One ledger for many machines: takes the batches of their outboxes, each row once, and compacts what it took.

A batch that is delivered for the first time is written without a look. One that may have been delivered before, to this process or
to one that was killed, is compared with the ledger event by event, so that nothing is written twice whenever a kill came.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from headroom.stats.book import Book
from headroom.stats.journal import parsed
from headroom.stats.outbox import Batch, Method
from headroom.stats.tending import tend

_REMEMBERED = 10_000  # names of batches, for those that are late and then come twice


class Intake:
    """For any number of threads. Methods raise OSError when the disk fails; a batch is then to be delivered again."""

    def __init__(self, book: Book, compact_s: float) -> None:
        self._book = book
        self._compact_s = compact_s
        self._writing = threading.Lock()
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._began: float | None = None

    def start(self) -> None:
        """Join the session, and compact from now on, first what was left behind."""
        self._book.start()
        threading.Thread(target=self._compact, name="stats-compact", daemon=True).start()

    @property
    def busy_s(self) -> float:
        """How long the batch that is written has taken; 0 when none is."""
        began = self._began
        return time.monotonic() - began if began is not None else 0.0

    def put(self, batch: Batch) -> None:
        """The rows are on the disk when this returns."""
        with self._writing:
            self._began = time.monotonic()
            try:
                if batch.name not in self._taken:
                    rows = list(parsed(batch.lines.splitlines(), batch.name))
                    self._book.append(self._book.unknown(rows) if batch.again else rows)
                    self._taken[batch.name] = None
                    while len(self._taken) > _REMEMBERED:
                        self._taken.popitem(last=False)
            finally:
                self._began = None

    def ask(self, method: Method, about: Any) -> Any:
        """What the book answers."""
        return getattr(self._book, method)(about)

    def _compact(self) -> None:
        while True:
            tend(self._sealed_and_compacted)
            time.sleep(self._compact_s)

    def _sealed_and_compacted(self) -> None:
        with self._writing:
            self._book.seal(self._compact_s)
        self._book.compact()
