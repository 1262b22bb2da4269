"""Claude Code's transcripts: `~/.claude/projects/**/*.jsonl`, a line for each block that was said or returned.

An answer stands on several lines with one message id. What the agent adds by itself (its system prompt, its tools) is not in
the file; how large it is follows from what the provider said it read for the first request.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from headroom.outcome import Usage
from headroom.transcripts.conversation import MESSAGES, Conversation, Problem, Turn, anthropic_body, is_sound, strings
from headroom.transcripts.shapes import LINE, MESSAGE, wrong
from headroom.transcripts.tools import called, definitions

SOURCE = "Claude Code"


def is_one(value: Any) -> bool:
    """Whether a line is of such a transcript."""
    return isinstance(value, dict) and "sessionId" in value and "type" in value


@dataclass
class _Chain:
    """One thread of a session (its own, or that of a sub-agent) as far as it has been read."""

    id: str
    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # a line's id and its message
    answer: str = ""  # the id of the message that is being said
    turns: list[tuple[int, dict[str, Any], float | None]] = field(default_factory=list)  # lines before it, its message, its time


def read(file: Path, lines: Iterable[tuple[int, Any]], seen: set[str]) -> Iterator[Conversation | Problem]:
    """The conversations of one file. `seen` are the ids of lines of earlier files: a resumed session begins with a copy."""
    chains: dict[str, _Chain] = {}
    done: list[_Chain] = []
    for number, line in lines:
        if isinstance(line, ValueError):
            yield Problem(file, number, str(line))
            continue
        if not is_one(line):
            continue
        message = line.get("message") if line["type"] in ("user", "assistant") else None
        if problem := wrong(LINE, line) or (wrong(MESSAGE, message) if isinstance(message, dict) else ""):
            yield Problem(file, number, problem)
            continue
        if line.get("uuid") in seen:
            continue
        if line.get("uuid"):
            seen.add(str(line["uuid"]))
        name = f"{line['sessionId']}{':' + str(line.get('agentId') or 'side') if line.get('isSidechain') else ''}"
        if line["type"] == "system" and line.get("subtype") == "compact_boundary" and name in chains:
            done.append(chains.pop(name))
        if isinstance(message, dict) and not line.get("isApiErrorMessage"):
            chain = chains.setdefault(name, _Chain(name if name not in {one.id for one in done} else f"{name}:{number}"))
            _add(chain, line, message)
    for chain in (*done, *chains.values()):
        if chain.turns:
            yield _conversation(chain)


def _add(chain: _Chain, line: dict[str, Any], message: dict[str, Any]) -> None:
    """The line behind those before it, or behind the one that it was said to instead."""
    content = message.get("content")
    typed = line["type"] == "user" and not any(_is(block, "tool_result") for block in _blocks(content))
    if typed and chain.lines and (parent := line.get("parentUuid")) != chain.lines[-1][0]:
        places = [place for place, (id, _) in enumerate(chain.lines) if id == parent]
        if places:
            del chain.lines[places[-1] + 1 :]
    if line["type"] == "assistant" and message.get("id") != chain.answer:
        chain.answer = str(message.get("id"))
        chain.turns.append((len(chain.lines), {**message, "history": list(chain.lines)}, time_of(line.get("timestamp"))))
    elif line["type"] == "assistant" and chain.turns:
        first = chain.turns[-1][1]
        first["content"] = [*_blocks(first.get("content")), *_blocks(content)]
        first["usage"] = message.get("usage") or first.get("usage")
    chain.lines.append((str(line.get("uuid")), message))
    if line["type"] == "user":
        chain.answer = ""


def _conversation(chain: _Chain) -> Conversation:
    tools = definitions(called(message for _, message in chain.lines), MESSAGES)
    turns: list[Turn] = []
    unsound = 0
    model, hour = "", False
    for _, answer, at in chain.turns:
        messages = merged(message for _, message in answer["history"])
        model = model or str(answer.get("model") or "")
        if not messages or messages[0]["role"] != "user" or not is_sound(messages):
            unsound += 1
            continue
        usage = answer.get("usage") or {}
        hour = hour or bool((usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens"))
        given = tuple(text for _, value in called([answer]) for text in strings(value))
        turns.append(Turn(functools.partial(_body, model, answer["history"], tools, chain.id), at, given, _usage(usage)))
    return Conversation(chain.id, SOURCE, MESSAGES, model or "claude-sonnet-4-5", turns, hides=True, hour=hour, unsound=unsound)


def _body(model: str, history: list[tuple[str, dict[str, Any]]], tools: list[Any], session: str) -> dict[str, Any]:
    return anthropic_body(model, merged(message for _, message in history), None, tools, session)


def merged(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages as the API takes them: what one side said in a row is one, results before words."""
    told: list[dict[str, Any]] = []
    for message in messages:
        role, blocks = message.get("role"), _blocks(message.get("content"))
        if not blocks:
            continue
        if told and told[-1]["role"] == role:
            told[-1]["content"] += blocks
        else:
            told.append({"role": role, "content": blocks})
    for message in told:
        if message["role"] == "user":
            message["content"].sort(key=lambda block: not _is(block, "tool_result"))
    return told


def _blocks(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks if not (_is(block, "text") and not str(block.get("text") or "").strip())]


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _usage(usage: dict[str, Any]) -> Usage | None:
    if not usage:
        return None
    written = usage.get("cache_creation") or {}
    return Usage(
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        cache_read_tokens=usage.get("cache_read_input_tokens"),
        cache_write_tokens=usage.get("cache_creation_input_tokens"),
        cache_write_1h_tokens=written.get("ephemeral_1h_input_tokens"),
    )


def time_of(written: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(written)).timestamp()
    except ValueError:
        return None
