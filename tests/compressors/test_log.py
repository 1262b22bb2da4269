"""Logs: what is left out, what never is, and the lossless form's way back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import marker
from headroom.compressors import log_fold
from headroom.compressors.base import Draft
from headroom.compressors.log import Log, budget_of
from headroom.compressors.log_shapes import ERROR, mine
from headroom.model import Fidelity, Segment

HASH = "0123456789abcdef"


def render(text: str, question: str = "", fidelity: Fidelity = "reversible", scores: list[float] | None = None) -> Draft | None:
    segment = Segment(text, (0, len(text)), question=question)
    parsed = Log().parse(segment)
    if parsed is None:
        return None
    assert len(parsed.units) == text.count("\n") + 1
    return Log().render(segment, parsed, scores or [0.0] * len(parsed.units), fidelity, HASH)


def kept_lines(draft: Draft) -> list[str]:
    return draft.text.split("\n")


def worker_log(count: int = 300) -> list[str]:
    lines = []
    for number in range(count):
        stamp = f"2031-02-03T04:{number // 60:02}:{number % 60:02}.{number * 7 % 1000:03}Z"
        lines.append(f"{stamp} INFO worker-{number % 7} stored part {number * 31} of batch b{number:04x}f in {number % 90} ms")
    return lines


def test_keeps_the_ends_the_error_and_little_else() -> None:
    lines = worker_log()
    lines[151] = "2031-02-03T04:02:31.000Z ERROR worker-3 checksum mismatch in batch b0097f"
    draft = render("\n".join(lines))
    assert draft is not None
    assert len(draft.text) < 0.25 * len("\n".join(lines))
    for line in (*lines[:2], lines[150], lines[151], *lines[-2:]):
        assert line in kept_lines(draft)
    assert draft.items == 300
    assert draft.items_kept < 30
    assert list(marker.hashes(draft.text)) == [HASH]


def test_gaps_name_exactly_the_lines_that_are_missing() -> None:
    lines = worker_log()
    draft = render("\n".join(lines), question="what happened to part 3100?")
    assert draft is not None
    position = 0
    for line in kept_lines(draft):
        gap = re.match(r"\[lines? (\d+)(?:-(\d+))?\b", line)
        if gap:
            assert int(gap[1]) == position + 1
            position = int(gap[2] or gap[1])
        else:
            assert line == lines[position]
            position += 1
    assert position == len(lines)
    assert "INFO" in draft.text
    assert "stored part <*>" in draft.text


@pytest.mark.parametrize("name", ["b00c8f", "04:01:17.539Z", "`part 3410`"])
def test_keeps_what_the_question_names(name: str) -> None:
    lines = worker_log()
    wanted = [line for line in lines if name.strip("`") in line]
    draft = render("\n".join(lines), question=f"Which line mentions {name}?")
    assert wanted
    assert draft is not None
    assert set(wanted) <= set(kept_lines(draft))


def test_keeps_the_highest_scores() -> None:
    lines = worker_log()
    scores = [0.0] * len(lines)
    scores[77], scores[123], scores[124] = 9.0, 8.0, 1.0
    draft = render("\n".join(lines), scores=scores)
    assert draft is not None
    assert lines[77] in draft.text
    assert lines[123] in draft.text
    assert lines[124] not in draft.text


def test_every_distinct_error_stays_and_repeats_are_counted() -> None:
    lines = worker_log(400)
    problems = ["FATAL disk gone", "Exception in thread main", "Connection refused by peer", "build step failed", "exited with code 137"]
    for at, problem in enumerate(problems):
        lines[45 + 50 * at] = f"2031-02-03T05:00:0{at}Z {problem}"
    for at in range(100, 400, 20):
        lines[at] = f"2031-02-03T06:00:{at // 20:02}Z ERROR queue full, dropped {at} messages"
    draft = render("\n".join(lines))
    assert draft is not None
    for problem in problems:
        assert problem in draft.text
    assert 3 <= draft.text.count("queue full, dropped") < 15
    assert re.search(r"\d+ ERROR", draft.text)
    assert lines[380] in draft.text


def test_errors_that_differ_in_one_word_are_distinct() -> None:
    lines = worker_log(400)
    for at in range(50, 350, 10):
        lines[at] = f"2031-02-03T06:00:00Z ERROR shard {at} could not reach the primary of its group: reset"
    lines[170] = "2031-02-03T06:00:00Z ERROR shard 170 could not reach the primary of its group: unauthorized"
    draft = render("\n".join(lines))
    assert draft is not None
    assert lines[170] in draft.text


def test_a_stack_trace_stays_whole() -> None:
    trace = ["Traceback (most recent call last):"]
    for depth in range(12):
        trace += [f'  File "/srv/app/m{depth}.py", line {depth}, in f{depth}', f"    return g{depth}()"]
    trace.append("LookupError: no tariff for zone 9")
    java = ["2031-02-03T05:00:00Z ERROR c.e.Pay - declined", "java.lang.IllegalStateException: no route"]
    java += [f"\tat com.example.Pay.step{number}(Pay.java:{number})" for number in range(20)]
    lines = [*worker_log(200), *trace, *worker_log(200), *java, *worker_log(200)]
    draft = render("\n".join(lines))
    assert draft is not None
    assert "\n".join(trace) in draft.text
    assert "\n".join(java[1:]) in draft.text


def test_a_log_of_nothing_but_errors_still_gets_smaller() -> None:
    lines = [f"RAS KERNEL FATAL data storage interrupt at 0x{number:08x} core {number % 64}" for number in range(500)]
    lines[250] = "RAS KERNEL FATAL machine check: i-cache parity"
    draft = render("\n".join(lines))
    assert draft is not None
    assert draft.items_kept < 20
    assert lines[250] in draft.text


def test_first_and_last_of_a_rare_template_stay() -> None:
    lines = worker_log(400)
    lines[90] = "2031-02-03T04:01:30Z INFO election started by node 4"
    lines[300] = "2031-02-03T04:05:00Z INFO election started by node 9"
    draft = render("\n".join(lines))
    assert draft is not None
    assert lines[90] in draft.text
    assert lines[300] in draft.text


def test_identical_lines_become_a_count() -> None:
    lines = ["starting up now", *["waiting for the database to come up"] * 500, "ready to serve requests"]
    draft = render("\n".join(lines))
    assert draft is not None
    assert draft.lossless
    assert log_fold.decode(draft.text) == "\n".join(lines)
    assert len(draft.text) < 600


def test_lossless_decodes_to_the_same_bytes() -> None:
    lines = [*worker_log(), "@ not a rule", "\\ not an escape", *["tick"] * 9, "", "", "literal <*> stays 17", "crlf 12\r"]
    draft = render("\n".join(lines), fidelity="lossless")
    assert draft is not None
    assert draft.lossless
    assert len(draft.text) < 0.7 * len("\n".join(lines))
    assert log_fold.decode(draft.text) == "\n".join(lines)


def test_short_texts_are_left_alone() -> None:
    assert render("one\ntwo\nthree") is None


@pytest.mark.parametrize("chars", [0, 10_000, 100_000, 5_000_000])
def test_budget_grows_slower_than_the_text(chars: int) -> None:
    assert budget_of(chars) <= max(1200, chars // 5)


_LINE = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"\A(INFO|ERROR|@\d|\\|\^) job \d{1,4} took \d{1,3} ms at node-[a-f]\d\Z"),
    st.sampled_from(["", "\r", "\x00", "@x 3", '  File "a", line 3', "Traceback (most recent call last):", "a" * 300, "-1 " * 90]),
)


@given(st.lists(_LINE, max_size=60).map("\n".join), st.text(max_size=60), st.sampled_from(["lossless", "reversible"]))
def test_any_text_is_rendered_the_same_way_twice_or_not_at_all(text: str, question: str, fidelity: Fidelity) -> None:
    draft = render(text, question, fidelity)
    assert draft == render(text, question, fidelity)
    if draft is not None:
        assert len(draft.text) < len(text)
        assert HASH in draft.text
        assert 0 < draft.items_kept <= draft.items
        if draft.lossless:
            assert log_fold.decode(draft.text) == text


@given(st.lists(_LINE, max_size=40))
def test_folding_is_exact_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines * 6)
    folded = log_fold.encode(text.split("\n"), HASH)
    assert folded is None or log_fold.decode(folded) == text


@pytest.mark.parametrize("sign", ["a", "1", " ", "a1.", "\x00", "\u00e9", "[", "at "])
def test_a_huge_single_line_is_survived(sign: str) -> None:
    text = "\n" * 20 + sign * (400_000 // len(sign))
    render(text, "what about `a1.a1`?")
    render(text, fidelity="lossless")


FAILED = [
    "not ok 447 - load store",
    "    not ok 3 - nested",
    "health probe of web-3 failed, expected 200 OK got 503",
    "--- FAIL: TestOk (0.00s)",
    "    --- FAIL: TestOk/sub_1 (0.00s)",
    "FAIL\tgithub.com/x/ok\t0.012s",
    "FAIL src/mod14.test.js",
    "    ✕ parses ok values (5 ms)",
    "  ✗ ok",
    "test parse::ok ... FAILED",
    "test result: FAILED. 4 passed; 1 failed; 0 ignored",
    "tests/test_a.py::test_ok FAILED                 [ 33%]",
    "FAILED tests/test_a.py::test_ok - assert 1 == 2",
    "[gw0] [ 10%] FAILED tests/test_a.py::test_ok",
    "Tests run: 5, Failures: 1, Errors: 0, Skipped: 0",
    "Tests run: 5, Failures: 0, Errors: 2, Skipped: 0",
    "MyTest > testOk() FAILED",
    " 3/10 Test  #3: parse_ok .................***Failed    0.01 sec",
    "90% tests passed, 1 tests failed out of 10",
    "  returns ok (FAILED - 1)",
    "5 examples, 1 failure",
    "  1 failing",
    "[  FAILED  ] Foo.ok (0 ms)",
    "test_ok (tests.T) ... FAIL",
    "test_ok (tests.T) ... ERROR",
    "t/ok.t .. Failed 1/3 subtests",
    '{"ok":false,"error":"connection refused"}',
    "host1 : ok=5 changed=0 unreachable=0 failed=1",
    "=== 1 failed, 4 passed in 0.12s ===",
    "Tests:       1 failed, 749 passed, 750 total",
    "job 0 failed after ok from node",
]
PASSED = [
    "ok 446 - handles errors",
    "ok 446 - error is refused",
    "not ok 5 - error path # TODO later",
    "ok  \tgithub.com/x/errors\t0.012s",
    "--- PASS: TestError (0.00s)",
    "=== RUN   TestError",
    "PASS src/error.test.js",
    "    ✓ reports an error (5 ms)",
    "  √ failed login is refused",
    "test errors::failed ... ok",
    "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured",
    "tests/test_error.py::test_failed PASSED                 [ 33%]",
    "PASSED tests/test_error.py::test_failed",
    "[gw0] [ 10%] PASSED tests/test_error.py::test_failed",
    "Tests run: 5, Failures: 0, Errors: 0, Skipped: 0",
    "MyTest > testError() PASSED",
    " 3/10 Test  #3: parse error .................   Passed    0.01 sec",
    "100% tests passed, 0 tests failed out of 10",
    "5 examples, 0 failures",
    "[       OK ] Foo.error failed (0 ms)",
    "test_error (tests.T) ... ok",
    "test error failed ... ok (0.123s)",
    "t/error.t ... ok",
    "host1 : ok=5 changed=0 unreachable=0 failed=0",
    "[ 10%] PASSED error path",
    '10.0.0.1 - "GET /errors HTTP/1.1" 200 OK',
]


@pytest.mark.parametrize(("line", "failed"), [*((line, True) for line in FAILED), *((line, False) for line in PASSED)])
def test_what_became_of_a_test_is_told_from_its_outcome_and_not_from_its_name(line: str, failed: bool) -> None:
    assert (mine(line).severity_of(0) == ERROR) is failed


def test_a_failed_test_stays_among_hundreds_that_passed() -> None:
    words = ["parse", "load", "store", "token", "merge", "index", "query", "flush"]
    names = [f"{words[n % 8]} {words[n // 8 % 8]} {words[n // 64 % 8]}s" for n in range(1, 901)]
    tap = [f"ok {n} - {name}" for n, name in enumerate(names, 1)]
    tap[446] = f"not {tap[446]}"
    draft = render("\n".join(["TAP version 13", "1..900", *tap]))
    assert draft is not None
    assert tap[446] in kept_lines(draft)
    maven = [f"Tests run: {n % 7 + 1}, Failures: {int(n == 200)}, Errors: 0, Skipped: 0 - in com.acme.Suite{n}" for n in range(400)]
    draft = render("\n".join(maven))
    assert draft is not None
    assert maven[200] in kept_lines(draft)


def test_a_gap_counts_the_errors_that_no_level_tells() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta", "kappa"]
    lines = []
    for number in range(600):
        lines.append(f"2024-05-01 10:{number // 60:02}:{number % 60:02} INFO request {number} served")
        if number % 3 == 1:
            some = [words[number // part % 8] for part in (3, 24, 192, 5)]
            lines.append(f"connection to db-{some[0]} refused while {some[1]} {some[2]} {some[3]}")
    draft = render("\n".join(lines))
    assert draft is not None
    gaps = [line for line in kept_lines(draft) if line.startswith("[line")]
    shown = sum("refused" in line and not line.startswith("[") for line in kept_lines(draft))
    assert sum(int(found[1]) for gap in gaps if (found := re.search(r"(\d+) with errors", gap))) == 200 - shown > 50
    assert any(re.search(r": \d+ lines, \d+ INFO, \d+ with errors; mostly `", gap) for gap in gaps)


def test_a_gap_names_every_level() -> None:
    levels = ("INFO", "DEBUG", "TRACE", "NOTICE", "WARN", "ALERT")
    lines = [f"2024-05-01 10:00:{n % 60:02} {levels[n % 6]} step {n} is done" for n in range(600)]
    draft = render("\n".join(lines))
    assert draft is not None
    gap = next(line for line in kept_lines(draft) if line.startswith("[lines 13-594"))
    assert re.findall("[A-Z]+", gap) == list(levels)
