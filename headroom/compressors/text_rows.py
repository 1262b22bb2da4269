"""Writes the literal of many alike rows on one line (SQL rows as Python prints them) smaller, and reads it back.

Behind the head stands the form of a row with `<*>` for each value, then one row a line with `|`
between its values; a line that starts with a backslash stands for itself:

    ('<*>', <*>),
    \\[('Oslo', 580000),
    Bergen|291000
    \\('Bodo', 53000)]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from headroom.ccr import marker

_HOLE, _BAR = "<*>", "|"
_VALUE = re.compile(
    r"'(?P<single>[^'\\|\n]*+)'|\"(?P<double>[^\"\\|\n]*+)\"|(?<![\w.])(?P<bare>-?\d[\d.]*+(?:[eE][+-]?\d++)?|None|True|False)(?!\w)"
)
_ALIKE = 0.6  # share of the pieces that must have the commonest form
_WORTH = 0.95  # of the text, from which a longer form is refused

_Row = tuple[str, ...]


def encode(pieces: Sequence[str], hash: str) -> str | None:
    """The pieces of one line as rows, or None when they are not alike or could not be read back."""
    read = [_read(piece) for piece in pieces]
    form, uses = Counter(form for form, _ in read).most_common(1)[0]
    if uses < max(2, _ALIKE * len(pieces)) or _HOLE not in form or "\n" in form:
        return None
    columns = list(zip(*(values for found, values in read if found == form), strict=True))
    varies = [any(value != column[0] for value in column) for column in columns]
    written = [form] if all(varies) else [_fill(form, [_HOLE if v else c[0] for v, c in zip(varies, columns, strict=True)])]
    for piece, (found, values) in zip(pieces, read, strict=True):
        row = _BAR.join(value for value, v in zip(values, varies, strict=True) if v) if found == form else ""
        written.append(row if found == form and not row.startswith("\\") else "\\" + piece)
    what = f"a literal of {len(pieces)} elements, complete, one a line: its values, {_BAR} between them, for each {_HOLE} of the form below"
    encoded = "\n".join((marker.re_encoded(what, hash), *written))
    text = "".join(pieces)
    return encoded if any(varies) and len(encoded) < _WORTH * len(text) and decode(encoded) == text else None


def decode(encoded: str) -> str:
    """The text that `encode` was given. Raises ValueError for a text that it did not write."""
    _, form, *rows = encoded.split("\n")
    return "".join(row[1:] if row.startswith("\\") else _fill(form, row.split(_BAR)) for row in rows)


def _read(piece: str) -> tuple[str, _Row]:
    """The form of a piece and the values in its holes; one that could be misread has no form."""
    if _HOLE in piece or "\n" in piece:
        return "", ()
    values: list[str] = []
    parts: list[str] = []
    position = 0
    for match in _VALUE.finditer(piece):
        start, end = match.span(match.lastgroup or 0)
        parts += (piece[position:start], _HOLE)
        values.append(piece[start:end])
        position = end
    return "".join((*parts, piece[position:])), tuple(values)


def _fill(form: str, values: Sequence[str]) -> str:
    parts = form.split(_HOLE)
    if len(values) != len(parts) - 1:
        raise ValueError("as many values as holes are needed")
    return "".join(part + value for part, value in zip(parts, (*values, ""), strict=True))
