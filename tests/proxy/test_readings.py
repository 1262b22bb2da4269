"""Which earlier body a body is read from."""

from __future__ import annotations

import json
import random
from typing import Any

from headroom.dialects import documents
from headroom.proxy.readings import Readings


def body(messages: list[dict[str, Any]], **beside: Any) -> str:
    return json.dumps({"model": "m", "messages": messages, "stream": True, **beside})


def said(name: str, turns: int, chars: int = 3000) -> list[dict[str, Any]]:
    """A conversation of that many messages of its own."""
    draw = random.Random(name)
    return [{"role": "user", "content": f"so it goes on {draw.randbytes(chars // 2).hex()}"} for _ in range(turns)]


def test_a_conversation_is_read_from_where_it_goes_on() -> None:
    read = Readings().reader("a")
    shared = [read(body(said("x", turns))).shared for turns in range(1, 9)]
    assert shared == list(range(8))
    assert read(body(said("x", 8))).shared == 8


def test_conversations_take_turns() -> None:
    """They begin with the same long instructions, and differ behind them."""
    read = Readings().reader("a")
    head = [{"role": "system", "content": "You are careful. " * 2000}]
    shared: dict[str, list[int]] = {"x": [], "y": [], "z": []}
    for turns in range(1, 9):
        for name, found in shared.items():
            found.append(read(body(head + said(name, turns, 8000))).shared)
    assert all(found[-1] == 8 for found in shared.values()), shared
    assert all(turns[0] <= 1 for turns in shared.values())


def test_cache_marks_may_move() -> None:
    read = Readings().reader("a")
    shared = []
    for turns in range(1, 9):
        messages = said("x", turns)
        for message in messages[-2:]:
            message["content"] = [{"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}]
        shared.append(read(body(messages)).shared)
    assert shared[3:] == [1, 2, 3, 4, 5]


def test_tools_behind_the_messages_are_taken_over() -> None:
    read = Readings().reader("a")
    tools = [{"name": f"tool_{number}", "input_schema": {"type": "object", "properties": {}}} for number in range(50)]
    first, second = (read(body(said("x", turns), tools=tools)) for turns in (2, 3))
    assert second.taken > len(json.dumps(tools)) + 6000
    assert second.root["tools"] == first.root["tools"]
    assert second.text[second.root["tools"].start : second.root["tools"].end] == json.dumps(tools)


def test_nothing_passes_from_one_owner_to_another() -> None:
    readings = Readings()
    text = body(said("x", 3))
    readings.reader("a")(text)
    assert readings.reader("b")(text).shared == 0
    assert readings.reader("a")(text).shared == 3


def test_what_says_a_key_twice_lends_nothing() -> None:
    read = Readings().reader("a")
    text = body(said("x", 3)).replace('"model"', '"model": "n", "model"', 1)
    assert read(text).duplicate_keys
    again = read(text)
    assert again.duplicate_keys
    assert again.shared == 0


def test_memory_is_bounded() -> None:
    readings = Readings(most_bytes=200_000)
    read = readings.reader("a")
    for number in range(50):
        read(body(said(f"talk {number}", 3)))
    assert read(body(said("talk 49", 4))).shared == 3
    assert read(body(said("talk 0", 4))).shared == 0


def test_a_wrong_guess_costs_nothing_but_time() -> None:
    """Samples may agree where texts do not; what is read is right all the same."""
    read = Readings().reader("a")
    messages = said("x", 6)
    read(body(messages))
    messages[0]["content"] = messages[0]["content"].replace("so it goes on", "so it went on", 1)
    found = read(body(messages))
    assert found.shared == 0
    assert found.root == documents.parse(body(messages)).root
