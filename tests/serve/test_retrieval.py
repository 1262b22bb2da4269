"""A model reads back what was left out through the Ray Serve application: whichever replica answers, and next time another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.ccr.marker import TOOL_NAME
from headroom.model import content_hash
from tests.provider import Provider
from tests.proxy.clients import CLIENTS, Client
from tests.proxy.faces import rows
from tests.scripted import OUTPUT, Say, Use
from tests.serve.deployed import Deployed

DATA = rows(77, 150)
READ = Use("r1", TOOL_NAME, json.dumps({"hash": content_hash(DATA), "query": "node-3"}))


@pytest.mark.serve
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.api.name)
def test_a_model_reads_back(deployed: Deployed, provider: Provider, client: Client) -> None:
    script = client.api.script
    provider.script(script(Say("Look. "), READ), script(Say("Found it."), id="second"), *[script(Say("Yes.")) for _ in range(6)])
    messages: list[dict[str, Any]] = client.opening(DATA)
    answer = client.ask(deployed.url, messages, stream=True)
    assert (answer.text, answer.calls, answer.tokens[1]) == ("Look. Found it.", [], 2 * OUTPUT)
    messages = [*messages, *answer.sent_back, {"role": "user", "content": "Sure?"}]
    for _ in range(6):
        client.ask(deployed.url, messages, stream=True)
    continued, *later = (request.json for request in provider.requests[1:])
    told = client.told(continued)
    assert "node-3" in told[-1][1]
    assert all(client.told(body) == [*told, ("assistant", "Found it."), ("user", "Sure?")] for body in later)
    assert len({request.body for request in provider.requests[2:]}) == 1
