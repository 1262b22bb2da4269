"""The simple way to make room: the oldest units leave first."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def oldest_first(sizes: Sequence[int], kept: Collection[int], excess: int) -> list[int]:
    """The numbers of the units to leave out so that `excess` tokens are saved, or all that may leave.

    `sizes` are tokens per unit, 0 for one that has left already; `kept` may not leave.
    """
    gone: list[int] = []
    for number, size in enumerate(sizes):
        if excess <= 0:
            break
        if size and number not in kept:
            gone.append(number)
            excess -= size
    return gone
