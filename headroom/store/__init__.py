"""What the two faces keep between requests: the seam, and the store that the settings name."""

from __future__ import annotations

from headroom.settings import Settings
from headroom.store.base import Store
from headroom.store.sqlite import SqliteStore

__all__ = ["Store", "open_store"]


def open_store(settings: Settings) -> Store:
    """Opened or created; raises StoreUnavailable when it cannot be."""
    return SqliteStore(settings.store_path, ttl_s=3600 * settings.store.ttl_hours, max_bytes=1_000_000 * settings.store.max_mb)
