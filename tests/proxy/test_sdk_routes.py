"""The routes of the TypeScript SDK where it does not look: refusals, other people's data, a server that has done nothing yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, rows, serving, settings_for


def stored(url: str, credential: str = "mine") -> str:
    """The hash of a listing that this credential has stored."""
    body = asking([{"role": "user", "content": "q"}, {"role": "tool", "tool_call_id": "c", "content": rows(5)}])
    (digest,) = HTTP.post(f"{url}/v1/compress", json=body, headers={"authorization": f"Bearer {credential}"}).json()["ccr_hashes"]
    assert isinstance(digest, str)
    return digest


def tool_call(url: str, call: Any, credential: str = "mine", **more: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {credential}"}
    answer = HTTP.post(f"{url}/v1/retrieve/tool_call", json={"tool_call": call, **more}, headers=headers).json()
    assert isinstance(answer, dict)
    return answer


@pytest.fixture
def url(provider: Provider, tmp_path: Path) -> Any:
    with serving(settings_for(provider, tmp_path, access={"callers": "credential", "admin_key": "a"})) as url:
        yield url


def test_a_call_is_answered_in_the_form_it_has(url: str) -> None:
    digest = stored(url)
    anthropic = tool_call(url, {"type": "tool_use", "id": "t", "name": "headroom_retrieve", "input": {"hash": digest}})
    assert anthropic["tool_result"] == {"type": "tool_result", "tool_use_id": "t", "content": rows(5), "is_error": False}
    function = {"name": "headroom_retrieve", "arguments": json.dumps({"hash": digest})}
    openai = tool_call(url, {"type": "function", "id": "c", "function": function})
    assert openai["tool_result"] == {"role": "tool", "tool_call_id": "c", "content": rows(5)}
    assert openai["data"]["original_tokens"] > 1000


def test_a_call_that_cannot_be_answered_says_so_to_the_model(url: str) -> None:
    digest = stored(url, "somebody else")
    for arguments, said in ((digest, "never stored"), ("f" * 16, "never stored"), ("x", "16 hex digits"), (None, "16 hex digits")):
        answer = tool_call(url, {"id": "t", "input": {"hash": arguments}})
        assert (answer["success"], answer["data"], answer["tool_result"]["is_error"]) == (False, None, True)
        assert answer["tool_result"]["content"].startswith("Error: ")
        assert said in answer["tool_result"]["content"] or said == "never stored"
    assert "error" in tool_call(url, "no call")
    assert HTTP.post(f"{url}/v1/retrieve/tool_call", json={"tool_call": {}}).status_code == 401


def test_recent_retrievals_are_told_to_their_owner(url: str) -> None:
    digest = stored(url)
    HTTP.post(f"{url}/v1/retrieve", json={"hash": digest, "query": "node-3"}, headers={"authorization": "Bearer mine"})

    def recent(credential: str) -> Any:
        return HTTP.get(f"{url}/v1/retrieve/stats", headers={"authorization": f"Bearer {credential}"}).json()["recent_retrievals"]

    assert [(row["hash"], row["query"], row["retrieval_type"]) for row in recent("mine")] == [(digest, "node-3", "search")]
    assert recent("yours") == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        *({"patterns": patterns} for patterns in ([], {"a#b": 1}, {"a#b": {"cut": -1}}, {"a#b": {"cut": True}})),
        {"patterns": {"n" * 990_000 + "#b": {"cut": 1}}},
        {"patterns": {"a#b": {"n" * 990_000: 1}}},
        {"patterns": {"a#b": {f"x{number}": 1 for number in range(50_000)}}},
        {"patterns": {f"a#{number}": {"cut": 1} for number in range(301)}},
    ],
)
def test_an_import_takes_only_what_an_export_gives(url: str, given: Any) -> None:
    refused = HTTP.post(f"{url}/v1/telemetry/import", json=given, headers={"authorization": "Bearer mine"})
    assert refused.status_code == 400
    assert "patterns" in refused.json()["error"]["message"]
    assert len(refused.text) < 1000


def test_an_import_of_the_most_that_is_learned_is_taken(url: str) -> None:
    fields = {f"field:{'f' * 30}{number}": 1 for number in range(32)}
    tenths = {f"{what}:{tenth}": 1 for what in ("at", "cut") for tenth in range(10)}
    counts = fields | tenths | dict.fromkeys(("seen", "tokens_before", "compressed", "by:smart_crusher", "cut:errors", "redeemed"), 1)
    patterns = {f"{'t' * 77}{number:03}#0123456789ab": counts for number in range(200)}
    taken = HTTP.post(f"{url}/v1/telemetry/import", json={"patterns": patterns}, headers={"authorization": "Bearer mine"})
    assert (taken.status_code, taken.json()["patterns"]) == (200, 200)


def test_a_tool_that_was_never_seen_has_no_hints(url: str) -> None:
    mine = {"authorization": "Bearer mine"}
    hints = HTTP.get(f"{url}/v1/feedback/a/b%20c", headers=mine).json()
    assert (hints["tool_name"], hints["hints"]["skip_compression"], hints["pattern"]["total_compressions"]) == ("a/b c", False, 0)
    assert HTTP.get(f"{url}/v1/telemetry/tools/0123", headers=mine).status_code == 404
    for path in ("/v1/telemetry", "/v1/feedback", "/v1/telemetry/export"):
        assert HTTP.get(url + path).status_code == 401
    assert HTTP.get(f"{url}/debug/memory").status_code == 401


def test_a_server_that_did_nothing_yet_has_figures(url: str) -> None:
    stats = HTTP.get(f"{url}/stats", headers={"authorization": "Bearer a"}).json()
    assert stats["latency"]["average_ms"] == stats["overhead"]["max_ms"] == 0
    assert stats["recent_requests"] == []
    assert HTTP.get(f"{url}/v1/telemetry", headers={"authorization": "Bearer x"}).json()["avg_compression_ratio"] == 1.0


def test_simulation_of_anthropic_messages(url: str) -> None:
    body = asking(anthropic_turns(2), system="You are brief.", config={"default_mode": "simulate"}) | {"model": "claude-sonnet-4-5"}
    told = HTTP.post(f"{url}/v1/compress", json=body, headers={"authorization": "Bearer mine"}).json()
    assert told["messages_optimized"] == told["messages"]
    assert set(told["block_breakdown"]) == {"system", "user", "assistant", "tool_call", "tool_result"}
    assert told["estimated_savings"].startswith("$0.0")
    assert told["cache_alignment_score"] == 1.0
    shorter = asking(anthropic_turns(2), system="You are brief.") | {"model": "claude-sonnet-4-5"}
    assert "block_breakdown" not in HTTP.post(f"{url}/v1/compress", json=shorter, headers={"authorization": "Bearer mine"}).json()
