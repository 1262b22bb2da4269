"""The compression step of a request: what is known is replayed, the rest goes over the hop, once."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from headroom.conversation import Conversation, by_key
from headroom.model import Compressed
from headroom.proxy.compress import Degraded
from headroom.proxy.prune import pruned
from headroom.proxy.services import Services
from headroom.proxy.threads import offload
from headroom.settings import CompressionSettings
from headroom.worker import STORE_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Compression:
    """One result per segment and per turn; `counted` is None when no exact count came back.

    `degraded` names the tiers that did not answer, each with its reason.
    """

    results: Sequence[Compressed]
    recalled: Sequence[Compressed]
    counted: Sequence[int] | None
    degraded: tuple[tuple[str, str], ...] = ()
    waste: tuple[tuple[str, int], ...] = ()


_FOR_MODEL = 0.5  # of the time there is for compression, that a model may take


def deadline_s(settings: CompressionSettings, chars: int) -> float:
    """How long a request of this size may be held up."""
    return settings.deadline_ms / 1000 * math.ceil(chars / 1_000_000)


async def compressed(
    services: Services, talk: Conversation, *, model: str, timeout_s: float, count: tuple[str, ...] = (), learn: bool = True
) -> Compression:
    """Every segment and turn: kept for a plain reason, replayed, or fresh from the compressor; `learn` says whether a model sees it.

    New prose is first given to the model that leaves words out, where there is one; without its answer the rest goes on.
    What a failed job should have answered is pinned as it is, so that later turns forward the same bytes.
    """
    until = time.monotonic() + timeout_s
    keyed = talk.keyed
    turns = talk.recalling(services.replay.held(keyed))
    known = await services.replay.lookup(talk.scope, [*keyed, *turns], keyed)
    if not count and keyed.keys() <= known.keys() and talk.recalling(known).keys() <= known.keys():
        return Compression(talk.results(known), talk.recalled(known), None)
    compared = sum(len(segment.text) for segment in talk.segments) if keyed.keys() - known.keys() else 0
    job = await offload(compared, talk.job, known, model, count)
    if not learn:
        job = dataclasses.replace(job, learn=False)
    asked = [*job.keys, *(recall.key for recall in job.recalls if recall.known is None)]
    counted: Sequence[int] | None = None
    lost: tuple[tuple[str, str], ...] = ()
    wasted: tuple[tuple[str, int], ...] = ()
    try:
        if services.replay.is_down:
            raise Degraded(STORE_UNAVAILABLE)
        try:
            with services.tracing.span("tier llmlingua") if services.prune.enabled else nullcontext():
                job = await pruned(services.prune, job, services.settings.llmlingua, _FOR_MODEL * timeout_s)
        except Degraded as degraded:
            lost += (("llmlingua", degraded.reason),)
        with services.tracing.span("tier compressor", texts=len(job.segments)):
            done = await services.compress(job, until - time.monotonic())
        found, counted = by_key(job, done), done.counted
        if any(result.reason == STORE_UNAVAILABLE for result in found.values()):
            services.replay.failed("a compressor could not write to it")
            raise Degraded(STORE_UNAVAILABLE)
        services.replay.remember(found)
        services.replay.stored(talk.scope, found.values())
        known |= found
        wasted = done.waste
    except Degraded as degraded:
        lost += (("compressor", degraded.reason),)
        reason = degraded.reason if degraded.reason == STORE_UNAVAILABLE else f"compressor_{degraded.reason}"
        known |= await services.replay.pin(asked, Compressed(None, reason=reason))
    return Compression(talk.results(known), talk.recalled(known), counted, lost, wasted)
