"""A tool's text in a fraction of its tokens: the lines that matter most, verbatim and in order, with words for the gaps.

Deeper than what compression does at first sight, and only for texts that would otherwise leave: errors, names that the
conversation used later, what was asked last, and both ends. Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headroom.ccr import marker
from headroom.context.view import Count
from headroom.scoring import bm25, importance

_MOST_LINES = 20_000  # beyond, only both ends are looked at
_PIECE_CHARS = 400  # of a line that is longer, the first piece that matters is shown
_GAP_TOKENS = 10
_FLOOR = 24  # tokens; below it a marker says as much


def harder(text: str, query: str, used: Collection[str], most: int, hash: str, count: Count) -> str | None:
    """At most about `most` tokens of `text`, `hash` giving it back; None when that is no text any more.

    `used` are the names that the conversation uses later.
    """
    lines = text.split("\n")
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES // 2], *lines[-_MOST_LINES // 2 :]]
    room = most - count(_head(len(lines), hash))
    if room < _FLOOR:
        return None
    shown: dict[int, str] = {}
    for number in _ranked(lines, query, used):
        piece = _piece(lines[number], query, used, min(_PIECE_CHARS, 2 * room))
        cost = count(piece) + (0 if number - 1 in shown or number + 1 in shown else _GAP_TOKENS)
        if cost <= room:
            shown[number] = piece
            room -= cost
        elif not room // _GAP_TOKENS:
            break
    return _render(lines, shown, hash) if shown else None


def _ranked(lines: Sequence[str], query: str, used: Collection[str]) -> list[int]:
    """The numbers of the lines that say something, the most important first."""
    relevance = importance.word_similarity(lines, [query])
    wrong = importance.errors(lines, [False] * len(lines))
    last = len(lines) - 1
    scores = []
    for number, line in enumerate(lines):
        held = len(importance.names(line).intersection(used)) if used else 0
        edge = 0.3 if number < 2 or number >= last - 1 else 0.0
        scores.append(relevance[number] + 0.5 * wrong[number] + min(1.0, 0.5 * held) + edge)
    told = [number for number, line in enumerate(lines) if line.strip()]
    return sorted(told, key=lambda number: (-scores[number], number))


def _piece(line: str, query: str, used: Collection[str], most: int) -> str:
    """A line, or of a long one `most` characters that hold a name or a word that is asked for."""
    if len(line) <= _PIECE_CHARS:
        return line
    lower = line.lower()
    places = [line.find(name) for name in importance.names(line).intersection(used)]
    places += [lower.find(term) for term in bm25.terms(query)]
    at = max(0, min((place for place in places if place >= 0), default=0) - most // 4)
    return f"{'...' if at else ''}{line[at : at + most]}..."


def _head(lines: int, hash: str) -> str:
    return marker.re_encoded(f"the parts that matter most of {lines} lines, verbatim", hash)


def _render(lines: Sequence[str], shown: dict[int, str], hash: str) -> str:
    told, position = [_head(len(lines), hash)], 0
    for number in sorted(shown):
        if number > position:
            told.append(_gap(position, number))
        told.append(shown[number])
        position = number + 1
    if position < len(lines):
        told.append(_gap(position, len(lines)))
    return "\n".join(told)


def _gap(start: int, end: int) -> str:
    return marker.gap(f"line {start + 1}" if end == start + 1 else f"lines {start + 1}-{end}")
