"""Source files made smaller: the outline and what the turn points at stay, other bodies fold in place.

A file of moderate size, and a range of lines that was asked for, stay as they are: an agent has just
asked to read them. A fold is a comment of the language, so that what parsed before still parses;
numbers that a tool printed before the lines stay with their lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from headroom.ccr import marker
from headroom.compressors import numbered
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.code_grammar import COMMENT_OF, EMPTY_OF
from headroom.compressors.code_keep import Fold, asks_for_all, folds, points_elsewhere, wanted
from headroom.compressors.code_lines import Section, is_range, path_of, sections
from headroom.compressors.code_tree import Region, regions
from headroom.model import Fidelity, Segment

_MODERATE = 6000  # characters, about 2,000 tokens, of a file that stays as it is
_ELSEWHERE = 3000  # of one when the question names another
_IN_FULL = 60_000  # of one that was asked for from beginning to end
_RANGE = 16_000  # characters of a range of lines that stays as it is
_HEAD = "source code with parts left out as marked by their line numbers, the lines shown are verbatim"
_HEAD_UNALIGNED = _HEAD + ", their numbers not aligned"


@dataclass(frozen=True, slots=True)
class _Program:
    """The lines of a text and its sections, each with what may fold in it."""

    lines: list[str]
    sections: list[tuple[Section, list[Region]]]


class Code:
    """Source files as tools print them. Units are lines."""

    label: Final = "code"

    def parse(self, segment: Segment) -> Parsed | None:
        text = segment.text
        if len(text) < _kept_size(segment):
            return None
        lines = text.split("\n")
        found = [(section, regions(section.code, section.language)) for section in sections(lines, segment.arguments, segment.question)]
        found = [(section, inside) for section, inside in found if inside]
        return Parsed(lines, _Program(lines, found)) if found else None

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        if fidelity == "lossless":
            return None
        program: _Program = parsed.structure
        question = "\n".join((segment.question, segment.intent, segment.arguments))
        shown: list[str] = []
        position = left_out = 0
        for section, inside in program.sections:
            wants = wanted(section, inside, question, scores[section.start : section.end])
            chosen = folds(section, inside, wants)
            left_out += sum(fold.end - fold.start + 1 for fold in chosen)
            shown += program.lines[position : section.start]
            shown += _write(program.lines, section, chosen)
            position = section.end
        if not left_out:
            return None
        shown += program.lines[position:]
        comment = COMMENT_OF.get(program.sections[0][0].language, "// ")
        opens = shown[0].startswith(("<?", "#!"))  # lines that must be the first of their file
        aligned = numbered.unpad("\n".join(shown))
        if aligned:
            shown = aligned[0].split("\n")
        shown.insert(int(opens), comment + marker.re_encoded(_HEAD_UNALIGNED if aligned else _HEAD, hash))
        return Draft("\n".join(shown), len(program.lines), len(program.lines) - left_out)


def _kept_size(segment: Segment) -> int:
    """Characters up to which this file read stays as it is."""
    elsewhere = points_elsewhere(path_of(segment.arguments), segment.question)
    if not elsewhere and asks_for_all(f"{segment.question}\n{segment.intent}"):
        return _IN_FULL
    if is_range(segment.arguments):
        return _RANGE
    return _ELSEWHERE if elsewhere else _MODERATE


def _write(lines: Sequence[str], section: Section, chosen: Sequence[Fold]) -> Iterator[str]:
    row = 0
    for fold in chosen:
        yield from lines[section.start + row : section.start + fold.start]
        yield _gap(section, fold)
        row = fold.end + 1
    yield from lines[section.start + row : section.end]


def _gap(section: Section, fold: Fold) -> str:
    """The marker of a fold: indented, and a comment where the code is printed without numbers."""
    told = marker.gap(f"lines {section.first + fold.start}-{section.first + fold.end}")
    if section.numbered:
        return told
    first = next((line for line in section.code[fold.start : fold.end + 1] if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if fold.kind == "text":
        return indent + (first.lstrip()[:3] + " " if first.lstrip().startswith(("#", "//")) else "") + told
    comment = COMMENT_OF.get(section.language, "// ")
    return indent + (EMPTY_OF.get(section.language, comment) if fold.kind == "body" else comment) + told
