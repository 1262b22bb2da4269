"""What a question names literally: identifiers, numbers, quoted strings and paths, and the lines that hold them.

A name is worth a verbatim look-up because scoring by words may split it or drown it. Ordinary
words are no names. Everything here is linear and bounded in what it returns.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import add

_LOOKED_AT = 6000  # characters of a question; beyond them it is data, not a question
_MOST_NAMES = 48
_QUOTED = re.compile(r"`([^`\n]{2,160})`|(?<!\w)\"([^\"\n]{2,160})\"(?!\w)|(?<!\w)'([^'\n]{2,160})'(?!\w)")
_TOKEN = re.compile(r"[^\s\"'`,;(){}<>\[\]|=]{2,200}")
_TRIM = ".,:;!?*\\"
_NAME = re.compile(r"\d|[A-Za-z]_|_[A-Za-z]|\w[.:/\\$@#]+\w|[a-z][A-Z]|^[/~.]+/\w")
_PLAIN_NUMBER = re.compile(r"\d{1,2}$")


def names(question: str) -> tuple[str, ...]:
    """Literal names in the order of their first mention, at most 48; short numbers and plain words are none."""
    if len(question) > _LOOKED_AT:
        question = question[: _LOOKED_AT // 2] + "\n" + question[-_LOOKED_AT // 2 :]
    return _names(question)


@lru_cache(maxsize=64)  # the segments of a turn share their question
def _names(question: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for match in _QUOTED.finditer(question):
        text = (match[1] or match[2] or match[3]).strip()
        if len(text) > 1:
            found.setdefault(text)
    for token in _TOKEN.findall(question):
        text = token.strip(_TRIM)
        if len(text) > 2 and _NAME.search(text) and not _PLAIN_NUMBER.match(text):
            found.setdefault(text)
    return tuple(found)[:_MOST_NAMES]


def starts(lines: Sequence[str]) -> list[int]:
    """The offset at which each line starts in the text that is the lines joined by one character."""
    return list(map(add, accumulate(map(len, lines), initial=0), range(len(lines))))


def holding(text: str, offsets: Sequence[int], name: str, most: int) -> list[int]:
    """The lines of `text` that hold `name` as a whole word, ascending, at most `most`; inside words when nowhere whole."""
    whole: list[int] = []
    inside: list[int] = []
    position = text.find(name)
    while position >= 0 and len(whole) < most:
        end = position + len(name)
        bounded = not (_joins(text, position - 1, name[0]) or _joins(text, end, name[-1]))
        line = bisect_right(offsets, position) - 1
        hits = whole if bounded else inside
        if (not hits or hits[-1] != line) and len(hits) < most:
            hits.append(line)
        # after a whole hit the rest of its line tells nothing new
        next_line = offsets[line + 1] if line + 1 < len(offsets) else len(text)
        position = text.find(name, max(end, next_line if bounded else end))
    return whole or inside


def _joins(text: str, at: int, edge: str) -> bool:
    """Whether the character at `at` continues the word that ends in `edge`."""
    return 0 <= at < len(text) and _is_word(edge) and _is_word(text[at])


def _is_word(sign: str) -> bool:
    return sign == "_" or (sign.isascii() and sign.isalnum())
