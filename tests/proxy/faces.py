"""What the tests of the proxy share: conversations, and servers over chosen collaborators."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from headroom import worker
from headroom.cache.exact import ExactCache
from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.learning import open_learning
from headroom.model import Job, JobResult
from headroom.proxy.compress import Compress
from headroom.proxy.embed import Embed
from headroom.proxy.prune import Prune
from headroom.proxy.replay import Replay
from headroom.proxy.rollout import Rollout
from headroom.proxy.server import create_app, embedded_app
from headroom.proxy.services import open_services
from headroom.settings import Settings
from headroom.store import Store, open_store
from headroom.store.threaded import ThreadedStore
from tests.canaries import note
from tests.provider import WAIT_S, Provider, running

HTTP = httpx.Client(timeout=WAIT_S, event_hooks={"response": [note]})  # one for all tests: making one costs more than most requests


def settings_for(provider: Provider | str, home: Path, **more: Any) -> Settings:
    """Settings whose providers are the stand-in (or a URL), with a home of their own.

    Nothing is limited and compression has time enough on a busy machine, unless `more` says so.
    """
    url = provider if isinstance(provider, str) else provider.url
    more["compression"] = {"deadline_ms": 60_000} | more.get("compression", {})
    limits = {"rate_limit": False}
    return Settings.model_validate({"home": home, "upstream": {"anthropic_api_url": url, "openai_api_url": url}, "limits": limits, **more})


class Inline:
    """Compress on a thread of the test's own process."""

    ready = True

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self._store = store or open_store(settings)
        self.jobs: list[Job] = []

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        self.jobs.append(job)
        return await asyncio.to_thread(worker.run, job, self._store)

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        return await asyncio.to_thread(worker.Worker(self._store).cut, outgrown)

    async def start(self) -> None:
        return

    async def close(self) -> None:
        self._store.close()


@contextmanager
def serving(
    settings: Settings,
    compress: Compress | None = None,
    store: Store | None = None,
    embed: Embed | None = None,
    prune: Prune | None = None,
) -> Iterator[str]:
    """The URL of an embedded proxy whose compressor is `compress`, by default `Inline`, over `store` or the settings' own."""
    services = open_services(settings, compress or Inline(settings, store), embed, prune=prune)
    if store:
        threaded = ThreadedStore(store)
        replay = Replay(threaded)
        services = dataclasses.replace(
            services,
            store=threaded,
            replay=replay,
            rollout=Rollout(settings, replay),
            learning=open_learning(store, settings),
            answers=ExactCache(threaded, settings.cache.ttl_s),
        )
    with running(create_app(services)) as url:
        yield url


@contextmanager
def embedded(settings: Settings) -> Iterator[str]:
    """The URL of `headroom proxy` with its worker process, once it is ready."""
    with running(embedded_app(settings)) as url:
        await_ready(url)
        yield url


def await_ready(url: str) -> None:
    """Polls /readyz; fails when it does not turn 200 within WAIT_S."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            if HTTP.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.02)
    raise AssertionError("the proxy did not become ready")


def stats_of(url: str, requests: int, headers: dict[str, str] | None = None, **wanted: str) -> dict[str, Any]:
    """GET /stats, of the `wanted` requests, once that many are counted, which is behind the last byte of an answer; fails after WAIT_S."""
    until = time.monotonic() + WAIT_S
    while (stats := HTTP.get(f"{url}/stats", params=wanted, headers=headers).json())["requests"]["total"] < requests:
        assert time.monotonic() < until, f"{stats['requests']['total']} of {requests} requests were counted"
        time.sleep(0.02)
    assert isinstance(stats, dict)
    return stats


def answers_kept(url: str) -> int:
    """How many answers would be given again."""
    return int(HTTP.get(f"{url}/stats").json()["cache"]["entries"])


def await_answers_kept(url: str, count: int) -> None:
    """Once so many are, which happens behind the last byte of an answer; fails after WAIT_S."""
    until = time.monotonic() + WAIT_S
    while answers_kept(url) < count:
        assert time.monotonic() < until, f"{count} answers were not kept"
        time.sleep(0.02)


def rows(seed: int, count: int = 120) -> str:
    """A tool's output that compresses well."""
    draw = random.Random(seed)
    records = [
        {"id": 1000 + n, "host": f"node-{draw.randrange(9)}.example", "state": "running", "load": round(draw.random(), 3), "zone": "eu-1"}
        for n in range(count)
    ]
    return json.dumps(records)


def printed(*outputs: str, question: str = "What was decided?") -> list[dict[str, Any]]:
    """A conversation in which a tool printed these."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    for number, output in enumerate(outputs):
        call = {"type": "tool_use", "id": f"t{number}", "name": "read_page", "input": {"page": number}}
        messages.append({"role": "assistant", "content": [call]})
        messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": output}]})
    return messages


def anthropic_turns(turns: int, count: int = 120) -> list[dict[str, Any]]:
    """A conversation with one tool result per turn, ending with a user message."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        call = f"toolu_{turn}"
        messages += [
            {"role": "user", "content": f"Question {turn}: how busy is node-{turn}?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "list_nodes", "input": {"page": turn}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": rows(turn, count)}]},
            {"role": "assistant", "content": f"Answer {turn}."},
        ]
    return messages[:-1]


def openai_turns(turns: int, count: int = 120) -> list[dict[str, Any]]:
    """The same conversation as OpenAI tells it."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "list_nodes", "arguments": json.dumps({"page": turn})}}
        messages += [
            {"role": "user", "content": f"Question {turn}: how busy is node-{turn}?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": rows(turn, count)},
            {"role": "assistant", "content": f"Answer {turn}."},
        ]
    return messages[:-1]


def responses_turns(turns: int, count: int = 120) -> list[dict[str, Any]]:
    """The same conversation as items of OpenAI Responses."""
    items: list[dict[str, Any]] = []
    for turn in range(turns):
        call_id = f"call_{turn}"
        items += [
            {"role": "user", "content": [{"type": "input_text", "text": f"Question {turn}: how busy is node-{turn}?"}]},
            {"type": "reasoning", "id": f"rs_{turn}", "summary": [], "encrypted_content": "gAAAA"},
            {"type": "function_call", "call_id": call_id, "name": "list_nodes", "arguments": json.dumps({"page": turn})},
            {"type": "function_call_output", "call_id": call_id, "output": rows(turn, count)},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"Answer {turn}."}]},
        ]
    return items[:-1]


def asking(messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"model": "stand-in", "max_tokens": 64, "messages": messages, **more}


def body_of(route: str, turns: int, count: int = 120) -> dict[str, Any]:
    """A request on a provider route with a conversation of so many turns."""
    match route:
        case "/v1/messages":
            return asking(anthropic_turns(turns, count))
        case "/v1/chat/completions":
            return asking(openai_turns(turns, count))
    return {"model": "stand-in", "input": responses_turns(turns, count)}


INVOICES = 300


def invoices(seed: int) -> str:
    """A tool's output of which no row is special."""
    records = [
        {"number": f"INV-{seed}-{row:04}", "customer": (row * 7919 + seed) % 997, "cents": row * 6143 % 9973} for row in range(INVOICES)
    ]
    return json.dumps(records)


def middle(seed: int) -> list[str]:
    """The numbers of some rows in the middle of `invoices`."""
    return [f"INV-{seed}-{row:04}" for row in range(INVOICES // 2, INVOICES // 2 + 10)]


def invoice_turns(seeds: Sequence[int], tool: str = "list_invoices") -> list[dict[str, Any]]:
    """An Anthropic conversation in which the tool is called once a turn."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How much was billed?"}]
    for turn, seed in enumerate(seeds):
        call = f"toolu_{turn}"
        messages += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": tool, "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": invoices(seed)}]},
        ]
    return messages
