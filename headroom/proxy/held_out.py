"""Which conversations are left alone, to measure what the others save; the same in every process on one store."""

from __future__ import annotations

import logging

from headroom.errors import StoreUnavailable
from headroom.stats.holdout import arm_of
from headroom.store.threaded import ThreadedStore

HELD_OUT = "holdout"  # the arm, and why nothing was compressed
_SECRET = "holdout"
_log = logging.getLogger(__name__)


class HeldOut:
    """Draws with `share`; nobody is compared while the store has not told the key."""

    def __init__(self, store: ThreadedStore, share: float) -> None:
        self._store = store
        self._share = share
        self._key = b""

    async def arm(self, conversation: str) -> str:
        """`treated` or `holdout`; empty where nothing is compared."""
        if not self._share:
            return ""
        try:
            self._key = self._key or await self._store.secret(_SECRET)
        except StoreUnavailable as failure:
            _log.warning("a conversation is compressed without being compared: %s", failure.message)
            return ""
        return arm_of(self._key, conversation, self._share)
