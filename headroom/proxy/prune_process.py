"""The embedded face's LLMLingua-2: one process beside the server, started when the first prose comes.

Calls wait in order, and leave the queue when their time is over; so does what has begun, between two batches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from headroom import tokens
from headroom.compressors.llmlingua.classifier import check
from headroom.errors import ModelUnavailable, SettingsError
from headroom.model import Passage, Pruned, PrunerSpec
from headroom.proxy.model_process import RETRY_S, ModelProcess, ProcessModel
from headroom.proxy.prune import Answer, NoPrune, Prune, answered
from headroom.settings import Settings

Request = tuple[tuple[Passage, ...], float]


def embedded_prune(settings: Settings) -> Prune:
    """What the settings name. Raises SettingsError where it is wanted and cannot be: not installed, or no model on this machine."""
    lingua = settings.llmlingua
    if not lingua.enabled:
        return NoPrune()
    try:
        check(lingua.spec)
    except ModelUnavailable as failure:
        raise SettingsError(f"--llmlingua: {failure.message}") from None
    return ProcessPrune(lingua.spec, settings.vocabulary_dir)


def load(spec: PrunerSpec, vocabulary_dir: Path | None) -> Callable[[Request], Answer]:
    """In the process: the model, warm, as a function of passages and the seconds they may take. Raises ModelUnavailable."""
    from headroom.compressors.llmlingua.timely import Timely

    timely = Timely(spec, tokens.counter("", vocabulary_dir).count)
    return lambda request: timely(*request)


class ProcessPrune(ProcessModel, Prune):
    """Prune in a process of this server."""

    def __init__(self, spec: PrunerSpec, vocabulary_dir: Path | None = None, retry_s: float = RETRY_S) -> None:
        super().__init__("llmlingua", "prose is compressed without it", load, spec, vocabulary_dir, retry_s=retry_s)

    async def start(self) -> None:
        return

    async def __call__(self, passages: Sequence[Passage], timeout_s: float) -> Sequence[Pruned]:
        until = time.monotonic() + timeout_s

        def shortened(process: ModelProcess) -> Answer:
            answer: Answer = process.ask((tuple(passages), until - time.monotonic()))
            return answer

        return answered(await self.ask(shortened, timeout_s))
