"""The ledger's total is the provider's invoice, and its estimate of what was saved adds up to it."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom import waste
from headroom.ccr.marker import TOOL_NAME
from headroom.model import content_hash
from headroom.waste import signals
from tests.invoice import KINDS, Invoice, mixed
from tests.provider import Provider, running
from tests.proxy.clients import CLIENTS
from tests.proxy.faces import HTTP, anthropic_turns, asking, serving, settings_for, stats_of
from tests.proxy.faces import rows as table
from tests.scripted import Say, Use


def test_the_ledger_is_the_invoice(tmp_path: Path) -> None:
    """Of everything that happens, several at a time. The bound is wider than for many requests: what nobody billed is estimated."""
    invoice = Invoice()
    with running(invoice) as provider, serving(settings_for(provider, tmp_path)) as url:
        sent = mixed(url, 90)
        stats = stats_of(url, 90)
    cost = stats["summary"]["cost"]
    assert set(sent.kinds) == set(KINDS)
    assert {200, 400, 429, 500, 529} >= set(sent.statuses) > {200, 400}
    assert sent.cached == stats["requests"]["cached"] > 0
    assert stats["retrievals"]["originals"] > 0
    assert cost["estimated_requests"] > 0
    assert cost["with_headroom_usd"] == pytest.approx(invoice.dollars, rel=0.01)
    assert cost["without_headroom_usd"] - cost["with_headroom_usd"] == pytest.approx(cost["total_saved_usd"], abs=2e-6)
    assert cost["total_saved_usd"] > 0
    assert stats["requests"]["rate_limited"] == sent.statuses[429]


def test_what_was_billed_is_the_invoice_to_the_nanodollar(tmp_path: Path) -> None:
    """Where every answer told its usage."""
    invoice = Invoice()
    told = [kind for kind in KINDS if kind not in ("leaves", "silent")]
    with running(invoice) as provider, serving(settings_for(provider, tmp_path)) as url:
        sent = mixed(url, 60, only=told)
        cost = stats_of(url, sent.kinds.total())["summary"]["cost"]
    assert cost["estimated_requests"] == 0
    assert cost["with_headroom_usd"] == pytest.approx(invoice.dollars, abs=1e-6)


def test_what_is_read_back_is_charged_to_what_cut_it(provider: Provider, tmp_path: Path) -> None:
    """The first answer reads an original back twice, so that one request is billed as two."""
    data = table(1, 150)
    read = [Use(f"r{n}", TOOL_NAME, json.dumps({"hash": content_hash(data), "query": "node-3"})) for n in range(2)]
    claude = CLIENTS[0]
    provider.script(claude.api.script(Say("Look. "), *read), claude.api.script(Say("Found it."), id="second"))
    with serving(settings_for(provider, tmp_path, compression={"ccr_tokens": 0})) as url:
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
    with serving(settings_for(provider, tmp_path)) as url:
        for end in (1, 1, 3, 3, 7):
            more = {"system": "Today is 2026-03-01T12:00:00Z. Be brief."}
            HTTP.post(f"{url}/v1/messages", json=asking(messages[:end]) | more).raise_for_status()
        found = stats_of(url, 5)["waste_signals"]
    once = Counter(signals([table(0, 60)])) + Counter(signals([table(1, 60)]))
    assert found["json_bloat"] == pytest.approx(once["json_bloat"], rel=0.1)
    assert found["dynamic_date"] == 2 * signals((), ["2026-03-01T12:00:00Z"])["dynamic_date"]
    assert set(found) == set(waste.KINDS)


def test_conversations_held_out_go_as_they_came_in_every_turn(provider: Provider, tmp_path: Path) -> None:
    """About half of forty conversations; the others are compressed in each request that has something to compress."""
    settings = settings_for(provider, tmp_path, stats={"holdout": 0.5})
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
