"""JSON made smaller: rows as a table first, then rows left out that nothing points at.

Reads a JSON document, or several one after the other (JSON Lines), with some text around. Every
array or map in it that is worth it becomes a table (`json_table`), the rest stays JSON without
white space. What of a table stays in view when it is still large is decided in `json_sample`.
Numbers, strings, key order, null and absent keys come out as they went in; `decode` proves it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Final

from headroom.ccr import marker
from headroom.compressors import json_decode
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.json_bare import bare
from headroom.compressors.json_sample import asked_for, show
from headroom.compressors.json_table import Table, alike, tabulate
from headroom.compressors.json_text import MAX_DEPTH, dump, quote, read_at
from headroom.model import Fidelity, Segment

_START = re.compile(r"^[ \t]*(?=[\[{])", re.MULTILINE)
_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_CLOSING = {"[": "]", "{": "}"}
_AROUND_RULE = re.compile(r"; (\d+) characters before it and (\d+) behind it as they were", re.ASCII)
_SPACE = re.compile(r"[ \t\r\n]*")
_AROUND = 0.2  # share of the text that may stand before and behind the JSON
_AROUND_LEAST = 500  # characters that may stand there in any case
_STARTS_TRIED = 8
_STYLE = 2000  # characters that show how the source is written
_FEW = 10  # an array with fewer rows gives way to larger tables inside it
_LEAST_ROWS = 2
_LEAST_CHARS = 200
_MARGIN = 60  # characters a small table must save, for what it costs to explain
_SAMPLED_ROWS = 4  # of which some may be left out
_LARGER = 4  # times as many rows as the outer array
_NEVER_OUTER = 50  # an array with this many rows never gives way
_MANY_ENTRIES = 40  # an object with this many entries, nearly all of one type, is a map
_ONE_TYPE = 0.9
_LOOKED_INTO = 4  # levels inside a row at which larger arrays are looked for
_JUDGED = 32  # rows by which a table is compared with JSON
_LARGE = 3600  # characters of an encoding from which rows are left out


@dataclass(frozen=True, slots=True)
class _Source:
    """The JSON of a text: `documents` one after the other, with the text `before` and `behind`."""

    before: str
    documents: list[Any]
    behind: str
    spaced: bool
    broken: bool


@dataclass(frozen=True)
class Encoded:
    """A document as `skeleton`, bare JSON with `<table N>` where a table belongs, and the tables in order.

    `spaced` says that the source has white space behind its colons, `broken` that it ends too early.
    """

    before: str
    skeleton: str
    tables: tuple[Table, ...]
    behind: str
    spaced: bool
    broken: bool

    @property
    def what(self) -> str:
        return f"unquoted JSON{' of a source that breaks off' if self.broken else ''}"

    @cached_property
    def body(self) -> str:
        """What `json_decode.decode` reads."""
        return join(self.skeleton, [table.text(number) for number, table in enumerate(self.tables, 1)])

    def verbatim(self) -> Encoded:
        """The same with all values as they are, none as a pattern; itself when there is none."""
        return self if not any(table.derived for table in self.tables) else replace(self, tables=tuple(t.verbatim() for t in self.tables))


def join(skeleton: str, tables: Sequence[str]) -> str:
    """A skeleton that is nothing but its table says nothing and is left out."""
    return "\n".join(tables if skeleton == "<table 1>" else [skeleton, *tables])


class JsonRows:
    """JSON arrays, objects and lines. Units are the rows of its tables, as the table shows them."""

    label: Final = "smart_crusher"

    def parse(self, segment: Segment) -> Parsed | None:
        try:
            _refuse_surrogates(segment.text)
            source = _find(segment.text)
            encoded = None if source is None else encode(source)
            if encoded is None:
                return None
            _refuse_surrogates(encoded.body)
        except (ValueError, RecursionError):
            return None
        return Parsed(list(chain.from_iterable([table.rows for table in encoded.tables])), encoded)

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        encoded: Encoded = parsed.structure
        body = encoded.body
        units = max(1, len(parsed.units))
        if fidelity == "lossless":
            return Draft(_with_head(encoded, body, _complete(encoded) + _around(encoded), hash), units, units)
        if len(body) <= _LARGE:
            verbatim = encoded.verbatim()
            if verbatim is encoded or len(verbatim.body) <= _LARGE:
                return Draft(_with_head(verbatim, verbatim.body, _complete(verbatim), hash), units, units)
        asked = asked_for(segment)
        views, start = [], 0
        for number, table in enumerate(encoded.tables, 1):
            end = start + len(table.rows)
            views.append(show(table, number, scores[start:end], asked, encoded.spaced))
            start = end
        if all(view.whole for view in views):
            return Draft(_with_head(encoded, body, _complete(encoded), hash), units, units)
        body = join(encoded.skeleton, [view.text for view in views])
        what = f"{encoded.what}; {_legend(encoded)}; rows are left out where marked"
        return Draft(_with_head(encoded, body, what, hash), units, sum(view.kept for view in views))


def _refuse_surrogates(text: str) -> None:
    """Raises ValueError (UnicodeEncodeError) for a text that UTF-8 cannot say."""
    if not text.isascii():
        text.encode()


def _with_head(encoded: Encoded, body: str, what: str, hash: str) -> str:
    return f"{marker.re_encoded(what, hash)}\n{encoded.before}{body}{encoded.behind}"


def _around(encoded: Encoded) -> str:
    """Where in the text the JSON stands, for the way back."""
    if not encoded.before and not encoded.behind:
        return ""
    return f"; {len(encoded.before)} characters before it and {len(encoded.behind)} behind it as they were"


def _complete(encoded: Encoded) -> str:
    legend = _legend(encoded)
    return f"{encoded.what}, complete; {legend}" if legend else encoded.what


def _legend(encoded: Encoded) -> str:
    """How to read the tables, in as many words as they need."""
    if not encoded.tables:
        return ""
    columns = [column for table in encoded.tables for column in table.columns]
    words = ["<table>: a line of names, then the rows, tab-separated"]
    signs = [column.name[len(column.path) :][:1] for column in columns]
    if "=" in signs:
        words.append("name=value holds for every row")
    if "~" in signs:
        words.append('name~"..{column}.." is made from the row')
    if ":" in signs:
        words.append(":str means string")
    if not {"(", "[", "{"}.isdisjoint(signs):
        words.append("name(a,b) has the keys of the lists in its cells, [] is an array of such, {} a map")
    if any("" in column.cells for column in columns):
        words.append("an empty cell is an absent key")
    return "; ".join(words)


def _find(text: str) -> _Source | None:
    """The JSON documents of a text that is JSON for the most part."""
    most = max(_AROUND_LEAST, int(len(text) * _AROUND))
    for tried, start in enumerate(_starts(text)):
        if start > most or tried == _STARTS_TRIED:
            return None
        documents, end, failed = _documents(text, start)
        broken = not documents and tried == 0
        if broken and failed:
            documents, end = _broken_off(text, start, failed)
        if documents and start + len(text) - end <= most:
            return _Source(text[:start], documents, text[end:], '": ' in text[start : start + _STYLE], broken)
    return None


def _starts(text: str) -> Iterator[int]:
    """Where JSON may begin: lines first, then the first bracket within a line."""
    for match in _START.finditer(text):
        yield match.end()
    first = re.search(r"[\[{]", text)
    if first:
        yield first.start()


def _documents(text: str, start: int) -> tuple[list[Any], int, int]:
    """All documents from `start` on, where the last one ends, and where in the next one something is wrong, 0 if nothing is."""
    documents: list[Any] = []
    end = start
    while text[start : start + 1] in ("[", "{"):
        try:
            value, end = read_at(text, start)
        except (ValueError, RecursionError) as failure:
            return documents, end, failure.pos if isinstance(failure, json.JSONDecodeError) else 0
        documents.append(value)
        space = _SPACE.match(text, end)
        start = space.end() if space else end
    return documents, end, 0


def _broken_off(text: str, start: int, failed: int) -> tuple[list[Any], int]:
    """The one document from `start` on that goes wrong at `failed`, as far as its parts are complete; `end` is behind these."""
    end, closing = _complete_until(text, start, failed)
    try:
        return [read_at(text[start:end] + closing, 0)[0]], end
    except (ValueError, RecursionError):
        return [], start


def _complete_until(text: str, start: int, end: int) -> tuple[int, str]:
    """Where the last complete part before `end` ends, and the brackets that are open there."""
    opened: list[str] = []
    place, depth = start, 0
    for match in _STRUCTURE.finditer(text, start, end):
        sign = match[0]
        if sign in _CLOSING:
            opened.append(_CLOSING[sign])
        elif sign == ",":
            place, depth = match.start(), len(opened)
        elif sign in "]}" and opened:
            opened.pop()
            place, depth = match.end(), len(opened)
    return place, "".join(reversed(opened[:depth]))


def plain(text: str) -> str | None:
    """The text with its JSON compact: what `decode` gives for its lossless form. None where it has no JSON."""
    source = _find(text)
    if source is None:
        return None
    value = source.documents if len(source.documents) > 1 else source.documents[0]
    return f"{source.before}{dump(value)}{source.behind}"


def decode(text: str) -> str:
    """The text that a lossless draft stands for, its JSON compact. Raises ValueError for other texts."""
    head, _, rest = text.partition("\n")
    around = _AROUND_RULE.search(head)
    before, behind = (int(around[1]), len(rest) - int(around[2])) if around else (0, len(rest))
    return f"{rest[:before]}{dump(json_decode.decode(rest[before:behind]))}{rest[behind:]}"


def encode(source: _Source) -> Encoded:
    """Raises ValueError when the documents are nested too deeply."""
    tables: list[Table] = []
    value = source.documents if len(source.documents) > 1 else source.documents[0]
    skeleton = bare(_skeleton(value, tables, 0))
    return Encoded(source.before, skeleton, tuple(tables), source.behind, source.spaced, source.broken)


def _skeleton(value: Any, tables: list[Table], depth: int) -> str:
    """Minified JSON in which arrays and maps that are better as tables are replaced by `<table N>`."""
    if type(value) not in (list, dict) or not value:
        return dump(value)
    if depth >= MAX_DEPTH:
        raise ValueError("nested too deeply")
    if _has_rows(value) and not _holds_larger(value):
        table = tabulate(value)
        if _pays(table):
            tables.append(table)
            return f"<table {len(tables)}>"
        return dump(value)
    if type(value) is list:
        return "[" + ",".join([_skeleton(item, tables, depth + 1) for item in value]) + "]"
    return "{" + ",".join([f"{quote(key)}:{_skeleton(item, tables, depth + 1)}" for key, item in value.items()]) + "}"


def _has_rows(value: list[Any] | dict[str, Any]) -> bool:
    return len(value) >= _LEAST_ROWS if isinstance(value, list) else _is_map(value)


def _is_map(value: dict[str, Any]) -> bool:
    """Whether the keys are data: several entries that look alike, or many of one type."""
    if len(value) < _FEW:
        return False
    kinds = Counter(map(type, value.values()))
    if kinds[dict] == len(value):
        return alike(list(value.values()))
    return len(value) >= _MANY_ENTRIES and max(kinds.values()) >= len(value) * _ONE_TYPE


def _holds_larger(value: list[Any] | dict[str, Any]) -> bool:
    """Whether the rows are few and most of their text is in arrays of many more."""
    if len(value) >= _NEVER_OUTER:
        return False
    wanted = max(_FEW, _LARGER * len(value))
    inside = [value]
    for _ in range(_LOOKED_INTO):
        inside = [
            item for outer in inside for item in (outer.values() if isinstance(outer, dict) else outer) if isinstance(item, (dict, list))
        ]
        larger = [item for item in inside if len(item) >= wanted and _has_rows(item)]
        if larger and 2 * sum([len(dump(item)) for item in larger]) > len(dump(value)):
            return True
    return False


def _pays(table: Table) -> bool:
    """Whether the table is shorter than JSON, judged by some of its rows; what is large is a table anyway."""
    step = len(table.rows) // _JUDGED + 1
    rows = range(0, len(table.rows), step)
    plain = 0
    for row in rows:
        plain += (len(table.record(row)) + 1) * step
        if plain > _LARGE and len(table.rows) >= _SAMPLED_ROWS:
            return True
    encoded = sum([len(table.rows[row]) + 1 for row in rows]) * step + len(table.header) + len(table.heading(1))
    return plain > _LEAST_CHARS and encoded < plain - _MARGIN
