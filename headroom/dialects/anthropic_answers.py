"""Answers of Anthropic Messages: `message_start`, blocks and their deltas, `message_delta`, `message_stop`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headroom.dialects.answers import AnswerForm, Event, frame, objects, part, parts
from headroom.model import Call

_WORDS = ("text", "thinking", "redacted_thinking")
# type of a delta -> (where it stands in the delta, where it belongs in the block)
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_ENDS = ("end_turn", "stop_sequence")


class AnthropicAnswers(AnswerForm):
    def tells_usage(self, call: Call) -> bool:
        return True

    def usage_told(self, whole: Event) -> bool:
        return bool(part(whole, "usage"))

    def whole(self, events: Sequence[bytes]) -> Event | None:
        told = objects(events)
        if not told or told[0].get("type") != "message_start" or told[-1].get("type") != "message_stop":
            return None
        message = dict(part(told[0], "message"))
        blocks: dict[Any, Event] = {}
        for event in told[1:-1]:
            if not _add(message, blocks, event):
                return None
        message["content"] = [blocks[index] for index in sorted(blocks)]
        return message

    def is_final(self, whole: Event) -> bool:
        blocks = parts(whole, "content")
        return (
            whole.get("type") == "message"
            and whole.get("stop_reason") in _ENDS
            and all(block.get("type") in _WORDS for block in blocks)
            and any(block.get("text") for block in blocks)
        )

    def events(self, whole: Event, usage: bool) -> Iterator[bytes]:
        billed = part(whole, "usage")
        start = {**whole, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**billed, "output_tokens": 1}}
        yield _frame({"type": "message_start", "message": start})
        for index, block in enumerate(parts(whole, "content")):
            yield from _block(index, block)
        delta = {"stop_reason": whole.get("stop_reason"), "stop_sequence": whole.get("stop_sequence")}
        yield _frame({"type": "message_delta", "delta": delta, "usage": billed})
        yield _frame({"type": "message_stop"})


def _add(message: Event, blocks: dict[Any, Event], event: Event) -> bool:
    """Put what an event says where it belongs; False for one that is not understood."""
    kind, index = event.get("type"), event.get("index")
    if kind in ("ping", "content_block_stop"):
        return True
    if kind == "message_delta":
        message.update({name: value for name, value in event.items() if name not in ("type", "delta", "usage")} | part(event, "delta"))
        message["usage"] = part(message, "usage") | {name: value for name, value in part(event, "usage").items() if value is not None}
        return True
    if not isinstance(index, int):
        return False
    if kind == "content_block_start":
        blocks[index] = dict(part(event, "content_block"))
        return blocks[index].get("type") in _WORDS
    delta, block = part(event, "delta"), blocks.get(index)
    if kind != "content_block_delta" or block is None:
        return False
    if delta.get("type") == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        return True
    name = _DELTAS.get(str(delta.get("type")), "")
    if not name or not isinstance(delta.get(name), str):
        return False
    block[name] = (block.get(name) or "") + delta[name]
    return True


def _block(index: int, block: Event) -> Iterator[bytes]:
    """A block as a stream tells it: empty, filled by deltas, ended."""
    empty = {name: "" if name in _DELTAS.values() else value for name, value in block.items()}
    if citations := block.get("citations"):
        empty["citations"] = []
    yield _frame({"type": "content_block_start", "index": index, "content_block": empty})
    for kind, name in _DELTAS.items():
        if block.get(name):
            yield _frame({"type": "content_block_delta", "index": index, "delta": {"type": kind, name: block[name]}})
    for citation in citations or ():
        yield _frame({"type": "content_block_delta", "index": index, "delta": {"type": "citations_delta", "citation": citation}})
    yield _frame({"type": "content_block_stop", "index": index})


def _frame(event: Event) -> bytes:
    return frame(event, str(event["type"]))
