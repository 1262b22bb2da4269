"""Okapi BM25 over words, identifiers and numbers: the scorer that needs no model.

Robertson, Walker, Jones, Hancock-Beaulieu, Gatford: "Okapi at TREC-3" (1994), with the
non-negative idf ln(1 + (N - df + 0.5) / (df + 0.5)) and k1 = 1.2, b = 0.75 from Robertson and
Zaragoza: "The Probabilistic Relevance Framework: BM25 and Beyond" (2009). A unit's length is its
length in characters.

Only the query is taken apart into terms. The units are searched for each of them, so the cost is
one scan of the text per term, and what a term may touch is decided where it is found: a term
stands alone, or as a part of an identifier (`userId`, `user_id`, `user.id` all hold `user`).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from itertools import accumulate
from operator import add

K1 = 1.2
B = 0.75
MAX_TERMS = 40
_MAX_QUERY_CHARS = 20_000
_SHORT_CHARS = 40  # of a word whose terms are remembered
_LINE_CHARS = 2000  # of a line whose terms are
_ASKING_CHARS = 300  # longer lines are pasted text, at most with a question at their end

_STOP = frozenset(
    re.findall(
        r"\w+",
        """a about above after again against all also am an and any are aren as at be because been before being below between both but
    by can cannot could couldn d did didn do does doesn doing don down during each else ever few for from further had hadn has hasn
    have haven having he her here hers herself him himself his how i if in into is isn it its itself just ll let m may me might
    more most must my myself no nor not now of off on once only or other our ours ourselves out over own per please re s same
    shall she should shouldn so some such t than that the their theirs them themselves then there these they this those through
    to too under until up us ve very was wasn we were weren what when where whether which while who whom why will with won would
    wouldn you your yours yourself yourselves""",
    )
)
_QUOTED = re.compile(r"`([^`\n]{1,200})`|\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)")
_CHUNK = re.compile(r"\w(?:[\w.@:/\\+-]*\w)?")
_PATH_PART = re.compile(r"[^/\\:@]+")
_RUN = re.compile(r"[^\W_]+")
_CAMEL_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z_]+")
# scripts written without spaces: their runs are searched as overlapping pairs of characters
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")


def scores(query: str, units: Sequence[str]) -> list[float]:
    """One relevance per unit, >= 0; 0 = holds none of the query's terms. Pure and linear in the units."""
    result = [0.0] * len(units)
    wanted = terms(query)
    if not wanted or not units:
        return result
    text = "\n".join((*units, "")).replace("\u0130", "I")  # the one sign whose lower case is longer than itself
    lower = text.lower()
    starts = list(map(add, accumulate(map(len, units), initial=0), range(len(units))))
    mean = max(1.0, (len(text) - len(units)) / len(units))
    for term in wanted:
        if term not in lower:
            continue
        found = Counter(map(partial(bisect_right, starts), _places(term, text, lower)))
        gain = (K1 + 1) * math.log(1 + (len(units) - len(found) + 0.5) / (len(found) + 0.5))
        for place, count in found.items():
            result[place - 1] += gain * count / (count + K1 * (1 - B + B * len(units[place - 1]) / mean))
    return result


def terms(query: str) -> tuple[str, ...]:
    """At most MAX_TERMS lower-cased terms: names (quoted ones first, identifiers, numbers), then words, the longest first.

    What is asked comes before what is merely told: the first and the last line, and lines that end
    with a question mark. A third of the places is kept for words, two thirds for those that ask.
    Of a query of more than _MAX_QUERY_CHARS only the two ends are read.
    """
    if len(query) > _MAX_QUERY_CHARS:
        query = f"{query[: _MAX_QUERY_CHARS // 2]}\n{query[-_MAX_QUERY_CHARS // 2 :]}"
    return _terms(query.replace("\u0130", "I"))


@lru_cache(maxsize=32)  # the segments of a turn share their question
def _terms(query: str) -> tuple[str, ...]:
    lines = [line for line in map(str.strip, query.split("\n")) if line]
    asking = [line for line in lines[:1] + lines[-1:] if len(line) <= _ASKING_CHARS]
    asking += [line[-_ASKING_CHARS:] for line in lines if line.endswith(("?", "\uff1f"))]
    asked = {term for line in asking for term, _ in _terms_of(line)}
    quoted = {term for match in _QUOTED.finditer(query) for term, _ in _terms_of(match[match.lastindex or 0])}
    named: dict[str, bool] = {}
    for term, is_name in _terms_of(query):
        named[term] = named.get(term, False) or is_name or term in quoted
    names = sorted((term for term in named if named[term]), key=lambda term: (term not in asked, term not in quoted))
    words = sorted((term for term in named if not named[term]), key=lambda term: (term not in asked, -len(term)))
    asked_words = sum(term in asked for term in words)
    kept = max(min(len(words), MAX_TERMS // 3), min(asked_words, 2 * MAX_TERMS // 3))
    names = names[: MAX_TERMS - kept]
    return (*names, *words[: MAX_TERMS - len(names)])


def _terms_of(query: str) -> Iterator[tuple[str, bool]]:
    """Every term of a text with whether it names something: an identifier, a number, a path, an address."""
    for line in query.split("\n"):
        yield from _line_terms(line) if len(line) <= _LINE_CHARS else _chunks_terms(line)


def _chunks_terms(line: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for chunk in _CHUNK.findall(line):
        found += _short_chunk_terms(chunk) if len(chunk) <= _SHORT_CHARS else _chunk_terms(chunk)
    return found


_line_terms = lru_cache(maxsize=2048)(_chunks_terms)  # a question's lines stand in the queries of all its segments


def _chunk_terms(chunk: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    if _UNSPACED_RUN.search(chunk):
        found += [(pair, False) for pair in _pairs(chunk)]
        chunk = _UNSPACED_RUN.sub(" ", chunk)
    parts = [part for run in _RUN.findall(chunk) for part in _CAMEL_PART.findall(run)]
    whole = chunk.lower().strip()
    if len(parts) > 1 and " " not in whole:
        found.append((whole, True))
        for piece in {**dict.fromkeys(_PATH_PART.findall(whole)), **dict.fromkeys(_RUN.findall(whole))}:
            if _worth(piece):
                found.append((_singular(piece), piece != whole and not piece.isalpha()))
    digits = any(map(str.isdigit, whole))
    for part in parts:
        piece = part.lower()
        if _worth(piece) or (digits and len(parts) == 1):
            found.append((_singular(piece), digits and len(whole) > 2 and len(parts) == 1))
    return found


_short_chunk_terms = lru_cache(maxsize=4096)(_chunk_terms)  # the same words stand in every question


def _worth(piece: str) -> bool:
    """Whether a part of a larger term is a term of its own: no stop word, no sign, no one- or two-digit number."""
    return len(piece) > (2 if piece.isdigit() else 1) and piece not in _STOP


def _singular(word: str) -> str:
    plural = len(word) > 3 and word.isalpha() and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def _pairs(chunk: str) -> Iterator[str]:
    for run in _UNSPACED_RUN.findall(chunk):
        yield from (run[start : start + 2] for start in range(max(1, len(run) - 1)))


def _places(term: str, text: str, lower: str) -> list[int]:
    """Where the term stands, ascending: alone (a word also with an `s` behind it) or as a part of an identifier.

    `text` and `lower` end with a line end. Of occurrences that overlap the first one counts.
    """
    size = len(term)
    if _UNSPACED_RUN.match(term):
        return list(_starts(term, lower))
    if term.isalpha() and size > 2:
        return [
            at
            for at in _starts(term, lower)
            if (
                not lower[at - 1].isalnum()
                and (not (after := lower[at + size]).isalnum() or (after == "s" and not lower[at + size + 1].isalnum()))
            )
            or (not (text[at].islower() and text[at - 1].isalnum()) and _is_camel_part(text, at, at + size))
        ]
    starts = _overlapping_starts(term, lower) if _overlaps_itself(term) else _starts(term, lower)
    return [at for at in starts if not (lower[at - 1].isalnum() or lower[at + size].isalnum())]


def _starts(term: str, lower: str) -> Iterator[int]:
    """Every occurrence but those that overlap an earlier one."""
    pieces = lower.split(term)
    pieces.pop()
    size = len(term)
    return map(add, accumulate(map(len, pieces)), range(0, size * len(pieces), size))


def _overlaps_itself(term: str) -> bool:
    return any(term.startswith(term[start:]) for start in range(1, len(term)))


def _overlapping_starts(term: str, lower: str) -> Iterator[int]:
    """Every occurrence of a term that ends as it begins, but those that overlap one that stands alone."""
    at = lower.find(term)
    while at >= 0:
        end = at + len(term)
        alone = not (lower[at - 1].isalnum() or lower[end].isalnum())
        yield at
        at = lower.find(term, end if alone else at + 1)


def _is_camel_part(text: str, start: int, end: int) -> bool:
    """Whether a part of an identifier stands there, the one before it not going on: `userName` holds `name`."""
    return _is_border(text, start) and (_is_border(text, end) or (text[end : end + 1] == "s" and _is_border(text, end + 1)))


def _is_border(text: str, at: int) -> bool:
    """Whether a part of an identifier ends or begins at `at`: `get|User`, `HTTP|Server`, `user|_id`."""
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if not (before.isalnum() and after.isalnum()):
        return True
    if after.isupper():
        return not before.isupper() or text[at + 1 : at + 2].islower()
    return False
