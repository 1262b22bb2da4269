"""`HeadroomRunnable` for LangChain: `HeadroomRunnable() | ChatOpenAI(...)`.

Takes what a chat model takes (messages, a prompt, a string) and gives the same messages with smaller contents. Ids, artifacts, tool
calls and everything else of a message stay.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.base import Runnable

from headroom.integrations.bodies import Shrink
from headroom.settings import Settings
from headroom.store import Store

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


class HeadroomRunnable(Runnable[LanguageModelInput, list[BaseMessage]]):
    """`model` is whose tokens are counted; it does not change what is compressed."""

    def __init__(self, model: str = "gpt-4o", *, store: Store | None = None, settings: Settings | None = None) -> None:
        self._model = model
        self._shrink = Shrink(store, settings)

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> list[BaseMessage]:
        return self._call_with_config(self._compress, input, config)

    def _compress(self, input: LanguageModelInput) -> list[BaseMessage]:
        messages = _messages(input)
        given = [_as_openai(message) for message in messages]
        smaller = self._shrink.messages(given, self._model)
        return [
            message if new is old or new["content"] == old["content"] else message.model_copy(update={"content": new["content"]})
            for message, old, new in zip(messages, given, smaller, strict=True)
        ]


def _messages(input: LanguageModelInput) -> Sequence[BaseMessage]:
    if isinstance(input, str):
        return convert_to_messages([input])
    return input.to_messages() if isinstance(input, PromptValue) else convert_to_messages(input)


def _as_openai(message: BaseMessage) -> dict[str, Any]:
    """The message as OpenAI tells it, with its content as it is, so that it can be put back."""
    told: dict[str, Any] = {"role": _ROLES.get(message.type, "user"), "content": message.content}
    if isinstance(message, ToolMessage):
        told["tool_call_id"] = message.tool_call_id
    if isinstance(message, AIMessage) and message.tool_calls:
        told["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": json.dumps(call["args"], default=str)}}
            for call in message.tool_calls
        ]
    return told
