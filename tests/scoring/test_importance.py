"""Importance: each factor alone, in 0..1, and the sum that keeps its parts."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from headroom.model import Advice
from headroom.scoring import importance


def test_weights_are_the_published_ones() -> None:
    assert importance.WEIGHTS == {"recency": 0.2, "similarity": 0.2, "learned": 0.25, "errors": 0.15, "references": 0.15, "density": 0.05}
    assert math.isclose(sum(importance.WEIGHTS.values()), 1.0)


def test_recency_falls_with_the_distance_from_the_end() -> None:
    assert importance.recency(3) == [math.exp(-0.2), math.exp(-0.1), 1.0]
    assert importance.recency(0) == []


def test_similarity_is_the_best_cosine_with_a_last_message() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    last = np.array([[1, 0], [0.8, 0.6]], np.float32)
    assert importance.similarity(vectors, last) == pytest.approx([1.0, 0.6, 0.0, 0.96])


def test_words_stand_in_for_vectors() -> None:
    near, half, far = importance.word_similarity(["the parser drops tokens", "a parser", "weather"], ["Why does the parser drop tokens?"])
    assert near == 1.0 > half > far == 0.0
    assert importance.word_similarity(["x"], [""]) == [0.0]


def test_what_was_asked_for_again_is_worth_more() -> None:
    assert importance.learned([[Advice(asked=7)], [Advice(whole=True)], [], [Advice(), Advice(asked=2)]]) == [0.7, 1.0, 0.0, 0.2]


@pytest.mark.parametrize(
    ("text", "failed", "value"),
    [
        ("12 passed in 3 s", False, 0.0),
        ("12 passed in 3 s", True, 1.0),
        ("Traceback (most recent call last):\n  File x", False, 1.0),
        ("ValueError: no such key", False, 1.0),
        ("FAILED tests/test_a.py::test_b", False, 1.0),
        ("the request timed out after 3 s", False, 0.5),
        ("HTTP/1.1 503 Service Unavailable", False, 0.5),
        ("process ended, exit code: 2", False, 0.5),
        ("exit code: 0", False, 0.0),
        ("terrorist errands", False, 0.0),
        ("", False, 0.0),
    ],
)
def test_errors(text: str, failed: bool, value: float) -> None:
    assert importance.errors([text], [failed]) == [value]


def test_a_name_that_is_used_later_counts_and_a_rare_one_more() -> None:
    texts = ["id 4711-ab and src/a.py", "src/a.py again", "nothing", "open src/a.py with 4711-ab"]
    used = ["", "", "", "open src/a.py with 4711-ab"]
    both, common, none, last = importance.references(texts, used)
    assert both > common > none == last == 0.0
    assert both < 1.0


def test_what_a_tool_printed_uses_nothing() -> None:
    assert importance.references(["src/a.py", "a listing: src/a.py"], ["", ""]) == [0.0, 0.0]


def test_a_use_before_is_no_reference() -> None:
    assert importance.references(["open src/a.py", "src/a.py: 3 lines"], ["open src/a.py", ""]) == [0.0, 0.0]


def test_names_are_what_no_dictionary_holds() -> None:
    text = "See src/app/main.py, user_id, getUserName, ORD-4711, 2024, b1a9f3c2, https://a.example/x and the words around them."
    assert importance.names(text) == {
        "src/app/main.py",
        "user_id",
        "getUserName",
        "ORD-4711",
        "2024",
        "b1a9f3c2",
        "https://a.example/x",
    }
    assert importance.names("") == set()


def test_what_colons_join_is_named_by_its_parts_too() -> None:
    unquoted = "{reservation_id:M05KNL,flights:[{flight_number:HAT227}],payment_id:gift_card_8887175}"
    assert {"M05KNL", "HAT227", "gift_card_8887175"} <= importance.names(unquoted)
    assert {"src/orders.py", "src/orders.py:12"} <= importance.names("see src/orders.py:12 for it")
    used = ["", "I found your reservation M05KNL with flight HAT227."]
    assert importance.references([unquoted, used[1]], used)[0] > 0.4


def test_density_is_the_share_of_new_words() -> None:
    assert importance.density(["a b c d", "a a a a", "", "--- ---"]) == [1.0, 0.25, 0.0, 0.0]


def test_a_score_keeps_its_parts_and_shares_the_weight_of_what_is_left_out() -> None:
    (score,) = importance.combined({"recency": [0.5], "errors": [1.0]})
    assert [(part.factor, part.value) for part in score.parts] == [("recency", 0.5), ("errors", 1.0)]
    assert sum(part.weight for part in score.parts) == pytest.approx(1.0)
    assert score.total == pytest.approx((0.5 * 0.20 + 1.0 * 0.15) / 0.35)
    assert importance.combined({}) == []


def test_every_factor_stays_between_0_and_1() -> None:
    draw = random.Random(3)
    texts = ["".join(draw.choice("ab_/.-0123 \n\ud800\u4e2dErrorX") for _ in range(draw.randrange(400))) for _ in range(30)]
    for values in (
        importance.references(texts, texts),
        importance.density(texts),
        importance.errors(texts, [False] * 30),
        importance.word_similarity(texts, texts[-3:]),
        importance.recency(30),
    ):
        assert len(values) == 30
        assert all(0.0 <= value <= 1.0 for value in values)
