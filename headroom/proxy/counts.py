"""Token counts already known, so that a text is counted once per process however often it is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from headroom.recent import Recent
from headroom.tokens import Counter, vocabulary_for

_MOST = 200_000  # texts; about 30 MB


class TokenCounts:
    """Exact counts by text and vocabulary. May be used from any thread."""

    def __init__(self) -> None:
        self._known = Recent[bytes, int](_MOST)

    def digests(self, texts: Sequence[str], model: str) -> list[bytes]:
        """The keys of texts; linear in them."""
        salt = vocabulary_for(model).encode()
        return [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=salt).digest() for text in texts]

    def lookup(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """The known ones."""
        return self._known.find(digests)

    def remember(self, counts: Mapping[bytes, int]) -> None:
        self._known.put(counts)

    def counting(self, counter: Counter, model: str) -> Callable[[str], int]:
        """Counts a text that is not known yet and remembers it, estimates excepted."""

        def count(text: str) -> int:
            (digest,) = self.digests([text], model)
            known = self.lookup([digest])
            if digest not in known:
                known = {digest: counter.count(text)}
                if counter.exact:
                    self.remember(known)
            return known[digest]

        return count
