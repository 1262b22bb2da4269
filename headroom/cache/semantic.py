"""Earlier questions by meaning: for a new one, the earlier one whose answer may be given, if there is one.

An append-only log in the store is the truth; every process follows it and holds an index of its own, at most a moment behind, so
any of them answers rightly. Questions are compared within a namespace only: of one caller, about one request contract
(`headroom.cache.question`). Vectors propose, `headroom.cache.agreement` decides.

Bounded by entries and bytes: the oldest entries go, then the namespaces that were not asked for longest.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from headroom.cache.agreement import between
from headroom.cache.reading import read
from headroom.cache.vectors import LINK_BYTES, Vectors
from headroom.store.base import Store

if TYPE_CHECKING:
    from headroom.cache.vectors import Row

LOG = "semantic"
_CANDIDATES = 10  # neighbours whose words are compared
_AT_ONCE = 500  # log entries read
_ASKED = 10_000  # namespaces remembered that were asked for before there was anything in them
_SLACK = 1000  # places of entries that are gone, beside as many as there are entries, before they are taken out
_READINGS = 256  # of earlier questions that were compared last; comparing takes a twentieth of reading
_OVERHEAD_BYTES = 600  # of an entry, beside its vector, links and texts: Python's objects


@dataclass(frozen=True, slots=True)
class Entry:
    """An earlier question: `key` is where its answer stands, `at` seconds since the epoch, `vector` float32 of length 1."""

    namespace: str
    scope: str
    key: str
    text: str
    at: float
    vector: Row


@dataclass(frozen=True, slots=True)
class Clearing:
    """Everything of a scope so far, or everything (None), is forgotten."""

    scope: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """`threshold` is the least cosine."""

    namespace: str
    text: str
    vector: Row
    threshold: float


@dataclass(frozen=True, slots=True)
class Found:
    """An earlier question that asks the same: its text, where its answer stands, and the cosine."""

    key: str
    text: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """`ttl_s` is how long an entry is found."""

    entries: int
    bytes: int
    ttl_s: float


def pack(item: Entry | Clearing) -> bytes:
    """A log entry: a line of JSON, then the vector's bytes, little-endian."""
    if isinstance(item, Clearing):
        return json.dumps({"clear": item.scope}).encode()
    head = {"namespace": item.namespace, "scope": item.scope, "key": item.key, "text": item.text, "at": item.at}
    return json.dumps(head).encode() + b"\n" + item.vector.astype("<f4").tobytes()


def unpack(data: bytes) -> Entry | Clearing | None:
    """None for what another version wrote."""
    import numpy as np

    head, _, vector = data.partition(b"\n")
    try:
        fields = json.loads(head)
        if "clear" in fields:
            return Clearing(fields["clear"])
        row = np.frombuffer(vector, "<f4").astype(np.float32)
        return Entry(fields["namespace"], fields["scope"], fields["key"], fields["text"], float(fields["at"]), row) if row.size else None
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(slots=True)
class Known:
    """One entry of a namespace, without its vector."""

    key: str
    text: str
    at: float


@dataclass
class Space:
    """A namespace: its entries by label, and their vectors."""

    scope: str
    vectors: Vectors
    known: dict[int, Known] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)  # by key
    next_label: int = 0
    bytes: int = 0


class SemanticIndex:
    """For any number of threads that ask and one that applies, rebuilds, saves or loads."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()  # of the dictionaries; the vectors have their own
        self._spaces: OrderedDict[str, Space] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._order: deque[tuple[float, str, int]] = deque()  # oldest first; what was dropped in the meantime may stand here
        self._entries = 0
        self._bytes = 0
        self._read = lru_cache(_READINGS)(read)
        self.number = 0  # of the last log entry that was applied
        self.cleared = 0  # and of the last that made something be forgotten

    @property
    def entries(self) -> int:
        return self._entries

    @property
    def bytes(self) -> int:
        """An estimate of the memory taken."""
        return self._bytes

    @property
    def namespaces(self) -> int:
        return len(self._spaces)

    def find(self, query: Query) -> Found | None:
        """The nearest earlier question with the same answer. Logarithmic in the entries of its namespace."""
        with self._lock:
            space = self._spaces.get(query.namespace)
            if space is None:
                self._remember(query.namespace)
                return None
            self._spaces.move_to_end(query.namespace)
            if space.vectors.dimensions != query.vector.size:
                return None
        oldest, asked = self._clock() - self._bounds.ttl_s, None
        for label, cosine in space.vectors.search(query.vector, _CANDIDATES):
            known = space.known.get(label)
            if cosine < query.threshold:
                break
            if known is None or known.at < oldest:
                continue
            if known.text == query.text or not between(asked := asked or read(query.text), self._read(known.text)):
                return Found(known.key, known.text, min(cosine, 1.0))
        return None

    def apply(self, number: int, item: Entry | Clearing | None) -> None:
        """The next entry of the log; one that was applied before changes nothing."""
        if isinstance(item, Entry):
            self._add(item)
        elif item:
            self._clear(item.scope)
            self.cleared = number
        self.number = number

    def worn(self) -> Sequence[str]:
        """Namespaces that building anew would make smaller."""
        with self._lock:
            return [name for name, space in self._spaces.items() if space.vectors.is_worn]

    def rebuild(self, namespace: str) -> None:
        """Takes long where a namespace is large; finding and adding go on meanwhile."""
        space = self._spaces.get(namespace)
        if space:
            space.vectors.rebuild()

    def spaces(self) -> Iterator[tuple[str, Space]]:
        """All of them, as they were when this was called; for saving."""
        with self._lock:
            names = list(self._spaces.items())
        yield from names

    def restore(self, spaces: Iterator[tuple[str, Space]], number: int) -> None:
        """Takes over what was saved; only into an index that is empty."""
        for name, space in spaces:
            self._spaces[name] = space
            self._entries += len(space.known)
            self._bytes += space.bytes
            self._order.extend((known.at, name, label) for label, known in space.known.items())
        self._order = deque(sorted(self._order))
        self.number = number
        self.trim()

    def reset(self) -> None:
        """As it was before anything was applied."""
        self._clear(None)
        self.number = 0

    def _add(self, entry: Entry) -> None:
        if entry.at < self._clock() - self._bounds.ttl_s:
            return
        with self._lock:
            space = self._spaces.get(entry.namespace)
            if space is not None and space.vectors.dimensions != entry.vector.size:
                self._forget(entry.namespace)
                space = None
            if space is None:
                space = self._spaces[entry.namespace] = Space(entry.scope, Vectors(entry.vector.size))
                if entry.namespace not in self._asked:
                    self._spaces.move_to_end(entry.namespace, last=False)  # nobody here has asked for it yet
                self._asked.pop(entry.namespace, None)
            label = space.labels.get(entry.key)
            if label is not None:  # answered anew
                space.known[label].at = max(entry.at, space.known[label].at)
                self._order.append((space.known[label].at, entry.namespace, label))
                return
            label, space.next_label = space.next_label, space.next_label + 1
            space.known[label] = Known(entry.key, entry.text, entry.at)
            space.labels[entry.key] = label
            size = size_of(entry)
            space.bytes += size
            self._bytes += size
            self._entries += 1
            self._order.append((entry.at, entry.namespace, label))
        space.vectors.add(label, entry.vector)
        self.trim()

    def trim(self) -> None:
        """The oldest and what is over its time, then the namespaces asked for longest ago, until the bounds hold."""
        oldest = self._clock() - self._bounds.ttl_s
        with self._lock:
            while self._order and (self._entries > self._bounds.entries or self._order[0][0] < oldest):
                at, name, label = self._order.popleft()
                if self._stands(at, name, label):
                    self._drop(name, self._spaces[name], label)
            while self._bytes > self._bounds.bytes and len(self._spaces) > 1:
                self._forget(next(iter(self._spaces)))
            while self._bytes > self._bounds.bytes and self._order:
                _, name, label = self._order.popleft()
                space = self._spaces.get(name)
                if space and label in space.known:
                    self._drop(name, space, label)
            if len(self._order) > 2 * self._entries + _SLACK:
                self._order = deque(one for one in self._order if self._stands(*one))

    def _stands(self, at: float, name: str, label: int) -> bool:
        """Whether an entry's time is over when this place of it is."""
        space = self._spaces.get(name)
        return space is not None and label in space.known and space.known[label].at <= at

    def _remember(self, name: str) -> None:
        """That a namespace is asked for here, which is learned behind the first answer in it."""
        self._asked[name] = None
        self._asked.move_to_end(name)
        if len(self._asked) > _ASKED:
            self._asked.popitem(last=False)

    def _drop(self, name: str, space: Space, label: int) -> None:
        known = space.known.pop(label)
        del space.labels[known.key]
        size = _size(known, space.vectors.dimensions)
        space.bytes -= size
        self._bytes -= size
        self._entries -= 1
        space.vectors.drop(label)
        if not space.known:
            self._forget(name)

    def _forget(self, name: str) -> None:
        space = self._spaces.pop(name)
        self._entries -= len(space.known)
        self._bytes -= space.bytes

    def _clear(self, scope: str | None) -> None:
        with self._lock:
            for name in [name for name, space in self._spaces.items() if scope is None or space.scope == scope]:
                self._forget(name)
        self._read.cache_clear()


def size_of(entry: Entry) -> int:
    """Bytes of memory that an entry takes, estimated."""
    return _size(Known(entry.key, entry.text, entry.at), entry.vector.size)


def _size(known: Known, dimensions: int) -> int:
    return 4 * dimensions + LINK_BYTES + len(known.text) + len(known.key) + _OVERHEAD_BYTES


def follow(index: SemanticIndex, store: Store) -> int:
    """Apply what was appended to the log since; how many entries. Raises StoreUnavailable."""
    applied = 0
    while True:
        entries = store.read_log(LOG, index.number, _AT_ONCE)
        if not entries and index.number and not store.read_log(LOG, index.number - 1, 1):
            index.reset()  # the log is another one
            continue
        for entry in entries:
            index.apply(entry.number, unpack(entry.data))
        applied += len(entries)
        if len(entries) < _AT_ONCE:
            return applied


def append(store: Store, items: Sequence[Entry | Clearing], keep: int) -> int:
    """Write to the log, of which the last `keep` stay; the number of the last. Forgetting everything takes the log's entries away too."""
    everything = any(isinstance(item, Clearing) and item.scope is None for item in items)
    return store.append(LOG, [pack(item) for item in items], 1 if everything else keep)
