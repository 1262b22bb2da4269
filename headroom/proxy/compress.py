"""The hop to a compressor, seen from the server: the protocol both faces implement, and the step that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from headroom import pipeline
from headroom.model import Caller, Compressed, Job, JobResult, Policy, Segment

if TYPE_CHECKING:
    from headroom.proxy.services import Services


class Degraded(Exception):
    """The tier could not answer; the request goes on without it. `reason` is counted and shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Compress(Protocol):
    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        """Raises Degraded when there is no result in time."""

    @property
    def ready(self) -> bool: ...

    async def start(self) -> None:
        """Prepare in the background; returns at once."""

    async def close(self) -> None: ...


async def compressed(
    services: Services,
    segments: Sequence[Segment],
    *,
    caller: Caller,
    policy: Policy,
    model: str,
    timeout_s: float,
    count: tuple[str, ...] = (),
) -> tuple[list[Compressed], JobResult | None]:
    """One result per segment: kept for a plain reason, replayed, or fresh from the compressor.

    The second value is the job's own result, None when no job was needed or none came back in time.
    Segments whose job failed are pinned as they are, so that later turns forward the same bytes.
    """
    reasons = [pipeline.keep_reason(segment, policy) for segment in segments]
    keys = [segment.memo_key(caller.scope, policy) if not reason else "" for segment, reason in zip(segments, reasons, strict=True)]
    keyed = {key: segment for key, segment in zip(keys, segments, strict=True) if key}
    known = await services.replay.lookup(caller.scope, keyed) if keyed else {}
    fresh = [key for key in keyed if key not in known]
    done: JobResult | None = None
    if fresh or count:
        job = Job(tuple(keyed[key] for key in fresh), policy, caller.scope, model, count)
        try:
            done = await services.compress(job, timeout_s)
            results = dict(zip(fresh, done.compressed, strict=True))
            lost = [key for key, result in results.items() if result.reason == "store_unavailable"]
            services.replay.remember({key: result for key, result in results.items() if key not in lost})
            known |= results
            if lost:
                await services.replay.pin(lost, Compressed(None, reason="store_unavailable"))
        except Degraded as degraded:
            services.ledger.degraded("compressor", degraded.reason)
            known |= await services.replay.pin(fresh, Compressed(None, reason=f"compressor_{degraded.reason}"))
    return [known[key] if key else Compressed(None, reason=reason) for key, reason in zip(keys, reasons, strict=True)], done
