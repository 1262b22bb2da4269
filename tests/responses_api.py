"""The answers of the stand-in provider on /v1/responses: whole, and as the events that the real API streams.

A reasoning item with encrypted content comes first, then a message or a call of the wanted tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ARGUMENTS = {"query": "needle"}
_REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA_stand-in"}
_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 5},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}


def wanted_tool(request: dict[str, Any]) -> dict[str, Any]:
    """The function or custom tool whose name the last item says; empty when a tool's result was sent."""
    given = request.get("input")
    last = given[-1] if isinstance(given, list) and given else given
    if isinstance(last, dict) and str(last.get("type", "message")) != "message":
        return {}
    tools = request.get("tools")
    named = (tool for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()
    return next((tool for tool in named if tool.get("name") and tool["name"] in json.dumps(last)), {})


def words(request: dict[str, Any]) -> list[str]:
    given = request.get("input")
    return f"The stand-in read {len(given) if isinstance(given, list) else 1} items.".split(" ")


def _item(request: dict[str, Any], status: str) -> dict[str, Any]:
    tool = wanted_tool(request)
    if tool.get("type") == "custom":
        return {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": tool["name"], "input": "", "status": status}
    if tool:
        return {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": tool["name"], "arguments": "", "status": status}
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": []}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _done(request: dict[str, Any]) -> dict[str, Any]:
    item = _item(request, "completed")
    match item["type"]:
        case "message":
            return {**item, "content": [_part(" ".join(words(request)))]}
        case "custom_tool_call":
            return {**item, "input": "needle"}
    return {**item, "arguments": json.dumps(ARGUMENTS)}


def whole(request: dict[str, Any]) -> dict[str, Any]:
    """The response object of an answer that is not streamed."""
    return {**_head(request), "status": "completed", "output": [_REASONING, _done(request)], "usage": _USAGE}


def _head(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("tools")
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "model": request.get("model", ""),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "tool_choice": "auto",
        "tools": given if isinstance(given, list) else [],
        "usage": None,
    }


def events(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer."""
    for number, event in enumerate(_events(request)):
        yield {"type": event.pop("type"), "sequence_number": number, **event}


def _events(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": _head(request)}
    yield {"type": "response.in_progress", "response": _head(request)}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**_REASONING, "encrypted_content": ""}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": _REASONING}
    item, done = _item(request, "in_progress"), _done(request)
    yield {"type": "response.output_item.added", "output_index": 1, "item": item}
    place = {"item_id": item["id"], "output_index": 1}
    match item["type"]:
        case "message":
            yield from _message(request, place)
        case "custom_tool_call":
            for piece in ("nee", "dle"):
                yield {"type": "response.custom_tool_call_input.delta", **place, "delta": piece}
            yield {"type": "response.custom_tool_call_input.done", **place, "input": done["input"]}
        case _:
            for piece in (done["arguments"][:5], done["arguments"][5:]):
                yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **place, "name": item["name"], "arguments": done["arguments"]}
    yield {"type": "response.output_item.done", "output_index": 1, "item": done}
    yield {"type": "response.completed", "response": whole(request)}


def _message(request: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = {**place, "content_index": 0}
    text = " ".join(words(request))
    yield {"type": "response.content_part.added", **place, "part": _part("")}
    for word in words(request):
        yield {"type": "response.output_text.delta", **place, "delta": word if word == "The" else f" {word}", "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _part(text)}
