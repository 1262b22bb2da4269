"""Blocks that stand twice in one text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors import fold_repeats

HASH = "0123456789abcdef"

_LINE = st.sampled_from(
    ["alpha beta gamma", "x" * 70, "y" * 50, "", "\r", "\\", "\\\\", "[lines 1-2 again]", "[line 1 again]", "日本" * 20]
)


@given(st.lists(_LINE, min_size=1, max_size=40))
def test_everything_reads_back(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert fold_repeats.decode(fold_repeats.encode(text, HASH)) == text


@given(st.lists(_LINE, max_size=40))
def test_blocks_stand_before_and_do_not_overlap(lines: list[str]) -> None:
    behind = 0
    for start, (end, at) in sorted(fold_repeats.blocks(lines).items()):
        assert behind <= start < end <= len(lines)
        assert at + end - start <= start
        assert lines[at : at + end - start] == lines[start:end]
        behind = end


def test_a_block_becomes_a_reference() -> None:
    block = [f"{name} = load({name}) or default({name})" for name in ("one", "two", "three", "four")]
    text = "\n".join(["head", *block, "middle", *block, "end"])
    assert fold_repeats.encode(text, HASH).split("\n")[1:] == ["head", *block, "middle", "[lines 2-5 again]", "end"]


def test_lines_that_do_not_stand_are_an_error() -> None:
    with pytest.raises(ValueError, match="no lines 2-3"):
        fold_repeats.decode("head\nx\n[lines 2-3 again]")
