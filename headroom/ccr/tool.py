"""The tool by which a model reads back what was left out: what it is called, what it takes, what it answers.

An answer is plain text: a whole original character for character, or its parts that match a query,
each with its place. What cannot be answered is said in words the model can act on. Sans-I/O.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from headroom.ccr import retrieve
from headroom.model import HASH_CHARS, Original

DESCRIPTION = "Reads text that was left out at hash=... above. Use it only for what you need and cannot see."
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "hash": {"type": "string"},
        "query": {"type": "string", "description": "Words to search for; without it, all of the text"},
    },
    "required": ["hash"],
}
ROUNDS = 3  # requests with results of the tool that one answer may take
ENOUGH = f"Error: nothing more can be read for this answer, it took {ROUNDS} rounds already. Answer with what you have."
MOST_CHARS = 60_000  # of one result
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Ask:
    """A call of the tool as it stands in an answer; `arguments` is the JSON text the model wrote."""

    id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model is told for the call `id`."""

    id: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What a call asks for: an original from character `start` on, or the parts of it that match `query`."""

    hash: str
    query: str = ""
    start: int = 0


class Malformed(Exception):
    """The arguments of a call say nothing that can be looked up; the message is for the model."""


def wish(arguments: str) -> Wish:
    """Raises Malformed."""
    try:
        wanted = json.loads(arguments)
    except (ValueError, RecursionError):
        raise Malformed('Error: the arguments are not valid JSON. Write {"hash": "..."}, with a "query" if you like.') from None
    if not isinstance(wanted, dict):
        raise Malformed('Error: the arguments must be an object, for example {"hash": "0123456789abcdef"}.')
    digest = str(wanted.get("hash") or "").strip(" []").removeprefix("hash=")
    if len(digest) != HASH_CHARS or not _HEX.issuperset(digest):
        raise Malformed(f"Error: hash must be the {HASH_CHARS} hex digits that stand behind hash= in the text.")
    query, start = wanted.get("query"), wanted.get("start")
    return Wish(digest, query.strip() if isinstance(query, str) else "", start if isinstance(start, int) and start > 0 else 0)


def answer(original: Original, wanted: Wish) -> str:
    """At most MOST_CHARS of what is asked for, and how to get the rest."""
    return _search(original, wanted.query) if wanted.query else _read(original.text, wanted.start)


def _read(text: str, start: int) -> str:
    end = start + MOST_CHARS
    if start == 0 and end >= len(text):
        return text
    if start >= len(text):
        return f"Error: the text has {len(text)} characters, nothing starts at {start}."
    rest = f'; call again with "start": {end} for what follows, or with a query' if end < len(text) else ""
    return f"[characters {start + 1}-{min(end, len(text))} of {len(text)}{rest}]\n{text[start:end]}"


def _search(original: Original, query: str) -> str:
    hits = retrieve.search(original, query)
    if not hits:
        return "Nothing in this text matches the query. Use other words, or no query to read all of it."
    lines = [f"{hit.place}: {hit.text}"[:MOST_CHARS] for hit in hits]
    ends = list(accumulate(map(len, lines)))
    shown = sum(end <= MOST_CHARS for end in ends)
    more = [f"[{len(lines) - shown} more parts match; narrow the query to see them]"] if shown < len(lines) else []
    return "\n".join(lines[:shown] + more)
