"""A provider with a script: it answers the n-th turn of an agent with the n-th step, in whichever of the three wire formats was asked.

What turn it is follows from the request alone (how many tool results it holds), so that retries and side requests do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.provider import Received

SIGNATURE = "c2lnbmVkIGJ5IHRoZSBzdGFuZC1pbg=="
_SSE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Step:
    """What the model says, and the tool it calls; without a tool the turn is over."""

    say: str
    tool: str = ""
    input: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dialog:
    """`Script(compose=dialog)` for `tests.provider`. A request without the tools of the script is a side request: it gets "ok"."""

    steps: Sequence[Step]

    def __call__(self, received: Received) -> tuple[str, list[bytes]]:
        path = received.target.partition("?")[0]
        request = received.json if received.body else {}
        done = _TURNS[path](request) if path in _TURNS else 0
        known = any(step.tool and step.tool in json.dumps(request.get("tools", [])) for step in self.steps)
        step = self.steps[min(done, len(self.steps) - 1)] if known or not any(step.tool for step in self.steps) else Step("ok")
        if path not in _TURNS:
            return "application/json", [b'{"input_tokens": 9}' if path.endswith("count_tokens") else b"{}"]
        events = [_event(event, path) for event in _EVENTS[path](step, done, request)]
        if path == "/v1/chat/completions":
            events.append(b"data: [DONE]\n\n")
        return _SSE, events


def _event(event: dict[str, Any], path: str) -> bytes:
    name = "" if path == "/v1/chat/completions" else f"event: {event['type']}\n"
    return f"{name}data: {json.dumps(event)}\n\n".encode()


def _results(request: dict[str, Any]) -> int:
    """Tool results in Anthropic messages."""
    contents = [message.get("content") for message in request.get("messages", [])]
    return sum(block.get("type") == "tool_result" for content in contents if isinstance(content, list) for block in content)


def _outputs(request: dict[str, Any]) -> int:
    items = request.get("input", [])
    return sum(item.get("type") == "function_call_output" for item in items if isinstance(item, dict))


def _answers(request: dict[str, Any]) -> int:
    """What the assistant has said since the examples that a prompt may hold: every answer of the script is one."""
    return sum(message.get("role") == "assistant" and "script:" in str(message.get("content")) for message in request.get("messages", []))


def _messages_events(step: Step, number: int, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """With a signed thinking block before everything, which a client must send back as it is."""
    usage = {"input_tokens": 11, "output_tokens": 1, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": request.get("model", ""), "content": []}
    yield {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if request.get("thinking"):
        thought = [{"type": "thinking_delta", "thinking": f"step {number}"}, {"type": "signature_delta", "signature": SIGNATURE}]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, thought))
    blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in step.say.split("|")]))
    if step.tool:
        words = json.dumps(step.input)
        parts = [{"type": "input_json_delta", "partial_json": part} for part in ("", words[:7], words[7:])]
        blocks.append(({"type": "tool_use", "id": f"toolu_{number}", "name": step.tool, "input": {}}, parts))
    for index, (start, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": "tool_use" if step.tool else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}}
    yield {"type": "message_stop"}


def _responses_events(step: Step, number: int, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """With an encrypted reasoning item before everything, which a client must send back as it is."""
    head = {"id": f"resp_{number}", "object": "response", "created_at": 1_700_000_000, "model": request.get("model", ""), "output": []}
    said = {"type": "output_text", "text": step.say, "annotations": []}
    items: list[dict[str, Any]] = [
        {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": SIGNATURE},
        {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [said]},
    ]
    if step.tool:
        call = {"name": step.tool, "arguments": json.dumps(step.input), "status": "completed"}
        items.append({"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", **call})
    usage = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 18,
    }
    yield {"type": "response.created", "response": {**head, "status": "in_progress"}}
    for index, item in enumerate(items):
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}
        if item["type"] == "message":
            for part in step.say.split("|"):
                yield {
                    "type": "response.output_text.delta",
                    "item_id": item["id"],
                    "output_index": index,
                    "content_index": 0,
                    "delta": part,
                }
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": {**head, "status": "completed", "output": items, "usage": usage}}


def _chat_events(step: Step, number: int, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": request.get("model", "")}
    for part in step.say.split("|"):
        yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": part}, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**head, "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}


_TURNS = {
    "/v1/messages": lambda request: _results(request) + _answers(request),
    "/v1/responses": _outputs,
    "/v1/chat/completions": _answers,
}
_EVENTS = {"/v1/messages": _messages_events, "/v1/responses": _responses_events, "/v1/chat/completions": _chat_events}
