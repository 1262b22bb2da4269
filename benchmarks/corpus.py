"""Conversations from files, read one at a time: a `.jsonl` file or a directory of them.

One JSON object per line: `messages`, and optionally `id`, `kind` (a word to group by), `format`
("openai" or "anthropic"), `system` as in a request, and `evidence`: strings of the messages that somebody needed later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    kind: str
    format: str
    messages: list[dict[str, Any]]
    system: Any = None
    evidence: tuple[str, ...] = ()


def conversations(place: Path, limit: int | None = None) -> Iterator[Conversation]:
    """From each file in turn, so that a limit takes a fair part. Raises SystemExit where there are none."""
    with ExitStack() as stack:
        files = [(file, stack.enter_context(file.open(encoding="utf-8"))) for file in _files(place)]
        taken = 0
        while files and taken != limit:
            file, lines = files.pop(0)
            line = next(lines, "")
            if not line:
                continue
            files.append((file, lines))
            if line.strip():
                taken += 1
                yield _conversation(json.loads(line), f"{file.stem}:{taken}", file.stem)


def count(place: Path, limit: int | None = None) -> int:
    """How many `conversations` there will be."""
    total = 0
    for file in _files(place):
        with file.open("rb") as lines:
            total += sum(1 for line in lines if line.strip())
    return total if limit is None else min(total, limit)


def _files(place: Path) -> list[Path]:
    files = [place] if place.is_file() else sorted(place.glob("*.jsonl")) or sorted(place.glob("*/*.jsonl"))
    if not files:
        raise SystemExit(f"{place}: no .jsonl files")
    return files


def _conversation(record: dict[str, Any], id: str, kind: str) -> Conversation:
    return Conversation(
        id=str(record.get("id", id)),
        kind=str(record.get("kind", kind)),
        format=str(record.get("format", "")),
        messages=record["messages"],
        system=record.get("system"),
        evidence=tuple(record.get("evidence") or ()),
    )
