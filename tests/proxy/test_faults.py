"""Faults on either side: the client sees exactly what the provider did, and never that we are in trouble."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from headroom.ccr import marker
from headroom.context.choice import Outgrown
from headroom.context.fit import Fitted
from headroom.model import Job, JobResult
from headroom.proxy.compress import Degraded
from headroom.settings import Settings
from headroom.store.sqlite import SqliteStore
from tests.provider import Provider, Script, refusing_url
from tests.proxy.faces import HTTP, Inline, anthropic_turns, asking, openai_turns, serving, settings_for, stats_of

ROUTES = ["/v1/messages", "/v1/chat/completions"]
TURNS = {"/v1/messages": anthropic_turns, "/v1/chat/completions": openai_turns}
HELLO = asking([{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("route", [*ROUTES, "/v1/models"])
def test_a_provider_that_refuses_the_connection(tmp_path: Path, route: str) -> None:
    with serving(settings_for(refusing_url(), tmp_path)) as url:
        answer = HTTP.get(url + route) if route == "/v1/models" else HTTP.post(url + route, json=HELLO)
    error = answer.json()["error"]
    assert answer.status_code == 502
    assert "could not be reached" in error["message"]
    assert error["type"] == ("api_error" if route == "/v1/messages" else "server_error")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
def test_the_providers_errors_are_passed_exactly(small: str, provider: Provider, route: str, status: int) -> None:
    headers = (("retry-after", "7"), ("x-odd", "a"), ("x-odd", "b"), ("set-cookie", "c=1"), ("set-cookie", "d=2"))
    provider.always = Script(status, headers)
    direct, through = HTTP.post(provider.url + route, json=HELLO), HTTP.post(small + route, json=HELLO)
    assert through.status_code == status
    assert through.content == direct.content
    ours = [(name, value) for name, value in through.headers.multi_items() if not name.startswith("x-headroom-")]
    assert ours == direct.headers.multi_items()
    assert len(provider.requests) == 2


def read_until_cut(url: str) -> bytes:
    """What arrives of a streamed answer before the connection breaks."""
    seen = []
    with HTTP.stream("POST", url, json={**HELLO, "stream": True}) as answer, pytest.raises(httpx.RemoteProtocolError):
        seen.extend(answer.iter_raw())
    assert answer.status_code == 200
    return b"".join(seen)


@pytest.mark.parametrize("route", [*ROUTES, "/v1/responses"])
@pytest.mark.parametrize("die_after", [1, 3])
def test_a_provider_that_dies_in_the_middle_breaks_the_connection(small: str, provider: Provider, route: str, die_after: int) -> None:
    provider.script(Script(die_after=die_after))
    assert read_until_cut(small + route).count(b"\n\n") == die_after
    assert HTTP.post(small + route, json=HELLO).status_code == 200


@pytest.mark.parametrize("route", [*ROUTES, "/v1/files"])
def test_an_answer_shorter_than_it_said_breaks_the_connection(small: str, provider: Provider, route: str) -> None:
    provider.script(Script(body=b"xy", claimed_bytes=5))
    assert read_until_cut(small + route) == b"xy"


@pytest.mark.parametrize("route", [*ROUTES, "/v1/responses"])
@pytest.mark.parametrize("hold_after", [0, 2])
def test_a_client_that_goes_away_leaves_nothing_open(small: str, provider: Provider, route: str, hold_after: int) -> None:
    provider.script(Script(hold_after=hold_after))
    provider.wait_until(lambda seen: seen.open == 0)

    async def ask_and_leave() -> None:
        async with httpx.AsyncClient() as client:
            asked = asyncio.create_task(client.post(small + route, json={**HELLO, "stream": True}))
            await asyncio.to_thread(provider.wait_until, lambda seen: seen.open == 1 and len(seen.requests) == 1)
            asked.cancel()
            await asyncio.wait({asked})

    asyncio.run(ask_and_leave())
    provider.wait_until(lambda seen: seen.open == 0)
    provider.wait_until(lambda seen: seen.abandoned == 1)


class Stuck:
    """A compressor that answers when it is told to, or not at all."""

    ready = True

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.asked = threading.Event()
        self.left = threading.Event()

    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        self.asked.set()
        if self.reason:
            raise Degraded(self.reason)
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError

    async def cut(self, outgrown: Outgrown, timeout_s: float) -> Fitted:
        raise Degraded(self.reason)

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


def test_a_client_that_goes_away_during_compression(provider: Provider, tmp_path: Path) -> None:
    stuck = Stuck()

    async def ask_and_leave(url: str) -> None:
        async with httpx.AsyncClient() as client:
            asked = asyncio.create_task(client.post(f"{url}/v1/messages", json=asking(anthropic_turns(1))))
            await asyncio.to_thread(stuck.asked.wait, 30)
            asked.cancel()
            await asyncio.wait({asked})

    with serving(settings_for(provider, tmp_path), stuck) as url:
        asyncio.run(ask_and_leave(url))
        assert stuck.left.wait(30)
        assert provider.requests == []
        assert stats_of(url, 1)["recent_requests"][0]["status"] == 499


@pytest.fixture
def settings(provider: Provider, tmp_path: Path) -> Settings:
    return settings_for(provider, tmp_path)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("reason", ["deadline", "worker_died"])
def test_without_compression_the_original_goes_out_and_stays(settings: Settings, provider: Provider, route: str, reason: str) -> None:
    """A text that was once forwarded as it came is forwarded so in every later turn, by every process."""
    first, second = (json.dumps(asking(TURNS[route](turns))).encode() for turns in (1, 2))
    with serving(settings, Stuck(reason)) as url:
        answer = HTTP.post(url + route, content=first)
        assert answer.headers["x-headroom-skip-reason"] == f"compressor_{reason}"
        assert answer.headers["x-headroom-tokens-saved"] == "0"
        assert provider.requests[-1].body == first
        assert stats_of(url, 1)["degraded"] == {f"compressor:{reason}": 1}
    with serving(settings) as url:
        HTTP.post(url + route, content=second)
        forwarded = provider.requests[-1].body
        assert forwarded.startswith(first.removesuffix(b"]}"))
        assert list(marker.hashes(forwarded.decode()))
        HTTP.post(url + route, content=first)
        assert provider.requests[-1].body == first


class Raising(Stuck):
    async def __call__(self, job: Job, timeout_s: float) -> JobResult:
        raise RuntimeError("unexpected")


def test_an_error_nobody_expected_costs_the_saving_only(settings: Settings, provider: Provider) -> None:
    body = json.dumps(asking(anthropic_turns(1))).encode()
    with serving(settings, Raising()) as url:
        answer = HTTP.post(f"{url}/v1/messages", content=body)
        assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, "failed")
        failed = HTTP.post(f"{url}/v1/compress", content=body)
        assert failed.status_code == 500
        assert failed.headers["x-headroom-request-id"] in failed.json()["error"]["message"]
    assert provider.requests[0].body == body


@pytest.fixture
def locked(settings: Settings) -> Iterator[Settings]:
    """A store that another process keeps locked, once it has been made."""
    with serving(settings):
        pass
    with closing(sqlite3.connect(settings.store_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield settings


def test_with_a_locked_store_requests_pass(locked: Settings, provider: Provider) -> None:
    first, second = (json.dumps(asking(anthropic_turns(turns))).encode() for turns in (1, 2))
    with serving(locked, store=SqliteStore(locked.store_path, 3600, 10**9, busy_s=0.05)) as url:
        answer = HTTP.post(f"{url}/v1/messages", content=first)
        assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, "store_unavailable")
        assert provider.requests[-1].body == first
        assert HTTP.post(f"{url}/v1/messages", content=second).status_code == 200
        assert provider.requests[-1].body == second
        assert HTTP.get(f"{url}/health").status_code == 200


def test_with_a_store_that_vanished_requests_pass(settings: Settings, provider: Provider) -> None:
    body = json.dumps(asking(anthropic_turns(1))).encode()
    compress = Inline(settings)
    with serving(settings, compress) as url:
        settings.home.rename(settings.home.with_name("elsewhere"))
        settings.home.write_text("a file where the directory was")
        answer = HTTP.post(f"{url}/v1/messages", content=body)
        assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, "store_unavailable")
        assert provider.requests[-1].body == body
        assert compress.jobs == []
