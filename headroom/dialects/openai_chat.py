"""OpenAI Chat Completions: tool results are messages with the role `tool`, in older clients `function`.

Never touched: system and developer messages, tools, tool-call arguments, images, audio, the user's
and the assistant's own words. Data pasted into a user's message is a segment like a tool result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from headroom.dialects import wire
from headroom.dialects.base import Dialect, Walk, end_of_content, openai_error, text_parts, token_count, word
from headroom.model import Call, Segment, Turn
from headroom.outcome import Usage

RESULTS = ("tool", "function")
_BY_NAME = "function "  # in front of the name that stands for the id of a call


class OpenAIChat(Dialect):
    name: ClassVar[str] = "openai"
    provider: ClassVar[str] = "openai"

    def heard(self, call: Call, row: Any, following: Any, walk: Walk) -> Iterator[Segment | Turn]:
        content, role = row.get("content"), row.get("role")
        if role == "assistant":
            walk.say("\n".join(text_parts(content)))
            for asked, tool, arguments in calls(row):
                walk.calls[asked] = tool, arguments
        elif role == "user":
            yield from walk.hear(list(text_parts(content)))
            yield from end_of_content(content, walk)
        elif role in RESULTS:
            texts = list(text_parts(content))
            walk.answered(call_id(row))
            for text in texts:
                yield walk.result(text, call_id(row))
            if texts and following.get("role") not in RESULTS:
                yield walk.end_turn((texts[-1].start, texts[-1].end), "append")

    def row_texts(self, call: Call, row: Any) -> Iterator[str]:
        yield from text_parts(row.get("content"))
        for _, _, arguments in calls(row):
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


def calls(message: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(call id, tool name, arguments) of an assistant message; odd shapes are passed over. A `function_call` has a name for an id."""
    made = message.get("tool_calls")
    for call in made if isinstance(made, list) else []:
        for key, value in (("function", "arguments"), ("custom", "input")):
            asked = call.get(key) if isinstance(call, dict) else None
            if isinstance(asked, dict) and isinstance(asked.get(value), wire.Str):
                yield word(call.get("id")), word(asked.get("name")), asked[value]
    asked = message.get("function_call")
    if isinstance(asked, dict) and isinstance(asked.get("arguments"), wire.Str):
        yield _BY_NAME + word(asked.get("name")), word(asked.get("name")), asked["arguments"]


def call_id(message: dict[str, Any]) -> str:
    """Of the call that a message with a result answers."""
    return word(message.get("tool_call_id")) if message.get("role") == "tool" else _BY_NAME + word(message.get("name"))
