"""The retrieve tool: what a model may write, and what it is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import tool
from headroom.ccr.tool import Malformed, Wish
from headroom.model import Original, content_hash

HASH = "0123456789abcdef"


def original(text: str) -> Original:
    return Original(content_hash(text), text)


@pytest.mark.parametrize("written", [HASH, f"hash={HASH}", f"[hash={HASH}]", f" {HASH} "])
def test_a_hash_as_models_write_it(written: str) -> None:
    assert tool.wish(json.dumps({"hash": written, "query": "  x "})) == Wish(HASH, "x")


@given(
    st.text(max_size=30)
    | st.from_type(type(None)).map(json.dumps)
    | st.dictionaries(st.sampled_from(["hash", "query"]), st.text()).map(json.dumps)
)
def test_anything_else_is_malformed(arguments: str) -> None:
    with pytest.raises(Malformed, match=r"^Error: "):
        tool.wish(arguments)


def test_a_whole_text_comes_character_for_character() -> None:
    text = "a\r\n\tb\u2028" * 99
    assert tool.answer(original(text), Wish(HASH)) == text


def test_a_long_text_comes_in_pieces_that_join() -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    read, start = "", 0
    while start < len(text):
        head, _, piece = tool.answer(original(text), Wish(HASH, start=start)).partition("\n")
        assert f"of {len(text)}" in head
        assert (f'"start": {start + len(piece)}' in head) == (start + len(piece) < len(text))
        read, start = read + piece, start + len(piece)
    assert read == text
    assert "nothing starts at" in tool.answer(original(text), Wish(HASH, start=len(text)))


def test_a_query_finds_the_parts_with_their_place() -> None:
    text = json.dumps([{"id": number, "name": f"node-{number}"} for number in range(50)])
    assert tool.answer(original(text), Wish(HASH, "node-7")).startswith('item 8: {"id": 7, "name": "node-7"}')
    assert tool.answer(original(text), Wish(HASH, "elephant")).startswith("Nothing in this text matches")


def test_a_query_that_finds_too_much_says_so() -> None:
    text = "\n\n".join(f"needle {number} " + "word " * 900 for number in range(40))
    answer = tool.answer(original(text), Wish(HASH, "needle"))
    assert len(answer) <= tool.MOST_CHARS + 100
    assert answer.endswith("more parts match; narrow the query to see them]")
