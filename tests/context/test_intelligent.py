"""The intelligent strategy: what matters most stays, also in part; what may not leave becomes smaller when it must."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from headroom.ccr import marker
from headroom.context.cut import Cut
from headroom.context.fit import TOO_MUCH_PROTECTED, Fitted, next_cut
from headroom.context.harder import harder
from headroom.context.intelligent import ByImportance, about_now, factors, said, to_embed
from headroom.context.units import units
from headroom.context.view import View, apply, size
from headroom.context.windows import Room
from headroom.model import Advice, ModelSpec, content_hash
from headroom.scoring import importance
from headroom.scoring.embedding import Embedder
from tests.context.agents import agent, answer, calls, count, seen, text, user
from tests.rules import broken


def strategy(view: View, scores: Sequence[float] | None = None, compress_first: bool = True) -> ByImportance:
    told = said(view, units(view.messages), {})
    if scores is None:
        near = importance.word_similarity(to_embed(told), about_now(view))
        scores = [score.total for score in importance.combined(factors(told, near))]
    return ByImportance(scores, compress_first, told, "\n".join(about_now(view)), count)


def cut(view: View, limit: int, *, scores: Sequence[float] | None = None, compress_first: bool = True, before: Cut | None = None) -> Fitted:
    made = strategy(view, scores, compress_first)
    return next_cut(view, before or Cut(0), {}, Room(limit, int(0.8 * limit), 0, 0), 1, made, count)


def session(dialect: str, lines: int = 60) -> list[dict[str, Any]]:
    draw = random.Random(5)
    talk = user("Fix the build.")
    for number in range(4):
        talk += calls(dialect, (f"c{number}", "read", {"path": f"src/part_{number}.py"}, text(draw, lines)))
    return [*talk, *answer("Fixed."), *user("And now?")]


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_what_does_not_fit_whole_stays_as_far_as_it_fits(dialect: str) -> None:
    view = seen(dialect, session(dialect))
    made = cut(view, int(1.1 * view.total), scores=[0.9, 0.1, 0.4, 0.3, 0.8, 0.9, 1.0]).cut
    assert made is not None
    assert made.runs == ()
    assert {item.message for item in made.smaller} == {2}  # of the call that matters least
    assert int(0.8 * view.total) < size(view, made, {}, count) <= int(0.88 * view.total)
    assert not broken_after(view, made, dialect)


def test_what_matters_more_is_not_cut_for_what_matters_less() -> None:
    view = seen("anthropic", session("anthropic"))
    made = cut(view, int(0.7 * view.total), scores=[0.9, 0.7, 0.1, 0.3, 0.8, 0.9, 1.0]).cut
    assert made is not None
    whole = {2, 8} - made.gone - {item.message for item in made.smaller}
    assert whole == {2, 8}
    assert made.gone >= {3, 4}


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_the_least_important_leave_when_that_is_not_enough(dialect: str) -> None:
    view = seen(dialect, session(dialect))
    made = cut(view, int(0.25 * view.total), scores=[0.9, 0.7, 0.1, 0.3, 0.8, 0.9, 1.0]).cut
    assert made is not None
    assert 3 in made.gone
    assert 7 not in made.gone
    assert {item.message for item in made.smaller} & made.gone == set()
    assert not broken_after(view, made, dialect)


def test_without_compress_first_units_leave_whole() -> None:
    view = seen("openai", session("openai"))
    made = cut(view, int(0.8 * view.total), scores=[0.9, 0.1, 0.4, 0.3, 0.8, 0.9, 1.0], compress_first=False).cut
    assert made is not None
    assert made.smaller == ()
    assert made.gone == {1, 2, 5, 6}


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_a_tools_text_larger_than_the_window_becomes_small_enough(dialect: str) -> None:
    huge = "\n".join(f"line {n}: nothing" for n in range(4000)) + "\nValueError: the reason\n"
    view = seen(dialect, [*user("Why?"), *calls(dialect, ("c", "run", {}, huge))])
    made = cut(view, 2000)
    assert made.cut is not None
    body = apply(view, made.cut, {}).decode()
    assert size(view, made.cut, {}, count) <= 2000
    assert "ValueError: the reason" in body
    assert content_hash(huge) in marker.hashes(body)
    assert [original.text for original in made.originals] == [huge]


def test_words_larger_than_the_window_go_on_as_they_are() -> None:
    assert cut(seen("anthropic", user("word " * 9000)), 2000).reason == TOO_MUCH_PROTECTED


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize("seed", range(6))
def test_a_growing_conversation_fits_at_every_turn(dialect: str, seed: int) -> None:
    talk = agent(dialect, random.Random(seed), 12, lines=30)
    before, sent = Cut(0), b""
    for end in range(1, len(talk) + 1):
        if end < len(talk) and talk[end]["role"] != "assistant":
            continue
        view, moved = seen(dialect, talk[:end]), False
        if size(view, before, {}, count) > 4000:
            made = cut(view, 4000, before=before)
            assert made.cut is not None, made.reason
            assert made.cut.gone >= before.gone
            before, moved = made.cut, True
        body = apply(view, before, {})
        assert size(view, before, {}, count) <= 4000
        assert not broken_after(view, before, dialect)
        assert set(before.hashes) <= set(marker.hashes(body.decode()))
        assert moved or body.startswith(sent)
        sent = body.removesuffix(b"]}")
    assert before.messages


def test_factors_see_failures_references_and_advice() -> None:
    talk = [
        *user("Find it."),
        *calls("anthropic", ("a", "find", {}, "ORD-4711 here")),
        *calls("anthropic", ("b", "get", {"id": "ORD-4711"}, "x")),
    ]
    talk[4]["content"][0]["is_error"] = True
    view = seen("anthropic", talk)
    told = said(view, units(view.messages), {2: [Advice(asked=5)]})
    found = factors(told, [0.0, 0.0, 0.0])
    assert list(found) == list(importance.WEIGHTS)
    assert found["errors"] == [0.0, 0.0, 1.0]
    assert found["learned"] == [0.0, 0.5, 0.0]
    assert found["references"][1] > found["references"][0] == 0.0


def test_meaning_finds_what_words_do_not(model: str) -> None:
    talk = [
        *user("The cat was fed at noon."),
        *answer("Good."),
        *user("Postgres refuses connections."),
        *answer("Noted."),
        *user("x"),
        *answer("y"),
    ]
    view = seen("openai", [*talk, *user("Why is our database unreachable?")])
    told, now = said(view, units(view.messages), {}), about_now(view)[-1:]
    embed = Embedder(ModelSpec(model, "cpu"))
    cat, database, *_ = importance.similarity(embed(to_embed(told)), embed(now))
    assert database > 2 * cat
    assert importance.word_similarity(to_embed(told), now)[:2] == [0.0, 0.0]


def test_what_a_conversation_is_about_now_holds_the_last_question() -> None:
    talk = [*user("The question"), *calls("openai", *[(f"c{n}", "read", {}, f"r{n}") for n in range(4)])]
    assert about_now(seen("openai", talk)) == ["r1", "r2", "r3", "The question"]


def test_what_matters_most_of_a_text_stays() -> None:
    lines = [f"step {n} is done" for n in range(400)]
    lines[120], lines[250], lines[300] = "ERROR: disk full", "user kept at src/core/user_table.py", "the flux capacitor is charged"
    shown = harder("\n".join(lines), "what about the flux capacitor?", {"src/core/user_table.py"}, 120, "0" * 16, count)
    assert shown is not None
    assert count(shown) <= 140
    for line in (lines[0], lines[120], lines[250], lines[300], lines[-1]):
        assert line in shown
    assert shown.index(lines[120]) < shown.index(lines[250]) < shown.index(lines[300])
    assert "[lines 122-250 left out here]" in shown
    assert f"hash={'0' * 16}" in shown


def test_a_long_line_is_shown_around_what_is_asked() -> None:
    shown = harder("before " * 5000 + "needle_42 found" + " behind" * 5000, "where is needle_42?", set(), 200, "0" * 16, count)
    assert shown is not None
    assert "needle_42 found" in shown


def test_nothing_is_shown_where_there_is_no_room() -> None:
    assert harder("a\n" * 900, "", set(), 20, "0" * 16, count) is None


def broken_after(view: View, made: Cut, dialect: str) -> list[str]:
    return broken(json.loads(apply(view, made, {}))["messages"], dialect)
