"""What a provider's prompt cache makes of a conversation."""

from __future__ import annotations

import pytest

from headroom.stats.prices import Prompt
from headroom.transcripts.prompt_cache import Block, Blocks, PromptCache

A, B, C, D = (Block(name, 2000) for name in "abcd")


def test_what_stands_before_is_read_and_the_rest_written() -> None:
    cache = PromptCache("anthropic")
    assert cache.billed([A, B]) == (Prompt(write_5m=4000), False)
    assert cache.billed([A, B, C]) == (Prompt(read=4000, write_5m=2000), False)
    assert cache.billed([A, D, C]) == (Prompt(read=2000, write_5m=4000), True)
    assert cache.billed([A]) == (Prompt(read=2000), True)


def test_openai_has_no_price_for_writing() -> None:
    cache = PromptCache("openai")
    cache.billed([A])
    assert cache.billed([A, B]) == (Prompt(read=2000, plain=2000), False)


def test_an_hour_costs_its_own_price() -> None:
    assert PromptCache("anthropic", hour=True).billed([A]).prompt == Prompt(write_1h=2000)


@pytest.mark.parametrize(("provider", "hour", "kept"), [("anthropic", False, 300), ("openai", False, 600), ("anthropic", True, 3600)])
def test_a_cache_is_forgotten(provider: str, hour: bool, kept: int) -> None:
    cache = PromptCache(provider, hour)
    cache.billed([A], 1000.0)
    assert cache.billed([A], 1000.0 + kept).prompt.read == 2000
    late = cache.billed([A, B], 1001.0 + 2 * kept)
    assert late.prompt.read == 0
    assert not late.broke


def test_small_prompts_are_not_cached() -> None:
    small = [Block("s", 500)]
    cache = PromptCache("anthropic")
    assert cache.billed(small).prompt == Prompt(plain=500)
    assert cache.billed(small).prompt == Prompt(plain=500)


def test_breakpoints_and_the_form_of_a_text_are_no_part_of_a_block() -> None:
    blocks = Blocks(len)
    plain = {"system": "s", "messages": [{"role": "user", "content": "q"}, {"role": "user", "content": [{"type": "text", "text": "r"}]}]}
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = {
        "system": [{"type": "text", "text": "s", **mark}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "q"}]},
            {"role": "user", "content": [{"type": "text", "text": "r", **mark}]},
        ],
    }
    assert blocks.of(plain) == blocks.of(marked)


def test_everything_that_a_model_reads_is_counted() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "12345"}}
    chat = {"messages": [{"role": "user", "content": "123"}, {"role": "assistant", "content": None, "tool_calls": [call]}]}
    items = {
        "instructions": "12",
        "input": [{"role": "user", "content": "123"}, {"type": "function_call_output", "call_id": "c", "output": "1234"}],
    }
    blocks = Blocks(len)
    assert sum(block.tokens for block in blocks.of(chat)) == 8
    assert sum(block.tokens for block in blocks.of(items)) == 9
