"""What the two faces keep between requests, behind small blocking protocols.

`Blobs` hold originals, each readable by the scope that stored it, for an idle lifetime that every
use renews. `Memo` remembers what became of a segment: the first result written for a key wins and
everybody replays it. `Secrets` are values made once and shared by every process on the store.

All methods block; asyncio code goes through `headroom.store.threaded`. All methods raise
`StoreUnavailable` (and nothing else) when the store cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headroom.model import Compressed, Original


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
    def get_results(self, keys: Sequence[str]) -> Mapping[str, Compressed]:
        """The known results among `keys`."""

    def put_results(self, results: Mapping[str, Compressed]) -> Mapping[str, Compressed]:
        """Write where nothing stands yet, atomically; return what stands now for every key."""


class Secrets(Protocol):
    def secret(self, name: str) -> bytes:
        """32 random bytes, made at the first call for `name` and the same for every process ever after."""


class Store(Blobs, Memo, Secrets, Protocol):
    def close(self) -> None:
        """Release files and connections; the store cannot be used afterwards."""
