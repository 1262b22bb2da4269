"""What scoring means: how much each unit of a text has to do with what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Scorer(Protocol):
    def __call__(self, query: str, units: Sequence[str]) -> Sequence[float]:
        """One relevance per unit, >= 0, 0 = unrelated; pure, linear in the units' length."""
