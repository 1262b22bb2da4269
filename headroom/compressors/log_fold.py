"""Writes a log smaller without leaving anything out, and reads it back byte for byte.

After a head that states these rules, `@1 = text with <*>` lines define templates. Then every line
stands for one line of the log:

    @1 a b      template 1 with its holes filled by a and b
    @x 5        the line before, 5 more times
    \\text       text, where it starts with `@` or a backslash
    text        itself

A value that starts with `^` shares its beginning with the value of the same hole of the line
before: `^12:abc` is its first 12 characters, then abc; `^` alone is the same value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headroom.ccr import marker
from headroom.compressors.log_shapes import HOLE

_FEWEST_USES = 4
_SHARED = 6  # characters a value must share with the one before to be written shorter
_VALUE = re.compile(r"\b[A-Za-z_]*+\d\w*+(?:[.:,/+-]{1,3}[A-Za-z_]*+\d\w*+)*+", re.ASCII)
_LONGEST = 2000  # characters of a line that is worth a template


def encode(lines: Sequence[str], hash: str) -> str | None:
    """The lines folded under its marker, or None when it would not be smaller or could not be read back."""
    body = _body(lines)
    what = (
        f"{len(lines)} log lines, complete, folded: @N a b = template N with its {HOLE} filled by a, b; ^ = same value as in the "
        f"line before, ^K:s = its first K characters then s; @x N = line above N more times"
    )
    folded = marker.re_encoded(what, hash) + "\n" + "\n".join(body)
    text = "\n".join(lines)
    return folded if len(folded) < 0.9 * len(text) and decode(folded) == text else None


def decode(folded: str) -> str:
    """The text that `encode` was given. Raises ValueError for a text that it did not write."""
    forms: dict[str, list[str]] = {}
    before: list[str] = []
    out: list[str] = []
    for line in folded.split("\n")[1:]:
        if line.startswith("\\"):
            out.append(line[1:])
        elif not line.startswith("@"):
            out.append(line)
        else:
            name, _, rest = line[1:].partition(" ")
            if rest.startswith("= "):
                forms[name] = rest[2:].split(HOLE)
            elif name == "x":
                out.extend(out[-1:] * int(rest))
            elif name in forms:
                values = _expand(rest.split(" ") if rest else [], before)
                out.append(_fill(forms[name], values))
                before = values
            else:
                raise ValueError(f"no template {name!r}")
    return "\n".join(out)


def _body(lines: Sequence[str]) -> list[str]:
    forms, uses = _forms(lines)
    out: list[str] = []
    names: dict[str, int] = {}
    before: list[str] = []
    number = 0
    while number < len(lines):
        line, form = lines[number], forms[number]
        if form and uses[form] >= _FEWEST_USES:
            values = _VALUE.findall(line)
            if form not in names:
                names[form] = len(names) + 1
                out.append(f"@{names[form]} = {form}")
            out.append(" ".join((f"@{names[form]}", *_shorten(values, before))))
            before = values
        else:
            out.append("\\" + line if line[:1] in ("@", "\\") else line)
        same = number + 1
        while same < len(lines) and lines[same] == line:
            same += 1
        if same - number > 2 or (same - number == 2 and len(line) > 12):
            out.append(f"@x {same - number - 1}")
            number = same
        else:
            number += 1
    return out


def _forms(lines: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """The masked form of each line that could be a template, else an empty string, and how often each occurs."""
    forms: list[str] = []
    uses: dict[str, int] = {}
    for line in lines:
        form = ""
        if 24 < len(line) <= _LONGEST and HOLE not in line:
            form = _VALUE.sub(HOLE, line)
            if len(form) - 2 * form.count(HOLE) < 16:
                form = ""
        forms.append(form)
        if form:
            uses[form] = uses.get(form, 0) + 1
    return forms, uses


def _shorten(values: Sequence[str], before: Sequence[str]) -> list[str]:
    return [_against(value, before[at]) if at < len(before) else value for at, value in enumerate(values)]


def _against(value: str, earlier: str) -> str:
    if value == earlier:
        return "^" if len(value) > 1 else value
    shared = 0
    for mine, other in zip(value, earlier, strict=False):
        if mine != other:
            break
        shared += 1
    return f"^{shared}:{value[shared:]}" if shared >= _SHARED else value


def _expand(written: Sequence[str], before: Sequence[str]) -> list[str]:
    values = []
    for at, value in enumerate(written):
        if value == "^":
            values.append(before[at])
        elif value.startswith("^"):
            shared, _, rest = value[1:].partition(":")
            values.append(before[at][: int(shared)] + rest)
        else:
            values.append(value)
    return values


def _fill(form: Sequence[str], values: Sequence[str]) -> str:
    if len(values) != len(form) - 1:
        raise ValueError("as many values as holes are needed")
    return "".join(piece + value for piece, value in zip(form, (*values, ""), strict=True))
