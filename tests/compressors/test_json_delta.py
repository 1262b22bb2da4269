"""An object told by its differences: what is said turns the earlier state into the later one, nothing else does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors.json_delta import differences, signature

_STEP = re.compile(r"\.?([A-Za-z_][\w-]*)|\[(\+|\d+|\"(?:[^\"\\]|\\.)*\")\]")

KEYS = st.sampled_from(["id", "state", "items", "a b", "ünï", '"q"', "x-y", "0"])
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "1", "null", "paid", "é\n", "a = b"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)


def patched(earlier: Any, lines: list[str]) -> Any:
    """What a reader makes of the differences."""
    after = json.loads(json.dumps(earlier))
    for line in lines:
        steps, position = [], 0
        while match := _STEP.match(line, position):
            steps.append(match[1] or (match[2] if match[2] == "+" else json.loads(match[2])))
            position = match.end()
        inside = after
        for step in steps[:-1]:
            inside = inside[step]
        if line[position:] == " is absent":
            del inside[steps[-1]]
        else:
            assert line[position : position + 3] == " = "
            value = json.loads(line[position + 3 :])
            if steps[-1] == "+":
                inside.append(value)
            else:
                inside[steps[-1]] = value
    return after


@given(OBJECTS, OBJECTS)
def test_the_differences_make_the_later_state_of_the_earlier_one(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    lines = differences(json.dumps(earlier), json.dumps(later, indent=1))
    if lines is not None:
        assert json.dumps(patched(earlier, lines), sort_keys=True) == json.dumps(later, sort_keys=True)


@given(OBJECTS)
def test_equal_objects_do_not_differ(value: dict[str, Any]) -> None:
    assert differences(json.dumps(value), json.dumps(value, indent=2)) == []


def test_one_line_says_what_changed() -> None:
    earlier = {"order": "W1", "state": "open", "items": [{"id": 1, "n": 2}, {"id": 2, "n": 1}], "paid": [{"usd": 5}], "note": "x"}
    later = {"order": "W1", "state": "sent", "items": [{"id": 1, "n": 3}, {"id": 2, "n": 1}], "paid": [{"usd": 5}, {"usd": -1}], "by": None}
    assert differences(json.dumps(earlier), json.dumps(later)) == [
        'state = "sent"',
        "items[0].n = 3",
        'paid[+] = {"usd":-1}',
        "by = null",
        "note is absent",
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}'),  # keys changed places
        ("[1]", "[2]"),
        ('{"a": 1', '{"a": 1}'),
        ('{"a": 1, "a": 2}', '{"a": 1}'),
        ("{}", json.dumps({str(number): number for number in range(100)})),  # hardly anything in common
        ('{"a":' * 3000 + "1" + "}" * 3000, '{"a": 1}'),
    ],
)
def test_what_is_not_told_by_differences(earlier: str, later: str) -> None:
    assert differences(earlier, later) is None


def test_numbers_and_texts_are_told_apart() -> None:
    assert differences('{"a": [1], "b": 1.0}', '{"a": ["1"], "b": 1}') == ['a[0] = "1"', "b = 1"]


def test_states_of_one_object_begin_alike() -> None:
    first = '{"reservation_id": "VA5SGQ", "user_id": "raj_brown_5782", "cabin": "economy"}'
    assert signature(first) == signature(first.replace("economy", "business")) != signature(first.replace("VA5", "VA6"))
    assert signature("[1]") == signature("{}") == signature("plain text " * 20) == ""
