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
from operator import sub

_LONG = 2000  # characters from which a line is more than one unit
_PIECE = 240  # characters of a piece of a line that is no literal
_DEEPEST = 4  # levels of brackets between which a literal may be cut
_TINY = 12  # characters below which elements stay together
_FEWEST = 12  # elements that make a level worth cutting at
_LARGEST = 0.3  # share of the line that one piece may hold
_PADDING = 8  # blanks at a line's end that are not worth keeping
_PADDED = " " * _PADDING + "\n"

_HOME = re.compile(r"\x1b\[(?:2K|[01]?G)")  # the line starts anew
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]?|\][^\x07\x1b\n]*+(?:\x07|\x1b\\)?|[()#][0-9A-Z]|[@-Z\\^_=>78c])")
_BACK = re.compile(r"(\x08++)")
_LETTERS = re.compile(r"[^\W\d_]+")
_READABLE = re.compile(r"-?[^\W_]+")
_PROGRESS = re.compile(
    r"\d\s?%|\d\s?[kKMGT]?i?B?\s?/\s?\d|\d of \d|[#=━█▉-▏]{3}|\.\.\.|…|/s\b|--:--|\beta\b|[\u2800-\u28ff]|\bremaining\b|\belapsed\b",
    re.IGNORECASE,
)
_SYNTAX = re.compile(r"\\.|'(?:[^'\\]++|\\.)*+'|\"(?:[^\"\\]++|\\.)*+\"|(?P<open>[\[({])|(?P<close>[\])}])|(?P<comma>,\s*+)", re.DOTALL)
_BLANK = re.compile(r"[\s,;]++")


@dataclass(frozen=True, slots=True)
class Units:
    """One entry per unit. `glue` follows a unit in its text; `line` is the line it stands in, from 1.

    `first` and `last` number the elements of a line that a unit holds, from 1, or its characters if
    the line is in `flowing`; 0 for a whole line. `cleaned` says in words
    what was taken away; without it the units and their glue joined are the text.
    """

    texts: list[str]
    glue: list[str]
    line: list[int]
    first: list[int]
    last: list[int]
    flowing: set[int]
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
    lines, count = cleaned.lines, len(cleaned.lines)
    glue, none = [*["\n"] * (count - 1), ""], [0] * count
    if max(map(len, lines)) <= _LONG:
        return Units(lines, glue, cleaned.number, none, none, set(), cleaned.count, cleaned.what)
    units = Units([], [], [], [], [], set(), cleaned.count, cleaned.what)
    for line, number in zip(lines, cleaned.number, strict=True):
        if len(line) <= _LONG:
            _add(units, [line], [0], [0], number)
            continue
        cuts = _elements(line)
        if not cuts:
            cuts = list(_flow(line))
            units.flowing.add(number)
        _add_pieces(units, line, cuts, number)
    units.glue[-1] = ""
    return units


def _add_pieces(units: Units, line: str, cuts: Sequence[int], number: int) -> None:
    """The pieces between the cuts, tiny ones together."""
    flowing = number in units.flowing
    texts: list[str] = []
    first: list[int] = []
    last: list[int] = []
    start = begun = 0
    for element, end in enumerate((*cuts, len(line)), 1):
        if end - start < _TINY and end < len(line):
            continue
        texts.append(line[start:end])
        first.append(start + 1 if flowing else begun + 1)
        last.append(end if flowing else element)
        start, begun = end, element
    _add(units, texts, first, last, number)


def _add(units: Units, texts: Sequence[str], first: Sequence[int], last: Sequence[int], number: int) -> None:
    units.texts.extend(texts)
    units.glue.extend([*[""] * (len(texts) - 1), "\n"])
    units.line.extend([number] * len(texts))
    units.first.extend(first)
    units.last.extend(last)


def _clean(text: str) -> _Cleaned:
    what = []
    if "\x1b" in text:
        text = _ESCAPE.sub("", _HOME.sub("\r", text))
        what.append("terminal escapes removed")
    raw = text.split("\n")
    if not ("\x08" in text or text.count("\r") > text.count("\r\n") or _PADDED in text or text.endswith(_PADDED[:-1])):
        return _Cleaned(raw, list(range(1, len(raw) + 1)), tuple(what), len(raw))
    lines: list[str] = []
    number: list[int] = []
    overwritten = parted = padded = False
    for at, line in enumerate(raw, 1):
        frames = [line]
        if "\x08" in line:
            frames = [_backspaced(line)]
            overwritten = True
        if "\r" in line[:-1]:
            frames, gone = _frames(frames[0])
            overwritten = overwritten or gone
            parted = parted or len(frames) > 1
        for frame in frames:
            bare = frame.rstrip(" \t")
            is_padded = len(frame) - len(bare) >= _PADDING
            padded = padded or is_padded
            lines.append(bare if is_padded else frame)
            number.append(at)
    if overwritten:
        what.append("overwritten progress output removed")
    if parted:
        what.append("carriage returns written as line ends")
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


def _frames(line: str) -> tuple[list[str], bool]:
    """What carriage returns put one over the other, in order, and whether any frame is gone: of those that show progress or differ in
    nothing that can be read, the last of each wording stays. Others are lines that end in a carriage return.
    """
    end = "\r" if line.endswith("\r") else ""
    last: dict[tuple[str, str], tuple[int, str]] = {}
    written = [frame for frame in line.split("\r") if frame and not frame.isspace()]
    for at, frame in enumerate(written):
        read = "" if _PROGRESS.search(frame) else " ".join(_READABLE.findall(frame))
        last[" ".join(_LETTERS.findall(frame)), read] = (at, frame)
    frames = [frame for _, frame in sorted(last.values())] or [""]
    frames[-1] += end
    return frames, len(last) < len(written)


def _elements(line: str) -> list[int]:
    """Where to cut the line: behind the commas of the outermost level that has many; nowhere if there is none."""
    commas: list[list[int]] = [[] for _ in range(_DEEPEST + 1)]
    depth = 0
    for match in _SYNTAX.finditer(line):
        sign = match.lastgroup
        if sign == "comma":
            if depth <= _DEEPEST and match.end() < len(line):
                commas[depth].append(match.end())
        elif sign == "open":
            depth += 1
        elif sign == "close":
            depth -= depth > 0
    cuts: list[int] = []
    for level in commas:
        if level:
            cuts = sorted((*cuts, *level))
            longest = max(map(sub, (*cuts, len(line)), (0, *cuts)))
            if len(cuts) >= _FEWEST and longest <= max(_LONG, _LARGEST * len(line)):
                return cuts
    return []


def _flow(line: str) -> Iterator[int]:
    """Cuts at about the same distance, behind blanks and commas where there are any."""
    position = _PIECE
    while position < len(line):
        blank = _BLANK.search(line, position, position + _PIECE)
        position = blank.end() if blank else position + _PIECE
        if position < len(line):
            yield position
            position += _PIECE
