"""How much a part of a conversation matters to how it goes on: six factors, each a pure function, and their weighted sum.

Every factor gives one value in 0..1 per part, the parts being in the order of the conversation. A factor about which
nothing can be said is left out and its weight shared by the others. A score keeps its parts, so that it can be
explained. Sans-I/O.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headroom.model import Advice
from headroom.scoring import bm25

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors

WEIGHTS: Mapping[str, float] = {
    "recency": 0.20,
    "similarity": 0.20,
    "learned": 0.25,
    "errors": 0.15,
    "references": 0.15,
    "density": 0.05,
}
_DECAY = 0.1  # of recency, per part
_FEW_ERRORS = 0.5  # a text that mentions one
_SAMPLE = 20_000  # characters that tell how dense a text is
_MOST_NAMES = 4000  # of one part

_ERROR = re.compile(
    r"\b(?:error|errors|exception|traceback|failed|failure|fatal|panic|denied|refused|timed out|timeout|not found|cannot|undefined|"
    r"segfault|core dumped)\b|\b[A-Z]\w*(?:Error|Exception)\b|\b[45]\d\d (?:[A-Z][a-z]+)|[Ee]xit (?:code|status):? *[1-9]",
    re.IGNORECASE,
)
_HARD_ERROR = re.compile(r"Traceback \(most recent|\b[A-Z]\w*(?:Error|Exception)\b: |^(?:E  |FAILED |ERROR[: ]|FATAL|panic:)", re.MULTILINE)
# What is written for machines: a path, an identifier of several parts, a number of four digits, a hash.
_NAME = re.compile(r"[\w-]+(?:[./:@#]{1,3}[\w-]+)*")
_MACHINE = re.compile(r"[/_.:@#]\w|\d{4}|\d\w*[A-Za-z]\w*\d|[a-z][A-Z]|^[A-Z]+\d|[A-Za-z]-\d")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Part:
    """One factor of a score: `value` in 0..1, `weight` after those that are left out were shared out."""

    factor: str
    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Score:
    """`total` in 0..1 is the sum of value times weight over the parts."""

    total: float
    parts: tuple[Part, ...]


def combined(values: Mapping[str, Sequence[float]], weights: Mapping[str, float] = WEIGHTS) -> list[Score]:
    """One score per part of the conversation, from the factors that there are."""
    whole = sum(weights[factor] for factor in values)
    if not whole:
        return []
    found = []
    for column in zip(*values.values(), strict=True):
        parts = tuple(Part(factor, value, weights[factor] / whole) for factor, value in zip(values, column, strict=True))
        found.append(Score(sum(part.value * part.weight for part in parts), parts))
    return found


def recency(count: int) -> list[float]:
    """exp(-0.1 * distance from the end): 1 for the last part."""
    return [math.exp(-_DECAY * (count - 1 - place)) for place in range(count)]


def similarity(vectors: Vectors, last: Vectors) -> list[float]:
    """The best cosine with any of the `last` messages, (n, d) with (m, d), rows of length 1; negative ones count as 0."""
    return [float(min(1.0, max(0.0, value))) for value in (vectors @ last.T).max(axis=1)]


def word_similarity(texts: Sequence[str], last: Sequence[str]) -> list[float]:
    """What stands in for it without a model: BM25 with the last messages, over the best."""
    scores = bm25.scores("\n".join(last), texts)
    best = max(scores, default=0.0)
    return [score / best if best else 0.0 for score in scores]


def learned(advice: Sequence[Collection[Advice]]) -> list[float]:
    """How often outputs like those of a part were asked for again after they had been cut."""
    return [max((1.0 if given.whole else given.asked / 10 for given in of_part), default=0.0) for of_part in advice]


def errors(texts: Sequence[str], failed: Sequence[bool]) -> list[float]:
    """1 for a failed call and for an exception, a half for a text that speaks of an error."""
    found = zip(texts, failed, strict=True)
    return [1.0 if bad or _HARD_ERROR.search(text) else _FEW_ERRORS if _ERROR.search(text) else 0.0 for text, bad in found]


def references(texts: Sequence[str], used: Sequence[str]) -> list[float]:
    """How many names of a part are used later on, in what `used` has of the later parts; a rare name counts more.

    `used` are a part's words and calls, without what tools printed: a listing that names a file uses nothing.
    """
    named = [names(text) for text in texts]
    holders: Counter[str] = Counter(name for of_part in named for name in of_part)
    later: set[str] = set()
    found = [0.0] * len(texts)
    for place in range(len(texts) - 1, -1, -1):
        hits = sum(1.0 / holders[name] for name in named[place] & later)
        found[place] = hits / (hits + 1.0)
        later |= names(used[place])
    return found


def names(text: str) -> set[str]:
    """Ids, paths and symbols: what no dictionary holds. About _MOST_NAMES at most.

    Of what colons join the parts count too: `orders.py:12` names a file, `{user:anna_k_11,flight:HAT227}` two things.
    """
    found: set[str] = set()
    for match in _NAME.finditer(text):
        whole = match[0].strip("-.:/#")
        for name in {whole, *whole.split(":")} if ":" in whole and "://" not in whole else (whole,):
            if len(name) >= 4 and name not in found and _MACHINE.search(name):
                found.add(name)
        if len(found) >= _MOST_NAMES:
            break
    return found


def density(texts: Iterable[str]) -> list[float]:
    """The share of a text's words that were not said in it before."""
    found = []
    for text in texts:
        words = _WORD.findall(text[:_SAMPLE].lower())
        found.append(len(set(words)) / len(words) if words else 0.0)
    return found
