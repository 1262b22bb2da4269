"""Edits one entry of somebody else's configuration file and leaves every other character of it as it is.

`Json` and `Toml` are texts in, texts out: `get` finds the value at a path of keys, `put` writes it,
`drop` takes it out again together with tables that are empty then. They raise ValueError, with the
place, for a text they cannot read, and where the new text would say anything else than the old one with or
without the entry. `read` and `replace` touch the file: whole, or not at all.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from headroom.dialects import wire

_DEFAULT_INDENT = "  "
_BLANK_END = re.compile(r"[ \t\r\n]*$")


class Format(Protocol):
    def get(self, text: str, path: Sequence[str]) -> Any: ...

    def put(self, text: str, path: Sequence[str], value: Mapping[str, Any]) -> str: ...

    def drop(self, text: str, path: Sequence[str]) -> str: ...


class Json:
    """An object with objects inside. Comments are no JSON."""

    def get(self, text: str, path: Sequence[str]) -> Any:
        """The value, or None."""
        found = _walk(_root(text), path)
        return json.loads(text[found.start : found.end]) if isinstance(found, wire.Obj) else found

    def put(self, text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
        text = text if text.strip() else "{}\n"
        new = self._put(text, path, value)
        _check(_plus(json.loads(text), path, value), new, json.loads)
        return new

    def _put(self, text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
        here: wire.Obj = _root(text)
        for depth, key in enumerate(path):
            inner = here.get(key)
            rest: Any = value
            for name in reversed(path[depth + 1 :]):
                rest = {name: rest}
            if inner is None:
                if key in here:
                    raise ValueError(f"{key} is null")
                return _insert(text, here, key, rest, depth + 1)
            if not isinstance(inner, wire.Obj):
                raise ValueError(f"{key} is not an object")
            if depth == len(path) - 1:
                return _spliced(text, inner.start, inner.end, _dump(rest, _indent(text, here), depth + 1))
            here = inner
        raise ValueError("no path")

    def drop(self, text: str, path: Sequence[str]) -> str:
        parents = [_walk(_root(text), path[:depth]) for depth in range(len(path))]
        if not all(isinstance(parent, wire.Obj) for parent in parents) or path[-1] not in parents[-1]:
            return text
        depth = len(path) - 1
        while depth > 0 and len(parents[depth]) == 1:
            depth -= 1
        new = _without(text, parents[depth], path[depth])
        _check(_minus(json.loads(text), path), new, json.loads)
        return new


class Toml:
    """Comments and layout are kept."""

    def get(self, text: str, path: Sequence[str]) -> Any:
        found = _walk(_toml(text), path)
        return found.unwrap() if hasattr(found, "unwrap") else found

    def put(self, text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
        wanted = _plus(_tree(text), path, value)
        new = self._in_place(text, path, value)
        if not _says(new, wanted, tomllib.loads):
            new = self._at_the_end(text, path, value)
            _check(wanted, new, tomllib.loads)
        return new

    def _in_place(self, text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
        """Beside its neighbours. Under dotted keys that takes the lines below them into the entry's own table."""
        import tomlkit
        from tomlkit.items import InlineTable

        document = here = _toml(text)
        for key in path[:-1]:
            if key not in here:
                here[key] = tomlkit.table(is_super_table=True)
            here = here[key]
            if not isinstance(here, Mapping):
                raise ValueError(f"{key} is not a table")
        here[path[-1]] = _inline(value) if isinstance(here, InlineTable) else tomlkit.item(dict(value))
        return tomlkit.dumps(document)

    def _at_the_end(self, text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
        """As the last table of the file, where it can take no other line in."""
        import tomlkit

        rest: Any = value
        for name in reversed(path):
            rest = {name: rest}
        before = self.drop(text, path).rstrip()
        break_ = "\r\n" if "\r\n" in text else "\n"
        return before + break_ * 2 + tomlkit.dumps(rest).replace("\n", break_)

    def drop(self, text: str, path: Sequence[str]) -> str:
        import tomlkit

        document = _toml(text)
        parents = [_walk(document, path[:depth]) for depth in range(len(path))]
        if not all(isinstance(parent, Mapping) for parent in parents) or path[-1] not in parents[-1]:
            return text
        depth = len(path) - 1
        while depth > 0 and len(parents[depth]) == 1:
            depth -= 1
        del parents[depth][path[depth]]
        new = tomlkit.dumps(document)
        _check(_minus(_tree(text), path), new, tomllib.loads)
        return new


def _tree(text: str) -> dict[str, Any]:
    _toml(text)  # says where it is not valid
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise ValueError(f"not valid TOML: {failure}") from None


def _plus(tree: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """The tree with the value at the path; tables on the way are made, and nothing is done where something else stands there."""
    first, *rest = path
    inner = tree.get(first, {})
    if not rest:
        return {**tree, first: value}
    return {**tree, first: _plus(inner, rest, value)} if isinstance(inner, dict) else tree


def _minus(tree: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The tree without the value at the path, and without tables that held nothing else."""
    first, *rest = path
    inner = _minus(tree[first], rest) if rest else {}
    return {**tree, first: inner} if inner else {name: value for name, value in tree.items() if name != first}


def _says(text: str, wanted: Mapping[str, Any], parse: Callable[[str], Any]) -> bool:
    """Whether a text reads as this tree. Compared as JSON, so that one NaN is like the other."""
    try:
        found = parse(text)
    except ValueError:
        return False
    one, other = (json.dumps(tree, sort_keys=True, default=str) for tree in (found, wanted))
    return one == other


def _check(wanted: Mapping[str, Any], new: str, parse: Callable[[str], Any]) -> None:
    if not _says(new, wanted, parse):
        raise ValueError("is laid out so that the entry cannot be changed alone; change it by hand")


def _inline(value: Mapping[str, Any]) -> Any:
    """The table as it must stand inside an inline table."""
    import tomlkit

    table = tomlkit.inline_table()
    for key, inner in value.items():
        table[key] = _inline(inner) if isinstance(inner, Mapping) else inner
    return table


def _toml(text: str) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as failure:
        raise ValueError(f"not valid TOML: {failure}") from None


def _root(text: str) -> Any:
    if not text.strip():
        return wire.Obj()
    try:
        document = wire.parse(text)
    except json.JSONDecodeError as failure:
        raise ValueError(f"not valid JSON: {failure.msg} at line {failure.lineno}, column {failure.colno}") from None
    except wire.TooManyValues:
        raise ValueError("too large") from None
    if not isinstance(document.root, wire.Obj) or document.duplicate_keys:
        raise ValueError("a key stands twice" if document.duplicate_keys else "not a JSON object")
    return document.root


def _walk(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _spliced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _first_key(here: wire.Obj) -> Any:
    return next(iter(here))


def _indent(text: str, here: wire.Obj) -> str:
    """One step of indentation as the file has it; empty when it stands on one line."""
    root = _root(text)
    if not root:
        return _DEFAULT_INDENT
    blank = text[root.start + 1 : _first_key(root).start]
    return blank.rpartition("\n")[2] if "\n" in blank else ""


def _dump(value: Any, indent: str, depth: int) -> str:
    if not indent:
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, indent=indent).replace("\n", "\n" + indent * depth)


def _insert(text: str, here: wire.Obj, key: str, value: Any, depth: int) -> str:
    """A new last member of `here`, which stands `depth - 1` levels deep."""
    indent = _indent(text, here)
    member = f"{json.dumps(key)}: {_dump(value, indent, depth)}"
    blank = "\n" + indent * depth if indent else ""
    if not here:
        close = "\n" + indent * (depth - 1) if indent else ""
        return _spliced(text, here.start, here.end, "{" + blank + member + close + "}")
    last = _BLANK_END.search(text, here.start, here.end - 1)
    assert last is not None  # the pattern matches the empty end
    return _spliced(text, last.start(), last.start(), "," + (blank or " ") + member)


def _without(text: str, here: wire.Obj, key: str) -> str:
    """`here` without a member that is an object."""
    keys: list[Any] = list(here)
    at = keys.index(key)
    if len(keys) == 1:
        return _spliced(text, here.start, here.end, "{}")
    if at + 1 < len(keys):
        return _spliced(text, keys[at].start, keys[at + 1].start, "")
    comma = text.rindex(",", here.start, keys[at].start)
    return _spliced(text, comma, here[key].end, "")


def read(file: Path) -> str | None:
    """The text, or None when there is no such file. Raises ValueError for what is no UTF-8, OSError."""
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as failure:
        raise ValueError(f"not UTF-8 at byte {failure.start}") from None


def replace(file: Path, text: str) -> None:
    """Write the whole text at once, with the mode the file had (a new one is the owner's only); links stay. Raises OSError."""
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(text.encode())
            new.flush()
            os.fsync(new.fileno())
        Path(name).chmod(mode)
        Path(name).replace(file)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
