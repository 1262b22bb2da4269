"""The simple way to make room: the oldest units leave first."""

from __future__ import annotations

from headroom.context.fit import Choice, State


class OldestFirst:
    """The strategy."""

    name = "rolling_window"

    def __call__(self, state: State, excess: int) -> Choice:
        gone: list[int] = []
        for number, size in enumerate(state.tokens):
            if excess <= 0:
                break
            if size and number not in state.kept:
                gone.append(number)
                excess -= size
        return Choice(gone)
