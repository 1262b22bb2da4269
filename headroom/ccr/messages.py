"""Messages that left a conversation, taken apart for search: each text in the parts that any text has. Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headroom.ccr import retrieve

TRANSFORM = "conversation"  # of an original that is a JSON array of messages
_TEXTS = frozenset(("content", "text", "arguments", "output"))


def parts(text: str) -> list[tuple[str, str]]:
    """(place, verbatim piece of a message's text) in order; those of the text itself when it holds no messages."""
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        return retrieve.parts(text)
    found = []
    for number, message in enumerate(messages if isinstance(messages, list) else [messages], 1):
        for said in _texts(message):
            found += [(f"message {number}, {place}", piece) for place, piece in retrieve.parts(said)]
    return found


def _texts(message: Any) -> Iterator[str]:
    """The strings that a model reads in a message; the input of a call as JSON."""
    waiting = [message]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif isinstance(node, dict):
            if isinstance(node.get("input"), dict):
                yield json.dumps(node["input"], ensure_ascii=False)
            yield from (value for key, value in node.items() if key in _TEXTS and isinstance(value, str))
            waiting += reversed([value for value in node.values() if isinstance(value, dict | list) and value is not node.get("input")])
