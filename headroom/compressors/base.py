"""The seam between texts and the pipeline: one compressor per kind of text.

A compressor is a pure function of a segment. It never reads a clock, a store or the environment,
never raises on odd text (it returns None: "not mine after all"), is linear in the text, and
gives the same bytes for the same input in every process.

The pipeline calls `parse` once, scores `Parsed.units` against what the turn asks for, and calls
`render` with those scores. It, not the compressor, decides whether the draft is worth using.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headroom.model import Fidelity, Segment


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text taken apart. `units` are the texts (rows, lines, records) that may be scored and left out."""

    units: Sequence[str]
    structure: Any


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposed replacement, marker included.

    `items` and `items_kept` count the units of the original and those still readable in `text`;
    they are equal when nothing was left out.
    """

    text: str
    items: int
    items_kept: int

    @property
    def lossless(self) -> bool:
        return self.items == self.items_kept


class Compressor(Protocol):
    """`label` is the name that headers, statistics and `transforms_applied` show."""

    @property
    def label(self) -> str: ...

    def parse(self, segment: Segment) -> Parsed | None:
        """Take the text apart, or None when it is not of this kind after all."""

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        """Build the smaller text. `scores` has one relevance per unit, 0 = unrelated, comparable within a segment.

        With `fidelity="lossless"` nothing may be left out. `hash` redeems the exact original and
        must stand in the draft, in a marker made by `headroom.ccr.marker`. None when there is no
        smaller form.
        """
