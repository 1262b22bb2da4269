"""The prefix never moves: what a turn forwards is the beginning of what the next one forwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.conversation import by_key, read_conversation
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, Dialect
from headroom.dialects.base import splice
from headroom.model import Compressed, Policy
from headroom.store.sqlite import SqliteStore
from headroom.worker import Worker

ROWS = json.dumps([{"id": n, "name": f"service-{n % 9}", "owner": f"team-{n % 7}", "latency_ms": n * 37 % 900} for n in range(300)])
LOG = "\n".join(f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}Z INFO worker-{n % 9} request {n} took {n * 31 % 700} ms" for n in range(900))
FILE = "\n".join(f"def function_{n}(value):\n    return value * {n}\n" for n in range(150))
TURNS = [
    ("List the services.", "list_services", {"limit": 300}, ROWS),
    ("Now the log, please.", "read_log", {"path": "app.log"}, LOG),
    ("Which service has id 217, and what was request 431?", "read_file", {"path": "a.py"}, FILE),
    ("Read it again.", "read_file", {"path": "a.py"}, FILE),
    ("And who owns 133?", "list_services", {"limit": 300}, ROWS),
]


def anthropic() -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number, (question, tool, arguments, output) in enumerate(TURNS):
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{number}", "name": tool, "input": arguments}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": output}]},
            {"role": "assistant", "content": "I have it."},
        ]
    return messages


def openai() -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are an operator."}]
    for number, (question, tool, arguments, output) in enumerate(TURNS):
        function = {"name": tool, "arguments": json.dumps(arguments)}
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": None, "tool_calls": [{"id": f"t{number}", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": f"t{number}", "content": output},
            {"role": "assistant", "content": "I have it."},
        ]
    return messages


class Face:
    """A server in small: forwards one request after the other, remembering what it knows or not."""

    def __init__(self, dialect: Dialect, directory: Path) -> None:
        self.dialect = dialect
        self.store = SqliteStore(directory / "store.sqlite", ttl_s=3600, max_bytes=10**9)
        self.known: dict[str, Compressed] = {}

    def forward(self, messages: list[dict[str, Any]]) -> list[Any]:
        call = self.dialect.read(json.dumps({"model": "m", "messages": messages}).encode())
        talk = read_conversation(self.dialect, call, Policy(), "local")
        job = talk.job(self.known, "m")
        self.known |= by_key(job, Worker(self.store).run(job))
        sent = splice(call, talk.segments, talk.results(self.known), talk.turns, talk.recalled(self.known))
        return list(json.loads(sent)["messages"])


def requests(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """What an agent sends: everything before each of its answers."""
    for position, message in enumerate(messages):
        if message["role"] == "assistant":
            yield messages[:position]


CASES = [(ANTHROPIC, anthropic()), (OPENAI_CHAT, openai())]


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
def test_every_request_begins_with_the_one_before(dialect: Dialect, messages: list[dict[str, Any]], forgets: bool, tmp_path: Path) -> None:
    face, before = Face(dialect, tmp_path), list[Any]()
    for request in requests(messages):
        if forgets:
            face.known.clear()
        sent = face.forward(request)
        assert sent[: len(before)] == before
        before = sent


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
def test_a_replica_with_a_store_of_its_own_forwards_the_same(dialect: Dialect, messages: list[dict[str, Any]], tmp_path: Path) -> None:
    one, whole = Face(dialect, tmp_path / "one"), Face(dialect, tmp_path / "two").forward(messages)
    for request in requests(messages):
        sent = one.forward(request)
    assert whole[: len(sent)] == sent


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
def test_later_turns_see_what_they_ask_for_and_a_second_read_is_a_reference(
    dialect: Dialect, messages: list[dict[str, Any]], tmp_path: Path
) -> None:
    sent = [json.dumps(message) for message in Face(dialect, tmp_path).forward(messages)]
    asked = next(text for text in sent if "which service has id 217" in text.lower())
    assert "request 431 took" in asked
    assert "service-1" in asked
    assert sum("def function_77(value)" in text for text in sent) <= 1
    assert sum("are the same as lines" in text for text in sent) >= 1


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
def test_words_and_roles_stay(dialect: Dialect, messages: list[dict[str, Any]], tmp_path: Path) -> None:
    sent = Face(dialect, tmp_path).forward(messages)
    assert [message["role"] for message in sent] == [message["role"] for message in messages]
    for message, original in zip(sent, messages, strict=True):
        if isinstance(original["content"], str) and original["role"] != "tool":
            content = message["content"]
            assert (content if isinstance(content, str) else content[0]["text"]) == original["content"]


def test_every_hash_redeems_the_exact_original(tmp_path: Path) -> None:
    face = Face(OPENAI_CHAT, tmp_path)
    face.forward(openai())
    originals = {face.store.get_original("local", result.hash).text for result in face.known.values() if result.hash}
    assert originals == {ROWS, LOG, FILE}
