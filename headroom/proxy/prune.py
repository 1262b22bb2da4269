"""The hop to a model that leaves words out (LLMLingua-2), seen from the server: the protocol that both faces implement, and
the face without one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol

from headroom import pipeline
from headroom.model import Job, Passage, Pruned
from headroom.proxy.compress import Degraded
from headroom.proxy.threads import offload
from headroom.settings import LLMLinguaSettings

Answer = list[Pruned] | str  # of a model: a result per passage, or why there is none


class Prune(Protocol):
    async def __call__(self, passages: Sequence[Passage], timeout_s: float) -> Sequence[Pruned]:
        """One result per passage, in order. Raises Degraded when there is none in time, or no model; nothing is remembered here."""

    @property
    def enabled(self) -> bool:
        """Whether there is a model at all, as far as is known."""

    @property
    def ready(self) -> bool:
        """Whether a call is answered without loading a model first."""

    @property
    def status(self) -> str:
        """One line for a person: what it is doing, or why there is no model and what to do."""

    async def start(self) -> None:
        """Prepare in the background; returns at once."""

    async def close(self) -> None: ...


class NoPrune(Prune):
    """No model: every call is Degraded."""

    enabled = False
    ready = False
    status = "off: no words are left out"

    async def __call__(self, passages: Sequence[Passage], timeout_s: float) -> Sequence[Pruned]:
        raise Degraded("off")

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


def answered(answer: Answer) -> list[Pruned]:
    """The results. Raises Degraded where there are none."""
    if isinstance(answer, str):
        raise Degraded(answer)
    return answer


async def pruned(prune: Prune, job: Job, lingua: LLMLinguaSettings, timeout_s: float) -> Job:
    """The job with what a model made of its prose within the settings' deadline and `timeout_s`.

    Raises Degraded when the model was asked and gave no answer.
    """
    if not (job.segments and job.policy.llmlingua and job.policy.fidelity == "reversible"):
        return job
    size = sum(len(segment.text) for segment in job.segments)
    found = await offload(
        size, functools.partial(pipeline.passages, rate=lingua.rate, threshold=lingua.threshold, min_tokens=lingua.min_tokens), job
    )
    asked = [passage for passage in found if passage]
    if not asked:
        return job
    answers = iter(await prune(asked, min(timeout_s, lingua.deadline_ms / 1000)))
    return dataclasses.replace(job, pruned=tuple(next(answers) if passage else None for passage in found))
