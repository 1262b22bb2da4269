"""The parts of a program that may fold: bodies, long literals, comments and docstrings, nested as they stand.

tree-sitter parses where there is a grammar; elsewhere indentation tells. Rows are 0-based positions
in the code that was given. A region holds whole lines; the lines that open and close it are outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tree_sitter import Node, Parser

from headroom.compressors.code_grammar import BLOCKS, CLASSES, DATA, ENCLOSED, FUNCTIONS, LISTS, TYPES, parser

RegionKind = Literal["outline", "body", "data", "text"]  # an outline, as of a class, never folds itself

_LEAST = 2  # rows of a region
_DATA_LEAST = 8  # rows of a literal that may fold
_TYPE_LEAST = 150  # rows of an enumeration or a list of fields
_DEEPEST = 12  # regions inside each other
_LARGE = 1_000_000  # characters of a file that is taken apart by indentation
_CHUNK = 4096  # bytes a parser reads at once
_READ_AGAIN = 24  # times its length that a file is read, ordinary code once to four times; looking for an end that never comes reads all
_STEPS = 0.06  # steps of a parser for each byte, ordinary code takes at most 0.03
_BEHIND = 12  # steps more than that at any place; code takes at most 3 there, also torn
_ENDLESS = 1000  # words without an end of a statement, a list or a block; a parser recovers from them in time that grows with the square
_BROKEN = 0.3  # share of the rows inside errors from which a tree says nothing

_OPENERS = frozenset("{([`")
_OUTER = r"(?:public |private |internal |open |abstract |sealed |data |export )*(?:class|interface|object|struct|enum|impl|namespace|module|trait|extension|protocol|package)\b"  # noqa: E501
_ASIDE = re.compile(r"/\*.*?(?:\*/|\Z)|//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'", re.DOTALL)
_END = re.compile(r"[;,{}]|\n[ \t]*#")  # or a line for the preprocessor
_WORD = re.compile(r"(?<![\w\\])\w+")  # not what stands behind a backslash: a regular expression is one word
_BY_LINES = frozenset(("python", "ruby", "bash"))  # where a statement ends with its line
_HEADER = re.compile(rf"[ \t]*(?!{_OUTER})[^#/\s].*\(.*(?:[{{:(]|=>|->|\bdo|\bthen|\))\s*$")


@dataclass(slots=True)
class Region:
    """Rows `start` to `end`, inclusive, that may fold. `owner` is the row where what they belong to begins.

    `parts` are the row ranges of statements or elements, in order; `inner` the regions inside, sorted.
    """

    start: int
    end: int
    owner: int
    kind: RegionKind
    parts: list[tuple[int, int]]
    inner: list[Region] = field(default_factory=list)


def regions(code: Sequence[str], language: str) -> list[Region]:
    """What may fold at the outermost level, sorted."""
    text = "\n".join(code)
    grammar = parser(language)
    if grammar is None or len(text) > _LARGE:
        return _by_indentation(code)
    source = text.encode("utf-8", "replace")
    root = None if language not in _BY_LINES and _is_endless(text) else _parse(grammar, source)
    if root is None:
        return _by_indentation(code)
    if root.has_error and _broken(root) > _BROKEN * len(code):
        return _by_indentation(code)
    return _Walk(code, source, language).run(root)


def _is_endless(text: str) -> bool:
    """Whether one statement goes on for longer than any that somebody wrote."""
    pieces = _END.split(_ASIDE.sub("", text))
    return any(len(piece) > _ENDLESS and len(_WORD.findall(piece)) > _ENDLESS for piece in pieces)


def _parse(grammar: Parser, source: bytes) -> Node | None:
    """The tree, or None where it takes work out of proportion: counted in bytes read and steps, so that it is the same on every machine."""
    left = _READ_AGAIN * (len(source) + _CHUNK)
    pace = _Pace(_STEPS * (len(source) + _CHUNK))

    def read(start: int, _: object) -> bytes:
        nonlocal left
        chunk = source[start : start + _CHUNK] if left > 0 else b""
        left -= len(chunk)
        return chunk

    def stops(at: int, _: bool) -> bool:
        return left <= 0 or not pace.keeps(at)

    try:
        root = grammar.parse(read, progress_callback=stops).root_node
    except ValueError:  # it was stopped
        return None
    return root if left > 0 else None


@dataclass(slots=True)
class _Pace:
    """How a parser gets on: `steps` are left to it in all, `behind` is how many it took more than what it has read since allows.

    Where it weighs many readings of one place a step takes a hundred times as long, so it must not take many there. Those that
    do not move are not such: at the end it balances the tree.
    """

    steps: float
    behind: float = 0.0
    reached: int = 0
    last: int = -1

    def keeps(self, at: int) -> bool:
        """Whether a step that ends at this byte may be followed by another."""
        self.steps -= 1
        if at != self.last:
            self.behind = max(0.0, self.behind - _STEPS * max(0, at - self.reached)) + 1
            self.reached, self.last = max(self.reached, at), at
        return self.steps > 0 and self.behind <= _BEHIND


def _broken(root: Node) -> int:
    return sum(child.end_point.row - child.start_point.row + 1 for child in root.children if child.type == "ERROR")


class _Walk:
    """Collects the regions of a tree, without recursion: nesting is limited by memory only."""

    def __init__(self, code: Sequence[str], source: bytes, language: str) -> None:
        self.code = code
        self.source = source
        self.python = language == "python"
        self.ruby = language == "ruby"

    def run(self, root: Node) -> list[Region]:
        found: list[Region] = []
        stack: list[tuple[Node, list[Region], int, bool]] = [(root, found, 0, False)]
        while stack:
            node, into, depth, inside = stack.pop()
            children = node.named_children
            self._comments(children, into)
            for child in children:
                if child.end_point.row - child.start_point.row < _LEAST:
                    continue
                body, region = self._region(child, inside)
                if region is None or body is None:
                    stack.append((child, into, depth, inside))
                    continue
                into.append(region)
                if self.python and body.named_child_count and (docstring := self._docstring(body.named_children[0])):
                    _add_text(self.code, docstring.start_point.row, docstring.end_point.row, into, region.owner)
                if depth < _DEEPEST:
                    stack.append((body, region.inner, depth + 1, inside or region.kind == "body"))
        _sort(found)
        return found

    def _region(self, node: Node, inside: bool) -> tuple[Node | None, Region | None]:
        """The region that a node makes, and the node whose children may make more in it; `inside` a body every block is one."""
        kind, rows, top = node.type, node.end_point.row - node.start_point.row - 1, node.start_point.row
        if kind in FUNCTIONS or kind in CLASSES:
            body = node.child_by_field_name("body") or next((child for child in node.named_children if child.type in BLOCKS), None)
            return body, None if body is None else self._make(body, top, "body" if kind in FUNCTIONS else "outline")
        if inside and kind in BLOCKS:
            return node, self._make(node, top, "body")
        if (kind in DATA and rows >= _DATA_LEAST) or (kind in TYPES and rows >= _TYPE_LEAST):
            if node.parent is not None and self._docstring(node.parent):
                return None, None
            return node, self._make(node, top, "text" if "string" in kind else "data")
        return None, None

    def _make(self, body: Node, owner: int, kind: RegionKind) -> Region | None:
        first, last = body.start_point.row, _last_row(body)
        closed = chr(self.source[body.start_byte]) in _OPENERS or body.type in ENCLOSED
        start, end = (first + 1, last - 1) if closed or first == owner else (first, last)
        inside = [] if kind == "text" else body.named_children
        if len(inside) == 1 and inside[0].type in LISTS:
            inside = inside[0].named_children
        if kind in ("body", "outline") and inside and self._docstring(inside[0]):
            start = _last_row(inside[0]) + 1
            inside = inside[1:]
        parts = [(child.start_point.row, _last_row(child)) for child in inside]
        for top, bottom in parts:
            if top < start <= bottom:
                start = bottom + 1
            if top <= end < bottom:
                end = top - 1
        if end - start + 1 < _LEAST:
            return None
        return Region(start, end, owner, kind, _merge([part for part in parts if part[0] >= start and part[1] <= end]))

    def _comments(self, children: list[Node], into: list[Region]) -> None:
        """Line comments one below the other are one text; so is a docstring."""
        start = end = -2
        for child in children:
            if "comment" in child.type:
                top, bottom = child.start_point.row, _last_row(child)
                if top == end + 1 and top == bottom and _sign(self.code[top]) == _sign(self.code[start]) != "":
                    end = bottom
                    continue
                _add_text(self.code, start, end, into)
                start, end = top, bottom
            elif docstring := self._docstring(child):
                _add_text(self.code, docstring.start_point.row, docstring.end_point.row, into)
        _add_text(self.code, start, end, into)

    def _docstring(self, node: Node) -> Node | None:
        """The string that a statement consists of."""
        if not self.python or node.type != "expression_statement" or node.named_child_count != 1:
            return None
        only = node.named_children[0]
        return only if only.type == "string" else None


def _sign(line: str) -> str:
    """What a line comment begins with, empty where the line is none."""
    return next((sign for sign in ("//", "#", "--") if line.lstrip().startswith(sign)), "")


def _last_row(node: Node) -> int:
    """The last row with something of the node in it: some end behind a line break."""
    end = node.end_point
    return end.row - 1 if end.column == 0 and end.row > node.start_point.row else end.row


def _add_text(code: Sequence[str], start: int, end: int, into: list[Region], owner: int = -1) -> None:
    region = _text(code, start, end, owner if owner >= 0 else start) if start >= 0 else None
    if region:
        into.append(region)


def _text(code: Sequence[str], start: int, end: int, owner: int) -> Region | None:
    """The rows of a comment or docstring behind its first line of words and before the one that closes it."""
    first = start + 1
    if end - start < _LEAST:
        return None
    if not re.search(r"\w{2}", code[start]) and first < end:
        first += 1
    last = end if re.match(r"\s*(?://|#)", code[end]) else end - 1
    return Region(first, last, owner, "text", []) if last - first + 1 >= _LEAST else None


def _merge(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts that share a row become one."""
    merged: list[tuple[int, int]] = []
    for top, bottom in parts:
        if merged and top <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(bottom, merged[-1][1]))
        else:
            merged.append((top, bottom))
    return merged


def _sort(found: list[Region]) -> None:
    """Regions in their order, without those that overlap an earlier one."""
    queue = [found]
    while queue:
        level = queue.pop()
        level.sort(key=lambda region: (region.start, -region.end))
        clear: list[Region] = []
        for region in level:
            if not clear or region.start > clear[-1].end:
                clear.append(region)
        level[:] = clear
        queue += [region.inner for region in level if region.inner]


def _by_indentation(code: Sequence[str]) -> list[Region]:
    """What is indented below a line that opens a body and holds parentheses, as functions do."""
    found: list[Region] = []
    row, end = 0, len(code)
    while row < end:
        if not _HEADER.match(code[row][:400]):
            row += 1
            continue
        depth = _indent(code[row])
        last = below = row + 1
        parts: list[tuple[int, int]] = []
        level = -1
        while below < end and (not code[below].strip() or _indent(code[below]) > depth):
            if code[below].strip():
                level = _indent(code[below]) if level < 0 else level
                if _indent(code[below]) <= level or not parts:
                    parts.append((below, below))
                else:
                    parts[-1] = (parts[-1][0], below)
                last = below + 1
            below += 1
        if last - row - 1 >= _LEAST:
            found.append(Region(row + 1, last - 1, row, "body", parts))
        row = max(row + 1, last)
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
