"""Addresses that repeat other columns of their row, as API answers are full of: found and written as patterns.

A pattern is the text with `{path}` where the row's value of that column stands. Its other parts hold
no `{path}` of any column, so that it reads back in one way only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import repeat
from operator import eq

REFERENCE = re.compile(r"\{([^{}]*)\}")
_LEAST_ROWS = 3
_ADDRESS = "://"  # other texts stay as they are, for they are what people look for
_LEAST_LITERAL = 8  # characters of it that are the same in every row
_LEAST_BASE = 3  # characters of a value that others may hold
_ALONE = 4  # columns tried one by one when all that the first row holds do not do

_Part = tuple[str, str]  # a text and the column it comes from, "" for what is the same in every row


def patterns(texts: Mapping[str, Sequence[str]], targets: Collection[str], paths: Collection[str]) -> dict[str, str]:
    """Patterns by path for those `targets` that have one. `texts` are the columns to build them from, `paths` all columns."""
    found: dict[str, str] = {}
    bases: dict[str, Sequence[str]] = {}
    for path, values in sorted(texts.items(), key=lambda item: len(item[1][0])):
        if len(values) < _LEAST_ROWS:
            break
        pattern = _pattern(values, bases, paths) if path in targets and _ADDRESS in values[0] else ""
        if pattern:
            found[path] = pattern
        elif len(values[0]) >= _LEAST_BASE and "{" not in path and "}" not in path:
            bases[path] = values
    return found


def fill(pattern: str, value: Callable[[str], str | None]) -> str:
    """The text of one row; `value` gives a column's text, None when there is no such column."""
    return REFERENCE.sub(lambda match: match[0] if (text := value(match[1])) is None else text, pattern)


def _pattern(values: Sequence[str], bases: Mapping[str, Sequence[str]], paths: Collection[str]) -> str:
    inside = [path for path in bases if bases[path][0] in values[0]]
    inside.sort(key=lambda path: -len(bases[path][0]))
    for chosen in (inside, *([path] for path in inside[:_ALONE])):
        parts = _split(values[0], chosen, bases)
        literals = [text for text, path in parts if not path]
        if len(literals) == len(parts) or sum(map(len, literals)) < _LEAST_LITERAL:
            continue
        if any(name in paths for text in literals for name in REFERENCE.findall(text)):
            continue
        pools = [bases[path] if path else repeat(text) for text, path in parts]
        if all(map(eq, map("".join, zip(*pools, strict=False)), values)):
            return "".join([f"{{{path}}}" if path else text for text, path in parts])
    return ""


def _split(text: str, chosen: Sequence[str], bases: Mapping[str, Sequence[str]]) -> list[_Part]:
    """The text in parts, each of the chosen columns' first values taken out where it stands as a word."""
    parts: list[_Part] = [(text, "")]
    for path in chosen:
        word = re.compile(rf"(?<![^\W_]){re.escape(bases[path][0])}(?![^\W_])")
        for place, (part, source) in enumerate(parts):
            match = None if source else word.search(part)
            if match:
                around = [(part[: match.start()], ""), (match[0], path), (part[match.end() :], "")]
                parts[place : place + 1] = [piece for piece in around if piece[0]]
                break
    return parts
