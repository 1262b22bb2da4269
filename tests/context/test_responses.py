"""Conversations of OpenAI Responses: items that belong together leave together, and what remains is taken by the API."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from headroom.ccr import marker
from headroom.context.cut import Cut, ranges
from headroom.context.fit import next_cut
from headroom.context.intelligent import ByImportance, about_now, said
from headroom.context.rolling_window import OldestFirst
from headroom.context.units import units
from headroom.context.view import View, apply, size, view
from headroom.context.windows import Room
from headroom.dialects import OPENAI_RESPONSES
from headroom.dialects.gaps import Gap, rewrite
from headroom.dialects.outline import chain, outline
from headroom.model import Call
from headroom.scoring import importance
from tests.context.agents import count, text
from tests.rules import broken

Items = list[dict[str, Any]]


def user(words: str, *, blocks: bool = False) -> Items:
    return [{"role": "user", "content": [{"type": "input_text", "text": words}] if blocks else words}]


def answer(words: str) -> Items:
    return [{"type": "message", "id": "msg", "role": "assistant", "content": [{"type": "output_text", "text": words, "annotations": []}]}]


def reasoning(id: str) -> Items:
    return [{"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAAA"}]


def call(id: str, arguments: str = "{}", **more: Any) -> Items:
    return [{"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": "read", "arguments": arguments, **more}]


def result(id: str, output: Any) -> Items:
    return [{"type": "function_call_output", "call_id": id, "output": output}]


def session(draw: random.Random, turns: int, lines: int = 30) -> Items:
    """As Codex sends it: reasoning before calls, several calls at once, results as strings and as lists."""
    items: Items = [{"role": "developer", "content": "Be short."}]
    for turn in range(turns):
        items += user(f"Question {turn} about module_{draw.randrange(50)}.py?", blocks=draw.random() < 0.5)
        for step in range(draw.choice((0, 1, 2))):
            ids = [f"call_{turn}_{step}_{n}" for n in range(draw.choice((1, 2)))]
            thought = f"rs_{turn}_{step}"
            items += reasoning(thought)
            for n, id in enumerate(ids):
                items += call(id, json.dumps({"path": f"src/{turn}/{step}/{n}.py"}), **({} if n else {"needs": thought}))
            for id in ids:
                printed = text(draw, lines)
                items += result(id, printed if draw.random() < 0.5 else [{"type": "input_text", "text": printed}])
        items += [*(reasoning(f"rs_{turn}") if draw.random() < 0.5 else []), *answer(f"Answer {turn}.")]
    items.pop()
    return items if items[-1].get("type") != "reasoning" else items[:-1]


def starts_an_answer(item: dict[str, Any]) -> bool:
    return item.get("role") == "assistant" or item.get("type") == "reasoning"


def call_of(items: Any, **more: Any) -> Call:
    return OPENAI_RESPONSES.read(json.dumps({"model": "gpt-5", "input": items, **more}).encode())


def seen(items: Any, **more: Any) -> View:
    found = view(call_of(items, **more), call_of(items, **more), (), count)
    assert found is not None
    return found


def test_an_item_knows_its_calls_results_and_words() -> None:
    read = outline(call_of([*user("Hi"), *reasoning("r"), *call("a", '{"q":1}'), *result("a", "found")], instructions="Be short."))
    assert read is not None
    words, thought, asked, told = read.messages
    assert (words.spoken, words.side, words.texts) == (True, "user", ("Hi",))
    assert (thought.leads, thought.side, thought.texts) == (True, "assistant", ("Hm.",))
    assert asked.calls == (("a", "read", '{"q":1}'),)
    assert (told.answers, told.slots, told.side, told.spoken) == (("a",), ("found",), "user", False)
    assert (read.beside, read.partial) == (("Be short.",), False)


@pytest.mark.parametrize("key", ["previous_response_id", "conversation"])
def test_messages_that_the_provider_keeps_are_not_seen(key: str) -> None:
    read = outline(call_of(user("And?"), **{key: "x_1"}))
    assert read is not None
    assert read.partial


def test_reasoning_calls_and_results_are_one_unit() -> None:
    items = [
        *user("q"),
        *reasoning("r"),
        *call("a"),
        *call("b"),
        *result("a", "1"),
        *result("b", "2"),
        *reasoning("s"),
        *answer("x"),
        *user("q"),
    ]
    read = outline(call_of(items))
    assert read is not None
    assert [(unit.start, unit.end) for unit in units(read.messages)] == [(0, 1), (1, 6), (6, 8), (8, 9)]


def test_what_a_program_reads_is_not_made_smaller() -> None:
    program = {"caller": {"type": "program", "caller_id": "p"}}
    read = outline(call_of([*user("q"), *call("a", **program), *result("a", "rows"), *call("b"), *result("b", "text")]))
    assert read is not None
    assert [message.slots for message in read.messages] == [(), (), (), (), ("text",)]
    assert read.messages[2].tail is None


@pytest.mark.parametrize("seed", range(40))
def test_any_units_may_leave(seed: int) -> None:
    draw = random.Random(seed)
    items = session(draw, 6, lines=2)
    assert not broken(items, "openai_responses")
    body = call_of(items)
    read = outline(body)
    assert read is not None
    gone = {n for unit in units(read.messages)[:-1] if draw.random() < 0.5 for n in unit.span}
    gaps = [Gap(start, end, f"gap {start}-{end}") for start, end in ranges(gone)]
    left = json.loads(rewrite(body.text, read.messages, gaps, {}, {}))["input"]
    assert not broken(left, "openai_responses")
    told = json.dumps(left)
    assert [told.count(f'"{gap.marker}') + told.count(f"\\n\\n{gap.marker}") for gap in gaps] == [1] * len(gaps)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("intelligent", [True, False])
def test_a_growing_conversation_fits_and_its_prefix_moves_at_cuts_only(seed: int, intelligent: bool) -> None:
    items = session(random.Random(seed), 10)
    before, sent = Cut(0), b""
    for end in range(1, len(items) + 1):
        if end < len(items) and (items[end - 1].get("type") == "reasoning" or not starts_an_answer(items[end])):
            continue
        now, moved = seen(items[:end]), False
        if size(now, before, {}, count) > 4000:
            told = said(now, units(now.messages, now.sources), {})
            by = ByImportance(importance.recency(len(told)), True, told, "\n".join(about_now(now)), count) if intelligent else OldestFirst()
            made = next_cut(now, before, {}, Room(4000, 3200, 0, 0), 1, by, count)
            assert made.cut is not None, made.reason
            before, moved = made.cut, True
            for original in made.originals:
                if original.tool == "conversation":
                    part = json.loads(original.text)
                    assert any(items[at : at + len(part)] == part for at in range(len(items)))
        body = apply(now, before, {})
        assert size(now, before, {}, count) <= 4000
        assert not broken(json.loads(body)["input"], "openai_responses")
        assert set(before.hashes) <= set(marker.hashes(body.decode()))
        assert moved or body.startswith(sent)
        sent = body.removesuffix(b"]}")
    assert before.messages


def test_an_input_that_is_one_text_is_one_message() -> None:
    one = call_of("Hello")
    read = outline(one)
    assert read is not None
    assert [message.texts for message in read.messages] == [("Hello",)]
    assert len(chain(one, "salt")) == 1


def test_items_of_any_shape_are_read_as_far_as_they_can_be() -> None:
    odd: list[Any] = [
        {"type": "item_reference", "id": "x"},
        {"type": "function_call"},
        {"type": "function_call_output", "output": [{"type": "input_image"}, 3, None]},
        {"type": "shell_call_output", "call_id": "s", "output": [{"stdout": "a", "stderr": "b"}]},
        {"type": "computer_call", "call_id": "c"},
        {"role": "user"},
        {"type": 7},
        {"type": "reasoning"},
    ]
    body = call_of(odd)
    read = outline(body)
    assert read is not None
    assert len(read.messages) == len(odd) == len(chain(body, ""))
    assert sum(unit.end - unit.start for unit in units(read.messages)) == len(odd)
