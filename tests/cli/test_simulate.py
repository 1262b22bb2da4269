"""`headroom simulate`: what would leave, and every part of every score."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headroom.cli.main import main
from headroom.scoring.importance import WEIGHTS
from tests.context.agents import agent, user


def simulate(*arguments: str, stdin: str) -> Result:
    return CliRunner().invoke(main, ("simulate", *arguments), input=stdin)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_explain_shows_the_parts_of_each_score(dialect: str) -> None:
    body = {"model": "gpt-4o", "messages": agent(dialect, random.Random(2), 9, lines=30)}
    done = simulate("--window", "8000", "--explain", stdin=json.dumps(body))
    assert done.exit_code == 0, done.output
    head, *table = done.stdout.splitlines()
    assert "window 8,000 (gpt-4o)" in head
    assert "leave" in head
    assert all(factor in table[0] for factor in WEIGHTS)
    rows = table[2:]
    assert {row.split()[-1] for row in rows} <= {"leaves", "smaller", "stays"}
    for row in rows:
        _, _, score, *parts = row.split()
        values = [float(part) for part in parts[: len(WEIGHTS)]]
        assert float(score) == pytest.approx(sum(map(float.__mul__, values, WEIGHTS.values())), abs=0.02)


def test_every_line_of_a_file_is_a_conversation(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    file.write_text("\n".join(json.dumps({"id": name, "messages": user("Hi")}) for name in ("one", "two")))
    done = CliRunner().invoke(main, ("simulate", str(file)))
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["one", "two"]
    assert all(line.endswith("all of it fits") for line in lines)


def test_what_cannot_fit_says_why() -> None:
    done = simulate("--window", "1000", stdin=json.dumps({"messages": user("word " * 3000)}))
    assert done.stdout.rstrip().endswith("context_protected_exceeds_window")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"model": "m"}', '{"messages": []}', '{"messages": [3]}'])
def test_what_is_no_conversation_is_refused(text: str) -> None:
    done = simulate(stdin=text)
    assert done.exit_code == (1 if text else 0)
    assert "Traceback" not in done.output
