"""The last originals that were read back in this process, each to be told to its owner only. No text is kept."""

from __future__ import annotations

from collections import deque
from typing import Any

from headroom.model import Original

_LAST = 500
_TOLD = 20
_QUERY_CHARS = 200


class Retrievals:
    """Not thread-safe: one event loop writes and reads it."""

    def __init__(self) -> None:
        self._last: deque[tuple[str, dict[str, Any]]] = deque(maxlen=_LAST)

    def note(self, scope: str, original: Original, query: str, items: int, kind: str = "") -> None:
        """`items` is how many of the original's came back; `kind` is by default `search` or `full`."""
        told = {
            "hash": original.hash,
            "query": query[:_QUERY_CHARS] or None,
            "items_retrieved": items,
            "total_items": original.items,
            "tool_name": original.tool,
            "retrieval_type": kind or ("search" if query else "full"),
        }
        self._last.append((scope, told))

    def of(self, scope: str) -> list[dict[str, Any]]:
        """The owner's, the newest first."""
        return [told for owner, told in reversed(self._last) if owner == scope][:_TOLD]
