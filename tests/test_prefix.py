"""Tenet 2: what a conversation becomes is a prefix of what the longer conversation becomes, whoever computes it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import headroom
from headroom.settings import Settings
from headroom.store import Store, open_store
from tests.proxy.faces import rows

_SETTINGS = Settings(home=Path("never-used"))
PATHS = ("a.txt", "b.txt")  # what is read is read again, and may have become something else


def log(draw: random.Random) -> str:
    lines = [
        f"2024-05-01T10:{n // 60 % 60:02d}:{n % 60:02d} INFO worker {draw.randrange(9)} took job {draw.randrange(10**6)}"
        for n in range(150)
    ]
    lines.insert(draw.randrange(150), f"2024-05-01T10:00:00 ERROR job {draw.randrange(10**6)} lost its lease")
    return "\n".join(lines)


def order(draw: random.Random) -> str:
    """One object in one of its many states."""
    lines = [{"sku": f"part-{n}", "count": draw.choice((1, 1, 2)), "note": f"shelf {n} of the northern store"} for n in range(12)]
    return json.dumps({"order_id": "#W3414433", "customer": "mei_kovacs_8020", "state": draw.choice(("open", "sent")), "lines": lines})


def conversation(draw: random.Random, anthropic: bool) -> list[dict[str, Any]]:
    """Tool outputs of several kinds, some shown twice, and questions that go back to earlier ones."""
    outputs: list[str] = []
    messages: list[dict[str, Any]] = []
    for turn in range(6):
        about = draw.choice(outputs) if outputs and draw.random() < 0.7 else ""
        words = about[(start := draw.randrange(len(about))) : start + 60] if about else "everything"
        messages.append({"role": "user", "content": f"What about {words}?"})
        for number in range(draw.choice((0, 1, 1, 2))):
            text = (
                draw.choice(outputs)
                if outputs and draw.random() < 0.3
                else draw.choice((log(draw), rows(draw.randrange(99), 60), order(draw), "done"))
            )
            if draw.random() < 0.2:
                text = f"{text}\nand {turn} more"
            outputs.append(text)
            messages += _tool_anthropic(f"t{turn}{number}", text, draw) if anthropic else _tool_openai(f"t{turn}{number}", text)
        messages.append({"role": "assistant", "content": f"Answer {turn}."})
    return messages


def _tool_anthropic(call: str, text: str, draw: random.Random) -> list[dict[str, Any]]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call, "content": text}
    if draw.random() < 0.2:
        result["is_error"] = True
    asked = {"type": "tool_use", "id": call, "name": "read", "input": {"path": PATHS[int(call[1]) % 2]}}
    return [{"role": "assistant", "content": [asked]}, {"role": "user", "content": [result]}]


def _tool_openai(call: str, text: str) -> list[dict[str, Any]]:
    asked = {"id": call, "type": "function", "function": {"name": "read", "arguments": json.dumps({"path": PATHS[int(call[1]) % 2]})}}
    return [{"role": "assistant", "content": None, "tool_calls": [asked]}, {"role": "tool", "tool_call_id": call, "content": text}]


def ends(messages: list[dict[str, Any]]) -> list[int]:
    """How many messages each request of the conversation holds: all before each answer."""
    return [number for number, message in enumerate(messages) if message["role"] == "assistant"]


def forwarded(messages: list[dict[str, Any]], store: Store) -> list[dict[str, Any]]:
    return headroom.compress(messages, store=store, settings=_SETTINGS).messages


@pytest.mark.parametrize("anthropic", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_the_prefix_never_moves(tmp_path: Path, anthropic: bool, seed: int) -> None:
    messages = conversation(random.Random(seed), anthropic)
    one_store = open_store(Settings(home=tmp_path / "one"))
    seen: list[dict[str, Any]] = []
    for end in ends(messages):
        now = forwarded(messages[:end], one_store)
        assert now[: len(seen)] == seen
        assert now == forwarded(messages[:end], open_store(Settings(home=tmp_path / f"new-{end}")))
        seen = now
    assert seen != messages[: len(seen)]
