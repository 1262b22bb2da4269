"""Line numbers without their alignment, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors import numbered

HASH = "0123456789abcdef"
LISTING = "".join(f"{n:6}\tline {n} of the file\n" for n in range(95, 130))


def test_a_listing_loses_its_blanks_and_gets_them_back() -> None:
    short = numbered.shorter(LISTING, HASH)
    assert short is not None
    assert HASH in short
    assert "\n99\tline 99 of the file\n100\tline" in short
    assert numbered.decode(short) == LISTING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no numbers\n" * 20,
        LISTING.replace("   101\t", "101\t"),
        LISTING + "7\tat the margin already\n",
        LISTING.replace("   99", "    99"),
    ],
    ids=["empty", "words", "one-ragged", "one-bare", "one-wide"],
)
def test_what_would_not_come_back_exactly_is_left(text: str) -> None:
    assert numbered.shorter(text, HASH) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 99_999), st.sampled_from(["\t", "\u2192", "|", ": ", "x", ""]), st.text(max_size=8))
    )
)
def test_every_result_decodes_to_its_text(lines: list[tuple[int, int, str, str]]) -> None:
    text = "\n".join(f"{number:{width}}{sign}{rest}" if width else f"{number}{sign}{rest}" for width, number, sign, rest in lines)
    short = numbered.shorter(text, HASH)
    assert short is None or numbered.decode(short) == text


def test_anything_else_is_no_listing() -> None:
    with pytest.raises(ValueError, match="no head"):
        numbered.decode("[something else; original hash=0]\n1\tx")
