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
_TOKENS = re.compile(r"[0-9]{1,3}|[^\W\d_]{1,7}| ?[^\w\s]{1,3}|_|[^\S ]")
_RULE = re.compile(r"\[([§¤¶†‡¦])(\d+)-\1(\d+) stand for the phrases in the next (\d+) lines\]", re.ASCII)


def encode(text: str) -> str | None:
    """The text with names for its phrases behind its first line, or None where none pays."""
    sign = next((sign for sign in _SIGNS if sign not in text), "")
    if not sign or len(text) > _LONGEST:
        return None
    head, _, body = text.partition("\n")
    found = _paying(_repeated([_PIECES(cell) for cell in re.split(r"[\n\t]", body) if len(cell) >= _SHORT]))
    names: list[str] = []
    for phrase in sorted(found, key=len, reverse=True):
        if _gain(phrase, body.count(phrase)) > 0:
            body = body.replace(phrase, f"{sign}{len(names):02}")
            names.append(f"{sign}{len(names):02}={phrase}")
    if not names:
        return None
    rule = f"[{sign}00-{sign}{len(names) - 1:02} stand for the phrases in the next {len(names)} lines]"
    return "\n".join([head, rule, *names, body])


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


def _gain(phrase: str, uses: int) -> int:
    """The tokens that a name for a phrase saves, about; 0 for one that should stay."""
    tokens = len(_TOKENS.findall(phrase))
    if tokens < _LEAST_TOKENS or uses < _LEAST_USES:
        return 0
    return uses * (tokens - _NAME_TOKENS) - tokens - _ENTRY_TOKENS


def _paying(uses: Counter[str]) -> list[str]:
    """The phrases that save most."""
    worth = sorted([(-gain, phrase) for phrase, count in uses.items() if (gain := _gain(phrase, count)) > 0])
    return [phrase for _, phrase in worth[:_MOST]]


def _repeated(cells: Sequence[Sequence[str]]) -> Counter[str]:
    """Phrases that stand in two places, and in how many about."""
    found: Counter[str] = Counter()
    stands: dict[str, tuple[Sequence[str], int]] = {}
    for pieces in cells:
        last = len(pieces) - _SEED
        at = 0
        while at <= last:
            if pieces[at] == " ":
                at += 1
                continue
            seed = "".join(pieces[at : at + _SEED])
            before = stands.get(seed)
            stands[seed] = pieces, at
            end = _end(pieces, at, *before) if before else 0
            if end - at < _SEED:
                at += 1
                continue
            phrase = "".join(pieces[at:end])
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
