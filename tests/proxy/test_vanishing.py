"""Hundreds of clients that vanish at once, at any point of their request, leave nothing behind."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest

from headroom.dialects.retrieval import Answer
from headroom.limits.budget import slot_of
from headroom.limits.rate import SLOT_S, SLOTS
from headroom.model import LOCAL, Call
from headroom.outcome import Usage
from headroom.proxy.admission import Admission
from headroom.proxy.relay import Meter
from headroom.proxy.server import create_app
from headroom.proxy.services import open_services
from headroom.proxy.trace import Trace
from headroom.stats.prices import cost
from headroom.store import Store, open_store
from headroom.store.base import Draw, Drawn
from headroom.store.threaded import ThreadedStore
from tests.limits.test_rate import Counted
from tests.provider import WAIT_S, Provider, Script, running
from tests.proxy.crowd import Crowd
from tests.proxy.faces import HTTP, Inline, asking, settings_for, stats_of

CLIENTS = 500
OURS = (Answer, Meter, Trace, httpx.Response, httpx.Request, httpcore.AsyncHTTP11Connection)


class Watched:
    """The application, and the event loop that it runs on."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    def tasks(self) -> int:
        return len(asyncio.all_tasks(self.loop))


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Clients, proxy and provider share this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def alive() -> Counter[str]:
    """What of a request is still in memory."""
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, OURS))


def until(condition: Any) -> None:
    waits = threading.Event()
    for _ in range(int(WAIT_S / 0.05)):
        if condition():
            return
        waits.wait(0.05)
    raise AssertionError("the server did not come to rest")


@pytest.mark.timeout(300)
def test_clients_that_vanish_leave_nothing_behind(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path)
    watched = Watched(create_app(open_services(settings, Inline(settings))))
    provider.always = Script(hold_after=2)
    with running(watched) as url:
        crowd = Crowd(url, provider, CLIENTS)
        crowd.come_and_vanish()
        HTTP.get(f"{url}/health").raise_for_status()
        until(lambda: watched.tasks() <= 4)
        rest, kept = watched.tasks(), alive()
        crowd.come_and_vanish()
        until(lambda: watched.tasks() <= rest)
        assert alive() <= kept
        seen = HTTP.get(f"{url}/stats").json()
        assert HTTP.post(f"{url}/v1/messages", json={"messages": [{"role": "user", "content": "hi"}]}).status_code == 200
    assert {row["status"] for row in seen["recent_requests"]} <= {200, 499}


class Taken:
    """The application under a server that takes a request from it in the middle of its body: cancels it, and `steps` later has an error."""

    def __init__(self, app: Any, steps: int) -> None:
        self._app = app
        self._steps = steps
        self.provider_waits = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pieces = 0

        async def taken() -> Any:
            nonlocal pieces
            pieces += 1
            if pieces == 1:
                return await receive() | {"body": b"a", "more_body": True}
            await asyncio.to_thread(self.provider_waits.wait, WAIT_S)
            request.cancel()
            for _ in range(self._steps):
                await asyncio.sleep(0)
            raise RuntimeError("the request is no longer ours")

        request = asyncio.create_task(self._app(scope, taken if scope["path"] == "/v1/other" else receive, send))
        await asyncio.wait({request})


@pytest.mark.parametrize("steps", range(4))
def test_a_request_that_the_server_takes_back_is_not_left_open_at_the_provider(steps: int, provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path)
    app = Taken(create_app(open_services(settings, Inline(settings))), steps)
    with running(app) as url, ThreadPoolExecutor() as threads:
        asked = threads.submit(HTTP.post, f"{url}/v1/other", content=b"ab", timeout=WAIT_S)
        provider.wait_until(lambda seen: seen.open == 1)
        app.provider_waits.set()
        provider.wait_until(lambda seen: seen.open == 0)
        assert asked.result(WAIT_S).status_code == 500
    assert not provider.requests


LIMITS = {"budget": 10, "budget_period": "monthly", "tpm": 1000, "rate_limit": True}


def charged(draws: Any) -> list[int]:
    """What of a month's dollars and of a minute's tokens is taken."""
    now, budget, tokens = time.time(), "budget:all:monthly", f"rate:tokens:caller:{LOCAL.scope}"
    month = [Draw(budget, slot_of("monthly", now), 0)]
    minute = [Draw(tokens, int(now // SLOT_S) - back, 0) for back in range(SLOTS)]
    return [sum(draws(month).totals), sum(draws(minute).totals)]


@pytest.mark.parametrize("steps", range(20))
def test_a_caller_who_goes_away_while_the_store_is_asked_is_not_charged(steps: int, tmp_path: Path) -> None:
    store: Any = Counted(tmp_path)
    call = Call("openai", b"{}", body={}, model="gpt-4o")

    async def run() -> None:
        admission = Admission(settings_for("http://provider.invalid", tmp_path, limits=LIMITS), store)
        request = asyncio.create_task(admission.admit(LOCAL, call, "openai", "gpt-4o", 400, "r"))
        for _ in range(steps):
            await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait({request})
        if not request.cancelled():
            assert charged(store.store.draw) == [cost("openai", "gpt-4o", Usage(134, 4096)), 100]
            admission.settle(request.result(), (), charged=False)
        await admission.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert charged(store.store.draw) == [0, 0]


class Slow:
    """A store that takes its time to reserve."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def draw(self, draws: Sequence[Draw], once: str = "", once_s: float = 86_400.0) -> Drawn:
        if once.startswith("reserve:"):
            self.asked.set()
            self.may_answer.wait(WAIT_S)
        return self._store.draw(draws, once, once_s)


def test_a_client_that_goes_away_while_a_slow_store_reserves_pays_nothing(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path, limits=LIMITS | {"rate_limit": False})
    body = asking([{"role": "user", "content": "hi"}]) | {"model": "claude-sonnet-4-5"}
    slow: Any = Slow(open_store(settings))
    services = open_services(settings, Inline(settings))
    services = dataclasses.replace(services, admission=Admission(settings, ThreadedStore(slow)))

    async def ask_and_leave(url: str) -> None:
        async with httpx.AsyncClient() as client:
            asked = asyncio.create_task(client.post(f"{url}/v1/messages", json=body))
            await asyncio.to_thread(slow.asked.wait, WAIT_S)
            asked.cancel()
            await asyncio.wait({asked})

    with running(create_app(services)) as url:
        asyncio.run(ask_and_leave(url))
        (row,) = stats_of(url, 1)["recent_requests"]
        slow.may_answer.set()
    assert row["status"] == 499
    assert charged(slow.draw) == [0, 0]
    assert not provider.requests
