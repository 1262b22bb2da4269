"""Answers to other wordings, through a real server with a real model: who gets one, in which form, and who never does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headroom.model import ModelSpec
from headroom.proxy.embed import Embed
from headroom.proxy.embed_process import ProcessEmbed
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import HTTP, serving, settings_for, stats_of

ROUTES = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
FIRST, OTHER = "How do I close the main valve?", "Could you please tell me how to close the main valve?"
TOOL = {"name": "look", "description": "d", "input_schema": {"type": "object"}}


class SharedModel(ProcessEmbed):
    """One process with the model for all tests of this file, whose servers neither start nor close it."""

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    def end(self) -> None:
        asyncio.run(super().close())


@pytest.fixture(scope="module")
def embed(model: str) -> Iterator[ProcessEmbed]:
    shared = SharedModel(ModelSpec(model, "cpu"), 10_000)
    yield shared
    shared.end()


@contextmanager
def semantic(provider: Provider, home: Path, embed: Embed, cache: dict[str, Any] | None = None, **more: Any) -> Iterator[str]:
    cache = {"lookup_ms": 1000 * int(WAIT_S), **(cache or {})}
    with serving(settings_for(provider, home, cache=cache, **more), embed=embed) as url:
        yield url


@pytest.fixture
def url(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> Iterator[str]:
    """Callers are told apart by their credential; `boss` is the admin's key."""
    with semantic(provider, tmp_path, embed, access={"callers": "credential", "admin_key": "boss"}) as url:
        yield url


def body_of(route: str, text: str, **more: Any) -> dict[str, Any]:
    if route == "/v1/responses":
        return {"model": "m", "temperature": 0, "input": text, **more}
    return {"model": "m", "max_tokens": 64, "temperature": 0, "messages": [{"role": "user", "content": text}], **more}


def ask(
    url: str, text: str, route: str = ROUTES[0], key: str = "ada", headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    answer = HTTP.post(url + route, json=body_of(route, text, **more), headers={"x-api-key": key, **(headers or {})})
    assert answer.status_code == 200
    return answer


def said(answer: httpx.Response) -> str:
    return answer.headers["x-headroom-cache"]


def learned(url: str, count: int) -> None:
    """Returns when so many questions are in the index; fails after WAIT_S."""
    until = time.monotonic() + WAIT_S
    while HTTP.get(f"{url}/health").json()["checks"]["semantic_cache"]["status"] != f"{count:,} questions":
        assert time.monotonic() < until, HTTP.get(f"{url}/health").json()["checks"]
        time.sleep(0.01)


@pytest.mark.parametrize("route", ROUTES)
def test_another_wording_gets_the_answer(url: str, provider: Provider, route: str) -> None:
    first = ask(url, FIRST, route)
    learned(url, 1)
    second = ask(url, OTHER, route)
    assert (said(first), said(second)) == ("miss", "hit-semantic")
    assert 0.8 <= float(second.headers["x-headroom-cache-similarity"]) <= 1
    assert int(second.headers["age"]) >= 0
    assert second.content == first.content
    assert "x-headroom-cache-similarity" not in first.headers
    assert said(ask(url, FIRST, route)) == "hit-exact"
    assert len(provider.requests) == 1
    stats = stats_of(url, 3, {"authorization": "Bearer boss"})
    assert stats["requests"]["cached"] == 2
    assert (
        'headroom_requests_cached_total{kind="semantic"} 1.0' in HTTP.get(f"{url}/metrics", headers={"authorization": "Bearer boss"}).text
    )


def test_what_means_something_else_is_asked(url: str, provider: Provider) -> None:
    others = ("How do I open the main valve?", "How do I not close the main valve?", "How do I close the main valves of 2 boilers?")
    ask(url, FIRST)
    learned(url, 1)
    assert [said(ask(url, text)) for text in others] == ["miss"] * 3
    assert len(provider.requests) == 4


def test_nothing_else_may_differ(url: str, provider: Provider) -> None:
    """Callers, end users, systems, tools, models, temperatures, limits, switches of the API, earlier turns, 4,000 equal characters."""
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": OTHER}]
    pasted = [{"type": "text", "text": "x" * 4000}, {"type": "text", "text": OTHER}]
    variants: list[dict[str, Any]] = [
        {"key": "bob"},
        {"metadata": {"user_id": "u2"}},
        {"system": "Be brief."},
        {"system": "Be long."},
        {"tools": [TOOL]},
        {"tools": [TOOL | {"description": "e"}]},
        {"temperature": 0.5, "headers": {"x-headroom-cache": "on"}},
        {"temperature": 0.7, "headers": {"x-headroom-cache": "on"}},
        {"model": "n"},
        {"max_tokens": 65},
        {"headers": {"anthropic-beta": "b"}},
        {"unknown": 1},
        {"messages": turns},
        {"messages": [{"role": "user", "content": pasted}]},
        {"messages": [{"role": "user", "content": "x" * 4000 + OTHER}]},
    ]
    ask(url, FIRST)
    for variant in variants:  # each with the first wording too, so that there is something to mistake
        ask(url, FIRST, **{name: value for name, value in variant.items() if name != "messages"})
    asked = len(provider.requests)
    learned(url, asked - 2)  # those with tools are none
    assert [said(ask(url, OTHER, **variant)) for variant in variants[4:6] + variants[-3:]] == ["miss"] * 5
    assert len(provider.requests) == asked + 5
    assert said(ask(url, OTHER, **variants[1])) == "miss"  # that end user's was a hit, so nothing was learned
    for variant in variants[:1] + variants[2:4] + variants[6:12]:
        assert said(ask(url, OTHER, **variant)) == "hit-semantic"
    assert len(provider.requests) == asked + 6
    fresh = [
        {"key": "eve"},
        {"system": "Be kind."},
        {"temperature": 0.9, "headers": {"x-headroom-cache": "on"}},
        {"model": "o"},
    ]
    assert [said(ask(url, OTHER, **variant)) for variant in fresh] == ["miss"] * 4


def test_long_texts_that_begin_alike_never_share(url: str, provider: Provider) -> None:
    long = "The same words stand at the beginning of both. " * 90
    for end in ("Write a poem.", "Drop the production table."):
        assert said(ask(url, long[:4000] + end)) == "miss"
        assert said(ask(url, long[:200] + end)) == "miss"
    assert len(provider.requests) == 4


def test_the_other_form_is_the_same_answer_to_the_vendors_client(url: str, provider: Provider) -> None:
    ask(url, FIRST)
    chat = ask(url, FIRST, ROUTES[1], "ada", {"authorization": "Bearer ada"})
    learned(url, 2)
    claude = anthropic.Anthropic(base_url=url, api_key="ada", max_retries=0, timeout=WAIT_S, default_headers={"anthropic-version": ""})
    whole = ask(url, FIRST).json()
    messages: Any = [{"role": "user", "content": OTHER}]
    with claude.messages.stream(model="m", max_tokens=64, messages=messages, extra_body={"temperature": 0}) as events:
        assert events.get_final_message().to_dict()["content"] == whole["content"]
        assert events.response.headers["x-headroom-cache"] == "hit-semantic"
    gpt = openai.OpenAI(base_url=f"{url}/v1", api_key="ada", max_retries=0, timeout=WAIT_S, default_headers={"x-api-key": "ada"})
    with gpt.chat.completions.stream(model="m", max_tokens=64, temperature=0, messages=messages) as chunks:
        assert chunks.get_final_completion().choices[0].message.content == chat.json()["choices"][0]["message"]["content"]
    assert len(provider.requests) == 2


def test_a_streamed_answer_is_replayed(url: str, provider: Provider) -> None:
    provider.always = Script()
    first = ask(url, FIRST, stream=True)
    learned(url, 1)
    second = ask(url, OTHER, stream=True)
    assert (said(second), second.content) == ("hit-semantic", first.content)
    assert said(ask(url, OTHER)) == "hit-semantic"
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-headroom-cache": "exact"}, "miss"),
        ({"x-headroom-cache": "off"}, "miss"),
        ({"cache-control": "no-cache"}, "miss"),
        ({"cache-control": "no-store"}, "miss"),
        ({"x-headroom-bypass": "true"}, "miss"),
        ({"x-headroom-cache": "on"}, "hit-semantic"),
    ],
)
def test_what_a_request_may_ask_of_it(url: str, provider: Provider, headers: dict[str, str], expected: str) -> None:
    ask(url, FIRST)
    learned(url, 1)
    assert said(ask(url, OTHER, headers=headers)) == expected


def test_settings_turn_it_off_or_want_more_likeness(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> None:
    with semantic(provider, tmp_path, embed) as url:
        ask(url, FIRST)
        learned(url, 1)
        assert said(ask(url, OTHER)) == "hit-semantic"
    for cache in ({"enabled": False}, {"semantic": False}):
        with semantic(provider, tmp_path, embed, cache) as url:
            assert said(ask(url, OTHER)) == "miss"
            assert HTTP.get(f"{url}/health").json()["checks"]["semantic_cache"] == {"enabled": False, "ready": False, "status": "off"}
    with semantic(provider, tmp_path, embed, {"threshold": 0.999}) as url:
        learned(url, 1)
        assert said(ask(url, "How can I close the main valve?")) == "miss"


def test_a_policy_turns_it_off_or_wants_more_likeness(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> None:
    with semantic(provider, tmp_path, embed) as url:
        ask(url, FIRST)
        learned(url, 1)
    file = tmp_path / "policies.yaml"
    cases = (
        ("semantic: on", OTHER, 1, "hit-semantic"),
        ("threshold: 0.999", OTHER, 1, "miss"),
        ("semantic: off", "How can I close the main valve?", 2, "miss"),
    )
    for rule, text, known, expected in cases:
        file.write_text(f"rules: [{{name: here, match: {{route: /v1/messages}}, set: {{cache: {{{rule}}}}}}}]")
        with semantic(provider, tmp_path, embed, policies=file) as url:
            learned(url, known)
            assert said(ask(url, text)) == expected


def test_it_outlives_the_process_and_is_shared(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> None:
    with semantic(provider, tmp_path, embed) as url:
        ask(url, FIRST)
        learned(url, 1)
    with semantic(provider, tmp_path, embed) as one, semantic(provider, tmp_path, embed) as other:
        for url in (one, other):
            learned(url, 1)
            assert said(ask(url, OTHER)) == "hit-semantic"
        ask(one, "Why is the sky blue?")
        learned(other, 2)
        assert said(ask(other, "What is the reason the sky is blue?")) == "hit-semantic"
    assert len(provider.requests) == 2


def test_questions_of_another_model_are_not_compared(provider: Provider, tmp_path: Path, embed: ProcessEmbed, model: str) -> None:
    class Another(SharedModel):
        model = "another"

    other = Another(ModelSpec(model, "cpu"), 10_000)
    with semantic(provider, tmp_path, embed) as url:
        ask(url, FIRST)
        learned(url, 1)
    try:
        with semantic(provider, tmp_path, other) as url:
            learned(url, 1)
            assert said(ask(url, OTHER)) == "miss"
            learned(url, 2)
            assert said(ask(url, "What is the best way to close the main valve?")) == "hit-semantic"
    finally:
        other.end()
    with semantic(provider, tmp_path, embed) as url:
        learned(url, 2)
        assert said(ask(url, "How can I close the main valve?")) == "hit-semantic"


def test_callers_clear_their_own_and_the_admin_everything(url: str, provider: Provider) -> None:
    for key in ("ada", "bob"):
        ask(url, FIRST, key=key)
    learned(url, 2)
    assert HTTP.post(f"{url}/cache/clear", headers={"x-api-key": "ada"}).json() == {"status": "cleared", "cleared": 1, "scope": "own"}
    learned(url, 1)
    assert [said(ask(url, OTHER, key=key)) for key in ("ada", "bob")] == ["miss", "hit-semantic"]
    learned(url, 2)
    assert HTTP.post(f"{url}/cache/clear", headers={"authorization": "Bearer boss"}).json()["scope"] == "all"
    learned(url, 0)
    assert said(ask(url, "How can I close the main valve?", key="bob")) == "miss"


def test_an_answer_that_is_gone_is_no_hit(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> None:
    with semantic(provider, tmp_path, embed, {"ttl_s": 2.0}) as url:
        ask(url, FIRST)
        learned(url, 1)
        learned(url, 0)
        assert said(ask(url, OTHER)) == "miss"


def test_a_lookup_that_is_late_is_a_miss_with_a_reason(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> None:
    """No model answers within a millisecond: the provider does, and the question is learned all the same."""
    with semantic(provider, tmp_path, embed, {"lookup_ms": 1}) as url:
        assert said(ask(url, "Which lookup is a little late?")) == "miss"
        stats = stats_of(url, 1)
        assert HTTP.get(f"{url}/metrics").text.count('tier="semantic_cache"') == 1
        assert stats["requests"]["failed"] == 0
        learned(url, 1)


def test_without_a_model_only_equal_requests_are_answered(provider: Provider, tmp_path: Path) -> None:
    embed = ProcessEmbed(ModelSpec("sentence-transformers/no-such-model", "cpu"), 1000)
    with serving(settings_for(provider, tmp_path), embed=embed) as url:
        assert [said(ask(url, text)) for text in (FIRST, OTHER, FIRST)] == ["miss", "miss", "hit-exact"]
        until = time.monotonic() + WAIT_S
        while (check := HTTP.get(f"{url}/health").json()["checks"]["semantic_cache"])["enabled"]:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert "hf download" in check["status"]


def test_rules_turn_it_off_or_want_more_likeness(provider: Provider, tmp_path: Path, embed: ProcessEmbed) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(
        "rules: [{name: strict, match: {model: strict}, set: {cache: {threshold: 0.999}}}, "
        "{name: never, match: {model: never}, set: {cache: {semantic: false}}}, "
        "{name: anyway, match: {model: always}, set: {cache: {semantic: true}}}]"
    )
    expected = {"strict": "miss", "never": "miss", "always": "hit-semantic", "m": "hit-semantic"}
    with semantic(provider, tmp_path / "other", embed, policies=file) as url:
        for model in expected:
            ask(url, FIRST, model=model)
        learned(url, len(expected) - 1)
        assert {model: said(ask(url, "How can I close the main valve?", model=model)) for model in expected} == expected
    with semantic(provider, tmp_path / "other", embed, {"semantic": False}, policies=file) as url:
        answers = (said(ask(url, FIRST + blanks, model="always")) for blanks in map(" ".__mul__, range(1, 500)))  # until the log is read
        assert "hit-semantic" in answers
        assert said(ask(url, "How could I close the main valve?", model="m")) == "miss"
