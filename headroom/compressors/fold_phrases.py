"""Phrases that a text repeats are written once, and named where they stand.

The second line says which names there are, the lines below it what they stand for, then comes the
text with the names in it:

    [its own first line]
    [§00-§41 stand for the phrases in the next 42 lines]
    §00=https://example.com/api/v2/orders/

A phrase begins and ends at words, holds no tab or line feed, and its name a sign that the text does
not. Linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_SIGNS = "§¤¶†‡¦"
_SEED = 5  # pieces in which two places must agree to be compared
_SHORT = 16  # characters of a line or cell that is looked into
_LONGEST = 2_000_000  # characters of a text that is looked into
_MOST = 100  # phrases
_LEAST_TOKENS, _LEAST_USES = 8, 3  # of a phrase: what is shorter or rarer stays readable where it stands
_NAME_TOKENS, _ENTRY_TOKENS = 2, 5  # of a name where it is used, and of what a definition costs beside the phrase

_PIECES = re.compile(r"\w+|[^\w\s]|\s").findall
_CELLS = re.compile(r"([\n\t])")
_TOKENS = re.compile(r"[0-9]{1,3}|[^\W\d_]{1,7}| ?[^\w\s]{1,3}|_|[^\S ]")
_RULE = re.compile(r"\[([§¤¶†‡¦])(\d+)-\1(\d+) stand for the phrases in the next (\d+) lines\]", re.ASCII)

_Phrase = tuple[str, ...]


def encode(text: str) -> str | None:
    """The text with names for its phrases behind its first line, or None where none pays."""
    sign = next((sign for sign in _SIGNS if sign not in text), "")
    if not sign or len(text) > _LONGEST:
        return None
    head, _, body = text.partition("\n")
    cells = [_PIECES(cell) if len(cell) >= _SHORT else [cell] for cell in _CELLS.split(body)]
    phrases = _paying(_repeated(cells))
    phrases = _paying(Counter([part for cell in _parts(cells, phrases) for part in cell if isinstance(part, tuple)]))
    parts = _parts(cells, phrases)
    if not phrases:
        return None
    width = len(str(len(phrases) - 1))
    names = {phrase: f"{sign}{number:0{width}}" for number, phrase in enumerate(phrases)}
    written = "".join([part if isinstance(part, str) else names[part] for cell in parts for part in cell])
    rule = f"[{names[phrases[0]]}-{names[phrases[-1]]} stand for the phrases in the next {len(phrases)} lines]"
    return "\n".join([head, rule, *[f"{name}={''.join(phrase)}" for phrase, name in names.items()], written])


def decode(text: str) -> str:
    """The inverse of `encode`; a text without names comes back as it is."""
    head, _, rest = text.partition("\n")
    match = _RULE.fullmatch(rest.partition("\n")[0])
    if match is None:
        return text
    sign, count = match[1], int(match[4])
    _, *entries, body = rest.split("\n", count + 1)
    phrases = dict(entry.split("=", 1) for entry in entries)
    return f"{head}\n" + re.sub(rf"{sign}\d{{{len(match[2])}}}", lambda name: phrases[name[0]], body)


def named(text: str) -> bool:
    """Whether the text's second line is the rule for names."""
    return bool(_RULE.fullmatch(text.split("\n", 2)[1])) if "\n" in text else False


def _paying(uses: Counter[_Phrase]) -> list[_Phrase]:
    """The phrases that save most, those that save nothing dropped."""
    worth = []
    for phrase, count in uses.items():
        tokens = len(_TOKENS.findall("".join(phrase)))
        gain = count * (tokens - _NAME_TOKENS) - tokens - _ENTRY_TOKENS
        if gain > 0 and tokens >= _LEAST_TOKENS and count >= _LEAST_USES:
            worth.append((-gain, phrase))
    return [phrase for _, phrase in sorted(worth)[:_MOST]]


def _repeated(cells: Sequence[Sequence[str]]) -> Counter[_Phrase]:
    """Phrases that stand in two places, and in how many about."""
    found: Counter[_Phrase] = Counter()
    stands: dict[str, tuple[Sequence[str], int]] = {}
    for pieces in cells:
        size = len(pieces)
        at = 0
        while at <= size - _SEED:
            if pieces[at].isspace():
                at += 1
                continue
            seed = "".join(pieces[at : at + _SEED])
            before = stands.get(seed)
            stands[seed] = pieces, at
            end = _end(pieces, at, *before) if before else 0
            if end - at < _SEED:
                at += 1
                continue
            phrase = tuple(pieces[at:end])
            found[phrase] += 1 if phrase in found else 2
            at = end
    return found


def _end(pieces: Sequence[str], at: int, other: Sequence[str], there: int) -> int:
    """Where the text from `at` on stops being what it is from `there` on, before blanks."""
    end = at
    limit = at if other is pieces else len(other)
    while end < len(pieces) and there < limit and pieces[end] == other[there]:
        end, there = end + 1, there + 1
    while end > at and pieces[end - 1].isspace():
        end -= 1
    return end


def _parts(cells: Sequence[Sequence[str]], phrases: Sequence[_Phrase]) -> list[list[str | _Phrase]]:
    """The pieces of each cell, those that make up a phrase put together."""
    begins: dict[str, list[_Phrase]] = {}
    for phrase in sorted(phrases, key=len, reverse=True):
        begins.setdefault("".join(phrase[:_SEED]), []).append(phrase)
    firsts = {phrase[0] for phrase in phrases}
    found: list[list[str | _Phrase]] = []
    for pieces in cells:
        parts: list[str | _Phrase] = []
        at = 0
        if firsts.isdisjoint(pieces):
            parts += pieces
            at = len(pieces)
        while at < len(pieces):
            piece = pieces[at]
            if piece in firsts:
                for phrase in begins.get("".join(pieces[at : at + _SEED]), ()):
                    if tuple(pieces[at : at + len(phrase)]) == phrase:
                        parts.append(phrase)
                        at += len(phrase)
                        break
                else:
                    parts.append(piece)
                    at += 1
                continue
            parts.append(piece)
            at += 1
        found.append(parts)
    return found
