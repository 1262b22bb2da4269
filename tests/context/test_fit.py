"""Cuts: they fit, only add, lose nothing, and are the same for everybody who replays them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from headroom.ccr import marker
from headroom.context.cut import Cut, Run, Smaller, decode, encode, ranges
from headroom.context.fit import TOO_MUCH_PROTECTED, Choice, Fitted, State, next_cut
from headroom.context.references import restored, whole
from headroom.context.rolling_window import OldestFirst
from headroom.context.view import View, apply, fits_view, size, view
from headroom.context.windows import Room
from headroom.model import Compressed, content_hash
from tests.context.agents import agent, answer, call_of, calls, count, seen, user
from tests.rules import broken


class Leaving:
    """A strategy that leaves out what it is told."""

    name = "leaving"

    def __init__(self, *leave: int) -> None:
        self._choice = Choice(leave)

    def __call__(self, state: State, excess: int) -> Choice:
        return self._choice


def cut(dialect: str, messages: Sequence[dict[str, Any]], limit: int, before: Cut | None = None, turns: int = 2) -> Fitted:
    return next_cut(seen(dialect, messages), before or Cut(0), {}, Room(limit, int(0.7 * limit), 0, 0), turns, OldestFirst(), count)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize("seed", range(8))
def test_a_growing_conversation_always_fits_and_its_cuts_only_add(dialect: str, seed: int) -> None:
    talk = agent(dialect, random.Random(seed), 14, lines=15)
    before, cuts, sent = Cut(0), 0, b""
    for end in range(1, len(talk) + 1):
        if talk[end - 1]["role"] == "assistant" or (end < len(talk) and talk[end]["role"] != "assistant"):
            continue
        view, limit = seen(dialect, talk[:end]), 4000
        made = (
            next_cut(view, before, {}, Room(limit, 2800, 0, 0), 2, OldestFirst(), count) if size(view, before, {}, count) > limit else None
        )
        if made:
            assert made.cut is not None, made.reason
            assert made.cut.gone > before.gone
            before, cuts = made.cut, cuts + 1
            for original in made.originals:
                messages = json.loads(original.text)
                assert original.hash == content_hash(original.text)
                assert messages == next(talk[run.start : run.end] for run in before.runs if run.hash == original.hash)
        body = apply(view, before, {})
        forwarded = json.loads(body)["messages"]
        assert size(view, before, {}, count) <= limit
        assert not broken(forwarded, dialect)
        assert set(before.hashes) == set(marker.hashes(body.decode()))
        assert made or body.startswith(sent)
        sent = body.removesuffix(b"]}")
    assert cuts >= 2


def test_the_oldest_leave_first_and_what_is_protected_stays() -> None:
    view = seen("openai", user("q"))

    def chosen(tokens: list[int], kept: set[int], excess: int) -> Sequence[int]:
        return OldestFirst()(State(view, (), tokens, frozenset(kept), Cut(0)), excess).leave

    assert chosen([10, 10, 10, 10], {0}, 15) == [1, 2]
    assert chosen([0, 10, 10], set(), 5) == [1]
    assert chosen([10, 10], {0, 1}, 5) == []
    assert chosen([10, 10], set(), 0) == []


def test_what_is_protected_and_too_large_is_not_cut() -> None:
    made = cut("openai", [*user("old"), *answer("x"), *user("word " * 4000)], 2000)
    assert made == Fitted(None, (), TOO_MUCH_PROTECTED)
    made = cut("anthropic", [*user("a " * 4000)], 2000)
    assert made.reason == TOO_MUCH_PROTECTED


def test_protection_gives_way_before_the_window_does() -> None:
    talk = [*user("The task."), *calls("openai", *[("c", "read", {}, "line\n" * 1500)]), *calls("openai", ("d", "read", {}, "end"))]
    made = cut("openai", talk, 1000, turns=4)
    assert made.cut is not None
    assert [(run.start, run.end) for run in made.cut.runs] == [(1, 3)]


def test_a_run_that_did_not_grow_keeps_its_marker() -> None:
    talk = [*user("q"), *answer("word " * 900), *user("keep"), *answer("k"), *user("r"), *answer("word " * 900), *user("now")]
    view = seen("openai", talk)

    def choose(*leave: int) -> Fitted:
        return next_cut(view, first, {}, Room(10_000, 10_000, 0, 0), 1, Leaving(*leave), count)

    first = Cut(0)
    first = choose(0).cut or first
    second = choose(2).cut
    assert second is not None
    assert second.runs[0] == first.runs[0]
    assert [original.items for original in choose(2).originals] == [2]
    merged = choose(1).cut
    assert merged is not None
    assert [(run.start, run.end) for run in merged.runs] == [(0, 4)]


def test_a_marker_tells_what_left() -> None:
    talk = [*user("Fix the parser"), *calls("openai", ("c", "read", {"path": "src/a.py"}, "x" * 9000)), *answer("Done"), *user("Thanks")]
    made = cut("openai", talk, 800)
    assert made.cut is not None
    (run,) = made.cut.runs
    assert run.marker.startswith(
        '[Headroom: 3 earlier messages are left out here (user: "Fix the parser"; read(src/a.py)); nothing is lost'
    )


def test_cuts_are_written_down_and_read_back() -> None:
    made = cut("openai", agent("openai", random.Random(1), 9, lines=15), 2000).cut
    assert made is not None
    assert decode(encode(made)) == made
    for other in (
        None,
        "",
        "{}",
        "[]",
        "3",
        '{"version": 99}',
        '{"version": 1, "messages": 1, "runs": [{}], "smaller": [], "by": ""}',
    ):
        assert decode(Compressed(other)) is None


def test_a_cut_of_another_conversation_is_none_of_ours() -> None:
    made = cut("openai", agent("openai", random.Random(1), 9, lines=15), 2000).cut
    assert made is not None
    assert not fits_view(seen("openai", user("q")), made)


def test_ranges() -> None:
    assert ranges([3, 1, 2, 7]) == [(1, 4), (7, 8)]
    assert ranges([]) == []


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_reference_to_what_left_gives_way_to_what_it_stands_for(dialect: str) -> None:
    rows = "\n".join(f"row {n}: value {n * n}" for n in range(60))
    state = json.dumps({"ticket": "T" * 80, "notes": ["n"] * 30, "open": True})
    talk = [
        *user("Go."),
        *calls(dialect, ("a", "read", {}, rows), ("b", "state", {}, state)),
        *answer("So."),
        *user("Again?"),
        *calls(dialect, ("c", "read", {}, rows), ("d", "state", {}, state)),
        *calls(dialect, ("e", "read", {}, rows)),
        *user("And?"),
    ]
    references = {
        "c": marker.repeated((1, 60), (1, 60), "read() above", content_hash(rows)),
        "d": marker.revised("state() above", content_hash(state)),
        "e": marker.repeated((1, 60), (1, 60), "read() above", content_hash(rows)),
    }
    forwarded = json.loads(json.dumps(talk))
    for message in forwarded:
        for block in message["content"] if dialect == "anthropic" and isinstance(message["content"], list) else [message]:
            id = block.get("tool_use_id") or block.get("tool_call_id")
            block["content"] = references.get(id, block.get("content"))
            if block["content"] is None:
                del block["content"]
    read = view(call_of(dialect, forwarded), call_of(dialect, talk), (), count)
    assert read is not None
    room = Room(10**6, 10**6, 0, 0)
    nothing = next_cut(read, Cut(0), {}, room, 1, Leaving(2), count).cut
    made = next_cut(read, Cut(0), {}, room, 1, Leaving(1), count)
    assert nothing is not None
    assert nothing.smaller == ()
    assert made.cut is not None
    assert sorted(item.text for item in made.cut.smaller) == sorted((rows, state))  # the last one points at rows, whole again
    assert len(json.loads(apply(read, made.cut, {}))["messages"]) < len(forwarded)
    assert references["e"] in json.dumps(json.loads(apply(read, made.cut, {})))
    assert {original.text for original in made.originals} >= {rows, state}


@pytest.mark.parametrize(("start", "end", "given_way"), [(5, 7, True), (1, 3, False)])
def test_results_are_counted_back_only_while_none_between_them_left(start: int, end: int, given_way: bool) -> None:
    rows = "\n".join(f"row {n}: value {n * n}" for n in range(60))
    read = {"path": "a"}
    talk = [*user("Go."), *calls("openai", ("x", "look", {}, "nothing")), *calls("openai", ("a", "read", read, rows))]
    talk += [*calls("openai", ("b", "read", read, "gone")), *calls("openai", ("c", "read", read, rows))]
    forwarded = json.loads(json.dumps(talk))
    name = "the 2nd result of read() above, counting back from here"
    forwarded[-1]["content"] = marker.repeated((1, 60), (1, 60), name, content_hash(rows))
    read_again = view(call_of("openai", forwarded), call_of("openai", talk), (), count)
    assert read_again is not None
    found = list(restored(read_again, Cut(len(talk), (Run(start, end, "0" * 16, ""),))))
    assert [item.text for item in found] == ([rows] if given_way else [])


ROWS = "\n".join(f"row {n}: value {n * n}" for n in range(60))
FIRST, SECOND = (json.dumps({"ticket": "T" * 80, "notes": ["n"] * 30, "open": still}) for still in (True, False))


def became(talk: list[dict[str, Any]], texts: dict[str, str]) -> View:
    """A conversation in OpenAI's words whose results of these ids compression made into these texts."""
    forwarded = [
        message | ({"content": texts[message["tool_call_id"]]} if message.get("tool_call_id") in texts else {}) for message in talk
    ]
    found = view(call_of("openai", forwarded), call_of("openai", talk), (), count)
    assert found is not None
    return found


def gap(start: int, end: int) -> Cut:
    return Cut(end, (Run(start, end, "0" * 16, ""),))


def given_way(seen: View, cut: Cut) -> list[int]:
    return [item.message for item in restored(seen, cut)]


def test_a_reference_that_comes_after_a_cut_gives_way_and_so_it_stays() -> None:
    read = "read", {"path": "a"}, ROWS
    talk = [*user("Go."), *calls("openai", ("a", *read)), *answer("So."), *user("More."), *answer("More."), *user("Again?")]
    later = [*calls("openai", ("b", *read)), *answer("So."), *user("Again?"), *calls("openai", ("c", *read)), *user("And?")]
    refers = marker.repeated((1, 60), (1, 60), 'read({"path": "a"}) above', content_hash(ROWS))
    told = [became([*talk, *later[:end]], {"b": refers, "c": refers}) for end in (2, 4, 7)]
    under = [whole(seen, gap(1, 3)) for seen in told]
    assert [[(item.message, item.text) for item in cut.smaller] for cut in under] == [[(8, ROWS)]] * 3  # the last points at that one
    sent = [apply(seen, cut, {}).removesuffix(b"]}") for seen, cut in zip(told, under, strict=True)]
    assert sent[1].startswith(sent[0])
    assert sent[2].startswith(sent[1])
    again = next_cut(told[2], under[1], {}, Room(10**6, 10**6, 0, 0), 1, Leaving(), count).cut
    assert again is not None
    assert apply(told[2], again, {}) == apply(told[2], under[2], {})


def test_an_object_is_told_by_how_it_differs_from_one_that_can_be_read() -> None:
    """Another state of it is another object."""
    talk = [*user("Go."), *calls("openai", ("a", "state", {}, FIRST)), *answer("So."), *user("More.")]
    talk += [*calls("openai", ("b", "state", {}, SECOND)), *calls("openai", ("c", "state", {}, FIRST)), *user("And?")]
    revised = {id: marker.revised("the latest result of state() above", content_hash(text)) for id, text in (("b", SECOND), ("c", FIRST))}
    assert given_way(became(talk, revised), gap(1, 3)) == [6, 8]
    talk[2]["content"] = SECOND
    assert given_way(became(talk, {"b": marker.revised("state() above", content_hash(SECOND))}), gap(3, 5)) == []


def test_the_same_lines_elsewhere_are_not_what_a_reference_names() -> None:
    other = f"above\n{ROWS}"
    talk = [*user("Go."), *calls("openai", ("a", "read", {}, ROWS)), *calls("openai", ("b", "look", {}, other))]
    talk += [*answer("So."), *user("And?"), *calls("openai", ("c", "read", {}, ROWS))]
    seen = became(talk, {"c": marker.repeated((1, 60), (1, 60), "read() above", content_hash(ROWS))})
    assert given_way(seen, gap(1, 3)) == [8]
    assert given_way(seen, gap(3, 5)) == []


def test_lines_are_counted_below_an_agents_own_head() -> None:
    head = "Chunk ID: 1\nWall time: 0.1 seconds\nProcess exited with code 0\nOriginal token count: 9\nOutput:\n"
    talk = [*user("Go."), *calls("openai", ("x", "look", {}, "nothing")), *calls("openai", ("a", "read", {}, head + ROWS))]
    talk += calls("openai", ("b", "read", {}, head + ROWS))
    seen = became(talk, {"b": head + marker.repeated((1, 60), (1, 60), "read() above", content_hash(ROWS))})
    assert given_way(seen, gap(1, 3)) == []
    assert given_way(seen, gap(3, 5)) == [6]


def test_a_reference_to_what_became_smaller_gives_way_where_nothing_left() -> None:
    talk = [*user("Go."), *calls("openai", ("a", "read", {}, ROWS)), *calls("openai", ("b", "read", {}, ROWS))]
    seen = became(talk, {"b": marker.repeated((1, 60), (1, 60), "read() above", content_hash(ROWS))})
    assert given_way(seen, Cut(5, (), (Smaller(2, 0, content_hash(ROWS), "row 1: value 1"),))) == [4]
    assert given_way(seen, Cut(5)) == []


def test_a_reference_to_a_call_of_several_lines_is_one() -> None:
    asked = "one\ntwo"
    talk = [*user("Go."), *calls("openai", ("a", "read", {}, ROWS)), *calls("openai", ("b", "read", {}, ROWS))]
    seen = became(talk, {"b": marker.repeated((1, 60), (1, 60), f"read({asked}) above", content_hash(ROWS))})
    assert given_way(seen, gap(1, 3)) == [4]


def test_data_that_a_user_pasted_stands_in_what_the_user_said() -> None:
    talk = [*user("Go."), *answer("Fine."), *user(f"See:\n{ROWS}"), *answer("Seen."), *user("And?"), *answer("I look.")]
    talk += calls("openai", ("b", "read", {}, ROWS))
    seen = became(talk, {"b": marker.repeated((1, 60), (1, 60), "the data above", content_hash(ROWS))})
    assert given_way(seen, gap(0, 2)) == []
    assert given_way(seen, gap(2, 4)) == [7]
