"""The real `claude`, `codex` and `aider` do a task of several turns through Headroom, and what they sent arrives as they meant it."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from headroom.ccr import marker
from tests.clients.agents import AGENTS, DONE, HEADROOM, LISTING, by_base_url, by_wrap, environment
from tests.clients.checks import check, history
from tests.clients.dialog import Dialog, Step
from tests.provider import Provider, Received, Script


def originals(asked: list[Received], url: str, credential: str = "") -> str:
    """What the markers in these requests stand for."""
    digests = dict.fromkeys(digest for request in asked for digest in marker.hashes(request.body.decode()))
    headers = {"authorization": f"Bearer {credential}"} if credential else {}
    answers = [httpx.get(f"{url}/v1/retrieve/{digest}", headers=headers, trust_env=False).json() for digest in digests]
    return "\n".join(answer["original_content"] for answer in answers)


@pytest.mark.parametrize("name", AGENTS)
def test_by_base_url(name: str, proxy: str, provider: Provider, project: Path) -> None:
    agent = AGENTS[name]
    provider.always = Script(compose=agent.dialog)
    asked = check(agent, provider, project, by_base_url(agent, project, proxy))
    assert LISTING in originals(asked, proxy)
    assert all(LISTING not in str(history(request)) for request in asked)


@pytest.mark.parametrize("name", AGENTS)
def test_by_wrap(name: str, provider: Provider, project: Path) -> None:
    agent = AGENTS[name]
    provider.always = Script(compose=agent.dialog)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = project.parent / "user"
    targets = {"ANTHROPIC_TARGET_API_URL": provider.url, "OPENAI_TARGET_API_URL": provider.url, "HEADROOM_DEADLINE_MS": "60000"}
    asked = check(agent, provider, project, by_wrap(agent, project, "--port", str(port), **targets))
    assert any(True for request in asked for _ in marker.hashes(request.body.decode()))
    assert (before / ".headroom" / "store.sqlite").exists()


def test_claude_calls_the_mcp_server(proxy: str, provider: Provider, project: Path) -> None:
    """It starts what `headroom mcp install` has entered, and the model gets an original back by the tool."""
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}, {"role": "tool", "tool_call_id": "c", "content": LISTING}]}
    (digest,) = httpx.post(f"{proxy}/v1/compress", json=body, trust_env=False).json()["ccr_hashes"]
    dialog = Dialog([Step("I look.", "mcp__headroom__headroom_retrieve", {"hash": digest, "query": "id 1077"}), Step(DONE)])
    claude = dataclasses.replace(AGENTS["claude"], words=["-p", "find node 1077", "--allowedTools", "mcp__headroom"], dialog=dialog)
    waits = {"MCP_CONNECTION_NONBLOCKING": "0", "MCP_CONNECT_TIMEOUT_MS": "60000", "MCP_TIMEOUT": "60000"}
    claude = dataclasses.replace(claude, variables={**claude.variables, **waits})
    environ = environment(claude, project)
    installed = [*HEADROOM, "mcp", "install", "--client", "claude", "--url", proxy]
    subprocess.run(installed, env=environ, check=True, stdout=subprocess.DEVNULL)
    provider.always = Script(compose=dialog)
    done = by_base_url(claude, project, proxy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert DONE in done.stdout
    (result,) = [block for message in provider.requests[-1].json["messages"] for block in message["content"] if "tool_use_id" in block]
    assert result.get("is_error") is not True
    assert '"id": 1077' in str(result["content"])
