"""OpenAI Chat Completions: tool results are messages with the role `tool`.

Never touched: system and developer messages, tools, tool-call arguments, images, audio, the user's
and the assistant's own words. Data pasted into a user's message is a segment like a tool result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from headroom.dialects import wire
from headroom.dialects.base import Dialect, Walk, end_of_content, openai_error, read_call, text_parts, token_count, word
from headroom.model import Call, Segment, Turn, Usage


class OpenAIChat(Dialect):
    name: ClassVar[str] = "openai"
    provider: ClassVar[str] = "openai"

    def read(self, raw: bytes) -> Call:
        return read_call(self.name, raw)

    def walk(self, call: Call) -> Iterator[Segment | Turn]:
        return _walk(call)

    def texts(self, call: Call) -> Iterator[str]:
        for message in call.body["messages"]:
            yield from text_parts(message.get("content"))
            for _, _, arguments in _calls(message):
                yield arguments

    def error(self, status: int, kind: str, message: str) -> dict[str, Any]:
        return openai_error(status, message)

    def usage(self, data: Any) -> Usage:
        usage = data.get("usage") if isinstance(data, dict) else None
        details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
        return Usage(
            token_count(usage, "prompt_tokens"),
            token_count(usage, "completion_tokens"),
            token_count(details, "cached_tokens"),
        )


def _calls(message: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(call id, tool name, arguments) of an assistant message; odd shapes are passed over."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), wire.Str):
            yield word(call.get("id")), word(function.get("name")), function["arguments"]


def _walk(call: Call) -> Iterator[Segment | Turn]:
    walk = Walk()
    messages = call.body["messages"]
    for message, following in zip(messages, [*messages[1:], {}], strict=True):
        content, role = message.get("content"), message.get("role")
        if role == "assistant":
            walk.say("\n".join(text_parts(content)))
            for call_id, tool, arguments in _calls(message):
                walk.calls[call_id] = tool, arguments
        elif role == "user":
            yield from walk.hear(list(text_parts(content)))
            yield from end_of_content(content, walk)
        elif role == "tool":
            texts = list(text_parts(content))
            for text in texts:
                yield walk.result(text, word(message.get("tool_call_id")))
            if texts and following.get("role") != "tool":
                yield walk.end_turn((texts[-1].start, texts[-1].end), "append")
