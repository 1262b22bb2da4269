"""Lines with `messages`, with an OpenAI batch request, or with an Anthropic one; and a file that is one such object."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headroom.dialects import dialect_of
from headroom.dialects.base import read_call, understood
from headroom.errors import InvalidRequest
from headroom.transcripts.conversation import CHAT, MESSAGES, RESPONSES, Conversation, Problem, Turn, anthropic_body, is_sound, strings
from headroom.transcripts.shapes import ALL_MESSAGES, wrong
from headroom.transcripts.tools import arguments, called, definitions

_MODELS = {MESSAGES: "claude-sonnet-4-5", CHAT: "gpt-4o", RESPONSES: "gpt-5"}


def is_one(value: Any) -> bool:
    """Whether a line is of this kind."""
    return isinstance(value, dict) and any(isinstance(value.get(key), kind) for key, kind in _KEYS.items())


_KEYS: Mapping[str, type] = {"messages": list, "body": dict, "params": dict, "input": list}


def conversation(record: Mapping[str, Any], file: Path, line: int, model: str = "") -> Conversation | Problem:
    """The conversation of one line. A record with answers in it is as many requests; any other is one."""
    body = next((record[key] for key in ("body", "params") if isinstance(record.get(key), dict)), record)
    id = str(record.get("id") or record.get("custom_id") or f"{file.stem}:{line}")
    source = "batch" if body is not record else "messages"
    path = _path(record, body)
    if path is None:
        return Problem(file, line, "neither `messages` nor `input` is a list of objects")
    chosen = str(body.get("model") or model or _MODELS[path])
    if body is not record or path == RESPONSES:
        return Conversation(id, source, path, chosen, [Turn(lambda: {**body, "model": chosen, "stream": False})])
    messages = list(body["messages"])
    following = record.get("next_message")
    if isinstance(following, dict) and following.get("role") == "assistant":
        messages.append(following)
    if problem := wrong(ALL_MESSAGES, messages):
        return Problem(file, line, f"messages.{problem}")
    return _replayed(id, path, chosen, messages, body)


def _path(record: Mapping[str, Any], body: Mapping[str, Any]) -> str | None:
    items = body.get("messages", body.get("input"))
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        return None
    if "params" in record or record.get("format") == "anthropic":
        return MESSAGES
    if "messages" not in body:
        return RESPONSES
    return CHAT if record.get("format") == "openai" or str(record.get("url", "")).endswith("/chat/completions") else _told(body)


def _told(body: Mapping[str, Any]) -> str:
    """Whose messages these are, from their shape."""
    known = {key: body[key] for key in ("system", "messages") if body.get(key) is not None}
    try:
        call = understood(read_call("", json.dumps({"model": "", **known}).encode()))
    except InvalidRequest:
        return CHAT
    return MESSAGES if dialect_of(call).name == "anthropic" else CHAT


def _replayed(id: str, path: str, model: str, messages: list[dict[str, Any]], body: Mapping[str, Any]) -> Conversation:
    system = body.get("system")
    if path == MESSAGES and messages and messages[0].get("role") == "system":
        system = messages.pop(0).get("content")
    tools = body.get("tools") or definitions(called(messages), path)
    answers = [place for place, message in enumerate(messages) if message.get("role") == "assistant"]
    places = [place for place in answers if place and messages[place - 1].get("role") != "assistant"] or [len(messages)]
    sound = [place for place in places if is_sound(messages[:place])]
    turns = [
        Turn(functools.partial(_body, path, model, messages[:place], system, tools, id), given=_given(messages[place : place + 1]))
        for place in sound
    ]
    return Conversation(id, "messages", path, model, turns, unsound=len(places) - len(sound))


def _given(answer: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(text for call in called(answer) for text in strings(arguments(call)))


def _body(path: str, model: str, messages: list[dict[str, Any]], system: Any, tools: Sequence[Any], id: str) -> dict[str, Any]:
    if path == MESSAGES:
        return anthropic_body(model, messages, system, tools, id)
    return {"model": model, "messages": messages} | ({"tools": tools} if tools else {})


def read(file: Path, lines: Iterator[tuple[int, Any]], model: str = "") -> Iterator[Conversation | Problem]:
    for number, value in lines:
        if isinstance(value, ValueError):
            yield Problem(file, number, str(value))
        elif is_one(value):
            yield conversation(value, file, number, model)
        else:
            yield Problem(file, number, "no conversation: an object with `messages`, or a batch line with `body` or `params`, is wanted")
