"""Anthropic Messages to Chat Completions, and the answer back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from headroom.backends.base import Broken
from headroom.backends.translation.step import complaint, parts, refuse, sse, unknown

_CHAT = "Chat Completions"
# Translated or of no effect on what is said; the others would be missed.
_KNOWN = {"model", "messages", "system", "max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_p", "top_k"}
_KNOWN |= {"tools", "tool_choice", "thinking", "output_format", "output_config", "service_tier", "context_management", "cache_control"}
_LEFT_OUT = ("thinking", "top_k", "service_tier", "context_management", "cache_control")
_BLOCKS = {"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"}
_IN_RESULTS = {"text", "image", "document"}
_PDF = "data:application/pdf"


class MessagesToChat:
    """`most` is the field that limits the answer there."""

    def __init__(self, body: dict[str, Any], most: str) -> None:
        from litellm.llms.anthropic.pass_through.adapters.transformation import AnthropicAdapter

        unknown(body, _KNOWN, {}, _CHAT)
        self._adapter = AnthropicAdapter()
        self._model = str(body.get("model"))
        given = {name: value for name, value in body.items() if name not in _LEFT_OUT}
        given["messages"] = [_shown(message) for message in body["messages"]]
        for tool in body.get("tools") or []:
            if tool.get("type", "custom") != "custom":
                raise refuse("tools", tool.get("type"), _CHAT)
        request, self._names = self._adapter.translate_completion_input_params_with_tool_mapping(given)
        asked: dict[str, Any] = {name: value for name, value in dict(request or {}).items() if value is not None}
        asked["messages"] = [_clean(message) for message in asked["messages"]]
        asked.pop("output_config", None)
        if (limit := asked.pop("max_tokens", None)) is not None:
            asked[most] = limit
        if (body.get("tool_choice") or {}).get("disable_parallel_tool_use"):
            asked["parallel_tool_calls"] = False
        if asked.get("stream"):
            asked["stream_options"] = {"include_usage": True}
        self.request = asked

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        from litellm.types.utils import ModelResponse

        if not answer.get("choices"):
            raise Broken("the answer has no choices")
        told = self._adapter.translate_completion_output_params(ModelResponse(**answer), tool_name_mapping=self._names)
        return {**dict(told or {}), "model": self._model}

    async def stream(self, events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        from litellm.llms.anthropic.pass_through.adapters.streaming_iterator import AnthropicStreamWrapper

        chunks: Any = Chunks(events)
        async for event in AnthropicStreamWrapper(chunks, model=self._model, tool_name_mapping=self._names):
            if chunks.error:
                break
            if event["type"] == "message_stop" and not chunks.finished:
                raise Broken("the stream ended before its answer")
            yield sse(event)
        if chunks.error:
            kind, words = chunks.error
            yield sse({"type": "error", "error": {"type": kind, "message": words}})


class Chunks:
    """The chunks of a stream as LiteLLM reads them. It ends at an error, which is noted."""

    def __init__(self, events: AsyncIterator[dict[str, Any]]) -> None:
        self._events = events
        self.finished = False
        self.error: tuple[str, str] | None = None

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Any:
        from litellm.types.utils import ModelResponseStream

        event = await anext(self._events)
        if found := complaint(event):
            self.error = found
            raise StopAsyncIteration
        self.finished = self.finished or any(choice.get("finish_reason") for choice in event.get("choices") or [])
        return ModelResponseStream(**{name: value for name, value in event.items() if value is not None})


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose pictures in tool results stand behind them: a tool's message holds text only."""
    behind: list[dict[str, Any]] = []
    content: list[Any] = []
    for block in parts(message.get("content")):
        kind = block.get("type")
        if kind not in _BLOCKS:
            raise refuse("messages", kind, _CHAT)
        _check_source(block)
        if kind == "tool_result" and isinstance(block.get("content"), list):
            inner, pictures = _split(block)
            behind += pictures
            content.append({**block, "content": inner})
        else:
            content.append(block)
    if not isinstance(message.get("content"), list):
        return message
    place = next((number for number, block in enumerate(content) if block.get("type") != "tool_result"), len(content))
    return {**message, "content": [*content[:place], *behind, *content[place:]]}


def _split(result: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The texts of a tool's result, and its pictures, each announced by the call that it belongs to."""
    inner: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    for block in parts(result["content"]):
        if block.get("type") not in _IN_RESULTS:
            raise refuse("messages", block.get("type"), _CHAT)
        if block["type"] == "text":
            inner.append(block)
            continue
        _check_source(block)
        pictures += [{"type": "text", "text": f"From the result of {result.get('tool_use_id')}:"}, block]
    return inner or [{"type": "text", "text": "See below." if pictures else ""}], pictures


def _check_source(block: dict[str, Any]) -> None:
    if block.get("type") not in ("image", "document"):
        return
    source = block.get("source") or {}
    kind, media = source.get("type"), str(source.get("media_type"))
    known = ("base64", "url") if block["type"] == "image" else ("base64",)
    if kind not in known or (block["type"] == "document" and media != "application/pdf"):
        raise refuse("messages", f"{block['type']} of {kind} {media}", _CHAT)


def _clean(message: Any) -> dict[str, Any]:
    """What only LiteLLM understands goes; a document becomes a file."""
    kept = {name: value for name, value in dict(message).items() if name not in ("thinking_blocks", "reasoning_content")}
    if isinstance(kept.get("content"), list):
        kept["content"] = [_file(part) for part in kept["content"]]
    return kept


def _file(part: Any) -> Any:
    url = (part.get("image_url") or {}).get("url", "") if isinstance(part, dict) and part.get("type") == "image_url" else ""
    if not str(url).startswith(_PDF):
        return part
    rest = {name: value for name, value in part.items() if name not in ("type", "image_url")}
    return {"type": "file", "file": {"filename": "document.pdf", "file_data": url}, **rest}
