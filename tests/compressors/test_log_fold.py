"""The lossless form of logs: what it looks like, and that it always reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors import log_fold
from headroom.compressors.log_columns import tail, whole

HASH = "0123456789abcdef"

_REFUSED = ["head\n@a:1", "head\n@a = x <*> y\n@a:1,2", "head\n@a = x <=1> y\n@a", "head\n[lines 1-2 again]", "head\nx\n[lines 2-1 again]"]
_WORD = st.one_of(
    st.sampled_from(
        ["GET", "put", "", "a,b", "=5", "<*>", "<~>", "<=1>", "<^1>", "\x00", "\t", "é", "日本", "\ud800", "\r", "@a", "|", ":x"]
    ),
    st.integers(0, 10**7).map(str),
    st.from_regex(r"\A(v|blk_-?|user=|10\.0\.|=|,|0x)[0-9a-f]{1,6}\Z"),
    st.from_regex(r"\A[012]\d:[0-5]\d:[0-5]\d[.,]\d{3}Z?\Z"),
)
_ODD = st.one_of(
    st.text(max_size=30).map(lambda text: text.replace("\n", "")),
    st.sampled_from(["", "*5", "[lines 1-2 again]", "[line 1 again]", "@a = x <*>", "@a:1", "@53:", "a1,,b", "b", "|", "||", "\r", "\\"]),
)


@st.composite
def logs(draw: st.DrawFn) -> list[str]:
    """Lines of few templates with odd words in their holes, repeated blocks, and odd lines between."""
    templates = draw(
        st.lists(st.lists(st.sampled_from(["started", "the job", "on node", "INFO", "x=", "(m.py:", ")"]), max_size=6), max_size=4)
    )
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 40))):
        kind = draw(st.integers(0, 9))
        if kind == 0 or not templates:
            lines.append(draw(_ODD))
        elif kind == 1 and lines:
            start = draw(st.integers(0, len(lines) - 1))
            lines += lines[start : start + draw(st.integers(1, 8))]
        else:
            literals = draw(st.sampled_from(templates))
            joint = draw(st.sampled_from([" ", " ", ""]))
            lines.append("".join(f"{draw(_WORD)}{joint}{literal}{joint}" for literal in literals) + draw(_WORD))
    return [line.replace("\n", "") for line in lines] or [""]


@given(logs())
def test_everything_reads_back(lines: list[str]) -> None:
    assert log_fold.decode(log_fold.fold(lines, HASH)) == "\n".join(lines)


@given(st.text().map(lambda text: text.split("\n")))
def test_any_text_reads_back(lines: list[str]) -> None:
    assert log_fold.decode(log_fold.fold(lines, HASH)) == "\n".join(lines)


@given(st.text(alphabet="019:.ab", min_size=1), st.text(alphabet="019:.ab"))
def test_the_end_of_a_value_is_enough(value: str, before: str) -> None:
    cell = tail(value, before)
    assert whole(cell, before) == value
    assert len(cell) <= len(value) + 1


def test_templates_stand_once_and_lines_hold_what_changes() -> None:
    lines = [
        f"2031-02-03 0{at}:05:{at:02} INFO pool-7 stored part {900 + at} of batch b{at:03} at /srv/data/{at * 977}.bin" for at in range(9)
    ]
    folded = log_fold.fold(lines, HASH)
    head, form, first, second, *_ = folded.split("\n")
    assert HASH in head
    assert form == "@a = 2031-02-03 <*> INFO pool-7 stored part <*> of batch b<*> at /srv/data/<*>.bin"
    assert first == "a00:05:00,900,000,0"
    assert second == "a01:05:01,901,001,977"
    assert folded.count("stored part") == 1


def test_columns_that_repeat_another_are_not_written() -> None:
    lines = [f"lease {at * 7919} of worker {at % 3} renewed, lease {at * 7919} is good for 300 s" for at in range(20)]
    folded = log_fold.fold(lines, HASH)
    assert "renewed, lease <=1> is good" in folded
    assert log_fold.decode(folded) == "\n".join(lines)


def test_times_continue_across_templates() -> None:
    words = ("connected to the broker", "fetched a page of results from", "closed the connection of")
    lines = [f"2031-02-03T04:05:06.{at:03} DEBUG {words[at % 3]} peer-{at * 31 % 11}" for at in range(30)]
    folded = log_fold.fold(lines, HASH)
    assert folded.count("<^1>") >= 3
    assert folded.count("04:05:06") == 1


def test_rare_lines_that_differ_in_a_word_share_a_template() -> None:
    names = ("Invoice", "Basket", "Coupon", "Ledger", "Refund", "Tariff")
    lines = [line for name in names for line in (f"=== RUN   Test{name}", f"--- PASS: Test{name} (0.00s)")]
    folded = log_fold.fold(lines, HASH)
    assert folded.count("=== RUN") == 1
    assert folded.count("--- PASS") == 1


def test_a_block_is_referred_to() -> None:
    trace = [f"    at com.example.Pay.step{number}(Pay.java)" for number in "abcdefgh"]
    lines = ["first", *trace, "second", *trace, "third"]
    assert "[lines 2-9 again]" in log_fold.fold(lines, HASH).split("\n")


def test_a_log_of_other_lines_marks_the_few_that_have_a_template() -> None:
    lines = [f"{word} says something of its own" for word in ("Ann", "Bob", "Cy", "Di", "Ed")]
    lines = [line + "".join(reversed(line)) * at for at, line in enumerate(lines)]
    lines += [f"stored part {at} of the batch in the cellar" for at in (1, 2, 3)]
    folded = log_fold.fold(lines, HASH).split("\n")
    assert lines[0] in folded
    assert "@a:2" in folded


@pytest.mark.parametrize("folded", _REFUSED)
def test_what_was_not_written_here_is_an_error(folded: str) -> None:
    with pytest.raises(ValueError, match=r"no |more "):
        log_fold.decode(folded)


@given(logs())
def test_without_templates_lines_are_verbatim_or_referred_to(lines: list[str]) -> None:
    folded = log_fold.fold(lines, HASH, templates=False)
    assert log_fold.decode(folded) == "\n".join(lines)
    assert {line for line in lines if line[:1] not in ("@", "|", "*", "[")} <= set(folded.split("\n"))
