"""What must hold when a real client has done its task, whatever stands between it and the provider."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import Any

from tests.clients.agents import ANSWER, DONE, Agent
from tests.clients.dialog import SIGNATURE
from tests.provider import Provider, Received


def turns(agent: Agent, provider: Provider) -> list[Received]:
    """The requests of the task, in order; none went anywhere unexpected."""
    asked = [request for request in provider.requests if request.method == "POST" and request.target.partition("?")[0] == agent.path]
    strange = {(request.method, request.target.partition("?")[0]) for request in provider.requests} - {("POST", agent.path)}
    assert strange <= {("GET", "/v1/models"), ("GET", "/v1/responses"), ("POST", "/v1/messages/count_tokens")}
    return [request for request in asked if "answer.txt" in request.body.decode()]


def unmarked(value: Any) -> Any:
    """Without cache breakpoints, which a client moves along with the end of its conversation."""
    if isinstance(value, list):
        return [unmarked(item) for item in value]
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    return value


def history(request: Received) -> list[Any]:
    body = request.json
    listed = unmarked(body["input"] if "input" in body else body["messages"])
    assert isinstance(listed, list)
    return listed


def check(agent: Agent, provider: Provider, project: Path, done: subprocess.CompletedProcess[str]) -> list[Received]:
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "answer.txt").read_text().strip() == ANSWER
    asked = turns(agent, provider)
    if agent.program != "aider":
        assert DONE in done.stdout
        assert len(asked) == 3
        assert all(SIGNATURE in request.body.decode() for request in asked[1:])
        for shorter, longer in itertools.pairwise(map(history, asked)):
            assert longer[: len(shorter)] == shorter
    else:
        assert len(asked) == 2
    return asked
