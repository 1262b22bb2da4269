"""Texts to shorter texts: tokens, probabilities, words, the choice, and a check that what must stay has stayed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headroom.compressors.llmlingua import select
from headroom.compressors.llmlingua.chunks import chunks
from headroom.compressors.llmlingua.classifier import Classifier, Tokens
from headroom.compressors.llmlingua.keep import missing, must_keep
from headroom.compressors.llmlingua.words import Words, probabilities, split, touched
from headroom.compressors.llmlingua.worth import Speed
from headroom.model import Passage, Pruned, PrunerSpec

if TYPE_CHECKING:
    from headroom.compressors.llmlingua.words import Floats, Ints

_MOST_KNOWN = 200_000  # words whose weight is remembered
_WARM_UP = "The committee met on Monday and decided nothing of importance, because half of its members had not arrived. "
_SIZES = (2, 42)  # repeats of it, in the two texts by which a speed is measured

Count = Callable[[str], int]


class Pruner:
    """A loaded model with the loop around it. `count` counts the tokens by which a rate is measured. One thread at a time."""

    def __init__(self, spec: PrunerSpec, count: Count) -> None:
        """Loads the model, which takes seconds. Raises ModelUnavailable."""
        self.classifier = Classifier(spec)
        self._count = count
        self._known: dict[str, int] = {}
        ends = [token.lstrip("\u2581") in (".", "!", "?", "\u3002", "\uff01", "\uff1f") for token in self.classifier.vocabulary]
        self._ends = np.array(ends, np.bool_)

    def __call__(self, passages: Sequence[Passage], over: Callable[[], bool] | None = None) -> list[Pruned]:
        """One result per passage, in order. Raises TimeoutError when it is `over` before the model is done."""
        texts = [passage.text for passage in passages]
        tokens = self.classifier.tokens(texts)
        found = [split(text, token.starts) for text, token in zip(texts, tokens, strict=True)]
        likely = self._token_probabilities(tokens, found, over)
        return [self._prune(*one) for one in zip(passages, found, tokens, likely, strict=True)]

    def warm_up(self, runs: int = 1) -> Speed:
        """How fast it is once everything is loaded and set up; the best of so many runs."""
        took, sizes = [], []
        for repeats in _SIZES:
            passage = Passage(_WARM_UP * repeats)
            sizes.append(self._count(passage.text))
            self([passage])
            times = []
            for _ in range(runs):
                started = time.perf_counter()
                self([passage])
                times.append(1000 * (time.perf_counter() - started))
            took.append(min(times))
        token_ms = max(0.0, took[1] - took[0]) / (sizes[1] - sizes[0])
        return Speed(max(0.0, took[0] - token_ms * sizes[0]), token_ms)

    def _token_probabilities(self, tokens: Sequence[Tokens], found: Sequence[Words], over: Callable[[], bool] | None) -> list[Floats]:
        pieces: list[Ints] = []
        counts = []
        for token, words in zip(tokens, found, strict=True):
            begins = np.isin(token.starts, words.starts, assume_unique=False)
            ranges = chunks(len(token.ids), self.classifier.window, self._ends[token.ids], begins)
            pieces += [self.classifier.framed(token.ids[start:end]) for start, end in ranges]
            counts.append(len(ranges))
        done = iter(self.classifier.probabilities(pieces, over))
        parts = [[next(done)[1:-1] for _ in range(count)] for count in counts]
        return [np.concatenate(part) if part else np.empty(0, np.float32) for part in parts]

    def _prune(self, passage: Passage, words: Words, tokens: Tokens, likely: Floats) -> Pruned:
        text = passage.text
        spans = must_keep(text, passage.question)
        forced = touched(words, spans)
        means = probabilities(words, tokens.starts, tokens.ends, likely)
        kept = select.choose(words, means, self._weights(text, words), forced, passage.rate, passage.threshold)
        shorter = select.assemble(text, words, kept)
        if lost := missing(text, spans, shorter):
            return Pruned(None, len(words), len(words), f"lost:{lost[:40]}")
        return Pruned(shorter, len(words), int(kept.sum()))

    def _weights(self, text: str, words: Words) -> Ints:
        """(n,) the tokens of each word, with the space before it."""
        starts = words.starts - np.append(0, words.starts[1:] > words.ends[:-1])[: len(words)]
        known = self._known
        pieces = [text[start:end] for start, end in zip(starts.tolist(), words.ends.tolist(), strict=True)]
        if len(known) > _MOST_KNOWN:
            known.clear()
        for piece in set(pieces).difference(known):
            known[piece] = self._count(piece)
        return np.array([known[piece] for piece in pieces], np.int64)
