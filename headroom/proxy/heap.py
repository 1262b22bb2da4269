"""The room that glibc's malloc keeps for a process. Other C libraries have nothing of the kind, and nothing is done there."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable

from headroom.settings import variable

_M_ARENA_MAX = -8  # of mallopt


def one_heap() -> None:
    """Threads to come take memory from one heap, unless glibc's own variable says how many. One a thread would each keep room for the most
    that its thread ever held.
    """
    limit = _of_glibc("mallopt")
    if limit and not variable("MALLOC_ARENA_MAX"):
        limit(_M_ARENA_MAX, 1)


def give_back(every_s: float = 30.0) -> None:
    """What is free in the heaps goes back to the system, again and again for as long as the process lives: large jobs leave room behind."""
    trim = _of_glibc("malloc_trim")
    if trim:
        threading.Thread(target=_repeat, args=(trim, every_s), name="heap", daemon=True).start()


def _repeat(trim: Callable[[int], int], every_s: float) -> None:
    while True:
        time.sleep(every_s)
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
