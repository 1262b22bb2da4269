"""The hop to an embedding model, seen from the server: the protocol that both faces implement, and the face without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from headroom.proxy.compress import Degraded

if TYPE_CHECKING:
    from headroom.scoring.embedding import Vectors


class Embed(Protocol):
    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        """(n, d) float32, rows of length 1, in the order of the texts; (0, 0) for none. Texts known already cost microseconds.

        Raises Degraded when there is no result in time, or no model; what was begun is finished and remembered.
        """

    @property
    def model(self) -> str:
        """The identity of what made the vectors of the last call, empty before the first; those of two are never compared."""

    @property
    def enabled(self) -> bool:
        """Whether there is a model at all, as far as is known."""

    @property
    def ready(self) -> bool:
        """Whether a call is answered without loading a model first."""

    @property
    def status(self) -> str:
        """One line for a person: what it is doing, or why there is no model and what to do."""

    async def start(self) -> None:
        """Prepare in the background; returns at once."""

    async def close(self) -> None: ...


class NoEmbed(Embed):
    """No model: every call is Degraded with `reason`."""

    model = ""
    enabled = False
    ready = False

    def __init__(self, reason: str = "off", status: str = "off: scores by words alone") -> None:
        self._reason = reason
        self._status = status

    @property
    def status(self) -> str:
        return self._status

    async def __call__(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        raise Degraded(self._reason)

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return
