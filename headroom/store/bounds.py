"""What bounds a store of either kind."""

from __future__ import annotations

TOMBSTONE_S = 7 * 86400.0  # what expired is told apart from what never was for so long
MAX_TOMBSTONES = 100_000
MEMO_SHARE = 4  # one part in four of `max_bytes` is for the memo
MAX_ANSWERS_BYTES = 256_000_000  # of cached answers, unless the settings say otherwise
_RENEWAL_S = 600.0


def renewal_s(ttl_s: float) -> float:
    """A use is written down only when the last one on record is older than this."""
    return min(_RENEWAL_S, ttl_s / 100)
