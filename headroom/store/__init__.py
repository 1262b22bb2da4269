"""What the two faces keep between requests: the seam, and the store that the settings name."""

from __future__ import annotations

from headroom.errors import SettingsError
from headroom.settings import Settings, variable
from headroom.store.base import Store
from headroom.store.sqlite import SqliteStore
from headroom.store.vault import Away, Seal, Vault, key_of

__all__ = ["Store", "open_seal", "open_store"]


def open_store(settings: Settings) -> Store:
    """Opened or created at its first use; raises SettingsError when what it needs is missing."""
    ttl_s, max_bytes = 3600 * settings.store.ttl_hours, 1_000_000 * settings.store.max_mb
    answers = 1_000_000 * settings.cache.max_mb
    if settings.store.is_redis:
        from headroom.store.redis import RedisStore

        return RedisStore(settings.store.url, ttl_s, max_bytes, vault=_vault(settings), max_answers_bytes=answers)
    return SqliteStore(settings.store_path, ttl_s, max_bytes, vault=_vault(settings), max_answers_bytes=answers)


def open_seal(settings: Settings) -> Seal:
    """What seals whatever is kept outside the store, with the store's own key. Raises SettingsError."""
    store = settings.store
    name = store.encryption_key
    key = key_of(variable(name), name)
    if key is None and name != type(store)().encryption_key:
        raise SettingsError(f"store.encryption_key: the variable {name or '(none)'} is empty")
    return Seal(key)


def _vault(settings: Settings) -> Vault:
    store = settings.store
    return Vault(open_seal(settings), Away(store.blobs_url) if store.blobs_url else None, 1000 * store.blobs_above_kb)
