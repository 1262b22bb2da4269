"""BM25: what is found, what ranks first, and that a query costs one scan per term."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.scoring.bm25 import MAX_TERMS, scores, terms


def hits(query: str, *units: str) -> list[int]:
    return [index for index, score in enumerate(scores(query, units)) if score > 0]


@pytest.mark.parametrize(
    ("query", "unit"),
    [
        ("payment", "PAYMENT declined"),
        ("user", "const id = getUserName()"),
        ("user", "userName"),
        ("http", "new HTTPServer(8080)"),
        ("server", "new HTTPServer(8080)"),
        ("user", "user_name: 3"),
        ("getUserName", "user name"),
        ("getUserName", "x.getusername()"),
        ("user_id", "USER_ID=7"),
        ("urls", "url"),
        ("url", "the URLs"),
        ("retry-after", "Retry-After: 3"),
        ("src/billing/charge.py", 'File "charge.py", line 3'),
        ("ada@example.org", "to: ada@example.org"),
        ("What about order ORD-2024-000123?", "ORD-2024-000123"),
        ("step 7 failed", "step 7: ok"),
        ("42.5", "cost=42.5"),
        ("Straße", "STRASSE straße"),
        ("支払い", "注文の支払いに失敗"),
        ("İstanbul", "İstanbul"),
    ],
)
def test_finds(query: str, unit: str) -> None:
    assert hits(query, "nothing of it", unit) == [1]


@pytest.mark.parametrize(
    ("query", "unit"),
    [
        ("pay", "payment"),
        ("id", "valid width"),
        ("12", "123 512 0x12"),
        ("1.5", "1.55 11.5"),
        ("cat", "concatenate"),
        ("what is the of and", "what is the of and"),
        ("", "text"),
        ("?!", "?!"),
    ],
)
def test_does_not_find(query: str, unit: str) -> None:
    assert hits(query, unit, "other") == []


def test_the_whole_identifier_ranks_above_its_parts() -> None:
    units = ["order_id=5 retry", "order 5, id 9", "unrelated text here"] * 3
    ranked = scores("order_id", units)
    assert ranked[0] > ranked[1] > ranked[2] == 0


def test_a_rare_term_outweighs_a_common_one() -> None:
    units = [f"request {n} served" for n in range(50)] + ["request 50 deadlock"]
    ranked = scores("request deadlock", units)
    assert max(range(len(units)), key=ranked.__getitem__) == 50


def test_more_and_shorter_is_better() -> None:
    one, two, long_one, _ = scores("disk", ["disk full now", "disk disk now", "disk full now " + "x " * 60, "other"])
    assert two > one > long_one > 0


def test_stop_words_are_dropped_and_units_without_terms_score_zero() -> None:
    assert terms("please show me what the payments were") == ("payment", "show")


def test_a_long_query_keeps_its_most_specific_terms() -> None:
    filler = " ".join(f"word{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10]}" for n in range(100))
    kept = terms(f'{filler} Why does "blue" chargeCard fail for 88123 and ada@example.org? {filler}' * 3)
    assert len(kept) == MAX_TERMS
    assert {"blue", "chargecard", "88123", "ada@example.org"} <= set(kept)
    assert kept[0] == "blue"


def test_identifiers_do_not_crowd_out_the_words_of_the_question() -> None:
    kept = terms("Which captains were relieved?\n" + " ".join(f"variable_{n}x" for n in range(100)))
    assert {"captain", "relieved"} <= set(kept)
    assert len(kept) == MAX_TERMS


def test_of_an_overlong_query_the_ends_are_read() -> None:
    assert {"captain", "lighthouse"} <= set(terms("captains " + "a " * 50_000 + "lighthouse"))


def test_the_question_around_pasted_text_comes_first() -> None:
    pasted = " ".join(f"extraordinarily{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10]} ID-{n}" for n in range(100))
    kept = terms(f"{pasted}\n----\nDoes the deal include video on demand?")
    assert [term for term in kept if term in ("deal", "video", "demand", "include")] == ["include", "demand", "video", "deal"]
    assert "deal" in terms(f"Does the deal include video on demand?\n{pasted}")


def test_no_units() -> None:
    assert scores("payment", []) == []


@given(st.text(), st.lists(st.text(), max_size=8))
def test_any_text_gives_one_finite_score_per_unit(query: str, units: list[str]) -> None:
    result = scores(query, units)
    assert len(result) == len(units)
    assert all(0 <= score < 1e9 for score in result)
    assert result == scores(query, units)


@given(st.lists(st.text(alphabet="ab _\nİ", max_size=12), min_size=1, max_size=8), st.randoms())
def test_the_order_of_units_does_not_matter(units: list[str], random: object) -> None:
    forward = scores("a ab b_a", units)
    assert scores("a ab b_a", units[::-1]) == pytest.approx(forward[::-1])


@given(st.from_regex(r"[a-z]{4,12}(_[a-z]{3,8}){0,2}", fullmatch=True))
def test_a_word_of_a_unit_finds_that_unit(word: str) -> None:
    assert hits(word, "0 1 2", f"<{word}>") in ([1], [])
    assert (hits(word, "0 1 2", f"<{word}>") == [1]) == bool(terms(word))
