"""json_rows: whatever it says decodes to what it read; what is left out is marked; what is asked for stays."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.ccr.marker import hashes
from headroom.compressors.base import Draft
from headroom.compressors.json_decode import decode
from headroom.compressors.json_rows import Encoded, JsonRows
from headroom.compressors.json_text import dump, read
from headroom.model import Fidelity, Segment

HASH = "0123456789abcdef"
COMPRESSOR = JsonRows()


def compress(text: str, fidelity: Fidelity = "reversible", scores: dict[int, float] | None = None, **about: str) -> Draft | None:
    segment = Segment(text, (0, 0), **about)
    parsed = COMPRESSOR.parse(segment)
    if parsed is None:
        return None
    found = [(scores or {}).get(unit, 0.0) for unit in range(len(parsed.units))]
    return COMPRESSOR.render(segment, parsed, found, fidelity, HASH)


def decoded(text: str) -> Any:
    """The value behind a text whose JSON stands alone."""
    draft = compress(text, "lossless")
    assert draft is not None
    assert draft.lossless
    head, body = draft.text.split("\n", 1)
    assert list(hashes(head)) == [HASH]
    return decode(body)


def same(text: str) -> bool:
    """Equal in types, number literals and key order: the dumped forms are the same bytes."""
    return dump(decoded(text)) == dump(read(text))


def users(count: int) -> list[dict[str, Any]]:
    pick = random.Random(7)
    return [
        {
            "id": 1000 + 7 * number,
            "name": f"{pick.choice(['Ann', 'Bo', 'Cy'])} {pick.choice(['Ames', 'Bell', 'Cole'])}",
            "email": f"user{number}@mail.test",
            "address": {"city": pick.choice(["Rome", "Oslo", "Lima"]), "zip": f"{pick.randrange(10**5):05}"},
            "status": "active",
            "plan": pick.choice(["free", "pro"]),
            "amount": round(pick.uniform(5, 99), 2),
        }
        for number in range(count)
    ]


ROWS = json.dumps(users(12))

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(
        ["1", "-0", "1e5", "true", "null", "NaN", "", " a", "a ", "a\tb", "a\nb", '"q"', "[1]", "{", "<table 1>", "ü", "\x85"]
    )
)
keys = st.sampled_from(["a", "b", "c", "a.b", "(key)", "(value)", "x=1", "a:str", "", " ", "d\te"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=5), max_leaves=25)
records = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), values, max_size=4) | values, min_size=4, max_size=12)


@given(values)
@settings(max_examples=60, deadline=None)
def test_any_value_decodes_to_itself(value: Any) -> None:
    text = json.dumps([value, value, value, value, {"x": "long enough to be a table " * 8}])
    assert same(text)


@given(records, st.booleans())
@settings(max_examples=120, deadline=None)
def test_any_rows_decode_to_themselves(rows: list[Any], ascii: bool) -> None:
    text = json.dumps([*rows, "a row that makes the table long enough to be one " * 6], ensure_ascii=ascii, indent=2)
    assert same(text)
    assert same(json.dumps({"total": len(rows), "data": [*rows, "x" * 300], "after": {"<table 1>": "<table 2>"}}))


@given(st.dictionaries(keys, st.dictionaries(st.sampled_from("abc"), values, min_size=1), min_size=10, max_size=14))
@settings(max_examples=60, deadline=None)
def test_any_map_decodes_to_itself(entries: dict[str, Any]) -> None:
    assert same(json.dumps(entries))


@given(st.text() | st.text('[]{},:"\\ \n1aé\ud800-.eE', max_size=60), st.text("ab1 "))
@settings(max_examples=120, deadline=None)
def test_no_text_raises(text: str, question: str) -> None:
    for body in (text, f"[{text}]", f'{{"a": {text}}}', text + ROWS):
        for fidelity in ("lossless", "reversible"):
            draft = compress(body, fidelity, question=question)  # type: ignore[arg-type]
            if draft is not None:
                draft.text.encode()


@given(st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_truncated_json_does_not_raise(length: int) -> None:
    compress(json.dumps(users(20))[:length])
    compress("\n".join(map(json.dumps, users(20)))[:length])


@pytest.mark.parametrize(
    "literal", ["1", "1.0", "1e5", "1E+05", "-0", "-0.0", "123456789012345678901234567890", "NaN", "-Infinity", "0.10"]
)
def test_number_literals_stay(literal: str) -> None:
    rows = ",".join(f'{{"id":{number},"x":{literal},"y":"{literal}","z":[{literal}]}}' for number in range(40))
    assert same(f"[{rows}]")
    assert same(f'[{rows},{{"id":1,"x":"{literal}","y":{literal}}}]')


def test_absent_null_and_empty_are_told_apart() -> None:
    rows = [{"id": 1, "a": None}, {"id": 2}, {"id": 3, "a": ""}, {"id": 4, "a": {}}, {"id": 5, "a": {"b": 1}}, {"id": 6, "a": []}] * 10
    assert same(json.dumps(rows))


def test_what_all_rows_share_stands_once() -> None:
    rows = [{"n": number, "repository": {"owner": {"login": "somebody"}, "topics": ["x", "y"]}} for number in range(30)]
    draft = compress(json.dumps(rows), "lossless")
    assert draft is not None
    assert draft.text.count("somebody") == 1
    assert same(json.dumps(rows))
    rows[17]["repository"] = {"topics": ["x", "y"], "owner": {"login": "somebody"}}
    assert same(json.dumps(rows))
    assert same(json.dumps([{"n": number, "a": {"b": 1 if number else "1"}} for number in range(60)]))


def test_key_order_of_every_row_stays() -> None:
    assert same(json.dumps([{"a": 1, "b": 2}, {"b": 1, "a": 2}, {"c": 1, "a": 2}, {"a": 1, "c": 2, "b": 3}] * 10))


@pytest.mark.parametrize("depth", [63, 64, 100, 2000, 200_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_nesting_is_refused_not_raised(depth: int, brackets: str) -> None:
    text = brackets[:-1] * depth + "1" + brackets[-1] * depth
    draft = compress(text)
    assert (draft is None) == (depth > 64)


@pytest.mark.parametrize(
    "text", ["", "prose only", "{", "[1 2", '{"a":1,"a":2}', '[{"b":{"a":1,"a":2}}]', '["\\ud800"]', '["\ud800"]', "[INFO] x"]
)
def test_what_is_not_json_is_left_to_others(text: str) -> None:
    assert compress(text) is None


def test_text_around_the_json_stays_as_it_is() -> None:
    draft = compress("Output:\n" + json.dumps(users(30), indent=1) + "\n(exit code 0)\n", "lossless")
    assert draft is not None
    _head, before, rest = draft.text.split("\n", 2)
    assert before == "Output:"
    assert rest.endswith("\n(exit code 0)\n")
    assert decode(rest.removesuffix("\n(exit code 0)\n")) == json.loads(json.dumps(users(30)), parse_int=str, parse_float=str)


def test_json_lines_are_rows() -> None:
    text = "\n".join(map(json.dumps, users(30)))
    assert dump(decoded(text)) == dump(read(json.dumps(users(30))))


@pytest.mark.parametrize("cut", [1, 2, 25, 60, 110, 151])
def test_json_that_breaks_off_is_read_as_far_as_it_goes(cut: int) -> None:
    rows = users(200)
    text = json.dumps({"total": 200, "data": rows})[:-cut]
    draft = compress(text, question="user150@mail.test")
    assert draft is not None
    assert len(draft.text) < 0.3 * len(text)
    assert json.dumps(rows[150]) in draft.text
    assert "source that breaks off" in draft.text.split("\n")[0]
    assert cut < 3 or draft.text.endswith(text[text.rindex(",") :])


def test_addresses_are_patterns_of_other_columns_and_come_back() -> None:
    rows = [
        {"id": 7000 + number, "repo": f"own{number % 7}/r{number}", "url": f"https://api.test/repos/own{number % 7}/r{number}/tags{{/sha}}"}
        for number in range(60)
    ]
    draft = compress(json.dumps(rows), "lossless")
    assert draft is not None
    assert draft.text.count("https://api.test/repos") == 1
    assert same(json.dumps(rows))
    rows[30]["url"] = "https://elsewhere.test/"
    assert same(json.dumps(rows))
    odd = [{"a": "xyz", "b": f"https://{{a}}/xyz/{number}", "n": number + 1000} for number in range(20)]
    assert same(json.dumps(odd))


def test_keys_of_nested_records_stand_once() -> None:
    rows = [
        {
            "order": number,
            "items": [{"sku": f"s{number}", "price": 2.5, "options": None if item else {"a b": 1}} for item in range(number % 4)],
            "by": {"u": {"n": 1}},
        }
        for number in range(40)
    ]
    draft = compress(json.dumps(rows), "lossless")
    assert draft is not None
    assert draft.text.count("price") == 1
    assert same(json.dumps(rows))


def test_values_stay_readable() -> None:
    draft = compress(json.dumps(users(50)), "lossless")
    assert draft is not None
    assert all(user["email"] in draft.text and user["address"]["zip"] in draft.text for user in users(50))
    assert len(draft.text) < 0.5 * len(json.dumps(users(50)))


def test_rows_are_left_out_with_marks_and_the_asked_one_stays() -> None:
    rows = users(500)
    draft = compress(json.dumps(rows), question="What is the city of user311@mail.test?")
    assert draft is not None
    assert len(draft.text) < 0.2 * len(json.dumps(rows))
    assert json.dumps(rows[311]) in draft.text
    assert rows[0]["email"] in draft.text
    assert rows[499]["email"] in draft.text
    assert "left out here" in draft.text
    assert list(hashes(draft.text)) == [HASH]
    assert draft.items == 500
    assert 3 < draft.items_kept < 60


def test_every_row_is_shown_or_in_a_marked_range() -> None:
    rows = users(300)
    draft = compress(json.dumps(rows), scores={40: 3.0, 41: 2.9}, question="user77@mail.test")
    assert draft is not None
    said = sum(int(line.split("(")[1].split(" rows")[0]) for line in draft.text.split("\n") if line.startswith("[rows "))
    said += sum(line.startswith("[row ") for line in draft.text.split("\n"))
    assert said + draft.items_kept == 300
    assert all(rows[row]["email"] in draft.text for row in (40, 41, 77))


def test_what_is_unusual_stays() -> None:
    rows = users(400)
    rows[120]["status"] = "suspended"
    rows[180]["amount"] = 98_765.5
    rows[222]["note"] = "only here"
    rows[260]["plan"] = None
    rows[300]["name"] = "TimeoutError: upstream failed"
    draft = compress(json.dumps(rows))
    assert draft is not None
    assert all(rows[row]["email"] in draft.text for row in (120, 180, 222, 260, 300))


def test_a_change_point_stays() -> None:
    rows = [
        {"t": f"{number:06}", "load": (10 if number < 330 else 80) + number * 37 % 5, "host": "a" if number < 150 else "b"}
        for number in range(600)
    ]
    draft = compress(json.dumps(rows))
    assert draft is not None
    assert "000330" in draft.text
    assert "000150" in draft.text


def test_errors_stay_all_of_them_while_they_are_few() -> None:
    rows = [{"t": number, "message": "JobFailed: exit 3" if number % 23 == 5 else f"hispanic terror {number}"} for number in range(300)]
    draft = compress(json.dumps(rows))
    assert draft is not None
    assert draft.text.count("JobFailed: exit 3") == 13
    assert draft.items_kept < 30


def test_common_errors_are_nothing_unusual() -> None:
    rows = [{"t": number, "message": f"error {number * 31}" if number % 2 else "ok"} for number in range(600)]
    draft = compress(json.dumps(rows))
    assert draft is not None
    assert 3 < draft.items_kept < 80


def test_a_short_number_asked_for_is_a_whole_cell() -> None:
    rows = [{"id": number, "note": f"about {number % 90} of 74 things", "pad": "lorem ipsum dolor sit amet"} for number in range(200)]
    draft = compress(json.dumps(rows), question="What is the note of the record whose id is 73?")
    assert draft is not None
    assert json.dumps(rows[73]) in draft.text


@pytest.mark.parametrize("text", ["<table 2>", "[1]\n<table 1: 1 rows>", "no{thing", "[1]\nmore", '<table 1: 1 rows>\n"a\nb'])
def test_what_is_no_encoding_is_not_decoded(text: str) -> None:
    with pytest.raises((ValueError, LookupError)):
        decode(text)


def test_lossless_leaves_nothing_out() -> None:
    draft = compress(json.dumps(users(500)), "lossless", question="user1@mail.test")
    assert draft is not None
    assert draft.lossless
    assert "left out" not in draft.text


def test_long_values_are_cut_in_rows_nobody_asks_for() -> None:
    rows = [{"rank": number, "passage": f"passage {number} " + "lorem ipsum dolor " * 60} for number in range(20)]
    draft = compress(json.dumps({"query": "q", "hits": rows}), scores={7: 5.0})
    assert draft is not None
    assert rows[7]["passage"] in draft.text
    assert str(rows[8]["passage"]) not in draft.text
    assert "passage 8 " in draft.text
    assert draft.items_kept == 1


def test_scalars_and_matrices_are_rows_too() -> None:
    for rows in (list(range(3000)), [f"file-{number}.txt" for number in range(900)], [[number, number * 2] for number in range(900)]):
        text = json.dumps(rows)
        draft = compress(text)
        assert draft is not None
        assert len(draft.text) < 0.5 * len(text)
        assert same(text)


def test_output_is_the_same_every_time() -> None:
    text = json.dumps(users(300))
    assert compress(text, question="user5@mail.test") == compress(text, question="user5@mail.test")


def test_encoding_knows_its_tables() -> None:
    parsed = COMPRESSOR.parse(Segment(json.dumps({"a": users(20), "b": {"c": users(30)}}), (0, 0)))
    assert parsed is not None
    assert isinstance(parsed.structure, Encoded)
    assert [len(table.rows) for table in parsed.structure.tables] == [20, 30]
    assert len(parsed.units) == 50


def test_a_range_is_not_said_of_cells_that_are_no_numbers() -> None:
    mixed = [{"id": n, "result": n * 0.25 if n % 5 == 0 else f"unreachable host{n}"} for n in range(400)]
    draft = compress(json.dumps(mixed))
    assert draft is not None
    assert re.search(r"result 1\.25\.\.\d+\.\d+ x\d+, 3\d\d no numbers", draft.text)
    odd = [{"id": n, "latency_ms": float("nan") if n % 100 == 5 else n * 37 % 900 + 0.5} for n in range(400)]
    draft = compress(json.dumps(odd))
    assert draft is not None
    assert re.search(r"latency_ms \d+\.5\.\.\d+\.5 x\d+, 4 no numbers", draft.text)
