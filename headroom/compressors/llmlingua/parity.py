"""The decisions of `llmlingua.PromptCompressor` 0.2.2 by our model loop: to show on given weights that ours is the same method.

What the library does, and we otherwise do not: it cuts a text behind the last full stop of 511 tokens (so the sign that ends a
piece may be missing), sets a threshold per piece and not per text, takes words apart at every punctuation mark, weighs a word
by the tokens of GPT-3.5 with SentencePiece's own sign before it, and drops what its vocabulary does not know. `Pruner` differs
in just that, and in what it never drops (`keep`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headroom.compressors.llmlingua.classifier import Classifier, Tokens

if TYPE_CHECKING:
    from headroom.compressors.llmlingua.words import Flags, Ints

_MOST = 512  # ids of a piece, those that frame it included
_STOPS = frozenset((".", "\n"))
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Decision:
    """A word as the library writes it, whether it is kept, and how far its probability is from the threshold."""

    word: str
    kept: bool
    margin: float


class Library:
    """Decides as the library does. `count` counts the tokens of GPT-3.5 (cl100k_base)."""

    def __init__(self, classifier: Classifier, count: Callable[[str], int]) -> None:
        self._classifier = classifier
        self._count = count
        self._vocabulary = classifier.vocabulary
        self._sentence_piece = classifier.family.startswith("xlm")
        self._begins = np.array([self._begins_word(token) for token in self._vocabulary], np.bool_)
        self._digits = np.array([bool(_DIGIT.search(token)) for token in self._vocabulary], np.bool_)
        self._stops = np.array([token in _STOPS for token in self._vocabulary], np.bool_)
        self._special = np.array(sorted(classifier.special), np.int64)

    def __call__(self, texts: Sequence[str], rate: float, *, digits: bool = False) -> list[list[Decision]]:
        """For each text its words in order; `digits` is the library's `force_reserve_digit`."""
        parts = [self._slices(text, tokens) for text, tokens in zip(texts, self._classifier.tokens(texts), strict=True)]
        tokens = self._classifier.tokens([part for some in parts for part in some])
        pieces = [self._classifier.framed(token.ids)[:_MOST] for token in tokens]
        decided = iter([self._decide(*one, rate, digits) for one in zip(pieces, self._classifier.probabilities(pieces), strict=True)])
        return [[word for _ in some for word in next(decided)] for some in parts]

    def _slices(self, text: str, tokens: Tokens) -> list[str]:
        """The pieces, as texts: the library makes texts of them too, and tokenizes those."""
        result, start, count = [], 0, len(tokens.ids)
        window = _MOST - 2
        while start < count:
            stop = count
            if start + window <= count - 1:
                stop = start + window + 1
                stops = np.flatnonzero(self._stops[tokens.ids[start + 1 : stop]])
                stop = start + 2 + int(stops[-1]) if len(stops) else stop
            result.append(text[tokens.starts[start] : tokens.ends[stop - 1]])
            start = stop
        return result

    def _decide(self, ids: Ints, likely: Any, rate: float, digits: bool) -> list[Decision]:
        known = ~np.isin(ids, self._special)
        ids, likely = ids[known], likely[known]
        if not len(ids):
            return []
        if digits:
            likely = np.where(self._digits[ids], np.float32(1), likely)
        firsts = np.flatnonzero(self._begins[ids])
        means = np.add.reduceat(likely, firsts) / np.diff(np.append(firsts, len(ids))).astype(np.float32)
        if digits and np.logical_and.reduceat(self._digits[ids], firsts).any():
            means = means.astype(np.float64)  # as a list becomes that holds a 1.0 of Python's
        words = self._words(ids, firsts)
        weights = np.array([self._count(word) for word in words])
        threshold = np.percentile(np.repeat(means, weights), int(100 * max(0.0, 1 - rate) + 1))
        kept: Flags = (means > threshold) | ((threshold == 1.0) & (means == threshold))
        return [
            Decision(word.lstrip("\u2581") if self._sentence_piece else word, bool(keep), float(abs(mean - threshold)))
            for word, keep, mean in zip(words, kept, means, strict=True)
        ]

    def _words(self, ids: Ints, firsts: Ints) -> list[str]:
        signs = "\u2581" if self._sentence_piece else "##"
        tokens = [self._vocabulary[number] for number in ids.tolist()]
        ends = [*firsts[1:].tolist(), len(tokens)]
        return [
            tokens[start] + "".join(token.lstrip(signs) for token in tokens[start + 1 : end])
            for start, end in zip(firsts.tolist(), ends, strict=True)
        ]

    def _begins_word(self, token: str) -> bool:
        if self._sentence_piece:
            return token in string.punctuation or token.startswith("\u2581")
        return not token.startswith("##")
