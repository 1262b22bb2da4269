"""The prefix never moves: what a turn forwards is the beginning of what the next one forwards."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from headroom.ccr.marker import hashes
from headroom.conversation import read_conversation
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, Dialect
from headroom.model import LOCAL, Advice, Compressed, Policy, Recall, Repeat, Segment, SourceRef
from headroom.store.sqlite import SqliteStore
from tests.forwarding import Face, requests

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


def face(dialect: Dialect, directory: Path) -> Face:
    return Face(dialect, SqliteStore(directory / "store.sqlite", ttl_s=3600, max_bytes=10**9))


CASES = [(ANTHROPIC, anthropic()), (OPENAI_CHAT, openai())]


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
def test_every_request_begins_with_the_one_before(dialect: Dialect, messages: list[dict[str, Any]], forgets: bool, tmp_path: Path) -> None:
    server, before = face(dialect, tmp_path), list[Any]()
    for request in requests(messages):
        if forgets:
            server.known.clear()
        sent = server.forward(request)
        assert sent[: len(before)] == before
        before = sent


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
def test_a_replica_with_a_store_of_its_own_forwards_the_same(dialect: Dialect, messages: list[dict[str, Any]], tmp_path: Path) -> None:
    one, whole = face(dialect, tmp_path / "one"), face(dialect, tmp_path / "two").forward(messages)
    for request in requests(messages):
        sent = one.forward(request)
    assert whole[: len(sent)] == sent


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
def test_later_turns_see_what_they_ask_for_and_a_second_read_is_a_reference(
    dialect: Dialect, messages: list[dict[str, Any]], tmp_path: Path
) -> None:
    sent = [json.dumps(message) for message in face(dialect, tmp_path).forward(messages)]
    asked = next(text for text in sent if "which service has id 217" in text.lower())
    assert "request 431 took" in asked
    assert "service-1" in asked
    assert sum("def function_77(value)" in text for text in sent) <= 1
    assert sum("are the same as lines" in text for text in sent) >= 1


def test_an_object_that_comes_again_changed_is_told_by_what_changed(tmp_path: Path) -> None:
    def state(cabin: str, paid: list[int]) -> str:
        flights = [
            {"flight_number": f"HAT{n}", "origin": "IAH", "destination": "SFO", "date": f"2024-05-{n}", "price": n} for n in range(10, 16)
        ]
        return json.dumps({"reservation_id": "HXDUBJ", "user_id": "yara_garcia_1905", "cabin": cabin, "flights": flights, "payments": paid})

    messages: list[dict[str, Any]] = [{"role": "user", "content": "Upgrade my reservation."}]
    for number, output in enumerate((state("economy", [533]), state("business", [533, 120]))):
        function = {"name": "get_reservation", "arguments": json.dumps({"id": "HXDUBJ"})}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [{"id": f"t{number}", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": f"t{number}", "content": output},
        ]
    one = face(OPENAI_CHAT, tmp_path)
    head, *lines = str(one.forward(messages)[-1]["content"]).split("\n")
    assert head.startswith('[the JSON of get_reservation({"id": "HXDUBJ"}) above, complete, with these differences; original hash=')
    assert lines == ['cabin = "business"', "payments[+] = 120"]
    (hash,) = hashes(head)
    assert one.store.get_original(one.caller.scope, hash).text == messages[-1]["content"]


@pytest.mark.parametrize(("dialect", "messages"), CASES, ids=["anthropic", "openai"])
def test_words_and_roles_stay(dialect: Dialect, messages: list[dict[str, Any]], tmp_path: Path) -> None:
    sent = face(dialect, tmp_path).forward(messages)
    assert [message["role"] for message in sent] == [message["role"] for message in messages]
    for message, original in zip(sent, messages, strict=True):
        if isinstance(original["content"], str) and original["role"] != "tool":
            content = message["content"]
            assert (content if isinstance(content, str) else content[0]["text"]) == original["content"]


def test_every_hash_redeems_the_exact_original(tmp_path: Path) -> None:
    server = face(OPENAI_CHAT, tmp_path)
    server.forward(openai())
    originals = {server.store.get_original("local", result.hash).text for result in server.known.values() if result.hash}
    assert originals == {ROWS, LOG, FILE}


def test_a_text_crosses_the_hop_once() -> None:
    call = OPENAI_CHAT.read(json.dumps({"model": "m", "messages": openai()}).encode())
    talk = read_conversation(OPENAI_CHAT, call, Policy(), LOCAL.scope)
    texts = tuple(OPENAI_CHAT.texts(call))
    job = talk.job({}, "m", texts)
    assert job.count == texts
    assert {type(text) for text in job.count} == {str}
    alone = talk.job({}, "m")
    assert len(pickle.dumps(job)) < len(pickle.dumps(alone)) + 5000 < len(pickle.dumps(alone)) + len(ROWS)


def responses() -> list[list[dict[str, Any]]]:
    """The same conversation as items, in the pieces that are added between one request and the next."""
    pieces: list[list[dict[str, Any]]] = []
    said: list[dict[str, Any]] = []
    for number, (question, tool, arguments, output) in enumerate(TURNS):
        call = {"type": "function_call", "call_id": f"t{number}", "name": tool, "arguments": json.dumps(arguments)}
        result: dict[str, Any] = {"type": "function_call_output", "call_id": f"t{number}", "output": output}
        if number % 2:
            result["output"] = [{"type": "input_text", "text": output}]
        pieces += [
            [*said, {"role": "user", "content": [{"type": "input_text", "text": question}]}],
            [{"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "gAAAA"}, call, result],
        ]
        said = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I have it."}]}]
    return pieces


def test_items_stay_what_they_became(tmp_path: Path) -> None:
    server, forgetful = face(OPENAI_RESPONSES, tmp_path / "one"), face(OPENAI_RESPONSES, tmp_path / "two")
    items: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    for piece in responses():
        items += piece
        raw = json.dumps({"model": "m", "input": items}).encode()
        body = server.body(raw)
        forgetful.known.clear()
        assert forgetful.body(raw) == body
        sent = json.loads(body)["input"]
        assert sent[: len(before)] == before
        assert [item.get("type") for item in sent] == [item.get("type") for item in items]
        before = sent
    text = json.dumps(before)
    assert "Headroom recall" in text
    assert list(hashes(text))
    assert len(text) < 0.6 * len(json.dumps(items))


@pytest.mark.parametrize(
    "value",
    [
        Segment("text", (1, 7), (2, 3), "tool", "{}", "question?", "intent", "why", Advice(asked=3)),
        Compressed("text", "log", "", 9, 4, "0" * 16, 7, 5, 0.5),
        Compressed(None, reason="small"),
        SourceRef(1, "key", Compressed("text"), "read()", "text"),
        Recall("key", "query", 3, True, Compressed("text"), 7),
        Repeat(1, 2, 3, 4, True),
    ],
)
def test_what_crosses_to_a_worker_is_the_same_there(value: Any) -> None:
    there = pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    assert (type(there), there) == (type(value), value)
