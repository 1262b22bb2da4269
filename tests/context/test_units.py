"""Units: each message in exactly one, calls never without their results."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headroom.context.units import Unit, protections, units
from headroom.dialects.outline import Message, outline
from tests.context.agents import agent, answer, call_of, calls, seen, user


def read(dialect: str, messages: list[dict[str, Any]]) -> tuple[Message, ...]:
    found = outline(call_of(dialect, messages))
    assert found is not None
    return found.messages


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_call_stands_with_all_its_results(dialect: str) -> None:
    several = calls(dialect, ("a", "read", {}, "1"), ("b", "read", {}, "2"))
    talk = [*user("Why?"), *several, *answer("So."), *user("And?"), *answer("Thus."), *user("Ah.")]
    size = len(several)
    found = units(read(dialect, talk))
    assert found == [Unit(0, 1), Unit(1, 1 + size), Unit(1 + size, 2 + size), Unit(2 + size, 4 + size), Unit(4 + size, 5 + size)]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize("seed", range(5))
def test_every_message_is_in_one_unit(dialect: str, seed: int) -> None:
    messages = read(dialect, agent(dialect, random.Random(seed), 8, lines=2))
    found = units(messages)
    assert [number for unit in found for number in unit.span] == list(range(len(messages)))
    for unit in found:
        made = {call.id for number in unit.span for call in messages[number].calls}
        assert made == {id for number in unit.span for id in messages[number].answers}


def test_results_that_come_late_keep_their_call_with_what_stands_between() -> None:
    asked, result = calls("openai", ("a", "read", {}, "1"))
    talk = [asked, *user("Wait."), result, *user("Go on.")]
    assert units(read("openai", talk)) == [Unit(0, 3), Unit(3, 4)]


def test_an_id_used_twice_belongs_to_the_call_before_the_answer() -> None:
    talk = [*calls("openai", ("a", "read", {}, "1")), *calls("openai", ("a", "read", {}, "2"))]
    assert units(read("openai", talk)) == [Unit(0, 2), Unit(2, 4)]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_odd_conversations_have_units_too(dialect: str) -> None:
    asked, result = calls(dialect, ("a", "read", {}, "1"))
    for talk in ([asked], [result, *user("?")], [*answer("x"), *answer("y")], [*user("a"), *user("a")], [*user(""), *answer("")]):
        messages = read(dialect, talk)
        assert [number for unit in units(messages) for number in unit.span] == list(range(len(messages)))


def test_protection_narrows_turn_by_turn() -> None:
    talk = [{"role": "system", "content": "s"}]
    for turn in range(3):
        talk += [*user(f"q{turn}"), *calls("openai", (f"c{turn}", "read", {}, "r"))]
    messages = read("openai", talk)
    found = units(messages)  # system, then a question and a call for each turn
    assert [choice.kept for choice in protections(messages, found, 2)] == [
        frozenset({0, 3, 4, 5, 6}),
        frozenset({0, 5, 6}),
        frozenset({0, 5, 6}),
    ]


def test_words_of_a_tool_are_no_turn_of_a_user() -> None:
    talk = [*user("q"), *calls("anthropic", ("c", "read", {}, "r")), *calls("anthropic", ("d", "read", {}, "r"))]
    messages = read("anthropic", talk)
    assert protections(messages, units(messages), 4)[0].turns == 1


def test_what_came_from_one_message_leaves_as_one() -> None:
    talk = [*user("q"), *calls("anthropic", ("a", "headroom_retrieve", {}, "r")), *answer("So."), *user("z")]
    assert units(read("anthropic", talk), [0, 1, 1, 1, 2]) == [Unit(0, 1), Unit(1, 4), Unit(4, 5)]
    put_into = [*calls("openai", ("a", "read", {}, "1"), ("b", "headroom_retrieve", {}, "2")), *user("z")]
    assert units(read("openai", put_into), [0, 0, 1, 2]) == [Unit(0, 3), Unit(3, 4)]


def test_a_program_of_the_provider_ends_behind_the_calls_it_made() -> None:
    """Its calls are answered by the user, and its own result stands in the assistant's next message."""
    program = {"type": "server_tool_use", "id": "srv", "name": "code_execution", "input": {"code": "rows()"}}
    call = {"type": "tool_use", "id": "t", "name": "rows", "input": {}, "caller": {"type": "code_execution_20250825", "tool_id": "srv"}}
    done = {"type": "code_execution_tool_result", "tool_use_id": "srv", "content": {"type": "code_execution_result", "stdout": "3"}}
    talk = [
        *user("Count them."),
        {"role": "assistant", "content": [program, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "many rows"}]},
        {"role": "assistant", "content": [done, {"type": "text", "text": "Three."}]},
        *user("Thanks."),
    ]
    read = seen("anthropic", talk)
    assert [(unit.start, unit.end) for unit in units(read.messages)] == [(0, 1), (1, 4), (4, 5)]
    assert read.messages[2].slots == ()  # a program reads it, so it is not made smaller
    assert read.messages[2].tail is None
