"""A conversation as it would be forwarded, measured in tokens: whole, and with a cut applied. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from headroom.ccr.recall import HEAD
from headroom.context.cut import Cut
from headroom.dialects import documents, wire
from headroom.dialects.gaps import Gap, rewrite
from headroom.dialects.outline import Message, outline, rows
from headroom.model import Call

Count = Callable[[str], int]  # tokens of a text; cheap for a text it has seen
_MESSAGE_TOKENS = 4  # what a message costs beside its texts
_CALL_TOKENS = 32  # what a tool call costs beside its arguments: its name, and its id twice
_BLOCK_TOKENS = 4  # what an added block costs beside its text
Blocks = Mapping[int, str]  # message -> excerpts appended to it


@dataclass(frozen=True, slots=True)
class View:
    """`messages` as they would be forwarded without a cut, with the `tokens` of each and the message it `came` from.

    More than one comes from the same where an earlier answer read something back: what the client never saw is put
    back. `sources` are numbers of `came`, ascending. `beside` are the tokens of everything but messages. `partial` says that
    the provider knows more messages than these.
    """

    call: Call
    messages: tuple[Message, ...]
    tokens: tuple[int, ...]
    beside: int
    came_text: str
    came: tuple[Message, ...]
    sources: tuple[int, ...]
    partial: bool = False

    @property
    def total(self) -> int:
        return self.beside + sum(self.tokens)

    def bare(self) -> View:
        """The same without what only writing it needs, so that little is sent to another process."""
        call = Call(self.call.dialect, b"")
        messages, came = (tuple(replace(m, content=None, tail=None) for m in some) for some in (self.messages, self.came))
        return replace(self, call=call, messages=messages, came=came)

    def slot(self, message: int, slot: int) -> str:
        """A tool's text as it came."""
        return str(self.came[self.sources[message]].slots[slot])

    def slots(self, message: int) -> Sequence[str]:
        """A message's texts of tools, as they would be forwarded, if each is what became of one that came.

        What was recalled stands behind them as one more.
        """
        source = self.sources[message]
        if self.sources.count(source) > 1:
            return ()
        now, came = self.messages[message].slots, self.came[source].slots
        more = now[len(came) :]
        return now[: len(came)] if not more or (len(more) == 1 and more[0].startswith(HEAD)) else ()


def view(forwarded: Call, came: Call, added: Sequence[wire.Edit], count: Count, counted_as: str = "") -> View | None:
    """None for a wire format without an outline, or when it cannot be told which message came from which.

    `added` are the edits of `came` that may have made more than one message of one. Counts of a vocabulary (`counted_as`) are kept for
    the next turn of the conversation.
    """
    then = outline(came)
    now = then if forwarded is came else outline(forwarded)
    if now is None or then is None:
        return None
    sources = tuple(number for number, message in enumerate(then.messages) for _ in range(_became(came.text, message, added)))
    if len(sources) != len(now.messages):
        return None
    tokens = _counted(forwarded, now.messages, count, counted_as)
    return View(forwarded, now.messages, tokens, sum(map(count, now.beside)), came.text, then.messages, sources, then.partial)


def _counted(call: Call, messages: Sequence[Message], count: Count, counted_as: str) -> tuple[int, ...]:
    """Tokens of each message."""
    if not counted_as:
        return tuple(_tokens(message, count) for message in messages)
    place = ("tokens", counted_as)
    noted, shared = documents.lent(call.document, rows(call), place)
    known = noted[:shared] if noted else ()
    found = (*known, *(_tokens(message, count) for message in messages[len(known) :]))
    documents.note(call.document, rows(call), place, found)
    return found


def _became(text: str, message: Message, added: Sequence[wire.Edit]) -> int:
    """How many messages stand for one."""
    start, end = message.start, message.end
    edits = [wire.Edit(edit.start - start, edit.end - start, edit.text) for edit in added if start <= edit.start and edit.end <= end]
    return len(wire.parse(f"[{wire.splice(text[start:end], edits)}]").root) if edits else 1


def _tokens(message: Message, count: Count) -> int:
    return _MESSAGE_TOKENS + message.other_tokens + _CALL_TOKENS * len(message.calls) + sum(map(count, message.texts))


def sizes(seen: View, cut: Cut, blocks: Blocks, count: Count) -> list[int]:
    """Tokens of each message under a cut, with what is appended to it; 0 for those left out."""
    found = list(seen.tokens)
    for item in cut.smaller:
        found[item.message] += count(item.text) - count(seen.messages[item.message].slots[item.slot])
    for number, block in blocks.items():
        found[number] += count(block) + _BLOCK_TOKENS
    for number in cut.gone:
        found[number] = 0
    return found


def size(seen: View, cut: Cut, blocks: Blocks, count: Count) -> int:
    """Tokens of the whole request under a cut, markers included."""
    markers = sum(count(run.marker) + _BLOCK_TOKENS + _MESSAGE_TOKENS for run in cut.runs)
    return seen.beside + markers + sum(sizes(seen, cut, blocks, count))


def fits_view(seen: View, cut: Cut) -> bool:
    """Whether a remembered cut speaks of messages and texts that are there."""
    last = len(seen.messages)
    slots = all(item.message < last and item.slot < len(seen.slots(item.message)) for item in cut.smaller)
    return slots and all(run.start < run.end < last for run in cut.runs)


def apply(seen: View, cut: Cut, blocks: Blocks) -> bytes:
    """The body to forward under a cut."""
    gaps: Sequence[Gap] = [Gap(run.start, run.end, run.marker) for run in cut.runs]
    smaller = {(item.message, item.slot): item.text for item in cut.smaller}
    return rewrite(seen.call.text, seen.messages, gaps, smaller, blocks).encode()
