"""What the providers' APIs refuse in a conversation, as the documentation of each says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def broken(messages: Sequence[dict[str, Any]], dialect: str) -> list[str]:
    """Every rule that does not hold, in words; empty for a conversation that would be taken."""
    return list(_RULES[dialect](messages))


def _anthropic(messages: Sequence[dict[str, Any]]) -> Sequence[str]:
    found = []
    if messages[0]["role"] != "user":
        found.append("the first message must be the user's")
    called: set[str] = set()
    for number, message in enumerate(messages):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if number and message["role"] == messages[number - 1]["role"]:
            found.append(f"message {number}: roles do not alternate")
        if not blocks or any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            found.append(f"message {number}: empty")
        kinds = [block["type"] for block in blocks]
        if "tool_result" in kinds and kinds[0] != "tool_result":
            found.append(f"message {number}: results must come first")
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if called != answered:
            found.append(f"message {number}: calls {sorted(called)}, answers {sorted(answered)}")
        called = {block["id"] for block in blocks if block["type"] == "tool_use"}
    if called:
        found.append("calls without results at the end")
    return found


def _openai(messages: Sequence[dict[str, Any]]) -> Sequence[str]:
    found = []
    open_calls: set[str] = set()
    previous = ""
    for number, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                found.append(f"message {number}: a result without its call")
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            found.append(f"message {number}: calls without results {sorted(open_calls)}")
            open_calls = set()
        if role == previous and role in ("user", "assistant"):
            found.append(f"message {number}: roles do not alternate")
        if message.get("content") in ("", [], None) and not message.get("tool_calls"):
            found.append(f"message {number}: empty")
        open_calls |= {call["id"] for call in message.get("tool_calls") or []}
        previous = role
    if open_calls:
        found.append("calls without results at the end")
    return found


def _responses(items: Sequence[dict[str, Any]]) -> Sequence[str]:
    found = []
    called: list[str] = []
    answered: list[str] = []
    for number, item in enumerate(items):
        kind = item.get("type", "message")
        following = items[number + 1] if number + 1 < len(items) else {}
        if kind == "reasoning" and not (following.get("type", "").endswith("_call") or following.get("role") == "assistant"):
            found.append(f"item {number}: reasoning without what it led to")
        if kind.endswith("_call"):
            called.append(item["call_id"])
            if "needs" in item and (not number or items[number - 1].get("id") != item["needs"]):
                found.append(f"item {number}: a call without its reasoning")
        if kind.endswith("_call_output"):
            answered.append(item["call_id"])
            if item["call_id"] not in called:
                found.append(f"item {number}: a result without its call")
        for block in item["content"] if isinstance(item.get("content"), list) else ():
            wanted = "output_text" if item["role"] == "assistant" else "input_text"
            if block["type"] != wanted:
                found.append(f"item {number}: a block of type {block['type']}")
    if sorted(called) != sorted(answered):
        found.append(f"calls {called}, results {answered}")
    return found


_RULES = {"anthropic": _anthropic, "openai": _openai, "openai_responses": _responses}
