"""Writes a conversation with messages left out: the gap gets a marker where it is valid for the API, all else stays.

Where a marker goes, so that roles go on alternating and results stay right behind their call: behind the last text of
what stands before the gap when a user or a tool spoke there and the assistant speaks behind it; before the first text
of the user's message behind the gap; else into a message of its own, spoken by whose turn it would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headroom.dialects import wire
from headroom.dialects.outline import Message


class Gap(NamedTuple):
    """Messages start..end (end excluded) are left out; `marker` is said in their place."""

    start: int
    end: int
    marker: str


@dataclass
class _Page:
    """What is written into each message that stays: before its first text, behind its last, in place of a tool's text."""

    before: dict[int, list[str]] = field(default_factory=dict)
    behind: dict[int, list[str]] = field(default_factory=dict)
    edits: list[wire.Edit] = field(default_factory=list)


def rewrite(
    text: str,
    messages: Sequence[Message],
    gaps: Sequence[Gap],
    replaced: Mapping[tuple[int, int], str],
    appended: Mapping[int, str],
) -> str:
    """The body `text` with its messages rewritten.

    `replaced` are new texts for (message, slot), `appended` texts that go behind a message's last one, before a
    marker. Both are passed over in messages that are left out. Gaps are in order and do not touch; the last message stays.
    """
    gone = {number for gap in gaps for number in range(gap.start, gap.end)}
    page = _Page()
    for number, block in appended.items():
        if number not in gone:
            page.behind.setdefault(number, []).append(block)
    for gap in gaps:
        _close(messages, gap, page)
    for number in sorted({*page.before, *page.behind, *(message for message, _ in replaced)} - gone):
        new = {slot: value for (message, slot), value in replaced.items() if message == number}
        page.edits += _edits(messages[number], new, page.before.get(number, ()), page.behind.get(number, ()))
    return wire.splice(text, page.edits)


def _close(messages: Sequence[Message], gap: Gap, page: _Page) -> None:
    previous = messages[gap.start - 1] if gap.start else None
    following = messages[gap.end]
    own = ""
    before = previous.side if previous else ""
    if before == "user" and following.side == "assistant" and previous and can_append(previous):
        page.behind.setdefault(gap.start - 1, []).append(gap.marker)
    elif before == "user" and following.side == "user":
        own = "assistant"
    elif following.side == "user" and can_prepend(following):
        page.before.setdefault(gap.end, []).append(gap.marker)
    else:
        own = "user"
    said = f'{{"role":"{own}","content":{wire.quote(gap.marker)}}},' if own else ""
    page.edits.append(wire.Edit(messages[gap.start].start, following.start, said))


def can_append(message: Message) -> bool:
    """Whether a text can go behind the message's last one."""
    return message.tail is not None


def can_prepend(message: Message) -> bool:
    """Whether a text can go before the message's first one; results must stay right behind their call."""
    return message.tail is not None and not message.answers


def _edits(message: Message, new: Mapping[int, str], before: Sequence[str], behind: Sequence[str]) -> Iterator[wire.Edit]:
    tail = message.tail
    if isinstance(message.content, wire.Str) and message.answers:  # a tool's message, which other tools' readers take as one string
        yield wire.Edit(message.content.start, message.content.end, wire.quote("\n\n".join([new.get(0, str(message.content)), *behind])))
        return
    for slot, value in new.items():
        literal = message.slots[slot]
        yield wire.Edit(literal.start, literal.end, wire.quote(value))
    if tail is None or not (before or behind):
        return
    kind = message.block
    first, last = "".join(f"{_block(text, kind)}," for text in before), "".join(f",{_block(text, kind)}" for text in behind)
    if isinstance(tail, wire.Arr):
        yield wire.Edit(tail[0].start, tail[0].start, first)
        yield wire.Edit(tail[-1].end, tail[-1].end, last)
    elif tail.strip():
        yield wire.Edit(tail.start, tail.start, f'[{first}{{"type":"{kind}","text":')
        yield wire.Edit(tail.end, tail.end, f"}}{last}]")
    else:  # an API takes no empty block of text
        yield wire.Edit(tail.start, tail.end, f"[{','.join(_block(text, kind) for text in (*before, *behind))}]")


def _block(text: str, kind: str) -> str:
    return f'{{"type":"{kind}","text":{wire.quote(text)}}}'
