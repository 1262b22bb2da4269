"""The ledger's total is the provider's invoice, and its estimate of what was saved adds up to it."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from genai_prices import Usage as Billed
from genai_prices import calc_price

from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import anthropic_turns, asking, openai_turns, serving, settings_for, stats_of

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
