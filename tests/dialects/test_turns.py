"""Where a turn ends, so that what is recalled stands where the API takes it and ends nothing that goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.dialects import ANTHROPIC, OPENAI_CHAT, Dialect
from headroom.dialects.base import splice
from headroom.model import Compressed, Segment, Turn

BLOCK = {"type": "text", "text": "BLOCK"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "u"}}
REFERENCE = {"type": "tool_reference", "tool_name": "t"}


def recalled(dialect: Dialect, message: dict[str, Any], *before: dict[str, Any]) -> Any:
    """The content of the last message with a block recalled at the end of its turn."""
    call = dialect.read(json.dumps({"messages": [*before, message]}).encode())
    turns = [item for item in dialect.walk(call) if isinstance(item, Turn)]
    results = [Compressed("BLOCK" if number == len(turns) - 1 else None) for number in range(len(turns))]
    return json.loads(splice(call, [], [], turns, results))["messages"][-1]["content"]


def result(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t1", "content": content, **more}


def test_behind_the_words_of_a_user() -> None:
    said = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    assert recalled(ANTHROPIC, {"role": "user", "content": "hi"}) == [{"type": "text", "text": "hi"}, BLOCK]
    assert recalled(ANTHROPIC, {"role": "user", "content": said}) == [*said, BLOCK]
    assert recalled(ANTHROPIC, {"role": "user", "content": [result("one"), *said]}) == [result("one"), *said, BLOCK]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([result("one")], [result([{"type": "text", "text": "one"}, BLOCK])]),
        (
            [result("one"), result([IMAGE], cache_control={"type": "ephemeral"})],
            [result("one"), result([IMAGE, BLOCK], cache_control={"type": "ephemeral"})],
        ),
        ([result("one"), result([REFERENCE])], [result([{"type": "text", "text": "one"}, BLOCK]), result([REFERENCE])]),
        ([result("one"), {"type": "tool_result"}], [result([{"type": "text", "text": "one"}, BLOCK]), {"type": "tool_result"}]),
        ([result([REFERENCE])], [result([REFERENCE])]),
        ([result("")], [result("\n\nBLOCK")]),
        ([result(" \n")], [result(" \n\n\nBLOCK")]),
    ],
)
def test_a_message_of_results_stays_one(content: list[Any], expected: list[Any]) -> None:
    assert recalled(ANTHROPIC, {"role": "user", "content": content}) == expected


@pytest.mark.parametrize(("caller", "kept"), [({"type": "code_execution_20250825", "tool_id": "s"}, True), ({"type": "direct"}, False)])
def test_what_a_program_reads_stays_as_it_is(caller: dict[str, Any], kept: bool) -> None:
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "df", "input": {}, "caller": caller}]}
    answer = {"role": "user", "content": [result("one")]}
    assert (recalled(ANTHROPIC, answer, call) == answer["content"]) is kept
    (segment,) = ANTHROPIC.segments(ANTHROPIC.read(json.dumps({"messages": [call, answer]}).encode()))
    assert segment.protected == ("for_a_program" if kept else "")


def test_a_system_message_in_between_is_not_the_users() -> None:
    assert recalled(ANTHROPIC, {"role": "system", "content": "rules"}) == "rules"


def test_older_clients_call_functions() -> None:
    messages = [
        {"role": "user", "content": "Which node is full?"},
        {"role": "assistant", "content": None, "function_call": {"name": "df", "arguments": '{"path": "/"}'}},
        {"role": "function", "name": "df", "content": "one"},
    ]
    segment, turn = list(OPENAI_CHAT.walk(OPENAI_CHAT.read(json.dumps({"messages": messages}).encode())))[-2:]
    assert isinstance(segment, Segment)
    assert isinstance(turn, Turn)
    assert (segment.text, segment.tool, segment.arguments) == ("one", "df", '{"path": "/"}')
    assert (turn.form, turn.query) == ("append", '{"path": "/"}')


def test_a_custom_tool_is_called_like_a_function() -> None:
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": "df -h"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "one"},
    ]
    (segment,) = OPENAI_CHAT.segments(OPENAI_CHAT.read(json.dumps({"messages": messages}).encode()))
    assert (segment.tool, segment.arguments) == ("sh", "df -h")
