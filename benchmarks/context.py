"""What conversations keep when they outgrow the model: `python -m benchmarks.context DATA [--windows 8000 16000 32000]`.

Of every conversation the requests are sent that an agent would have sent, one per answer, through the whole application with a
provider that answers nothing. What must hold at every request: it fits the window with its answer, the provider's API would
take it, every hash redeems exactly what it stands for, and it begins with what the request before became, except where a cut
was made. Of the last request it is said how much of the conversation's `evidence` (strings of it that were asked for, or were needed
next) is visible, for conversations of which something left.

A conversation whose system prompt, last question and last result do not fit by themselves is counted as such, not as one that fits.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import corpus
from headroom import worker
from headroom.context.choice import Outgrown
from headroom.context.fit import TOO_MUCH_PROTECTED, Fitted
from headroom.context.intelligent import ByImportance
from headroom.context.rolling_window import OldestFirst
from headroom.conversation import by_key
from headroom.errors import StoreUnavailable
from headroom.model import Compressed, Job, JobResult
from headroom.outcome import Outcome
from headroom.proxy.counts import TokenCounts
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.replay import Replay
from headroom.proxy.server import create_app
from headroom.proxy.services import Services, open_services
from headroom.proxy.upstream import Upstream
from headroom.scoring import importance
from headroom.scoring.embedding import Embedder, EmbeddingMemo, joined
from headroom.settings import Settings
from headroom.stats.book import View
from headroom.stats.ledger import Groups, Query
from headroom.stats.series import Series
from headroom.store import Store, open_store
from headroom.store.threaded import ThreadedStore
from headroom.tokens import counter
from tests.forwarding import requests
from tests.rules import broken

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors

ROUTES = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
MODELS = {"anthropic": "claude-sonnet-4-5", "openai": "gpt-4o"}
CUT = "context"  # the transform of a remembered cut
GAP = re.compile(r"\[Headroom: \d+ earlier messages? (?:is|are) left out here.{0,400}?hash=([0-9a-f]{16})\]")
COUNTS = TokenCounts()  # of all strategies and windows
ESCAPE = re.compile(r"\\(.)")
ANSWER = 1000  # tokens that a request allows for its answer
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "intelligent": {},
    "rolling": {"intelligent": False},
    "position": {"scoring": False},
    "no compress first": {"compress_first": False},
}


@dataclass
class Tally:
    """What one strategy did at one window."""

    conversations: int = 0
    outgrew: int = 0
    requests: int = 0
    too_large: int = 0
    unfit: int = 0
    invalid: int = 0
    cuts: int = 0
    moved: int = 0
    markers: int = 0
    lost: int = 0
    evidence: int = 0
    visible: dict[str, float] = field(default_factory=dict)  # conversation -> share of its evidence
    failures: list[str] = field(default_factory=list)

    def fail(self, what: str, where: str) -> None:
        setattr(self, what, getattr(self, what) + 1)
        self.failures.append(f"{what}: {where}")


class Inline:
    """Compress in this process. What became of segments is the same whatever the window, so it is worked out once for all of them."""

    ready = True
    _known: ClassVar[dict[tuple[str, ...], JobResult]] = {}

    def __init__(self, store: Store) -> None:
        self._store = store
        self._worker = worker.Worker(store)

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
        return self._worker.cut(outgrown)

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
        fresh = await asyncio.to_thread(self._embedder, list(found.missing.values()))
        self._memo.remember(found, fresh)
        return joined(found, fresh)


class Counting(Replay):
    """Counts the cuts that are made."""

    cuts = 0

    async def first(self, results: Mapping[str, Compressed]) -> dict[str, Compressed]:
        self.cuts += sum(result.transform == CUT for result in results.values())
        return await super().first(results)


class Outcomes(asyncio.Queue[Outcome]):
    """Statistics that are read one request at a time and never written down."""

    dropped = 0

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    def record(self, outcome: Outcome) -> None:
        self.put_nowait(outcome)

    async def look(self, query: Query | None = None, *, fresh: bool = True) -> View:
        raise StoreUnavailable("statistics are not kept")

    async def series(self, query: Query | None = None) -> dict[Series, Groups]:
        raise StoreUnavailable("statistics are not kept")


@dataclass
class Proxy:
    """The application in this process; `sent` is the last body that the provider got, `cut` says that something had left it."""

    client: httpx.AsyncClient
    services: Services
    replay: Counting
    outcomes: Outcomes
    sent: bytes = b""
    cut: bool = False

    async def ask(self, format: str, body: Mapping[str, Any], key: str) -> Sequence[str]:
        """The reasons of one request. Callers with different keys share nothing."""
        reply = (await self.client.post(ROUTES[format], json=body, headers={"x-api-key": key})).raise_for_status()
        while (outcome := await self.outcomes.get()).request_id != reply.headers["x-headroom-request-id"]:
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

        replay, outcomes = Counting(threaded), Outcomes()
        services = dataclasses.replace(
            open_services(settings, Inline(store), embed, outcomes),
            store=threaded,
            replay=replay,
            counts=COUNTS,
            upstream=Upstream(settings.upstream, httpx.MockTransport(provider)),
        )
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://here", timeout=None) as client:
            made.append(Proxy(client, services, replay, outcomes))
            yield made[0]
        await threaded.close()


async def _nothing() -> AsyncIterator[bytes]:
    yield b"{}"


async def examine(talk: corpus.Conversation, at: Proxy, window: int, at_once: bool, tally: Tally) -> None:
    """All requests of one conversation, or only the last one."""
    tally.conversations += 1
    asked = list(requests(talk.messages))
    if not asked or tokens_of(talk.system, talk.messages) <= window - ANSWER:
        return  # it fits as it is
    before: list[Any] = []
    at.cut = False
    for messages in asked[-1:] if at_once else asked:
        if at_once or tokens_of(talk.system, messages) > (window - ANSWER) // 4:
            before = await one(talk, messages, at, window, before, tally)
    if at.cut:
        tally.outgrew += 1
        shown = Shown(before)
        found = [shown.holds(text) for text in talk.evidence]
        tally.evidence += len(found)
        if found:
            tally.visible[talk.id] = sum(found) / len(found)


async def one(talk: corpus.Conversation, messages: Any, at: Proxy, window: int, before: list[Any], tally: Tally) -> list[Any]:
    """One request; the messages that were sent."""
    system = {} if talk.system is None else {"system": talk.system}
    cuts, where = at.replay.cuts, f"{talk.id}, {len(messages)} messages"
    reasons = await at.ask(talk.format, {"model": MODELS[talk.format], "max_tokens": ANSWER, **system, "messages": messages}, talk.id)
    sent: list[Any] = json.loads(at.sent)["messages"]
    tally.requests += 1
    made = at.replay.cuts > cuts
    tally.cuts += made
    if sent[: len(before)] != before:
        tally.moved += 1
        if not made:
            tally.failures.append(f"moved without a cut: {where}")
    if tokens_of(talk.system, sent) > window - ANSWER:
        tally.fail("too_large" if TOO_MUCH_PROTECTED in reasons else "unfit", where)
    if set(broken(sent, talk.format)) - set(broken(messages, talk.format)) and not broken(messages, talk.format):
        tally.fail("invalid", f"{where}: {broken(sent, talk.format)}")
    if made:
        for text in hash_of_gap(at.sent.decode()):
            tally.markers += 1
            original = (await at.client.get(f"/v1/retrieve/{text}", headers={"x-api-key": talk.id})).json()
            left = json.loads(original["original_content"]) if "original_content" in original else None
            if not left or not any(messages[place : place + len(left)] == left for place in range(len(messages))):
                tally.fail("lost", f"{where}, hash={text}")
    return sent


def hash_of_gap(body: str) -> list[str]:
    """The hashes of what left."""
    return [match[1] for match in GAP.finditer(body)]


class Shown:
    """What is readable in messages."""

    def __init__(self, messages: Sequence[Any]) -> None:
        self._text = "\n".join(strings(messages))
        self._plain = normal(self._text)

    def holds(self, evidence: str) -> bool:
        return evidence in self._text or normal(evidence) in self._plain


def normal(text: str) -> str:
    """JSON's escapes undone, blanks collapsed."""
    return " ".join(ESCAPE.sub(lambda match: {"n": " ", "t": " ", "r": " "}.get(match[1], match[1]), text).split())


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def tokens_of(system: Any, messages: Sequence[Any]) -> int:
    """Of all that is read, counted once per text."""
    return sum(_count(text) for text in [*strings(system), *(t for m in messages for t in strings({**m, "role": ""}))]) + 4 * len(messages)


@functools.lru_cache(200_000)
def _count(text: str) -> int:
    return counter("gpt-4o").count(text)


async def measure(talks: Sequence[corpus.Conversation], window: int, context: Mapping[str, Any], embed: Embed, at_once: bool) -> Tally:
    tally = Tally()
    async with proxy(window, context, embed) as at:
        for talk in track(talks, f"{window}", console=Console(stderr=True), transient=True):
            await examine(talk, at, window, at_once, tally)
    return tally


def visible(tally: Tally, only: Sequence[str]) -> float:
    """Percent of the evidence that is visible, conversations weighing alike."""
    return 100 * sum(tally.visible[id] for id in only) / len(only) if only else 0.0


async def run(arguments: argparse.Namespace) -> int:
    talks = [
        talk for talk in corpus.conversations(arguments.data, arguments.limit) if talk.kind == arguments.kind and talk.format in ROUTES
    ]
    if arguments.most_messages:
        talks = [talk for talk in talks if len(talk.messages) <= arguments.most_messages]
    embed: Embed = NoEmbed() if arguments.model == "off" else Meaning(arguments.model)
    names = arguments.strategies or ["intelligent", "rolling"]
    table = Table(title=f"{len(talks)} conversations, {'the last request only' if arguments.at_once else 'turn by turn'}")
    for head in (
        "window",
        "strategy",
        "outgrew",
        "requests",
        "unfit",
        "too large",
        "invalid",
        "cuts",
        "moved",
        "hashes",
        "lost",
        "visible %",
    ):
        table.add_column(head, justify="left" if head == "strategy" else "right")
    failures: list[str] = []
    for window in arguments.windows:
        tallies: dict[str, Tally] = {}
        for name in names:
            with switched_off(name.removeprefix("without ")) if name.startswith("without ") else nullcontext():
                tallies[name] = await measure(talks, window, STRATEGIES.get(name, {}), embed, arguments.at_once)
        both = [id for id in tallies[names[0]].visible if all(id in tally.visible for tally in tallies.values())]
        for name, tally in tallies.items():
            figures = (
                tally.outgrew,
                tally.requests,
                tally.unfit,
                tally.too_large,
                tally.invalid,
                tally.cuts,
                tally.moved,
                tally.markers,
                tally.lost,
            )
            table.add_row(f"{window:,}", name, *map(str, figures), f"{visible(tally, both):.1f} ({len(both)})")
            failures += [f"{window} {name}: {failure}" for failure in tally.failures if not failure.startswith("too_large")]
            if arguments.verbose:
                for id in both:
                    print(window, name, id, tally.visible[id], file=sys.stderr)
    Console(width=140).print(table)
    for failure in failures[:20]:
        print(failure)
    return bool(failures)


@contextmanager
def switched_off(factor: str) -> Iterator[None]:
    """Scores without one factor."""
    weights: dict[str, float] = importance.WEIGHTS  # type: ignore[assignment]
    weight = weights[factor]
    weights[factor] = 0.0
    try:
        yield
    finally:
        weights[factor] = weight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .jsonl file of conversations, or a directory of them")
    parser.add_argument("--windows", type=int, nargs="+", default=[8000, 16_000, 32_000])
    parser.add_argument("--strategies", nargs="+", help="of: intelligent, rolling, position, no compress first, without FACTOR")
    parser.add_argument("--at-once", action="store_true", help="send only the last request of each conversation")
    parser.add_argument("--model", default="off", help="embedding model: a directory or a name; off: similarity by words")
    parser.add_argument("--kind", default="agent")
    parser.add_argument("--limit", type=int, help="at most so many conversations, evenly from all files")
    parser.add_argument("--most-messages", type=int, help="pass over longer conversations; the time grows with the square of the length")
    parser.add_argument("--verbose", action="store_true", help="print the visible share of each conversation")
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
