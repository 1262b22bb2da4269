"""What a model can read in messages: their texts, whether a string stands in them, and how many tokens they take."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from headroom.ccr.recall import HEAD
from headroom.tokens import counter

ESCAPE = re.compile(r"\\(.)")
FAILURE = re.compile(r"\b(?:error|exception|traceback|failed|fatal|denied|not found)\b", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z_][\w./-]{5,}")


class Shown:
    """What is readable in messages, without what was recalled where that is `apart`."""

    def __init__(self, messages: Sequence[Any], *, apart: bool = False) -> None:
        texts = strings(messages)
        self._text = "\n".join(text.partition(HEAD)[0] if apart else text for text in texts)
        self._plain = normal(self._text)

    def share(self, evidence: Sequence[str]) -> float:
        """Of the strings, those that can be read: 0..1."""
        return sum(map(self.holds, evidence)) / len(evidence)

    def holds(self, evidence: str) -> bool:
        return evidence in self._text or normal(evidence) in self._plain


def failures(messages: Sequence[Any]) -> list[str]:
    """The different lines of 20 to 300 characters in which something failed."""
    lines = (line.strip() for text in strings(messages) for line in text.split("\n"))
    return list(dict.fromkeys(line for line in lines if 20 <= len(line) <= 300 and FAILURE.search(line)))


def calls(messages: Sequence[Any]) -> list[str]:
    """The ids of all tool calls."""
    found = [
        block["id"] for m in messages if isinstance(m.get("content"), list) for block in m["content"] if block.get("type") == "tool_use"
    ]
    return found + [call["id"] for m in messages for call in m.get("tool_calls") or ()]


def words(messages: Sequence[Any]) -> set[str]:
    """The different names and longer words."""
    return {word for text in strings(messages) for word in WORD.findall(text)}


def normal(text: str) -> str:
    """JSON's escapes undone, blanks collapsed."""
    return " ".join(ESCAPE.sub(lambda match: {"n": " ", "t": " ", "r": " "}.get(match[1], match[1]), text).split())


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def tokens_of(system: Any, messages: Sequence[Any]) -> int:
    """Of all that is read, counted once per text."""
    return sum(_count(text) for text in [*strings(system), *(t for m in messages for t in strings({**m, "role": ""}))]) + 4 * len(messages)


@functools.lru_cache(200_000)
def _count(text: str) -> int:
    return counter("gpt-4o").count(text)
