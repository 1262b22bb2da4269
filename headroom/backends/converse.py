"""OpenAI Chat Completions over Bedrock's Converse: the request, and an answer that comes whole.

What Converse cannot say is refused with its name, so that nothing a client asked for is lost in silence.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from headroom.backends.base import Broken, said
from headroom.errors import InvalidRequest

_READ = {"model", "messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop"}
# Of no effect on the answer, or a mere wish.
_ASIDE = {"stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "seed"}
_NEUTRAL: dict[str, Any] = {"n": 1, "parallel_tool_calls": True, "response_format": {"type": "text"}, "modalities": ["text"]}
_NEUTRAL |= {"logprobs": False, "presence_penalty": 0, "frequency_penalty": 0}
_ENDS = {"tool_use": "tool_calls", "max_tokens": "length", "model_context_window_exceeded": "length"}
_ENDS |= {"guardrail_intervened": "content_filter", "content_filtered": "content_filter"}
_POINT = {"cachePoint": {"type": "default"}}


def request(body: dict[str, Any]) -> dict[str, Any]:
    """The body of Converse for one of Chat Completions. Raises InvalidRequest for what has no place there."""
    for name, value in body.items():
        if name not in _READ and name not in _ASIDE and value is not None and _NEUTRAL.get(name, _POINT) != value:
            raise InvalidRequest(f"{name}: Bedrock's Converse cannot do that; leave it out, or use /v1/messages.")
    messages = body.get("messages") or []
    system = [block for message in messages if message.get("role") in ("system", "developer") for block in _blocks(message)]
    turns: list[dict[str, Any]] = []
    for message in messages:
        role, content = _turn(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += content
        elif content:
            turns.append({"role": role, "content": content})
    found: dict[str, Any] = {"messages": turns}
    if system:
        found["system"] = system
    if limits := _limits(body):
        found["inferenceConfig"] = limits
    if tools := body.get("tools"):
        found["toolConfig"] = _tools(tools, body.get("tool_choice"))
    return found


def _limits(body: dict[str, Any]) -> dict[str, Any]:
    stop = body.get("stop")
    given = {
        "maxTokens": body.get("max_completion_tokens") or body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "topP": body.get("top_p"),
        "stopSequences": [stop] if isinstance(stop, str) else stop,
    }
    return {name: value for name, value in given.items() if value is not None}


def _turn(message: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Role and content; systems have no turn."""
    match message.get("role"):
        case "system" | "developer":
            return "", []
        case "tool":
            inner = [block for block in _blocks(message) if block != _POINT]
            result = {"toolResult": {"toolUseId": message.get("tool_call_id"), "content": inner}}
            return "user", [result, *(_POINT for block in _blocks(message) if block == _POINT)]
        case "assistant":
            return "assistant", [*_blocks(message), *(_use(call) for call in message.get("tool_calls") or [])]
        case "user":
            return "user", _blocks(message)
        case role:
            raise InvalidRequest(f"messages: Bedrock's Converse has no role {str(role)[:40]!r}.")


def _use(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        raise InvalidRequest(f"messages: the arguments of the call {str(call.get('id'))[:80]} are not JSON.") from None
    return {"toolUse": {"toolUseId": call.get("id"), "name": function.get("name"), "input": arguments}}


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"text": content}] if content else []
    return [block for part in content or [] for block in _block(part)]


def _block(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match part.get("type"):
        case "text":
            yield {"text": part.get("text", "")}
        case "image_url":
            kind, data = _data((part.get("image_url") or {}).get("url"), "image/")
            yield {"image": {"format": kind.replace("jpg", "jpeg"), "source": {"bytes": data}}}
        case "file":
            file = part.get("file") or {}
            kind, data = _data(file.get("file_data"), "application/")
            yield {"document": {"format": kind, "name": _name(file.get("filename")), "source": {"bytes": data}}}
        case kind:
            raise InvalidRequest(f"messages: Bedrock's Converse takes no part of type {str(kind)[:40]!r}.")
    if part.get("cache_control"):
        yield _POINT


def _data(url: Any, family: str) -> tuple[str, str]:
    """Format and base64 of a data URL."""
    head, comma, data = str(url).partition(",")
    if not comma or not head.startswith(f"data:{family}") or not head.endswith(";base64"):
        raise InvalidRequest(f"messages: Bedrock's Converse takes {family}* as a data: URL in base64 only; it fetches nothing.")
    return head.removeprefix(f"data:{family}").removesuffix(";base64"), data


def _name(filename: Any) -> str:
    """Letters, digits, single blanks and few signs are allowed in the name of a document."""
    plain = "".join(char if char.isalnum() or char in "-()[] " else "-" for char in str(filename or "document"))
    return " ".join(plain.split())[:200]


def _tools(tools: list[dict[str, Any]], choice: Any) -> dict[str, Any]:
    specs: list[dict[str, Any]] = []
    for tool in tools:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise InvalidRequest(f"tools: Bedrock's Converse takes functions only, not {str(tool.get('type'))[:40]!r}.")
        spec = {"name": function.get("name"), "inputSchema": {"json": function.get("parameters") or {"type": "object"}}}
        specs.append({"toolSpec": spec | ({"description": function["description"]} if function.get("description") else {})})
        if tool.get("cache_control"):
            specs.append(_POINT)
    found: dict[str, Any] = {"tools": specs}
    if isinstance(choice, dict):
        found["toolChoice"] = {"tool": {"name": (choice.get("function") or {}).get("name")}}
    elif choice == "required":
        found["toolChoice"] = {"any": {}}
    elif choice == "none":
        raise InvalidRequest("tool_choice: Bedrock's Converse cannot forbid tools that are given; leave them out.")
    return found


def head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def finish(reason: Any) -> str:
    return _ENDS.get(str(reason), "stop")


def usage(told: Any) -> dict[str, Any]:
    """OpenAI counts cached tokens in the prompt, Bedrock beside it."""
    given = told if isinstance(told, dict) else {}
    read, written = given.get("cacheReadInputTokens") or 0, given.get("cacheWriteInputTokens") or 0
    prompt, output = (given.get("inputTokens") or 0) + read + written, given.get("outputTokens") or 0
    details = {"cached_tokens": read, "cache_write_tokens": written}
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output, "prompt_tokens_details": details}


class Whole:
    """The answer of Converse as a chat completion."""

    content_type = "application/json"

    def __init__(self, model: str) -> None:
        self._model = model
        self._body = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._body += data
        return b""

    def end(self) -> bytes:
        told = said(bytes(self._body))
        blocks = ((told.get("output") or {}).get("message") or {}).get("content")
        if not isinstance(blocks, list):
            raise Broken("the answer of Converse has no message")
        text = "".join(block["text"] for block in blocks if "text" in block)
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        thought = "".join(
            (block["reasoningContent"].get("reasoningText") or {}).get("text", "") for block in blocks if "reasoningContent" in block
        )
        if thought:
            message["reasoning_content"] = thought
        if calls := [call(block["toolUse"]) for block in blocks if "toolUse" in block]:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish(told.get("stopReason"))}
        whole = head(self._model, "chat.completion") | {"choices": [choice], "usage": usage(told.get("usage"))}
        return json.dumps(whole).encode()


def call(use: dict[str, Any]) -> dict[str, Any]:
    """A tool call, its arguments written out."""
    function = {"name": use.get("name"), "arguments": json.dumps(use.get("input") or {})}
    return {"id": use.get("toolUseId"), "type": "function", "function": function}
