"""Commands that talk to a running proxy, which is a real one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner, Result

from headroom.cli.main import main
from headroom.cli.samples import payments
from tests.cli.running import HEADROOM, Proxy

ADMIN_KEY = "let-me-see"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    home = str(tmp_path_factory.mktemp("proxy"))
    words = (*HEADROOM, "proxy", "-p", "0", "--callers", "credential")
    running = Proxy(words, {**os.environ, "HEADROOM_HOME": home, "HEADROOM_ADMIN_KEY": ADMIN_KEY})
    yield running
    assert running.stop() == 0
    assert "there is no model" not in running.said, "nobody asked for one"


def headroom(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_banner_names_the_port_that_was_taken(proxy: Proxy) -> None:
    assert f"ANTHROPIC_BASE_URL={proxy.url} claude" in proxy.banner
    assert ":0" not in proxy.banner
    assert "\x1b" not in proxy.banner


def test_stats_wants_the_admin_key(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = headroom("stats", "--url", proxy.url)
    assert refused.exit_code == 1
    assert "answered 401" in refused.stderr
    monkeypatch.setenv("HEADROOM_ADMIN_KEY", ADMIN_KEY)
    shown = headroom("stats", "--url", proxy.url)
    assert shown.exit_code == 0
    assert "tokens saved" in shown.stdout
    assert "requests" in json.loads(headroom("stats", "--url", proxy.url, "--json").stdout)


def test_retrieve_over_http_is_for_the_owner(proxy: Proxy) -> None:
    sample = payments()
    body = {"model": "gpt-4o", "messages": sample.messages}
    answer = httpx.post(f"{proxy.url}/v1/compress", json=body, headers={"authorization": "Bearer mine"}, trust_env=False).json()
    (digest,) = answer["ccr_hashes"]
    assert headroom("retrieve", digest, "--url", proxy.url, "--key", "mine").stdout == sample.output
    assert sample.needle in headroom("retrieve", digest, sample.needle, "--url", proxy.url, "--key", "mine").stdout
    theirs = headroom("retrieve", digest, "--url", proxy.url, "--key", "theirs")
    assert theirs.exit_code == 1
    assert "answered 404" in theirs.stderr


def test_doctor_recognises_a_running_headroom(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_PORT", proxy.url.rpartition(":")[2])
    shown = headroom("doctor", "--offline")
    assert shown.exit_code == 0
    assert f"answers at {proxy.url}" in shown.stdout


def test_no_answer_says_what_to_do() -> None:
    refused = headroom("stats", "--url", "http://127.0.0.1:9")
    assert refused.exit_code == 1
    assert "start it with `headroom proxy`" in refused.stderr


def test_not_a_url_is_told() -> None:
    refused = headroom("stats", "--url", "localhost:8787")
    assert refused.exit_code == 1
    assert "'localhost:8787' is not a base URL" in refused.stderr
