"""Records outcomes: rows of the ledger, and one JSON line per request in the log file. Nobody waits.

A row never holds a prompt, an answer or a credential. What waits for the disk is bounded: when the disk cannot keep up, or cannot
be written, rows are dropped, counted and logged; requests go on. So is an outcome that nobody expected; those behind it are kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from headroom.errors import StoreUnavailable
from headroom.outcome import Outcome
from headroom.stats.book import View
from headroom.stats.ledger import Buckets, Query
from headroom.stats.prices import Prices
from headroom.stats.rows import Row, row_of
from headroom.stats.series import Series
from headroom.stats.tally import Tally
from headroom.stats.tending import tend
from headroom.stats.usual import Usual

if TYPE_CHECKING:
    from headroom.stats.board import Board, Wish

_MAX_WAITING = 10_000  # outcomes
_BATCH = 500
_TICK_S = 1.0
_RETRY_S = 1.0  # after the disk failed
_FLUSH_S = 5.0
_READERS = 2  # threads of their own: those of the loop look up names
_log = logging.getLogger(__name__)
P = ParamSpec("P")
Q = TypeVar("Q")
T = TypeVar("T")


class Statistics(Protocol):
    """Where outcomes go and what was counted: this process's `Recorder`, or the Stats deployment."""

    @property
    def dropped(self) -> int:
        """Outcomes of this process that are in no ledger."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def record(self, outcome: Outcome) -> None:
        """Take one outcome; returns at once and never fails."""
        ...

    async def look(self, query: Query | None = None, *, fresh: bool = True) -> View:
        """Totals; if `fresh`, what this process recorded before is in them, else nobody waits for the disk. Raises StoreUnavailable."""
        ...

    def glance(self) -> View:
        """Totals as they were found last, of nothing before; asks for newer ones, and nobody waits."""
        ...

    async def series(self, query: Query | None = None) -> dict[Series, Buckets]:
        """Every series. Raises StoreUnavailable."""
        ...

    async def board(self, wish: Wish) -> Board:
        """What a dashboard shows of the requests that are meant; nobody waits for the disk. Raises StoreUnavailable."""
        ...


class LogFile:
    """One line per outcome. Opened at once, so that a path that cannot be written stops the start; raises OSError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """One `write` per line: several processes may append to the same file. A line that cannot be written is logged."""
        for outcome in outcomes:
            try:
                os.write(self._descriptor, (json.dumps(line(outcome)) + "\n").encode())
            except OSError as failure:
                _log.warning("%s: a line could not be written: %s", self._path, failure.strerror)

    def close(self) -> None:
        os.close(self._descriptor)


class Keeper(Protocol):
    """What a recorder writes to: the `Book` of this machine, or the `Outbox` of a ledger elsewhere."""

    def start(self) -> None: ...

    def append(self, rows: Sequence[Row]) -> None: ...

    def seal(self, older_than_s: float = 0.0) -> None: ...

    def compact(self) -> bool: ...

    def close(self) -> None: ...

    def look(self, query: Query | None = None) -> View: ...

    def series(self, query: Query | None = None) -> dict[Series, Buckets]: ...

    def board(self, wish: Wish) -> Board: ...


class Recorder:
    """Statistics in a book; a thread writes, another compacts every `compact_s`."""

    def __init__(self, book: Keeper, prices: Prices, log_file: LogFile | None = None, compact_s: float = 30.0) -> None:
        self._book = book
        self._prices = prices
        self._usual = Usual()
        self._log_file = log_file
        self._compact_s = compact_s
        self._waiting: queue.Queue[Outcome | threading.Event | None] = queue.Queue(_MAX_WAITING)
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="stats-read")
        self._seen = View(Tally())
        self._seeing: Future[None] | None = None
        self.dropped = 0

    async def start(self) -> None:
        for target in (self._write, self._compact):
            thread = threading.Thread(target=target, name=f"stats{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    async def close(self) -> None:
        """Write what waits, and compact it."""
        await asyncio.to_thread(self._close)
        self._readers.shutdown(wait=False, cancel_futures=True)

    def record(self, outcome: Outcome) -> None:
        try:
            self._waiting.put_nowait(outcome)
        except queue.Full:
            self.dropped += 1
            if self.dropped in (1, 10, 100) or self.dropped % 1000 == 0:
                _log.warning("%d outcomes are in no ledger: the disk cannot keep up", self.dropped)

    async def look(self, query: Query | None = None, *, fresh: bool = True) -> View:
        if fresh:
            await self._in_thread(self._flush)
        return await self._in_thread(_read, self._book.look, query)

    def glance(self) -> View:
        if self._seeing is None or self._seeing.done():
            self._seeing = self._readers.submit(self._see)
        return self._seen

    async def series(self, query: Query | None = None) -> dict[Series, Buckets]:
        await self._in_thread(self._flush)
        return await self._in_thread(_read, self._book.series, query)

    async def board(self, wish: Wish) -> Board:
        return await self._in_thread(_read, self._book.board, wish)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(function, *args, **kwargs))

    def _see(self) -> None:
        try:
            self._seen = self._book.look()
        except (OSError, StoreUnavailable) as failure:
            _log.debug("the ledger cannot be read: %s", failure)

    def _flush(self) -> None:
        """Returns when what was recorded before is written, or the disk takes too long."""
        if not self._threads:
            return
        written = threading.Event()
        try:
            self._waiting.put(written, timeout=_FLUSH_S)
        except queue.Full:
            return
        written.wait(_FLUSH_S)

    def _close(self) -> None:
        if not self._threads:
            return
        self._closing.set()
        try:
            self._waiting.put(None, timeout=_FLUSH_S)
        except queue.Full:
            _log.warning("%d outcomes are in no ledger: the disk could not be written", self._waiting.qsize())
        for thread in self._threads:
            thread.join(timeout=2 * _FLUSH_S)

    def _write(self) -> None:
        """The writing thread."""
        tend(self._book.start, "the ledger cannot be opened")
        ended = False
        while not ended:
            batch, flushed, ended = self._batch()
            if batch:
                self._keep(batch)
            for event in flushed:
                event.set()
            tend(partial(self._book.seal, self._compact_s), "the journal could not be sealed, it is tried again")
        tend(self._book.close, "the ledger could not be closed")
        if self._log_file:
            self._log_file.close()

    def _batch(self) -> tuple[list[Outcome], list[threading.Event], bool]:
        """What waits, as much as is written at once; whether that was the last."""
        batch: list[Outcome] = []
        flushed: list[threading.Event] = []
        try:
            item = self._waiting.get(timeout=_TICK_S)
            while True:
                if item is None:
                    return batch, flushed, True
                if isinstance(item, threading.Event):
                    flushed.append(item)
                else:
                    batch.append(item)
                if len(batch) >= _BATCH:
                    break
                item = self._waiting.get_nowait()
        except queue.Empty:
            pass
        return batch, flushed, False

    def _keep(self, batch: Sequence[Outcome]) -> None:
        """An outcome or row that nobody expected is dropped alone, said and counted; the others are kept."""
        rows: list[Row] = []
        for outcome in batch:
            if self._log_file:
                tend(partial(self._log_file.write, [outcome]), f"request {outcome.request_id} has no line in the log file")
            if not tend(partial(self._add, rows, outcome), f"request {outcome.request_id} has no row"):
                self._lose(1, "it is none that can be read")
        if rows and not tend(partial(self._append, rows), "rows could not be written, each is tried by itself"):
            for row in rows:  # one that is there already counts once
                if not tend(partial(self._append, [row]), f"the row of request {row['event_id']} could not be written"):
                    self._lose(1, "it cannot be written")

    def _add(self, rows: list[Row], outcome: Outcome) -> None:
        rows.append(row_of(outcome, self._prices, self._usual))

    def _append(self, rows: Sequence[Row]) -> None:
        """Tried until the disk takes it; a server that ends meanwhile gives up."""
        failed = False
        while True:
            try:
                self._book.append(rows)
                return
            except OSError as failure:
                if not failed:
                    _log.warning("the ledger cannot be written, outcomes wait: %s", failure)
                failed = True
            if self._closing.wait(_RETRY_S):
                self._lose(len(rows), "the disk could not be written")
                return

    def _lose(self, count: int, why: str) -> None:
        self.dropped += count
        _log.warning("%d outcomes are in no ledger: %s", count, why)

    def _compact(self) -> None:
        """The compacting thread: at the start, for what others left behind, then now and then, and at the end."""
        ended = False
        while True:
            tend(self._book.compact)
            if ended:
                return
            ended = self._closing.wait(self._compact_s)
            if ended:
                self._threads[0].join(timeout=_FLUSH_S)


def _read(ask: Callable[[Q], T], asked: Q) -> T:
    try:
        return ask(asked)
    except OSError as failure:
        raise StoreUnavailable(f"The ledger cannot be read: {failure}.") from None


def line(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the log file shows it; times in milliseconds."""
    before, saved = outcome.tokens_before, outcome.tokens_saved
    return {
        "request_id": outcome.request_id,
        "timestamp": datetime.fromtimestamp(outcome.timestamp, UTC).isoformat(),
        "provider": outcome.provider,
        "model": outcome.model,
        "status": outcome.status,
        "input_tokens_original": before,
        "input_tokens_optimized": outcome.tokens_after,
        "output_tokens": outcome.usage.output_tokens,
        "tokens_saved": saved,
        "savings_percent": round(100 * saved / before, 2) if before else 0.0,
        "optimization_latency_ms": round(outcome.overhead_ms, 2),
        "total_latency_ms": round(outcome.total_ms, 2),
        "tags": dict(outcome.tags),
        "cache_hit": bool(outcome.cache_hit),
        "transforms_applied": list(outcome.transforms),
        "waste_signals": dict(outcome.waste),
        "error": outcome.error or None,
        "skip_reason": outcome.skip_reason or None,
        "cache_read_tokens": outcome.usage.cache_read_tokens,
        "cache_write_tokens": outcome.usage.cache_write_tokens,
    }
