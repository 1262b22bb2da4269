"""Golden requests of every dialect: on the wire to the provider only the texts marked `@ROWS@` are others, and shorter.

A golden file is a body as a client sends it, byte for byte. `@ROWS@` stands for a tool's output that compresses,
`@KEPT@` for one that must not be touched where it stands.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headroom.ccr import marker
from tests.provider import Provider
from tests.proxy.faces import HTTP, rows

GOLDEN = Path(__file__).parent.parent / "golden"
ROUTES = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions", "openai_responses": "/v1/responses"}
CASES = sorted(case for dialect in ROUTES for case in (GOLDEN / dialect).glob("*.json"))
PLACE = '"@ROWS@"'


def bodies(case: Path) -> tuple[str, list[str]]:
    """A golden body, and what stands around the texts that compress; each of them is another."""
    text = case.read_text().rstrip("\n").replace("@KEPT@", json.dumps(rows(9))[1:-1])
    around = text.split(PLACE)
    whole = around[0]
    for number, part in enumerate(around[1:]):
        whole += json.dumps(rows(number)) + part
    return whole, around


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.stem}")
def test_only_what_compresses_is_other_on_the_wire(small: str, provider: Provider, case: Path) -> None:
    body, around = bodies(case)
    headers = {"anthropic-beta": "a-2025-01-01,b-2025-02-02", "anthropic-version": "2023-06-01"} if case.parent.name == "anthropic" else {}
    HTTP.post(small + ROUTES[case.parent.name], content=body.encode(), headers=headers).raise_for_status()
    (request,) = provider.requests
    forwarded = request.body.decode()
    assert [request.header(name) for name in headers] == [[value] for value in headers.values()]
    assert forwarded.startswith(around[0])
    position = len(around[0])
    for number, part in enumerate(around[1:]):
        text, end = json.JSONDecoder().raw_decode(forwarded, position)
        assert list(marker.hashes(text))
        assert len(text) < len(rows(number))
        assert forwarded.startswith(part, end)
        position = end + len(part)
    assert position == len(forwarded)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/messages/count_tokens", "anthropic/tool_results.json"),
        ("/v1/messages/batches", "anthropic/thinking.json"),
        ("/v1/batches", "openai/parallel.json"),
        ("/v1/responses/compact", "openai_responses/codex.json"),
        ("/v1/responses/input_tokens", "openai_responses/tail.json"),
    ],
)
def test_other_routes_are_passed_on_as_they_came(small: str, provider: Provider, path: str, name: str) -> None:
    body, _ = bodies(GOLDEN / name)
    HTTP.post(small + path, content=body.encode()).raise_for_status()
    assert [request.body for request in provider.requests] == [body.encode()]
