"""Chat Completions to Anthropic Messages, and the answer back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from headroom.backends.base import Broken
from headroom.backends.translation.step import complaint, parts, refuse, sse, unknown
from headroom.errors import InvalidRequest

_MESSAGES = "Anthropic Messages"
_MAPPED = {"tools", "tool_choice", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream"}
_MAPPED |= {"parallel_tool_calls", "response_format", "user"}
# Of no effect on the answer, or a mere wish.
_ASIDE = {"stream_options", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
_ASIDE |= {"seed", "reasoning_effort", "verbosity"}
_NEUTRAL: dict[str, Any] = {"n": 1, "modalities": ["text"], "logprobs": False, "presence_penalty": 0, "frequency_penalty": 0}
_PARTS = {"text", "image_url", "file", "refusal"}
_ROLES = {"system", "developer", "user", "assistant", "tool"}


class ChatToMessages:
    """`most` is not used: Messages has one limit."""

    def __init__(self, body: dict[str, Any], most: str) -> None:
        from litellm import AnthropicConfig
        from litellm.exceptions import UnsupportedParamsError

        unknown(body, {"model", "messages"} | _MAPPED | _ASIDE, _NEUTRAL, _MESSAGES)
        for tool in body.get("tools") or []:
            if tool.get("type") != "function":
                raise refuse("tools", tool.get("type"), _MESSAGES)
        self._model = str(body.get("model"))
        options = body.get("stream_options")
        self._usage_asked = isinstance(options, dict) and options.get("include_usage") is True
        given = {name: value for name, value in body.items() if name in _MAPPED and value is not None}
        messages: Any = [_checked(message) for message in body["messages"]]
        self._config: Any = AnthropicConfig()
        self._own: dict[str, Any] = {}  # LiteLLM's notes for the way back
        try:
            options = self._config.map_openai_params(given, {}, self._model, drop_params=False)
            self._json = bool(options.pop("json_mode", False))
            asked = self._config.transform_request(self._model, messages, options, self._own, headers={})
        except UnsupportedParamsError as failure:
            raise InvalidRequest(str(failure.message)[:300]) from None
        self.request = {name: value for name, value in asked.items() if value is not None}

    def _names(self) -> dict[str, str] | None:
        from litellm.llms.anthropic.chat.transformation import ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY

        found: dict[str, str] | None = self._own.get(ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY)
        return found

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        import httpx
        from litellm import ModelResponse

        if not isinstance(answer.get("content"), list):
            raise Broken("the answer has no content")
        id = answer.get("id")
        made = self._config.transform_parsed_response(
            answer, httpx.Response(200), ModelResponse(), json_mode=self._json, tool_name_reverse_map=self._names()
        ).model_dump(exclude_none=True)
        told = made["choices"][0]["message"]
        message = {"role": "assistant", "content": told.get("content"), "refusal": None}
        message |= {name: told[name] for name in ("tool_calls", "reasoning_content") if told.get(name)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": made["choices"][0]["finish_reason"]}
        head = {"id": id or made["id"], "object": "chat.completion", "created": made["created"], "model": self._model}
        return head | {"choices": [choice], "usage": made.get("usage")}

    async def stream(self, events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        from litellm.llms.anthropic.chat.handler import ModelResponseIterator

        reader: Any = ModelResponseIterator(None, sync_stream=False, json_mode=self._json, tool_name_reverse_map=self._names())
        head: dict[str, Any] = {}
        finish, usage, over = "", None, False
        async for event in events:
            if event.get("type") == "error" and (found := complaint(event)):
                kind, words = found
                yield sse({"error": {"message": words, "type": kind, "param": None, "code": None}}, named=False)
                return
            over = over or event.get("type") == "message_stop"
            made = reader.chunk_parser(event).model_dump(exclude_none=True)
            usage = made.get("usage") or usage
            if not head:
                id = (event.get("message") or {}).get("id") or made["id"]
                head = {"id": id, "object": "chat.completion.chunk", "created": made["created"], "model": self._model}
                yield _chunk(head, {"role": "assistant", "content": "", "refusal": None})
            choice = made["choices"][0]
            finish = choice.get("finish_reason") or finish
            delta = {name: choice["delta"][name] for name in ("content", "tool_calls", "reasoning_content") if choice["delta"].get(name)}
            if delta:
                yield _chunk(head, delta)
        if not over or not head:
            raise Broken("the stream ended before its answer")
        yield _chunk(head, {}, finish or "stop")
        if self._usage_asked:
            yield sse(head | {"choices": [], "usage": usage}, named=False)
        yield b"data: [DONE]\n\n"


def _chunk(head: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    return sse(head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}, named=False)


def _checked(message: dict[str, Any]) -> dict[str, Any]:
    """Raises InvalidRequest for a part that would be lost, and for what LiteLLM would fetch from elsewhere."""
    role = message.get("role")
    if role not in _ROLES:
        raise refuse("messages", f"role {role}", _MESSAGES)
    for part in parts(message.get("content")):
        if part.get("type") not in _PARTS:
            raise refuse("messages", part.get("type"), _MESSAGES)
        if part["type"] == "file" and not str((part.get("file") or {}).get("file_data")).startswith("data:application/pdf;base64,"):
            raise refuse("messages", "a file other than a PDF in a data: URL", _MESSAGES)
        url = part.get("image_url")
        url = str(url.get("url") if isinstance(url, dict) else url)
        if part["type"] == "image_url" and not (url.startswith("data:image/") or (role == "user" and url.startswith("https://"))):
            raise refuse("messages", "an image other than a data: URL, or https:// in a user's message,", _MESSAGES)
    for call in parts(message.get("tool_calls")):
        if call.get("type", "function") != "function":
            raise refuse("messages", f"a call of a {call['type']} tool", _MESSAGES)
    if message.get("audio"):
        raise refuse("messages", "audio", _MESSAGES)
    return _with_refusal({**message, "role": "system"} if role == "developer" else dict(message))


def _with_refusal(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose refusal is text like any other."""
    content = message.get("content")
    if isinstance(content, list):
        content = [{"type": "text", "text": part["refusal"]} if isinstance(part.get("refusal"), str) else part for part in parts(content)]
    said = content or message.pop("refusal", None)
    return {**message, "content": said} if said else message
