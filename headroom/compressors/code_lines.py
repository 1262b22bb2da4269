"""Takes the output of a file read apart: files, line numbers, language.

A text is sections (one file, or one printed range of it) with other lines between them that stay.
The numbers that a tool printed before the lines are cut off here and kept with the lines in the output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headroom.compressors.code_grammar import LANGUAGE_OF, guess

_LEAST = 3  # numbered lines in a row that make a section
_LOOKED_AT = 8000  # characters of the words or arguments of a turn
_LONGEST = 300  # characters of a line that names a file

_NUMBERED = re.compile(r"[ ]{0,8}(\d{1,7})(?:\t|\u2192|\||:(?=[^\d]|$)|(?=\r?$))")
_FILE = r"[\w@~./\\-]+\.\w{1,6}"
_FILE_LINE = re.compile(
    rf"==> (?P<tail>\S.*) <==\r?$|(?:-{{3,}}|={{3,}}|\*{{3,}}) ?(?:[Ff]ile: ?)?(?P<ruled>{_FILE}) ?(?:-{{3,}}|={{3,}}|\*{{3,}})\r?$"
    rf"|(?:[#/*]+ ?)?(?:[Ff]ile(?:name)?|[Pp]ath): ?`?(?P<said>{_FILE})`?:?\r?$"
    r"|<(?:file|document)[ _]\w+=\"(?P<tag>[^\"\n]+)\">\r?$"
)
_TOKEN = re.compile(r"[\w@~./\\+-]+")
_RANGE = (
    re.compile(r"\"(?:view_range|line_range|lines)\"\s*:\s*\[\s*(\d+)"),
    re.compile(r"\"(?:offset|start_line|startLine|line_start|from_line|start)\"\s*:\s*(\d+)"),
    re.compile(r"\bsed -n (?:-e )?[\"'\\]*(\d+)[ ,]"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """Lines `start` to `end`, exclusive, of the text. `code` are they without numbers; `first` is the number of the first one.

    `language` is empty where it is unknown; `path` is empty where nothing says it.
    """

    start: int
    end: int
    code: Sequence[str]
    first: int
    numbered: bool
    language: str
    path: str


def is_range(arguments: str) -> bool:
    """Whether the call asked for some lines of a file only."""
    return any(pattern.search(arguments[:_LOOKED_AT]) for pattern in _RANGE)


def sections(lines: Sequence[str], arguments: str, question: str) -> list[Section]:
    """The code of a text, in its order."""
    path = path_of(arguments)
    found = list(_numbered(lines, path))
    if not found:
        found = list(_plain(lines, path, _first(arguments[:_LOOKED_AT])))
    return [_with_language(section, path_of(question)) for section in found]


def _numbered(lines: Sequence[str], path: str) -> Iterator[Section]:
    """Runs of lines whose numbers count up by one."""
    start, first, expected, code = 0, 0, -1, list[str]()
    for at, line in enumerate([*lines, ""]):
        match = _NUMBERED.match(line)
        number = int(match[1]) if match else -1
        if match and number == expected:
            code.append(line[match.end() :])
            expected += 1
            continue
        if len(code) >= _LEAST:
            yield Section(start, at, code, first, True, "", path)
        code, expected = [], -1
        if match:
            start, first, expected, code = at, number, number + 1, [line[match.end() :]]
        elif named := _file_line(line):
            path = named


def _plain(lines: Sequence[str], path: str, first: int) -> Iterator[Section]:
    start = 0
    for at, line in enumerate(lines):
        if named := _file_line(line):
            if at > start:
                yield Section(start, at, lines[start:at], first, False, "", path)
            path, start, first = named, at + 1, 1
    if start < len(lines):
        yield Section(start, len(lines), lines[start:], first, False, "", path)


def _file_line(line: str) -> str:
    """The path that a line announces, empty where it announces none."""
    match = _FILE_LINE.match(line) if len(line) < _LONGEST else None
    return match[match.lastgroup] if match and match.lastgroup else ""


def paths(text: str) -> list[str]:
    """The source files that the words or arguments of a turn name, in their order."""
    tokens = (token.rstrip(".-") for token in _TOKEN.findall(text[:_LOOKED_AT]))
    return [token for token in tokens if "." in token and token.rsplit(".", 1)[1].lower() in LANGUAGE_OF]


def path_of(text: str) -> str:
    """The first source file that a text names; empty when there is none."""
    return next(iter(paths(text)), "")


def _first(arguments: str) -> int:
    """The number of the first line that the call asked for."""
    for pattern in _RANGE:
        if match := pattern.search(arguments):
            return max(1, int(match[1][:9]))
    return 1


def _with_language(section: Section, asked: str) -> Section:
    path = section.path
    extension = path.rsplit(".", 1)[-1].lower()
    guessed = guess(section.code)
    language = LANGUAGE_OF.get(extension, guessed) if path else guessed or LANGUAGE_OF.get(asked.rsplit(".", 1)[-1].lower(), "")
    if language == "c" and guessed == "cpp" and extension == "h":
        language = guessed
    return Section(section.start, section.end, section.code, section.first, section.numbered, language, path)
