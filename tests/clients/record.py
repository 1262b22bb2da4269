"""Writes `tests/golden/clients/`: what the real clients send for one task, and what they get. By hand, after `make clients`:

    .venv/bin/python -m tests.clients.record

Only the shape of a request is a client's own that may be kept: keys, types, block types, header names, tool names. Every text that
is not of this project (system prompts, reminders, descriptions of tools) becomes its length, every parameter of a tool its number.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.clients.agents import AGENTS, CLIENTS, LISTING, PROMPT, Agent, by_base_url
from tests.provider import Received, Script, stand_in

GOLDEN = Path(__file__).parents[1] / "golden" / "clients"
NAMES = ("claude", "codex", "aider-openai")
_WORDS = frozenset(("type", "role", "name", "id", "tool_use_id", "call_id", "model", "status", "signature", "encrypted_content", "effort"))
_LISTS = frozenset(("include", "betas"))


def shape(value: Any, ours: Sequence[str], key: str = "") -> Any:
    """The value with every foreign text replaced by its length."""
    if isinstance(value, dict) and key == "properties":
        return {f"parameter-{place}": shape(inner, ours, name) for place, (name, inner) in enumerate(value.items())}
    if isinstance(value, dict):
        return {name: shape(inner, ours, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [item if key in _LISTS and isinstance(item, str) else shape(item, ours, key) for item in value]
    if not isinstance(value, str) or key in _WORDS or value in ours:
        return value
    if LISTING in value and key == "output":
        return value  # what a tool printed, as the client frames it
    before, listing, behind = value.partition(LISTING)
    return f"{_length(before)}{listing}{_length(behind)}" if listing else _length(value)


def _length(text: str) -> str:
    return f"<{len(text)} characters>" if text else ""


def own_texts(agent: Agent) -> list[str]:
    """What the task and the script of the provider say."""
    steps = agent.dialog.steps
    told = [part for step in steps for part in (step.say, step.say.replace("|", ""), json.dumps(step.input), *step.input.values())]
    return [PROMPT, LISTING, *map(str, told)]


def recorded(agent: Agent) -> list[dict[str, Any]]:
    """The turns of the task: the client's request and the provider's answer."""
    with stand_in() as provider, tempfile.TemporaryDirectory() as directory:
        provider.always = Script(compose=agent.dialog)
        project = Path(directory) / "project"
        for at in (project, Path(directory) / "user"):
            at.mkdir()
        done = by_base_url(agent, project, provider.url)
        assert done.returncode == 0, done.stdout + done.stderr
        return [_turn(agent, request) for request in provider.requests if request.method == "POST" and agent.path in request.target]


def _turn(agent: Agent, request: Received) -> dict[str, Any]:
    _, events = agent.dialog(request)
    return {
        "method": request.method,
        "target": request.target,
        "headers": [name for name, _ in request.headers],
        "body": shape(request.json, own_texts(agent)),
        "answer": [event.decode() for event in events],
    }


def versions() -> dict[str, str]:
    places = {"claude": "node_modules/.bin/claude", "codex": "node_modules/.bin/codex", "aider-openai": "aider/bin/aider"}
    run = {
        name: subprocess.run([CLIENTS / place, "--version"], capture_output=True, text=True, check=True) for name, place in places.items()
    }
    return {name: done.stdout.strip() for name, done in run.items()}


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    told = versions()
    for name in NAMES:
        golden = {"client": told[name], "turns": recorded(AGENTS[name])}
        (GOLDEN / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")
        print(name, told[name], len(golden["turns"]), "turns")


if __name__ == "__main__":
    main()
