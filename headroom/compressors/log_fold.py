"""Writes a log smaller without leaving anything out, and reads it back byte for byte.

After a head that states these rules, the body's lines are:

    @a = text with holes   template a, where it is used first (`log_columns` says what holes are)
    a1,,b                  a line of template a, its cells filled by 1, what it was before, and b
    @53:1,,b               the same for template 53, when there are more templates than letters
    *5                     the line above, 5 more times
    [lines 3-9 again]      a copy of these lines of the log
    |text                  text, where it could be taken for one of the above
    text                   itself

Where most lines have no template, a line of template a begins with `@a:` and only `@` needs a bar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from string import ascii_letters

from headroom.ccr import marker
from headroom.compressors import fold_repeats
from headroom.compressors.log_columns import HOLE, Form, forms, tail, whole

_GAIN = 0.97  # the longest result that is worth it, as a share of the text
_TWICE = 12  # characters from which a line is not written a second time
_DEFINITION = re.compile(r"@([A-Za-z]|\d{1,9}) = ", re.ASCII)
_TIMES = re.compile(r"\*[1-9]\d{0,8}", re.ASCII)


def encode(lines: Sequence[str], hash: str, templates: bool = True) -> str | None:
    """The lines folded under its marker, or None when it would not be smaller or could not be read back.

    Without `templates` every line that is not a repeat stays verbatim.
    """
    folded = fold(lines, hash, templates)
    text = "\n".join(lines)
    return folded if len(folded) < _GAIN * len(text) and _reads_back(folded, text) else None


def fold(lines: Sequence[str], hash: str, templates: bool = True) -> str:
    """The lines folded under its marker, whether or not it pays."""
    blocks = fold_repeats.blocks(lines)
    wanted = _written_out(lines, blocks)
    found = forms(lines, wanted) if templates else []
    rows = {number: (form, row) for form in found for row, number in enumerate(form.lines)}
    bare = 2 * len(rows) >= len(wanted)
    body = list(_body(lines, blocks, rows, _names(found), bare))
    return "\n".join([marker.re_encoded(_what(lines, body, found, bare), hash), *body])


def _reads_back(folded: str, text: str) -> bool:
    try:
        return decode(folded) == text
    except ValueError:
        return False


def _what(lines: Sequence[str], body: Sequence[str], found: Sequence[Form], bare: bool) -> str:
    kinds = {kind[0] for form in found for kind in form.kinds}
    words = [f"{len(lines)} log lines, complete, folded"]
    if found:
        line = "a1,,b" if bare else "@a:1,,b"
        words.append(f"@a = template; {line} is a line of template a with its <> filled by 1, the same as in a's line before, b")
    if "~" in kinds or "^" in kinds:
        words.append("in <~> a cell replaces only the end of the value before (=x: all of it)")
    if "^" in kinds:
        words.append("in <^1> that of any template's <^1>")
    if "=" in kinds:
        words.append("<=2> equals cell 2")
    if any(map(_TIMES.fullmatch, body)):
        words.append("*N = line above N more times")
    if any(map(fold_repeats.referred, body)):
        words.append(fold_repeats.RULE)
    return "; ".join(words)


def _written_out(lines: Sequence[str], blocks: dict[int, tuple[int, int]]) -> list[int]:
    """The lines that are in no block and not the line before again."""
    wanted, position = [], 0
    while position < len(lines):
        if position in blocks:
            position = blocks[position][0]
            continue
        if not _again(lines, position):
            wanted.append(position)
        position += 1
    return wanted


def _again(lines: Sequence[str], position: int) -> bool:
    return position > 0 and lines[position] == lines[position - 1] and len(lines[position]) > _TWICE


def _names(found: Sequence[Form]) -> dict[int, str]:
    """Letters for the templates used most, numbers for the others."""
    order = sorted(range(len(found)), key=lambda at: -len(found[at].lines))
    return {id(found[at]): ascii_letters[rank] if rank < len(ascii_letters) else str(rank + 1) for rank, at in enumerate(order)}


def _body(
    lines: Sequence[str], blocks: dict[int, tuple[int, int]], rows: dict[int, tuple[Form, int]], names: dict[int, str], bare: bool
) -> Iterator[str]:
    told: set[str] = set()
    chains: dict[str, str] = {}
    position = 0
    while position < len(lines):
        if position in blocks:
            end, at = blocks[position]
            yield fold_repeats.reference(at, at + end - position)
            position = end
            continue
        start, line = position, lines[position]
        while position < len(lines) and position not in blocks and _again(lines, position):
            position += 1
        if position > start:
            yield f"*{position - start}"
            continue
        position += 1
        if start not in rows:
            yield "|" + line if _unclear(line, bare) else line
            continue
        form, row = rows[start]
        name = names[id(form)]
        if name not in told:
            told.add(name)
            yield f"@{name} = {form.text}"
        cells = _cells(form, row, chains)
        yield _prefix(name, bare, cells) + cells


def _prefix(name: str, bare: bool, cells: str) -> str:
    if bare and len(name) == 1:
        return f"{name}:" if cells[:1].isalpha() or cells[:1] in (":", "=") else name
    return f"@{name}:"


def _unclear(line: str, bare: bool) -> bool:
    first = line[:1]
    if first in ("@", "|") or (bare and first and first in ascii_letters):
        return True
    return bool(_TIMES.fullmatch(line) or fold_repeats.referred(line))


def _cells(form: Form, row: int, chains: dict[str, str]) -> str:
    out = []
    column = 0
    for kind in form.kinds:
        if kind[0] == "=":
            continue
        cells = form.cells[column]
        column += 1
        value = cells[row]
        if kind[0] == "^":
            out.append(tail(value, chains.get(kind, "")))
            chains[kind] = value
        elif kind == "~":
            out.append(tail(value, cells[row - 1] if row else ""))
        else:
            out.append("" if row and value == cells[row - 1] else value)
    return ",".join(out).rstrip(",")


@dataclass(slots=True)
class _Template:
    """A template as it is read: texts around the holes, their kinds, and the last value of each cell."""

    pieces: list[str]
    kinds: list[str]
    values: list[str] = field(default_factory=list)

    def fill(self, cells: Sequence[str], chains: dict[str, str]) -> str:
        """Raises ValueError for more cells than holes."""
        kinds = [kind for kind in self.kinds if kind[0] != "="]
        if len(cells) > len(kinds):
            raise ValueError("more cells than holes")
        before = self.values or [""] * len(kinds)
        values = []
        for at, kind in enumerate(kinds):
            cell = cells[at] if at < len(cells) else ""
            if kind[0] == "^":
                chains[kind] = value = whole(cell, chains.get(kind, ""))
            else:
                value = whole(cell, before[at]) if kind == "~" else cell or before[at]
            values.append(value)
        self.values = values
        rest = iter(values)
        return "".join([piece + text for piece, text in zip(self.pieces, [*self._texts(rest), ""], strict=True)])

    def _texts(self, values: Iterator[str]) -> Iterator[str]:
        for kind in self.kinds:
            if kind[0] != "=":
                yield next(values)
            elif 0 < int(kind[1:]) <= len(self.values):
                yield self.values[int(kind[1:]) - 1]
            else:
                raise ValueError(f"no cell {kind}")


def decode(folded: str) -> str:
    """The text that `encode` was given. Raises ValueError for a text that it did not write."""
    head, *body = folded.split("\n")
    bare = "; a1,,b is a line" in head
    templates: dict[str, _Template] = {}
    chains: dict[str, str] = {}
    out: list[str] = []
    for line in body:
        first = line[:1]
        if first == "|":
            out.append(line[1:])
        elif definition := _DEFINITION.match(line):
            parts = HOLE.split(line[definition.end() :])
            templates[definition[1]] = _Template(parts[::2], parts[1::2])
        elif first == "@":
            name, _, cells = line[1:].partition(":")
            out.append(_filled(templates, name, cells, chains))
        elif bare and first and first in ascii_letters:
            out.append(_filled(templates, first, line[1:].removeprefix(":"), chains))
        elif _TIMES.fullmatch(line):
            out += out[-1:] * int(line[1:])
        elif place := fold_repeats.referred(line):
            out += fold_repeats.copied(out, place)
        else:
            out.append(line)
    return "\n".join(out)


def _filled(templates: dict[str, _Template], name: str, cells: str, chains: dict[str, str]) -> str:
    if name not in templates:
        raise ValueError(f"no template {name!r}")
    return templates[name].fill(cells.split(",") if cells else (), chains)
