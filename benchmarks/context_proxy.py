"""The whole application in this process for `benchmarks.context`: any window, a provider that answers nothing, its last body at hand."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import httpx

from headroom import worker
from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.context.intelligent import ByImportance
from headroom.context.rolling_window import OldestFirst
from headroom.conversation import by_key
from headroom.learning import Learning
from headroom.model import Compressed, Job, JobResult
from headroom.outcome import Outcome
from headroom.proxy.counts import TokenCounts
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.replay import Replay
from headroom.proxy.server import create_app
from headroom.proxy.services import Services, open_services
from headroom.proxy.upstream import Upstream
from headroom.scoring.embedding import Embedder, EmbeddingMemo, joined
from headroom.scoring.toin import Snapshot
from headroom.settings import Settings
from headroom.store import Store, open_store
from headroom.store.threaded import ThreadedStore
from headroom.transcripts.through import Unkept

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors

ROUTES = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
CUT = "context"  # the transform of a remembered cut
COUNTS = TokenCounts()  # of all strategies and windows


class Given(Learning):
    """What is learned is told from outside."""

    snapshot = Snapshot()

    def advised(self, scope: str, lineage: str) -> Snapshot:
        return self.snapshot


class Inline:
    """Compress in this process. What became of segments is the same whatever the window, so it is worked out once for all of them."""

    ready = True
    _known: ClassVar[dict[tuple[str, ...], JobResult]] = {}

    def __init__(self, store: Store) -> None:
        self._store = store
        self._learned = Given(store)
        self._worker = worker.Worker(store)
        self._cutter = worker.Worker(store, None, self._learned)

    def teach(self, learned: Snapshot) -> None:
        """What holds for the outputs of conversations from now on, when it is decided what leaves."""
        self._learned.snapshot = learned

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        if not job.segments:
            return self._worker.run(job)
        asked = (*job.keys, *(recall.key for recall in job.recalls if recall.known is None))
        if asked not in self._known:
            self._known[asked] = self._worker.run(job)
        done = self._known[asked]
        self._store.put_originals(job.scope, worker.originals(job.segments, done.compressed))
        self._store.put_results(by_key(job, done))
        return done

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        return self._cutter.cut(outgrown)

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


class Meaning(NoEmbed):
    """Vectors of a model in this process, each text once."""

    enabled = ready = True

    def __init__(self, model: str) -> None:
        super().__init__()
        self._embedder = Embedder(Settings.model_validate({"scoring": {"model": model}}).scoring.spec)
        self._memo = EmbeddingMemo(1_000_000)

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        found = self._memo.lookup(texts)
        fresh = await asyncio.to_thread(self._embedder.made, list(found.missing.values()))
        self._memo.remember(found, fresh)
        return joined(found, fresh)


class Counting(Replay):
    """Counts the cuts that are made."""

    cuts = 0

    async def first(self, results: Mapping[str, Compressed]) -> dict[str, Compressed]:
        self.cuts += sum(result.transform == CUT for result in results.values())
        return await super().first(results)


class Outcomes(Unkept):
    """Read one request at a time."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Outcome] = asyncio.Queue()

    def record(self, outcome: Outcome) -> None:
        self.told.put_nowait(outcome)


@dataclass
class Proxy:
    """The application in this process; `sent` is the last body that the provider got, `cut` says that something had left it."""

    client: httpx.AsyncClient
    services: Services
    replay: Counting
    outcomes: Outcomes
    compress: Inline
    sent: bytes = b""
    cut: bool = False

    async def ask(self, format: str, body: Mapping[str, Any], key: str) -> Sequence[str]:
        """The reasons of one request. Callers with different keys share nothing."""
        reply = (await self.client.post(ROUTES[format], json=body, headers={"x-api-key": key})).raise_for_status()
        while (outcome := await self.outcomes.told.get()).request_id != reply.headers["x-headroom-request-id"]:
            pass
        self.cut = any(made.endswith((ByImportance.name, OldestFirst.name)) for made in outcome.transforms)
        return outcome.reasons


@asynccontextmanager
async def proxy(window: int, context: Mapping[str, Any], embed: Embed) -> AsyncIterator[Proxy]:
    """A new one, with an empty store."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.model_validate(
            {
                "home": home,
                "context": {"windows": f"*={window}", **context},
                "compression": {"deadline_ms": 600_000},
                "access": {"callers": "credential"},
            }
        )
        store = open_store(settings)
        threaded = ThreadedStore(store)
        made: list[Proxy] = []

        async def provider(request: httpx.Request) -> httpx.Response:
            made[0].sent = request.content
            return httpx.Response(200, headers={"content-type": "application/json"}, content=_nothing())

        replay, outcomes, compress = Counting(threaded), Outcomes(), Inline(store)
        services = dataclasses.replace(
            open_services(settings, compress, embed, outcomes),
            store=threaded,
            replay=replay,
            counts=COUNTS,
            upstream=Upstream(settings.upstream, httpx.MockTransport(provider)),
        )
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://here", timeout=None) as client:
            made.append(Proxy(client, services, replay, outcomes, compress))
            yield made[0]
        await threaded.close()


async def _nothing() -> AsyncIterator[bytes]:
    yield b"{}"
