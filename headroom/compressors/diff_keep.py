"""Which lines of a diff stay in view.

Always: commit headers and subjects, file and hunk headers. Whole, with their context: hunks that
the turn points at by a commit's subject, a path, a name or their score. Then changed lines as far
as the room goes, an equal share for every hunk. Folded first: context, generated files, and lines
that were only moved.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from headroom.compressors import named
from headroom.compressors.diff_lines import (
    ADDED,
    BINARY,
    CHANGES,
    COMMIT,
    CONTEXT,
    FILE,
    MESSAGE,
    NAMES,
    NOTE,
    REMOVED,
    STAT,
    SUBJECT,
    Patch,
)

_HISTORY = 3  # commits from which an output is a history: nobody reads all of it
_ROOM_PLAIN = 24_000  # characters of changed lines that stay of one change
_ROOM_HISTORY = 0.36  # share of the text that stays of a history
_LEAST = 160  # characters of changed lines that every hunk may show
_FEW, _FEW_CHARS = 4, 400  # changed lines and characters of a hunk that is too small to be cut
_WHOLE = 0.25  # share of the text for hunks the turn points at, and the least number of characters
_WHOLE_LEAST = 8000
_POINTED = 1.0  # relevance from which a hunk stays whole
_SINGLES_OUT = 0.05  # share of the hunks a name may hit to single any out, and the least number
_SINGLES_LEAST = 3
_AROUND = 3  # lines kept around one that is asked for, where its hunk does not stay whole
_MESSAGE = 400  # characters of a commit's message that stay
_SUBJECT_WORDS = 0.6  # share of a subject's words that name its commit
_MOVED = 4  # lines in a row that make a moved block
_MINIFIED = 1000  # characters of a line nobody reads

_GENERATED = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|deno\.lock|Cargo\.lock|poetry\.lock|uv\.lock|pdm\.lock"
    r"|Pipfile\.lock|composer\.lock|Gemfile\.lock|mix\.lock|pubspec\.lock|Podfile\.lock|flake\.lock|packages\.lock\.json|gradle\.lockfile|go\.sum)$"
    r"|(?:^|/)(?:vendor|node_modules|third_party|bower_components|dist|__snapshots__)/"
    r"|\.min\.(?:js|css)$|\.(?:js|css|ts)\.map$|\.(?:pb\.go|pb\.cc|pb\.h|g\.dart|designer\.cs|snap|svg|ipynb)$|_pb2(?:_grpc)?\.pyi?$|[._]generated\.\w+$"
)
_WORD = re.compile(r"\w+")
_HASH = re.compile(r"[0-9a-f]{7,64}$")


@dataclass(frozen=True, slots=True)
class Kept:
    """`lines` has a 1 for every line that stays; `moved` one for every line that stands elsewhere too."""

    lines: bytearray
    moved: bytearray


def choose(patch: Patch, text: str, question: str, scores: Sequence[float]) -> Kept:
    """The lines that stay, given the words of the turn and one score per line."""
    keep = bytearray(kind not in _FOLDABLE for kind in patch.kinds)
    relevance = _Relevance(patch, text, question, scores)
    whole = _whole_hunks(patch, text, relevance, keep)
    moved = _moved(patch, keep)
    _share_room(patch, text, whole, keep, moved)
    _messages(patch, relevance.commits, keep)
    for row in relevance.rows:
        _keep_around(patch, row, keep)
    return Kept(keep, moved)


_FOLDABLE = frozenset((CONTEXT, NOTE, NAMES, STAT, MESSAGE, ADDED, REMOVED, BINARY))


class _Relevance:
    """What the turn points at: `commits`, and per hunk a number, from `_POINTED` on a reason to keep it whole.

    `rows` are single lines that a name or a high score singles out.
    """

    def __init__(self, patch: Patch, text: str, question: str, scores: Sequence[float]) -> None:
        self.hunks = [0.0] * len(patch.hunks)
        self.rows: set[int] = set()
        self.commits = _subjects(patch, question)
        names = named.names(question)
        starts = [hunk.start for hunk in patch.hunks]
        self._by_name(patch, text, names, starts)
        self._by_score(patch, scores, starts)
        files = {number for number, file in enumerate(patch.files) if _is_named(file.path, names)}
        for number, hunk in enumerate(patch.hunks):
            in_commit = patch.files[hunk.file].commit in self.commits
            self.hunks[number] += 1.5 * in_commit
            if hunk.file in files and (in_commit or not self.commits):
                self.hunks[number] += 1.0

    def _by_name(self, patch: Patch, text: str, names: Sequence[str], starts: list[int]) -> None:
        offsets = named.starts(patch.lines)
        most = max(_SINGLES_LEAST, int(len(starts) * _SINGLES_OUT))
        for name in names:
            rows = named.holding(text, offsets, name, 4 * most + 1)
            hits: dict[int, int] = {}
            for row in rows:
                if patch.kinds[row] in (SUBJECT, MESSAGE) or (patch.kinds[row] == COMMIT and _HASH.match(name)):
                    self.commits.add(_at([commit.start for commit in patch.commits], row))
                elif (number := _at(starts, row)) >= 0 and row < patch.hunks[number].end:
                    hits.setdefault(number, row)
            if len(rows) <= 4 * most and len(hits) <= most:
                self.rows.update(row for row in rows if patch.kinds[row] != FILE)
                for number in hits:
                    self.hunks[number] += 1.0

    def _by_score(self, patch: Patch, scores: Sequence[float], starts: list[int]) -> None:
        best = max(scores, default=0.0)
        if best <= 0:
            return
        for row, score in enumerate(scores):
            if score > best * 0.3 and (number := _at(starts, row)) >= 0 and row < patch.hunks[number].end:
                self.hunks[number] = max(self.hunks[number], score / best)
                if score >= best * 0.7:
                    self.rows.add(row)


def _subjects(patch: Patch, question: str) -> set[int]:
    """The few commits whose subject stands in the question, in whatever order its words."""
    asked = set(_WORD.findall(question.lower()))
    shares: dict[int, float] = {}
    for number, commit in enumerate(patch.commits):
        words = set(_WORD.findall(patch.lines[commit.subject].lower())) if commit.subject >= 0 else set()
        if len(words) > 1 and (share := len(words & asked) / len(words)) >= _SUBJECT_WORDS:
            shares[number] = share
    best = max(shares.values(), default=0.0)
    found = {number for number, share in shares.items() if share == best or len(shares) <= _SINGLES_LEAST}
    return found if len(found) <= _SINGLES_LEAST else set()


def _at(starts: Sequence[int], row: int) -> int:
    return bisect_right(starts, row) - 1


def _is_named(path: str, names: Sequence[str]) -> bool:
    return any(path == name or path.endswith("/" + name) or (name.endswith("/" + path) and "." in path) for name in names)


def _size(patch: Patch, rows: Sequence[int]) -> int:
    return sum([len(patch.lines[row]) + 1 for row in rows])


def _whole_hunks(patch: Patch, text: str, relevance: _Relevance, keep: bytearray) -> set[int]:
    """Keep the hunks that the turn points at, the most relevant first: whole, or their changed lines, as far as the room goes."""
    room = max(_WHOLE_LEAST, len(text) * _WHOLE)
    whole = set()
    pointed = [number for number, value in enumerate(relevance.hunks) if value >= _POINTED]
    for number in sorted(pointed, key=lambda number: (-relevance.hunks[number], number)):
        hunk = patch.hunks[number]
        rows = list(range(hunk.start, hunk.end))
        if _size(patch, rows) > room:
            rows = [row for row in rows if patch.kinds[row] in CHANGES]
        if (size := _size(patch, rows)) <= room:
            room -= size
            whole.add(number)
            for row in rows:
                keep[row] = 1
    return whole


def _share_room(patch: Patch, text: str, whole: set[int], keep: bytearray, moved: bytearray) -> None:
    """Changed lines of the other hunks, from the top of each, so that all of them fit."""
    rows: dict[int, list[int]] = {}
    for number, hunk in enumerate(patch.hunks):
        if number not in whole and not _GENERATED.search(patch.files[hunk.file].path):
            changed = [row for row in range(hunk.start + 1, hunk.end) if patch.kinds[row] in CHANGES and not moved[row]]
            rows[number] = [row for row in changed if len(patch.lines[row]) < _MINIFIED]
    sizes = {number: sum([len(patch.lines[row]) + 1 for row in group]) for number, group in rows.items()}
    room: float = _ROOM_PLAIN
    if len(patch.commits) >= _HISTORY:
        kept = sum([len(line) + 1 for line, stays in zip(patch.lines, keep, strict=True) if stays])
        room = _ROOM_HISTORY * len(text) - kept
    level = max(_LEAST, _level(list(sizes.values()), room))
    for number, group in rows.items():
        small = sizes[number] <= 1.2 * level or (len(group) <= _FEW and sizes[number] <= _FEW_CHARS)
        left = level
        for row in group:
            left -= len(patch.lines[row]) + 1
            if left < 0 and not small:
                break
            keep[row] = 1


def _level(sizes: list[int], room: float) -> float:
    """The most characters that each may have so that all of them fit into the room."""
    for taken, size in enumerate(sorted(sizes)):
        share = room / (len(sizes) - taken)
        if size > share:
            return share
        room -= size
    return float(max(sizes, default=0))


def _moved(patch: Patch, keep: bytearray) -> bytearray:
    """Mark added blocks that were removed elsewhere in the same commit, line for line."""
    moved = bytearray(len(patch.lines))
    removed: dict[tuple[int, str], int] = {}
    runs = [run for run in _runs(patch) if run[2] - run[1] >= _MOVED]
    for commit, start, end in runs:
        if patch.kinds[start] == REMOVED:
            for row in range(start, end - _MOVED + 1):
                removed.setdefault((commit, _window(patch, row)), row)
    for commit, start, end in runs:
        row = start
        while removed and patch.kinds[start] == ADDED and row <= end - _MOVED:
            source = removed.get((commit, _window(patch, row)), -1)
            length = _same(patch, source, row, end) if source >= 0 else 0
            if length >= _MOVED and not any(keep[row : row + length]):
                moved[row : row + length] = b"\x01" * length
            row += max(1, length)
    return moved


def _runs(patch: Patch) -> list[tuple[int, int, int]]:
    """Lines of one sign in a row: commit, first, end."""
    found = []
    for hunk in patch.hunks:
        row = hunk.start + 1
        while row < hunk.end:
            start, kind = row, patch.kinds[row]
            while row < hunk.end and patch.kinds[row] == kind:
                row += 1
            if kind in CHANGES:
                found.append((patch.files[hunk.file].commit, start, row))
    return found


def _window(patch: Patch, row: int) -> str:
    return "\n".join([line[1:].rstrip() for line in patch.lines[row : row + _MOVED]])


def _same(patch: Patch, source: int, row: int, end: int) -> int:
    """How many lines from `row` on say, indented alike, what the removed lines from `source` on said; at least one of them in words."""
    length = 0
    while (
        row + length < end
        and source + length < len(patch.lines)
        and patch.kinds[source + length] == REMOVED
        and patch.lines[source + length][1:].rstrip() == patch.lines[row + length][1:].rstrip()
    ):
        length += 1
    return length if sum(map(len, patch.lines[row : row + length])) > 20 * _MOVED else 0


def _messages(patch: Patch, pointed: set[int], keep: bytearray) -> None:
    """The first lines of every message, all of one that the turn points at or that stands alone."""
    for number, commit in enumerate(patch.commits):
        room = _MESSAGE if len(patch.commits) >= _HISTORY and number not in pointed else 10 * _MESSAGE
        for row in range(commit.start, commit.end):
            if patch.kinds[row] == STAT:
                keep[row] = number in pointed or len(patch.commits) < _HISTORY
            elif patch.kinds[row] == MESSAGE:
                room -= len(patch.lines[row]) + 1
                keep[row] = room >= 0


def _keep_around(patch: Patch, row: int, keep: bytearray) -> None:
    """A line that is asked for, with its nearest ones in the same hunk or message."""
    for near in range(max(0, row - _AROUND), min(len(keep), row + _AROUND + 1)):
        if near == row or patch.kinds[near] in (CONTEXT, ADDED, REMOVED, NOTE):
            keep[near] = 1
