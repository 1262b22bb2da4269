"""Texts of no known kind: what is cleaned, what is left out, what never is, and the lossless forms' way back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import marker
from headroom.compressors import log_fold, text_rows
from headroom.compressors.base import Draft
from headroom.compressors.text import Text, budget_of
from headroom.compressors.text_units import take_apart
from headroom.model import Fidelity, Segment

HASH = "0123456789abcdef"
COLOURS = ["amber", "beige", "coral", "denim", "ebony", "flax", "green"]


def render(
    text: str,
    question: str = "",
    fidelity: Fidelity = "reversible",
    scores: list[float] | None = None,
    tool: str = "",
    arguments: str = "",
) -> Draft | None:
    segment = Segment(text, (0, len(text)), tool=tool, arguments=arguments, question=question)
    parsed = Text().parse(segment)
    if parsed is None:
        return None
    return Text().render(segment, parsed, scores or [0.0] * len(parsed.units), fidelity, HASH)


def city(number: int) -> str:
    return f"{COLOURS[number % 7].title()}{'aeiou'[number % 5]}{chr(97 + number * 11 % 26)}ton"


def rows(count: int = 900) -> list[tuple[str, int]]:
    return [(city(number) + str(number), 1000 + number * 7919 % 5000) for number in range(count)]


def described(containers: int = 60) -> list[str]:
    """A `key: value` description with one section for each of many alike containers."""
    lines = ["Name:         shop-7", "Namespace:    store", "Containers:"]
    for number in range(containers):
        lines += [
            f"  sidecar-{COLOURS[number % 7]}-{number}:",
            f"    Image:          registry.example/side-{number}:1.{number}",
            "    State:          Running",
            "    Ready:          True",
            "    Restart Count:  0",
            "    Limits:",
            "      cpu:     200m",
            "      memory:  128Mi",
            "    Environment:",
            "      LOG_FORMAT:   plain",
            "      TRACE_RATIO:  0.25",
        ]
    return [*lines, "QoS Class:    Burstable", "Events:       <none>"]


def test_a_literal_on_one_line_is_cut_between_its_elements() -> None:
    text = str(rows())
    draft = render(text)
    assert draft is not None
    assert draft.items == 900
    assert draft.items_kept < 450
    assert len(draft.text) < 0.5 * len(text)
    for row in (rows()[0], rows()[1], rows()[-1]):
        assert str(row) in draft.text
    assert list(marker.hashes(draft.text)) == [HASH]
    assert re.search(r"\n\[elements \d+-\d+ left out here\]\n", draft.text)


def test_the_extremes_of_a_column_stay() -> None:
    data = rows()
    data[400], data[600] = ("Somewhere", 9_000_000), ("Elsewhere", 3)
    draft = render(str(data))
    assert draft is not None
    assert "('Somewhere', 9000000)" in draft.text
    assert "('Elsewhere', 3)" in draft.text


def test_nested_literals_are_cut_where_they_have_many_elements() -> None:
    text = str({"status": "ok", "result": {"rows": rows()}, "took": 17})
    draft = render(text)
    assert draft is not None
    assert draft.text.split("\n")[1].startswith("{'status': 'ok', 'result': {'rows': [('Amber")
    assert "'took': 17}" in draft.text
    assert len(draft.text) < 0.5 * len(text)


@pytest.mark.parametrize("name", [f"{city(499)}499", f"('{city(424)}424', ", f"`{city(703)}703`"])
def test_keeps_what_the_question_names(name: str) -> None:
    text = str(rows())
    wanted = name.strip("`(', ")
    assert wanted in text
    draft = render(text, question=f"How many people live in {name}?")
    assert draft is not None
    assert wanted in draft.text


def test_keeps_the_highest_scores_with_their_headings() -> None:
    lines = described()
    at = lines.index("  sidecar-green-48:") + 9
    scores = [0.0] * len(lines)
    scores[at] = 7.0
    lines[at] = "      TRACE_TARGET: inside"
    draft = render("\n".join(lines), scores=scores)
    assert draft is not None
    assert lines[at] in draft.text
    assert "  sidecar-green-48:" in draft.text


def test_what_went_wrong_stays_with_its_section() -> None:
    lines = described()
    at = lines.index("  sidecar-beige-36:") + 2
    lines[at : at + 1] = ["    State:          Waiting", "      Reason:       CrashLoopBackOff", "      Exit Code:    137"]
    draft = render("\n".join(lines))
    assert draft is not None
    kept = draft.text.split("\n")
    for line in ("Containers:", "  sidecar-beige-36:", *lines[at : at + 3]):
        assert line in kept
    assert len(draft.text) < 0.6 * len("\n".join(lines))


def test_every_message_of_a_linter_stays_when_they_are_few() -> None:
    lines = ["> shop@1.0.0 check", "> tsc --noEmit", ""]
    messages = [f"src/{COLOURS[n % 7]}/part{n}.ts({n},7): error TS2{n % 9}07: Cannot find '{city(n)}'." for n in range(60)]
    noise = [f"copied asset number {number} of the {COLOURS[number % 7]} bundle into its place" for number in range(200)]
    draft = render("\n".join([*lines, *noise, *messages]))
    assert draft is not None
    assert all(message in draft.text for message in messages)
    assert draft.text.count("copied asset") < 80


def test_gaps_name_exactly_the_lines_that_are_missing() -> None:
    lines = described()
    draft = render("\n".join(lines))
    assert draft is not None
    position = 0
    for line in draft.text.split("\n")[1:]:
        gap = re.match(r"\[lines? (\d+)(?:-(\d+))?\b", line)
        if gap:
            assert int(gap[1]) == position + 1
            position = int(gap[2] or gap[1])
        else:
            assert line == lines[position]
            position += 1
    assert position == len(lines)


def test_files_left_out_of_a_listing_are_named() -> None:
    lines = ["total 812", *(f"-rw-r--r--  1 ann staff {7 * n + 300:6} Mar  3 09:{n % 60:02} {city(n)}_{n}.py" for n in range(160))]
    draft = render("\n".join(lines))
    assert draft is not None
    assert all(f"{city(number)}_{number}.py" in draft.text for number in range(160))
    assert len(draft.text) < 0.75 * len("\n".join(lines))


def test_an_overlong_line_among_others_is_cut_inside() -> None:
    words = " ".join(f"{COLOURS[number * 5 % 7]} {city(number)}" for number in range(600))
    draft = render("\n".join(["$ report --rows", str(rows()), "", words, "$ exit"]))
    assert draft is not None
    lines = draft.text.split("\n")
    assert lines[0].startswith("[5 lines, ")
    assert lines[1].startswith("$ report --rows")
    assert lines[-1] == "$ exit"
    assert re.search(r"\[elements \d+-\d+ of line 2 left out here\]", draft.text)
    assert re.search(r"\[characters \d+-\d+ of line 4 left out here\]", draft.text)


def test_a_text_of_messages_alone_stays() -> None:
    assert render("\n".join(f"src/part{n}.ts({n},7): error TS2307: Cannot find module '{city(n)}'." for n in range(90))) is None


@pytest.mark.parametrize(("line", "kept"), [("0 errors in the north wing", False), ("10 errors in the north wing", True)])
def test_denied_trouble_is_none(line: str, kept: bool) -> None:
    lines = [f"checked the {COLOURS[n % 7]} pipe of room {n} and found it to be dry" for n in range(300)]
    lines[260] = lines[260] + "; " + line
    draft = render("\n".join(lines))
    assert draft is not None
    assert (lines[259] in draft.text) == kept  # what went wrong stays with the line before it


def test_a_view_of_moderate_size_stays() -> None:
    lines = ["[File: /srv/shop/cart.py (300 lines total)]", *(f"{n}:    total_{n} = price[{n}] * {n}" for n in range(1, 160))]
    assert render("\n".join(lines)) is None
    text = "\n".join(f"the {COLOURS[n % 7]} value number {n} = {n * n}" for n in range(220))
    assert render(text) is not None
    assert render(text, tool="bash", arguments='{"command": "cd /srv && cat values.txt"}') is None
    assert render(text, tool="Read", arguments='{"file_path": "values.txt"}') is None
    assert render(2 * text, tool="Read", arguments='{"file_path": "values.txt"}') is not None


def test_terminal_output_is_cleaned_and_says_so() -> None:
    spinner = "Building wheels ... " + "-\b\\\b|\b/\b" * 8 + "done"
    progress = "\r".join(f"   {'#' * (n // 5):20} {n}/100 kB eta 0:00:{100 - n:02}" for n in range(1, 101))
    draft = render("\n".join(["\x1b[32mCollecting\x1b[0m shop", spinner, progress, "\x1b[1mSuccessfully\x1b[0m installed"]))
    assert draft is not None
    head, *lines = draft.text.split("\n")
    assert lines[:2] == ["Collecting shop", "Building wheels ... done"]
    assert lines[2].endswith("100/100 kB eta 0:00:00")
    assert lines[3:] == ["Successfully installed"]
    assert HASH in head
    assert "terminal escapes removed; overwritten progress output removed" in head


def test_a_message_among_progress_frames_stays() -> None:
    frames = [f"fetching {n}%" for n in range(50)]
    frames[20:20] = ["checksum mismatch, trying again"]
    assert take_apart("\r".join(frames) + "\r\nend").texts == ["checksum mismatch, trying again", "fetching 49%\r", "end"]


def test_short_texts_are_left_alone() -> None:
    assert render("one\ntwo\nthree") is None
    assert render("\n".join(described(2))) is None


@pytest.mark.parametrize(
    "data",
    [
        rows(),
        [(name,) for name, _ in rows()],
        [{"id": number, "name": name, "gone": None, "score": number / 8} for name, number in rows()],
        [*rows(), ("O'Neil|s", -1), ("a\nb", 2), ("<*>", 3), (None, True)],
    ],
)
def test_a_literal_decodes_to_the_same_bytes(data: list[object]) -> None:
    draft = render(str(data), fidelity="lossless")
    assert draft is not None
    assert draft.lossless
    assert len(draft.text) < 0.95 * len(str(data))
    assert text_rows.decode(draft.text) == str(data)


def test_lines_decode_to_the_same_bytes() -> None:
    text = "\n".join(f"sensor {n % 7} in the {COLOURS[n % 3]} room measured 21.{n % 10} degrees" for n in range(300))
    draft = render(text, fidelity="lossless")
    assert draft is not None
    assert log_fold.decode(draft.text) == text


def test_decoding_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="as many values"):
        text_rows.decode("head\n(<*>, <*>), \n1|2|3")


@pytest.mark.parametrize("chars", [0, 10_000, 100_000, 5_000_000])
def test_budget_is_less_than_half(chars: int) -> None:
    assert budget_of(chars) <= 3 * chars // 8
    assert budget_of(chars) <= budget_of(chars, is_view=True) <= chars // 2


_LINE = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"\A {0,6}[a-z]{1,6}: (ok|error|\d{1,4})\Z"),
    st.sampled_from(["", "\r", "a\rb\rc", "x\b\by", "\x1b[2Kgone", "TITLE", "=====", "  k: v", "[1, 2, (3, '4')]", "\\", "'", "a" * 300]),
)


@given(st.lists(_LINE, max_size=40), st.sampled_from([1, 60]), st.text(max_size=60), st.sampled_from(["lossless", "reversible"]))
def test_any_text_is_rendered_the_same_way_twice_or_not_at_all(lines: list[str], times: int, question: str, fidelity: Fidelity) -> None:
    text = "\n".join(lines * times)
    draft = render(text, question, fidelity)
    assert draft == render(text, question, fidelity)
    if draft is not None:
        assert len(draft.text) < len(text)
        assert HASH in draft.text
        assert 0 <= draft.items_kept <= draft.items
        if fidelity == "lossless":
            assert text in (log_fold.decode(draft.text), _rows(draft.text))


def _rows(encoded: str) -> str:
    try:
        return text_rows.decode(encoded)
    except ValueError:
        return ""


@given(st.text(alphabet="[](){}'\",\\ ab1\n", max_size=300), st.integers(min_value=1, max_value=60))
def test_units_joined_are_the_text(piece: str, times: int) -> None:
    text = piece * times
    units = take_apart(text)
    if not units.cleaned:
        assert "".join(part for pair in zip(units.texts, units.glue, strict=True) for part in pair) == text
    assert len(units.texts) == len(units.glue) == len(units.line) == len(units.first) == len(units.last)


@given(st.lists(st.tuples(st.text(max_size=8), st.integers(), st.none() | st.booleans() | st.floats()), min_size=1, max_size=12))
def test_rows_are_exact_or_refused(data: list[tuple[object, ...]]) -> None:
    text = str(data * 30)
    encoded = text_rows.encode(take_apart(text).texts, HASH)
    assert encoded is None or text_rows.decode(encoded) == text


@pytest.mark.parametrize(
    "sign", ["a", "1", " ", "a1.", "\x00", "[", "'\\", "'\"", "error ", "\x1b[", "\b", "\r", ",", "a: ", "=-", "\u00e9"]
)
def test_a_huge_single_line_is_survived(sign: str) -> None:
    text = "\n" * 20 + sign * (400_000 // len(sign))
    render(text, "what about `a1.a1`?")
    render(text, fidelity="lossless")


def test_carriage_returns_that_end_lines_are_no_progress() -> None:
    records = ["id;name;amount", *(f"{n};account;{n * 37 % 1000}" for n in range(300))]
    assert [text.strip() for text in take_apart("\r".join(records)).texts] == records
    frames = [f"{sign} building the site" for sign in "|/-" * 50]
    assert take_apart("\r".join(frames) + "\nend").texts == ["- building the site", "end"]
