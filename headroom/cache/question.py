"""Which calls may be answered with the answer to another wording, and what else the two must have in common.

A lone question: one message of a user, its only content a text, that an embedding model sees whole; nothing the assistant said, no
tools. Two of them are compared within a namespace only: the same caller, the same end user as far as the request names one, and
the same contract in everything but this text. `key_with` proves the last: with the other text in its place, this very
request must have the key under which the other's answer stands.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from headroom.cache.key import exact_key
from headroom.dialects.base import word
from headroom.model import Call

_MAX_TOKENS = 100  # by the estimate below, which is never less than half of what a WordPiece vocabulary needs; windows begin at 256
_MAX_CHARS = 600
_PIECE = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]")
_INSTRUCTIONS = ("system", "developer")
_END_USERS = ("user", "safety_identifier", "metadata")


@dataclass(frozen=True, slots=True)
class Lone:
    """The question of a call: its text, and the namespace in which it is compared."""

    text: str
    namespace: str


def lone_question(call: Call, scope: str, around: Iterable[str]) -> Lone | None:
    """None for a call that is more than a question. `around` is what `surroundings` gave. Raises RecursionError as `exact_key` does."""
    text = _text(call)
    if text is None or call.body.get("tools") or call.body.get("functions") or not fits(text):
        return None
    users = [f"{name}={_plain(call.body.get(name))}" for name in _END_USERS]
    state = hashlib.sha256()
    for part in (scope, *users, key_with(call, "", around)):
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return Lone(text, state.hexdigest()[:32])


def key_with(call: Call, text: str, around: Iterable[str]) -> str:
    """The exact key of a lone question's call if it asked this instead."""
    name = "messages" if "messages" in call.body else "input"
    given = call.body[name]
    changed = text if isinstance(given, str) else [*given[:-1], _with_text(given[-1], text)]
    return exact_key(replace(call, body={**call.body, name: changed}), around)


def fits(text: str) -> bool:
    """Whether a model with a window of 256 tokens sees all of a text."""
    if not text.strip() or len(text) > _MAX_CHARS:
        return False
    return sum(1 + (len(piece) - 1) // 4 for piece in _PIECE.findall(text)) <= _MAX_TOKENS


def _text(call: Call) -> str | None:
    """The user's only text, where there is nothing else but instructions."""
    given = call.body.get("messages", call.body.get("input"))
    if isinstance(given, str):
        return str(given)
    if not isinstance(given, list) or not given or word(given[-1].get("role")) != "user":
        return None
    if any(word(message.get("role")) not in _INSTRUCTIONS for message in given[:-1]):
        return None
    content = given[-1].get("content")
    if isinstance(content, list):
        if len(content) != 1 or not isinstance(content[0], dict) or word(content[0].get("type")) not in ("text", "input_text"):
            return None
        content = content[0].get("text")
    return str(content) if isinstance(content, str) else None


def _with_text(message: dict[str, Any], text: str) -> dict[str, Any]:
    content = message["content"]
    return {**message, "content": text if isinstance(content, str) else [{**content[0], "text": text}]}


def _plain(value: Any) -> str:
    """Who the end user is, as the request says it."""
    return repr(sorted(value.items())) if isinstance(value, dict) else repr(value)
