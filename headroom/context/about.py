"""What left-out messages were about, in one line: what the user said, which tools were called with what. Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headroom.dialects.outline import Message

_MOST_CHARS = 240
_WORDS_CHARS = 70  # of what somebody said
_ARGUMENT_CHARS = 40
_VALUE = re.compile(r'"[\w-]+"\s*:\s*("(?:[^"\\]|\\.)*"|[\w.+-]+)')
_BLANK = re.compile(r"\s+")


def about(messages: Sequence[Message]) -> str:
    """At most _MOST_CHARS characters."""
    said = [f'user: "{_short(text, _WORDS_CHARS)}"' for m in messages if m.spoken for text in m.texts[:1] if text.strip()]
    counts: dict[str, int] = {}
    for message in messages:
        for call in message.calls:
            name = f"{call.tool}({_argument(call.arguments)})"
            counts[name] = counts.get(name, 0) + 1
    called = [f"{name} x{count}" if count > 1 else name for name, count in counts.items()]
    told = [] if said or called else [f'"{_short(text, _WORDS_CHARS)}"' for m in messages for text in m.texts[:1] if text.strip()]
    line, rest = "", [*said, *called, *told]
    while rest and len(line) + len(rest[0]) < _MOST_CHARS:
        line += ("; " if line else "") + rest.pop(0)
    return f"{line}; and {len(rest)} more" if rest and line else line


def _short(text: str, most: int) -> str:
    plain = _BLANK.sub(" ", text[: 4 * most]).strip().replace('"', "'")
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _argument(arguments: str) -> str:
    """The first value of a call's arguments."""
    match = _VALUE.search(arguments[:2000])
    return _short(match[1].strip('"'), _ARGUMENT_CHARS) if match else ""
