"""Runs of lines that stand earlier in the same request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headroom.repeats import MIN_CHARS, repeats

FILE = [f"def function_{n}(argument):  # the body of number {n}" for n in range(40)]
TEXT = "\n".join(FILE)


def test_a_file_read_twice_is_one_run() -> None:
    (_, (run,)) = repeats([TEXT, TEXT], [True, True])
    assert (run.start, run.end, run.source, run.at) == (0, 40, 0, 0)


def test_a_third_read_refers_to_the_first() -> None:
    *_, (run,) = repeats([TEXT, TEXT, TEXT], [False, False, True])
    assert run.source == 0


def test_an_edited_file_repeats_around_the_edit() -> None:
    edited = "\n".join([*FILE[:20], "changed here and now", *FILE[21:]])
    (_, runs) = repeats([TEXT, edited], [True, True])
    assert [(run.start, run.end, run.at) for run in runs] == [(0, 20, 0), (21, 40, 21)]


def test_a_few_common_lines_are_no_repeat() -> None:
    other = "\n".join([*FILE[:3], *(f"something else {n}" for n in range(40))])
    assert repeats([TEXT, other], [True, True]) == [(), ()]


def test_nothing_is_said_of_texts_nobody_asked_for() -> None:
    assert repeats([TEXT, TEXT], [True, False]) == [(), ()]


LINES = st.lists(st.sampled_from([*FILE[:12], "", "}", "x" * 500]), max_size=40).map("\n".join)


@given(st.lists(LINES, max_size=6))
def test_every_run_is_what_it_says(texts: list[str]) -> None:
    lines = [text.split("\n") for text in texts]
    for number, runs in enumerate(repeats(texts, [True] * len(texts))):
        position = 0
        for run in runs:
            assert position <= run.start < run.end <= len(lines[number])
            assert run.source < number
            assert lines[number][run.start : run.end] == lines[run.source][run.at : run.at + run.end - run.start]
            assert len("\n".join(lines[number][run.start : run.end])) >= MIN_CHARS
            position = run.end
