"""What the pages tell a reader to type is typed: every shell line and every piece of Python, but for those listed here with a reason.

A line of a page is either run, and ends with 0, or it begins as one in NOT_RUN says, and is only looked at (`test_commands.py`). It
runs on the machine of `machine.py`, with the README's proxy there; the same line on a second page is not run again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import duckdb
import pytest
import yaml

from headroom import settings
from headroom.limits import keys
from headroom.policies import parsed
from headroom.stats.prices import Prices
from tests.docs.grammar import HERE
from tests.docs.machine import Machine, machine
from tests.docs.pages import PAGES, SHELL, Block, Command, Step, blocks, name_of
from tests.provider import WAIT_S

RUN = ("aider", "claude", "codex", "curl", "eval", "export", "headroom", "kubectl logs", "open", "python -c")
NOT_RUN = {
    "git clone": "this repository",
    "make": "installs; what it then calls is run, or is a program of the tests",
    "pip install": "needs a network",
    "python -m venv": "needs a network",
    "hf download": "needs a network",
    "gcloud": "a cloud's own program",
    "headroom proxy": "runs already, as the README starts it; with other options in tests/cli, tests/proxy and tests/backends",
    "/tmp/peer": "another gateway",
    "headroom wrap cursor": "waits for Ctrl-C: tests/cli/test_wrap.py",
    "headroom mcp --http": "serves: tests/cli/test_mcp.py",
    "headroom embedding export": "half a minute: tests/cli/test_embedding.py",
    "headroom batch": "starts Ray: tests/serve/test_batch.py, tests/batch",
    "headroom serve configs": "starts Ray: tests/serve",
    "ray": "starts Ray: tests/serve",
    "serve": "starts Ray: tests/serve",
    "gunicorn": "tests/proxy/test_servers.py",
    "docker": "needs Docker: tests/configs/test_packaging.py",
    "kubectl create": "needs a cluster: tests/configs/test_packaging.py",
    "kubectl apply": "needs a cluster: tests/configs/test_packaging.py",
    "python -m benchmarks": "takes minutes",
    "headroom telemetry --show --url": "an address that nobody has: tests/cli",
    "CLAUDE_CODE_USE_BEDROCK": "needs a backend: tests/backends/test_doors.py",
    "CLAUDE_CODE_USE_VERTEX": "needs a backend: tests/backends/test_doors.py",
}
TOLD = "add its beginning to RUN (and what it needs to machine.py), or to NOT_RUN with a reason"
# Pieces of Python are run behind this: what a reader's program has imported already, and has in its hands.
BEFORE = """
import anthropic, headroom, litellm
from anthropic import Anthropic, AnthropicBedrock, AnthropicVertex
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda
from openai import AzureOpenAI, OpenAI
from headroom.cli.samples import payments

app, messages = FastAPI(), payments().messages

def ChatOpenAI(**_):
    return RunnableLambda(lambda messages: messages)
"""


def checked_yaml(file: Path) -> None:
    (application,) = yaml.safe_load(file.read_text())["applications"]
    assert application["import_path"] == "serve_app.app:build"


# The other blocks, by their first line that is no comment: what reads such a file.
READ: dict[str, Callable[[Path], object]] = {
    "[backends]": lambda file: settings.load(env={}, config=file),
    "[compression]": lambda file: settings.load(env={}, config=file),
    '["my-model"]': Prices,
    "[[keys]]": keys.read_file,
    "version: 2026-11": lambda file: parsed(file.read_bytes(), str(file)),
    "applications:": checked_yaml,
}
SHOWN = {"ts": "run by tests/clients/test_typescript.py", "": "a picture, or what a command prints", "sql": "test_queries_are_answered"}


def steps(page: Path) -> list[Step]:
    return [step for block in blocks(page) if block.language in SHELL for step in block.steps()]


def said(step: Step) -> str:
    """The line without its comment, its variables and its gaps."""
    return " ".join(" ".join(command.words) for command in step.commands) or "export"


def begins(step: Step, beginnings: Iterable[str]) -> str:
    """The longest of the beginnings that a line, or a variable in front of it, has; an empty string where it has none."""
    variables = [name for command in step.commands for name in command.variables]
    fits = [one for one in beginnings if re.match(rf"{re.escape(one)}(?!\w)", said(step)) or one in variables]
    return max(fits, key=len, default="")


def to_run() -> Iterator[tuple[str, list[Step]]]:
    """The lines of each page that are run, each once; those whose values a reader is to fill in (`...`) are not among them."""
    seen: list[list[Command]] = []
    for page in PAGES:
        mine = []
        for step in steps(page):
            runs = begins(step, RUN) and not begins(step, NOT_RUN) and "..." not in step.text
            if runs and (step.commands not in seen or said(step) == "export"):
                seen.append(step.commands)
                mine.append(step)
        if mine:
            yield name_of(page), mine


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("reader")) as made:
        yield made


def test_every_line_is_run_or_says_why_not() -> None:
    every = [step for page in PAGES for step in steps(page)]
    unknown = [f"{step} is neither run nor listed: {TOLD}" for step in every if not begins(step, RUN) and not begins(step, NOT_RUN)]
    assert not unknown, "\n".join(unknown)
    assert not (stale := set(NOT_RUN) - {begins(step, NOT_RUN) for step in every}), f"NOT_RUN lists what no page has: {stale}"


@pytest.mark.parametrize(("page", "lines"), list(to_run()), ids=lambda given: given if isinstance(given, str) else f"{len(given)} lines")
def test_lines_of_the_shell_end_well(page: str, lines: list[Step], reader: Machine) -> None:
    failed = reader.run(lines)
    assert not failed, "\n".join(failed)


def test_a_line_that_fails_is_told(reader: Machine) -> None:
    lines = list(Block("page.md", 1, "sh", "export THIS=that\ntest $THIS = that\nheadroom retrieve 0\n").steps())
    (told,) = reader.run(lines)
    assert told.startswith("page.md:3: headroom retrieve 0\n    exit status 1: Error: ")


def test_pieces_of_python_run(reader: Machine) -> None:
    program = BEFORE
    for block in (block for page in PAGES for block in blocks(page) if block.language == "python"):
        text = "\n" * (block.line - 1) + block.text.replace(HERE, reader.url)
        program += f"exec(compile({text!r}, {block.page!r}, 'exec'))\n"
    done = subprocess.run([sys.executable, "-c", program], env=reader.env, capture_output=True, text=True, timeout=2 * WAIT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_files_are_read_by_what_reads_them(tmp_path: Path) -> None:
    for block in (block for page in PAGES for block in blocks(page) if block.language not in (*SHELL, *SHOWN, "python")):
        first = next(line for line in block.text.splitlines() if line.strip() and not line.startswith("#")).partition("  ")[0]
        assert first in READ, f"{block.place}: nothing reads this; add what does to READ"
        file = tmp_path / f"file.{block.language}"
        file.write_text(block.text)
        try:
            READ[first](file)
        except Exception as failure:
            raise AssertionError(f"{block.place}: {failure}") from failure


def test_queries_are_answered(company: Path) -> None:
    for block in (block for page in PAGES for block in blocks(page) if block.language == "sql"):
        for query in _queries(block):
            found = duckdb.sql(query.replace("~/.headroom/stats", str(company))).fetchall()
            assert found, f"{block.place}: no rows: {query}"


def _queries(block: Block) -> list[str]:
    lines = [line for line in block.text.splitlines() if not line.startswith("--")]
    return [query for query in "\n".join(lines).split(";") if query.strip()]
