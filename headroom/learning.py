"""What is learned from traffic, kept in the store: counts per owner, and the advice that follows from them, shared by every process.

What must hold:
- A snapshot of advice never changes. It is stored before the counts that name it as the newest one.
- A conversation keeps the snapshot it began with, so what it became does not depend on when a turn is computed (again).
- Nothing here keeps a request waiting: events are counted and written by a thread of their own. A process that is killed loses
  what it saw in the last seconds, and no more.
- What was learned of an owner goes when nothing was for a month; a snapshot not before the last conversation that keeps it.
- Counts are changed by compare-and-swap, so every event counts once, whichever process saw it.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from headroom.ccr import retrieve
from headroom.errors import StoreUnavailable
from headroom.model import NO_ADVICE, Compressed, Original, Segment
from headroom.recent import Recent
from headroom.scoring import toin
from headroom.scoring.toin import Patterns, Snapshot
from headroom.settings import Settings
from headroom.store.base import Store

_COUNTS = "toin-counts"  # owner -> counts of all signatures, and the versions of advice, the newest last
_SNAPSHOTS = "toin-snapshots"  # owner/version -> advice
_VERSIONS = 64  # kept; a conversation that began with an older one goes on without advice
_SWAPS = 20  # tries, when others write at the same time
_PAUSE_S = 0.005  # at most, before the second try; each further try waits that much longer
_DAY_S = 86_400.0
_IDLE_S = 30 * _DAY_S  # what was learned goes when it was not written for so long
_RENEWAL_S = _DAY_S  # a snapshot that is used is written again at most so often by a process
_OWNERS = 1_000  # whose newest advice is at hand
_REMEMBERED = 10_000  # conversations, and originals that were asked for
_EVENTS = 200  # that wait, with their texts; at half of them they are counted at once, further ones teach nothing
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Learned:
    """All that is known about one owner's tools."""

    patterns: Patterns = field(default_factory=dict)
    versions: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        return self.versions[-1] if self.versions else ""


class Learning:
    """Learns and advises; for any number of threads.

    `interval_s` is how long events wait to be written and advice to be read again; 0: events wait for `flush`, advice is always read.
    `idle_s` must be days longer than a store keeps what a conversation began with.
    """

    def __init__(self, store: Store, interval_s: float = 5.0, clock: Callable[[], float] = time.monotonic, idle_s: float = _IDLE_S) -> None:
        self._store = store
        self._interval_s = interval_s
        self._clock = clock
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._events: list[Callable[[], None]] = []
        self._pending: dict[str, Patterns] = {}
        self._latest = Recent[str, tuple[float, Snapshot]](_OWNERS)
        self._renewed = Recent[tuple[str, str], float](_REMEMBERED, idle_s=math.inf)
        self._snapshots = Recent[tuple[str, str], Snapshot](_VERSIONS)
        self._pins = Recent[str, str](_REMEMBERED)
        self._counted = Recent[tuple[str, str], frozenset[str]](_REMEMBERED, idle_s=math.inf)
        self._closing = False
        self._due = threading.Event()
        self._writer: threading.Thread | None = None

    def advised(self, scope: str, lineage: str) -> Snapshot:
        """The advice for a conversation that begins with `lineage`; none when the store does not answer."""
        try:
            found = self._snapshot(scope, self._pinned(scope, lineage)) if lineage else Snapshot()
        except StoreUnavailable as failure:
            _log.warning("compression goes on without what was learned: %s", failure.message)
            return Snapshot()
        if self._fades(scope, found):
            self._renewed.put({(scope, found.version): self._clock()})
            self._later(partial(self._renew, scope, found))
        return found

    def compressed(self, scope: str, segments: Sequence[Segment], results: Sequence[Compressed]) -> None:
        """These segments were looked at for the first time."""
        self._later(partial(self._looked_at, scope, segments, results))

    def asked(self, scope: str, original: Original, query: str = "", taught: bool = True) -> None:
        """An original was read back, or searched when there is a query; `taught` says whether a model may have asked for it."""
        self._later(partial(self._answered, scope, original, query.strip(), taught))

    def imported(self, scope: str, patterns: Patterns) -> None:
        """Counts that another Headroom exported are added to this owner's own."""
        for signature, counts in toin.named(patterns).items():
            self._note(scope, signature, counts)

    def current(self, scope: str) -> Snapshot:
        """The newest advice, at most `interval_s` old. Raises StoreUnavailable."""
        read, known = self._latest.get(scope) or (-math.inf, Snapshot())
        if self._clock() - read < self._interval_s:
            return known
        known = self._snapshot(scope, self.learned(scope).version)
        self._latest.put({scope: (self._clock(), known)})
        return known

    def learned(self, scope: str) -> Learned:
        """What stands in the store. Raises StoreUnavailable."""
        return _read(self._store.get_record(_COUNTS, scope))

    def everybody(self) -> list[Learned]:
        """The same for all owners; what cannot be decrypted is left out. Raises StoreUnavailable."""
        return [_read(record) for record in self._store.list_records(_COUNTS).values() if record is not None]

    def flush(self) -> None:
        """Write what was noted, and the advice that follows from it. What cannot be written waits."""
        with self._lock:
            events, self._events = self._events, []
        for event in events:
            try:
                event()
            except Exception:  # fence: an odd text teaches nothing
                _log.exception("nothing is learned from one event")
        with self._lock:
            pending, self._pending = self._pending, {}
        for scope, deltas in pending.items():
            try:
                written = self._add(scope, deltas)
            except StoreUnavailable as failure:
                _log.warning("what was learned waits to be written: %s", failure.message)
                written = False
            if not written:
                with self._lock:
                    self._pending[scope] = toin.merged(deltas, self._pending.get(scope, {}))

    def close(self) -> None:
        """Write what is left. The store must still be open."""
        self._closing = True
        self._due.set()
        if self._writer:
            self._writer.join(timeout=10)
        self.flush()

    def _later(self, event: Callable[[], None]) -> None:
        with self._lock:
            if len(self._events) < _EVENTS:
                self._events.append(event)
            if self._writer is None and self._interval_s:
                self._writer = threading.Thread(target=self._write, name="learning", daemon=True)
                self._writer.start()
            if len(self._events) >= _EVENTS // 2:
                self._due.set()

    def _looked_at(self, scope: str, segments: Sequence[Segment], results: Sequence[Compressed]) -> None:
        for segment, result in zip(segments, results, strict=True):
            if result.text is not None or segment.advice.whole:
                self._note(scope, toin.signature(segment.tool, segment.text), toin.compressed(result, segment.advice))

    def _answered(self, scope: str, original: Original, query: str, taught: bool) -> None:
        """Whatever is asked of one original counts once, so that rates are shares of the outputs."""
        signature = toin.signature(original.tool, original.text)
        if query:
            _, known = self._latest.get(scope) or (0.0, Snapshot())
            hits = [(hit.text, hit.score) for hit in retrieve.search(original, query)]
            counts = toin.searched(original.text, query, hits, known.advice.get(signature, NO_ADVICE))
        else:
            counts = toin.read_whole(taught)
        counted = self._counted.get((scope, original.hash)) or frozenset()
        self._note(scope, signature, {name: count for name, count in counts.items() if name not in counted})
        self._counted.put({(scope, original.hash): counted | counts.keys()})

    def _note(self, scope: str, signature: str, counts: Mapping[str, int]) -> None:
        if signature and counts:
            with self._lock:
                self._pending[scope] = toin.merged(self._pending.get(scope, {}), {signature: counts})

    def _write(self) -> None:
        while not self._closing:
            self._due.wait(self._interval_s)
            self._due.clear()
            self.flush()

    def _add(self, scope: str, deltas: Patterns) -> bool:
        """Whether the counts were changed; False when others were quicker each time."""
        for attempt in range(_SWAPS):
            time.sleep(random.uniform(0, attempt * _PAUSE_S))
            record = self._store.get_record(_COUNTS, scope)
            before = _read(record)
            patterns = toin.merged(before.patterns, deltas)
            advice, versions = toin.snapshot(patterns), before.versions
            if advice.version != before.version:
                versions = (*(version for version in versions if version != advice.version), advice.version)
            if versions != before.versions or self._fades(scope, advice):
                self._keep(scope, advice)
            if self._store.swap_record(_COUNTS, scope, record, _written(Learned(patterns, versions[-_VERSIONS:])), self._idle_s):
                self._latest.put({scope: (self._clock(), advice)})
                self._forget(scope, versions[:-_VERSIONS])
                return True
        return False

    def _keep(self, scope: str, advice: Snapshot) -> None:
        """Write a snapshot, or write it again so that it stays."""
        if advice.version:
            key, dumped = f"{scope}/{advice.version}", advice.dump()
            if not self._store.swap_record(_SNAPSHOTS, key, None, dumped, self._idle_s):
                self._store.swap_record(_SNAPSHOTS, key, dumped, dumped, self._idle_s)
            self._renewed.put({(scope, advice.version): self._clock()})

    def _fades(self, scope: str, advice: Snapshot) -> bool:
        """Whether a snapshot in use was not written for a while, as far as this process knows."""
        written = self._renewed.get((scope, advice.version)) if advice.version else math.inf
        return written is None or self._clock() - written >= _RENEWAL_S

    def _renew(self, scope: str, advice: Snapshot) -> None:
        try:
            self._keep(scope, advice)
        except StoreUnavailable as failure:
            _log.warning("advice is not renewed: %s", failure.message)

    def _forget(self, scope: str, versions: Sequence[str]) -> None:
        for version in versions:
            key = f"{scope}/{version}"
            self._store.swap_record(_SNAPSHOTS, key, self._store.get_record(_SNAPSHOTS, key), None)

    def _pinned(self, scope: str, lineage: str) -> str:
        """The version a conversation began with; now, when it begins now."""
        version = self._pins.get(lineage)
        if version is None:
            key = f"advice:{lineage}"
            stands = self._store.put_first({key: f"version:{self.current(scope).version}".encode()})
            version = stands[key].decode().removeprefix("version:")
            self._pins.put({lineage: version})
        return version

    def _snapshot(self, scope: str, version: str) -> Snapshot:
        if not version:
            return Snapshot()
        known = self._snapshots.get((scope, version))
        if known is None:
            record = self._store.get_record(_SNAPSHOTS, f"{scope}/{version}")
            try:
                known = toin.load(record) if record else Snapshot()
            except ValueError as failure:
                _log.warning("advice %s cannot be read: %s", version, failure)
                known = Snapshot()
            self._snapshots.put({(scope, version): known})
        return known


def open_learning(store: Store, settings: Settings) -> Learning | None:
    """None where nothing is to be learned."""
    if not settings.compression.learn:
        return None
    return Learning(store, idle_s=max(_IDLE_S, 3600 * settings.store.ttl_hours + 3 * _DAY_S))


def _read(record: bytes | None) -> Learned:
    """What was written; nothing when another version wrote it."""
    try:
        raw = json.loads(record or b"{}")
        return Learned(raw.get("patterns", {}), tuple(raw.get("versions", ())))
    except (ValueError, AttributeError) as failure:
        _log.warning("what was learned cannot be read and begins anew: %s", failure)
        return Learned()


def _written(learned: Learned) -> bytes:
    raw = {"patterns": learned.patterns, "versions": learned.versions}
    return json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()
