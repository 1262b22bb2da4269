"""Finds the data that somebody pasted into his own words: fenced blocks, tagged documents, JSON, logs, transcripts.

Only what is plainly not typed by a person is a section; in doubt a text is words, and words are
never touched. Sans-I/O, linear; what was found in a text is remembered by its hash, because a conversation brings all of
its texts again with every turn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from headroom.content import detect
from headroom.recent import Recent

MIN_CHARS = 3000  # about 800 tokens; smaller data stays with the words
_MAX_WORDS = 1500  # of a user before or behind pasted data that nothing frames
_SAMPLE_CHARS = 50_000  # of a text, enough to tell its shape
_REMEMBERED = 20_000  # texts; about 5 MB
_MAX_UNCLOSED = 10  # openings without an end, each costs a look to the end of the text
_DATA = frozenset(("json", "log", "search", "diff", "html", "table", "code", "base64"))

_FENCE_LINE = re.compile(r"^[`~]{3,}[ \t]*(?P<info>[^\s`][^\n`]*)?$", re.MULTILINE)
_OPENING = re.compile(r"^(?:[`~]{3,}[^\n`]*|<(?P<tag>[A-Za-z][\w-]{1,40})(?:\s[^<>\n]{0,300})?>[ \t]*)\n", re.MULTILINE)
_INSTRUCTIONS = re.compile(r"system|instruct|reminder|command|rule|example|prompt|policy|task|question|message", re.IGNORECASE)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,}|_{3,})[ \t]*\n", re.MULTILINE)
_RULE_BEFORE = re.compile(r"(?:-{3,}|={3,}|\*{3,}|_{3,})\s*$")
_RULE_BEHIND = re.compile(r"\s*(?:-{3,}|={3,}|\*{3,}|_{3,})[ \t]*\n")
# What Codex writes above the output of a command.
_HARNESS = re.compile(
    r"(?:(?:Chunk ID|Wall time|Exit code|Process exited with code|Process running with session ID|Original token count|Total output lines)"
    r"\b[^\n]{0,100}\n){2,12}Output:\n(?:Warning: truncated output[^\n]{0,100}\n(?:Total output lines: \d{1,12}\n)?\n?)?"
)
_BLOCK = re.compile(r"\n[ \t]*\n")
_DOCUMENT = re.compile(r"^(?:\[?(?:Document|Doc|Passage|Source|Chunk|Result|Context)\b|\[\d{1,3}\] )", re.MULTILINE | re.IGNORECASE)
_TURN = re.compile(r"^(?:\[[\d:., ]+\]\s*)?[A-Z][\w .'()-]{0,40}: ?\S", re.MULTILINE)


class Section(NamedTuple):
    """Characters start..end of the text are data."""

    start: int
    end: int


_known: Recent[bytes, tuple[Section, ...]] = Recent(_REMEMBERED)


def sections(text: str) -> tuple[Section, ...]:
    """The pasted parts of a user's message, in order, none shorter than MIN_CHARS. May be called from any thread."""
    if len(text) < MIN_CHARS:
        return ()
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    found = _known.get(digest)
    if found is None:
        found = tuple(_framed(text))
        _known.put({digest: found})
    return found


def head_of_output(text: str) -> int:
    """How many characters an agent's own head takes above what a command printed; 0 without one."""
    head = _HARNESS.match(text)
    return head.end() if head else 0


def _framed(text: str) -> Iterator[Section]:
    """Fenced and tagged parts; what lies between them is looked at for itself."""
    position = 0
    for outer, inner in _frames(text):
        yield from _loose(text, position, outer.start)
        if inner.end - inner.start >= MIN_CHARS:
            yield inner
        position = outer.end
    yield from _loose(text, position, len(text))


def _frames(text: str) -> Iterator[tuple[Section, Section]]:
    """Every outermost fenced or tagged part, with and without its frame; instructions in a tag have an empty inside."""
    position = unclosed = 0
    while unclosed < _MAX_UNCLOSED and (opening := _OPENING.search(text, position)):
        name = opening["tag"]
        closing = _end_of_tag(text, opening, name) if name else _end_of_fence(text, opening)
        position = closing.end if closing else opening.end()
        unclosed += closing is None
        if closing:
            start = closing.start if name and _INSTRUCTIONS.search(name) else opening.end()
            yield Section(opening.start(), closing.end), Section(start, closing.start)


def _end_of_fence(text: str, opening: re.Match[str]) -> Section | None:
    """Where a fence closes; one with a language on its line opens another inside."""
    depth = 1
    for line in _FENCE_LINE.finditer(text, opening.end()):
        depth += 1 if line["info"] else -1
        if depth == 0:
            return Section(line.start(), line.end())
    return None


def _end_of_tag(text: str, opening: re.Match[str], name: str) -> Section | None:
    """Where a tag closes, if what it holds is data or somebody's instructions."""
    at = text.find(f"\n</{name}>", opening.end() - 1)
    if at < 0 or not (_INSTRUCTIONS.search(name) or _is_data(text[opening.end() : at])):
        return None
    return Section(at + 1, at + len(name) + 4)


def _is_data(text: str) -> bool:
    return detect(text, "", "") in _DATA or _documents(text)


def _loose(text: str, start: int, end: int) -> Iterator[Section]:
    """Data with no frame: between the words before it and the words behind it."""
    if end - start < MIN_CHARS:
        return
    edges = _trim(text, start, end)
    if edges.end - edges.start < MIN_CHARS:
        return
    middle = text[edges.start : edges.end]
    ruled = _RULE_BEFORE.search(text[max(start, edges.start - 80) : edges.start]) or _RULE_BEHIND.match(text, edges.end, end)
    if _is_data(middle) or (ruled and len(middle) >= 2 * MIN_CHARS):
        yield edges


def _trim(text: str, start: int, end: int) -> Section:
    """Without the short blocks of words at either end, and the rule line that sets them off."""
    first, last = start, end
    for head in _BLOCK.finditer(text, start, min(end, start + _MAX_WORDS)):
        if not _are_words(text[first : head.start()]):
            break
        first = head.end()
    for tail in reversed(list(_BLOCK.finditer(text, max(first, end - _MAX_WORDS), end))):
        if not _are_words(text[tail.end() : last]):
            break
        last = tail.start()
    rule = _RULE.match(text, first, last)
    return Section(rule.end() if rule else first, max(last, first))


def _are_words(block: str) -> bool:
    plain = _RULE.sub("", block + "\n").strip()
    return detect(plain, "", "") not in _DATA and not _DOCUMENT.match(plain) and plain.count("\n") < 12


def _documents(text: str) -> bool:
    """Retrieved passages or a transcript: many lines of one labelled shape."""
    sample = text[:_SAMPLE_CHARS]
    lines = sample.count("\n") + 1
    return sum(1 for _ in _DOCUMENT.finditer(sample)) >= 3 or (lines >= 10 and sum(1 for _ in _TURN.finditer(sample)) >= 0.7 * lines)
