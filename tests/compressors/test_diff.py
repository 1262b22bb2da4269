"""diff: kept lines stay verbatim and in order, every fold is told, and what the turn points at stays whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr.marker import hashes
from headroom.compressors import diff_fold
from headroom.compressors.base import Draft
from headroom.compressors.diff import Diff
from headroom.compressors.diff_lines import ADDED, COMMIT, CONTEXT, HUNK, REMOVED, SUBJECT, Patch
from headroom.model import Segment
from headroom.scoring import bm25

HASH = "0123456789abcdef"
COMPRESSOR = Diff()


def compress(text: str, question: str = "", arguments: str = "") -> Draft | None:
    segment = Segment(text, (0, 0), question=question, arguments=arguments)
    parsed = COMPRESSOR.parse(segment)
    if parsed is None:
        return None
    return COMPRESSOR.render(segment, parsed, bm25.scores(f"{question}\n{arguments}", parsed.units), "reversible", HASH)


def smaller(text: str, question: str = "") -> str:
    draft = compress(text, question)
    assert draft is not None
    assert not draft.lossless
    assert next(hashes(draft.text)) == HASH
    return draft.text


def hunk(start: int, changes: str, around: int = 3) -> str:
    """A hunk whose counts are right."""
    before = [f" before_{start}_{number} = unchanged" for number in range(around)]
    after = [f" after_{start}_{number} = unchanged" for number in range(around)]
    lines = [*before, *changes.splitlines(), *after]
    old = sum(1 for line in lines if line[0] != "+")
    new = sum(1 for line in lines if line[0] != "-")
    return "\n".join([f"@@ -{start},{old} +{start},{new} @@ def section_{start}():", *lines])


def file(path: str, *hunks: str) -> str:
    return "\n".join([f"diff --git a/{path} b/{path}", "index 1234567..89abcde 100644", f"--- a/{path}", f"+++ b/{path}", *hunks])


def commit(number: int, subject: str, *files: str, body: str = "") -> str:
    head = [f"commit {number:040x}", "Author: Ann Ames <ann@mail.test>", "Date:   Mon Jan 5 10:00:00 2026 +0000", "", f"    {subject}"]
    return "\n".join([*head, *[f"    {line}" for line in body.splitlines()], "", *files, ""])


def history(count: int = 40, lines: int = 12) -> str:
    changes = [
        "\n".join(f"{'-' if row % 2 else '+'}value_{number}_{row} = compute(width={number * row}, height={row})" for row in range(lines))
        for number in range(count)
    ]
    return "\n".join(
        commit(number + 1, f"Adjust the {number}th gauge", file(f"src/part_{number % 7}.py", hunk(10 * number + 1, changes[number])))
        for number in range(count)
    )


def test_a_small_diff_is_left_alone() -> None:
    assert compress(file("src/a.py", hunk(1, "-old\n+new"))) is None


def test_a_change_keeps_every_changed_line_and_folds_context() -> None:
    text = file("src/a.py", *[hunk(40 * number + 1, f"-old_{number} = 1\n+new_{number} = 2", around=8) for number in range(30)])
    short = smaller(text)
    for number in range(30):
        assert f"-old_{number} = 1\n+new_{number} = 2\n[16 context lines left out here]" in short
    assert "unchanged" not in short
    assert short.count("@@ def section_") == 30
    assert "diff --git a/src/a.py b/src/a.py" in short


def test_context_between_changes_is_told_where_it_stood() -> None:
    middle = "\n".join(f" middle_{number} of the hunk" for number in range(9))
    text = file("src/a.py", *[hunk(50 * number + 1, f"-first\n{middle}\n+second") for number in range(20)])
    assert "-first\n[12 context lines left out here]\n+second" in smaller(text)


def test_a_history_keeps_commits_files_and_hunks() -> None:
    text = history()
    short = smaller(text)
    assert len(short) < 0.6 * len(text)
    for number in range(40):
        assert f"commit {number + 1:040x}\n" in short
        assert f"    Adjust the {number}th gauge" in short
        assert f"@@ def section_{10 * number + 1}():" in short
    assert re.search(r"\[changed lines \+\d+ -\d+, 6 context lines left out here\]", short)


@pytest.mark.parametrize(
    "question",
    [
        'What did the commit "Adjust the 23th gauge" change?',
        "What became of value_23_7 there?",
        "Which commit set width=161 and height=7?",
        f"Show me what {24:040x} did",
    ],
)
def test_what_the_question_names_stays_whole(question: str) -> None:
    text = history()
    wanted = text[text.index("@@ -231,") : text.index("commit " + f"{25:040x}")].rstrip("\n")
    assert wanted in smaller(text, question)


def test_generated_files_fold_unless_they_are_named() -> None:
    noise = "\n".join(f'+    "left-pad-{number}": "^{number}.0.0",' for number in range(200))
    text = file("web/package-lock.json", hunk(1, noise)) + "\n" + file("src/a.py", hunk(1, "-old\n+new"))
    short = smaller(text)
    assert "[changed lines +200 -0, 6 context lines left out here]" in short
    assert "-old\n+new" in short
    assert '"left-pad-77": "^77.0.0"' in smaller(text, "Which version of left-pad-77 was locked?")


def test_a_moved_block_is_shown_once() -> None:
    block = [f"    step_{number}(gauge, width={number})" for number in range(60)]
    text = "\n".join(
        [
            file("src/old.py", hunk(1, "\n".join("-" + line for line in block))),
            file("src/new.py", hunk(1, "\n".join(["+def moved():", *["+" + line for line in block]]))),
            file("src/rest.py", hunk(900, "\n".join(f"+rest_{number} = {number}" for number in range(60)))),
        ]
    )
    short = smaller(text)
    assert "-    step_30(gauge, width=30)" in short
    assert "+    step_30(gauge, width=30)" not in short
    assert "[60 added lines moved unchanged from where they are removed, 6 context lines left out here]" in short
    assert "+def moved():" in short


def test_a_block_that_left_its_guard_is_not_unchanged() -> None:
    body = [f"record.step_{number}(gauge, width={number})" for number in range(22)]
    change = ["-    if record.allowed:", *(f"-        {line}" for line in body), *(f"+    {line}" for line in body)]
    short = smaller("\n".join(file(f"src/part{number}.py", hunk(1, "\n".join(change))) for number in range(8)))
    assert "moved unchanged" not in short
    assert "+    record.step_0(gauge, width=0)" in short


def test_minified_lines_and_binary_patches_fold() -> None:
    minified = "+" + "function(){return 1};" * 200
    binary = "diff --git a/logo.png b/logo.png\nGIT binary patch\nliteral 9000\n" + "\n".join("z" + "Ab9%" * 16 for _ in range(99))
    short = smaller("\n".join([file("app.js", hunk(1, minified + "\n+kept = 1")), binary, "", file("b.py", hunk(4, "-x = 1\n+x = 2"))]))
    assert "function(){return 1};" not in short
    assert "+kept = 1" in short
    assert "GIT binary patch\n[100 lines of binary data left out here]" in short
    assert "-x = 1\n+x = 2" in short


def test_a_combined_diff() -> None:
    body = "\n".join(["  context of both sides, unchanged, long enough to fold"] * 6 + ["- ours = 1", " -theirs = 2", "++merged = 3"])
    text = "\n".join(
        f"diff --cc src/m{number}.py\nindex 1111111,2222222..3333333\n--- a/src/m{number}.py\n+++ b/src/m{number}.py\n"
        f"@@@ -1,8 -1,8 +1,7 @@@ def f():\n{body}"
        for number in range(20)
    )
    short = smaller(text)
    assert short.count("- ours = 1\n -theirs = 2\n++merged = 3") == 20
    assert "context of both sides" not in short
    assert "diff --cc src/m7.py" in short


def test_windows_line_ends_stay() -> None:
    text = history().replace("\n", "\r\n")
    original = set(text.split("\n"))
    short = smaller(text, 'What did "Adjust the 3th gauge" do?')
    assert all(line in original or line.startswith("[") for line in short.split("\n"))
    assert "+value_3_4 = compute(width=12, height=4)\r\n" in short


def test_removed_lines_that_look_like_headers_are_removed_lines() -> None:
    patch = Patch(file("a.sql", hunk(1, "--- a comment of SQL\n+++ not a file\n-x")))
    assert [patch.kinds[row] for row in (8, 9, 10)] == [REMOVED, ADDED, REMOVED]
    assert [entry.path for entry in patch.files] == ["a.sql"]


def test_kinds_of_a_git_log() -> None:
    patch = Patch(
        commit(1, "First", file("a b/c.py", hunk(1, "-x\n+y")), body="because\ncommit messages may say commit") + commit(2, "Second")
    )
    assert [patch.lines[entry.subject].strip() for entry in patch.commits] == ["First", "Second"]
    assert patch.files[0].path == "a b/c.py"
    assert patch.kinds[0] == patch.kinds[1] == COMMIT
    assert patch.kinds[4] == SUBJECT
    assert list(patch.kinds).count(HUNK) == 1
    assert list(patch.kinds).count(CONTEXT) == 6


def test_plain_and_mailed_diffs_have_files_and_commits() -> None:
    plain = Patch("--- old/a.c\t2026-01-01\n+++ new/a.c\t2026-01-02\n@@ -1 +1 @@\n-x\n+y\n--- b.c\n+++ b.c\n@@ -1 +1 @@\n-x\n+y")
    assert [entry.path for entry in plain.files] == ["new/a.c", "b.c"]
    mailed = Patch(
        f"From {1:040x} Mon Sep 17 00:00:00 2001\nFrom: Ann\nSubject: [PATCH] Do it\n\nwhy\n---\n" + file("a.c", "@@ -1 +1 @@\n-x\n+y")
    )
    assert [mailed.lines[entry.subject] for entry in mailed.commits] == ["Subject: [PATCH] Do it"]


def test_wrong_counts_do_not_lose_the_hunks() -> None:
    text = history().replace(",12 @@", ",9 @@").replace("@@ -", "@@ -0")
    patch = Patch(text)
    assert len(patch.hunks) == 40
    assert compress(text) is not None


def test_lossless_leaves_nothing_out_and_equal_input_gives_equal_bytes() -> None:
    text = history()
    segment = Segment(text, (0, 0))
    parsed = COMPRESSOR.parse(segment)
    assert parsed is not None
    draft = COMPRESSOR.render(segment, parsed, [0.0] * len(parsed.units), "lossless", HASH)
    assert draft is not None
    assert draft.lossless
    assert diff_fold.decode(draft.text) == text
    assert smaller(text, "value_9_3") == smaller(text, "value_9_3")


_LINE = st.one_of(
    st.sampled_from(
        [
            "diff --git a/x b/x", "index 1..2", "--- a/x", "+++ b/x", "@@ -1,3 +1,3 @@",
            "@@@ -1,2 -1,2 +1,3 @@@", "@@ -9999999999999999 +1 @@",
            "commit 0123456789abcdef", "Author: x", "    subject words", " x | 3 +-", "GIT binary patch",
            "\\ No newline at end of file", "", "+", "-", " ", "\r",
        ]
    ),
    st.builds(lambda sign, rest: sign + rest, st.sampled_from("+- \\"), st.text(max_size=12)),
    st.text(max_size=20),
)  # fmt: skip


@given(st.lists(_LINE, max_size=60), st.text(max_size=40), st.integers(0, 3))
def test_any_text_keeps_its_order_and_tells_its_gaps(rows: list[str], question: str, copies: int) -> None:
    text = "\n".join([*rows, *(["+long enough to be looked at, line by line"] * 140 * copies), *rows])
    draft = compress(text, question)
    if draft is None:
        return
    assert 0 <= draft.items_kept < draft.items
    shown = iter(text.split("\n"))
    for line in draft.text.split("\n")[1:]:
        assert line in shown or re.fullmatch(r"\[.* left out here\]", line)


@pytest.mark.timeout(30)
def test_odd_text_costs_no_more_than_other_text() -> None:
    text = "@@ -1,9 +1,9 @@\n" + "-" * 300_000 + "\ndiff " + "a " * 100_000 + "\n" + "[" * 100_000 + "\n-x" * 100_000
    assert len(smaller(text, 'What did "Adjust the 3th gauge" change in value_3_4?')) < len(text)
