"""Memory that stays small: of what was used lately."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `most`, by what each value weighs, and nothing that was not used for `idle_s`; the least recently used go first.

    May be used from any thread.
    """

    def __init__(self, most: float, idle_s: float = 900.0, weigh: Callable[[V], float] = lambda _: 1) -> None:
        self._most = most
        self._idle_s = idle_s
        self._weigh = weigh
        self._weight = 0.0
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()  # and when it was last used
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        return self.find([key]).get(key)

    def find(self, keys: Iterable[K]) -> dict[K, V]:
        """Those that are there, which counts as use."""
        now = time.monotonic()
        found: dict[K, V] = {}
        with self._lock:
            for key in keys:
                if (kept := self._kept.get(key)) is not None:
                    found[key] = kept[0]
                    self._kept[key] = kept[0], now
                    self._kept.move_to_end(key)
            self._shrink(now)
        return found

    def put(self, values: Mapping[K, V]) -> None:
        """In place of what stood there."""
        now = time.monotonic()
        with self._lock:
            for key, value in values.items():
                if (stood := self._kept.pop(key, None)) is not None:
                    self._weight -= self._weigh(stood[0])
                self._kept[key] = value, now
                self._weight += self._weigh(value)
            self._shrink(now)

    def _shrink(self, now: float) -> None:
        while self._kept:
            value, used = next(iter(self._kept.values()))
            if self._weight <= self._most and now - used <= self._idle_s:
                return
            self._kept.popitem(last=False)
            self._weight -= self._weigh(value)
