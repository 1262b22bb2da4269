"""One JSON object told by how it differs from another one: what tools print that return the whole object after a change.

A difference is one line: `path = value`, `path[+] = value` for an item that came behind the others, or `path is absent`.
Everything that no line names is equal. Pure; linear in the two texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from headroom.compressors.json_text import dump, read

_HEAD_CHARS = 40  # an object that was changed begins as it did: with what it is and whose
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_MOST_LINES = 40


def signature(text: str) -> str:
    """Equal for objects that may be two states of one; empty for other texts."""
    return text[:_HEAD_CHARS] if text.startswith("{") and len(text) > _HEAD_CHARS else ""


def differences(earlier: str, later: str) -> list[str] | None:
    """What turns the first object into the second, or None when one of the texts is no object or their keys changed places."""
    try:
        before, after = read(earlier), read(later)
        if not isinstance(before, dict) or not isinstance(after, dict):
            return None
        found: list[str] = []
        for line in _objects("", before, after):
            found.append(line)
            if len(found) > _MOST_LINES:
                return None
    except (ValueError, RecursionError):
        return None
    return found


def _objects(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Raises ValueError when keys that stay are in another order."""
    if [key for key in before if key in after] != [key for key in after if key in before]:
        raise ValueError("keys changed places")
    for key, value in after.items():
        place = _key(path, key)
        if key in before:
            yield from _values(place, before[key], value)
        else:
            yield f"{place} = {dump(value)}"
    yield from (f"{_key(path, key)} is absent" for key in before if key not in after)


def _values(path: str, before: Any, after: Any) -> Iterator[str]:
    if type(before) is type(after):
        if dump(before) == dump(after):
            return
        if isinstance(after, dict):
            yield from _objects(path, before, after)
            return
        if isinstance(after, list) and len(after) >= len(before) > 0:
            for at, (old, new) in enumerate(zip(before, after, strict=False)):
                yield from _values(f"{path}[{at}]", old, new)
            yield from (f"{path}[+] = {dump(item)}" for item in after[len(before) :])
            return
    yield f"{path} = {dump(after)}"


def _key(path: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f"{path}[{dump(key)}]"
    return f"{path}.{key}" if path else key
