"""What leaves by importance: all that the choice rests on, as one value that crosses the hop to a compressor, and the choice. Sans-I/O.

To look through hundreds of messages takes a third of a second, so it is not done where requests are forwarded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headroom.context.cut import Cut
from headroom.context.fit import Fitted, next_cut
from headroom.context.intelligent import ByImportance, Said, about_now, factors, said, to_embed
from headroom.context.units import units
from headroom.context.view import Blocks, Count, View
from headroom.context.windows import Room
from headroom.model import NO_ADVICE, Advice
from headroom.scoring import importance
from headroom.scoring.importance import Score
from headroom.scoring.toin import Snapshot


@dataclass(frozen=True, slots=True)
class Outgrown:
    """A conversation that no longer fits, after the cut `before`; `model` tells how its tokens are counted, `scope` whose it is.

    `tools` names what printed a text, by where its literal starts. `lineage` tells since when the conversation goes on.
    `near` says of each unit how near it is by meaning to what the conversation is about now, None: by words. `scoring` off
    makes position alone the importance.
    """

    view: View
    before: Cut
    blocks: Blocks
    room: Room
    turns: int
    tools: Mapping[int, str] = field(default_factory=dict)
    lineage: str = ""
    near: Sequence[float] | None = None
    scoring: bool = True
    compress_first: bool = True
    model: str = ""
    scope: str = ""


def chosen(asked: Outgrown, learned: Snapshot, count: Count) -> Fitted:
    """The next cut, with the originals it refers to for the first time; or a reason why there is none.

    `learned` is what held for such outputs when the conversation began.
    """
    told = _told(asked, learned)
    totals = [score.total for score in _scores(asked, told)] if asked.scoring else importance.recency(len(told))
    strategy = ByImportance(totals, asked.compress_first, told, "\n".join(about_now(asked.view)), count)
    return next_cut(asked.view, asked.before, asked.blocks, asked.room, asked.turns, strategy, count)


def scores(asked: Outgrown, learned: Snapshot) -> list[Score]:
    """One per unit, with its parts."""
    return _scores(asked, _told(asked, learned))


def _told(asked: Outgrown, learned: Snapshot) -> list[Said]:
    advice: dict[int, list[Advice]] = {}
    for number, message in enumerate(asked.view.came if learned.advice else ()):
        given = [learned.for_output(asked.tools.get(slot.start, ""), slot) for slot in message.slots]
        advice[number] = [one for one in given if one != NO_ADVICE]
    return said(asked.view, units(asked.view.messages, asked.view.sources), advice)


def _scores(asked: Outgrown, told: Sequence[Said]) -> list[Score]:
    near = importance.word_similarity(to_embed(told), about_now(asked.view)) if asked.near is None else asked.near
    return importance.combined(factors(told, near))
