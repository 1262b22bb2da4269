"""The nouns: a conversation and its turns, and a place in a file that could not be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headroom.outcome import Usage

MESSAGES, CHAT, RESPONSES = "/v1/messages", "/v1/chat/completions", "/v1/responses"
_CACHE = {"type": "ephemeral"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One request: `body()` is it as it was, or must have been, made. `at` is Unix seconds, None where nobody wrote it down.

    `given` are the texts among the arguments of the tool calls that answered it. `paid` is what the provider said it billed.
    """

    body: Callable[[], Mapping[str, Any]]
    at: float | None = None
    given: tuple[str, ...] = ()
    paid: Usage | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns of which each holds what the one before it held.

    `hides` says that the file lacks a part of every prompt (an agent's own system prompt and tools), `hour` that the provider
    was asked to keep the prompts for an hour. `unsound` counts requests that are not replayed, because a provider would have
    refused them as they stand in the file.
    """

    id: str
    source: str
    path: str
    model: str
    turns: Sequence[Turn]
    hides: bool = False
    hour: bool = False
    unsound: int = 0

    @property
    def provider(self) -> str:
        return "anthropic" if self.path == MESSAGES else "openai"


class Problem(NamedTuple):
    """What could not be read, and why; line 0 is the whole file."""

    file: Path
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.why}"


def numbered(file: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file with one a line, and their lines; a ValueError instead of one that is none."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as failure:
                yield number, ValueError(f"not JSON: {failure}")


def anthropic_body(model: str, messages: Sequence[Mapping[str, Any]], system: Any, tools: Sequence[Any], session: str) -> dict[str, Any]:
    """A request as agents make it: cache breakpoints at the end of the system prompt and of the last message."""
    body: dict[str, Any] = {"model": model, "max_tokens": 4096, "metadata": {"user_id": session}}
    if tools:
        body["tools"] = tools
    if system:
        body["system"] = _marked(system)
    *before, last = messages
    return body | {"messages": [*before, {**last, "content": _marked(last.get("content"))}]}


def _marked(content: Any) -> Any:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not blocks or not isinstance(blocks[-1], dict):
        return content
    return [*blocks[:-1], {**blocks[-1], "cache_control": _CACHE}]


def is_sound(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether every tool call has its result right behind it, and every result its call; Anthropic's messages or OpenAI's."""
    waiting: set[Any] = set()
    for message in messages:
        content = message.get("content")
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                return False
            waiting.discard(message.get("tool_call_id"))
            continue
        answered = {block.get("tool_use_id") for block in blocks if block.get("type") == "tool_result"}
        if answered != waiting:
            return False
        waiting = {block.get("id") for block in blocks if block.get("type") == "tool_use"}
        waiting |= {call.get("id") for call in message.get("tool_calls") or () if isinstance(call, dict)}
    return not waiting


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
