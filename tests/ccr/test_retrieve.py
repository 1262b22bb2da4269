"""Reading back: the right parts of every kind of original, verbatim, with the place they stand at."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr.retrieve import Hit, answer, search
from headroom.model import Original

ROWS = [{"id": number, "user": f"user{number}", "state": "ok"} for number in range(50)]
ROWS[11] = {"id": 11, "user": "grace", "state": "declined", "amount": 12.5}


def of(text: str) -> Original:
    return Original("0" * 16, text, tool="Bash", tokens=900, items=50, items_kept=7, retrievals=2)


def first(text: str, query: str) -> tuple[str, str]:
    hit = search(of(text), query)[0]
    return hit.place, hit.text


@pytest.mark.parametrize("indent", [None, 2])
def test_items_of_a_json_array(indent: int | None) -> None:
    text = json.dumps(ROWS, indent=indent)
    place, found = first(text, "why was grace's payment declined?")
    assert place == "item 12"
    assert found in text
    assert json.loads(found) == ROWS[11]


def test_items_of_an_array_inside_an_object() -> None:
    text = json.dumps({"total": 50, "data": {"cursor": "abc123", "rows": ROWS}})
    assert first(text, "grace") == ('item 12 of "rows" of "data"', json.dumps(ROWS[11]))
    assert first(text, "abc123") == ('"cursor" of "data"', '"cursor": "abc123"')
    assert first(text, "total") == ('"total"', '"total": 50')


def test_an_array_of_one_is_looked_into() -> None:
    assert first(json.dumps([{"type": "text", "rows": ROWS}]), "grace") == ('item 12 of "rows"', json.dumps(ROWS[11]))


def test_numbers_come_back_as_they_were_written() -> None:
    text = '[{"id": 1.10, "n": 12345678901234567890123}, {"id": 2e5, "n": ' + "9" * 5000 + "}]"
    assert first(text, "12345678901234567890123")[1] == '{"id": 1.10, "n": 12345678901234567890123}'
    assert first(text, "2e5")[0] == "item 2"


def test_records_of_json_lines() -> None:
    text = "\n".join(map(json.dumps, ROWS)) + "\n"
    assert first(text, "grace") == ("line 12", json.dumps(ROWS[11]))


def test_a_log_entry_keeps_its_stack_trace() -> None:
    trace = "2024-05-01 ERROR job 7 failed\n  File 'a.py', line 3\n    charge(card)\nValueError: refused"
    text = f"2024-05-01 INFO start\n{trace}\n2024-05-01 INFO end\n"
    assert first(text, "charge card") == ("lines 2-5", trace)
    assert first(text, "ValueError") == ("lines 2-5", trace)


def test_code_is_found_by_its_block() -> None:
    text = "import os\n\n\ndef charge_card(card):\n    total = card.sum\n    return total\n\n\ndef refund(card):\n    return -1\n"
    place, found = first(text, "how does refund work")
    assert (place, found) == ("lines 9-10", "def refund(card):\n    return -1")


def test_hunks_of_a_diff() -> None:
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n one\n-two\n+deux\n@@ -9,2 +9,2 @@\n nine\n-ten\n+dix\n"
    assert first(text, "dix") == ("lines 8-11", "@@ -9,2 +9,2 @@\n nine\n-ten\n+dix")


def test_paragraphs_of_prose() -> None:
    text = "The first one is about ships\nand their captains.\n\nThe second one is about lighthouses.\r\n\r\nThe third, about the sea.\n"
    assert first(text, "lighthouse") == ("paragraph 2", "The second one is about lighthouses.\r")
    assert first(text, "captains")[0] == "paragraph 1"


def test_a_line_without_end_comes_in_pieces() -> None:
    text = "word " * 3000 + "needle " + "word " * 3000
    place, found = first(text, "needle")
    assert place.startswith("line 1, characters ")
    assert "needle" in found
    assert len(found) <= 4000


def test_a_long_string_inside_json_comes_in_pieces() -> None:
    text = json.dumps({"stdout": "word\n" * 3000 + "needle\n" + "word\n" * 3000, "code": 0})
    place, found = first(text, "needle")
    assert place.startswith('"stdout", characters ')
    assert len(found) <= 4000
    assert found in text


def test_the_most_relevant_first_and_equal_ones_in_order() -> None:
    text = "disk one\ndisk disk two\nnothing\ndisk six\n"
    assert [hit.place for hit in search(of(text), "disk")] == ["line 2", "line 1", "line 4"]
    assert [hit.place for hit in search(of(text), "disk", limit=1)] == ["line 2"]
    assert search(of(text), "disk", limit=0) == []


@pytest.mark.parametrize(("query", "text"), [("=>", "a => b"), ("to be", "TO BE"), ("charg", "overcharge")])
def test_a_query_without_a_known_term_is_taken_literally(query: str, text: str) -> None:
    assert search(of(f"other\n{text}\n"), query) == [Hit(text, "line 2", 1.0)]


def test_nothing_fits() -> None:
    assert search(of("a\nb\n"), "zebra") == []
    assert search(of(""), "zebra") == []


def test_the_whole_original_as_an_answer() -> None:
    whole = {
        "hash": "0" * 16,
        "original_content": "text",
        "original_tokens": 900,
        "original_item_count": 50,
        "compressed_item_count": 7,
        "tool_name": "Bash",
        "retrieval_count": 2,
    }
    assert answer(of("text")) == answer(of("text"), None) == answer(of("text"), " ") == whole


def test_the_answer_to_a_query() -> None:
    told = answer(of("alpha\nbeta\n"), "beta")
    assert told.pop("results") == [{"text": "beta", "place": "line 2", "score": pytest.approx(1.0, abs=1)}]
    assert told == {"hash": "0" * 16, "query": "beta", "count": 1}


@pytest.mark.parametrize(
    "text", ["[", "{", '{"a"', "[1,", "[1 2]", "[]", "{}", "[" * 5000, '{"a":' * 5000, "[1] tail", "\ud800", "\x00", "[\ud800]"]
)
def test_odd_text_is_searched_too(text: str) -> None:
    for query in ("a", "1", "\ud800", text):
        assert all(hit.text in text for hit in search(of(text), query))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


@given(json_values | st.text(), st.text(max_size=20), st.sampled_from([None, 1]))
def test_hits_are_pieces_of_the_original(value: object, query: str, indent: int | None) -> None:
    text = value if isinstance(value, str) else json.dumps(value, indent=indent, ensure_ascii=False)
    hits = search(of(text), query)
    assert all(hit.text in text and hit.score > 0 and hit.place for hit in hits)
    assert hits == search(of(text), query)


@given(st.lists(st.from_regex(r"[a-z]{5,9} [a-z]{5,9}", fullmatch=True), min_size=1, max_size=8), st.data())
def test_every_line_can_be_found(lines: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(lines))
    assert any(wanted in hit.text for hit in search(of("\n".join(lines)), f'"{wanted}"'))


def test_commented_code_is_no_prose() -> None:
    charge = "// Charge the card of the customer\n// unless it has expired\nfunc Charge() {\n    charge()\n}\n\n"
    text = f"{charge}func Refund() {{\n    refund()\n}}\n\n{charge}"
    assert first(text, "refund") == ("lines 7-9", "func Refund() {\n    refund()\n}")
