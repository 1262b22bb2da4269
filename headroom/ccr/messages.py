"""Messages that left a conversation, taken apart for search: each text in the parts that any text has. Sans-I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headroom.ccr import retrieve
from headroom.ccr.recall import Unit

TRANSFORM = "conversation"  # of an original that is a JSON array of messages
_TEXTS = frozenset(("content", "text", "arguments", "output"))
_ANSWERS = ("tool_use_id", "tool_call_id", "call_id")
_CALL_CHARS = 1000  # of a call's arguments, as what its results are about


def parts(text: str) -> list[Unit]:
    """Verbatim pieces of the messages' texts in order; of the text itself when it holds no messages."""
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        return [Unit(*part) for part in retrieve.parts(text)]
    calls: dict[str, str] = {}
    found = []
    for number, message in enumerate(messages if isinstance(messages, list) else [messages], 1):
        for said, answered, of_call in _texts(message, calls):
            about = calls.get(answered, "")
            found += [Unit(f"message {number}, {place}", piece, about, of_call) for place, piece in retrieve.parts(said)]
    return found


def _texts(message: Any, calls: dict[str, str]) -> Iterator[tuple[str, str, bool]]:
    """The strings that a model reads in a message, each with the id of the call that it answers, and whether it is a call's own.

    The input of a call is read as JSON. Calls on the way are added to `calls`.
    """
    waiting = [(message, "")]
    while waiting:
        node, answered = waiting.pop()
        if isinstance(node, list):
            waiting += [(inner, answered) for inner in reversed(node)]
        elif isinstance(node, dict):
            answered = next((str(node[key]) for key in _ANSWERS if node.get(key)), answered)
            _note(node, calls)
            if (given := node.get("input")) and isinstance(given, dict | str):
                yield given if isinstance(given, str) else json.dumps(given, ensure_ascii=False), "", True
            for key, value in node.items():
                if key in _TEXTS and isinstance(value, str):
                    yield value, "" if key == "arguments" else answered, key == "arguments"
            inside = [value for value in node.values() if isinstance(value, dict | list) and value is not node.get("input")]
            waiting += [(value, answered) for value in reversed(inside)]


def _note(node: dict[str, Any], calls: dict[str, str]) -> None:
    """A call of any of the APIs, by its id."""
    function = node.get("function")
    asked = function if isinstance(function, dict) else node
    arguments = next((asked[key] for key in ("input", "arguments") if key in asked), None)
    id = node.get("call_id") or node.get("id")
    if isinstance(id, str) and isinstance(asked.get("name"), str) and arguments is not None:
        told = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls[id] = f"{asked['name']}({told[:_CALL_CHARS]})"
