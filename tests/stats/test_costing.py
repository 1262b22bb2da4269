"""What was saved is priced as the provider billed that part of the prompt; it is signed, and unpriced is not free."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom import worker
from headroom.conversation import read_conversation
from headroom.dialects import ANTHROPIC, OPENAI_CHAT
from headroom.model import Policy
from headroom.outcome import Outcome, Usage
from headroom.proxy.taken import taken
from headroom.settings import Settings
from headroom.stats.costing import cost_of, taken_out
from headroom.stats.prices import Prompt, bundled, nano
from headroom.stats.rows import COLUMNS, row_of
from headroom.stats.usual import Usual
from headroom.store import open_store
from tests.proxy.faces import anthropic_turns, asking, openai_turns

MODEL = "claude-sonnet-4-5"


def outcome(**more: object) -> Outcome:
    given: dict[str, object] = {
        "request_id": "r1",
        "timestamp": 1_760_000_000.25,
        "dialect": "anthropic",
        "provider": "anthropic",
        "model": MODEL,
        "mode": "reversible",
        "status": 200,
        "stream": False,
        "tokens_before": 3000,
        "tokens_after": 2000,
        "sent": True,
    }
    return Outcome(**(given | more))  # type: ignore[arg-type]


def test_what_was_cut_from_the_cached_prefix_saves_a_cache_read() -> None:
    usage = Usage(1000, 100, 8000, 1000)
    for share, price in ((0.1, 0.3), (0.85, 3.75), (0.95, 3.0)):
        cost = cost_of(outcome(billed=(usage,), usage=usage, taken=((share, 1_000_000 // 10),)), bundled())
        assert cost.saved == nano(price / 10)
        assert cost.cost == nano(0.003 + 0.0015 + 0.0024 + 0.00375)


def test_a_loss_is_one() -> None:
    usage = Usage(1000, 100)
    cost = cost_of(outcome(billed=(usage,), taken=((0.5, -200),)), bundled())
    assert cost.saved == -nano(0.0006)


def test_reading_back_costs_a_request() -> None:
    """Cost is of both requests; without us there would have been the first prompt, whole, and the last answer."""
    first, second = Usage(1000, 50), Usage(1500, 100)
    cost = cost_of(outcome(billed=(first, second), taken=((0.5, 400),)), bundled())
    assert cost.cost == nano(0.0075 + 0.00225)
    assert cost.counterfactual == nano(0.0042 + 0.0015)
    assert cost.saved is not None
    assert cost.saved < 0


@pytest.mark.parametrize(
    ("more", "method", "cost"),
    [
        ({"status": 529}, "not_billed", 0),
        ({"status": 401, "sent": False}, "not_billed", 0),
        ({"status": 499, "sent": False}, "not_billed", 0),
        ({"status": 499}, "estimated", nano(0.006)),
        ({"billed": (Usage(),)}, "estimated", nano(0.006)),
        ({"model": "no-such-model", "billed": (Usage(10, 1),)}, "unpriced", None),
    ],
)
def test_how_a_cost_is_known(more: dict[str, object], method: str, cost: int | None) -> None:
    found = cost_of(outcome(**more), bundled())
    assert (found.method, found.cost) == (method, cost)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(-1000, 1000))), st.builds(Prompt, *[st.integers(0, 9999)] * 4))
def test_every_token_taken_out_has_one_price(found: list[tuple[float, int]], prompt: Prompt) -> None:
    assert taken_out(tuple(found), prompt).tokens == sum(tokens for _, tokens in found)


@pytest.mark.parametrize(("dialect", "turns"), [(ANTHROPIC, anthropic_turns), (OPENAI_CHAT, openai_turns)])
def test_places_follow_the_conversation(tmp_path: Path, dialect: object, turns: object) -> None:
    """Texts of earlier turns stand before those of later ones, and tools before all, wherever the body has them."""
    store = open_store(Settings(home=tmp_path))
    shares = []
    for extra in ({}, {"tools": [{"name": "x" * 30_000}]}):
        call = dialect.read(json.dumps(asking(turns(4)) | extra).encode())  # type: ignore[attr-defined, operator]
        talk = read_conversation(dialect, call, Policy(), "s")  # type: ignore[arg-type]
        done = worker.run(talk.job({}, "m"), store)
        found = taken(call, talk.segments, done.compressed, (), ())
        assert [tokens for _, tokens in found] == [result.tokens_saved for result in done.compressed]
        assert [share for share, _ in found] == sorted(share for share, _ in found)
        assert all(0 < share < 1 for share, _ in found)
        shares.append([share for share, _ in found])
    assert all(late > early for early, late in zip(*shares, strict=True))


def test_a_row_has_every_column_and_is_plain_data() -> None:
    usage = Usage(1000, 100, None, 50, 20)
    row = row_of(
        outcome(billed=(usage,), usage=usage, transforms=("router:log:0.40", "router:log:0.50"), tags=(("a", "b"),), reasons=("x", "x")),
        bundled(),
    )
    assert list(row) == list(COLUMNS)
    assert json.loads(json.dumps(row)) == row
    assert row["transforms"] == [{"name": "log", "value": 2}]
    assert row["reasons"] == [{"name": "x", "value": 2}]
    assert (row["cache_read_tokens"], row["cache_write_1h_tokens"]) == (None, 20)
    assert row["saved_nanousd"] == row["counterfactual_nanousd"] - row["cost_nanousd"]
    unpriced = row_of(dataclasses.replace(outcome(), model="no-such-model"), bundled())
    assert (unpriced["cost_method"], unpriced["cost_nanousd"], unpriced["saved_nanousd"]) == ("unpriced", None, None)


def test_what_nobody_billed_is_estimated_by_what_is_usual_for_the_model() -> None:
    """Its prompts were billed half from the cache so far; and what was seen of the answer counts as a quarter of its characters."""
    usual, silent = Usual(), {"billed": (Usage(),), "stream": True, "said": 400, "taken": ((0.5, 1000),)}
    first = cost_of(outcome(**silent), bundled(), usual)
    assert (first.method, first.cost) == ("estimated", nano(2000 * 3e-6 + 100 * 15e-6))
    half = Usage(1200, 10, 1200)
    row_of(outcome(billed=(half,), usage=half), bundled(), usual)
    later = cost_of(outcome(**silent), bundled(), usual)
    assert later.cost == nano(1200 * (3e-6 + 0.3e-6) + 100 * 15e-6)
    assert later.saved == nano(0.5 * 1200 * (3e-6 + 0.3e-6))
    assert cost_of(outcome(**silent, model="claude-haiku-4-5"), bundled(), usual).input == nano(2000 * 1e-6)


def test_estimates_add_up_to_what_was_billed_of_the_same_requests() -> None:
    """Of prompts that were counted and of others, which the provider counts in its own way; and of answers."""
    usual, truth, estimates = Usual(), 0, 0
    for number in range(200):
        counted = number % 2
        size = 1000 + 37 * number
        given = {"tokens_after": size, "tokens_guessed": size // 5 if counted else size, "stream": True}
        told = Usage(size * (3 if counted else 5) // 3, 40 + number % 3)
        real = cost_of(outcome(**given, billed=(told,), usage=told), bundled()).cost or 0
        if number > 2 and number % 5 == 0:
            truth += real
            estimates += cost_of(outcome(**given, billed=(Usage(),), said=6 * (told.output_tokens or 0)), bundled(), usual).cost or 0
        else:
            row_of(outcome(**given, billed=(told,), usage=told, answered=6 * (told.output_tokens or 0)), bundled(), usual)
    assert estimates == pytest.approx(truth, rel=1e-4)


def test_an_answer_that_was_cut_costs_what_was_seen_of_it() -> None:
    usage = Usage(1000, 1)
    assert cost_of(outcome(billed=(usage,), said=400), bundled()).cost == nano(0.003 + 100 * 15e-6)
    assert cost_of(outcome(billed=(Usage(1000, 200),), said=400), bundled()).cost == nano(0.003 + 200 * 15e-6)
