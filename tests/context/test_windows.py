"""Windows of models: from data, from the settings, or a default with a reason."""

from __future__ import annotations

import pytest

from headroom.context.windows import UNKNOWN_MODEL, Window, budget, room, window


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-sonnet-4-5-20250929", 200_000),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", 200_000),
        ("anthropic/claude-sonnet-4", 200_000),
        ("gpt-4o", 128_000),
        ("openai/gpt-4o", 128_000),
        ("ft:gpt-4o:acme::abc", 128_000),
        ("gpt-4", 8192),
    ],
)
def test_known_models(model: str, tokens: int) -> None:
    assert window(model, (), 1000) == Window(tokens)


def test_a_model_nobody_knows_has_the_default_and_a_reason() -> None:
    assert window("house-model-7", (), 64_000) == Window(64_000, UNKNOWN_MODEL)
    assert window("", (), 64_000) == Window(64_000, UNKNOWN_MODEL)


def test_the_first_pattern_that_matches_wins() -> None:
    overrides = (("gpt-4o", 9000), ("*", 7000))
    assert window("gpt-4o", overrides, 1000) == Window(9000)
    assert window("house-model-7", overrides, 1000) == Window(7000)


def test_room_leaves_place_for_the_answer_and_a_reserve() -> None:
    found = room("gpt-4o", Window(100_000), 20_000, 4096, 0.25)
    assert found.limit == 80_000
    assert found.trigger == 78_500
    assert found.target == 58_875
    assert room("gpt-4o", Window(100_000), None, 4096, 0.25).limit == 100_000 - 4096
    assert room("gpt-4", Window(8000), None, 4096, 0.25).limit == 7000  # no more than an eighth, unless it is asked for
    assert room("gpt-4", Window(8000), 64_000, 4096, 0.25).limit == 4000  # no more than half
    assert room("claude-x", Window(115_000), 0, 4096, 0.25).limit == 100_000  # counted with a vocabulary that is not its own


@pytest.mark.parametrize("answer", [None, 1, 4096, 50_000, 1_000_000])
def test_no_request_cuts_below_what_is_looked_up(answer: int | None) -> None:
    for tokens in (1000, 8000, 200_000):
        found = room("claude-x", Window(tokens), answer, 4096, 0.2)
        assert found.least <= found.trigger
        assert 0 < found.target <= found.trigger <= found.limit < tokens


def test_a_budget_is_kept_to_the_token() -> None:
    assert (budget(500).limit, budget(500).trigger, budget(500).target) == (500, 500, 500)
