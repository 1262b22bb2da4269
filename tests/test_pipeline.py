"""The rules of the pipeline: never larger, always the same, nothing raised, a reason for whatever is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom import pipeline, tokens
from headroom.ccr import marker
from headroom.model import Policy, Segment, content_hash
from tests.proxy.faces import rows

COUNTER = tokens.counter()
LOG = (
    "".join(f"2024-05-01T10:00:{n % 60:02d} INFO worker {n % 7} polled the queue, nothing to do\n" for n in range(300))
    + "ERROR disk full\n"
)
_LINES = st.sampled_from(
    ["INFO polled", "ERROR code 17", "def f(x):", "    return x", "<p>", "| a | b |", "a.py:3:x = 1", "", '{"a": 1}', "@@ -1 +1 @@"]
)
_TEXTS = (
    st.text(max_size=300)
    | st.lists(_LINES | st.text(max_size=20), max_size=80).map("\n".join)
    | st.lists(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=5), max_size=3), max_size=40).map(json.dumps)
)


def segment(text: str, **more: str) -> Segment:
    return Segment(text, (0, 0), **more)  # type: ignore[arg-type]


@settings(max_examples=150)
@given(_TEXTS, st.sampled_from(["reversible", "lossless"]), st.text(max_size=20))
def test_a_result_is_smaller_or_nothing(text: str, fidelity: str, question: str) -> None:
    policy = Policy(fidelity, min_tokens=1)  # type: ignore[arg-type]
    asked = [segment(text, question=question)]
    (result,) = pipeline.compress(asked, policy, COUNTER)
    assert result.text is not None or result.reason
    if result.text is not None:
        assert result.reason == ""
        assert result.tokens_after == COUNTER.count(result.text) < result.tokens_before == COUNTER.count(text)
        assert set(marker.hashes(result.text)) >= {content_hash(text)}
        assert 0 <= result.items_kept <= result.items
        assert fidelity == "reversible" or result.items_kept == result.items
    (again,) = pipeline.compress(asked, policy, COUNTER)
    assert again.text == result.text


@pytest.mark.parametrize(
    ("text", "policy", "protected", "reason"),
    [
        (rows(1), Policy("off"), "", "fidelity_off"),
        (rows(1), Policy(), "error_result", "error_result"),
        ("[1, 2]", Policy(), "", "too_small"),
        (rows(1), Policy(min_tokens=len(rows(1)) // 2), "", "too_small"),
    ],
)
def test_what_is_kept_has_a_reason(text: str, policy: Policy, protected: str, reason: str) -> None:
    (result,) = pipeline.compress([segment(text, protected=protected)], policy, COUNTER)
    assert (result.text, result.reason) == (None, reason)


def test_a_scorer_that_fails_costs_its_segment_only() -> None:
    def score(query: str, units: Sequence[str]) -> Sequence[float]:
        if "fail" in query:
            raise RuntimeError("no scores")
        return [0.0] * len(units)

    first, second = pipeline.compress([segment(LOG, question="fail"), segment(LOG, question="fine")], Policy(), COUNTER, score)
    assert (first.text, first.reason) == (None, "failed:log")
    assert second.text is not None
    assert second.transform == "log"


def test_every_segment_stands_for_itself() -> None:
    texts = [rows(1), LOG, "short", rows(2)]
    together = pipeline.compress([segment(text) for text in texts], Policy(), COUNTER)
    alone = [pipeline.compress([segment(text)], Policy(), COUNTER)[0] for text in texts]
    assert [result.text for result in together] == [result.text for result in alone]
    assert [result.text is None for result in together] == [False, False, True, False]


def test_what_a_text_is_compared_with_is_its_own_turn() -> None:
    asked = segment(LOG, question="q", arguments="a", intent="i")
    assert pipeline.query_of(asked) == "q\na\ni"
    assert pipeline.query_of(segment(LOG)) == ""
