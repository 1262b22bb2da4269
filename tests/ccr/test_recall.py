"""Excerpts of what was left out, found by a later turn's words."""

from __future__ import annotations

import json
from collections.abc import Sequence

from headroom.ccr.messages import parts
from headroom.ccr.recall import Source, Unit, Units, recall
from headroom.tokens import Estimate

LINES = [f"2026-01-01 00:{n // 60:02d}:{n % 60:02d} INFO request {n} served by host-{n % 7}" for n in range(600)]
LINES[400] = "2026-01-01 00:06:40 WARN session qx-81723 expired while uploading the archive"
VISIBLE = "\n".join([*LINES[:3], *LINES[-3:]])
COUNTER = Estimate()


def source(lines: Sequence[str] = LINES, visible: str = VISIBLE, left_out: int = 12_000) -> Source:
    return Source("0" * 16, Units(Unit(f"line {n}", line) for n, line in enumerate(lines, 1)), visible, left_out)


def ask(query: str, *shown: str, spoken: bool = True, sources: Sequence[Source] = ()) -> str:
    return recall(query, sources or [source()], shown, COUNTER, spoken=spoken)


def test_a_named_line_comes_back_verbatim_with_its_place_and_hash() -> None:
    block = ask("What happened to session qx-81723? Quote the line.")
    assert f"line 401: {LINES[400]}" in block
    assert "hash=" + "0" * 16 in block


def test_plain_words_find_the_line_that_holds_most_of_them() -> None:
    assert LINES[400] in ask("why did the archive upload expire during the session")


def test_nothing_related_recalls_nothing() -> None:
    assert ask("Thank you, that will do!") == ""
    assert ask("") == ""


def test_what_is_visible_or_was_recalled_is_not_repeated() -> None:
    block = ask("qx-81723")
    assert LINES[400] not in ask("qx-81723", block)
    assert ask("request 1 served by host-1", sources=[source(LINES[:3], "\n".join(LINES))]) == ""


def test_a_tool_recalls_only_what_its_arguments_name() -> None:
    assert LINES[400] in ask('{"session": "qx-81723"}', spoken=False)
    assert ask('{"query": "archive upload expire session"}', spoken=False) == ""


def test_blocks_together_stay_below_a_part_of_what_was_left_out() -> None:
    small = source(left_out=900)
    shown: list[str] = []
    for n in range(40):
        block = recall(f"host-{n % 7} request {n + 10}", [small], shown, COUNTER, spoken=True)
        shown += [block] if block else []
    assert sum(map(COUNTER.count, shown)) <= 0.5 * 900


def test_a_record_too_long_to_show_is_shown_around_what_is_asked() -> None:
    record = (
        '{"id": "HAT142", ' + ", ".join(f'"2024-05-{n:02d}": {{"departed": "2024-05-{n:02d}T18:{n:02d}:00"}}' for n in range(1, 29)) + "}"
    )
    records = Source("1" * 16, Units(Unit(f"item {n}", record.replace("HAT142", f"HAT{n + 100}")) for n in range(1, 60)), "", 5000)
    block = recall("When did `dates.2024-05-17.departed` happen for HAT142?", [records], (), COUNTER, spoken=True)
    assert "item 42: " in block
    assert "2024-05-17T18:17:00" in block


def test_a_path_into_a_list_finds_its_item() -> None:
    records = Source("1" * 16, Units(Unit(f'item {n} of "tree"', f"blob number {n} ......") for n in range(1, 60)), "", 5000)
    assert "blob number 6 " in recall("what is tree[5]?", [records], (), COUNTER, spoken=True)


def conversation(*calls: tuple[str, dict[str, object], str]) -> Source:
    """Calls and their results that left a conversation."""
    said: list[dict[str, object]] = []
    for number, (tool, arguments, result) in enumerate(calls):
        said.append({"role": "assistant", "content": [{"type": "tool_use", "id": f"c{number}", "name": tool, "input": arguments}]})
        said.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"c{number}", "content": result}]})
    return Source("1" * 16, Units(parts(json.dumps(said))), "", 12_000)


def test_of_many_alike_the_result_of_the_call_that_is_named_comes_back() -> None:
    people = [f"mia_{name}_{n}" for n, name in enumerate(("li", "rossi", "khan", "silva", "moore"), 4100)]
    asked = [
        (tool, {"user_id": person, "ticket": f"T{tool}"}, json.dumps({"name": "Mia", "address": {"zip": f"{n}{len(tool)}46"}, "open": 1}))
        for n, person in enumerate(people, 10)
        for tool in ("get_user", "get_address_book")
    ]
    block = ask('What was address.zip in the result of get_user({"user_id": "mia_khan_4102"})?', sources=[conversation(*asked * 4)])
    assert '"zip": "12846"' in block
    assert block.index('"zip": "12846"') < block.find('"zip": "10846"') or '"zip": "10846"' not in block


def test_arguments_that_the_question_repeats_are_not_told_again() -> None:
    path = "packages/coding-agent/src/main-new.ts"
    asked = [("read", {"path": path, "offset": n}, f"import {{ thing_{n}, getModels_{n} }} from './models-{n}.js'") for n in range(40)]
    block = ask(f"Which file did line getModels_7 of {path} import from?", sources=[conversation(*asked)])
    assert "from './models-7.js'" in block
    assert f'"path": "{path}"' not in block


def test_calls_of_every_api_are_known_by_their_results() -> None:
    chat = [
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": '{"at":"moon"}'}}]},
        {"role": "tool", "tool_call_id": "a", "content": "craters"},
    ]
    responses = [
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "look", "arguments": '{"at":"moon"}'},
        {"type": "function_call_output", "call_id": "a", "output": "craters"},
    ]
    for said in (chat, responses):
        found = parts(json.dumps(said))
        assert [(unit.text, unit.about, unit.of_call) for unit in found] == [
            ('"at":"moon"', "", True),
            ("craters", 'look({"at":"moon"})', False),
        ]
