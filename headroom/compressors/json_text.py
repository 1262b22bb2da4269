"""JSON read and written without changing a value: number literals, key order and types stay as they came.

Knows nothing of tables. Numbers are kept as their literals (`Number`), so 1, 1.0, 1e0 and integers of
any length stay apart; NaN and the infinities are tolerated as numbers. Documents that a dict cannot
hold (a key twice in one object) or that are nested deeper than `MAX_DEPTH` are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

MAX_DEPTH = 64
quote = encode_basestring  # a JSON string literal; only what must be escaped is


class Number(str):
    """A JSON number as the literal that stood in the text."""

    __slots__ = ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def decoder(objects: Callable[[list[tuple[str, Any]]], Any]) -> json.JSONDecoder:
    """A decoder that keeps number literals and makes objects from their pairs with `objects`."""
    return json.JSONDecoder(object_pairs_hook=objects, parse_float=Number, parse_int=Number, parse_constant=Number, strict=False)


_DECODER = decoder(_unique)


def read_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value at `start` and the index behind it. Raises ValueError or RecursionError."""
    return _DECODER.raw_decode(text, start)


def read(text: str) -> Any:
    """The one JSON value of `text`, white space around it allowed. Raises ValueError or RecursionError."""
    return _DECODER.decode(text)


def dump(value: Any, spaced: bool = False, depth: int = 0) -> str:
    """JSON on one line, without tabs, minified or with a space behind commas and colons. Raises ValueError beyond `MAX_DEPTH`."""
    kind = type(value)
    if kind is str:
        return quote(value)
    if kind is Number:
        return str(value)
    if kind is dict or kind is list:
        if depth >= MAX_DEPTH:
            raise ValueError("nested too deeply")
        comma, colon = (", ", ": ") if spaced else (",", ":")
        if kind is list:
            return f"[{comma.join([dump(item, spaced, depth + 1) for item in value])}]"
        return f"{{{comma.join([f'{quote(key)}{colon}{dump(item, spaced, depth + 1)}' for key, item in value.items()])}}}"
    return "null" if value is None else "true" if value else "false"
