"""Transcripts as agents write them, made up: a listing is read, a file is looked at, a question is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROWS = json.dumps([{"id": n, "name": f"node-{n}", "zone": f"eu-{n % 3}", "state": "ready"} for n in range(300)])
_START = 1_760_000_000


def _time(second: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(_START + second, UTC).isoformat().replace("+00:00", "Z")


def line(kind: str, id: str, parent: str, second: int, content: Any, **more: Any) -> dict[str, Any]:
    """One line of a Claude Code transcript."""
    message = {"role": kind, "content": content, **more.pop("message", {})}
    head = {"parentUuid": parent or None, "isSidechain": False, "sessionId": "s-1", "type": kind, "uuid": id, "timestamp": _time(second)}
    return head | {"message": message} | more


def said(
    id: str, parent: str, second: int, message_id: str, *blocks: dict[str, Any], usage: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One line of an answer."""
    more = {"id": message_id, "model": "claude-sonnet-4-5", "usage": usage or {"input_tokens": 3, "output_tokens": 20}}
    return line("assistant", id, parent, second, list(blocks), message=more)


def use(id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def result(id: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": text}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def claude_code() -> list[dict[str, Any]]:
    """Three answers; the first says two things and calls two tools at once."""
    first = {"input_tokens": 4, "cache_creation_input_tokens": 20_000, "cache_read_input_tokens": 0, "output_tokens": 60}
    return [
        {"type": "summary", "summary": "Nodes", "leafUuid": "x"},
        line("user", "u1", "", 0, "Which node of zone eu-1 comes last?"),
        said("a1", "u1", 2, "m1", text("I look."), usage=first),
        said("a2", "a1", 2, "m1", use("t1", "Bash", command="list nodes"), usage=first),
        said("a3", "a2", 3, "m1", use("t2", "Read", file_path="/srv/zones.txt"), usage=first),
        line("user", "u2", "a2", 4, [result("t1", ROWS)]),
        line("user", "u3", "a3", 4, [result("t2", "eu-1 is the second zone")]),
        said("a4", "u3", 6, "m2", use("t3", "Bash", command="describe node-298")),
        line("user", "u4", "a4", 7, [result("t3", "node-298: ready")]),
        said("a5", "u4", 9, "m3", text("node-298")),
    ]


def codex() -> list[dict[str, Any]]:
    """Two answers of Codex: a call, and words."""

    def item(second: int, **payload: Any) -> dict[str, Any]:
        return {"timestamp": _time(second), "type": "response_item", "payload": payload}

    usage = {"input_tokens": 9000, "cached_input_tokens": 0, "output_tokens": 30}
    return [
        {"timestamp": _time(0), "type": "session_meta", "payload": {"id": "r-1", "base_instructions": {"text": "You are an agent."}}},
        {"timestamp": _time(0), "type": "turn_context", "payload": {"model": "gpt-5.1-codex"}},
        item(1, type="message", role="user", content=[{"type": "input_text", "text": "Which node of zone eu-1 comes last?"}]),
        item(2, type="reasoning", summary=[], encrypted_content="c2VjcmV0"),
        item(2, type="function_call", name="exec_command", arguments='{"cmd": "list nodes"}', call_id="c1"),
        {"timestamp": _time(3), "type": "event_msg", "payload": {"type": "token_count", "info": {"last_token_usage": usage}}},
        item(3, type="function_call_output", call_id="c1", output=ROWS),
        item(4, type="message", role="assistant", content=[{"type": "output_text", "text": "node-298"}]),
    ]


def messages(id: str = "talk") -> dict[str, Any]:
    """A line with `messages`, of Chat Completions."""
    call = {"id": "c1", "type": "function", "function": {"name": "list_nodes", "arguments": '{"zone": "all"}'}}
    more = {"id": "c2", "type": "function", "function": {"name": "describe", "arguments": '{"node": "node-298"}'}}
    return {
        "id": id,
        "messages": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": "Which node of zone eu-1 comes last?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": ROWS},
            {"role": "assistant", "content": None, "tool_calls": [more]},
            {"role": "tool", "tool_call_id": "c2", "content": "node-298: ready"},
            {"role": "assistant", "content": "node-298"},
        ],
    }


def written(file: Path, lines: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file
