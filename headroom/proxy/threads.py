"""Work on large texts leaves the event loop; work on small ones is done at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_LARGE = 300_000  # characters
P = ParamSpec("P")
R = TypeVar("R")


async def offload(size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a pure function here, or in a thread when it works on a large text."""
    if size < _LARGE:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
