"""What in a user's message is pasted data, and what is his own words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.sections import MIN_CHARS, head_of_output, sections

ROWS = json.dumps([{"id": n, "name": f"item-{n}", "state": "ok"} for n in range(200)])
LOG = "\n".join(f"2026-01-01T00:00:{n % 60:02d}Z INFO worker[{n}]: job {n} done in {n * 7 % 90} ms" for n in range(120))
PASSAGES = "\n\n".join(f"Document [{n}] (Title: Topic {n})\n" + "It was said that the river had risen again. " * 9 for n in range(12))
COMMAND = "I ran this command:\n\n`make check`\n\nAnd got this output:\n\n{d}\n\nIt was green before.\n\n{q}"
QUESTION = "Which of these failed, and why? Quote the line."


def pasted(text: str) -> list[str]:
    return [text[section.start : section.end] for section in sections(text)]


@pytest.mark.parametrize("data", [ROWS, LOG, PASSAGES], ids=["json", "log", "passages"])
@pytest.mark.parametrize(
    "frame",
    ["{q}\n\n```\n{d}\n```", "```json\n{d}\n```\n{q}", "{d}\n\n----\n{q}", "{q}\n\n<documents>\n{d}\n</documents>", "{q}\n\n{d}", COMMAND],
    ids=["fence-behind", "fence-before", "rule", "tag", "bare", "command"],
)
def test_data_is_found_and_the_question_is_not_in_it(data: str, frame: str) -> None:
    (found,) = pasted(frame.format(q=QUESTION, d=data))
    assert QUESTION not in found
    assert len(found) > 0.95 * len(data)
    assert found.strip() in data


def test_fences_inside_a_fenced_document_do_not_end_it() -> None:
    document = "# Guide\n\n" + "\n".join(f"Step {n}\n```sh\nrun {n}\n```\n" for n in range(200))
    assert pasted(f"Summarise this:\n\n```\n{document}\n```\n") == [document + "\n"]


@pytest.mark.parametrize(
    "text",
    [
        "Please refactor the parser so that errors carry their position. " * 100,
        f"<system-reminder>\n{LOG}\n</system-reminder>",
        f"<instructions>\n{'Always answer in French. ' * 200}\n</instructions>",
        "Question: Ann has 3 apples.\nAnswer: 3\n\n" * 200,
        f"```\n{ROWS[: MIN_CHARS // 2]}\n```",
    ],
    ids=["prose", "reminder", "instructions", "few-shot", "small"],
)
def test_words_are_never_data(text: str) -> None:
    assert sections(text) == ()


@given(st.text(max_size=200).map(lambda text: text * 40))
def test_sections_are_ordered_ranges_of_any_text(text: str) -> None:
    position = 0
    for section in sections(text):
        assert position <= section.start < section.end <= len(text)
        assert section.end - section.start >= MIN_CHARS
        position = section.end


def test_the_head_that_an_agent_puts_above_an_output() -> None:
    codex = "Chunk ID: 03a\nWall time: 0.0 seconds\nProcess exited with code 0\nOriginal token count: 27\nOutput:\n"
    cut = "Warning: truncated output (original token count: 27)\nTotal output lines: 1\n\n"
    for head in (codex, codex + cut, "Exit code: 0\nWall time: 0.1 seconds\nOutput:\n"):
        assert head_of_output(head + '[{"a": 1}]') == len(head)
    for plain in ("", "Output:\n[1]", "Exit code: 0\nOutput:\n[1]", "x\n" + codex, codex.replace("Output", "Printed"), '[{"Chunk ID": 1}]'):
        assert head_of_output(plain) == 0
