"""Answers that a test dictates, part by part, in the words of each API; for the stand-in provider to give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.provider import Script


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Think:
    text: str
    signature: str = "c2lnbmVk"


@dataclass(frozen=True, slots=True)
class Use:
    """A call of a tool; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


Part = Say | Think | Use
INPUT, OUTPUT = 100, 10  # tokens that every answer says it was billed for


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


class Anthropic:
    name: ClassVar[str] = "anthropic"
    path: ClassVar[str] = "/v1/messages"

    def script(self, *parts: Part, id: str = "msg_1", stream: bool = True, stop: str = "", **how: Any) -> Script:
        stop = stop or ("tool_use" if any(isinstance(part, Use) for part in parts) else "end_turn")
        if not stream:
            return Script(body=json.dumps(self._whole(parts, id, stop)).encode(), **how)
        return Script(events=tuple(self._events(parts, id, stop)), **how)

    def _head(self, id: str) -> dict[str, Any]:
        usage = {"input_tokens": INPUT, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 1}
        head = {"id": id, "type": "message", "role": "assistant", "model": "m", "content": []}
        return head | {"stop_reason": None, "stop_sequence": None, "usage": usage}

    def _whole(self, parts: tuple[Part, ...], id: str, stop: str) -> dict[str, Any]:
        head = self._head(id)
        usage = head["usage"] | {"output_tokens": OUTPUT}
        return head | {"content": [self._block(part) for part in parts], "stop_reason": stop, "usage": usage}

    def _block(self, part: Part) -> dict[str, Any]:
        match part:
            case Say(text):
                return {"type": "text", "text": text}
            case Think(text, signature):
                return {"type": "thinking", "thinking": text, "signature": signature}
            case Use(id, name, arguments):
                try:
                    return {"type": "tool_use", "id": id, "name": name, "input": json.loads(arguments)}
                except ValueError:
                    return {"type": "tool_use", "id": id, "name": name, "input": {}}

    def _events(self, parts: tuple[Part, ...], id: str, stop: str) -> Iterator[bytes]:
        yield self._event("message_start", message=self._head(id))
        yield self._event("ping")
        for index, part in enumerate(parts):
            match part:
                case Say(text):
                    start = {"type": "text", "text": ""}
                    deltas = [{"type": "text_delta", "text": half} for half in _halves(text)]
                case Think(text, signature):
                    start = {"type": "thinking", "thinking": "", "signature": ""}
                    deltas = [{"type": "thinking_delta", "thinking": half} for half in _halves(text)]
                    deltas.append({"type": "signature_delta", "signature": signature})
                case Use():
                    start = self._block(part) | {"input": {}}
                    deltas = [{"type": "input_json_delta", "partial_json": half} for half in ("", *_halves(part.arguments))]
            yield self._event("content_block_start", index=index, content_block=start)
            for delta in deltas:
                yield self._event("content_block_delta", index=index, delta=delta)
            yield self._event("content_block_stop", index=index)
        yield self._event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": OUTPUT})
        yield self._event("message_stop")

    def _event(self, kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


class Chat:
    name: ClassVar[str] = "openai"
    path: ClassVar[str] = "/v1/chat/completions"

    def script(self, *parts: Part, id: str = "chatcmpl-1", stream: bool = True, stop: str = "", **how: Any) -> Script:
        stop = stop or ("tool_calls" if any(isinstance(part, Use) for part in parts) else "stop")
        if not stream:
            return Script(body=json.dumps(self._whole(parts, id, stop)).encode(), **how)
        return Script(events=tuple(self._events(parts, id, stop)), **how)

    def _usage(self) -> dict[str, Any]:
        details = {"cached_tokens": 5, "audio_tokens": 0}
        return {
            "prompt_tokens": INPUT,
            "completion_tokens": OUTPUT,
            "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": details,
        }

    def _head(self, id: str, kind: str) -> dict[str, Any]:
        return {"id": id, "object": kind, "created": 1_700_000_000 + len(id), "model": "m"}

    def _whole(self, parts: tuple[Part, ...], id: str, stop: str) -> dict[str, Any]:
        text = "".join(part.text for part in parts if isinstance(part, Say))
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if calls := [self._call(part) for part in parts if isinstance(part, Use)]:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": stop}
        return self._head(id, "chat.completion") | {"choices": [choice], "usage": self._usage()}

    def _call(self, part: Use) -> dict[str, Any]:
        return {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}

    def _events(self, parts: tuple[Part, ...], id: str, stop: str) -> Iterator[bytes]:
        head = self._head(id, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
            return f"data: {json.dumps(head | {'choices': choices, 'usage': None})}\n\n".encode()

        says = [part for part in parts if isinstance(part, Say)]
        calls = [part for part in parts if isinstance(part, Use)]
        first: dict[str, Any] = {"role": "assistant", "content": "" if says else None, "refusal": None}
        if not says and calls:  # the role comes with the first call, as the API does it
            first["tool_calls"] = [self._start(0, calls[0])]
        yield chunk(first)
        for part in says:
            for half in _halves(part.text):
                yield chunk({"content": half})
        for index, call in enumerate(calls):
            if says or index:
                yield chunk({"tool_calls": [self._start(index, call)]})
            for half in _halves(call.arguments):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
        yield chunk({}, stop)
        yield f"data: {json.dumps(head | {'choices': [], 'usage': self._usage()})}\n\n".encode()
        yield b"data: [DONE]\n\n"

    def _start(self, index: int, call: Use) -> dict[str, Any]:
        whole = self._call(call)
        return {"index": index, **whole, "function": whole["function"] | {"arguments": ""}}


class Responses:
    name: ClassVar[str] = "openai_responses"
    path: ClassVar[str] = "/v1/responses"

    def script(self, *parts: Part, id: str = "resp_1", stream: bool = True, stop: str = "completed", **how: Any) -> Script:
        if not stream:
            return Script(body=json.dumps(self._response(id, stop, parts)).encode(), **how)
        events = (self._event(kind, number, fields) for number, (kind, fields) in enumerate(self._events(parts, id, stop)))
        return Script(events=tuple(events), **how)

    def _response(self, id: str, status: str, parts: tuple[Part, ...] = ()) -> dict[str, Any]:
        usage = {"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": OUTPUT}
        usage |= {"output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": INPUT + OUTPUT}
        return {
            "id": id,
            "object": "response",
            "created_at": 1_700_000_000 + len(id),
            "model": "m",
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "output": [self._item(part, f"{id}_{number}") for number, part in enumerate(parts)],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [{"type": "function", "name": "headroom_retrieve", "parameters": {}, "strict": False}],
            "usage": None if status == "in_progress" else usage,
        }

    def _item(self, part: Part, id: str, status: str = "completed") -> dict[str, Any]:
        done = status == "completed"
        match part:
            case Say(text):
                content = [{"type": "output_text", "text": text, "annotations": []}] if done else []
                return {"id": id, "type": "message", "role": "assistant", "status": status, "content": content}
            case Think(text, signature):
                summary = [{"type": "summary_text", "text": text}] if done else []
                return {"id": id, "type": "reasoning", "summary": summary, "encrypted_content": signature if done else None}
            case Use(call_id, name, arguments):
                call = {"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name}
                return call | {"arguments": arguments if done else ""}

    def _events(self, parts: tuple[Part, ...], id: str, stop: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for kind in ("response.created", "response.in_progress"):
            yield kind, {"response": self._response(id, "in_progress")}
        for index, part in enumerate(parts):
            item = {"output_index": index, "item_id": f"{id}_{index}"}
            yield "response.output_item.added", {"output_index": index, "item": self._item(part, f"{id}_{index}", "in_progress")}
            match part:
                case Say(text):
                    place, shape = item | {"content_index": 0}, {"type": "output_text", "text": text, "annotations": []}
                    yield "response.content_part.added", place | {"part": shape | {"text": ""}}
                    for half in _halves(text):
                        yield "response.output_text.delta", place | {"delta": half, "logprobs": []}
                    yield "response.output_text.done", place | {"text": text, "logprobs": []}
                    yield "response.content_part.done", place | {"part": shape}
                case Use():
                    for half in _halves(part.arguments):
                        yield "response.function_call_arguments.delta", item | {"delta": half}
                    yield "response.function_call_arguments.done", item | {"arguments": part.arguments, "name": part.name}
                case Think(text):
                    yield "response.reasoning_summary_text.delta", item | {"summary_index": 0, "delta": text}
            if stop == "completed" or index + 1 < len(parts):
                yield "response.output_item.done", {"output_index": index, "item": self._item(part, f"{id}_{index}")}
        yield f"response.{stop}", {"response": self._response(id, stop, parts)}

    def _event(self, kind: str, number: int, fields: dict[str, Any]) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **fields})}\n\n".encode()


Speaker = Anthropic | Chat | Responses
SPEAKERS: tuple[Speaker, ...] = (Anthropic(), Chat(), Responses())
