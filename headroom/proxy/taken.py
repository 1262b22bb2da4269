"""Where in the prompt tokens were taken out, so that they can be priced as the provider billed that part of it."""

from __future__ import annotations

from collections.abc import Sequence

from headroom.dialects import wire
from headroom.model import Call, Compressed, Segment, Turn


def taken(
    call: Call,
    segments: Sequence[Segment],
    results: Sequence[Compressed],
    turns: Sequence[Turn],
    recalled: Sequence[Compressed],
    *,
    as_came: bool = False,
) -> tuple[tuple[float, int], ...]:
    """(share of the forwarded prompt that stands before, tokens saved) of every change; what was added is negative.

    With `as_came` the prompt is forwarded as it came, and the changes are those that it could have.
    A provider reads tools and system before the messages, wherever they stand in the body. Shares are of characters; a
    changed text counts by its middle, so that the texts at the edge of what is cached fall on their own side of it.
    """
    start, head = _messages(call)
    edits = [
        (segment.slot[0] + (segment.part[0] if segment.part else 0), len(segment.text), len(result.text), result.tokens_saved)
        for segment, result in zip(segments, results, strict=True)
        if result.text is not None
    ]
    edits += [
        (turn.slot[1], 0, len(block.text), block.tokens_saved)
        for turn, block in zip(turns, recalled, strict=True)
        if block.text is not None
    ]
    size = len(call.text) - (0 if as_came else sum(old - new for _, old, new, _ in edits))
    found, gone = [], 0
    for place, old, new, tokens in sorted(edits):
        found.append(((head + place - start - gone + (old if as_came else new) / 2) / max(1, size), tokens))
        gone += 0 if as_came else old - new
    return tuple((min(1.0, max(0.0, share)), tokens) for share, tokens in found if tokens)


def _messages(call: Call) -> tuple[int, int]:
    """Where the messages begin in the body, and how many characters stand outside them."""
    body = call.body if isinstance(call.body, dict) else {}
    messages = next((body[key] for key in ("messages", "input") if isinstance(body.get(key), wire.Arr)), None)
    if messages is None:
        return 0, 0
    return messages.start, len(call.text) - (messages.end - messages.start)
