"""An answer given before, through the Ray Serve application: from every replica, also after all of them were replaced."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

from tests.provider import WAIT_S, Provider
from tests.serve.deployed import Deployed, until

pytestmark = pytest.mark.serve
ROUTE = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
MESSAGES: list[Any] = [{"role": "user", "content": "Which replica are you?"}]
ASK = {"model": "m", "max_tokens": 64, "temperature": 0, "messages": MESSAGES}


def ask(url: str, key: str) -> httpx.Response:
    answer = httpx.post(url + ROUTE, json=ASK, headers={"x-api-key": key, **VERSION}, timeout=WAIT_S)
    assert answer.status_code == 200
    return answer


def test_an_answer_is_given_again_by_every_replica(deployed: Deployed, provider: Provider) -> None:
    first = ask(deployed.url, "cache-a")
    until(lambda: ask(deployed.url, "cache-a").headers["x-headroom-cache"] == "hit-exact")
    sent = len(provider.requests)
    later = [ask(deployed.url, "cache-a") for _ in range(20)]  # each may come to another replica
    assert {answer.content for answer in later} == {first.content}
    claude = anthropic.Anthropic(base_url=deployed.url, api_key="cache-a", max_retries=0, default_headers=VERSION)
    with claude.messages.stream(model="m", max_tokens=64, messages=MESSAGES, extra_body={"temperature": 0}) as events:
        assert events.get_final_message().id == first.json()["id"]
    deployed.restart()
    assert ask(deployed.url, "cache-a").headers["x-headroom-cache"] == "hit-exact"
    assert len(provider.requests) == sent
    assert ask(deployed.url, "cache-b").headers["x-headroom-cache"] == "miss"


def test_a_caller_clears_its_own(deployed: Deployed, provider: Provider) -> None:
    for key in ("cache-c", "cache-d"):
        until(lambda key=key: ask(deployed.url, key).headers["x-headroom-cache"] == "hit-exact")  # type: ignore[misc]
    cleared = httpx.post(f"{deployed.url}/cache/clear", headers={"x-api-key": "cache-c"}, timeout=WAIT_S)
    assert cleared.json() == {"status": "cleared", "cleared": 1, "scope": "own"}
    assert ask(deployed.url, "cache-c").headers["x-headroom-cache"] == "miss"
    assert ask(deployed.url, "cache-d").headers["x-headroom-cache"] == "hit-exact"
