"""The tools of an agent, made up from the calls that it made: transcripts do not have their definitions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Called = tuple[str, Any]  # the name, and the arguments as an object or as their JSON


def called(messages: Iterable[Mapping[str, Any]]) -> Iterator[Called]:
    """The tool calls in messages of Anthropic or Chat Completions, or in items of Responses."""
    for message in messages:
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") == "tool_use":
                yield str(block.get("name")), block.get("input")
        for call in message.get("tool_calls") or ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                yield str(function.get("name")), function.get("arguments")
        if message.get("type") == "function_call":
            yield str(message.get("name")), message.get("arguments")


def arguments(call: Called) -> Any:
    """The arguments as JSON has them, or as they are where they are no JSON."""
    if not isinstance(call[1], str):
        return call[1]
    try:
        return json.loads(call[1])
    except (ValueError, RecursionError):
        return call[1]


def definitions(calls: Iterable[Called], path: str) -> list[dict[str, Any]]:
    """A definition for each tool that was called, as the API at `path` wants them."""
    seen: dict[str, set[str]] = {}
    for call in calls:
        found = arguments(call)
        seen.setdefault(call[0], set()).update(found if isinstance(found, dict) else ())
    return [_definition(name, sorted(keys), path) for name, keys in sorted(seen.items())]


def _definition(name: str, keys: Iterable[str], path: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {key: {"description": f"{key} of {name}"} for key in keys}}
    told = {"name": name, "description": f"The {name} tool."}
    if path == "/v1/messages":
        return {**told, "input_schema": schema}
    if path == "/v1/responses":
        return {"type": "function", **told, "parameters": schema}
    return {"type": "function", "function": {**told, "parameters": schema}}
