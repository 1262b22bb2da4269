"""What a model can read in messages: their texts, whether a string stands in them, and how many tokens they take."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from headroom.ccr.recall import HEAD
from headroom.tokens import counter

ESCAPE = re.compile(r"\\(.)")


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
