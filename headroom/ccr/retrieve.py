"""Reads back what was left out: all of an original, or the parts of it that answer a query.

Every text has parts, whatever its kind: the elements of a JSON array (also of one inside an
object), the paragraphs of prose, the hunks of a diff, and otherwise lines, each with the indented
ones below it. A part is a verbatim piece of the original; line and item numbers start at 1.
Sans-I/O; nothing here raises on odd text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from headroom.model import Original
from headroom.scoring import bm25

LIMIT = 20
_MAX_LINES = 30  # of one part
_MAX_CHARS = 4000  # of one part, where it has no structure of its own
_MAX_DEPTH = 4  # how deep an array is looked for
_PROSE_LETTERS = 0.9  # letters and blanks among the characters of prose
_PROSE_INDENTED = 0.1  # indented lines among its lines

_SPACE = re.compile(r"[ \t\r\n]*")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_PARAGRAPH = re.compile(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_LETTERS = re.compile(r"[^\W\d_]|\s")
_INDENTED = re.compile(r"^[ \t]+\S", re.MULTILINE)
_DIFF = re.compile(r"^(?:@@ -\d|diff --git )", re.MULTILINE)
_DIFF_HEAD = re.compile(r"@@ |diff |--- |Index: ")
_TOP_LEVEL = re.compile(r"[^\s)\]}]")
_TRACE_END = re.compile(r"Caused by: |[\w.$]*\w(?:Error|Exception)\b")  # below the indented lines of a stack trace
# Numbers stay text: values are only measured, and a number may be longer than Python converts.
_JSON = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)


@dataclass(frozen=True, slots=True)
class Hit:
    """A verbatim piece of an original, where it stands ("line 41", "item 12", "paragraph 3") and its relevance, > 0."""

    text: str
    place: str
    score: float


@dataclass(frozen=True, slots=True)
class _Part:
    place: str
    start: int
    end: int


class _NotJson(Exception):
    """The text is not one JSON array or object."""


def search(original: Original, query: str, limit: int = LIMIT) -> list[Hit]:
    """At most `limit` parts that hold something of the query, the most relevant first, equal ones in their order.

    A query without a single term that occurs is searched literally, upper and lower case alike.
    """
    text = original.text
    parts = _parts(text)
    units = [text[part.start : part.end] for part in parts]
    scores = bm25.scores(query, units)
    wanted = query.strip().lower()
    if wanted and not any(scores):
        scores = [float(wanted in unit.lower()) for unit in units]
    found = [Hit(unit, part.place, round(score, 4)) for part, unit, score in zip(parts, units, scores, strict=True) if score > 0]
    return sorted(found, key=lambda hit: -hit.score)[: max(0, limit)]


def answer(original: Original, query: str | None = None, limit: int = LIMIT) -> dict[str, Any]:
    """What `/v1/retrieve` and the retrieve tool reply: the whole original, or `results` when there is a query."""
    if query is not None and query.strip():
        results = [asdict(hit) for hit in search(original, query, limit)]
        return {"hash": original.hash, "query": query, "results": results, "count": len(results)}
    return {
        "hash": original.hash,
        "original_content": original.text,
        "original_tokens": original.tokens,
        "original_item_count": original.items,
        "compressed_item_count": original.items_kept,
        "tool_name": original.tool,
        "retrieval_count": original.retrievals,
    }


def parts(text: str) -> list[tuple[str, str]]:
    """What a text is searched by: (place, verbatim piece), in order."""
    return [(part.place, text[part.start : part.end]) for part in _parts(text)]


def _parts(text: str) -> list[_Part]:
    start = _skip(text, 0)
    if text[start : start + 1] in ("[", "{"):
        try:
            return list(_json_parts(text, start))
        except (_NotJson, RecursionError):
            pass  # lines that begin like JSON: records, a log, code
    if _is_prose(text):
        return _paragraphs(text)
    return [piece for part in _line_groups(text) for piece in _cut(text, part)]


def _json_parts(text: str, start: int) -> Iterator[_Part]:
    """The elements of the array that `text` is or holds, and what stands beside it. Raises _NotJson."""
    container = _container(text, start)
    if _skip(text, container.end) != len(text):
        raise _NotJson
    yield from _descend(text, container, "", 0)


class _Span(NamedTuple):
    """An element or a member of a container: `key` is empty for an element, `start` where the key or the value begins."""

    key: str
    start: int
    value: int
    end: int


class _Container(NamedTuple):
    is_array: bool
    spans: list[_Span]
    end: int


def _descend(text: str, container: _Container, within: str, depth: int) -> Iterator[_Part]:
    """The parts of an array or object; of an object's members the longest is taken apart in turn, and an array's only element."""
    spans = container.spans
    if container.is_array:
        places = [f"item {number}{within}" for number in range(1, len(spans) + 1)]
        taken = 0 if len(spans) == 1 else -1
    else:
        places = [f"{span.key}{within}" for span in spans]
        taken = max(range(len(spans)), key=lambda at: spans[at].end - spans[at].value, default=-1)
    for at, (_, first, value, end) in enumerate(spans):
        if at == taken and depth < _MAX_DEPTH and text[value] in "[{":
            yield from _descend(text, _container(text, value), within if container.is_array else f" of {places[at]}", depth + 1)
        elif text[value] == '"':
            yield from _cut(text, _Part(places[at], first, end))
        else:
            yield _Part(places[at], first, end)


def _container(text: str, start: int) -> _Container:
    """The array or object at `start`, its values measured. Raises _NotJson."""
    is_array = text[start] == "["
    closing, spans = "]" if is_array else "}", list[_Span]()
    at = _skip(text, start + 1)
    if text.startswith(closing, at):
        return _Container(is_array, spans, at + 1)
    while True:
        key, value = ("", at) if is_array else _key(text, at)
        end = _value_end(text, value)
        spans.append(_Span(key, at, value, end))
        at = _skip(text, end)
        if text.startswith(closing, at):
            return _Container(is_array, spans, at + 1)
        if not text.startswith(",", at):
            raise _NotJson
        at = _skip(text, at + 1)


def _key(text: str, at: int) -> tuple[str, int]:
    """The literal of a member's key and where its value begins."""
    if not text.startswith('"', at):
        raise _NotJson
    end = _value_end(text, at)
    colon = _skip(text, end)
    if not text.startswith(":", colon):
        raise _NotJson
    return text[at:end], _skip(text, colon + 1)


def _value_end(text: str, start: int) -> int:
    try:
        return _JSON.raw_decode(text, start)[1]
    except ValueError:
        raise _NotJson from None


def _skip(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _is_prose(text: str) -> bool:
    """Whether blank lines divide the text, nearly everything else is words, and hardly a line is indented."""
    sample = text[:20_000].replace("\r", "")
    lines = sample.count("\n") + 1
    words = len(_LETTERS.findall(sample)) >= _PROSE_LETTERS * len(sample)
    return words and "\n\n" in sample and len(_INDENTED.findall(sample)) <= lines * _PROSE_INDENTED


def _paragraphs(text: str) -> list[_Part]:
    found = enumerate(_PARAGRAPH.finditer(text), 1)
    return [_Part(f"paragraph {number}", match.start(), match.end()) for number, match in found]


def _line_groups(text: str) -> Iterator[_Part]:
    """Each line that begins a part, with the lines below that belong to it, at most _MAX_LINES; blank ones only between."""
    head = _DIFF_HEAD if _DIFF.search(text) else _TOP_LEVEL
    first = last = start = end = 0
    above = ""
    for number, match in enumerate(_LINE.finditer(text), 1):
        line = match[0]
        if line.isspace():
            continue
        begins = head.match(line) and not (above[:1] in (" ", "\t") and _TRACE_END.match(line))
        if first and (begins or number - first >= _MAX_LINES):
            yield _Part(_lines(first, last), start, end)
            first = 0
        if not first:
            first, start = number, match.start()
        last, end, above = number, match.end(), line
    if first:
        yield _Part(_lines(first, last), start, end)


def _lines(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first}-{last}"


def _cut(text: str, part: _Part) -> Iterator[_Part]:
    """The part without its last line end, in pieces when it is overlong."""
    end = part.end
    while end > part.start and text[end - 1] in "\r\n":
        end -= 1
    if end - part.start <= _MAX_CHARS:
        yield _Part(part.place, part.start, end)
        return
    start = part.start
    while start < end:
        stop = end
        if end - start > _MAX_CHARS:
            blank = max(text.rfind(sign, start + _MAX_CHARS // 2, start + _MAX_CHARS) for sign in " \n")
            stop = blank + 1 if blank >= 0 else start + _MAX_CHARS
        yield _Part(f"{part.place}, characters {start - part.start + 1}-{stop - part.start}", start, stop)
        start = stop
