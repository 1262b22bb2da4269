"""Repeated phrases under names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors import fold_phrases

_PHRASE = "https://shop.example/api/v2/customers/open-orders/by-region"

_WORD = st.sampled_from(
    ["a", "b ", "x=1, ", "\n", "\t", "\r\n", "\u00a7", "\u00a70", "=", "日本", _PHRASE, _PHRASE[:40], _PHRASE + "/", "_" * 30]
)


@given(st.lists(_WORD, max_size=60).map("".join))
def test_everything_reads_back(text: str) -> None:
    folded = fold_phrases.encode("head\n" + text)
    assert folded is None or fold_phrases.decode(folded) == "head\n" + text


@given(st.text(max_size=40), st.text(max_size=40))
def test_odd_texts_around_a_phrase_read_back(before: str, behind: str) -> None:
    text = "head\n" + "\n".join(f"{before}{_PHRASE}{behind}" for _ in range(9))
    folded = fold_phrases.encode(text)
    assert folded is None or fold_phrases.decode(folded) == text


def test_a_phrase_stands_once() -> None:
    lines = [f"{name} <- {_PHRASE}?{name}" for name in ("north", "south", "east", "west")]
    folded = fold_phrases.encode("\n".join(["head", *lines]))
    assert folded is not None
    head, rule, entry, *body = folded.split("\n")
    assert head == "head"
    assert rule == "[\u00a700-\u00a700 stand for the phrases in the next 1 lines]"
    assert _PHRASE in entry
    assert folded.count(_PHRASE) == 1
    assert body[0] == "north \u00a700north"
    assert fold_phrases.named(folded)


def test_short_phrases_and_rare_ones_stay() -> None:
    assert fold_phrases.encode("\n".join(["head", *["a short phrase 1"] * 3])) is None
    assert fold_phrases.encode("\n".join(["head", _PHRASE, _PHRASE])) is None


def test_a_name_is_a_sign_that_the_text_does_not_have() -> None:
    folded = fold_phrases.encode("\n".join(["head \u00a7", *[f"{at} {_PHRASE}" for at in range(9)]]))
    assert folded is not None
    assert "\u00a70" not in folded
    assert fold_phrases.encode("\n".join(["head \u00a7\u00a4\u00b6\u2020\u2021\u00a6", *[_PHRASE] * 9])) is None


def test_a_text_without_names_decodes_to_itself() -> None:
    for text in ("", "head", "head\nbody", "head\n[not a rule]\n"):
        assert not fold_phrases.named(text)
        assert fold_phrases.decode(text) == text
