"""OpenAI Responses to Chat Completions, and the answer back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from headroom.backends.base import Broken
from headroom.backends.translation.messages_chat import Chunks
from headroom.backends.translation.step import parts, refuse, sse, unknown

_CHAT = "Chat Completions"
_KNOWN = {"model", "input", "instructions", "tools", "tool_choice", "top_p", "temperature", "user", "parallel_tool_calls", "text"}
_KNOWN |= {"max_output_tokens", "stream"}
_ASIDE = {"reasoning", "store", "metadata", "include", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
_ASIDE |= {"truncation", "stream_options", "client_metadata"}
_NEUTRAL: dict[str, Any] = {"background": False, "top_logprobs": 0}
_TOOLS = {"function", "custom", "namespace"}
_ITEMS = {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"}
_PARTS = {"input_text", "output_text", "text", "input_image", "input_file", "refusal"}
_INTERNAL = {
    "custom_llm_provider",
    "extra_headers",
    "metadata",
    "reasoning_effort",
    "reasoning_summary",
    "context_management",
    "service_tier",
}
_MESSAGE = ("role", "content", "tool_calls", "tool_call_id", "name")


class ResponsesToChat:
    """`most` is the field that limits the answer there."""

    def __init__(self, body: dict[str, Any], most: str) -> None:
        from litellm.responses.litellm_completion_transformation.transformation import LiteLLMCompletionResponsesConfig

        unknown(body, _KNOWN | _ASIDE, _NEUTRAL, _CHAT)
        for tool in body.get("tools") or []:
            if tool.get("type") not in _TOOLS:
                raise refuse("tools", tool.get("type"), _CHAT)
        for item in parts(body.get("input")):
            _check(item)
        if isinstance(body.get("input"), list):
            body = {**body, "input": list(map(_with_refusal, body["input"]))}
        self._body: Any = body
        config: Any = LiteLLMCompletionResponsesConfig
        self._config = config
        made = config.transform_responses_api_request_to_chat_completion_request(
            model=str(body.get("model")),
            input=body.get("input") or "",
            responses_api_request=body,
            stream=body.get("stream") is True or None,
        )
        asked = {name: value for name, value in json.loads(json.dumps(made, default=_plain)).items() if name not in _INTERNAL}
        asked["messages"] = [message for message in map(_message, asked["messages"]) if message]
        if (limit := asked.pop("max_tokens", None)) is not None:
            asked[most] = limit
        self.request = asked

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        if not answer.get("choices"):
            raise Broken("the answer has no choices")
        made = self._config.transform_chat_completion_response_to_responses_api_response(
            request_input=self._body.get("input") or "", responses_api_request=self._body, chat_completion_response=answer
        )
        told: dict[str, Any] = made.model_dump(mode="json")
        return _told(told)

    async def stream(self, events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        from litellm.responses.litellm_completion_transformation.streaming_iterator import LiteLLMCompletionStreamingIterator

        chunks: Any = _Logged(events)
        made = LiteLLMCompletionStreamingIterator(
            model=str(self._body.get("model")),
            litellm_custom_stream_wrapper=chunks,
            request_input=self._body.get("input") or "",
            responses_api_request=self._body,
        )
        number, response = 0, {"id": "", "object": "response", "output": []}
        async for event in made:
            if chunks.error:
                break
            told = event.model_dump(mode="json")
            if told["type"] in ("response.completed", "response.incomplete") and not chunks.finished:
                raise Broken("the stream ended before its answer")
            if isinstance(told.get("response"), dict):
                told["response"] = response = _told(told["response"])
            yield sse({**told, "sequence_number": number})
            number += 1
        if chunks.error:
            kind, words = chunks.error
            failed = response | {"status": "failed", "error": {"code": kind, "message": words}}
            yield sse({"type": "response.failed", "sequence_number": number, "response": failed})


class _Logged(Chunks):
    """LiteLLM looks for its own log at a stream."""

    logging_obj = None


def _plain(value: Any) -> Any:
    return value.model_dump(exclude_none=True)


def _told(response: dict[str, Any]) -> dict[str, Any]:
    """The answer without what only LiteLLM says in it."""
    usage = response.get("usage")
    return response | {"usage": {name: value for name, value in usage.items() if name != "cost"}} if isinstance(usage, dict) else response


def _check(item: dict[str, Any]) -> None:
    kind = item.get("type", "message")
    if kind not in _ITEMS:
        raise refuse("input", kind, _CHAT)
    for part in [*parts(item.get("content") if kind == "message" else None), *parts(item.get("output"))]:
        if part.get("type") not in _PARTS:
            raise refuse("input", part.get("type"), _CHAT)
        if part["type"] == "input_file" and not part.get("file_data"):
            raise refuse("input", "a file that is not in the request", _CHAT)
        if part["type"] == "input_image" and not part.get("image_url"):
            raise refuse("input", "an image that is not in the request", _CHAT)


def _with_refusal(item: Any) -> Any:
    """A message whose refusal is text like any other."""
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return item
    said = [{"type": "output_text", "text": part["refusal"]} if part.get("type") == "refusal" else part for part in parts(item["content"])]
    return {**item, "content": said}


def _message(message: dict[str, Any]) -> dict[str, Any] | None:
    """Without past reasoning; nothing where that was all."""
    kept = {name: message[name] for name in _MESSAGE if message.get(name) is not None}
    return kept if kept.keys() & {"content", "tool_calls"} else None
