"""Long texts in pieces that a model's window holds, and pieces of like length in batches. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headroom.compressors.llmlingua.words import Flags

_LOOK_BACK = 0.5  # of a window, where a sentence may end it
_ALIKE = 0.85  # of the longest piece of a batch, that the shortest has at least


def chunks(count: int, window: int, ends: Flags, begins: Flags) -> list[tuple[int, int]]:
    """Ranges of at most `window` of `count` tokens, in order.

    A range ends behind a token that `ends` a sentence, else before one that `begins` a word, else where the window does.
    """
    result = []
    start = 0
    while count - start > window:
        stop = start + window
        least = start + int(window * _LOOK_BACK)
        behind = np.flatnonzero(ends[least:stop])
        before = np.flatnonzero(begins[least + 1 : stop + 1])
        if len(behind):
            stop = least + int(behind[-1]) + 1
        elif len(before):
            stop = least + 1 + int(before[-1])
        result.append((start, stop))
        start = stop
    if count > start:
        result.append((start, count))
    return result


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """The pieces with these lengths, longest first, in batches of about one length whose padded size is at most `budget` tokens.

    A piece longer than the budget is a batch alone.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if batch:
            longest = lengths[batch[0]]
            if longest * (len(batch) + 1) > budget or lengths[place] < _ALIKE * longest:
                yield batch
                batch = []
        batch.append(place)
    if batch:
        yield batch
