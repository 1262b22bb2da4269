"""Gaps: whatever is left out, the API takes what remains, and every other byte stays."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from headroom.context.cut import ranges
from headroom.context.units import units
from headroom.dialects.gaps import Gap, rewrite
from headroom.dialects.outline import outline
from tests.context.agents import agent, answer, call_of, calls, user
from tests.rules import broken


def rewritten(dialect: str, talk: list[dict[str, Any]], *gaps: Gap, **more: Any) -> list[dict[str, Any]]:
    call = call_of(dialect, talk)
    read = outline(call)
    assert read is not None
    body = json.loads(rewrite(call.text, read.messages, gaps, more.get("replaced", {}), more.get("appended", {})))
    return list(body["messages"])


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize("seed", range(40))
def test_any_units_may_leave(dialect: str, seed: int) -> None:
    draw = random.Random(seed)
    talk = agent(dialect, draw, 6, lines=2)
    read = outline(call_of(dialect, talk))
    assert read is not None
    assert not broken(talk, dialect)
    gone = {number for unit in units(read.messages)[:-1] if draw.random() < 0.5 for number in unit.span}
    gaps = [Gap(start, end, f"gap {start}-{end}") for start, end in ranges(gone)]
    left = rewritten(dialect, talk, *gaps)
    assert not broken(left, dialect)
    said = json.dumps(left)
    assert [said.count(f'"{gap.marker}') + said.count(f"\\n\\n{gap.marker}") for gap in gaps] == [1] * len(gaps)
    for number, message in enumerate(read.messages):
        for text in message.texts:
            assert number in gone or text in said or json.dumps(text)[1:-1] in said


def test_where_a_marker_stands() -> None:
    talk = [*user("q0"), *answer("a0"), *user("q1"), *calls("anthropic", ("c", "t", {}, "r")), *answer("a1"), *user("q2")]
    assert rewritten("anthropic", talk, Gap(0, 2, "GAP"))[0] == {"role": "user", "content": [text("GAP"), text("q1")]}
    assert rewritten("anthropic", talk, Gap(1, 2, "GAP"))[1] == {"role": "assistant", "content": "GAP"}
    assert rewritten("anthropic", talk, Gap(2, 3, "GAP"))[2] == {"role": "user", "content": "GAP"}
    assert rewritten("anthropic", talk, Gap(3, 5, "GAP"))[2] == {"role": "user", "content": [text("q1"), text("GAP")]}
    assert rewritten("anthropic", talk, Gap(0, 3, "GAP"))[0] == {"role": "user", "content": "GAP"}
    tools = [*user("q0"), *calls("openai", ("c", "t", {}, "r")), *calls("openai", ("d", "t", {}, "r")), *answer("a"), *user("q1")]
    assert rewritten("openai", tools, Gap(3, 5, "GAP"))[2] == {"role": "tool", "tool_call_id": "c", "content": "r\n\nGAP"}
    assert rewritten("openai", tools, Gap(5, 6, "GAP"))[5] == {"role": "assistant", "content": "GAP"}


def test_texts_are_replaced_and_appended_beside_gaps() -> None:
    for dialect in ("anthropic", "openai"):
        talk = [*user("q"), *calls(dialect, ("c", "t", {}, "long")), *calls(dialect, ("d", "t", {}, "r")), *answer("a"), *user("q1")]
        left = rewritten(
            dialect, talk, Gap(3, 5, "GAP"), replaced={(2, 0): "short", (4, 0): "gone"}, appended={2: "MORE", 6: "END", 3: "x"}
        )
        shown = json.dumps(left)
        assert shown.index("short") < shown.index("MORE") < shown.index("GAP") < shown.index("END")
        assert "gone" not in shown
        assert "long" not in shown
        assert not broken(left, dialect)


def test_empty_and_odd_contents_take_a_marker() -> None:
    empty = [*user("  "), *answer("a"), *user("q"), *answer("b"), *user("z")]
    assert rewritten("anthropic", empty, Gap(1, 2, "GAP"))[1] == {"role": "assistant", "content": "GAP"}
    assert rewritten("openai", [*user("  "), *calls("openai", ("c", "t", {}, "r")), *answer("b"), *user("z")], Gap(1, 3, "GAP"))[0] == {
        "role": "user",
        "content": [text("GAP")],
    }
    none = [{"role": "user", "content": None}, *answer("a"), *answer("b"), *user("z")]
    assert rewritten("openai", none, Gap(1, 2, "GAP"))[1] == {"role": "user", "content": "GAP"}


def test_a_message_of_results_alone_stays_one() -> None:
    two = calls("anthropic", ("c", "t", {}, "r1"), ("d", "t", {}, "r2"))
    talk = [*user("q"), *two, *calls("anthropic", ("e", "t", {}, "r3")), *answer("a"), *user("z")]
    results = rewritten("anthropic", talk, Gap(3, 5, "GAP"), replaced={(2, 1): "small"})[2]["content"]
    assert results == [two[1]["content"][0], two[1]["content"][1] | {"content": [text("small"), text("GAP")]}]
    two[0]["content"][1]["caller"] = {"type": "code_execution_20250825", "tool_id": "x"}
    assert rewritten("anthropic", talk, Gap(3, 5, "GAP"))[2:4] == [two[1], {"role": "user", "content": "GAP"}]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
