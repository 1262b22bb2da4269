"""From a document written with tables back to its value: the inverse of `json_rows.encode`, and its proof."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from headroom.compressors.json_bare import quoted
from headroom.compressors.json_derived import fill
from headroom.compressors.json_packed import Packing, read_name, read_packing, unpack
from headroom.compressors.json_table import ABSENT, JSON_START, NUMBER, WORDS
from headroom.compressors.json_text import Number, decoder, read

_HEADING = re.compile(r"<table (\d+): (\d+) (rows|entries)>")
_PLACE = re.compile(r'"(?:[^"\\]|\\.)*"|<table (\d+)>')


@dataclass(frozen=True, slots=True)
class _Spec:
    """A column as its line describes it; `keys` are those on the way to it, none for the row itself."""

    path: str
    keys: tuple[str, ...]
    typed: bool = False
    packing: Packing | None = None
    constant: Any = ABSENT
    pattern: str = ""

    @property
    def has_cell(self) -> bool:
        return self.constant is ABSENT and not self.pattern


def decode(text: str) -> Any:
    """The value that a skeleton and its tables stand for; numbers come as `Number`.

    Raises ValueError when the text is not such an encoding.
    """
    lines = text.split("\n")
    skeleton = "<table 1>" if _HEADING.fullmatch(lines[0]) else lines.pop(0)
    tables: dict[str, Any] = {}
    at = 0
    while at < len(lines):
        match = _HEADING.fullmatch(lines[at])
        if match is None:
            raise ValueError(f"no table at line {at + 1}")
        end = at + 2 + int(match[2])
        tables[match[1]] = _table(lines[at + 1], lines[at + 2 : end], match[3] == "entries")
        at = end
    return decoder(partial(_object, tables)).decode(_PLACE.sub(_twice, quoted(skeleton)))


def _twice(match: re.Match[str]) -> str:
    """A table's place as an object no document holds: with a key twice."""
    return match[0] if match[1] is None else f'{{"{match[1]}":0,"{match[1]}":0}}'


def _object(tables: dict[str, Any], pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    return found if len(found) == len(pairs) else tables[pairs[0][0]]


def _table(header: str, lines: list[str], entries: bool) -> Any:
    specs = [_spec(name) for name in header.split("\t")] if header else []
    if not entries:
        return [_row(specs, _cells(specs, line)) for line in lines]
    rows = [_cells(specs, line) for line in lines]
    return {cells[specs[0].path]: _row(specs[1:], cells) for cells in rows}


def _spec(name: str) -> _Spec:
    keys: list[str] = []
    at = 0
    if name.startswith(("(key)", "(value)")):
        at = name.index(")") + 1
    while at == 0 or (keys and name[at : at + 1] == "."):
        key, at = read_name(name, at + bool(keys))
        keys.append(key)
    path, rest = name[:at], name[at:]
    if rest.startswith("="):
        return _Spec(path, tuple(keys), constant=read(rest[1:]))
    if rest.startswith("~"):
        return _Spec(path, tuple(keys), pattern=read(rest[1:]))
    packing, _ = read_packing(rest, 0)
    return _Spec(path, tuple(keys), typed=rest == ":str", packing=packing)


def _cells(specs: Sequence[_Spec], line: str) -> dict[str, Any]:
    """The values of a line's cells by the path of their column."""
    cells = iter(line.split("\t") if line else ())
    return {spec.path: _cell(next(cells, ""), spec) for spec in specs if spec.has_cell}


def _cell(cell: str, spec: _Spec) -> Any:
    if not cell:
        return ABSENT
    if cell[0] in JSON_START:
        return unpack(read(cell), spec.packing)
    if cell in WORDS:
        return WORDS[cell]
    return Number(cell) if not spec.typed and NUMBER.fullmatch(cell) else cell


def _row(specs: Sequence[_Spec], cells: dict[str, Any]) -> Any:
    row: Any = {}
    for spec in specs:
        value = fill(spec.pattern, cells.get) if spec.pattern else cells.get(spec.path, spec.constant)
        if value is ABSENT:
            continue
        if not spec.keys:
            return value
        inner = row
        for key in spec.keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[spec.keys[-1]] = value
    return row
