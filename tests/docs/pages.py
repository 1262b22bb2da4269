"""The pages as a reader sees them: fenced blocks, the shell lines in them, and the code in between, each with page and line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
SHELL = ("sh", "bash", "console", "shell")
PREFIX = re.compile(r"`(python -m \w+\.)…`")  # in the head of a table whose first column goes on from there
_FENCE = re.compile(r"^ *```(\w*)")
_CODE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OPERATORS = frozenset(";|&()<>")


@dataclass(frozen=True, slots=True)
class Command:
    """One program and its words, with the variables set in front of it, or by `export`."""

    variables: dict[str, str]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One line of a shell, however many lines it takes on its page."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @cached_property
    def commands(self) -> list[Command]:
        return list(commands(self.text))

    def __str__(self) -> str:
        return f"{self.place}: {self.text.splitlines()[0]}"


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences; `line` is that of its first line."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def steps(self) -> Iterator[Step]:
        """The shell lines, without those that are blank or a comment."""
        held, began = "", self.line
        for number, line in enumerate(self.text.splitlines(), self.line):
            began, held = (began, f"{held}\n{line}") if held else (number, line)
            if _goes_on(held):
                continue
            if held.strip() and not held.lstrip().startswith("#"):
                yield Step(self.page, began, held)
            held = ""
        assert not held, f"{self.page}:{began}: a quote or a backslash is left open"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    language, began, inside = None, 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and language is None:
            language, began, inside = fence.group(1), number + 1, []
        elif fence:
            yield Block(name_of(page), began, language or "", "\n".join(inside) + "\n")
            language = None
        elif language is not None:
            inside.append(line)


def between(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside the blocks."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def code(page: Path) -> Iterator[Step]:
    """What is marked as code in the text and the tables, as if it were typed; `ARGS="..."` alone belongs to the `make` before it."""
    prefix = make = ""
    for number, line in between(page):
        head = PREFIX.search(line)
        prefix = head.group(1) if head else prefix if line.startswith("|") else ""
        for place, found in enumerate(_CODE.finditer(line)):
            text = found.group(1)
            first_cell = "|" not in line[1 : found.start()]
            if prefix and first_cell and not head and not text.startswith("make "):
                text = prefix + text
            if text.startswith("make "):
                make = text
            elif text.startswith("ARGS=") and place:
                text = f"{make} {text}"
            if "…" not in text:
                yield Step(name_of(page), number, text)


def _goes_on(text: str) -> bool:
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def commands(text: str) -> Iterator[Command]:
    """The simple commands of a shell line, those inside `$(...)` too."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    group: list[str] = []
    for word in [*lexer, ";"]:
        if not _OPERATORS.issuperset(word):
            group.append(word)
        elif group:
            yield _command(group)
            group = []
    for inner in re.findall(r'"\$\((.*?)\)"', text):
        yield from commands(inner)


def _command(words: list[str]) -> Command:
    variables: dict[str, str] = {}
    at = 0
    exported = words[0] == "export"
    for at, word in enumerate(words):
        if _ASSIGNMENT.match(word):
            name, _, value = word.partition("=")
            variables[name] = value
        elif not (exported and at == 0):
            return Command(variables, tuple(words[at:]))
    return Command(variables, ("export",) if exported else ())
