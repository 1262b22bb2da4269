"""What an organisation asks for: people, requests, and how large they are."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

BYTES_PER_TOKEN = 4
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """`requests_per_user_hour` are those of the busiest hour, `peak` how much busier its busiest minutes are.

    A request has `prompt_tokens`, of which `new_tokens` were in none before it (the last tool outputs), both means; it streams for
    `answer_s`. `spread` is the standard deviation of both sizes over their mean. A day has `hours_per_day` such hours.
    """

    users: int
    requests_per_user_hour: float
    peak: float = 1.5
    prompt_tokens: int = 30_000
    new_tokens: int = 2_000
    answer_s: float = 15.0
    spread: float = 1.0
    hours_per_day: float = 8.0

    @property
    def hourly_rate(self) -> float:
        """Requests a second in the busiest hour."""
        return self.users * self.requests_per_user_hour / 3600

    @property
    def peak_rate(self) -> float:
        """Requests a second in its busiest minutes."""
        return self.hourly_rate * self.peak

    @property
    def body_mb(self) -> float:
        return self.prompt_tokens * BYTES_PER_TOKEN / _MB

    @property
    def new_mb(self) -> float:
        return self.new_tokens * BYTES_PER_TOKEN / _MB

    def drawn(self, draw: random.Random) -> tuple[float, float, float]:
        """One request: megabytes of its body and of new text in it, and seconds of its answer."""
        if not self.spread:
            return self.body_mb, self.new_mb, self.answer_s
        sigma = math.sqrt(math.log(1 + self.spread**2))
        body, new, answer = (draw.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(3))
        return self.body_mb * body, self.new_mb * new, self.answer_s * answer
