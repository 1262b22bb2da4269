"""A model that knows how fast it is: it begins nothing that it cannot end in time, and nothing that does not pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from headroom.compressors.llmlingua.pruner import Pruner
from headroom.compressors.llmlingua.worth import break_even
from headroom.model import Passage, Pruned, PrunerSpec

LATE, TOO_LARGE = "deadline", "too_large"
TOO_SMALL = "too_small"  # the reason of a passage that does not pay on this device
_CHARS = 4  # of a token, about
_SURELY = 2.0  # times the seconds there are, that a call is estimated to take and is not begun


class Timely:
    """Loaded, warm and measured when its constructor returns. One thread at a time."""

    def __init__(self, spec: PrunerSpec, count: Callable[[str], int]) -> None:
        """Raises ModelUnavailable."""
        self._pruner = Pruner(spec, count)
        self.speed = self._pruner.warm_up()

    def __call__(self, passages: Sequence[Passage], seconds: float, wanted: Callable[[], bool] = lambda: True) -> list[Pruned] | str:
        """One result per passage, or why there is none in so many seconds; it ends sooner when it is not `wanted` any more."""
        until = time.monotonic() + seconds
        pays = [self._pays(passage) for passage in passages]
        asked = [passage for passage, worth in zip(passages, pays, strict=True) if worth]
        size = sum(len(passage.text) for passage in asked) / _CHARS
        if asked and self.speed.ms(size) > _SURELY * 1000 * seconds:
            return TOO_LARGE if seconds > 0 else LATE
        try:
            done = iter(self._pruner(asked, lambda: time.monotonic() > until or not wanted()))
        except TimeoutError:
            return LATE
        return [next(done) if worth else Pruned(None, reason=TOO_SMALL) for worth in pays]

    def _pays(self, passage: Passage) -> bool:
        least = break_even(self.speed, passage.rate)
        return least is not None and len(passage.text) >= _CHARS * least
