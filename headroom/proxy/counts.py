"""Token counts already known, so that a text is counted once per process however often it is sent."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from headroom.tokens import vocabulary_for

_MOST = 200_000  # texts; about 30 MB


class TokenCounts:
    """Exact counts by text and vocabulary; the least recently used go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def digests(self, texts: Sequence[str], model: str) -> list[bytes]:
        """The keys of texts; linear in them."""
        salt = vocabulary_for(model).encode()
        return [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=salt).digest() for text in texts]

    def lookup(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """The known ones."""
        found = {digest: self._known[digest] for digest in digests if digest in self._known}
        for digest in found:
            self._known.move_to_end(digest)
        return found

    def remember(self, counts: Mapping[bytes, int]) -> None:
        self._known.update(counts)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
