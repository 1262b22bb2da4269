"""Takes any text apart: terminal output as a screen would show it, one unit a line, overlong lines in pieces.

Cleaning removes what a terminal would not show either: escape sequences, characters that a
backspace took back, progress output that a carriage return overwrote (the last frame of each
wording stays), and padding at line ends. A line too long to be one unit is cut behind the commas
of a literal, else behind blanks; its pieces joined are the line. Everything is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONG = 2000  # characters from which a line is more than one unit
_PIECE = 240  # characters of a piece of a line that is no literal
_DEEPEST = 4  # levels of brackets between which a literal may be cut
_FEWEST = 12  # pieces that make a level worth cutting at
_LARGEST = 0.3  # share of the line that one piece may hold
_PADDING = 8  # blanks at a line's end that are not worth keeping

_HOME = re.compile(r"\x1b\[(?:2K|[01]?G)")  # the line starts anew
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?|\][^\x07\x1b\n]*+(?:\x07|\x1b\\)?|[()#][0-9A-Z]|[@-Z\\^_=>78c])")
_BACK = re.compile(r"(\x08++)")
_LETTERS = re.compile(r"[^\W\d_]+")
_SYNTAX = re.compile(r"\\.|'(?:[^'\\]++|\\.)*+'|\"(?:[^\"\\]++|\\.)*+\"|[\[({]|[\])}]|,\s*+", re.DOTALL)
_BLANK = re.compile(r"[\s,;]++")


@dataclass(frozen=True, slots=True)
class Units:
    """One entry per unit. `glue` follows a unit in its text; `line` is the line it stands in, from 1.

    `element` numbers the pieces of one line from 1, 0 for a whole line. `cleaned` says in words
    what was taken away; without it the units and their glue joined are the text.
    """

    texts: list[str]
    glue: list[str]
    line: list[int]
    element: list[int]
    lines: int
    cleaned: tuple[str, ...]


@dataclass(slots=True)
class _Cleaned:
    lines: list[str]
    number: list[int]
    what: tuple[str, ...]
    count: int


def take_apart(text: str) -> Units:
    """The units of a text of any kind."""
    cleaned = _clean(text)
    units = Units([], [], [], [], cleaned.count, cleaned.what)
    for line, number in zip(cleaned.lines, cleaned.number, strict=True):
        pieces = _pieces(line) if len(line) > _LONG else [line]
        units.texts.extend(pieces)
        units.glue.extend([""] * (len(pieces) - 1))
        units.glue.append("\n")
        units.line.extend([number] * len(pieces))
        units.element.extend(range(1, len(pieces) + 1) if len(pieces) > 1 else (0,))
    units.glue[-1] = ""
    return units


def _clean(text: str) -> _Cleaned:
    what = []
    if "\x1b" in text:
        text = _ESCAPE.sub("", _HOME.sub("\r", text))
        what.append("terminal escapes removed")
    raw = text.split("\n")
    lines: list[str] = []
    number: list[int] = []
    overwritten = padded = False
    for at, line in enumerate(raw, 1):
        frames = [line]
        if "\x08" in line:
            frames = [_backspaced(line)]
            overwritten = True
        if "\r" in line[:-1]:
            frames = _frames(frames[0])
            overwritten = True
        for frame in frames:
            bare = frame.rstrip(" \t")
            is_padded = len(frame) - len(bare) >= _PADDING
            padded = padded or is_padded
            lines.append(bare if is_padded else frame)
            number.append(at)
    if overwritten:
        what.append("overwritten progress output removed")
    if padded:
        what.append("padding at line ends removed")
    return _Cleaned(lines, number, tuple(what), len(raw))


def _backspaced(line: str) -> str:
    """The line as it stands after its backspaces: what follows one overwrites what it went back over."""
    screen: list[str] = []
    cursor = 0
    for part in _BACK.split(line):
        if part.startswith("\x08"):
            cursor = max(0, cursor - len(part))
        else:
            screen[cursor : cursor + len(part)] = part
            cursor += len(part)
    return "".join(screen)


def _frames(line: str) -> list[str]:
    """What carriage returns put one over the other: the last frame of each wording, in order."""
    end = "\r" if line.endswith("\r") else ""
    last: dict[str, tuple[int, str]] = {}
    for at, frame in enumerate(line.split("\r")):
        if frame and not frame.isspace():
            last[" ".join(_LETTERS.findall(frame))] = (at, frame)
    frames = [frame for _, frame in sorted(last.values())] or [""]
    frames[-1] += end
    return frames


def _pieces(line: str) -> list[str]:
    """The line cut behind the commas of the outermost level that has many, else behind blanks."""
    commas: list[list[int]] = [[] for _ in range(_DEEPEST + 1)]
    depth = 0
    for match in _SYNTAX.finditer(line):
        sign = match[0][0]
        if sign in "[({":
            depth += 1
        elif sign in "])}":
            depth = max(0, depth - 1)
        elif sign == "," and depth <= _DEEPEST:
            commas[depth].append(match.end())
    cuts: list[int] = []
    for level in commas:
        cuts = sorted((*cuts, *level))
        pieces = _cut(line, cuts)
        if len(pieces) >= _FEWEST and max(map(len, pieces)) <= _LARGEST * len(line):
            return [part for piece in pieces for part in (_flowing(piece) if len(piece) > _LONG else (piece,))]
    return list(_flowing(line))


def _cut(line: str, cuts: Sequence[int]) -> list[str]:
    return [line[start:end] for start, end in zip((0, *cuts), (*cuts, len(line)), strict=True) if start < end]


def _flowing(line: str) -> Iterator[str]:
    """Pieces of about the same length, cut behind blanks and commas where there are any."""
    start = 0
    while start < len(line):
        end = start + _PIECE
        if end < len(line):
            blank = _BLANK.search(line, end, end + _PIECE)
            end = blank.end() if blank else end + _PIECE
        yield line[start:end]
        start = end
