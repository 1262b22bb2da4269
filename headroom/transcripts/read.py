"""Finds transcripts and reads them, whatever agent wrote them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from headroom.transcripts import claude_code, codex, messages
from headroom.transcripts.conversation import Conversation, Problem, numbered

_LOOKED_AT = 20  # lines of a file, to tell what it is


def usual_places(claude: Path, codex_home: Path) -> list[Path]:
    """Where agents on this machine keep their transcripts, as far as there are any."""
    return [place for place in (claude / "projects", codex_home / "sessions") if place.is_dir()]


def files(places: Iterable[Path]) -> Iterator[Path]:
    """The files themselves and those below folders, in the order of their names."""
    for place in places:
        if place.is_dir():
            yield from sorted(file for file in place.rglob("*.jsonl") if file.is_file())
        else:
            yield place


def read(places: Sequence[Path], model: str = "") -> Iterator[Conversation | Problem]:
    """Every conversation, and what could not be read; `model` is asked for where a file does not say."""
    seen: set[str] = set()
    for file in files(places):
        try:
            yield from _of(file, model, seen)
        except OSError as failure:
            yield Problem(file, 0, failure.strerror or str(failure))


def _of(file: Path, model: str, seen: set[str]) -> Iterator[Conversation | Problem]:
    whole = _single(file)
    if whole is not None:
        yield from messages.read(file, iter([(0, whole)]), model)
        return
    lines = numbered(file)
    first = list(itertools.islice(lines, _LOOKED_AT))
    lines = itertools.chain(first, lines)
    values = [value for _, value in first]
    if any(map(claude_code.is_one, values)):
        yield from claude_code.read(file, lines, seen)
    elif any(map(codex.is_one, values)):
        yield from codex.read(file, lines)
    else:
        yield from messages.read(file, lines, model)


def _single(file: Path) -> object | None:
    """The one JSON object that a `.json` file is."""
    if file.suffix != ".json":
        return None
    try:
        whole: object = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None
    return whole
