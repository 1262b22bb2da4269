"""How a thread that lives as long as its process compacts."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)


def tend(compact: Callable[[], object]) -> None:
    """One run. What it fails over is logged, and must not be the last of the thread's: the next run tries again."""
    try:
        compact()
    except OSError as failure:
        _log.warning("the ledger could not be compacted, it is tried again: %s", failure)
    except Exception:  # fence: rows that no version of ours wrote, a library's own errors
        _log.exception("the ledger could not be compacted, it is tried again")
