"""The TypeScript SDK: every call it offers, with `fallback: false`, gives what its own declarations say."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from headroom.ccr import marker
from tests.clients.agents import CLIENTS
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import rows

LISTING = rows(7)
SCRIPT = Path(__file__).with_name("sdk.mjs")


def settled(proxy: str) -> None:
    """What was learned of the tool is written down some seconds after it was seen."""
    until = time.monotonic() + WAIT_S
    while not httpx.get(f"{proxy}/v1/feedback/list_nodes", trust_env=False).json()["pattern"]["total_compressions"]:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture(scope="module")
def calls(_proxy: str, _provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The results of all calls by name."""
    _provider.reset()
    call = {"id": "c", "type": "function", "function": {"name": "list_nodes", "arguments": "{}"}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": LISTING}]
    httpx.post(f"{_proxy}/v1/chat/completions", json={"model": "gpt-4o", "messages": messages}, trust_env=False)
    settled(_proxy)
    listing = tmp_path_factory.mktemp("sdk") / "listing.json"
    listing.write_text(LISTING)
    routes = json.dumps(list(httpx.get(f"{_proxy}/openapi.json", trust_env=False).json()["paths"]))
    words = ["node", str(SCRIPT), _proxy, str(listing), routes]
    done = subprocess.run(words, cwd=CLIENTS, capture_output=True, text=True, timeout=2 * WAIT_S, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = {line["name"]: line["problems"] for line in lines if line["problems"]}
    assert wrong == {}
    by_name: dict[str, list[Any]] = {}
    for line in lines:
        by_name.setdefault(line["name"], []).append(line["value"])
    return by_name


def test_every_call_has_its_declared_type(calls: dict[str, list[Any]]) -> None:
    """The fixture has held every result against the package's declarations."""
    assert len(calls) >= 30


def test_what_it_compresses(calls: dict[str, list[Any]]) -> None:
    (compressed,) = calls["compress"]
    assert compressed["compressed"] is True
    assert compressed["tokensSaved"] == compressed["tokensBefore"] - compressed["tokensAfter"] > 0
    assert compressed["ccrHashes"] == list(marker.hashes(compressed["messages"][-1]["content"]))
    whole, found = calls["retrieve"]
    assert whole["originalContent"] == LISTING
    assert found["count"] == len(found["results"]) > 0
    anthropic, openai = calls["handleToolCall"]
    assert anthropic["toolResult"] == {"type": "tool_result", "toolUseId": "toolu_9", "content": LISTING, "isError": False}
    assert openai["success"] is True
    assert "node-3" in openai["toolResult"]["content"]
    assert calls["an unknown hash"] == [{"name": "HeadroomCompressError", "status": 404, "type": "not_found"}]


def test_what_it_simulates(calls: dict[str, list[Any]]) -> None:
    for name in ("simulate (function)", "chat.completions.simulate", "messages.simulate"):
        (result,) = calls[name]
        assert result["tokensSaved"] > 0
        assert result["transforms"]
        assert "%" in result["estimatedSavings"]
        assert len(json.dumps(result["messagesOptimized"])) < len(LISTING)
        assert result["blockBreakdown"]["toolResult" if "toolResult" in result["blockBreakdown"] else "tool_result"] > 1000
        assert result["wasteSignals"]["jsonBloat"] > 100
    (result,) = calls["chat.completions.simulate"]
    assert result["wasteSignals"]["dynamicDate"] > 0
    assert result["cacheAlignmentScore"] < 1


def test_what_it_sends(calls: dict[str, list[Any]]) -> None:
    assert calls["chat.completions.create"][0]["choices"][0]["message"]["content"] == "The stand-in read 4 messages."
    words = [
        event["choices"][0]["delta"].get("content") or "" for event in calls["chat.completions.create (stream)"][0] if event["choices"]
    ]
    assert "".join(words) == "The stand-in read 4 messages."
    assert calls["messages.create"][0]["content"][0]["text"] == "The stand-in read 3 messages."
    assert calls["messages.stream"][0][-1]["type"] == "message_stop"


def test_what_it_tells(calls: dict[str, list[Any]]) -> None:
    (stats,), (recent,), (summary,) = calls["proxyStats"], calls["getMetrics"], calls["getSummary"]
    assert stats["requests"]["total"] == summary["totalRequests"] >= 4
    assert summary["totalTokensSaved"] > 0
    assert [row["stream"] for row in recent[:2]] == [True, False]
    assert all(row["tokensInputAfter"] < row["tokensInputBefore"] for row in recent[:4])
    assert calls["memoryUsage"][0]["processMemory"]["rss"] > 10_000_000
    (ccr,) = calls["getCCRStats"]
    assert ccr["store"]["entries"] >= 1
    assert [row["retrievalType"] for row in ccr["recentRetrievals"][:2]] == ["search", "full"]
    (hints,) = calls["feedback.getHints"]
    assert hints["toolName"] == "list_nodes"
    assert hints["pattern"]["totalCompressions"] >= 1
    (exported,) = calls["telemetry.export"]
    assert calls["telemetry.import"] == [{"status": "imported", "patterns": len(exported["patterns"])}]
    assert calls["SharedContext"][0]["full"] == LISTING
