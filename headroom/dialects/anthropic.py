"""Anthropic Messages: tool results stand in user messages as `tool_result` blocks.

Never touched: system, tools, tool inputs, thinking, images, documents, search results, whatever runs
at the provider, failed tool results and those that a program reads, the user's and the
assistant's own words. Data pasted into a user's message is a segment like a tool result.

A message of results alone stays one, what is recalled stands inside the last result: any other
block beside them ends the turn of the model, whose thinking before it the provider then drops.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from headroom.dialects import wire
from headroom.dialects.base import Dialect, Walk, end_of_content, text_parts, token_count, word
from headroom.model import Call, Segment, Turn
from headroom.outcome import Usage

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class AnthropicMessages(Dialect):
    name: ClassVar[str] = "anthropic"
    provider: ClassVar[str] = "anthropic"

    def heard(self, call: Call, row: Any, following: Any, walk: Walk) -> Iterator[Segment | Turn]:
        match row.get("role"):
            case "assistant":
                _said(call, row.get("content"), walk)
            case "user":
                yield from _heard(row.get("content"), walk)

    def row_texts(self, call: Call, row: Any) -> Iterator[str]:
        content = row.get("content")
        for block in _blocks(content):
            yield from _block_texts(call, block)
        if isinstance(content, wire.Str):
            yield content

    def error(self, status: int, kind: str, message: str) -> dict[str, Any]:
        kind = _KINDS.get(status, "invalid_request_error" if status < 500 else kind)
        return {"type": "error", "error": {"type": kind, "message": message}}

    def usage(self, data: Any) -> Usage:
        if not isinstance(data, dict):
            return Usage()
        holder = data.get("message") if data.get("type") == "message_start" else data
        usage = holder.get("usage") if isinstance(holder, dict) else None
        return Usage(
            token_count(usage, "input_tokens"),
            token_count(usage, "output_tokens"),
            token_count(usage, "cache_read_input_tokens"),
            token_count(usage, "cache_creation_input_tokens"),
            token_count(usage.get("cache_creation") if isinstance(usage, dict) else None, "ephemeral_1h_input_tokens"),
        )


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _said(call: Call, content: Any, walk: Walk) -> None:
    walk.say("\n".join(text_parts(content)))
    for block in _blocks(content):
        if block.get("type") == "tool_use" and isinstance(block.get("input"), wire.Obj):
            call_id, source = word(block.get("id")), block["input"]
            walk.calls[call_id] = word(block.get("name")), call.text[source.start : source.end]
            walk.called_by(block.get("caller"), call_id)


def _heard(content: Any, walk: Walk) -> Iterator[Segment | Turn]:
    yield from walk.hear(list(text_parts(content)))
    results = [block for block in _blocks(content) if block.get("type") == "tool_result"]
    for block in results:
        failed = block.get("is_error") is True
        walk.answered(word(block.get("tool_use_id")))
        for text in text_parts(block.get("content")):
            yield walk.result(text, word(block.get("tool_use_id")), failed)
    if not results or len(results) < len(content):
        yield from end_of_content(content, walk)
    elif not any(word(block.get("tool_use_id")) in walk.programs for block in results):
        ends = (end for block in reversed(results) if _is_plain(end := block.get("content")))
        yield from end_of_content(next(ends, None), walk)


def _is_plain(content: Any) -> bool:
    """Whether a text may stand behind the content of a result; other blocks may have to stand alone."""
    return isinstance(content, wire.Str) or (
        bool(_blocks(content)) and all(word(b.get("type")) in ("text", "image") for b in _blocks(content))
    )


def _block_texts(call: Call, block: dict[str, Any]) -> Iterator[str]:
    match block.get("type"):
        case "text" | "thinking" as key:
            if isinstance(block.get(key), wire.Str):
                yield block[key]
        case "tool_use":
            if isinstance(block.get("input"), wire.Obj):
                yield call.text[block["input"].start : block["input"].end]
        case "tool_result":
            yield from text_parts(block.get("content"))
