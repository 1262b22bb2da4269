"""The real `claude`, `codex` and `aider` do their task through the Ray Serve application, by `headroom wrap --url` and by base URL."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from headroom.ccr import marker
from tests.clients.agents import AGENTS, PROMPT, by_base_url, by_wrap
from tests.clients.checks import check
from tests.provider import Provider, Script
from tests.serve.deployed import Deployed

pytestmark = pytest.mark.serve


@pytest.mark.parametrize("way", ["base_url", "wrap"])
@pytest.mark.parametrize("name", AGENTS)
def test_a_task_of_several_turns(name: str, way: str, deployed: Deployed, provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    agent = AGENTS[name]
    asked_once = [f"{word} ({way})" if word == PROMPT else word for word in agent.words]  # the same again is answered from the cache
    agent = dataclasses.replace(agent, words=asked_once)
    provider.always = Script(compose=agent.dialog)
    done = by_base_url(agent, project, deployed.url) if way == "base_url" else by_wrap(agent, project, "--url", deployed.url)
    asked = check(agent, provider, project, done)
    assert all(any(True for _ in marker.hashes(request.body.decode())) for request in asked[1:])
    assert not (tmp_path / "user" / ".headroom").exists(), "no proxy of its own was started"
