"""Nested objects that look alike, written as the list of their values: their keys stand once, with the column.

A packing is written behind a column's name: `(a,b)` is an object with exactly these keys in this order,
as `[1,2]` in a cell; `[]` an array and `{}` a map of what follows: `items[](sku,price)`. Null stays null.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headroom.compressors.json_text import MAX_DEPTH, dump, quote, read

_LEAST = 3  # objects that make it worth to write their keys apart
_BARE_NAME = re.compile(r"[\w$@#/-][\w$@#/ -]*")
_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|[\w$@#/ -]+')


@dataclass(frozen=True, slots=True)
class Packing:
    """`keys` belong to an object; `inside` has a packing (or None) for each of them, one for an array or a map."""

    kind: Literal["object", "array", "map"]
    keys: tuple[str, ...]
    inside: tuple[Packing | None, ...]

    def __str__(self) -> str:
        if self.kind != "object":
            return f"{'[]' if self.kind == 'array' else '{}'}{self.inside[0]}"
        fields = [name(key) + ("" if inner is None else str(inner)) for key, inner in zip(self.keys, self.inside, strict=True)]
        return f"({','.join(fields)})"


def name(key: str) -> str:
    """A key as it stands in the column line: bare where it cannot be mistaken, else a JSON string."""
    return key if _BARE_NAME.fullmatch(key) else quote(key)


def read_name(text: str, at: int) -> tuple[str, int]:
    """The key written at `at` and the index behind it. Raises ValueError."""
    match = _NAME.match(text, at)
    if match is None:
        raise ValueError(f"no name at {at} of {text}")
    return (read(match[0]) if match[0].startswith('"') else match[0]), match.end()


def find(values: Sequence[Any], depth: int = 0) -> Packing | None:
    """The packing that fits all of the values, if there is one that pays."""
    if depth >= MAX_DEPTH:
        return None
    present = [value for value in values if value is not None]
    kinds = set(map(type, present))
    if kinds == {list}:
        inner = find([item for value in present for item in value], depth + 1)
        return inner and Packing("array", (), (inner,))
    if kinds != {dict}:
        return None
    shapes = dict.fromkeys(map(tuple, present))
    if len(shapes) == 1 and all(shapes) and len(present) >= _LEAST:
        keys = next(iter(shapes))
        return Packing("object", keys, tuple([find([value[key] for value in present], depth + 1) for key in keys]))
    inner = find([item for value in present for item in value.values()], depth + 1)
    return inner and Packing("map", (), (inner,))


def pack(value: Any, packing: Packing | None, depth: int = 0) -> str:
    """The value as JSON without the keys that the packing knows."""
    if packing is None or value is None:
        return dump(value, False, depth)
    if packing.kind == "object":
        items = zip(value.values(), packing.inside, strict=True)
        return f"[{','.join([pack(item, inner, depth + 1) for item, inner in items])}]"
    inner = packing.inside[0]
    if packing.kind == "array":
        return f"[{','.join([pack(item, inner, depth + 1) for item in value])}]"
    return f"{{{','.join([f'{quote(key)}:{pack(item, inner, depth + 1)}' for key, item in value.items()])}}}"


def unpack(value: Any, packing: Packing | None) -> Any:
    """The value that `pack` wrote."""
    if packing is None or value is None:
        return value
    if packing.kind == "object":
        return {key: unpack(item, inner) for key, item, inner in zip(packing.keys, value, packing.inside, strict=True)}
    inner = packing.inside[0]
    if packing.kind == "array":
        return [unpack(item, inner) for item in value]
    return {key: unpack(item, inner) for key, item in value.items()}


def read_packing(text: str, at: int) -> tuple[Packing | None, int]:
    """The packing written at `at`, None when there is none, and the index behind it. Raises ValueError."""
    mark = text[at : at + 2]
    if mark in ("[]", "{}"):
        inner, end = read_packing(text, at + 2)
        return Packing("array" if mark == "[]" else "map", (), (inner,)), end
    if not mark.startswith("("):
        return None, at
    keys: list[str] = []
    inside: list[Packing | None] = []
    while text[at : at + 1] in ("(", ","):
        key, at = read_name(text, at + 1)
        inner, at = read_packing(text, at)
        keys.append(key)
        inside.append(inner)
    return Packing("object", tuple(keys), tuple(inside)), at + 1
