"""What the dashboard is told: the figures of the ledger, to operators only; and the files of the page, to everybody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, openai_turns, serving, settings_for, stats_of

ADMIN = {"authorization": "Bearer admin-secret"}


def test_the_figures_are_those_of_the_ledger(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        ask = asking(anthropic_turns(2)) | {"model": "claude-sonnet-4-5"}
        HTTP.post(f"{url}/v1/messages", json=ask, headers={"x-headroom-team": "search"}).raise_for_status()
        HTTP.post(f"{url}/v1/chat/completions", json=asking(openai_turns(1))).raise_for_status()
        stats = stats_of(url, 2)
        data = HTTP.get(f"{url}/dashboard/data?by=hourly&split=team&from={_today(stats)}").json()
        searching = HTTP.get(f"{url}/dashboard/data?team=search&split=transform").json()
    total = data["total"]
    assert total["requests"] == 2
    assert total["tokens_saved"] == stats["tokens"]["saved"] > 0
    assert total["cost"] == stats["summary"]["cost"]["with_headroom_usd"] > 0
    assert total["saved"] == stats["summary"]["cost"]["total_saved_usd"]
    assert total["unpriced"] == 1
    assert sum(data["series"]["requests"]) == 2
    assert {row["name"]: row["requests"] for row in data["names"]["team"]} == {"search": 1, "": 1}
    assert {part["name"] for part in data["split"]} == {"search", ""}
    assert {row["name"]: row["tokens_saved"] for row in searching["transforms"]} == {
        part["name"]: sum(part["tokens_saved"]) for part in searching["split"]
    }
    assert searching["total"]["requests"] == 1
    assert searching["lifetime"]["requests"] == 2
    assert data["recent"][0]["request_id"] == stats["recent_requests"][0]["request_id"]
    assert data["times"]["overhead"]["p50_ms"] == stats["overhead"]["p50_ms"]
    assert data["originals"]["stored"] == stats["compression"]["ccr_entries"]


def _today(stats: dict[str, object]) -> str:
    recent = stats["recent_requests"]
    assert isinstance(recent, list)
    return str(recent[0]["timestamp"])[:10]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("by=minutely", "by: must be one of hourly, daily"),
        ("split=moon", "split: must be one of provider"),
        ("by=hourly", "at most 62 days"),
        ("from=yesterday", "from: a time like"),
    ],
)
def test_what_is_asked_wrongly_is_named(small: str, asked: str, said: str) -> None:
    answer = HTTP.get(f"{small}/dashboard/data?{asked}")
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_the_page_is_open_and_its_figures_are_not(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path, access={"callers": "credential", "admin_key": "admin-secret"})
    with serving(settings) as url:
        page = HTTP.get(f"{url}/dashboard")
        assert page.status_code == 200
        for path in re.findall(r'(?:src|href)="(dashboard/[^"]+)"', page.text):
            assert HTTP.get(f"{url}/{path}").status_code == 200, path
        assert HTTP.get(f"{url}/dashboard/data").status_code == 401
        assert HTTP.get(f"{url}/dashboard/data", headers={"authorization": "Bearer other"}).status_code == 401
        assert HTTP.get(f"{url}/dashboard/data?key=admin-secret").status_code == 401
        assert HTTP.get(f"{url}/dashboard/data", headers=ADMIN).status_code == 200
        assert HTTP.post(f"{url}/dashboard").status_code == 405
        assert HTTP.get(f"{url}/dashboard/", follow_redirects=True).url.path == "/dashboard"
    assert provider.requests == []


def test_files_are_those_of_the_package_and_nothing_runs_inline(small: str) -> None:
    for path in ("../__init__.py", "%2e%2e/__init__.py", "nothing.js", "vendor", "..%2f..%2fserver.py"):
        assert HTTP.get(f"{small}/dashboard/assets/{path}").status_code == 404, path
    page = HTTP.get(f"{small}/dashboard")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|https?:", page.text)
    again = HTTP.get(f"{small}/dashboard", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("uPlot.LICENSE", "preact.LICENSE", "htm.LICENSE"):
        assert "Permission is hereby granted" in (text := HTTP.get(f"{small}/dashboard/assets/vendor/{name}").text) or "Apache" in text


def test_without_the_store_the_figures_are_shown(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path, store={"url": "redis://127.0.0.1:1/0"})
    with serving(settings) as url:
        answer = HTTP.get(f"{url}/dashboard/data")
    assert answer.status_code == 200
    assert answer.json()["originals"] is None
