"""What a key may do holds on our own routes as on the providers': its routes, and its limit of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from headroom.limits.keys import digest
from tests.proxy.faces import asking, rows
from tests.proxy.memory import Memory

NARROW, WIDE, SLOW = ("hr-" + letter * 43 for letter in "abc")
OWN = (
    ("POST", "/v1/compress"),
    ("POST", "/cache/clear"),
    ("POST", "/v1/telemetry/import"),
    ("GET", "/v1/retrieve/stats"),
    ("GET", "/v1/telemetry"),
    ("GET", "/v1/telemetry/export"),
    ("GET", "/v1/telemetry/tools"),
    ("GET", "/v1/toin/stats"),
    ("GET", "/v1/toin/patterns"),
    ("GET", "/v1/feedback"),
    ("GET", "/v1/feedback/look"),
)
BODY = json.dumps({"patterns": {}, **asking([{"role": "tool", "tool_call_id": "c", "content": rows(5)}])}).encode()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    keys = [
        {"hash": digest(NARROW), "routes": ["/v1/messages"], "team": "data", "share": "team"},
        {"hash": digest(WIDE), "team": "data", "share": "team"},
        {"hash": digest(SLOW), "rpm": 1},
    ]
    memory = Memory(tmp_path, access={"callers": "keys", "admin_key": "boss"}, limits={"keys": keys, "rpm": 1000})
    yield memory
    memory.close()


@pytest.mark.parametrize(("method", "path"), OWN)
def test_a_key_uses_the_routes_it_has(memory: Memory, method: str, path: str) -> None:
    refused = memory.ask(path, BODY, {"x-api-key": NARROW}, method)
    assert (refused.status, path in json.loads(refused.body)["error"]["message"]) == (403, True)
    hidden = memory.ask(path, BODY, {"x-api-key": NARROW, "host": "x/v1/messages?"}, method)
    assert hidden.status == 403
    assert memory.ask(path, BODY, {"x-api-key": WIDE}, method).status == 200


@pytest.mark.parametrize(("method", "path"), OWN)
def test_its_requests_are_limited(memory: Memory, method: str, path: str) -> None:
    assert [memory.ask(path, BODY, {"x-api-key": SLOW}, method).status for _ in range(3)] == [200, 429, 429]


def test_what_a_model_reads_back_is_never_refused(memory: Memory) -> None:
    (hash,) = json.loads(memory.ask("/v1/compress", BODY, {"x-api-key": WIDE}).body)["ccr_hashes"]
    for key, status in ((NARROW, 200), (SLOW, 404)):
        for _ in range(3):
            assert memory.ask(f"/v1/retrieve/{hash}", b"", {"x-api-key": key}, "GET").status == status
            assert memory.ask("/v1/retrieve", json.dumps({"hash": hash}).encode(), {"x-api-key": key}).status == status
            called = {"tool_call": {"id": "t", "input": {"hash": hash}}}
            answer = memory.ask("/v1/retrieve/tool_call", json.dumps(called).encode(), {"x-api-key": key})
            assert (answer.status, json.loads(answer.body)["success"]) == (200, status == 200)


def test_the_operator_clears_for_everybody(memory: Memory) -> None:
    assert json.loads(memory.ask("/cache/clear", b"", {"authorization": "Bearer boss"}).body)["scope"] == "all"
