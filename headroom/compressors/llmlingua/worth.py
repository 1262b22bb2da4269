"""From how many tokens on a text is worth a model's time. Figures only: nothing here loads a model.

A pass takes a fixed time and a time per token. What it gives are tokens left out, less those of the marker. A request may be
later by `WORTH_MS` for each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WORTH_MS = 4.0  # of a request's time, for a token left out
_MARKER = 40  # tokens of the line that says what was left out


@dataclass(frozen=True, slots=True)
class Speed:
    """How long a pass takes: `fixed_ms`, and `token_ms` for each token of the text."""

    fixed_ms: float
    token_ms: float

    def ms(self, tokens: float) -> float:
        return self.fixed_ms + tokens * self.token_ms

    def holds(self, deadline_ms: float) -> int:
        """Tokens of the largest text that is done in time."""
        return max(0, int((deadline_ms - self.fixed_ms) / self.token_ms)) if self.token_ms else 0


# (device, dtype, family) -> measured on layers of the published sizes with random weights. Of CPUs one core, a Xeon with AMX, by its own
# time; bfloat16 is what `auto` takes where there is AMX. GPUs are open.
MEASURED: dict[tuple[str, str, str], Speed] = {
    ("cpu", "bfloat16", "bert-base-multilingual-cased"): Speed(24, 1.01),
    ("cpu", "float32", "bert-base-multilingual-cased"): Speed(51, 2.79),
    ("cpu", "bfloat16", "xlm-roberta-large"): Speed(139, 3.52),
    ("cpu", "float32", "xlm-roberta-large"): Speed(229, 15.08),
}


def break_even(speed: Speed, rate: float) -> int | None:
    """Tokens of the smallest text that pays when `rate` of it stays; None when none does, however large."""
    gain = (1 - rate) - speed.token_ms / WORTH_MS
    if gain <= 0:
        return None
    return math.ceil((_MARKER + speed.fixed_ms / WORTH_MS) / gain)


def window(device: str, family: str, rate: float, deadline_ms: float) -> str:
    """One line for a person: the sizes of the texts that pay and are done in time, for each way to run it that was measured."""
    rows = [(kind, dtype, speed) for (kind, dtype, named), speed in MEASURED.items() if named == family and device in (kind, "auto")]
    said = [f"{'one CPU core' if kind == 'cpu' else kind} in {dtype}: {_sizes(speed, rate, deadline_ms)}" for kind, dtype, speed in rows]
    if device != "cpu":
        said.append("GPU: not measured")
    return (
        f"texts that pay within {deadline_ms:g} ms, in tokens: {'; '.join(said) or 'not measured'}; "
        "`headroom llmlingua measure` says it for this machine"
    )


def _sizes(speed: Speed, rate: float, deadline_ms: float) -> str:
    least, most = break_even(speed, rate), speed.holds(deadline_ms)
    return "none" if least is None or least > most else f"{least:,} to {most:,}"
