"""What the real clients sent and got, as `record.py` has kept it, through the proxy: nothing of it changes but what tools printed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.provider import WAIT_S, Provider, Script

GOLDEN = {file.stem: json.loads(file.read_text()) for file in sorted((Path(__file__).parents[1] / "golden" / "clients").glob("*.json"))}
HTTP = httpx.Client(timeout=WAIT_S, trust_env=False)
_OF_THE_CONNECTION = {"host", "connection", "content-length", "accept-encoding", "transfer-encoding"}
_VALUES = {"content-type": "application/json", "authorization": "Bearer key", "x-api-key": "key", "anthropic-version": "2023-06-01"}


def send(proxy: str, turn: dict[str, Any]) -> httpx.Response:
    """The request as the client had sent it, and a value for every one of its headers."""
    names = [name for name in turn["headers"] if name not in _OF_THE_CONNECTION]
    headers = {name: _VALUES.get(name, "1") for name in names}
    return HTTP.post(proxy + turn["target"], content=json.dumps(turn["body"]), headers=headers)


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that holds no other, with its place."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{at}/{key}")
    else:
        yield at, value


def history(body: dict[str, Any]) -> list[Any]:
    """The conversation without cache breakpoints, which move along with its end."""
    text = json.dumps(body["input"] if "input" in body else body["messages"])
    listed = json.loads(text, object_hook=lambda found: {key: inner for key, inner in found.items() if key != "cache_control"})
    assert isinstance(listed, list)
    return listed


@pytest.mark.parametrize("name", GOLDEN)
def test_it_arrives_as_it_was_meant(name: str, proxy: str, provider: Provider) -> None:
    """Answers byte for byte, all headers, every field; only long outputs of tools are smaller, and the prefix stays from turn to turn."""
    turns = GOLDEN[name]["turns"]
    assert len(turns) >= 2
    for turn in turns:
        events = tuple(event.encode() for event in turn["answer"])
        provider.script(Script(events=events))
        assert send(proxy, turn).content == b"".join(events)
    forwarded = [request.json for request in provider.requests]
    for turn, request, body in zip(turns, provider.requests, forwarded, strict=True):
        assert request.target == turn["target"]
        assert {name for name in turn["headers"] if name not in _OF_THE_CONNECTION} <= {name for name, _ in request.headers}
        sent, arrived = dict(leaves(turn["body"])), dict(leaves(body))
        changed = {place for place in sent if sent[place] != arrived.get(place)}
        assert set(arrived) >= set(sent)
        assert all(len(sent[place]) > 3000 and len(arrived[place]) < len(sent[place]) for place in changed)
    for shorter, longer in itertools.pairwise(map(history, forwarded)):
        if name.startswith("aider"):
            continue  # its last message is instructions, which it moves along
        assert longer[: len(shorter)] == shorter


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_what_a_tool_printed_becomes_smaller(name: str, proxy: str, provider: Provider) -> None:
    turn = GOLDEN[name]["turns"][-1]
    answer = send(proxy, turn)
    assert int(answer.headers["x-headroom-tokens-saved"]) > 1000
    assert "smart_crusher" in answer.headers["x-headroom-transforms"], "what stands below an agent's own head is taken for what it is"
    assert len(provider.requests[0].body) < len(json.dumps(turn["body"]))
