"""Markers: each names its hash so that it can be found again, and only hashes are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr.marker import gap, hashes, left_out, re_encoded
from headroom.model import content_hash

HASH = content_hash("original")


@pytest.mark.parametrize("mark", [left_out, re_encoded])
@given(text=st.text(), what=st.from_regex(r"lines \d{1,4}-\d{1,4} \(\d+ INFO\)", fullmatch=True))
def test_a_marker_gives_its_hash_back(mark: Callable[[str, str], str], text: str, what: str) -> None:
    hash = content_hash(text)
    marker = mark(what, hash)
    assert what in marker
    assert "\n" not in marker
    assert list(hashes(f"before {marker} after")) == [hash]


def test_every_hash_in_order_with_repeats() -> None:
    other = content_hash("other")
    text = f"{left_out('lines 1-2', HASH)}\nkept\n{re_encoded('a table', other)}\n{left_out('lines 4-9', HASH)}"
    assert list(hashes(text)) == [HASH, other, HASH]


def test_a_gap_names_no_hash() -> None:
    assert gap("lines 3-9") == "[lines 3-9 left out here]"
    assert list(hashes(gap("lines 3-9"))) == []


@pytest.mark.parametrize(
    "text",
    [f"hash={HASH[:-1]}", f"hash={HASH}0", f"hash={HASH.upper()}X", f"rehash={HASH}", f"hash= {HASH}", f"hash={'g' * 16}", HASH, ""],
)
def test_what_is_no_hash(text: str) -> None:
    assert list(hashes(text)) == []
