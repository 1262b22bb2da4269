"""Bedrock's Converse as a stand-in speaks it: its requests, checked by botocore's model of the API, and its answers."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, ClassVar
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from tests.backends.clouds import Bedrock, Codex, Gpt, frame
from tests.provider import Received

_ENDS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_API = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


class Converse(Bedrock):
    speaks = (Gpt,)
    translates = (Codex,)
    streaming: ClassVar[str] = "converse-stream"

    def model(self, name: str) -> str:
        return name

    def plain(self, received: Received) -> tuple[str, bytes]:
        self._verify(received)
        model, operation = re.fullmatch(r"/model/([^/]+)/([a-z-]+)", received.target).groups()  # type: ignore[union-attr]
        body = received.json
        shape = _API.operation_model({"converse": "Converse", self.streaming: "ConverseStream"}[operation]).input_shape
        report = ParamValidator().validate(body | {"modelId": unquote(model)}, shape)
        assert not report.has_errors(), report.generate_report()
        roles = [message["role"] for message in body["messages"]]
        assert all(one != other for one, other in itertools.pairwise(roles)), "roles must alternate"
        chat = {"model": unquote(model), "messages": [told for message in body["messages"] for told in _messages(message)]}
        chat["tools"] = [_tool(tool["toolSpec"]) for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool]
        return "/v1/chat/completions", json.dumps(chat | {"stream": operation == self.streaming}).encode()

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        if status >= 400:
            return super().said(received, status, content_type, body)
        if not content_type.startswith("text/event-stream"):
            return content_type, _whole(json.loads(body)) if body else b""
        chunks = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
        frames = [frame({":event-type": name, ":message-type": "event"}, json.dumps(e).encode()) for c in chunks for name, e in _events(c)]
        return "application/vnd.amazon.eventstream", b"".join(frames)


def _messages(message: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [block["text"] for block in message["content"] if "text" in block]
    uses = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    found: list[dict[str, Any]] = []
    for block in message["content"]:
        if result := block.get("toolResult"):
            content = "".join(inner["text"] for inner in result["content"])
            found.append({"role": "tool", "tool_call_id": result["toolUseId"], "content": content})
    if texts or uses:
        said: dict[str, Any] = {"role": message["role"], "content": "".join(texts) or None}
        if uses:
            calls = [(use, {"name": use["name"], "arguments": json.dumps(use["input"])}) for use in uses]
            said["tool_calls"] = [{"id": use["toolUseId"], "type": "function", "function": function} for use, function in calls]
        found.append(said)
    return found


def _tool(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    read = usage["prompt_tokens_details"]["cached_tokens"]
    plain, output = usage["prompt_tokens"] - read, usage["completion_tokens"]
    return {"inputTokens": plain, "outputTokens": output, "totalTokens": plain + read + output, "cacheReadInputTokens": read}


def _whole(chat: dict[str, Any]) -> bytes:
    choice = chat["choices"][0]
    content = [{"text": choice["message"]["content"]}] if choice["message"]["content"] else []
    for call in choice["message"].get("tool_calls", []):
        function = call["function"]
        content.append({"toolUse": {"toolUseId": call["id"], "name": function["name"], "input": _input(function["arguments"])}})
    message = {"role": "assistant", "content": content}
    told = {"output": {"message": message}, "stopReason": _ENDS[choice["finish_reason"]], "usage": _usage(chat["usage"])}
    return json.dumps(told | {"metrics": {"latencyMs": 5}}).encode()


def _input(arguments: str) -> Any:
    """What a model wrote; a whole answer holds no half of it."""
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _events(chunk: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if not chunk["choices"]:
        return [("metadata", {"usage": _usage(chunk["usage"]), "metrics": {"latencyMs": 5}})]
    delta, end = chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]
    found: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})] if "role" in delta else []
    if delta.get("content"):
        found.append(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": delta["content"]}}))
    for call in delta.get("tool_calls", []):
        place, function = {"contentBlockIndex": call["index"] + 1}, call["function"]
        if "id" in call:
            start = {"toolUse": {"toolUseId": call["id"], "name": function["name"]}}
            found.append(("contentBlockStart", place | {"start": start}))
        if function.get("arguments"):
            found.append(("contentBlockDelta", place | {"delta": {"toolUse": {"input": function["arguments"]}}}))
    return [*found, ("messageStop", {"stopReason": _ENDS[end]})] if end else found
