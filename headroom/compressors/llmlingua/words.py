"""Whole words of a text, as ranges of it, and what tokens say of them. Vectorised: a few passes of numpy, whatever the length.

A word is a run of signs between white space, the punctuation at its ends being words of their own: `"state-of-the-art",` is
three. Scripts without spaces (Chinese, Japanese, Thai) are taken apart where the tokenizer does.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

_SPACE, _PUNCTUATION, _WORD, _UNSPACED, _BREAK, _END = range(6)
_RANGES_UNSPACED = (
    (0x0E00, 0x0F00),
    (0x1000, 0x10A0),
    (0x1780, 0x1800),
    (0x3040, 0x3100),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0x20000, 0x40000),
)
_BREAKS = "\u2013\u2014\u2015\u2026"  # dashes and ellipsis stand between words without spaces
_ENDS = ".!?\u2026\u3002\uff01\uff1f\u061f\u06d4\u0964"  # of sentences


@functools.cache
def _kinds() -> NDArray[np.uint8]:
    """What each code point is to a word."""
    table = np.full(0x110000, _WORD, np.uint8)
    for code in range(0x20000):
        sign = chr(code)
        if sign.isspace():
            table[code] = _SPACE
        elif sign != "_" and unicodedata.category(sign)[0] in "PS":
            table[code] = _PUNCTUATION
    for start, end in _RANGES_UNSPACED:
        area = table[start:end]
        area[area == _WORD] = _UNSPACED
    table[[ord(sign) for sign in _ENDS]] = _END
    table[[ord(sign) for sign in _BREAKS]] = _BREAK
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """n words: characters starts[i]..ends[i] of the text; what lies between two of them is white space or nothing.

    `sentence` says of each word which sentence it ends or stands in, `line` in which line; `closes` marks the punctuation that
    ends a sentence, `opens` the signs that begin a line (bullets, headings).
    """

    starts: Ints
    ends: Ints
    closes: Flags
    opens: Flags
    sentence: Ints
    line: Ints

    def __len__(self) -> int:
        return len(self.starts)


def split(text: str, token_starts: Ints) -> Words:
    """The words of a text; `token_starts` say where a script without spaces may be cut."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[codes]
    starts = _starts(kinds, token_starts)
    if not len(starts):
        none, no = np.empty(0, np.int64), np.empty(0, np.bool_)
        return Words(none, none, no, no, none, none)
    places = np.arange(len(kinds))
    last_filled = np.maximum.accumulate(np.where(kinds != _SPACE, places, -1))
    ends = last_filled[np.append(starts[1:], len(kinds)) - 1] + 1
    sound = np.append(0, np.cumsum((kinds == _WORD) | (kinds == _UNSPACED)))
    bare = sound[ends] == sound[starts]
    stops = np.append(0, np.cumsum((kinds == _END) | (codes == 0x2026)))
    closes = bare & (stops[ends] > stops[starts])
    line = np.append(0, np.cumsum(codes == 10))[starts]
    opens = bare & np.append(True, line[1:] != line[:-1])
    sentence = np.append(0, np.cumsum(closes)[:-1])
    return Words(starts, ends, closes & ~opens, opens, sentence, line)


def _starts(kinds: NDArray[np.uint8], token_starts: Ints) -> Ints:
    filled = kinds != _SPACE
    begins = filled & np.append(True, ~filled[:-1])[: len(filled)]
    runs = np.flatnonzero(begins)
    if not len(runs):
        return runs
    places = np.arange(len(kinds))
    sound = (kinds == _WORD) | (kinds == _UNSPACED)
    first = np.minimum.reduceat(np.where(sound, places, len(kinds)), runs)
    last = np.maximum.reduceat(np.where(sound, places, -1), runs)
    begins[first[first < len(kinds)]] = True
    behind = last[last >= 0] + 1
    begins[behind[behind < len(kinds)]] = True
    breaks = kinds == _BREAK
    begins |= breaks & np.append(True, ~breaks[:-1])
    begins[1:] |= breaks[:-1] & ~breaks[1:]
    inside = token_starts[(token_starts > 0) & (token_starts < len(kinds))]
    begins[inside] |= (kinds[inside] == _UNSPACED) | (kinds[inside - 1] == _UNSPACED)
    return np.flatnonzero(begins & filled)


def probabilities(words: Words, token_starts: Ints, token_ends: Ints, token_probabilities: Floats) -> Floats:
    """(n,) the mean of each word's tokens. A word without one has that of the token that covers it, NaN where none does."""
    count = len(words)
    if not count or not len(token_starts):
        return np.full(count, np.nan, np.float32)
    # a token that begins with white space belongs to the word where it ends
    anchor = np.where(_inside(words, token_starts), token_starts, np.maximum(token_ends - 1, token_starts))
    owner = np.maximum(np.searchsorted(words.starts, anchor, side="right") - 1, 0)
    seen = np.bincount(owner, minlength=count)
    sums = np.bincount(owner, weights=token_probabilities, minlength=count)
    result = np.full(count, np.nan, np.float32)
    np.divide(sums, seen, out=result, where=seen > 0, casting="unsafe")
    bare = np.flatnonzero(seen == 0)
    nearest = np.searchsorted(token_starts, words.starts[bare], side="right") - 1
    covered = (nearest >= 0) & (token_ends[nearest] > words.starts[bare])
    result[bare[covered]] = token_probabilities[nearest[covered]]
    return result


def _inside(words: Words, places: Ints) -> Flags:
    """Whether characters at these places belong to a word."""
    owner = np.searchsorted(words.starts, places, side="right") - 1
    inside: Flags = (owner >= 0) & (places < words.ends[np.maximum(owner, 0)])
    return inside


def touched(words: Words, spans: list[tuple[int, int]]) -> Flags:
    """(n,) which words overlap one of these ranges, which are disjoint and ascending."""
    if not spans:
        return np.zeros(len(words), np.bool_)
    ranges = np.array(spans, np.int64)
    at = np.searchsorted(ranges[:, 1], words.starts, side="right")
    found: Flags = (at < len(ranges)) & (ranges[np.minimum(at, len(ranges) - 1), 0] < words.ends)
    return found
