"""Conversations of agents, told in either dialect, and their way into the context step."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from headroom.context.view import View, view
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, Dialect
from headroom.model import Call
from headroom.tokens import Estimate

DIALECT: dict[str, Dialect] = {"anthropic": ANTHROPIC, "openai": OPENAI_CHAT}
Messages = list[dict[str, Any]]


def user(text: str) -> Messages:
    return [{"role": "user", "content": text}]


def answer(text: str) -> Messages:
    return [{"role": "assistant", "content": text}]


def calls(dialect: str, *asked: tuple[str, str, dict[str, Any], str]) -> Messages:
    """One assistant message with calls (id, tool, arguments, result) and their results."""
    if dialect == "anthropic":
        uses = [{"type": "tool_use", "id": id, "name": tool, "input": arguments} for id, tool, arguments, _ in asked]
        results = [{"type": "tool_result", "tool_use_id": id, "content": result} for id, _, _, result in asked]
        return [{"role": "assistant", "content": uses}, {"role": "user", "content": results}]
    made = [
        {"id": id, "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}} for id, tool, arguments, _ in asked
    ]
    told = [{"role": "tool", "tool_call_id": id, "content": result} for id, _, _, result in asked]
    return [{"role": "assistant", "content": None, "tool_calls": made}, *told]


def agent(dialect: str, draw: random.Random, turns: int, lines: int = 40) -> Messages:
    """A session whose every turn asks, calls some tools (also several at once), and mostly answers; ends with a user or a tool."""
    messages: Messages = []
    for turn in range(turns):
        messages += user(f"Question {turn} about module_{draw.randrange(50)}.py?")
        for step in range(draw.choice((0, 1, 1, 2, 3))):
            asked = [
                (f"call_{turn}_{step}_{n}", draw.choice(("read", "grep")), {"path": f"src/{turn}/{step}.py"}, text(draw, lines))
                for n in range(draw.choice((1, 1, 2)))
            ]
            messages += calls(dialect, *asked)
        messages += answer(f"Answer {turn}.")
    return messages[:-1]


def text(draw: random.Random, lines: int) -> str:
    return "\n".join(f"{n}: {' '.join(f'w{draw.randrange(10**6)}' for _ in range(6))}" for n in range(lines))


def call_of(dialect: str, messages: Sequence[dict[str, Any]], **more: Any) -> Call:
    return DIALECT[dialect].read(json.dumps({"model": "m", "messages": messages, **more}).encode())


def seen(dialect: str, messages: Sequence[dict[str, Any]], **more: Any) -> View:
    """The conversation as compression left it: untouched."""
    call = call_of(dialect, messages, **more)
    found = view(call, call, (), count)
    assert found is not None
    return found


def count(text: str) -> int:
    return Estimate().count(text)
