"""The hop to a compressor, seen from the server: the protocol that both faces implement."""

from __future__ import annotations

from typing import Protocol

from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.model import Job, JobResult


class Degraded(Exception):
    """The tier could not answer; the request goes on without it. `reason` is counted and shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Compress(Protocol):
    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        """Raises Degraded when there is no result in time."""

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        """What leaves a conversation, its originals stored. Raises Degraded as well."""

    @property
    def ready(self) -> bool: ...

    async def start(self) -> None:
        """Prepare in the background; returns at once."""

    async def close(self) -> None: ...
