"""The Stats deployment: one replica keeps the ledger of all nodes; and the ingress's way to it.

A row is acknowledged when it is on this replica's disk, until then it stays on the ingress's. Either may be killed at any moment:
nothing that was acknowledged is lost or counted twice. `HEADROOM_HOME` must be the same disk after a restart: pin the
deployment to a node, or give it a volume that comes along. While the replica is away requests go on, rows wait in the
nodes' outboxes, and `/stats` answers 503.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from headroom.errors import StoreUnavailable
from headroom.proxy.compress import Degraded
from headroom.proxy.recorder import Recorder
from headroom.proxy.services import open_log, open_own_book
from headroom.settings import Settings
from headroom.stats.intake import Intake
from headroom.stats.outbox import Batch, Method, Outbox
from headroom.stats.prices import Prices
from serve_app.logs import join_serve_logs
from serve_app.tiers import Tier

HARD_LIMIT_S = 60.0  # a batch that is not written after this hangs
_DELIVER_S = 0.5
Question = tuple[Method, Any]
T = TypeVar("T")


class Stats:
    """The deployment. One thread writes, two read."""

    def __init__(self, settings: Settings) -> None:
        join_serve_logs()
        self._intake = Intake(open_own_book(settings), settings.stats.compact_s)
        self._intake.start()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="stats-write")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="stats-read")

    async def put(self, batch: Batch) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._intake.put, batch)

    async def ask(self, question: Question) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._intake.ask, *question)

    async def check_health(self) -> None:
        """Raises when a batch hangs; Serve then replaces this replica."""
        if self._intake.busy_s > HARD_LIMIT_S:
            raise RuntimeError(f"a batch is not written after {HARD_LIMIT_S:.0f} s")


class RemoteLedger:
    """The Stats deployment as threads of an ingress replica call it; `loop` is the replica's own."""

    def __init__(self, put: Tier[Batch, None], ask: Tier[Question, Any], timeout_s: float) -> None:
        self._put = put
        self._ask = ask
        self._timeout_s = timeout_s
        self.loop: asyncio.AbstractEventLoop | None = None

    def put(self, batch: Batch) -> None:
        self._wait(self._put(batch, self._timeout_s))

    def ask(self, method: Method, about: Any) -> Any:
        return self._wait(self._ask((method, about), self._timeout_s))

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Raises StoreUnavailable."""
        assert self.loop is not None, "started before it is asked"
        try:
            return asyncio.run_coroutine_threadsafe(call, self.loop).result()
        except Degraded as degraded:
            raise StoreUnavailable(
                f"The ledger gave no answer ({degraded.reason}); what is counted meanwhile waits on the nodes' disks."
            ) from None


class RemoteRecorder(Recorder):
    """Statistics in the Stats deployment; rows wait on this node's disk until it has them."""

    def __init__(self, settings: Settings, remote: RemoteLedger) -> None:
        """Raises SettingsError."""
        outbox = Outbox(settings.home / "stats" / "outbox", remote, 1_000_000 * settings.stats.spool_mb)
        super().__init__(outbox, Prices(settings.stats.prices), open_log(settings), _DELIVER_S)
        self._remote = remote

    async def start(self) -> None:
        self._remote.loop = asyncio.get_running_loop()
        await super().start()
