"""The work behind the hop: the same function in a worker process of the proxy and in a Compressor replica.

What a result refers to is stored and committed before the result leaves here. If it cannot be
stored, the segment stays as it came. The first result remembered for a segment wins: a later one,
computed elsewhere or under other conditions, is replaced by it.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from headroom import pipeline, tokens
from headroom.errors import StoreUnavailable
from headroom.model import Compressed, Job, JobResult, Original, Segment
from headroom.store.base import Store

_log = logging.getLogger(__name__)


def run(job: Job, store: Store, vocabulary_dir: Path | None = None) -> JobResult:
    """Compress a job's segments; never raises over the store or a text."""
    counter = tokens.counter(job.model, vocabulary_dir)
    results = pipeline.compress(job.segments, job.policy, counter)
    counted = tuple(counter.count(text) for text in job.count)
    try:
        store.put_originals(job.scope, originals(job.segments, results))
    except StoreUnavailable as failure:
        _log.warning("originals could not be stored, segments stay as they came: %s", failure)
        return JobResult(tuple(_kept(result, "store_unavailable") for result in results), counted)
    return JobResult(tuple(_first(job, results, store)), counted)


def originals(segments: tuple[Segment, ...], results: list[Compressed]) -> list[Original]:
    """What the results refer to."""
    return [
        Original(result.hash, segment.text, segment.tool, result.tokens_before, result.items, result.items_kept)
        for segment, result in zip(segments, results, strict=True)
        if result.text is not None
    ]


def _first(job: Job, results: list[Compressed], store: Store) -> list[Compressed]:
    keys = [segment.memo_key(job.scope, job.policy) for segment in job.segments]
    try:
        stands = store.put_results(dict(zip(keys, results, strict=True)))
    except StoreUnavailable as failure:
        _log.warning("results could not be remembered: %s", failure)
        return results
    return [dataclasses.replace(stands.get(key, result), ms=result.ms) for key, result in zip(keys, results, strict=True)]


def _kept(result: Compressed, reason: str) -> Compressed:
    if result.text is None:
        return result
    return Compressed(None, reason=reason, tokens_before=result.tokens_before, tokens_after=result.tokens_before, ms=result.ms)
