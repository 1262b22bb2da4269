"""Tables that are text: rows are left out only where that is said, and padding comes back exactly."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import marker
from headroom.compressors import table_padding
from headroom.compressors.base import Draft
from headroom.compressors.table import Tables
from headroom.compressors.table_grid import read
from headroom.model import Fidelity, Segment, content_hash
from headroom.scoring import bm25

TABLES = Tables()

CSV = "id,ship,port,length\n" + "".join(f"{n},ship-{n * 7919 % 9973},{('Brest', 'Dover')[n // 150]},{20 + n % 9}\n" for n in range(300))
PODS = "NAME                          READY   STATUS             RESTARTS   AGE\n" + "".join(
    f"{f'web-{n * 31 % 997}-x':<30}{'1/1':<8}{'Running' if n != 77 else 'CrashLoopBackOff':<19}{n % 3:<11}{n // 9}d\n" for n in range(150)
)
PSQL = (
    " id  |   name    | total\n-----+-----------+-------\n"
    + "".join(f" {n:3} | {'client' + str(n):9} | {n * 31 % 977:5}\n" for n in range(1, 200))
    + "(199 rows)\n"
)
BOX = (
    "+-------+------------------------------+\n| id    | name                         |\n+-------+------------------------------+\n"
    + "".join(f"| {n:5} | {'client' + str(n):28} |\n" for n in range(1, 200))
    + "+-------+------------------------------+\n199 rows in set\n"
)
MARKDOWN = "| Name | Size |\n|------|-----:|\n" + "\n".join(f"| file{n}.txt | {n * 37 % 1000} |" for n in range(300))
ALL = {"csv": CSV, "pods": PODS, "psql": PSQL, "box": BOX, "markdown": MARKDOWN}


def compress(text: str, question: str = "", fidelity: Fidelity = "reversible") -> Draft | None:
    segment = Segment(text, (0, 0), question=question)
    parsed = TABLES.parse(segment)
    if parsed is None:
        return None
    return TABLES.render(segment, parsed, bm25.scores(question, parsed.units), fidelity, content_hash(text))


def view(text: str, question: str = "") -> str:
    draft = compress(text, question)
    assert draft is not None
    return draft.text


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_large_tables_keep_header_ends_and_count_what_is_left_out(text: str) -> None:
    shown = view(text)
    grid = read(text)
    assert grid is not None
    for line in (*grid.head, grid.records[0], grid.records[1], grid.records[-1], *grid.tail):
        assert squeezed(line) in squeezed(shown)
    assert list(marker.hashes(shown)) == [content_hash(text)]
    missing = sum(1 for record in grid.records if squeezed(record) not in squeezed(shown))
    said = sum(int(count) for count in re.findall(r"\((\d+) rows\)[^\]]*left out here\]", shown)) + len(re.findall(r"\[row \d+", shown))
    assert missing == said > 0.5 * len(grid.records)


@pytest.mark.parametrize(
    ("text", "question", "row"),
    [
        (CSV, "How long is the ship with id 222, the one called ship-2770?", "222,ship-2770,Dover,26"),
        (PSQL, "What does client88 owe?", "88 | client88 | 774"),
        (PODS, "Which pods do not run?", "1/1 CrashLoopBackOff 2"),
        (MARKDOWN, "How large is `file123.txt`?", "| file123.txt | 551 |"),
    ],
)
def test_the_row_that_is_asked_for_stays(text: str, question: str, row: str) -> None:
    assert row in squeezed(view(text, question))


def test_gaps_say_ranges_and_values() -> None:
    assert re.search(r"\[rows 3-\d+ \(\d+ rows\): id 2\.\.\d+; port Brest; length 20\.\.28 left out here\]", view(CSV))


@pytest.mark.parametrize("text", [PODS, BOX], ids=["pods", "box"])
def test_the_lossless_form_decodes(text: str) -> None:
    draft = compress(text, fidelity="lossless")
    assert draft is not None
    assert draft.lossless
    assert len(draft.text) < 0.95 * len(text)
    assert table_padding.decode(draft.text) == text


@pytest.mark.parametrize("text", [CSV, MARKDOWN], ids=["csv", "markdown"])
def test_without_padding_there_is_no_lossless_form(text: str) -> None:
    assert compress(text, fidelity="lossless") is None


def test_quoted_cells_hold_separators_and_line_ends() -> None:
    text = 'id,"name, first",note\n' + "".join(f'{n},"Lind, Ada","two\nlines"\n' for n in range(200))
    grid = read(text)
    assert grid is not None
    assert grid.names == ["id", "name  first", "note"]
    assert grid.records[7] == '7,"Lind, Ada","two\nlines"'
    assert grid.cells[7] == ["7", "Lind, Ada", "two\nlines"]
    assert "".join(f"{line}\n" for line in [*grid.head, *grid.records]) + "\n".join(grid.tail) == text


@pytest.mark.parametrize(
    ("text", "names", "cells"),
    [
        ("PID  USER\nx", None, None),
        ("Filesystem 1K-blocks Used Use% Mounted on\n" + "/dev/a     100       7    7%   /mnt/a\n" * 4,
         ["Filesystem", "1K-blocks", "Used", "Use%", "Mounted on"], ["/dev/a", "100", "7", "7%", "/mnt/a"]),
        ("out:\nNAME  AGE  KIND\n" + "a b   3d   pod\n" * 4 + "\ndone", ["NAME", "AGE", "KIND"], ["a b", "3d", "pod"]),
        ("a\tb\n1\t2\n1\t2\n1\t2", ["a", "b"], ["1", "2"]),
        ("no table\nat all\nin here", None, None),
        ("", None, None),
    ],
)  # fmt: skip
def test_grids(text: str, names: list[str] | None, cells: list[str] | None) -> None:
    grid = read(text)
    assert (grid and grid.names) == names
    assert (grid and grid.cells[0]) == cells


def test_a_value_that_reaches_into_the_next_column_stays_where_it_is() -> None:
    rule = "columns between tabs of widths 6<,5<,="
    assert table_padding.squeeze(["NAME  AGE  KIND", "toolongname  x"], rule) == ["NAME\tAGE\tKIND", "toolongname  x"]


def test_lines_that_could_be_misread_stand_behind_a_backslash() -> None:
    rule = "columns between pipes of widths =,5>,="
    lines = ["|  name |", "|     7 |", "| left  |", "\\odd", "plain"]
    short = table_padding.squeeze(lines, rule)
    assert short == ["| name |", "| 7 |", "\\| left  |", "\\\\odd", "plain"]
    assert table_padding.stretch(short, rule) == lines


@pytest.mark.parametrize("text", ["", "[no rule here; original]\na|b"])
def test_decode_needs_a_rule(text: str) -> None:
    with pytest.raises(ValueError, match="no rule"):
        table_padding.decode(text)


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\n\t|\r"), max_size=8)


@given(st.lists(st.tuples(_CELL, _CELL, _CELL), min_size=3, max_size=20), st.sampled_from("<>^"), st.booleans())
def test_padding_comes_back_exactly(rows: list[tuple[str, str, str]], side: str, piped: bool) -> None:
    if piped:
        lines = [f"| {a:<12} | {b:{side}12} | {c:^12} |" for a, b, c in [("one", "two", "three"), *rows]]
    else:
        lines = [f"{a:<12}{b:<14}{c}" for a, b, c in [("ONE", "TWO", "THREE"), *rows]]
    rule = table_padding.rule(lines, 0)
    if rule:
        short = table_padding.squeeze(lines, rule)
        assert table_padding.decode("\n".join([f"[{rule}]", *short])) == "\n".join(lines)


@given(
    st.lists(st.sampled_from([",", "|", "\t", '"', "\n", "-", "a", "1", " ", "  ", "\r", "\0", "\u2500", "NAME  "]), max_size=120),
    st.text(max_size=20),
)
def test_any_text_is_a_table_or_not(pieces: list[str], question: str) -> None:
    for fidelity in ("reversible", "lossless"):
        text = "".join(pieces) * 40
        first = compress(text, question, fidelity)
        assert first == compress(text, question, fidelity)
        if first is not None and first.lossless:
            assert table_padding.decode(first.text) == text


def test_a_comma_inside_values_is_no_separator() -> None:
    prices = "city;price;rank\n" + "".join(f"City{n};{f'{n % 90},{n * 7 % 100:02}' if n != 211 else '9950,07'};{n}\n" for n in range(399))
    grid = read(prices)
    assert grid is not None
    assert list(grid.names) == ["city", "price", "rank"]
    assert "City211;9950,07;211" in view(prices, "Which city is by far the dearest?")
    balances = "| account | balance | team |\n|---|---|---|\n" + "".join(
        f"| acc{n} | {1 + n % 9},{n * 37 % 1000:03} | t{n % 3} |\n" for n in range(300)
    )
    grid = read(balances)
    assert grid is not None
    assert "balance" in grid.names
    shown = view(balances)
    assert "table of 300 rows" in shown
    assert re.search(r"balance 1\d{3}\.\.9\d{3}", shown)
