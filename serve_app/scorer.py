"""The Scorer deployment: texts to vectors in batches, by one model per replica, and the ingress's way to it.

It is optional and takes nothing down: without the extra `embed`, or without the model, a replica comes up and answers every
call with the reason. A batch runs on a thread, so a replica takes and batches requests while it computes. Replicas and
ingress remember vectors, so a text crosses the hop and is computed rarely more than once.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ray import serve

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.proxy.compress import Degraded
from headroom.proxy.embed import Embed
from headroom.scoring.embedding import Embedder, EmbeddingMemo, Lookup, Made, joined
from serve_app.logs import join_serve_logs
from serve_app.tiers import Tier

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors

HARD_LIMIT_S = 60.0  # a batch that has not ended after this hangs
_TEXTS_A_CALL = 32  # more are asked for in several calls, which replicas share
_CALLS_A_BATCH = 16
_BATCH_WAIT_S = 0.0  # a call that comes alone does not wait: while a batch runs, the next one fills
_PING_TIMEOUT_S = 30.0
_PING_PAUSE_S = 1.0
_ABSENT_PAUSES = 60  # so many of these between two pings where a replica had no model: another one may have it
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NoModel:
    """What a replica without a model answers: one word, and a line for a person."""

    reason: str
    message: str


class Scorer:
    """The deployment: a list of texts to `Made`, or `NoModel`; warm when its constructor returns."""

    def __init__(self, spec: ModelSpec, entries: int) -> None:
        join_serve_logs()
        self._memo = EmbeddingMemo(entries)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._began: float | None = None
        self._absent: NoModel | None = None
        try:
            self._embedder = Embedder(spec)
            self._embedder(["warm-up"])
        except ModelUnavailable as failure:
            _log.warning("no embeddings: %s", failure.message)
            self._absent = NoModel(failure.reason, failure.message)

    async def __call__(self, texts: Sequence[str]) -> Made | NoModel:
        if self._absent:
            return self._absent
        made: Made = await self._batched(texts)
        return made

    async def check_health(self) -> None:
        """Raises when a batch hangs; Serve then replaces this replica."""
        began = self._began
        if began is not None and time.monotonic() - began > HARD_LIMIT_S:
            raise RuntimeError(f"a batch has not ended after {HARD_LIMIT_S:.0f} s")

    @serve.batch(max_batch_size=_CALLS_A_BATCH, batch_wait_timeout_s=_BATCH_WAIT_S)
    async def _batched(self, requests: list[Sequence[str]]) -> list[Made]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, requests)

    def _embed(self, requests: Sequence[Sequence[str]]) -> list[Made]:
        self._began = time.monotonic()
        try:
            found = self._memo.lookup([text for texts in requests for text in texts])
            fresh = self._embedder.made(list(found.missing.values()))
            self._memo.remember(found, fresh)
            vectors = iter(joined(found, fresh))
            return [Made(fresh.model, _stacked(list(islice(vectors, len(texts))))) for texts in requests]
        finally:
            self._began = None


def _stacked(rows: Sequence[Vectors]) -> Vectors:
    """Contiguous, of one request alone, so that nothing else of the batch crosses the hop."""
    import numpy as np

    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _parts(missing: Mapping[bytes, str]) -> Sequence[Mapping[bytes, str]]:
    """What is asked for in one call each."""
    asked = iter(missing.items())
    return [dict(part) for part in iter(lambda: list(islice(asked, _TEXTS_A_CALL)), [])]


class RemoteEmbed(Embed):
    """Embed in the Scorer deployment.

    With `ping` it is asked at the start, after a failure, and once a minute where it has no model, which would wake one that has gone to
    zero replicas.
    """

    def __init__(self, tier: Tier[tuple[str, ...], Made | NoModel], entries: int, ping: bool, pause_s: float = _PING_PAUSE_S) -> None:
        self._tier = tier
        self._pause_s = pause_s
        self._memo = EmbeddingMemo(entries)
        self._ping = ping
        self._ready = False
        self._absent: NoModel | None = None
        self._status = "not asked yet"
        self._pinging: asyncio.Task[None] | None = None

    @property
    def model(self) -> str:
        return self._memo.model

    @property
    def enabled(self) -> bool:
        return self._absent is None

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def status(self) -> str:
        return self._status

    async def start(self) -> None:
        self._watch()

    async def close(self) -> None:
        if self._pinging:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        for _ in range(2):
            found = self._memo.lookup(texts)
            if not found.missing:
                return joined(found)
            answers = await asyncio.gather(*(self._ask(part, timeout_s) for part in _parts(found.missing)))
            fresh = Made(answers[0].model, _stacked([row for answer in answers for row in answer.rows]))
            if found.fits(fresh) and {answer.model for answer in answers} == {fresh.model}:
                return joined(found, fresh)
        raise Degraded("models_differ")

    async def _ask(self, part: Mapping[bytes, str], timeout_s: float) -> Made:
        """The vectors of these texts, which are remembered. Raises Degraded."""
        answer = await self._answer(tuple(part.values()), timeout_s)
        self._memo.remember(Lookup((), {}, part), answer)
        return answer

    async def _answer(self, texts: tuple[str, ...], timeout_s: float) -> Made:
        """Asks and notes how it went. Raises Degraded."""
        try:
            answer = await self._tier(texts, timeout_s)
        except Degraded as degraded:
            self._ready, self._status = False, degraded.reason
            self._watch()
            raise
        if isinstance(answer, NoModel):
            self._ready, self._absent, self._status = False, answer, f"{answer.reason}: {answer.message}; scores by words alone"
            self._watch()
            raise Degraded(answer.reason)
        self._ready, self._absent, self._status = True, None, "ready"
        return answer

    def _watch(self) -> None:
        """Ask until there is an answer, so that what is shown is true without a request.

        In a context of its own: Serve cancels what was begun in a request's when that ends.
        """
        if self._ping and (self._pinging is None or self._pinging.done()):
            self._pinging = asyncio.get_running_loop().create_task(self._until_answered(), context=contextvars.Context())

    async def _until_answered(self) -> None:
        while not self._ready:
            try:
                await self._answer(("warm-up",), _PING_TIMEOUT_S)
            except Degraded:
                await asyncio.sleep(self._pause_s * (_ABSENT_PAUSES if self._absent else 1))
