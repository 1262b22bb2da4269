"""The seam between wire formats and everything else: one Dialect per API, chosen by route.

A dialect reads a body once, names the segments that may become smaller, puts the smaller texts in
their place, writes errors in the words of its API, and reads usage from its answers. It never
changes what it does not understand: unknown fields, blocks and events are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from headroom.ccr.marker import TOOL_NAME
from headroom.dialects import wire
from headroom.errors import InvalidRequest
from headroom.model import Call, Compressed, Segment, Usage
from headroom.sections import Section, sections

_QUESTION_CHARS = 4000  # of a user's words, half from the beginning and half from the end


class Dialect(Protocol):
    """`name` is what headers and statistics show; `provider` is whose price list applies."""

    name: ClassVar[str]
    provider: ClassVar[str]

    def read(self, raw: bytes) -> Call:
        """Raises InvalidRequest where the provider would refuse the body too."""

    def segments(self, call: Call) -> tuple[Segment, ...]:
        """The texts that may become smaller, in order; each knows only what stands before and at it."""

    def texts(self, call: Call) -> Iterator[str]:
        """Every text a model reads in the messages, segments included; what token counts are about."""

    def error(self, status: int, kind: str, message: str) -> dict[str, Any]:
        """The body of an error as this API's clients expect it."""

    def usage(self, data: Any) -> Usage:
        """What one answer, or one event of a streamed answer, says was billed."""


def read_call(dialect: str, raw: bytes) -> Call:
    """A body that must be a JSON object with messages."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as failure:
        raise InvalidRequest(f"The request body is not UTF-8: {failure.reason} at byte {failure.start}.") from None
    try:
        document = wire.parse(text)
    except json.JSONDecodeError as failure:
        raise InvalidRequest(
            f"The request body is not valid JSON: {failure.msg} at line {failure.lineno}, column {failure.colno}."
        ) from None
    body = document.root
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages: a list with at least one message is required.")
    if not all(isinstance(message, dict) for message in messages):
        raise InvalidRequest("messages: every message must be an object.")
    model = body.get("model")
    return Call(
        dialect=dialect,
        raw=raw,
        text=text,
        body=body,
        model=str(model) if isinstance(model, wire.Str) else "",
        stream=body.get("stream") is True,
        reason="duplicate_keys" if document.duplicate_keys else "",
    )


def splice(call: Call, segments: Sequence[Segment], results: Sequence[Compressed]) -> bytes:
    """The body with the compressed texts in place; `call.raw` itself when nothing changed."""
    by_slot: dict[tuple[int, int], list[tuple[Segment, str]]] = {}
    for segment, result in zip(segments, results, strict=True):
        if result.text is not None:
            by_slot.setdefault(segment.slot, []).append((segment, result.text))
    if not by_slot:
        return call.raw
    return wire.splice(call.text, (_edit(call.text, slot, parts) for slot, parts in by_slot.items())).encode()


def _edit(text: str, slot: tuple[int, int], parts: list[tuple[Segment, str]]) -> wire.Edit:
    (segment, replacement), *others = parts
    if segment.part is None and not others:
        return wire.Edit(*slot, wire.quote(replacement))
    decoded = wire.unquote(text, slot[0])
    inner = wire.splice(decoded, (wire.Edit(*(part.part or (0, len(decoded))), new) for part, new in parts))
    return wire.Edit(*slot, wire.quote(inner))


@dataclass
class Walk:
    """What is known at a point of the conversation, from what stands before and at it."""

    question: str = ""
    intent: str = ""
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)  # call id -> tool name, arguments

    def ask(self, words: str) -> None:
        if len(words) > _QUESTION_CHARS:
            words = words[: _QUESTION_CHARS // 2] + "\n" + words[-_QUESTION_CHARS // 2 :]
        self.question, self.intent = words, ""

    def hear(self, parts: Sequence[wire.Str]) -> Iterator[Segment]:
        """The data pasted into a user's message; the words around it become the question."""
        found = [(part, sections(part)) for part in parts]
        words = "\n".join(_outside(part, pasted) for part, pasted in found)
        if words.strip():
            self.ask(words)
        for part, pasted in found:
            for section in pasted:
                text = part[section.start : section.end]
                yield Segment(
                    text=text,
                    slot=(part.start, part.end),
                    part=(section.start, section.end),
                    question=self.question,
                    protected=protection(part, "", failed=False),
                )

    def say(self, words: str) -> None:
        self.intent = words[-_QUESTION_CHARS // 2 :]

    def result(self, text: wire.Str, call_id: str, failed: bool = False) -> Segment:
        """The segment of a tool result's text."""
        tool, arguments = self.calls.get(call_id, ("", ""))
        return Segment(
            text=str(text),
            slot=(text.start, text.end),
            tool=tool,
            arguments=arguments,
            question=self.question,
            intent=self.intent,
            protected=protection(text, tool, failed),
        )


def _outside(text: str, pasted: Sequence[Section]) -> str:
    """The words of a user's message, without the data in it."""
    starts = (0, *(section.end for section in pasted))
    ends = (*(section.start for section in pasted), len(text))
    return "\n".join(text[start:end] for start, end in zip(starts, ends, strict=True))


def protection(text: str, tool: str, failed: bool) -> str:
    """Why a text must stay as it is, or an empty string."""
    if failed:
        return "error_result"
    if tool.endswith(TOOL_NAME):
        return "retrieved"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "lone_surrogate"
    return ""


def text_parts(content: Any) -> Iterator[wire.Str]:
    """The strings of a message's content: itself, or its text blocks."""
    if isinstance(content, wire.Str):
        yield content
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), wire.Str):
                yield block["text"]


def token_count(data: Any, key: str) -> int | None:
    """A count in an answer parsed by the standard library, None where it is absent or odd."""
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
