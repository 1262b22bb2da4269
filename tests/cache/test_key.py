"""The request contract: what shapes an answer is part of it, what does not is not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.cache.key import asks_for_sameness, exact_key, surroundings, unfit
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, Dialect

MARK = {"type": "ephemeral"}
SCHEMA = {"type": "object", "properties": {"cache_control": {"type": "string"}, "q": {"type": "string"}}}
CLAUDE: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "temperature": 0,
    "system": [{"type": "text", "text": "Be brief."}],
    "tools": [{"name": "look", "description": "d", "input_schema": SCHEMA}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Who?"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"cache_control": "x", "n": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "7"}]}]},
    ],
}
CHAT: dict[str, Any] = {
    "model": "m",
    "temperature": 0,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
}
RESPONSES: dict[str, Any] = {"model": "m", "temperature": 0, "instructions": "Be brief.", "input": "Who?", "reasoning": {"effort": "low"}}
REQUESTS: list[tuple[Dialect, dict[str, Any]]] = [(ANTHROPIC, CLAUDE), (OPENAI_CHAT, CHAT), (OPENAI_RESPONSES, RESPONSES)]
IDS = [dialect.name for dialect, _ in REQUESTS]


def key(dialect: Dialect, body: dict[str, Any] | str, *around: str) -> str:
    raw = body if isinstance(body, str) else json.dumps(body)
    return exact_key(dialect.read(raw.encode()), around)


@pytest.mark.parametrize(("dialect", "body"), REQUESTS, ids=IDS)
def test_how_an_answer_is_sent_billed_and_counted_is_no_part_of_it(dialect: Dialect, body: dict[str, Any]) -> None:
    same = key(dialect, body)
    for more in (
        {"stream": True, "stream_options": {"include_usage": True}},
        {"metadata": {"user_id": "u"}},
        {"user": "u"},
        {"service_tier": "auto", "prompt_cache_key": "k"},
        {"cache_control": MARK},
    ):
        assert key(dialect, body | more) == same
    assert key(dialect, dict(reversed(body.items()))) == same
    assert key(dialect, json.dumps(body, indent=3).replace(" 0,", " 0.0,")) == same


def test_a_response_that_the_provider_does_not_keep_is_another() -> None:
    """A later request may name its id, which is known of a kept one only."""
    assert key(OPENAI_RESPONSES, RESPONSES | {"store": False}) != key(OPENAI_RESPONSES, RESPONSES)
    assert key(OPENAI_RESPONSES, RESPONSES | {"store": None}) != key(OPENAI_RESPONSES, RESPONSES | {"store": False})
    assert key(OPENAI_CHAT, CHAT | {"store": False}) == key(OPENAI_CHAT, CHAT)


def test_marks_of_the_prompt_cache_are_no_part_of_it_where_they_are_marks() -> None:
    marked = copy.deepcopy(CLAUDE)
    for block in (marked["system"][0], marked["tools"][0], marked["messages"][0]["content"][0], marked["messages"][2]["content"][0]):
        block["cache_control"] = MARK
    marked["messages"][2]["content"][0]["content"][0]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    assert key(ANTHROPIC, marked) == key(ANTHROPIC, CLAUDE)
    for path in (("tools", 0, "input_schema", "properties"), ("messages", 1, "content", 0, "input")):
        other = copy.deepcopy(CLAUDE)
        inner: Any = other
        for step in path:
            inner = inner[step]
        del inner["cache_control"]
        assert key(ANTHROPIC, other) != key(ANTHROPIC, CLAUDE)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for name, inner in items for leaf in leaves(inner, (*path, name))]
    return [path]


@pytest.mark.parametrize(("dialect", "body"), REQUESTS, ids=IDS)
def test_every_other_value_is_part_of_it(dialect: Dialect, body: dict[str, Any]) -> None:
    keys = {key(dialect, body)}
    for path in leaves(body):
        other = copy.deepcopy(body)
        inner: Any = other
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = "other"
        keys.add(key(dialect, other))
        if isinstance(inner, dict) and path != ("messages",):
            inner.pop(path[-1])
            inner["unknown"] = 1
            keys.add(key(dialect, other))
    assert len(keys) >= 1 + len(leaves(body))
    for more in ({"top_p": 0.5}, {"tool_choice": "any"}, {"thinking": {"type": "enabled"}}, {"never_heard_of": None}, {"max_tokens": 10}):
        keys.add(key(dialect, body | more))
    assert key(dialect, body, "elsewhere") not in keys


def test_a_long_common_beginning_is_not_enough() -> None:
    for dialect, body in REQUESTS[:2]:
        keys = {
            key(dialect, body | {"messages": [{"role": "user", "content": "same " * 1000 + end}]}) for end in ("a poem", "drop the table")
        }
        assert len(keys) == 2


def test_the_same_words_in_two_apis_are_two_requests() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert key(ANTHROPIC, body) != key(OPENAI_CHAT, body)


NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False))


@given(NUMBERS, NUMBERS)
def test_numbers_are_the_same_when_they_are_equal(one: float, two: float) -> None:
    def of(number: float) -> str:
        return key(OPENAI_CHAT, {"messages": [{}], "top_p": number})

    assert (of(one) == of(two)) == (one == two)
    assert of(one) != key(OPENAI_CHAT, {"messages": [{}], "top_p": str(one)})


def test_headers_that_switch_features_count_in_any_order() -> None:
    def of(**headers: str) -> tuple[str, ...]:
        return surroundings("https://api.example", "", {name.replace("_", "-"): value for name, value in headers.items()})

    assert of(anthropic_beta="a, b") == of(anthropic_beta="b,a") != of(anthropic_beta="a")
    assert of(user_agent="x", anthropic_version="1") == of(anthropic_version="1") != of(anthropic_version="2")
    assert surroundings("https://api.example", "beta=true", {}) != of() != surroundings("http://127.0.0.1", "", {})


def image(url: str) -> dict[str, Any]:
    return {"messages": [{"content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def source(kind: str) -> dict[str, Any]:
    return {"messages": [{"content": [{"type": "image", "source": {"type": kind, "data": "x"}}]}]}


def content(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


def item(block: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"type": "message", "role": "user", "content": [block]}]}


def within(image: dict[str, Any]) -> list[dict[str, Any]]:
    """An image wherever a block may hold one."""
    document = {"type": "document", "source": {"type": "content", "content": [image]}}
    return [
        image,
        document,
        {"type": "tool_result", "tool_use_id": "t", "content": [image]},
        {"type": "tool_result", "tool_use_id": "t", "content": [document]},
        {"type": "search_result", "source": "s", "content": [image]},
        {"type": "code_execution_tool_result", "tool_use_id": "t", "content": {"type": "result", "content": [image]}},
    ]


ELSEWHERE: list[dict[str, Any]] = [
    {"type": "input_image", "image_url": "https://x.example/a.png"},
    {"type": "input_image", "file_id": "f"},
    {"type": "input_file", "file_id": "f"},
    {"type": "input_file", "file_url": "https://x.example/a.pdf"},
]


FIT: list[tuple[Dialect, dict[str, Any], str]] = [
    (OPENAI_CHAT, {}, ""),
    (OPENAI_CHAT, {"tools": [{"type": "function", "function": {}}, {"type": "custom", "custom": {}}]}, ""),
    (OPENAI_CHAT, {"store": True}, "stored_at_provider"),
    (OPENAI_CHAT, {"web_search_options": {"search_context_size": "low"}}, "depends_on_more"),
    (OPENAI_CHAT, {"plugins": [{"id": "web"}]}, "depends_on_more"),
    (OPENAI_CHAT, {"search_parameters": {"mode": "auto"}}, "depends_on_more"),
    (OPENAI_CHAT, {"model": "anthropic/claude-sonnet-4.5:online"}, "depends_on_more"),
    (OPENAI_CHAT, {"model": "gpt-4o-search-preview"}, "depends_on_more"),
    (OPENAI_CHAT, {"model": "perplexity/sonar-pro"}, "depends_on_more"),
    (OPENAI_CHAT, {"model": "research-mini"}, ""),
    (OPENAI_RESPONSES, {"previous_response_id": "resp_1"}, "depends_on_more"),
    (OPENAI_RESPONSES, {"background": True}, "depends_on_more"),
    (OPENAI_RESPONSES, {"tools": [{"type": "web_search"}]}, "provider_tools"),
    (ANTHROPIC, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "provider_tools"),
    (ANTHROPIC, {"mcp_servers": [{"url": "https://x.example"}]}, "depends_on_more"),
    (OPENAI_CHAT, image("https://x.example/a.png"), "refers_elsewhere"),
    (OPENAI_CHAT, image("data:image/png;base64,AA"), ""),
    (OPENAI_CHAT, {"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "refers_elsewhere"),
    (ANTHROPIC, source("url"), "refers_elsewhere"),
    (ANTHROPIC, source("base64"), ""),
    (OPENAI_RESPONSES, {"input": [{"content": [{"type": "input_image", "image_url": "https://x"}]}]}, "refers_elsewhere"),
    *(
        (ANTHROPIC, content(block), "refers_elsewhere")
        for block in within({"type": "image", "source": {"type": "url", "url": "https://x"}})
    ),
    *((ANTHROPIC, content(block), "") for block in within({"type": "image", "source": {"type": "base64", "data": "x"}})),
    (ANTHROPIC, content({"type": "container_upload", "file_id": "f"}), "refers_elsewhere"),
    (ANTHROPIC, content({"type": "image", "source": {"type": "never_heard_of"}}), "refers_elsewhere"),
    (ANTHROPIC, content({"type": "tool_use", "id": "t", "name": "n", "input": {"file_id": "f", "image_url": "https://x"}}), ""),
    (ANTHROPIC, content({"type": "search_result", "source": "https://x", "content": [{"type": "text", "text": "t"}]}), ""),
    *((OPENAI_RESPONSES, item(shown), "refers_elsewhere") for shown in ELSEWHERE),
    *((OPENAI_RESPONSES, {"input": [{"type": "function_call_output", "output": [shown]}]}, "refers_elsewhere") for shown in ELSEWHERE),
    (OPENAI_RESPONSES, item({"type": "input_image", "image_url": "data:image/png;base64,AA"}), ""),
    (OPENAI_RESPONSES, item({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}), ""),
    (OPENAI_RESPONSES, {"input": [{"type": "computer_call_output", "output": {"image_url": "https://x"}}]}, "refers_elsewhere"),
    (OPENAI_RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, "refers_elsewhere"),
    (OPENAI_RESPONSES, {"input": [{"id": "msg_1"}]}, "refers_elsewhere"),
    (OPENAI_CHAT, content({"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}}), "refers_elsewhere"),
    (OPENAI_CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "refers_elsewhere"),
]


@pytest.mark.parametrize(("dialect", "more", "reason"), FIT)
def test_calls_whose_answers_depend_on_more_than_they_say(dialect: Dialect, more: dict[str, Any], reason: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi"} | more
    assert unfit(dialect.read(json.dumps(body).encode())) == reason


def test_a_name_that_stands_twice_has_no_contract() -> None:
    assert unfit(OPENAI_CHAT.read(b'{"model":"a","model":"b","messages":[{}]}')) == "duplicate_keys"


WISHES: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"temperature": 0}, True),
    ({"temperature": 0.0}, True),
    ({"temperature": 1}, False),
    ({"temperature": "0"}, False),
    ({"temperature": 1, "seed": 7}, True),
    ({"temperature": None, "seed": None}, False),
]


@pytest.mark.parametrize(("more", "same"), WISHES)
def test_which_requests_want_the_same_answer_every_time(more: dict[str, Any], same: bool) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]} | more
    assert asks_for_sameness(OPENAI_CHAT.read(json.dumps(body).encode())) is same
