"""Which words stay, and the text that they make: ranges of the original, so that its spacing and its bytes survive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from headroom.compressors.llmlingua.words import Words

if TYPE_CHECKING:
    from headroom.compressors.llmlingua.words import Flags, Floats, Ints

_PASSES = 3  # room that is left when ends of sentences go is given to other words
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")


def choose(words: Words, probabilities: Floats, weights: Ints, forced: Flags, rate: float, threshold: float = 0.0) -> Flags:
    """(n,) the words that stay.

    `forced` ones and words nothing is known of (NaN) always do; of the others the most probable ones, down to `threshold`,
    until `rate` of the weight of all words is reached. What ends a sentence or begins a line stays where anything of it does.
    """
    unknown = np.isnan(probabilities)
    marks = words.closes | words.opens
    kept = forced | unknown
    free = np.flatnonzero(~kept & ~marks & (np.nan_to_num(probabilities) >= threshold))
    order = free[np.argsort(-probabilities[free], kind="stable")]
    taken = np.cumsum(weights[order])
    room = rate * weights.sum() - weights[kept | marks].sum()
    for _ in range(_PASSES):
        chosen = kept.copy()
        chosen[order[: np.searchsorted(taken, room, side="right")]] = True
        framed = chosen | (marks & _framed(words, chosen))
        spare = weights[marks & ~framed].sum()
        room = rate * weights.sum() - weights[kept | marks].sum() + spare
    return framed


def _framed(words: Words, kept: Flags) -> Flags:
    """Which words stand in a sentence (those that end it) or in a line (those that begin it) of which something stays."""
    sentences = np.bincount(words.sentence, weights=kept) > 0
    lines = np.bincount(words.line, weights=kept) > 0
    found: Flags = np.where(words.opens, lines[words.line], sentences[words.sentence])
    return found


def assemble(text: str, words: Words, kept: Flags) -> str:
    """The kept words as they stand in the text; neighbours keep what is between them, others a space, or the line end between them."""
    if not kept.any():
        return ""
    return "".join(_pieces(text, words, kept))


def _pieces(text: str, words: Words, kept: Flags) -> Iterator[str]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], kept, [False])).astype(np.int8)))
    runs = zip(words.starts[edges[::2]].tolist(), words.ends[edges[1::2] - 1].tolist(), strict=True)
    position = 0
    for start, end in runs:
        yield _between(text, position, start)
        yield text[start:end]
        position = end
    rest = text[position:]
    yield rest[len(rest.rstrip()) :]


def _between(text: str, position: int, start: int) -> str:
    """What stands between two kept runs, words between them having gone."""
    gone = text[position:start]
    if not position:
        return "" if gone.strip() else gone
    line = gone.rfind("\n")
    if line >= 0:
        rest = gone[line + 1 :]
        end = "\r\n" if line and gone[line - 1] == "\r" else "\n"
        return (end if _BLANK_LINE.search(gone) else "") + end + ("" if rest.strip() else rest)
    if gone[-1].isspace() or gone[0].isspace():
        follows = text[start].isalnum() or gone[-1].isspace()
        return " " if follows else ""
    return " " if text[start].isalnum() and text[start].isascii() and text[position - 1].isalnum() else ""
