"""JSON without the quotes that say nothing: around plain keys and plain words. Lossless.

A literal loses its quotes when it starts with a letter, holds only letters, digits, `_`, `-`, `.`,
`/`, `@` and inner blanks, is no word of JSON itself and begins with none of its numbers (`NaN`,
`Infinity`); so a bare word is always a string, and numbers, true, false and null are always themselves. Works on minified JSON.
"""

from __future__ import annotations

import re

_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN = re.compile(r'"(?!(?:NaN|Infinity)\b)[A-Za-z_](?:[A-Za-z0-9_ ./@-]*[A-Za-z0-9_./@-])?"')
_OWN_WORDS = frozenset(('"true"', '"false"', '"null"'))
# what stands in bare JSON: literals, tables' places, numbers, the words of JSON, bare words
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|<table \d+>|-?(?:Infinity\b|NaN\b|\d[\d.eE+-]*)|([A-Za-z_](?:[A-Za-z0-9_ ./@-]*[A-Za-z0-9_./@-])?)',
    re.DOTALL,
)
_WORDS = frozenset(("true", "false", "null"))


def bare(minified: str) -> str:
    """Minified JSON with its plain keys and words unquoted."""
    return _LITERAL.sub(_unquoted, minified)


def _unquoted(match: re.Match[str]) -> str:
    literal = match[0]
    return literal[1:-1] if literal not in _OWN_WORDS and _PLAIN.fullmatch(literal) else literal


def quoted(text: str) -> str:
    """The inverse of `bare`."""
    return _TOKEN.sub(_requoted, text)


def _requoted(match: re.Match[str]) -> str:
    word = match[1]
    return match[0] if word is None or word in _WORDS else f'"{word}"'
