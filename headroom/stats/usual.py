"""What requests of a model cost lately, for those that nobody billed: a stream that told no usage, an answer that was cut off.

A ratio of sums, so that estimates of many requests add up to what the same requests would have been billed, whatever the provider's
tokenizer, its cache and the tokens it bills that nobody sees. A prompt of which most was counted by its characters alone differs from
one whose texts were counted exactly; each kind has a ratio of its own.
"""

from __future__ import annotations

from headroom.outcome import Outcome

_CHARS_PER_TOKEN = 4  # of an answer, before any was billed
_LATELY = 20_000_000  # tokens of one kind, then the older half weighs half
_MODELS = 1000

Key = tuple[str, ...]


class _Ratios:
    """Two sums by key."""

    def __init__(self) -> None:
        self._sums: dict[Key, tuple[float, float]] = {}

    def add(self, key: Key, amount: float, of: float) -> None:
        amounts, counted = self._sums.pop(key, (0.0, 0.0))
        fade = 0.5 if counted > _LATELY else 1.0
        self._sums[key] = (fade * amounts + amount, fade * counted + of)
        while len(self._sums) > _MODELS:
            self._sums.pop(next(iter(self._sums)))

    def of(self, key: Key) -> float | None:
        """None where nothing was added yet."""
        amounts, counted = self._sums.get(key, (0.0, 0.0))
        return amounts / counted if counted else None


class Usual:
    """Learns from what was billed. Not thread-safe: one thread makes rows."""

    def __init__(self) -> None:
        self._prompts = _Ratios()  # nanodollars per token that we counted
        self._answers = _Ratios()  # tokens per character

    def learn(self, outcome: Outcome, nanousd: int) -> None:
        """A request that was billed; `nanousd` is what its prompts cost."""
        model = (outcome.provider, outcome.model)
        if len(outcome.billed) == 1 and outcome.tokens_after > 0:
            self._prompts.add((*model, _counted(outcome)), nanousd, outcome.tokens_after)
        if outcome.answered and not outcome.said:
            self._answers.add(model, sum(usage.output_tokens or 0 for usage in outcome.billed), outcome.answered)

    def prompt(self, outcome: Outcome) -> float | None:
        """Nanodollars per token of its prompt; None for a model that was not billed yet."""
        model, kind = (outcome.provider, outcome.model), _counted(outcome)
        other = next(name for name in ("exactly", "by characters") if name != kind)
        own = self._prompts.of((*model, kind))
        return self._prompts.of((*model, other)) if own is None else own

    def answer(self, outcome: Outcome) -> int:
        """Tokens of what was seen of its answer."""
        ratio = self._answers.of((outcome.provider, outcome.model))
        return outcome.said // _CHARS_PER_TOKEN if ratio is None else round(ratio * outcome.said)


def _counted(outcome: Outcome) -> str:
    """How most of the forwarded prompt was counted."""
    return "by characters" if 2 * outcome.tokens_guessed > outcome.tokens_after else "exactly"
