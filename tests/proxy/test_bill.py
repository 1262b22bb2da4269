"""The ledger's total is the provider's invoice, and its estimate of what was saved adds up to it."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_prices import Usage as Billed
from genai_prices import calc_price

from headroom.ccr.marker import TOOL_NAME
from headroom.model import content_hash
from headroom.waste import KINDS, signals
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.clients import CLIENTS
from tests.proxy.faces import HTTP, anthropic_turns, asking, openai_turns, serving, settings_for, stats_of
from tests.proxy.faces import rows as table
from tests.scripted import Say, Use

MODELS = {"/v1/messages": ("anthropic", "claude-sonnet-4-5"), "/v1/chat/completions": ("openai", "gpt-4o")}
# What the stand-in bills for every answer.
USAGES = {
    "/v1/messages": Billed(input_tokens=19, output_tokens=7, cache_read_tokens=5, cache_write_tokens=3),
    "/v1/chat/completions": Billed(input_tokens=11, output_tokens=7, cache_read_tokens=5),
}
TURNS = {"/v1/messages": anthropic_turns, "/v1/chat/completions": openai_turns}


def requests(count: int) -> list[tuple[str, dict[str, Any]]]:
    draw = random.Random(4)
    found = []
    for _ in range(count):
        route, stream = draw.choice(list(MODELS)), draw.random() < 0.5
        body = asking(TURNS[route](draw.randrange(1, 4), 60)) | {"model": MODELS[route][1], "stream": stream}
        if stream and route == "/v1/chat/completions":
            body["stream_options"] = {"include_usage": True}
        found.append((route, body))
    return found


def test_the_ledger_is_the_invoice(provider: Provider, tmp_path: Path) -> None:
    """Of answered, refused and failed requests, several at a time."""
    sent = requests(120)
    provider.script(*(Script(status=(429, 529, 500)[n // 9 % 3]) if n % 9 == 0 else Script() for n in range(len(sent))))
    with serving(settings_for(provider, tmp_path, compression={"deadline_ms": 60_000})) as url, httpx.Client(timeout=WAIT_S) as client:

        def send(request: tuple[str, dict[str, Any]]) -> tuple[str, int]:
            route, body = request
            return route, client.post(url + route, json=body).status_code

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(send, sent))
        stats = stats_of(url, len(sent))
    cost = stats["summary"]["cost"]
    invoice = {
        route: float(calc_price(USAGES[route], model_ref=model, provider_id=owner).total_price) for route, (owner, model) in MODELS.items()
    }
    assert {status for _, status in answers} == {200, 429, 500, 529}
    billed = [route for route, status in answers if status == 200]
    assert cost["with_headroom_usd"] == pytest.approx(sum(invoice[route] for route in billed), rel=0.001)
    assert cost["billed_requests"] == len(billed)
    assert cost["without_headroom_usd"] - cost["with_headroom_usd"] == pytest.approx(cost["total_saved_usd"], abs=2e-6)
    assert cost["total_saved_usd"] > 0
    assert stats["requests"]["rate_limited"] == sum(status == 429 for _, status in answers)


def test_what_is_read_back_is_charged_to_what_cut_it(provider: Provider, tmp_path: Path) -> None:
    """The first answer reads an original back twice, so that one request is billed as two."""
    data = table(1, 150)
    read = [Use(f"r{n}", TOOL_NAME, json.dumps({"hash": content_hash(data), "query": "node-3"})) for n in range(2)]
    claude = CLIENTS[0]
    provider.script(claude.api.script(Say("Look. "), *read), claude.api.script(Say("Found it."), id="second"))
    with serving(settings_for(provider, tmp_path, compression={"ccr_tokens": 0, "deadline_ms": 60_000})) as url:
        body = asking(claude.opening(data)) | {"model": "claude-sonnet-4-5", "tools": [{"name": "list_nodes", "input_schema": {}}]}
        HTTP.post(f"{url}/v1/messages", json=body).raise_for_status()
        stats = stats_of(url, 1)
    told, cost = stats["retrievals"], stats["summary"]["cost"]
    ((transform, charged),) = told["by_transform"].items()
    assert transform in stats["transforms"]
    assert (told["rounds"], told["originals"], charged["originals"]) == (1, 2, 2)
    assert 0 < charged["cost_usd"] == told["cost_usd"] < cost["with_headroom_usd"]
    assert charged["tokens_saved"] > 0


def test_what_new_texts_waste_is_counted_once(provider: Provider, tmp_path: Path) -> None:
    messages = anthropic_turns(2, 60)
    with serving(settings_for(provider, tmp_path, compression={"deadline_ms": 60_000})) as url:
        for end in (1, 1, 3, 3, 7):
            more = {"system": "Today is 2026-03-01T12:00:00Z. Be brief."}
            HTTP.post(f"{url}/v1/messages", json=asking(messages[:end]) | more).raise_for_status()
        found = stats_of(url, 5)["waste_signals"]
    once = Counter(signals([table(0, 60)])) + Counter(signals([table(1, 60)]))
    assert found["json_bloat"] == pytest.approx(once["json_bloat"], rel=0.1)
    assert found["dynamic_date"] == 2 * signals((), ["2026-03-01T12:00:00Z"])["dynamic_date"]
    assert set(found) == set(KINDS)


def test_conversations_held_out_go_as_they_came_in_every_turn(provider: Provider, tmp_path: Path) -> None:
    """About half of forty conversations; the others are compressed in each request that has something to compress."""
    settings = settings_for(provider, tmp_path, compression={"deadline_ms": 60_000}, stats={"holdout": 0.5})
    forwarded: dict[int, list[bool]] = {}
    with serving(settings) as url:
        for length, number in itertools.product((1, 3, 7), range(40)):
            messages = anthropic_turns(2, 20)[:length]
            messages[0]["content"] = f"Conversation {number}: how busy is node-0?"
            body = json.dumps(asking(messages) | {"model": "claude-sonnet-4-5"}, separators=(",", ":")).encode()
            answer = HTTP.post(f"{url}/v1/messages", content=body)
            forwarded.setdefault(number, []).append(provider.requests[-1].body == body)
            assert (answer.headers.get("x-headroom-skip-reason") != "holdout") or forwarded[number][-1]
        stats = stats_of(url, 120)
    held = [number for number, (_, last, _) in forwarded.items() if last]
    assert all(same == [True, number in held, number in held] for number, same in forwarded.items())
    assert 8 <= len(held) <= 32
    found = stats["holdout"]
    assert (found["share"], found["holdout"]["conversations_begun"], found["holdout"]["requests"]) == (0.5, len(held), 3 * len(held))
    assert found["treated"]["conversations_begun"] == 40 - len(held)
    whole = sum(len(text) for end in (1, 3, 7) for text in texts_of(anthropic_turns(2, 20)[:end]))
    assert found["holdout"]["characters"] / len(held) == pytest.approx(whole, rel=0.02)
    assert found["measured"]["savings_pct"]["value"] == pytest.approx(0, abs=3)  # the stand-in bills all alike
    assert found["estimated"]["savings_pct"] > 10
    assert stats["skip_reasons"]["holdout"] == 3 * len(held)


def texts_of(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        if isinstance(message["content"], str):
            yield message["content"]
        else:
            yield from (block["content"] for block in message["content"] if block["type"] == "tool_result")
