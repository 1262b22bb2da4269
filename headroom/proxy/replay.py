"""Results already known, so that a turn costs what it adds: memory first, then the store.

A result never changes once it is known, therefore memory may be as stale as it likes.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from headroom.errors import StoreUnavailable
from headroom.model import Compressed, Original, Segment
from headroom.recent import Recent
from headroom.store.threaded import ThreadedStore

_MOST_UNSAVED = 20_000
_MOST_RENEWED = 100_000
_ENTRY_BYTES = 500  # of a result in memory, beside its text
_PAUSE_S = 5.0  # the store is left alone after it failed, so that no request waits for it twice
_log = logging.getLogger(__name__)


class Replay:
    """Looks up and remembers `Compressed` by memo key; at most `max_bytes` of them in memory, and those of running conversations only.

    Lifetimes in the store are renewed every `renew_s`, which must be much shorter than they are.
    """

    def __init__(self, store: ThreadedStore, renew_s: float = 600.0, max_bytes: int = 64_000_000) -> None:
        self._store = store
        self._renew_s = renew_s
        self._known = Recent[str, Compressed](max_bytes, weigh=_size)
        self._renewed: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._unsaved: dict[str, Compressed] = {}  # pinned while the store was down
        self._down_until = 0.0

    @property
    def is_down(self) -> bool:
        """Whether the store failed a moment ago."""
        return time.monotonic() < self._down_until

    def failed(self, failure: object) -> None:
        """The store could not be read or written."""
        _log.warning("the store is left alone for %.0f s: %s", _PAUSE_S, failure)
        self._down_until = time.monotonic() + _PAUSE_S

    def held(self, keys: Iterable[str]) -> dict[str, Compressed]:
        """Those of the results that are in memory."""
        return self._known.find(keys)

    async def lookup(self, scope: str, keys: Sequence[str], segments: Mapping[str, Segment]) -> dict[str, Compressed]:
        """The known results among `keys`; every original they refer to is readable when this returns, or the store is down.

        `segments` are those of the keys that stand for a segment.
        """
        found = self.held(keys)
        missing = [key for key in keys if key not in found]
        if self.is_down:
            return found
        try:
            await self._save()
            if missing:
                found.update(await self._store.get_results(missing))
            await self._renew(scope, [(segments[key], result) for key, result in found.items() if key in segments])
        except StoreUnavailable as failure:
            self.failed(failure)
        self.remember({key: found[key] for key in missing if key in found})
        return found

    def remember(self, results: Mapping[str, Compressed]) -> None:
        """Keep results that the store holds already."""
        self._known.put(results)

    async def pin(self, keys: Sequence[str], kept: Compressed) -> dict[str, Compressed]:
        """Remember that these segments were forwarded as they came, so that later turns forward the same."""
        results = dict.fromkeys(keys, kept)
        if not self.is_down:
            try:
                return await self.first(results)
            except StoreUnavailable as failure:
                self.failed(failure)
        self.remember(results)
        if len(self._unsaved) < _MOST_UNSAVED:
            self._unsaved |= results
        return results

    async def _save(self) -> None:
        """Tell the others what was pinned while the store was down. Raises StoreUnavailable."""
        if not self._unsaved:
            return
        unsaved, self._unsaved = self._unsaved, {}
        try:
            await self._store.put_results(unsaved)
        except StoreUnavailable:
            self._unsaved = unsaved | self._unsaved
            raise

    async def first(self, results: Mapping[str, Compressed]) -> dict[str, Compressed]:
        """What stands for these keys, ours where nothing stood before. Raises StoreUnavailable."""
        stands = dict(await self._store.put_results(results))
        self.remember(stands)
        return stands

    async def keep(self, scope: str, originals: Sequence[Original]) -> None:
        """Renew their lifetimes, store again what is gone. Raises StoreUnavailable."""
        now = time.monotonic()
        due = {original.hash: original for original in originals if self._is_due(scope, original.hash, now)}
        if not due:
            return
        lost = [due[digest] for digest in await self._store.touch_originals(scope, list(due))]
        if lost:
            await self._store.put_originals(scope, lost)
        self._note(scope, due, now)

    def stored(self, scope: str, results: Iterable[Compressed]) -> None:
        """The originals of these results have just been stored, so their lifetimes begin now."""
        self._note(scope, (result.hash for result in results if result.text is not None and result.hash), time.monotonic())

    def _note(self, scope: str, hashes: Iterable[str], now: float) -> None:
        for digest in hashes:
            self._renewed[scope, digest] = now
            self._renewed.move_to_end((scope, digest))
        while self._renewed and (len(self._renewed) > _MOST_RENEWED or now - next(iter(self._renewed.values())) >= self._renew_s):
            self._renewed.popitem(last=False)

    def _is_due(self, scope: str, hash: str, now: float) -> bool:
        return now - self._renewed.get((scope, hash), -self._renew_s) >= self._renew_s

    async def _renew(self, scope: str, pairs: Sequence[tuple[Segment, Compressed]]) -> None:
        referred = ((segment, result) for segment, result in pairs if result.text is not None)
        await self.keep(scope, [Original(r.hash, s.text, s.tool, r.tokens_before, r.items, r.items_kept) for s, r in referred])


def _size(result: Compressed) -> int:
    """Bytes that it takes in memory."""
    return _ENTRY_BYTES + (sys.getsizeof(result.text) if result.text is not None else 0)
