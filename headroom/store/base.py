"""What the two faces keep between requests, behind small blocking protocols.

`Blobs` hold originals, each readable by the scope that stored it, for an idle lifetime that every
use renews. `Memo` remembers what became of a segment, or any bytes under a key: the first value
written for a key wins and everybody replays it. `Counters` are shared by every process and draw
many amounts at once, or none. `Log` is an append-only sequence of entries. `Records` are small,
last until they are deleted or their idle lifetime is over where their writer gave one, and change
only from a value the writer knows. `Secrets` are values made once and shared by every process on
the store. `Answers` are values that their scope can drop, each until its end.

Blobs and values of the memo go when they are idle for too long or the store is full; answers when
their time is over or others need their room, which is apart from that of blobs and memo; counters
and markers of `once` when their time is over; log entries when enough follow; records without an idle lifetime
and secrets never.

All methods block; asyncio code goes through `headroom.store.threaded`. All methods raise
`StoreUnavailable` (and nothing else) when the store cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headroom.model import Compressed, Original

UNREADABLE = "it was encrypted with another key (store.encryption_key), or was changed"  # of a record


@dataclass(frozen=True, slots=True)
class BlobStats:
    """`bytes` as stored, after compression."""

    entries: int
    bytes: int
    retrievals: int


class Blobs(Protocol):
    def put_originals(self, scope: str, originals: Iterable[Original]) -> None:
        """Write and commit before returning. Storing again renews the lifetime and keeps the counts.

        Raises StoreUnavailable also for a text whose hash stands for another one.
        """

    def get_original(self, scope: str, hash: str, count: bool = True) -> Original:
        """The original with its retrieval counted (when `count`) and its lifetime renewed.

        Raises NotFound when this scope never stored it, Expired when its lifetime is over.
        """

    def touch_originals(self, scope: str, hashes: Sequence[str]) -> Sequence[str]:
        """Renew lifetimes; return the hashes that are not readable any more and must be stored again."""

    def blob_stats(self) -> BlobStats:
        """Over all scopes."""


class Memo(Protocol):
    """Keys hold everything a value may depend on, its owner included. Results and bytes have keys of their own."""

    def get_results(self, keys: Sequence[str]) -> Mapping[str, Compressed]:
        """The known results among `keys`."""

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        """Write where nothing stands yet, atomically for each key; return what stands now for every key."""

    def get_first(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The known values among `keys`, as `put_first` wrote them."""

    def put_first(self, values: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Write where nothing stands yet, atomically for each key; return what stands now for every key."""


@dataclass(frozen=True, slots=True)
class Draw:
    """An amount for the counter `key` in its period number `slot`.

    With a `limit`, the counter's sum over the last `slots` periods must not pass it: `amount` is
    what is wanted and `least` what must be granted (0 means all of `amount`). Without one the amount is
    added as it is, and may be negative; 0 only reads. A period is forgotten `ttl_s` after it was last changed.
    """

    key: str
    slot: int
    amount: int
    limit: int | None = None
    least: int = 0
    slots: int = 1
    ttl_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """`granted` per draw, all 0 when draw number `refused` could not have its least; `totals` are the sums that stand now.

    `repeated` says that nothing was done because the same `once` had been.
    """

    granted: tuple[int, ...]
    totals: tuple[int, ...]
    refused: int | None = None
    repeated: bool = False


class Counters(Protocol):
    def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        """Grant every draw or none, atomically. A granted `once` is remembered for `once_s` seconds and not done again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`number` grows by one from entry to entry, from 1 on."""

    number: int
    data: bytes


class Log(Protocol):
    def append(self, log: str, entries: Sequence[bytes], keep: int = 100_000) -> int:
        """Write and commit entries in order; the number of the last. Of the log, the last `keep` entries stay."""

    def read_log(self, log: str, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """Entries behind number `after`, in order. A first number above `after + 1` tells that older ones are gone."""


@dataclass(frozen=True, slots=True)
class AnswerStats:
    """`bytes` as stored; over all scopes. Entries whose time is over may still be counted."""

    entries: int
    bytes: int


class Answers(Protocol):
    def get_answer(self, scope: str, key: str) -> bytes | None:
        """What was written last under this key of this scope, until its time is over. Reading does not renew it."""

    def put_answer(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        """Write, in place of what stood there. The oldest go when the room for answers is full; one that is larger is not kept."""

    def drop_answers(self, scope: str | None) -> int:
        """Drop those of a scope, or all (None); how many there were."""

    def answer_stats(self) -> AnswerStats: ...


class Records(Protocol):
    def get_record(self, table: str, key: str) -> bytes | None: ...

    def list_records(self, table: str) -> Mapping[str, bytes | None]:
        """The whole table, by key; None for one that cannot be decrypted, where another can."""

    def swap_record(self, table: str, key: str, old: bytes | None, new: bytes | None, idle_s: float | None = None) -> bool:
        """Write `new` where `old` stands (None: nothing stands, or delete); False when something else does.

        With `idle_s` it goes when it was not written again for so many seconds: later writes with `idle_s` to the table sweep it.
        """


class Secrets(Protocol):
    def secret(self, name: str) -> bytes:
        """32 random bytes, made at the first call for `name` and the same for every process ever after."""


class Store(Blobs, Memo, Answers, Counters, Log, Records, Secrets, Protocol):
    def warnings(self) -> Sequence[str]:
        """What an operator should change about the server or file, in words; empty when all is well."""

    def close(self) -> None:
        """Release files and connections; the store cannot be used afterwards."""
