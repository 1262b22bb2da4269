"""The LLMLingua deployment: prose to shorter prose in batches, by one model per replica; its application, and the ingress's way to it.

It is an application of its own and takes nothing down: absent, at zero replicas, cold, full or broken, a call ends within its
budget and the rest of the request goes on. A replica without the extra `llmlingua`, or without the model, comes up and answers
every call with the reason. Requests of many callers become one batch by their tokens; a batch runs on a thread, so that a replica takes
and batches requests while it computes. What nobody waits for any more is not computed, or no further.
"""

# Serve reads the annotation of `build` at run time, so it must not become a string: no `annotations` from __future__.
import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ray import serve
from ray.serve import Application

from headroom import tokens
from headroom.errors import ModelUnavailable
from headroom.model import Passage, Pruned, PrunerSpec
from headroom.proxy.compress import Degraded
from headroom.proxy.prune import Answer, Prune, answered
from serve_app.args import LLMLinguaArgs
from serve_app.logs import join_serve_logs
from serve_app.scorer import NoModel
from serve_app.tiers import Tier

NAME = "LLMLingua"  # of the deployment
HARD_LIMIT_S = 60.0  # a batch that has not ended after this hangs
_CHARS = 4  # of a token, about
_BATCH_TOKENS = 32_768  # of one batch; a request of more is a batch alone
_BATCH_WAIT_S = 0.002  # of a call that comes alone; while a batch runs, the next one fills anyway
_RETRY_S = 5.0  # after the deployment could not be looked for
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What crosses the hop: passages, and the seconds that their caller waits."""

    passages: tuple[Passage, ...]
    seconds: float


@dataclass(slots=True, eq=False)
class _Waiting:
    """`gone` is set when the caller went away."""

    request: PruneRequest
    until: float
    gone: bool = False

    @property
    def over(self) -> bool:
        return self.gone or self.until <= time.monotonic()


def _size(waiting: list[_Waiting]) -> int:
    """Tokens of a batch, about; Serve refuses a request that alone is larger than a batch."""
    return sum(min(_BATCH_TOKENS, sum(len(passage.text) for passage in item.request.passages) // _CHARS) for item in waiting)


class LLMLingua:
    """The deployment: a `PruneRequest` to a result per passage, or one word why there is none, or `NoModel`.

    Loaded, warm and measured when its constructor returns, so that no request meets a cold replica.
    """

    def __init__(self, spec: PrunerSpec, vocabulary_dir: Path | None) -> None:
        join_serve_logs()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmlingua")
        self._began: float | None = None
        self._absent: NoModel | None = None
        try:
            from headroom.compressors.llmlingua.timely import Timely

            self._timely = Timely(spec, tokens.counter("", vocabulary_dir).count)
        except ModelUnavailable as failure:
            _log.warning("no LLMLingua: %s", failure.message)
            self._absent = NoModel(failure.reason, failure.message)
        except ModuleNotFoundError as failure:
            self._absent = NoModel("not_installed", f"{failure.name} not installed: pip install 'headroom[llmlingua]'")

    async def __call__(self, request: PruneRequest) -> Answer | NoModel:
        if self._absent:
            return self._absent
        waiting = _Waiting(request, time.monotonic() + request.seconds)
        try:
            answer: Answer = await self._batched(waiting)
        finally:
            waiting.gone = True
        return answer

    async def check_health(self) -> None:
        """Raises when a batch hangs; Serve then replaces this replica."""
        began = self._began
        if began is not None and time.monotonic() - began > HARD_LIMIT_S:
            raise RuntimeError(f"a batch has not ended after {HARD_LIMIT_S:.0f} s")

    @serve.batch(max_batch_size=_BATCH_TOKENS, batch_wait_timeout_s=_BATCH_WAIT_S, batch_size_fn=_size)
    async def _batched(self, waiting: list[_Waiting]) -> list[Answer]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._prune, waiting)

    def _prune(self, waiting: Sequence[_Waiting]) -> list[Answer]:
        """Those whose time is over, or who went away, get no further; the batch ends with the last of the others."""
        self._began = now = time.monotonic()
        try:
            live = [item for item in waiting if not item.over]
            if not live:
                return ["deadline"] * len(waiting)
            left = max(item.until for item in live) - now
            passages = [passage for item in live for passage in item.request.passages]
            found = self._timely(passages, left, lambda: not all(item.over for item in live))
            if isinstance(found, str):
                return [found] * len(waiting)
            each = iter(found)
            return [list(islice(each, len(item.request.passages))) if item in live else "deadline" for item in waiting]
        finally:
            self._began = None


def build(args: LLMLinguaArgs) -> Application:
    """Bind the application of the model alone; `args` are those of the YAML. Raises SettingsError."""
    settings = args.resolved()
    deployment = serve.deployment(name=NAME, **args.options())(LLMLingua)
    return deployment.bind(settings.llmlingua.spec, settings.vocabulary_dir)


PruneTier = Tier[PruneRequest, Answer | NoModel]


class RemotePrune(Prune):
    """Prune in the deployment, which `find` looks for when it is first needed: its application may come later, or never.

    `find` blocks, and raises LookupError where Serve does not answer. Nothing is asked before a request needs it, which would wake
    a deployment that has gone to zero replicas.
    """

    enabled = True

    def __init__(self, find: Callable[[], PruneTier]) -> None:
        self._find = find
        self._tier: PruneTier | None = None
        self._looked = -_RETRY_S
        self._ready = False
        self._status = "not asked yet"
        self._finding: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def status(self) -> str:
        return self._status

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def __call__(self, passages: Sequence[Passage], timeout_s: float) -> Sequence[Pruned]:
        try:
            answer = await self._asked(tuple(passages), timeout_s)
        except Degraded as degraded:
            self._ready, self._status = False, degraded.reason
            raise
        if isinstance(answer, NoModel):
            self._ready, self._status = False, f"{answer.reason}: {answer.message}; prose is compressed without it"
            raise Degraded(answer.reason)
        self._ready, self._status = True, "ready"
        return answered(answer)

    async def _asked(self, passages: tuple[Passage, ...], timeout_s: float) -> Answer | NoModel:
        until = time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                tier = await self._found()
        except TimeoutError:
            raise Degraded("deadline") from None
        left = until - time.monotonic()
        return await tier(PruneRequest(passages, min(left, tier.budget_s)), left)

    async def _found(self) -> PruneTier:
        if self._tier is None:
            if self._finding is None or self._finding.done():
                if time.monotonic() - self._looked < _RETRY_S:
                    raise Degraded("unavailable")
                self._looked = time.monotonic()
                self._finding = asyncio.create_task(self._look())
            await asyncio.shield(self._finding)  # it goes on for those who come later
        if self._tier is None:
            raise Degraded("unavailable")
        return self._tier

    async def _look(self) -> None:
        try:
            self._tier = await asyncio.to_thread(self._find)
        except LookupError as failure:
            _log.warning("LLMLingua: %s", failure)
