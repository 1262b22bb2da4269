"""Reads unified, git and combined diffs, with the commits around them, into line kinds and ranges.

Every line of the text gets one kind. A hunk ends where its header's counts say, so that a removed
line that looks like a header stays a removed line; where the counts are wrong the signs decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMIT, SUBJECT, MESSAGE, STAT = b"csmt"
FILE, NAMES, ATTRIBUTE = b"fix"  # `diff ...`; index, --- and +++; modes, renames, "Binary files differ"
HUNK, CONTEXT, ADDED, REMOVED, NOTE = b"h +-\\"
BINARY, OTHER = b"bo"
CHANGES = bytes((ADDED, REMOVED))

_COUNTS = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_COMBINED = re.compile(r"(@@@+) -\d+(?:,\d+)?(?: -\d+(?:,\d+)?)+ \+\d+(?:,\d+)? \1")
_COMMIT = re.compile(r"commit [0-9a-f]{7,64}\b|From [0-9a-f]{40} \w{3} |[0-9a-f]{7,40} \S")
_FIELD = re.compile(r"(?:Author|AuthorDate|Commit|CommitDate|Date|Merge|From|Refs|Reflog[\w ]*|tag|Tagger):")
_MAIL_SUBJECT = re.compile(r"Subject: ")
_STAT = re.compile(r" \S.* \| +(?:\d+|Bin\b)|(?: create| delete) mode \d| rename .*=>")
_GIT_PATH = re.compile(r"diff --git .*? \"?b/([^\"\r]*)|diff --(?:cc|combined) ([^\r]*)|Index: ([^\r]*)")
_NAME = re.compile(r"(?:---|\+\+\+) \"?(?:[abciow]/)?([^\t\"\r]*)")


@dataclass(slots=True)
class Hunk:
    """Lines `start` (its header) to `end`, exclusive, of the file with that number."""

    start: int
    end: int
    file: int


@dataclass(slots=True)
class File:
    """A file's part: its header begins at `start`. `commit` is -1 where there is none."""

    start: int
    path: str
    commit: int


@dataclass(slots=True)
class Commit:
    """A commit's header and message: lines `start` to `end`, exclusive; `subject` is a line, or -1."""

    start: int
    end: int
    subject: int


class Patch:
    """A diff taken apart. `kinds` has one byte per line; all lists are in the order of the text."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.kinds = bytearray(len(self.lines))
        self.commits: list[Commit] = []
        self.files: list[File] = []
        self.hunks: list[Hunk] = []
        self._in_message = self._in_header = False
        self._read()

    def _read(self) -> None:
        lines, at, end = self.lines, 0, len(self.lines)
        while at < end:
            line = lines[at]
            if line.startswith("@@") and (after := self._hunk(at)):
                at = after
            elif line.startswith("GIT binary patch"):
                at = self._binary(at)
            else:
                self.kinds[at] = self._outside(at, line)
                at += 1
        if self._in_message:
            self.commits[-1].end = end

    def _outside(self, at: int, line: str) -> int:
        """The kind of a line that is in no hunk."""
        first = line[:1]
        if (first == "d" and line.startswith("diff ")) or line.startswith("Index: "):
            self._open_file(at, _path(line))
            return FILE
        if first in ("-", "+") and line.startswith(("--- ", "+++ ")) and self._is_names(at, line):
            return self._names(at, line)
        if self._in_header:
            if first != " " and line and not line.isspace() and not _COMMIT.match(line):
                return NAMES if line.startswith("index ") else ATTRIBUTE
            self._in_header = False
        if first in ("+", "-") and self.hunks and at == self.hunks[-1].end and not line.startswith("-- "):
            self.hunks[-1].end = at + 1  # more than its header said
            return ADDED if first == "+" else REMOVED
        if _COMMIT.match(line) and not (self._in_message and first not in ("c", "F")):
            self._close_message(at)
            self.commits.append(Commit(at, at + 1, -1))
            self._in_message = True
            return COMMIT if first in ("c", "F") else self._subject(at)
        return self._message(at, line) if self._in_message else OTHER

    def _message(self, at: int, line: str) -> int:
        if self.commits[-1].subject < 0:
            if _FIELD.match(line):
                return COMMIT
            return self._subject(at) if (line.startswith("    ") and not line.isspace()) or _MAIL_SUBJECT.match(line) else COMMIT
        return STAT if _STAT.match(line) else MESSAGE

    def _subject(self, at: int) -> int:
        self.commits[-1].subject = at
        return SUBJECT

    def _close_message(self, at: int) -> None:
        if self._in_message:
            self.commits[-1].end = at
            self._in_message = False

    def _open_file(self, at: int, path: str) -> None:
        self._close_message(at)
        self.files.append(File(at, path, len(self.commits) - 1))
        self._in_header = True

    def _is_names(self, at: int, line: str) -> bool:
        if line.startswith("+++ "):
            return self._in_header
        return at + 1 < len(self.lines) and self.lines[at + 1].startswith("+++ ")

    def _names(self, at: int, line: str) -> int:
        found = _NAME.match(line)
        path = found[1].strip() if found else ""
        if not self._in_header or (line.startswith("---") and at > 0 and self.lines[at - 1].startswith("+++ ")):
            self._open_file(at, path)
        elif path and path != "/dev/null":
            self.files[-1].path = path
        return NAMES

    def _hunk(self, at: int) -> int:
        """The line after the hunk that begins at `at`, or 0 when none does."""
        line = self.lines[at]
        counts = _COUNTS.match(line)
        parents = 1
        if counts is None:
            combined = _COMBINED.match(line)
            if combined is None:
                return 0
            parents = len(combined[1]) - 1
        if not self.files:
            self._open_file(at, "")
        self._close_message(at)
        self._in_header = False
        self.kinds[at] = HUNK
        end = self._plain(at + 1, counts) if counts else self._combined(at + 1, parents)
        self.hunks.append(Hunk(at, end, len(self.files) - 1))
        return end

    def _plain(self, at: int, counts: re.Match[str]) -> int:
        lines, kinds, end = self.lines, self.kinds, len(self.lines)
        old, new = int((counts[1] or "1")[:9]), int((counts[2] or "1")[:9])
        while (old > 0 or new > 0) and at < end:
            first = lines[at][:1]
            if first == "+":
                new -= 1
                kinds[at] = ADDED
            elif first == "-":
                old -= 1
                kinds[at] = REMOVED
            elif first in (" ", "", "\r"):
                old -= 1
                new -= 1
                kinds[at] = CONTEXT
            elif first == "\\":
                kinds[at] = NOTE
            else:
                break
            at += 1
        if at < end and lines[at][:1] == "\\":
            kinds[at] = NOTE
            at += 1
        return at

    def _combined(self, at: int, parents: int) -> int:
        lines, kinds, end = self.lines, self.kinds, len(self.lines)
        while at < end:
            signs = lines[at][:parents]
            if not signs or signs.strip(" +-") or lines[at].startswith("--- "):
                break
            kinds[at] = ADDED if "+" in signs else REMOVED if "-" in signs else CONTEXT
            at += 1
        return at

    def _binary(self, at: int) -> int:
        self._in_header = False
        if not self.files:
            self._open_file(at, "")
            self._in_header = False
        self.kinds[at] = ATTRIBUTE
        start = at = at + 1
        while at < len(self.lines) and not self.lines[at].startswith(("diff --git ", "commit ")):
            self.kinds[at] = BINARY if self.lines[at].strip() else OTHER
            at += 1
        if start < at:
            self.hunks.append(Hunk(start - 1, at, len(self.files) - 1))
        return at


def _path(line: str) -> str:
    """The path that the first line of a file's header names."""
    found = _GIT_PATH.match(line)
    return (found[found.lastindex or 0] if found else line.rsplit(None, 1)[-1]).strip()
