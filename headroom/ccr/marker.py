"""The words that stand where something was left out or re-encoded.

A marker is data for a model and a person: it says in plain words that the source is intact, what
is missing from view, and the hash that gives it back. Every marker holds `hash=<16 hex digits>`.
A marker found in incoming text is text like any other: it makes nothing immune and redeems only
what its reader owns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TOOL_NAME = "headroom_retrieve"  # the tool that redeems a hash; MCP clients put a prefix before it
HASH = re.compile(r"\bhash=([0-9a-f]{16})\b")
_REPEATED = re.compile(
    r"^\[lines (\d{1,9})-(\d{1,9}) are the same as lines (\d{1,9})-\d{1,9} of (.{2,500}?)(?:; original hash=[0-9a-f]{16})?\]$",
    re.MULTILINE | re.DOTALL,
)
_REVISED = re.compile(r"(?s)\[the JSON of .{1,500}, complete, with these differences; original hash=[0-9a-f]{16}\]")
_SAME = "it"  # the one named last
_COUNTED = re.compile(
    r"^\[(?:lines \d{1,9}-\d{1,9} are the same as lines \d{1,9}-\d{1,9} of|the JSON of) (?:text \d{1,9} of )?"
    r"the (?:latest|\d{1,9}[a-z]{2}) result of ",
    re.MULTILINE,
)


def hashes(text: str) -> Iterator[str]:
    """Every hash that a marker in `text` names, in order, repeats included."""
    for match in HASH.finditer(text):
        yield match[1]


def left_out(what: str, hash: str) -> str:
    """A gap, e.g. what = "lines 40-212 (173 lines: 170 INFO, 3 DEBUG)"."""
    return f"[{what} left out here; nothing is lost, full original: hash={hash}]"


def gap(what: str) -> str:
    """A further gap of a text whose head already carries the hash."""
    return f"[{what} left out here]"


def re_encoded(what: str, hash: str) -> str:
    """The head of a text that was rewritten, e.g. what = "500 JSON records as a table, complete"."""
    return f"[{what}; original hash={hash}]"


def repeated(own: tuple[int, int], other: tuple[int, int], name: str, hash: str) -> str:
    """A run of lines (first and last, from 1) that stands earlier in the same request.

    `name` says in what (`read() above`), empty for the one named last; `hash` is empty in all but the first of a text.
    """
    where = f"lines {own[0]}-{own[1]} are the same as lines {other[0]}-{other[1]} of {name or _SAME}"
    return f"[{where}{f'; original hash={hash}' if hash else ''}]"


def references(text: str) -> list[tuple[tuple[int, int], int, str]]:
    """The runs of lines (first and last, from 1) that a text says stand earlier in the same request: from which line on, and of what."""
    found: list[tuple[tuple[int, int], int, str]] = []
    for match in _REPEATED.finditer(text):
        name = found[-1][2] if match[4] == _SAME and found else match[4]
        found.append(((int(match[1]), int(match[2])), int(match[3]), name))
    return found


def refers_to_object(text: str) -> bool:
    """Whether a text tells an object by how it differs from one that stands earlier in the same request."""
    return _REVISED.match(text) is not None


def counts_back(text: str) -> bool:
    """Whether a text refers to one by counting the results of a call back from where it stands."""
    return _COUNTED.search(text) is not None


def refers(text: str) -> bool:
    """Whether a text is not complete without one that stands earlier in the same request."""
    return refers_to_object(text) or _REPEATED.search(text) is not None


def revised(name: str, hash: str) -> str:
    """The head of an object that is told by how it differs from one that stands earlier in the same request: `name` (`state() above`)."""
    return f"[the JSON of {name}, complete, with these differences; original hash={hash}]"


def messages_left_out(count: int, about: str, hash: str) -> str:
    """The place of `count` messages that a conversation outgrew."""
    what = "1 earlier message is" if count == 1 else f"{count} earlier messages are"
    return f"[Headroom: {what} left out here{f' ({about})' if about else ''}; nothing is lost, in full: hash={hash}]"
