"""The event stream of Bedrock's ConverseStream as the chunks of a chat completion.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

import json
from typing import Any

from headroom.backends import converse
from headroom.backends.base import Broken, said
from headroom.backends.eventstream import SSE, Frames, error_kind


class ConverseStream:
    """Usage comes last: in a chunk of its own for a client that asked for it, else with the reason why the answer ended."""

    content_type = SSE

    def __init__(self, model: str, *, usage_asked: bool) -> None:
        self._frames = Frames()
        self._head = converse.head(model, "chat.completion.chunk")
        self._usage_asked = usage_asked
        self._calls: dict[Any, int] = {}  # number of the block -> number of the call
        self._finish = ""
        self._over = False

    def feed(self, data: bytes) -> bytes:
        return b"".join(self._told(*frame) for frame in self._frames.feed(data))

    def _told(self, kind: str, name: str, payload: bytes) -> bytes:
        event = said(payload)
        if kind != "event":
            self._over = True
            words = event.get("message") or payload.decode(errors="replace") or name
            return _data({"error": {"message": str(words), "type": error_kind(name), "param": None, "code": name}})
        match name:
            case "messageStart":
                return self._chunk({"role": "assistant", "content": ""})
            case "contentBlockStart":
                return self._started(event)
            case "contentBlockDelta":
                return self._grown(event)
            case "messageStop":
                self._finish = converse.finish(event.get("stopReason"))
                return b""
            case "metadata":
                return self._ended(event)
        return b""

    def _started(self, event: dict[str, Any]) -> bytes:
        use = (event.get("start") or {}).get("toolUse")
        if not isinstance(use, dict):
            return b""
        number = self._calls.setdefault(event.get("contentBlockIndex"), len(self._calls))
        function = {"name": use.get("name"), "arguments": ""}
        return self._chunk({"tool_calls": [{"index": number, "id": use.get("toolUseId"), "type": "function", "function": function}]})

    def _grown(self, event: dict[str, Any]) -> bytes:
        delta = event.get("delta") or {}
        if "text" in delta:
            return self._chunk({"content": delta["text"]})
        if "toolUse" in delta:
            number = self._calls.get(event.get("contentBlockIndex"), 0)
            return self._chunk({"tool_calls": [{"index": number, "function": {"arguments": delta["toolUse"].get("input", "")}}]})
        if words := (delta.get("reasoningContent") or {}).get("text"):
            return self._chunk({"reasoning_content": words})
        return b""

    def _ended(self, event: dict[str, Any]) -> bytes:
        self._over = True
        usage = converse.usage(event.get("usage"))
        if not self._usage_asked:
            return self._chunk({}, self._finish, usage=usage) + b"data: [DONE]\n\n"
        return self._chunk({}, self._finish) + _data(self._head | {"choices": [], "usage": usage}) + b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data(self._head | {"choices": [choice]} | more)

    def end(self) -> bytes:
        self._frames.end()
        if not self._over:
            raise Broken("the event stream ended before its answer")
        return b""


def _data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
