"""What was counted of files of the rollups, remembered until they change: whoever asks again reads only what is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from headroom.stats.rollups import Slice


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=Sized)


class ByFile:
    """At most `most_bytes`; what was not asked for the longest goes first. Not thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Any, tuple[Any, Any]] = OrderedDict()

    def of(self, slice: Slice, asked: Hashable, count: Callable[[], V]) -> V:
        """What `count` finds in a slice of a file; called once for each state of the file and each `asked`."""
        key = slice.path, slice.first, slice.last, asked
        if (known := self._kept.pop(key, None)) is not None:
            self._bytes -= known[1].nbytes
        value: V = known[1] if known is not None and known[0] == slice.stamp else count()
        self._kept[key] = slice.stamp, value
        self._bytes += value.nbytes
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1][1].nbytes
        return value
