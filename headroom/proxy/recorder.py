"""Records outcomes: the ledger of this process, and one JSON line per request in the log file. Nobody waits.

A line never holds a prompt, an answer or a credential. When the disk cannot keep up or cannot be
written, lines are dropped, counted and logged; requests go on.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headroom.model import Outcome
from headroom.stats.ledger import Ledger

_MAX_WAITING = 10_000  # lines
_log = logging.getLogger(__name__)


class Recorder:
    """`log_file` is opened at once, so that a path that cannot be written stops the start; raises OSError."""

    def __init__(self, ledger: Ledger, log_file: Path | None = None) -> None:
        self._ledger = ledger
        self._lines: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._thread: threading.Thread | None = None
        if log_file:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._thread = threading.Thread(target=self._write, args=(descriptor, log_file), name="request-log", daemon=True)
            self._thread.start()

    def record(self, outcome: Outcome) -> None:
        """Count one outcome and queue its line."""
        self._ledger.record(outcome)
        if self._thread:
            try:
                self._lines.put_nowait(json.dumps(line(outcome)) + "\n")
            except queue.Full:
                _log.warning("request %s is missing in the log file: the disk is too slow", outcome.request_id)

    def close(self) -> None:
        """Write what is queued."""
        if self._thread:
            self._lines.put(None)
            self._thread.join(timeout=5)

    def _write(self, descriptor: int, path: Path) -> None:
        """One `write` per line: several processes may append to the same file."""
        while (text := self._lines.get()) is not None:
            try:
                os.write(descriptor, text.encode())
            except OSError as failure:
                _log.warning("%s: a line could not be written: %s", path, failure.strerror)
        os.close(descriptor)


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
        "error": outcome.error or None,
        "skip_reason": outcome.skip_reason or None,
        "cache_read_tokens": outcome.usage.cache_read_tokens,
        "cache_write_tokens": outcome.usage.cache_write_tokens,
    }
