"""The compression step of a request: what is known is replayed, the rest goes over the hop, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headroom.conversation import Conversation, by_key
from headroom.model import Compressed
from headroom.proxy.compress import Degraded
from headroom.proxy.services import Services
from headroom.proxy.threads import offload


@dataclass(frozen=True, slots=True)
class Compression:
    """One result per segment and per turn; `counted` is None when no exact count came back."""

    results: Sequence[Compressed]
    recalled: Sequence[Compressed]
    counted: Sequence[int] | None


async def compressed(services: Services, talk: Conversation, *, model: str, timeout_s: float, count: tuple[str, ...] = ()) -> Compression:
    """Every segment and turn: kept for a plain reason, replayed, or fresh from the compressor.

    What a failed job should have answered is pinned as it is, so that later turns forward the same bytes.
    """
    keys = [*talk.keyed, *talk.turn_keys]
    known = await services.replay.lookup(talk.scope, keys, talk.keyed)
    job = await offload(sum(len(segment.text) for segment in talk.segments), talk.job, known, model, count)
    if job.idle:
        return Compression(talk.results(known), talk.recalled(known), None)
    try:
        done = await services.compress(job, timeout_s)
    except Degraded as degraded:
        services.ledger.degraded("compressor", degraded.reason)
        asked = [*job.keys, *(recall.key for recall in job.recalls if recall.known is None)]
        known |= await services.replay.pin(asked, Compressed(None, reason=f"compressor_{degraded.reason}"))
        return Compression(talk.results(known), talk.recalled(known), None)
    found = by_key(job, done)
    lost = [key for key, result in found.items() if result.reason == "store_unavailable"]
    services.replay.remember({key: result for key, result in found.items() if key not in lost})
    known |= found
    if lost:
        known |= await services.replay.pin(lost, Compressed(None, reason="store_unavailable"))
    return Compression(talk.results(known), talk.recalled(known), done.counted)
