"""Our own routes: health for machines, figures for operators, compression and originals for callers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headroom import compress
from headroom.ccr import marker
from headroom.settings import Settings
from tests.provider import Provider
from tests.proxy.faces import HTTP, Inline, anthropic_turns, asking, body_of, openai_turns, serving, settings_for, stats_of

ADMIN = "operators-only"


class Cold(Inline):
    ready = False


def test_health(proxy: str) -> None:
    health = HTTP.get(f"{proxy}/health").json()
    assert health["status"] == "healthy"
    assert health["ready"] is True
    assert health["checks"]["compressor"] == {"enabled": True, "ready": True, "status": "ready"}
    config = {"optimize": True, "fidelity": "reversible", "cache": True, "rate_limit": False, "backend": "by_route"}
    assert health["config"] == config
    assert HTTP.get(f"{proxy}/livez").json() == {"status": "alive"}
    assert HTTP.get(f"{proxy}/readyz").status_code == 200
    assert HTTP.head(proxy).status_code == 200


def test_not_ready_is_healthy_all_the_same(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path)
    with serving(settings, Cold(settings)) as url:
        ready = HTTP.get(f"{url}/readyz")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert HTTP.get(f"{url}/health").json()["ready"] is False
        assert HTTP.get(f"{url}/health").status_code == 200
    with serving(settings_for(provider, tmp_path, optimize=False), Cold(settings)) as url:
        assert HTTP.get(f"{url}/readyz").status_code == 200
        assert HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1))).headers["x-headroom-skip-reason"] == "bypass"


def figures(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    return {
        sample.name + "".join(f"|{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_statistics_and_metrics_count_the_same(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        for turns in (1, 2):
            HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(turns))).raise_for_status()
        HTTP.post(f"{url}/v1/chat/completions", content=b"{}")
        stats = stats_of(url, 3)
        metrics = figures(HTTP.get(f"{url}/metrics").text)
    assert stats["requests"]["total"] == 3
    assert stats["requests"]["by_provider"] == {"anthropic": 2, "openai": 1}
    assert stats["tokens"]["saved"] == metrics["headroom_tokens_saved_total"] > 0
    assert stats["tokens"]["output"] == metrics["headroom_tokens_output_total"] == 14
    prefix = stats["prefix_cache"]["by_provider"]["anthropic"]
    assert (prefix["cache_read_tokens"], prefix["cache_write_tokens"]) == (10, 6)
    assert stats["summary"]["cost"]["unpriced_requests"] == 2
    assert metrics["headroom_requests_unpriced_total"] == 2
    assert metrics["headroom_requests_by_provider|anthropic"] == 2
    assert stats["compression"]["ccr_entries"] == 2
    assert [row["status"] for row in stats["recent_requests"]] == [400, 200, 200]


@pytest.mark.parametrize("route", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
def test_compress_is_what_the_proxy_does(proxy: str, provider: Provider, route: str) -> None:
    body = body_of(route, 2)
    reply = HTTP.post(f"{proxy}/v1/compress", json=body).json()
    HTTP.post(proxy + route, json=body).raise_for_status()
    key = "input" if route == "/v1/responses" else "messages"
    assert reply["messages"] == reply[key] == provider.requests[-1].json[key]
    assert reply["tokens_saved"] == reply["tokens_before"] - reply["tokens_after"] > 0
    assert set(reply["ccr_hashes"]) == set(marker.hashes(json.dumps(reply["messages"])))
    assert all(label.startswith(("router:", "recall")) for label in reply["transforms_applied"])


def test_compress_is_what_the_library_does(proxy: str, tmp_path: Path) -> None:
    done = compress(openai_turns(2), model="stand-in", settings=Settings(home=tmp_path))
    reply = HTTP.post(f"{proxy}/v1/compress", json=asking(openai_turns(2))).json()
    assert done.messages == reply["messages"]
    assert (done.tokens_before, done.tokens_after) == (reply["tokens_before"], reply["tokens_after"])


@pytest.mark.parametrize("given", ["hello", [], [{"role": "user", "content": "hello"}]])
def test_compress_takes_the_input_of_responses(proxy: str, given: Any) -> None:
    reply = HTTP.post(f"{proxy}/v1/compress", json={"model": "m", "input": given}).json()
    assert reply["input"] == reply["messages"] == given
    assert (reply["tokens_saved"], reply["compression_ratio"]) == (0, 1.0)


def test_compress_can_be_told_not_to(proxy: str) -> None:
    body = asking(anthropic_turns(1))
    bypassed = HTTP.post(f"{proxy}/v1/compress", json=body, headers={"x-headroom-bypass": "true"}).json()
    assert (bypassed["messages"], bypassed["skip_reason"], bypassed["tokens_saved"]) == (body["messages"], "bypass", 0)
    off = HTTP.post(f"{proxy}/v1/compress", json={**body, "config": {"fidelity": "off"}}).json()
    assert off["messages"] == body["messages"]
    assert bypassed["tokens_before"] == off["tokens_before"] > 0
    assert HTTP.post(f"{proxy}/v1/compress", json={**body, "config": {"fidelity": "odd"}}).status_code == 400


@pytest.fixture
def shared(provider: Provider, tmp_path: Path) -> Settings:
    return settings_for(provider, tmp_path, access={"callers": "credential", "admin_key": ADMIN})


def test_nobody_reads_what_another_credential_stored(shared: Settings, provider: Provider) -> None:
    mine = [{"x-api-key": "key-a"}, {"authorization": "Bearer key-a"}, {"api-key": "key-a"}]
    others = [{"x-api-key": "key-b"}, {"authorization": "Bearer key-b"}, {"x-api-key": "key-a "[:-2]}]
    with serving(shared) as url:
        HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers=mine[0]).raise_for_status()
        (digest,) = set(marker.hashes(provider.requests[0].body.decode()))
        for headers in mine:
            assert HTTP.get(f"{url}/v1/retrieve/{digest}", headers=headers).status_code == 200
        for headers in others:
            assert HTTP.get(f"{url}/v1/retrieve/{digest}", headers=headers).status_code == 404
            assert HTTP.post(f"{url}/v1/retrieve", json={"hash": digest}, headers=headers).status_code == 404
        HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1)), headers=others[0]).raise_for_status()
        assert HTTP.get(f"{url}/v1/retrieve/{digest}", headers=others[0]).status_code == 200
    with serving(shared) as url:  # the salt is the store's
        assert HTTP.get(f"{url}/v1/retrieve/{digest}", headers=mine[1]).status_code == 200
    assert b"key-a" not in b"".join(file.read_bytes() for file in shared.home.rglob("*") if file.is_file())


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic a2V5"}, {"authorization": "Bearer"}, {"x-api-key": ""}])
def test_without_a_credential_nothing_is_stored(shared: Settings, provider: Provider, headers: dict[str, str]) -> None:
    body = json.dumps(asking(anthropic_turns(1))).encode()
    with serving(shared) as url:
        answer = HTTP.post(f"{url}/v1/messages", content=body, headers=headers)
        assert answer.headers["x-headroom-skip-reason"] == "no_credential"
        assert provider.requests[0].body == body
        for refused in (
            HTTP.get(f"{url}/v1/retrieve/{'0' * 16}", headers=headers),
            HTTP.post(f"{url}/v1/retrieve", json={"hash": "0" * 16}, headers=headers),
            HTTP.get(f"{url}/v1/retrieve/stats", headers=headers),
            HTTP.post(f"{url}/v1/compress", content=body, headers=headers),
        ):
            assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize("route", ["/stats", "/stats-history", "/metrics"])
def test_operator_routes_want_the_admin_key(shared: Settings, provider: Provider, tmp_path: Path, route: str) -> None:
    with serving(shared) as url:
        assert HTTP.get(url + route, headers={"authorization": f"Bearer {ADMIN}"}).status_code == 200
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": f"Bearer {ADMIN}x"}, {"x-api-key": "é".encode()}):
            assert HTTP.get(url + route, headers=headers).status_code == 401
        assert HTTP.get(f"{url}/health").status_code == 200
    with serving(settings_for(provider, tmp_path, access={"callers": "credential"})) as url:
        assert HTTP.get(url + route).status_code == 403
        assert HTTP.get(url + route, headers={"authorization": "Bearer"}).status_code == 403
    assert provider.requests == []


@pytest.mark.parametrize(
    "path", ["/stats", "/stats-history", "/metrics", "/health", "/livez", "/readyz", "/v1/compress", "/v1/retrieve", "/v1/retrieve/abc"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_our_own_paths_never_reach_a_provider(small: str, provider: Provider, path: str, method: str) -> None:
    answer = HTTP.request(method, small + path, headers={"authorization": f"Bearer {ADMIN}"})
    assert answer.status_code in (200, 400, 404, 405)
    assert answer.status_code == 200 or set(answer.json()["error"]) == {"type", "message"}
    assert provider.requests == []


def test_history_as_json_and_csv(provider: Provider, tmp_path: Path) -> None:
    priced = {"model": "claude-sonnet-4-5"}
    with serving(settings_for(provider, tmp_path)) as url:
        for team in ("search", "billing"):
            body = asking(anthropic_turns(1)) | priced
            HTTP.post(f"{url}/v1/messages", json=body, headers={"x-headroom-team": team}).raise_for_status()
        stats = stats_of(url, 2)
        history = HTTP.get(f"{url}/stats-history").json()
        reply = HTTP.get(f"{url}/stats-history?format=csv&series=weekly")
        part = HTTP.get(f"{url}/stats?team=search").json()
        none = HTTP.get(f"{url}/stats?from=2001-01-01&to=2001-02-01T00:00:00Z").json()
        refused = [HTTP.get(f"{url}/stats-history?{odd}").status_code for odd in ("format=xml", "series=yearly")]
        wrong = HTTP.get(f"{url}/stats?from=yesterday")
    assert stats["persistent_savings"]["lifetime"] == history["lifetime"]
    assert stats["summary"]["cost"]["total_saved_usd"] == history["lifetime"]["compression_savings_usd"] > 0
    assert history["lifetime"]["requests"] == 2
    for series in ("hourly", "daily", "weekly", "monthly"):
        assert history[series][-1]["total_tokens_saved"] == stats["tokens"]["saved"]
    lines = reply.text.splitlines()
    assert lines[0] == (
        "timestamp,tokens_saved,compression_savings_usd_delta,total_tokens_saved,compression_savings_usd,"
        "total_input_tokens_delta,total_input_tokens,total_input_cost_usd_delta,total_input_cost_usd"
    )
    assert len(lines) == 2
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"] == 'attachment; filename="headroom-stats-history-weekly.csv"'
    assert (part["requests"]["total"], none["requests"]["total"]) == (1, 0)
    assert refused == [422, 422]
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["TRACE", "PATCH", "QUERY"])
def test_our_own_paths_never_reach_a_provider_whatever_the_method(proxy: str, provider: Provider, method: str) -> None:
    own = HTTP.get(f"{proxy}/openapi.json").json()["paths"]
    for path in own:
        answer = HTTP.request(method, proxy + path.replace("{", "").replace("}", ""))
        assert (answer.status_code, answer.json()["error"]["type"]) == (405, "invalid_request"), path
    assert len(own) > 20
    assert provider.requests == []
