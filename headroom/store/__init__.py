"""What the two faces keep between requests: the seam, and the store that the settings name."""

from __future__ import annotations

from headroom.settings import Settings
from headroom.store.base import Store
from headroom.store.sqlite import SqliteStore

__all__ = ["Store", "open_store"]


def open_store(settings: Settings) -> Store:
    """Opened or created at its first use; raises SettingsError when what it needs is not installed."""
    ttl_s, max_bytes = 3600 * settings.store.ttl_hours, 1_000_000 * settings.store.max_mb
    if settings.store.is_redis:
        from headroom.store.redis import RedisStore

        return RedisStore(settings.store.url, ttl_s, max_bytes)
    return SqliteStore(settings.store_path, ttl_s, max_bytes)
