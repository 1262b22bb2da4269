"""OpenAI Responses: a conversation is a string or a list of items; tool results are `..._output` items.

Never touched: instructions, tools, system and developer messages, arguments of calls, reasoning,
references, compactions, images, files, whatever runs at the provider (web and file search, code
interpreter, MCP, computer use), failed patches, results that a program reads, the user's and the
assistant's own words. Data pasted into a user's message is a segment like a tool result. With
`previous_response_id` the conversation is what stands in the body: its tail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from headroom.dialects import documents, wire
from headroom.dialects.base import Dialect, Parse, Walk, end_of_content, openai_error, read_body, text_parts, token_count, word
from headroom.errors import InvalidRequest
from headroom.model import Call, Segment, Turn
from headroom.outcome import Usage

TEXTS = ("input_text", "output_text")
# what a tool's call is called where it has no name, and where its arguments stand:
_CALLS = {
    "function_call": ("", "arguments"),
    "custom_tool_call": ("", "input"),
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
}
_OUTPUTS = {
    "function_call_output": "call_id",
    "custom_tool_call_output": "call_id",
    "local_shell_call_output": "id",
    "shell_call_output": "call_id",
    "apply_patch_call_output": "call_id",
}


class OpenAIResponses(Dialect):
    name: ClassVar[str] = "openai_responses"
    provider: ClassVar[str] = "openai"
    rows_key: ClassVar[str] = "input"

    def read(self, raw: bytes, parse: Parse = documents.parse) -> Call:
        return with_input(read_body(self.name, raw, parse))

    def heard(self, call: Call, row: Any, following: Any, walk: Walk) -> Iterator[Segment | Turn]:
        if isinstance(row, wire.Str):
            yield from walk.hear([row])
            yield walk.end_turn((row.start, row.end), "append")
            return
        what = kind(row)
        if what == "message":
            yield from _message(row, walk)
        elif what in _CALLS:
            walk.calls[word(row.get("call_id"))] = tool(row), arguments(call, row)
            walk.called_by(row.get("caller"), word(row.get("call_id")))
        elif what in _OUTPUTS:
            yield from _output(row, walk, last=kind(following) not in _OUTPUTS)

    def row_texts(self, call: Call, row: Any) -> Iterator[str]:
        if isinstance(row, wire.Str):
            yield row
            return
        yield from text_parts(row.get("content"), TEXTS)
        if asked := arguments(call, row):
            yield asked
        yield from results(row)

    def error(self, status: int, kind: str, message: str) -> dict[str, Any]:
        return openai_error(status, message)

    def usage(self, data: Any) -> Usage:
        holder = data.get("response", data) if isinstance(data, dict) else None
        usage = holder.get("usage") if isinstance(holder, dict) else None
        details = usage.get("input_tokens_details") if isinstance(usage, dict) else None
        return Usage(
            token_count(usage, "input_tokens"),
            token_count(usage, "output_tokens"),
            token_count(details, "cached_tokens"),
        )


def with_input(call: Call) -> Call:
    """Raises InvalidRequest for an input that is neither a string nor a list of items; there may be none, beside a prompt."""
    given = call.body.get("input")
    if not isinstance(given, wire.Str | list | None):
        raise InvalidRequest("input: must be a string or a list of items.")
    if not all(isinstance(item, dict) for item in _items(call)):
        raise InvalidRequest("input: every item must be an object.")
    return call


def _items(call: Call) -> list[dict[str, Any]]:
    given = call.body.get("input")
    return given if isinstance(given, list) else []


def kind(item: dict[str, Any]) -> str:
    """The type of an item; a message need not name its own."""
    return word(item.get("type")) or ("message" if "role" in item else "")


def tool(item: dict[str, Any]) -> str:
    """The name of the tool that an item calls."""
    return word(item.get("name")) or _CALLS.get(kind(item), (kind(item).removesuffix("_call"), ""))[0]


def arguments(call: Call, item: dict[str, Any]) -> str:
    """The arguments of a tool's call as they stand there, empty for other items."""
    given = item.get(_CALLS[kind(item)][1]) if kind(item) in _CALLS else None
    if isinstance(given, wire.Obj):
        return call.text[given.start : given.end]
    return given if isinstance(given, wire.Str) else ""


def results(item: dict[str, Any]) -> Iterator[wire.Str]:
    """The texts of a tool's result."""
    if kind(item) not in _OUTPUTS:
        return
    output = item.get("output")
    yield from text_parts(output, TEXTS)
    if kind(item) == "shell_call_output":
        for part in output if isinstance(output, list) else ():
            streams = (part.get("stdout"), part.get("stderr")) if isinstance(part, dict) else ()
            yield from (stream for stream in streams if isinstance(stream, wire.Str))


def _message(item: dict[str, Any], walk: Walk) -> Iterator[Segment | Turn]:
    content = item.get("content")
    if item.get("role") == "assistant":
        walk.say("\n".join(text_parts(content, TEXTS)))
    elif item.get("role") == "user":
        yield from walk.hear(list(text_parts(content, TEXTS)))
        yield from end_of_content(content, walk, "input_text")


def _output(item: dict[str, Any], walk: Walk, *, last: bool) -> Iterator[Segment | Turn]:
    """A result; behind the last of several ends a turn, but the output of a shell has a limit of its own and is not added to."""
    what, texts = kind(item), list(results(item))
    call_id = word(item.get(_OUTPUTS[what]))
    walk.calls.setdefault(call_id, (word(item.get("name")), ""))  # the call itself may stand in an earlier request
    walk.called_by(item.get("caller"), call_id)
    failed = what == "apply_patch_call_output" and item.get("status") == "failed"
    walk.answered(call_id)
    for text in texts:
        yield walk.result(text, call_id, failed)
    if last:
        if texts and what != "shell_call_output" and call_id not in walk.programs:
            yield walk.end_turn((texts[-1].start, texts[-1].end), "append")
        walk.say("")
