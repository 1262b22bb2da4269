"""How a thread that lives as long as its process does one thing of many."""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)
NOT_COMPACTED = "the ledger could not be compacted, it is tried again"


def tend(work: Callable[[], object], failing: str = NOT_COMPACTED) -> bool:
    """Whether it was done. What it fails over is logged, as `failing`, and must not end the thread: what comes next is done."""
    try:
        work()
    except OSError as failure:
        _log.warning("%s: %s", failing, failure)
    except Exception:  # fence: rows that no version of ours wrote, a library's own errors
        _log.exception(failing)
    else:
        return True
    return False
