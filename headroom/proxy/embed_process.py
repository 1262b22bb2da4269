"""The embedded face's embedding model: one process beside the server, started when the first vector is asked for.

Vectors are remembered on this side, so known texts do not cross.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.model_process import RETRY_S, ModelProcess, ProcessModel
from headroom.scoring.embedding import Embedder, EmbeddingMemo, Made, check, joined
from headroom.settings import Settings

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors


def embedded_embed(settings: Settings) -> Embed:
    """What the settings name."""
    scoring = settings.scoring
    return ProcessEmbed(scoring.spec, scoring.cache_entries, wanted=settings.wants_vectors) if scoring.enabled else NoEmbed()


def _loaded(spec: ModelSpec) -> Callable[[Sequence[str]], Made]:
    """In the process. Raises ModelUnavailable."""
    return Embedder(spec).made


class ProcessEmbed(ProcessModel, Embed):
    """Embed in a process of this server. That there is no model is logged where one is `wanted`; `status` says it always."""

    def __init__(self, spec: ModelSpec, entries: int, retry_s: float = RETRY_S, *, wanted: bool = True) -> None:
        super().__init__("embed", "scores by words alone", _loaded, spec, retry_s=retry_s)
        self._spec = spec
        self._memo = EmbeddingMemo(entries)
        self._wanted = wanted
        self._checking: asyncio.Task[None] | None = None

    @property
    def model(self) -> str:
        return self._memo.model

    async def start(self) -> None:
        self._checking = asyncio.create_task(asyncio.to_thread(self._check))

    async def close(self) -> None:
        if self._checking:
            await asyncio.gather(self._checking, return_exceptions=True)
        await super().close()

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        found = self._memo.lookup(texts)
        if not found.missing:
            return joined(found)

        def computed(process: ModelProcess) -> Made:
            made: Made = process.ask(list(found.missing.values()))
            self._memo.remember(found, made)
            return made

        fresh = await self.ask(computed, timeout_s)
        if not found.fits(fresh):  # the process was replaced, by one with another model: nothing known before is left
            return await self(texts, timeout_s)
        return joined(found, fresh)

    def _check(self) -> None:
        try:
            check(self._spec)
        except ModelUnavailable as failure:
            self.gone(failure, told=self._wanted)
