"""Conversations that outgrow the model, through the proxy: they fit, stay put between cuts, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from headroom.ccr import marker
from headroom.dialects import ANTHROPIC, OPENAI_CHAT
from headroom.model import content_hash
from headroom.settings import Settings
from headroom.tokens import counter
from tests.context.agents import answer, calls, user
from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, openai_turns, responses_turns, serving, settings_for, stats_of
from tests.proxy.test_servers import started
from tests.rules import broken

ROUTES = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
TALKS = {"anthropic": anthropic_turns, "openai": openai_turns}
WINDOW = 12_000


def small(provider: Provider, home: Path, **more: Any) -> Settings:
    """A proxy for models that take WINDOW tokens."""
    return settings_for(provider, home, context={"windows": f"*={WINDOW}", **more})


def requests(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Every request of the conversation."""
    for end in range(1, len(messages) + 1):
        if end == len(messages) or messages[end]["role"] == "assistant":
            yield messages[:end]


def size(messages: Any) -> int:
    """Tokens of everything a model reads."""
    dialect = ANTHROPIC if any(isinstance(message.get("content"), list) for message in messages) else OPENAI_CHAT
    texts = dialect.texts(dialect.read(json.dumps({"messages": messages}).encode()))
    return sum(map(counter().count, texts)) + 4 * len(messages)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_every_turn_fits_and_the_prefix_moves_only_at_a_cut(provider: Provider, tmp_path: Path, dialect: str) -> None:
    moved, before = 0, []
    with serving(small(provider, tmp_path / "one")) as one, serving(small(provider, tmp_path / "one")) as other:
        for turn, messages in enumerate(requests(TALKS[dialect](24))):
            for url in (one, other) if turn % 2 else (other, one):  # two replicas on one store
                HTTP.post(f"{url}{ROUTES[dialect]}", json=asking(messages)).raise_for_status()
            first, second = (request.json["messages"] for request in provider.requests[-2:])
            assert first == second
            assert size(first) <= WINDOW
            assert not broken(first, dialect)
            moved += first[: len(before)] != before
            before = first
    assert 2 <= moved <= 12
    assert size(TALKS[dialect](24)) > 5 * WINDOW


@pytest.mark.parametrize("intelligent", [True, False])
@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_what_is_read_again_after_it_left_can_be_read(provider: Provider, tmp_path: Path, dialect: str, intelligent: bool) -> None:
    def lines(name: str, count: int) -> str:
        return "\n".join(f"{name}.{n} {content_hash(f'{name}.{n}')} {content_hash(f'{n}.{name}')}" for n in range(count))

    file, read = lines("file", 80), ("read", {"path": "a.py"}, lines("file", 80))
    talk = [*user("Read a.py."), *calls(dialect, ("read", *read)), *answer("Read.")]
    for turn in range(14):
        talk += [*user(f"And {turn}?"), *calls(dialect, (f"grep{turn}", "grep", {"q": str(turn)}, lines(str(turn), 60))), *answer("So.")]
        if turn in (10, 11):
            talk += [*user("Read a.py again."), *calls(dialect, (f"read{turn}", *read)), *answer("Read again.")]
    moved, before, referred, whole = 0, [], 0, 0
    with serving(settings_for(provider, tmp_path, context={"windows": "*=16000", "intelligent": intelligent})) as url:
        for messages in requests(talk[:-1]):
            HTTP.post(f"{url}{ROUTES[dialect]}", json=asking(messages)).raise_for_status()
            sent = provider.requests[-1].json["messages"]
            moved += sent[: len(before)] != before
            before, shown = sent, json.dumps(sent)
            if "are the same as lines" in shown:
                referred += 1
                assert json.dumps(file)[1:-1] in shown.partition("are the same as lines")[0]
            whole += "are left out here" in shown and json.dumps(file)[1:-1] in shown
    assert referred > 0
    assert whole > 0
    assert moved <= 4


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_conversation_that_fits_is_what_compression_made_of_it(provider: Provider, tmp_path: Path, dialect: str) -> None:
    with (
        serving(settings_for(provider, tmp_path / "a")) as large,
        serving(small(provider, tmp_path / "b")) as url,
    ):
        for messages in requests(TALKS[dialect](3)):
            for at in (large, url):
                HTTP.post(f"{at}{ROUTES[dialect]}", json=asking(messages)).raise_for_status()
            assert provider.requests[-1].body == provider.requests[-2].body


def test_what_left_is_redeemed_on_another_replica_after_a_restart(provider: Provider, tmp_path: Path) -> None:
    talk = anthropic_turns(24)
    with serving(small(provider, tmp_path)) as url:
        client = anthropic.Anthropic(base_url=url, api_key="k")
        client.messages.create(model="stand-in", max_tokens=64, messages=talk)  # type: ignore[arg-type]
    first = provider.requests[-1].body
    with serving(small(provider, tmp_path)) as url:
        anthropic.Anthropic(base_url=url, api_key="k").messages.create(model="stand-in", max_tokens=64, messages=talk)  # type: ignore[arg-type]
        assert provider.requests[-1].body == first
        (gap,) = [hash for hash in marker.hashes(first.decode()) if "earlier messages" in first.decode().split(hash)[0][-500:]][:1]
        reply = HTTP.get(f"{url}/v1/retrieve/{gap}").raise_for_status().json()
        assert HTTP.get(f"{url}/v1/retrieve/{gap}", params={"query": "Question 3"}).json()["count"] > 0
    left = json.loads(reply["original_content"])
    assert left == talk[: len(left)]
    assert reply["original_item_count"] == len(left)


def test_what_left_is_redeemed_from_other_processes_after_a_restart(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_CONTEXT_WINDOWS", f"*={WINDOW}")
    command = ("headroom", "proxy", "--port", "PORT", "--workers", "2", "--deadline-ms", "60000")
    talk = openai_turns(24)
    for _ in range(2):
        with started(provider, tmp_path, *command) as (url, _):
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="k")
            for _ in range(3):  # whichever process answers
                reply = client.chat.completions.with_raw_response.create(model="stand-in", messages=talk)  # type: ignore[arg-type]
                assert "intelligent_context" in reply.headers["x-headroom-transforms"]
            body = provider.requests[-1].body.decode()
            gap = next(hash for hash in marker.hashes(body) if "earlier messages" in body.split(hash)[0][-500:])
            left = json.loads(HTTP.get(f"{url}/v1/retrieve/{gap}").raise_for_status().json()["original_content"])
            assert any(left == talk[start : start + len(left)] for start in range(len(talk)))
    assert len({request.body for request in provider.requests}) == 1


def test_openai_sdk(provider: Provider, tmp_path: Path) -> None:
    talk = openai_turns(24)
    with serving(small(provider, tmp_path)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="k")
        reply = client.chat.completions.with_raw_response.create(model="stand-in", messages=talk)  # type: ignore[arg-type]
        assert "intelligent_context" in reply.headers["x-headroom-transforms"]
        stats = stats_of(url, 1)
    assert not broken(provider.requests[-1].json["messages"], "openai")
    assert stats["tokens"]["saved"] > size(talk) / 2


def test_cache_marks_move_and_the_cut_stays(provider: Provider, tmp_path: Path) -> None:
    def marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        content = messages[-1]["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return [*messages[:-1], {"role": "user", "content": [*blocks[:-1], blocks[-1] | {"cache_control": {"type": "ephemeral"}}]}]

    talk = anthropic_turns(24)
    with serving(small(provider, tmp_path)) as url:
        for messages in (talk, [*talk, {"role": "assistant", "content": "Done."}, {"role": "user", "content": "Thanks."}]):
            HTTP.post(f"{url}/v1/messages", json=asking(marked(messages))).raise_for_status()
    before, after = (json.dumps(request.json["messages"]) for request in provider.requests)
    mark = ', "cache_control": {"type": "ephemeral"}'
    assert after.startswith(before.replace(mark, "")[:-1])


def test_a_history_that_branched_keeps_the_cuts_of_its_own_past(provider: Provider, tmp_path: Path) -> None:
    talk = openai_turns(24)
    with serving(small(provider, tmp_path)) as url:
        for end in ("one", "two"):
            grown = [*talk, {"role": "assistant", "content": end}, {"role": "user", "content": "Go on."}]
            for messages in (talk, grown):
                HTTP.post(f"{url}/v1/chat/completions", json=asking(messages)).raise_for_status()
    common = [request.json["messages"] for request in provider.requests]
    assert common[0] == common[2] == common[1][: len(common[0])] == common[3][: len(common[0])]


def skip(url: str, provider: Provider, dialect: str, messages: list[dict[str, Any]]) -> str:
    """Why this step did not do what it should, for this request; that there is no model is no news."""
    before = stats_of(url, 0)
    HTTP.post(f"{url}{ROUTES[dialect]}", json=asking(messages)).raise_for_status()
    after = stats_of(url, before["requests"]["total"] + 1)
    new = [reason for reason, count in after["skip_reasons"].items() if count > before["skip_reasons"].get(reason, 0)]
    return next((reason for reason in new if reason.startswith("context_") and reason != "context_scorer_off"), "")


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_what_is_protected_does_not_fit(provider: Provider, tmp_path: Path, dialect: str) -> None:
    with serving(small(provider, tmp_path)) as url:
        messages = [{"role": "user", "content": "a word " * WINDOW}]
        assert skip(url, provider, dialect, messages) == "context_protected_exceeds_window"
        assert provider.requests[-1].json["messages"] == messages


def test_a_model_nobody_knows(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path, context={"default_window": WINDOW})
    with serving(settings) as url:
        assert skip(url, provider, "openai", openai_turns(2)) == ""
    with serving(settings) as url:
        assert skip(url, provider, "openai", openai_turns(24)) == "context_unknown_model"
    assert size(provider.requests[-1].json["messages"]) <= WINDOW


@pytest.mark.parametrize("mode", ["lossless", "off"])
def test_nothing_leaves_when_nothing_may_be_left_out(provider: Provider, tmp_path: Path, mode: str) -> None:
    talk = openai_turns(24)
    with serving(small(provider, tmp_path)) as url:
        HTTP.post(f"{url}/v1/chat/completions", json=asking(talk), headers={"x-headroom-mode": mode}).raise_for_status()
    assert len(provider.requests[-1].json["messages"]) == len(talk)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_odd_conversations_pass(provider: Provider, tmp_path: Path, dialect: str) -> None:
    large = "some words of no interest " * 2 * WINDOW
    call = {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    asked = [{"type": "tool_use", "id": "c", "name": "t", "input": {}}]
    said = {"role": "assistant", "content": asked} if dialect == "anthropic" else {"role": "assistant", "tool_calls": [call]}
    odd: list[list[Any]] = [
        [{"role": "user", "content": large}, said],
        [said, {"role": "user", "content": large}, said],
        [{"role": "assistant", "content": large}, {"role": "assistant", "content": large}, {"role": "user", "content": "x"}],
        [{"role": "user", "content": ""}, {"role": "user", "content": large}, {"role": "assistant", "content": ""}, {"role": "user"}],
        [{"role": "user", "content": large}] * 3,
        [{"role": "mystery", "content": large}, {"role": "user", "content": 3}],
        [{"role": "tool", "tool_call_id": "none", "content": large}, {"role": "user", "content": "x"}, {"role": "user", "content": "x"}],
    ]
    with serving(small(provider, tmp_path)) as url:
        for messages in odd:
            assert HTTP.post(f"{url}{ROUTES[dialect]}", json=asking(messages)).status_code == 200
            forwarded = provider.requests[-1].json["messages"]
            last = messages[-1].get("content", "")
            assert forwarded[-1].get("content", "") == last or str(last) in json.dumps(forwarded[-1])


def test_a_store_that_fails_costs_the_cut_and_nothing_else(provider: Provider, tmp_path: Path) -> None:
    talk = openai_turns(24)
    settings = small(provider, tmp_path)
    with serving(settings) as url:
        HTTP.post(f"{url}/v1/chat/completions", json=asking(talk)).raise_for_status()
    cut = provider.requests[-1].json["messages"]
    later = [*talk, {"role": "assistant", "content": "a " * WINDOW}, {"role": "user", "content": "Go on."}]
    with serving(settings) as url, closing(sqlite3.connect(settings.store_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody else can write
        assert skip(url, provider, "openai", later) == "context_store_unavailable"
        assert len(provider.requests[-1].json["messages"]) == len(later)
        other.execute("ROLLBACK")
    with serving(settings) as url:
        HTTP.post(f"{url}/v1/chat/completions", json=asking(later)).raise_for_status()
    assert size(provider.requests[-1].json["messages"]) <= WINDOW
    assert cut != provider.requests[-1].json["messages"]


def test_what_a_turn_asks_of_what_left_comes_back_at_its_end(provider: Provider, tmp_path: Path) -> None:
    secret = "the door code of the archive is 7731-kappa"
    talk = [*openai_turns(24)]
    talk[1:1] = [{"role": "assistant", "content": f"Noted: {secret}."}, {"role": "user", "content": "Thanks."}]
    with serving(small(provider, tmp_path)) as url:
        ended = [*talk, {"role": "assistant", "content": "Fine."}, {"role": "user", "content": "What is the door code of the archive?"}]
        after = [*ended, {"role": "assistant", "content": "7731-kappa."}, {"role": "user", "content": "Good."}]
        for messages in (talk, ended, after):
            HTTP.post(f"{url}/v1/chat/completions", json=asking(messages)).raise_for_status()
    first, second, third = (request.json["messages"] for request in provider.requests)
    assert secret not in json.dumps(first)
    assert secret in json.dumps(second[-1])
    assert "Headroom recall" in json.dumps(second[-1])
    assert second == third[: len(second)]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_tools_text_larger_than_the_window(provider: Provider, tmp_path: Path, dialect: str) -> None:
    talk = TALKS[dialect](1, count=9)
    noise = "\n".join(f"{n} {content_hash(str(n))} {content_hash(str(-n))}" for n in range(3 * WINDOW // 10))
    result = talk[2]["content"][0] if dialect == "anthropic" else talk[2]
    result["content"] = noise
    with serving(small(provider, tmp_path)) as url:
        HTTP.post(f"{url}{ROUTES[dialect]}", json=asking(talk)).raise_for_status()
        sent = provider.requests[-1].json["messages"]
        assert size(sent) <= WINDOW
        assert not broken(sent, dialect)
        assert HTTP.get(f"{url}/v1/retrieve/{content_hash(noise)}").json()["original_content"] == noise


def test_the_same_messages_in_two_dialects(provider: Provider, tmp_path: Path) -> None:
    talk = openai_turns(8)
    for message in talk:
        if message["role"] == "tool":
            message["content"] = "\n".join(f"{n} {content_hash(str(n))} {content_hash(str(-n))}" for n in range(WINDOW // 30))
    with serving(small(provider, tmp_path / "one")) as url, serving(small(provider, tmp_path / "other")) as other:
        for place in (f"{url}{ROUTES['openai']}", f"{url}{ROUTES['anthropic']}", f"{other}{ROUTES['anthropic']}"):
            HTTP.post(place, json=asking(talk)).raise_for_status()
    made, *in_anthropic = provider.requests
    assert marker.hashes(json.dumps(made.json["messages"]))
    assert in_anthropic[0].json == in_anthropic[1].json


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_token_budget_is_kept(provider: Provider, tmp_path: Path, dialect: str) -> None:
    talk = TALKS[dialect](12)
    with serving(settings_for(provider, tmp_path)) as url:

        def compress(**more: Any) -> dict[str, Any]:
            reply: dict[str, Any] = HTTP.post(f"{url}/v1/compress", json={"model": "gpt-4o", "messages": talk, **more}).json()
            return reply

        free, small, again, large = compress(), compress(token_budget=5000), compress(token_budget=5000), compress(token_budget=10**6)
        assert free["tokens_after"] > 5000 >= small["tokens_after"] > 1000
        assert small["tokens_saved"] == small["tokens_before"] - small["tokens_after"]
        assert (small["messages"], "skip_reason" in small, large) == (again["messages"], False, free)
        assert "intelligent_context" in small["transforms_applied"]
        assert not broken(small["messages"], dialect)
        assert set(small["ccr_hashes"]) == set(marker.hashes(json.dumps(small["messages"])))
        for hash in small["ccr_hashes"]:
            HTTP.get(f"{url}/v1/retrieve/{hash}").raise_for_status()
        assert compress(token_budget=20)["skip_reason"] == "context_protected_exceeds_window"
        assert compress(token_budget=5000, config={"fidelity": "lossless"})["skip_reason"] == "context_not_reversible"


@pytest.mark.parametrize("budget", [0, -3, 1.5, "many", True, []])
def test_a_token_budget_that_is_none_is_refused(provider: Provider, tmp_path: Path, budget: Any) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        reply = HTTP.post(f"{url}/v1/compress", json={"model": "m", "messages": openai_turns(1), "token_budget": budget})
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request")


def test_openai_responses(provider: Provider, tmp_path: Path) -> None:
    items, before, moved = responses_turns(16), [], 0
    with serving(small(provider, tmp_path)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="k")
        for end in range(1, len(items) + 1):
            if end < len(items) and items[end].get("type") != "reasoning" and items[end].get("role") != "assistant":
                continue
            client.responses.create(model="stand-in", input=items[:end], store=False, max_output_tokens=64)  # type: ignore[arg-type]
            sent = provider.requests[-1].json["input"]
            assert not broken(sent, "openai_responses")
            assert counter().count(json.dumps(sent)) <= 1.3 * WINDOW
            moved += sent[: len(before)] != before
            before = sent
        gaps = [hash for hash in marker.hashes(json.dumps(sent)) if "earlier messages" in json.dumps(sent).split(hash)[0][-500:]]
        left = json.loads(HTTP.get(f"{url}/v1/retrieve/{gaps[0]}").json()["original_content"])
    assert 1 <= moved <= 10
    assert any(items[at : at + len(left)] == left for at in range(len(items)))


def test_messages_that_the_provider_keeps_are_left_alone(provider: Provider, tmp_path: Path) -> None:
    with serving(small(provider, tmp_path)) as url:
        for items in (responses_turns(1), responses_turns(16)):
            body = {"model": "stand-in", "max_output_tokens": 64, "previous_response_id": "resp_1", "input": items}
            reply = HTTP.post(f"{url}/v1/responses", json=body).raise_for_status()
            assert "intelligent_context" not in reply.headers.get("x-headroom-transforms", "")
            assert len(provider.requests[-1].json["input"]) == len(items)
        after = stats_of(url, 2)["skip_reasons"]
    assert after.get("context_kept_by_provider") == 1
    assert not any(name.startswith("context_unsupported") for name in after)


@pytest.mark.parametrize("asked", [{}, {"input": []}, {"prompt": {"id": "pmpt_1"}}], ids=["none", "empty", "kept by the provider"])
def test_instructions_larger_than_the_window_without_a_message(provider: Provider, tmp_path: Path, asked: dict[str, Any]) -> None:
    body = {"model": "stand-in", "max_output_tokens": 64, "instructions": "Be brief. " * WINDOW, **asked}
    with serving(small(provider, tmp_path)) as url:
        HTTP.post(f"{url}/v1/responses", json=body).raise_for_status()
        assert "context_failed" not in stats_of(url, 1)["skip_reasons"]
    assert provider.requests[-1].json == body
