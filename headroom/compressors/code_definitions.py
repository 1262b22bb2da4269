"""Which definitions of a program the words of a turn speak of, written as a name or in plain words.

"How does the retry after function work" speaks of `retry_after`, of `retryAfter`, and of
`test("retry after", ...)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from headroom.compressors.code_tree import Region

_MOST = 4  # definitions that plain words may name
_LOOKED_AT = 6000  # characters of a turn
_SHORT = 600  # characters of a turn in which a single plain word may name a definition
_HEADER = 300  # characters of a definition's header
_LEAST_WORD = 3

_KEYWORD = re.compile(
    r"\b(?:def|fn|func|function|class|struct|enum|interface|trait|impl|module|mod|namespace|type|const|let|var|record|protocol)"
    r"\*? +(?:\([^)]{0,80}\) *)?(?:self\.)?(\w+)"
)
_TITLE = re.compile(r"\w\( ?[\"'`]([^\"'`\n]{3,120})[\"'`]")
_CALLED = re.compile(r"(\w+) ?(?:<[\w, ?]{0,60}>)? ?\(")
_PATH = re.compile(r"(?<![\w@~./\\+-])[\w@~.\\+-]{0,80}(?:/[\w@~./\\+-]*|\.[A-Za-z]\w{0,6}(?![\w(.]))")
_WORDS = re.compile(r"[A-Za-z]\w*")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def definitions(code: Sequence[str], regions: Sequence[Region], question: str) -> set[int]:
    """The rows where definitions begin that the turn speaks of; none when it would speak of very many."""
    question = _PATH.sub(" ", question[:_LOOKED_AT])
    written = set(_WORDS.findall(question))
    said = {part.lower() for word in written for part in _PARTS.findall(word)}
    matches: list[tuple[int, int]] = []
    for region in _flat(regions):
        name = _name(" ".join(code[region.owner : region.start])[:_HEADER])
        parts = {part.lower() for part in _PARTS.findall(name)}
        if len(parts) > 1 and parts <= said:
            matches.append((-len(parts), region.owner))
        elif name in written and len(name) >= _LEAST_WORD and len(question) <= _SHORT:
            matches.append((-1, region.owner))
    matches.sort()
    best = [match for match in matches if match[0] == matches[0][0]]
    return {row for _, row in (matches if len(matches) <= _MOST else best if len(best) <= _MOST else [])}


def _flat(regions: Sequence[Region]) -> Iterator[Region]:
    """Bodies and outlines, those inside them included."""
    stack = list(regions)
    while stack:
        region = stack.pop()
        if region.kind in ("body", "outline"):
            yield region
        stack += region.inner


def _name(header: str) -> str:
    """What a header defines; the title of a test; empty where there is no name."""
    for pattern in (_TITLE, _KEYWORD, _CALLED):
        if match := pattern.search(header):
            return match[1]
    return ""
