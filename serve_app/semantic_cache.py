"""The SemanticCache deployment: earlier questions by meaning, asked by every ingress, and the ingress's way to it.

The log in the store is the truth. Every replica holds all of it, from the last snapshot and what was appended since, at most a second
behind, so any of them answers rightly and none is missed. That the same namespace comes to the same replica only decides which
namespaces stay where memory is short.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from ray.serve.handle import DeploymentHandle

from headroom.cache.follower import open_follower, open_index
from headroom.cache.semantic import Found, Query
from headroom.proxy.compress import Degraded
from headroom.proxy.similar import Neighbours
from headroom.settings import Settings
from headroom.store import open_store
from serve_app.logs import join_serve_logs
from serve_app.tiers import Response, Tier

HARD_LIMIT_S = 30.0  # a lookup that has not ended after this hangs
_BEGIN_S = 60.0  # for a snapshot and the log behind it; then a replica takes requests with what it has


class SemanticCache:
    """The deployment: a `Query` to `Found` or None; it has read the log when its constructor returns."""

    def __init__(self, settings: Settings) -> None:
        join_serve_logs()
        self._store = open_store(settings)
        self._index = open_index(settings)
        self._follower = open_follower(self._index, self._store, settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="neighbours")
        self._began: float | None = None
        self._follower.start()
        self._follower.wait(_BEGIN_S)

    async def __call__(self, query: Query) -> Found | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, query)

    async def check_health(self) -> None:
        """Raises when a lookup hangs or nothing follows the log any more; Serve then replaces this replica."""
        began = self._began
        if began is not None and time.monotonic() - began > HARD_LIMIT_S:
            raise RuntimeError(f"a lookup has not ended after {HARD_LIMIT_S:.0f} s")
        if not self._follower.alive:
            raise RuntimeError("nothing follows the log any more")

    def __del__(self) -> None:
        """Save, so that the next replica has less to read."""
        self._follower.close()
        self._store.close()

    def _find(self, query: Query) -> Found | None:
        self._began = time.monotonic()
        try:
            return self._index.find(query)
        finally:
            self._began = None


def by_namespace(handle: DeploymentHandle[Found | None]) -> Callable[[Query], Response[Found | None]]:
    """`handle.remote`, a namespace always to the same replica as long as that lives."""
    plain = handle.options(_by_reference=True)

    def remote(query: Query) -> Response[Found | None]:
        return cast(Response[Found | None], plain.options(session_id=query.namespace).remote(query))

    return remote


class RemoteNeighbours(Neighbours):
    """Neighbours in the SemanticCache deployment; ready once it has answered."""

    def __init__(self, tier: Tier[Query, Found | None]) -> None:
        self._tier = tier
        self._status = "not asked yet"

    @property
    def ready(self) -> bool:
        return self._status == "ready"

    @property
    def status(self) -> str:
        return self._status

    def nudge(self) -> None:
        return

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def __call__(self, query: Query, timeout_s: float) -> Found | None:
        try:
            found: Any = await self._tier(query, timeout_s)
        except Degraded as degraded:
            self._status = degraded.reason
            raise
        self._status = "ready"
        return cast(Found | None, found)
