"""How much a model takes: its window from the data of genai-prices, or from the settings, or a safe default and a reason.

What is left for the conversation is the window less the room for the answer. Sans-I/O.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

UNKNOWN_MODEL = "context_unknown_model"
_ELSEWHERE = ("anthropic", "openai", "google", "aws", "openrouter")  # providers whose names are tried for a qualified model
# Models without a public tokenizer are counted with another one's vocabulary; theirs makes more tokens of the same text.
_MAX_EXCERPTS = 1500
_FOREIGN_TOKENS = (("claude", 1.15),)


@dataclass(frozen=True, slots=True)
class Window:
    """`tokens` a model takes, question and answer together; `reason` says that it is a guess."""

    tokens: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens for a conversation, as we count them: never above `limit`; above `trigger` a cut is made, down to `target`.

    `least` is the smallest trigger that any request to this model can have: below it no cut was ever made. `excerpts`
    is kept free for what a turn asks back. `reason` says what is wrong with these figures.
    """

    limit: int
    target: int
    least: int
    excerpts: int
    reason: str = ""

    @property
    def trigger(self) -> int:
        return self.limit - self.excerpts


def window(model: str, overrides: Sequence[tuple[str, int]], default: int) -> Window:
    """`overrides` are (pattern, tokens), the first that matches the model's name wins."""
    for pattern, tokens in overrides:
        if fnmatchcase(model, pattern):
            return Window(tokens)
    known = _known(model)
    return Window(known) if known else Window(default, UNKNOWN_MODEL)


def room(model: str, found: Window, answer: int | None, default_answer: int, reserve: float) -> Room:
    """`answer` is the length of the answer that the request allows, `reserve` the share that a cut leaves free."""
    half = found.tokens // 2
    wanted = min(default_answer, found.tokens // 8) if answer is None else answer
    scale = next((factor for name, factor in _FOREIGN_TOKENS if name in model.lower()), 1.0)
    limit = int((found.tokens - min(wanted, half)) / scale)
    excerpts = min(_MAX_EXCERPTS, limit // 8)
    least = int((found.tokens - half) / scale) - excerpts
    return Room(limit, int((limit - excerpts) * (1 - reserve)), least, excerpts, found.reason)


def budget(tokens: int) -> Room:
    """The room for a conversation that must fit `tokens` as it is."""
    return Room(tokens, tokens, tokens, 0)


def load() -> None:
    """Reads the data, which takes a third of a second, so that no request waits for it."""
    _known("")


@functools.lru_cache(maxsize=1000)
def _known(model: str) -> int | None:
    from genai_prices.data_snapshot import get_snapshot

    bare = model.rsplit("/", 1)[-1].removeprefix("ft:").split(":")[0]
    tries = [(model, None), *((model, provider) for provider in _ELSEWHERE), (bare, None), *((bare, provider) for provider in _ELSEWHERE)]
    for name, provider in tries:
        try:
            _, found = get_snapshot().find_provider_model(name, None, provider, None)
        except LookupError:
            continue
        if found.context_window:
            return int(found.context_window)
    return None
