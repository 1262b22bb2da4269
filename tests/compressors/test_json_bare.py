"""JSON without needless quotes, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors.json_bare import bare, quoted

WORDS = st.sampled_from(
    [
        "true",
        "null",
        "NaN",
        "Infinity",
        "NaN x",
        "Infinity War",
        "Infinity-1",
        "NaNs",
        "a b",
        " a",
        "a ",
        "1e5",
        "e5",
        "-x",
        "x-1",
        "<table 1>",
        "",
        "é",
        'say "no"',
        "a,b",
        "k:v",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_document_comes_back(value: Any) -> None:
    minified = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert quoted(bare(minified)) == minified


@pytest.mark.parametrize(
    ("minified", "expected"),
    [
        ('{"user_id":"omar_davis_3817","zip":"92164"}', '{user_id:omar_davis_3817,zip:"92164"}'),
        ('{"city":"San Diego","open":true,"state":"true"}', '{city:San Diego,open:true,state:"true"}'),
        ('["a,b","x y","1e5",1e5,-3,null]', '["a,b",x y,"1e5",1e5,-3,null]'),
        ('{"path":"src/app.py","mail":"a.b@example.com"}', "{path:src/app.py,mail:a.b@example.com}"),
    ],
)
def test_what_it_looks_like(minified: str, expected: str) -> None:
    assert bare(minified) == expected


def test_a_table_keeps_its_place() -> None:
    assert quoted('{rows:<table 1>,note:"<table 2>"}') == '{"rows":<table 1>,"note":"<table 2>"}'
