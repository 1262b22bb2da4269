"""Codex's rollouts: `~/.codex/sessions/**/rollout-*.jsonl`, the items of a conversation as the Responses API has them.

Its tools are not in the file; how large they are follows from what the provider said it read for the first request.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headroom.outcome import Usage
from headroom.transcripts.claude_code import time_of
from headroom.transcripts.conversation import RESPONSES, Conversation, Problem, Turn, strings
from headroom.transcripts.shapes import ITEM, TOKEN_COUNT, wrong
from headroom.transcripts.tools import arguments, called, definitions

SOURCE = "Codex"
_LINES = frozenset(("session_meta", "response_item", "event_msg", "turn_context", "compacted"))
_FROM_MODEL = frozenset(("reasoning", "function_call", "custom_tool_call", "local_shell_call", "web_search_call"))
_RETURNED = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_SENT = _FROM_MODEL | frozenset(("message", *_RETURNED.values()))


def is_one(value: Any) -> bool:
    """Whether a line is of such a rollout."""
    return isinstance(value, dict) and str(value.get("type")) in _LINES and isinstance(value.get("payload"), dict)


@dataclass
class _Rollout:
    id: str
    model: str = ""
    instructions: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    turns: list[tuple[list[dict[str, Any]], int, float | None]] = field(default_factory=list)  # items, how many are sent, time
    paid: dict[int, Usage] = field(default_factory=dict)  # by the number of the turn
    saying: bool = False


def read(file: Path, lines: Iterable[tuple[int, Any]]) -> Iterator[Conversation | Problem]:
    """The conversations of one file: a new one begins where the agent summed up what it had."""
    now = _Rollout(file.stem)
    for number, line in lines:
        if isinstance(line, ValueError):
            yield Problem(file, number, str(line))
        elif is_one(line):
            if problem := _wrong(line["type"], line["payload"]):
                yield Problem(file, number, problem)
            elif line["type"] == "compacted":
                if now.turns:
                    yield _conversation(now)
                now = _Rollout(f"{file.stem}:{number}", now.model, now.instructions, _kept(line["payload"]))
            else:
                _add(now, line["type"], line["payload"], time_of(line.get("timestamp")))
    if now.turns:
        yield _conversation(now)


def _wrong(kind: str, payload: dict[str, Any]) -> str:
    if kind == "event_msg":
        return wrong(TOKEN_COUNT, payload) if payload.get("type") == "token_count" else ""
    return wrong(ITEM, payload) if kind == "response_item" else ""


def _kept(payload: dict[str, Any]) -> list[dict[str, Any]]:
    history = payload.get("replacement_history")
    if isinstance(history, list):
        return [item for item in history if isinstance(item, dict) and not wrong(ITEM, item)]
    said = {"type": "input_text", "text": str(payload.get("message") or "")}
    return [{"type": "message", "role": "user", "content": [said]}]


def _add(now: _Rollout, kind: str, payload: dict[str, Any], at: float | None) -> None:
    if kind == "session_meta":
        told = payload.get("base_instructions") or payload.get("instructions") or ""
        now.instructions = str(told.get("text") or "") if isinstance(told, dict) else str(told)
    elif kind == "turn_context":
        now.model = str(payload.get("model") or now.model)
    elif kind == "event_msg" and payload.get("type") == "token_count" and now.turns:
        usage = _usage((payload.get("info") or {}).get("last_token_usage"))
        if usage:
            now.paid[len(now.turns) - 1] = usage
    elif kind == "response_item" and payload.get("type") in _SENT:
        by_model = payload["type"] in _FROM_MODEL or payload.get("role") == "assistant"
        if by_model and not now.saying and now.items:
            now.turns.append((now.items, len(now.items), at))
        now.saying = by_model
        now.items.append({key: value for key, value in payload.items() if value is not None})


def _conversation(rollout: _Rollout) -> Conversation:
    model = rollout.model or "gpt-5"
    tools = definitions(called(rollout.items), RESPONSES)
    turns: list[Turn] = []
    for number, (items, count, at) in enumerate(rollout.turns):
        if _is_sound(items[:count]):
            body = functools.partial(_body, model, rollout.instructions, items, count, tools)
            turns.append(Turn(body, at, _given(items[count:]), rollout.paid.get(number)))
    return Conversation(rollout.id, SOURCE, RESPONSES, model, turns, hides=True, unsound=len(rollout.turns) - len(turns))


def _body(model: str, instructions: str, items: list[dict[str, Any]], count: int, tools: list[Any]) -> dict[str, Any]:
    told = {"instructions": instructions} if instructions else {}
    return {"model": model, **told, "input": items[:count], **({"tools": tools} if tools else {}), "store": False}


def _is_sound(items: list[dict[str, Any]]) -> bool:
    """Whether every call has its output, as the API asks for."""
    asked = {item.get("call_id") for item in items if item.get("type") in _RETURNED}
    return asked == {item.get("call_id") for item in items if item.get("type") in _RETURNED.values()}


def _given(items: list[dict[str, Any]]) -> tuple[str, ...]:
    """The texts in the calls of the answer that begins here."""
    answer = []
    for item in items:
        if not (item.get("type") in _FROM_MODEL or item.get("role") == "assistant"):
            break
        answer.append(item)
    return tuple(text for call in called(answer) for text in strings(arguments(call)))


def _usage(told: Any) -> Usage | None:
    if not isinstance(told, dict) or not told.get("input_tokens"):
        return None
    return Usage(told["input_tokens"], told.get("output_tokens"), told.get("cached_input_tokens"))
