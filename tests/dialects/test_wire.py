"""The JSON reader agrees with the standard library, knows where everything stands, and changes nothing it was not told to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headroom.dialects import wire

_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
_TEXTS = st.tuples(_JSON, st.sampled_from([None, 0, 3]), st.booleans()).map(
    lambda parts: json.dumps(parts[0], indent=parts[1], ensure_ascii=parts[2])
)
_NOISE = st.text(alphabet='[]{}",:\\ \t\n\r0123456789.eE+-truefalsnu/b\x00\x7f\ud800', max_size=12)


def plain(value: Any) -> Any:
    """What the standard library would have made of it."""
    match value:
        case wire.Number():
            return json.loads(value)
        case str():
            return str(value)
        case list():
            return [plain(item) for item in value]
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
    return value


def framed(value: Any) -> list[Any]:
    """The values that know their place, outermost first."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    own = [value] if isinstance(value, wire.Str | wire.Number | wire.Arr | wire.Obj) else []
    return own + [place for item in inner for place in framed(item)]


@given(_TEXTS)
@example(' { "a" : [ 1e5 , -0.0 , "\\u00e9\\ud83d\\ude00" ] , "a" : { } } ')
def test_reads_what_the_standard_library_reads(text: str) -> None:
    root = wire.parse(text).root
    assert plain(root) == json.loads(text)
    for value in framed(root):
        assert json.loads(text[value.start : value.end]) == plain(value)
        if isinstance(value, wire.Str):
            assert wire.unquote(text, value.start) == value


def refuse_constant(name: str) -> Any:
    raise ValueError(name)


@given(
    _NOISE | _TEXTS.flatmap(lambda text: st.builds(lambda cut, noise: text[:cut] + noise + text[cut:], st.integers(0, len(text)), _NOISE))
)
def test_refuses_what_the_standard_library_refuses(text: str) -> None:
    try:
        expected = json.loads(text, strict=False, parse_constant=refuse_constant)
    except ValueError:
        with pytest.raises(json.JSONDecodeError):
            wire.parse(text)
    else:
        assert plain(wire.parse(text).root) == expected


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "01", "1.", ".5", "+1", "'a'", "[1,]", '{"a":1,}', "\ufeff1", "1 2", "tru", '"\\x"', "\u00a01"]
)
def test_refuses_what_the_standard_forbids(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        wire.parse(text)


def test_numbers_stay_literals_of_any_length() -> None:
    digits = "9" * 100_000
    assert wire.parse(f"[{digits}, 1E+5, -0.10]").root == [digits, "1E+5", "-0.10"]


@pytest.mark.parametrize(("text", "twice"), [('{"a":1,"b":{"a":2}}', False), ('[{"x":{"a":1,"\\u0061":2}}]', True), ("[1,1]", False)])
def test_duplicate_keys_are_noticed(text: str, twice: bool) -> None:
    assert wire.parse(text).duplicate_keys is twice


def test_nesting_has_no_limit() -> None:
    depth = 300_000
    root = wire.parse("[" * depth + '{"a":"b"}' + "]" * depth).root
    for _ in range(depth):
        (root,) = root
    assert root == {"a": "b"}


@pytest.mark.parametrize("text", ["[[],[],[]]", '{"a":1,"b":[2]}', '["","",""]', "[1,[[]]]"])
def test_the_number_of_values_has_a_limit(text: str) -> None:
    assert wire.parse(text, most=4).root == wire.parse(text).root
    with pytest.raises(wire.TooManyValues):
        wire.parse(text, most=3)


@given(st.text() | st.text(alphabet='a\ud800\x00"é'))
def test_a_quoted_text_is_read_back(text: str) -> None:
    assert wire.parse(wire.quote(text)).root == text


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(0, 30), st.text(max_size=3)), max_size=8))
def test_splice_keeps_what_it_was_not_told_to_change(text: str, places: list[tuple[int, str]]) -> None:
    cuts = sorted({min(place, len(text)) for place, _ in places})
    edits = [wire.Edit(start, end, "<new>") for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    spliced = wire.splice(text, reversed(edits))
    expected, position = "", 0
    for edit in edits:
        expected += text[position : edit.start] + "<new>"
        position = edit.end
    assert spliced == expected + text[position:]
