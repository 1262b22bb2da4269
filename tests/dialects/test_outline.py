"""Outlines: what is read of a message, and a chain that does not see cache marks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.dialects import OPENAI_CHAT
from headroom.dialects.outline import chain, outline, read_again
from tests.context.agents import call_of, calls, user

MARK = {"cache_control": {"type": "ephemeral"}}


def test_a_message_knows_its_calls_results_and_words() -> None:
    for dialect in ("anthropic", "openai"):
        read = outline(call_of(dialect, [*user("Hi"), *calls(dialect, ("a", "grep", {"q": "x"}, "found"))], tools=[{"name": "grep"}]))
        assert read is not None
        words, asked, result = read.messages
        assert (words.spoken, words.side, words.texts[:1]) == (True, "user", ("Hi",))
        assert [(call.id, call.tool, json.loads(call.arguments)) for call in asked.calls] == [("a", "grep", {"q": "x"})]
        assert (result.answers, result.slots, result.spoken, result.side) == (("a",), ("found",), False, "user")
        assert read.beside == ('[{"name": "grep"}]',)


def test_what_is_no_text_has_a_size_all_the_same() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 50_000}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "B" * 3000}}
    scan = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "C" * 80_000}}
    read = outline(call_of("anthropic", [{"role": "user", "content": [image, document, scan]}]))
    assert read is not None
    assert 1600 + 750 + 2000 < read.messages[0].other_tokens < 1600 + 850 + 2050
    assert read.messages[0].spoken


def test_a_chain_covers_everything_before_and_no_cache_marks() -> None:
    talk: list[dict[str, Any]] = [*user("Hi"), *calls("anthropic", ("a", "grep", {"q": "x"}, "found")), *user("And?")]
    marked = [
        *talk[:2],
        {"role": "user", "content": [talk[2]["content"][0] | MARK]},
        {"role": "user", "content": [{"type": "text", "text": "And?"} | MARK]},
    ]
    keys = chain(call_of("anthropic", talk), "salt")
    assert keys == chain(call_of("anthropic", marked), "salt")
    assert chain(call_of("anthropic", talk[:2]), "salt") == keys[:2]
    assert not set(keys) & set(chain(call_of("anthropic", talk), "other"))
    changed = chain(call_of("anthropic", [*user("Ha"), *talk[1:]]), "salt")
    assert not set(keys) & set(changed)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_shapes_that_are_none_are_read_as_far_as_they_can_be(dialect: str) -> None:
    odd = [
        {"role": "user", "content": None},
        {"role": "user", "content": [1, None, {"type": 3}, {"type": "text", "text": 7}]},
        {"role": "assistant", "tool_calls": [None, {"function": 3}, {"function": {"name": 1}}], "content": [{"type": "tool_use"}]},
        {"role": "tool"},
        {"content": "x"},
        {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]},
        {"role": "user", "content": "\ud800"},
    ]
    call = call_of(dialect, odd)
    read = outline(call)
    assert read is not None
    assert len(read.messages) == len(odd) == len(chain(call, "\ud800"))


def test_what_was_compressed_is_read_again() -> None:
    call = call_of("openai", user("long words"))
    again = outline(read_again(call, call.raw.replace(b"long words", b"words")))
    assert again is not None
    assert again.messages[0].texts[0] == "words"
    assert read_again(call, call.raw) is call


def test_depth_has_no_limit() -> None:
    deep = "[" * 5000 + "]" * 5000
    call = OPENAI_CHAT.read(f'{{"messages":[{{"role":"user","content":{deep}}}]}}'.encode())
    assert len(chain(call, "salt")) == 1
    assert outline(call) is not None
