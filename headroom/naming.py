"""What a reference calls a text that stands earlier in the conversation, so that no other text can be meant.

The same call is often made again and prints something else: then the reference counts the results of that call back from
where it stands itself, which holds whatever comes later and whatever has left the beginning. Sans-I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from headroom.model import Segment

PASTED = "the data above"  # by users
_NAME_CHARS = 60
_WHOLE_CHARS = 300  # of arguments that are named whole because, shortened, they are those of another call
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


class Names:
    """The names of the segments of one conversation."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._places: dict[str, list[int]] = {}
        for number, segment in enumerate(segments):
            self._places.setdefault(short(segment), []).append(number)

    def of(self, source: int, target: int) -> str:
        """What the segment numbered `target` calls an earlier one; empty where no words would tell it from others."""
        one, here = self._segments[source], self._segments[target]
        places = self._places[short(one)]
        before = [self._segments[number] for number in places[: bisect_left(places, target)]]
        if not one.tool:
            return PASTED if all(segment.text == one.text for segment in before) else ""
        mine = [segment for segment in before if segment.arguments == one.arguments]
        same_call = (here.tool, here.arguments) == (one.tool, one.arguments)
        inside = same_call and here.nth == one.nth
        blocks = [segment for segment in mine if segment.nth == one.nth]
        block = f"text {_place(blocks, one)} of " if inside or len(blocks) > 1 else ""
        if inside:
            return f"{block}this result"
        name = short(one)
        if len(mine) < len(before):
            if len(one.arguments) > _WHOLE_CHARS:
                return ""
            name = f"{one.tool}({one.arguments})"
        others = [segment for segment in mine if segment.nth != one.nth and not (same_call and segment.nth == here.nth)]
        if all(segment.text == one.text for segment in others):
            return f"{block}{name} above"
        last = here.nth - 1 if same_call else mine[-1].nth
        return block + _counted(name, last - one.nth + 1)


def short(segment: Segment) -> str:
    """The call that printed a text; what tells two calls apart stands rather at the end of their arguments."""
    arguments = segment.arguments
    if len(arguments) > _NAME_CHARS:
        arguments = f"{arguments[: _NAME_CHARS // 3]}...{arguments[-2 * _NAME_CHARS // 3 :]}"
    return f"{segment.tool}({arguments})" if segment.tool else PASTED


def _place(blocks: Sequence[Segment], one: Segment) -> int:
    return next(place for place, segment in enumerate(blocks, 1) if segment is one)


def _counted(name: str, back: int) -> str:
    if back == 1:
        return f"the latest result of {name} above"
    ending = "th" if back % 100 in (11, 12, 13) else _ORDINALS.get(back % 10, "th")
    return f"the {back}{ending} result of {name} above, counting back from here"
