"""What each dialect sees in a body, and that it changes nothing but what became smaller."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.dialects import ANTHROPIC, DIALECTS, OPENAI_CHAT, OPENAI_RESPONSES, Dialect, dialect_of
from headroom.dialects.base import TOO_MANY_VALUES, splice, understood
from headroom.errors import InvalidRequest
from headroom.model import Call, Compressed, Segment
from headroom.outcome import Usage

_TEXT = st.text(max_size=12)
_BLOCK = st.fixed_dictionaries({"type": st.just("text"), "text": _TEXT}, optional={"cache_control": st.just({"type": "ephemeral"})})
_CONTENT = _TEXT | st.lists(
    _BLOCK | st.fixed_dictionaries({"type": st.sampled_from(["image", "hologram"]), "n": st.integers()}), max_size=3
)
_RESULT = st.fixed_dictionaries({"type": st.just("tool_result"), "tool_use_id": st.just("t"), "content": _CONTENT})
_ANTHROPIC = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": _CONTENT | st.lists(_RESULT | _BLOCK, max_size=3)}
)
_OPENAI = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": _CONTENT | st.none()})
_PART = st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text", "input_image"]), "text": _TEXT})
_ITEM = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "developer"]), "content": _TEXT | st.lists(_PART, max_size=3)})
_OUTPUT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["function_call_output", "custom_tool_call_output", "hologram", "reasoning"]),
        "call_id": st.sampled_from(["t", "u"]),
        "output": _TEXT | st.lists(_PART, max_size=3),
    }
)
_CALL = st.fixed_dictionaries({"type": st.just("function_call"), "call_id": st.just("t"), "name": _TEXT, "arguments": _TEXT})
_ITEMS = st.tuples(st.just(OPENAI_RESPONSES), st.lists(_ITEM | _OUTPUT | _CALL, min_size=1, max_size=6))
_MESSAGES = (
    _ITEMS
    | st.tuples(st.just(ANTHROPIC), st.lists(_ANTHROPIC, min_size=1, max_size=5))
    | st.tuples(st.just(OPENAI_CHAT), st.lists(_OPENAI, min_size=1, max_size=5))
)


def key_of(dialect: Dialect) -> str:
    return "input" if dialect is OPENAI_RESPONSES else "messages"


def written(value: Any, draw: random.Random) -> str:
    """JSON with blanks, escapes and number literals as odd as they may be."""
    blank = lambda: "".join(draw.choices(" \t\r\n", k=draw.choice((0, 0, 1, 2))))  # noqa: E731
    match value:
        case str():
            return "".join(
                f"\\u{ord(c):04x}" if ord(c) < 0xFFFF and draw.random() < 0.3 else json.dumps(c, ensure_ascii=False)[1:-1] for c in value
            ).join('""')
        case bool() | None:
            return json.dumps(value)
        case int():
            return draw.choice((f"{value}", f"{value}.0", f"{value}e0"))
        case list():
            return "[" + ",".join(blank() + written(item, draw) + blank() for item in value) + "]"
        case dict():
            members = (f"{blank()}{written(key, draw)}{blank()}:{blank()}{written(item, draw)}{blank()}" for key, item in value.items())
            return "{" + ",".join(members) + "}"
    raise TypeError(value)


@given(_MESSAGES, st.randoms(use_true_random=False))
def test_only_the_touched_strings_differ(case: tuple[Dialect, list[dict[str, Any]]], draw: random.Random) -> None:
    dialect, messages = case
    body = {"model": "m", "n": 7, key_of(dialect): messages, "after": ["x", 1]}
    text = written(body, draw)
    call = dialect.read(text.encode("utf-8", "surrogatepass"))
    segments = dialect.segments(call)
    results = [Compressed(f"<{number}>" if draw.random() < 0.5 else None) for number, _ in enumerate(segments)]
    spliced = splice(call, segments, results).decode()
    touched = [(segment, result) for segment, result in zip(segments, results, strict=True) if result.text is not None]
    expected, position = "", 0
    for segment, result in sorted(touched, key=lambda pair: pair[0].slot):
        start, end = segment.slot
        assert json.loads(text[start:end]) == segment.text
        expected += text[position:start] + json.dumps(result.text)
        position = end
    assert spliced == expected + text[position:]
    assert json.loads(spliced).keys() == body.keys()


@given(_MESSAGES)
def test_segments_know_nothing_of_what_comes_later(case: tuple[Dialect, list[dict[str, Any]]]) -> None:
    dialect, messages = case

    def seen(count: int) -> list[tuple[str, str, str, str, str]]:
        segments = dialect.segments(dialect.read(json.dumps({key_of(dialect): messages[:count]}).encode()))
        return [(s.text, s.tool, s.arguments, s.question, s.intent) for s in segments]

    whole = seen(len(messages))
    for count in range(1, len(messages)):
        part = seen(count)
        assert part == whole[: len(part)]


ANTHROPIC_CALL = {
    "system": "be brief",
    "messages": [
        {"role": "user", "content": "Which node is full?"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I will look."}, {"type": "tool_use", "id": "t1", "name": "df", "input": {"path": "/"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}, {"type": "image", "source": {}}]},
                {"type": "tool_result", "tool_use_id": "t1", "content": "failed", "is_error": True},
            ],
        },
    ],
}
OPENAI_CALL = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "Which node is full?"},
        {
            "role": "assistant",
            "content": "I will look.",
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "df", "arguments": '{"path": "/"}'}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}]},
    ],
}


def segments_of(dialect: Dialect, body: dict[str, Any]) -> tuple[Segment, ...]:
    return dialect.segments(dialect.read(json.dumps(body).encode()))


@pytest.mark.parametrize(("dialect", "body"), [(ANTHROPIC, ANTHROPIC_CALL), (OPENAI_CHAT, OPENAI_CALL)])
def test_a_segment_knows_its_call_and_its_question(dialect: Dialect, body: dict[str, Any]) -> None:
    first, second, *rest = segments_of(dialect, body)
    assert (first.text, first.tool, first.arguments) == ("one", "df", '{"path": "/"}')
    assert (first.question, first.intent) == ("Which node is full?", "I will look.")
    assert (second.text, second.tool, second.arguments) == ("two", "", "")
    assert [segment.protected for segment in rest] == (["error_result"] if dialect is ANTHROPIC else [])
    assert dialect_of(dialect.read(json.dumps(body).encode())) is dialect


@pytest.mark.parametrize("dialect", [ANTHROPIC, OPENAI_CHAT])
def test_what_was_retrieved_or_cannot_be_said_is_protected(dialect: Dialect) -> None:
    body = json.loads(json.dumps(ANTHROPIC_CALL if dialect is ANTHROPIC else OPENAI_CALL).replace('"df"', '"mcp__headroom_retrieve"'))
    assert segments_of(dialect, body)[0].protected == "retrieved"
    body = json.loads(json.dumps(ANTHROPIC_CALL if dialect is ANTHROPIC else OPENAI_CALL).replace('"one"', '"\\udc00"'))
    assert segments_of(dialect, body)[0].protected == "lone_surrogate"


@pytest.mark.parametrize("dialect", [ANTHROPIC, OPENAI_CHAT])
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"{}", b'{"messages":[]}', b'{"messages":[1]}', b"\xff", b'{"messages":"x"}'])
def test_refuses_what_is_no_call(dialect: Dialect, raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        dialect.read(raw)


def test_usage() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 1}}}
    end = {"type": "message_delta", "usage": {"output_tokens": 9}}
    assert ANTHROPIC.usage(start).merge(ANTHROPIC.usage(end)) == Usage(5, 9, 3, None)
    chunk = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 3}}}
    assert OPENAI_CHAT.usage(chunk) == Usage(5, 9, 3, None)
    for dialect in DIALECTS.values():
        for odd in (
            None,
            7,
            [],
            {},
            {"usage": None},
            {"usage": {"prompt_tokens": "5", "output_tokens": True, "input_tokens": -1}},
            {"message": 1},
        ):
            assert dialect.usage(odd) == Usage()
        assert dialect.usage({"usage": {"output_tokens": 10**30, "completion_tokens": 10**30}}) == Usage()


def test_a_replacement_may_name_what_utf8_cannot_say() -> None:
    call = OPENAI_CHAT.read(json.dumps(OPENAI_CALL).encode())
    segments = OPENAI_CHAT.segments(call)
    spliced = splice(call, segments, [Compressed("see read\ud800(é)"), *([Compressed(None)] * (len(segments) - 1))])
    assert json.loads(spliced)["messages"][3]["content"] == "see read\ud800(é)"


def test_a_call_that_was_not_read_is_not_answered() -> None:
    call = ANTHROPIC.read(json.dumps(ANTHROPIC_CALL).encode())
    assert understood(call) is call
    with pytest.raises(InvalidRequest, match="more than 1,000,000 values"):
        understood(Call("anthropic", b"", reason=TOO_MANY_VALUES))
