"""Limits over HTTP: told in the caller's dialect, the same over two servers on one store, settled with what was billed."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from headroom.limits.budget import slot_of
from headroom.outcome import Usage
from headroom.settings import Settings
from headroom.stats.prices import NANO, cost
from headroom.store import open_store
from headroom.store.base import Draw
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import HTTP, asking, serving, settings_for, stats_of
from tests.redis_server import redis_server

BODY = asking([{"role": "user", "content": "hello"}])
ROUTES = ("/v1/messages", "/v1/chat/completions")


def billed(model: str, input_tokens: int, output_tokens: int) -> Script:
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    body = json.dumps({"id": "x", "model": model, "usage": usage}).encode()
    return Script(headers=(("content-type", "application/json"),), body=body)


def limited(provider: Provider, home: Path, **limits: Any) -> Settings:
    return settings_for(provider, home, limits=limits)


def spent(settings: Settings, owner: str = "all") -> int:
    """Nanodollars of today."""
    store = open_store(settings)
    try:
        return store.draw([Draw(f"budget:{owner}:daily", slot_of("daily", time.time()), 0)]).totals[0]
    finally:
        store.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_limit_is_told_in_the_words_of_the_api(provider: Provider, tmp_path: Path, route: str) -> None:
    with serving(limited(provider, tmp_path, rpm=2)) as url:
        assert [HTTP.post(url + route, json=BODY).status_code for _ in range(2)] == [200, 200]
        refused = HTTP.post(url + route, json=BODY)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 65
        error = refused.json()["error"]
        assert error["type"] == "rate_limit_error"
        assert "this caller is 2 requests a minute" in error["message"]
        assert ("type" in refused.json()) is (route == "/v1/messages")
        other = HTTP.get(f"{url}/v1/models")
        assert other.status_code == 429
        assert HTTP.get(f"{url}/stats").json()["requests"]["rate_limited"] == 1
    assert len(provider.requests) == 2


def test_servers_on_one_store_share_a_limit(provider: Provider, tmp_path: Path) -> None:
    with ExitStack() as stack, httpx.Client(timeout=WAIT_S) as client, ThreadPoolExecutor(8) as pool:
        urls = [stack.enter_context(serving(limited(provider, tmp_path, rpm=30))) for _ in range(2)]
        statuses = list(pool.map(lambda n: client.post(f"{urls[n % 2]}/v1/messages", json=BODY).status_code, range(60)))
    assert sorted(statuses) == [200] * 30 + [429] * 30
    assert len(provider.requests) == 30


def test_without_a_rate_limit_there_is_none(provider: Provider, tmp_path: Path) -> None:
    with serving(limited(provider, tmp_path, rpm=1, rate_limit=False)) as url:
        assert {HTTP.post(f"{url}/v1/messages", json=BODY).status_code for _ in range(3)} == {200}


def test_tokens_are_counted_as_billed(provider: Provider, tmp_path: Path) -> None:
    provider.always = billed("stand-in", 700, 400)
    with serving(limited(provider, tmp_path, tpm=1000)) as url:
        assert HTTP.post(f"{url}/v1/messages", json=BODY).status_code == 200
        wait_for_status(url, BODY, 429)
        assert "1,000 tokens a minute" in HTTP.post(f"{url}/v1/messages", json=BODY).json()["error"]["message"]


def wait_for_status(url: str, body: dict[str, Any], status: int) -> None:
    """Settlements are written behind the answer."""
    for _ in range(50):
        if HTTP.post(f"{url}/v1/messages", json=body).status_code == status:
            return
    raise AssertionError(f"never answered {status}")


def test_a_budget_is_settled_with_what_the_provider_billed(provider: Provider, tmp_path: Path) -> None:
    settings = limited(provider, tmp_path, budget=0.05, rate_limit=False)
    body = {**BODY, "model": "claude-sonnet-4-5", "max_tokens": 300}  # reserves what it will cost
    provider.always = billed("claude-sonnet-4-5", 1000, 100)
    with serving(settings) as url:
        statuses = [HTTP.post(f"{url}/v1/messages", json=body).status_code for _ in range(40)]
        refused = HTTP.post(f"{url}/v1/messages", json=body)
    each = cost("anthropic", "claude-sonnet-4-5", Usage(1000, 100)) or 0
    paid = statuses.count(200)
    assert statuses == [200] * paid + [429] * (40 - paid)
    assert spent(settings) == paid * each
    assert 0.05 * NANO - 2 * each < paid * each <= 0.05 * NANO
    assert refused.status_code == 429
    assert "daily budget of all callers is reached: $0.0" in refused.json()["error"]["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 86_400


def test_a_budget_survives_a_restart_and_refuses_other_routes_too(provider: Provider, tmp_path: Path) -> None:
    settings = limited(provider, tmp_path, budget=0.001, rate_limit=False)
    provider.always = billed("claude-sonnet-4-5", 1_000_000, 1)
    body = {**BODY, "model": "claude-sonnet-4-5", "max_tokens": 5}
    with serving(settings) as url:
        assert HTTP.post(f"{url}/v1/messages", json=body).status_code == 200
    with serving(settings) as url:
        assert HTTP.post(f"{url}/v1/messages", json=body).status_code == 429
        assert HTTP.post(f"{url}/v1/embeddings", json=body).status_code == 429
        assert HTTP.get(f"{url}/v1/models").status_code == 200


def test_what_failed_costs_nothing_and_what_said_nothing_costs_its_reservation(provider: Provider, tmp_path: Path) -> None:
    settings = limited(provider, tmp_path, budget=100, rate_limit=False, reserve_output_tokens=10)
    body = {**BODY, "model": "claude-sonnet-4-5"}
    with serving(settings) as url:
        provider.script(Script(status=500), Script(headers=(("content-type", "application/json"),), body=b"{}"))
        assert HTTP.post(f"{url}/v1/messages", json=body).status_code == 500
        assert HTTP.post(f"{url}/v1/messages", json=body).status_code == 200
        provider.script(billed("nobody-knows-it", 10**6, 10**6))
        assert HTTP.post(f"{url}/v1/messages", json={**BODY, "model": "nobody-knows-it"}).status_code == 200
    assert spent(settings) == cost("anthropic", "claude-sonnet-4-5", Usage(2, 10))


def test_a_price_of_ones_own_counts_against_the_budget_and_in_the_ledger(provider: Provider, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("our-model: {input: 2, output: 10}\n")
    settings = limited(provider, tmp_path, budget=100, rate_limit=False)
    settings = settings.model_copy(update={"stats": settings.stats.model_copy(update={"prices": file})})
    provider.always = billed("our-model", 1_000_000, 100_000)
    with serving(settings) as url:
        assert HTTP.post(f"{url}/v1/messages", json={**BODY, "model": "our-model"}).status_code == 200
        billed_usd = stats_of(url, 1)["summary"]["cost"]["with_headroom_usd"]
    assert spent(settings) == 3 * NANO
    assert billed_usd == 3.0


@pytest.mark.parametrize(("lost", "status"), [("open", 200), ("closed", 503)])
def test_a_lost_store_is_open_or_closed_for_each_limit(provider: Provider, tmp_path: Path, lost: str, status: int) -> None:
    (tmp_path / "redis").mkdir()
    body = {**BODY, "model": "claude-sonnet-4-5"}
    with redis_server(tmp_path / "redis") as redis:
        for limits in ({"rate_when_lost": lost}, {"budget": 5, "budget_when_lost": lost, "rate_limit": False}):
            settings = settings_for(provider, tmp_path / "home", store={"url": redis.url}, limits=limits, optimize=False)
            with serving(settings) as url:
                assert HTTP.post(f"{url}/v1/messages", json=body).status_code == 200
                redis.kill()
                answers = [HTTP.post(f"{url}/v1/messages", json=body) for _ in range(8)]
                redis.start()
            assert status in {answer.status_code for answer in answers}
            assert {answer.status_code for answer in answers} <= {200, status}
            if status == 503:
                assert answers[-1].json()["error"]["type"] == "overloaded_error"
                assert answers[-1].headers["retry-after"]


def test_the_webhook_is_told_of_a_budget(provider: Provider, tmp_path: Path) -> None:
    settings = limited(provider, tmp_path, budget=0.01, rate_limit=False, alert_webhook=f"{provider.url}/hook")
    provider.always = billed("claude-sonnet-4-5", 2000, 0)
    with serving(settings) as url:
        HTTP.post(f"{url}/v1/messages", json={**BODY, "model": "claude-sonnet-4-5", "max_tokens": 1})
        provider.wait_until(lambda seen: any(request.target == "/hook" for request in seen.requests))
    (told,) = (request.json for request in provider.requests if request.target == "/hook")
    assert told == {
        "event": "budget",
        "kind": "organisation",
        "name": "",
        "percent": 50,
        "spent_usd": 0.006,
        "limit_usd": 0.01,
        "period": "daily",
    }
