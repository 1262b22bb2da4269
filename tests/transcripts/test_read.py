"""What is read of the transcripts of agents, and of files with requests."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from headroom.dialects import DIALECTS
from headroom.transcripts.conversation import Conversation, Problem, is_sound
from headroom.transcripts.read import read, usual_places
from tests.transcripts import samples
from tests.transcripts.samples import line, said, text, written


def conversations(*places: Path) -> list[Conversation]:
    found = list(read(places))
    assert [one for one in found if isinstance(one, Problem)] == []
    return [one for one in found if isinstance(one, Conversation)]


def one(file: Path) -> Conversation:
    (found,) = conversations(file)
    return found


def check_requests(conversation: Conversation) -> list[dict[str, Any]]:
    """Every request is one that our own reader takes, and begins with the one before it."""
    bodies = [dict(turn.body()) for turn in conversation.turns]
    for body in bodies:
        assert not DIALECTS[conversation.path].read(json.dumps(body).encode()).reason
    key = "input" if conversation.path == "/v1/responses" else "messages"
    for earlier, later in itertools.pairwise(bodies):
        unmarked = [json.loads(json.dumps(body[key]).replace(', "cache_control": {"type": "ephemeral"}', "")) for body in (earlier, later)]
        assert unmarked[1][: len(unmarked[0])] == unmarked[0]
        assert {**earlier, key: ()} == {**later, key: ()}
    return bodies


def test_claude_code(tmp_path: Path) -> None:
    found = one(written(tmp_path / "a.jsonl", samples.claude_code()))
    assert (found.source, found.path, found.model, found.hides) == ("Claude Code", "/v1/messages", "claude-sonnet-4-5", True)
    first, second, third = check_requests(found)
    assert [message["role"] for message in third["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert [block["type"] for block in second["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in second["messages"][2]["content"]] == ["t1", "t2"]
    assert [tool["name"] for tool in first["tools"]] == ["Bash", "Read"]
    assert found.turns[0].paid is not None
    assert found.turns[0].paid.cache_write_tokens == 20_000
    assert found.turns[1].given == ("describe node-298",)
    assert [turn.at for turn in found.turns] == [1_760_000_002, 1_760_000_006, 1_760_000_009]


def test_claude_code_goes_back_and_says_something_else(tmp_path: Path) -> None:
    lines = [*samples.claude_code(), line("user", "u5", "a3", 20, "Or rather eu-2?"), said("a6", "u5", 22, "m4", text("node-299"))]
    found = one(written(tmp_path / "a.jsonl", lines))
    assert found.unsound == 1, "the calls that were never answered cannot be sent"
    lines[-2:] = [line("user", "u5", "u1", 20, "Or rather eu-2?"), said("a6", "u5", 22, "m4", text("node-299"))]
    found = one(written(tmp_path / "a.jsonl", lines))
    assert "node-298" not in json.dumps(found.turns[-1].body()["messages"])


def test_claude_code_sums_up_and_begins_anew(tmp_path: Path) -> None:
    summed = [
        {"type": "system", "subtype": "compact_boundary", "sessionId": "s-1", "uuid": "b1"},
        line("user", "u9", "b1", 30, "So far: node-298.", isCompactSummary=True),
        said("a9", "u9", 31, "m9", text("Good.")),
    ]
    old, new = conversations(written(tmp_path / "a.jsonl", [*samples.claude_code(), *summed]))
    assert (len(old.turns), len(new.turns)) == (3, 1)
    assert old.id != new.id
    assert len(new.turns[0].body()["messages"]) == 1


def test_a_resumed_session_is_not_counted_twice(tmp_path: Path) -> None:
    more = [line("user", "u5", "a5", 20, "Thanks. And eu-2?"), said("a6", "u5", 22, "m4", text("node-299"))]
    written(tmp_path / "a.jsonl", samples.claude_code())
    written(tmp_path / "b.jsonl", [*samples.claude_code(), *more])
    assert sum(len(found.turns) for found in conversations(tmp_path)) == 4


def test_sub_agents_are_conversations_of_their_own(tmp_path: Path) -> None:
    side = [
        line("user", "w1", "", 2, "Count them.", isSidechain=True, agentId="q"),
        said("w2", "w1", 3, "n1", text("300")) | {"isSidechain": True, "agentId": "q"},
    ]
    found = conversations(written(tmp_path / "a.jsonl", [*samples.claude_code(), *side]))
    assert sorted(len(talk.turns) for talk in found) == [1, 3]


def test_codex(tmp_path: Path) -> None:
    found = one(written(tmp_path / "rollout-1.jsonl", samples.codex()))
    assert (found.source, found.path, found.model) == ("Codex", "/v1/responses", "gpt-5.1-codex")
    first, second = check_requests(found)
    assert first["instructions"] == "You are an agent."
    assert [item["type"] for item in second["input"]] == ["message", "reasoning", "function_call", "function_call_output"]
    assert found.turns[0].given == ("list nodes",)
    assert found.turns[0].paid is not None
    assert found.turns[0].paid.input_tokens == 9000


def test_lines_with_messages(tmp_path: Path) -> None:
    found = one(written(tmp_path / "a.jsonl", [samples.messages()]))
    assert (found.id, found.source, found.path) == ("talk", "messages", "/v1/chat/completions")
    bodies = check_requests(found)
    assert [len(body["messages"]) for body in bodies] == [2, 4, 6]
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["describe", "list_nodes"]
    assert found.turns[1].given == ("node-298",)


def test_a_request_without_answers_is_one_turn(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "claude-opus-4-5", "system": "s", "messages": [{"role": "user", "content": "q"}]}, indent=1))
    found = one(file)
    assert (found.path, found.model, len(found.turns)) == ("/v1/messages", "claude-opus-4-5", 1)


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"custom_id": "1", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", **samples.messages()}}, "/v1/chat/completions"),
        (
            {"custom_id": "1", "url": "/v1/responses", "body": {"model": "gpt-5", "input": [{"role": "user", "content": "q"}]}},
            "/v1/responses",
        ),
        ({"custom_id": "1", "params": {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "q"}]}}, "/v1/messages"),
    ],
    ids=["chat", "responses", "anthropic"],
)
def test_batch_files(record: dict[str, Any], path: str, tmp_path: Path) -> None:
    found = one(written(tmp_path / "batch.jsonl", [record]))
    assert (found.id, found.source, found.path, len(found.turns)) == ("1", "batch", path, 1)


@pytest.mark.parametrize(
    "bad", [b"{no JSON\n", b"[1]\n", b'{"messages": []}\n', b'{"messages": [3]}\n', b'{"a": 1}\n', b"[" * 200_000 + b"\n"]
)
def test_what_cannot_be_read_is_named_and_nothing_else_is_lost(bad: bytes, tmp_path: Path) -> None:
    good = json.dumps(samples.messages()).encode() + b"\n"
    file = tmp_path / "a.jsonl"
    file.write_bytes(good + bad + good)
    found = list(read([file]))
    assert [isinstance(one, Problem) for one in found] == [False, True, False]
    assert str(found[1]).startswith(f"{file}:2: ")


def test_a_folder_without_leave_is_named(tmp_path: Path) -> None:
    (problem,) = read([tmp_path / "gone.jsonl"])
    assert isinstance(problem, Problem)
    assert problem.line == 0


def test_usual_places(tmp_path: Path) -> None:
    assert usual_places(tmp_path / "claude", tmp_path / "codex") == []
    (tmp_path / "claude" / "projects").mkdir(parents=True)
    assert usual_places(tmp_path / "claude", tmp_path / "codex") == [tmp_path / "claude" / "projects"]


def test_what_a_provider_would_refuse() -> None:
    asked = {"role": "assistant", "content": [samples.use("t", "Bash")]}
    answered = {"role": "user", "content": [samples.result("t", "r")]}
    assert is_sound([asked, answered])
    assert not is_sound([asked])
    assert not is_sound([answered])
    assert not is_sound([asked, {"role": "user", "content": "never mind"}])


@pytest.mark.parametrize(
    ("lines", "place", "odd", "where"),
    [
        (samples.claude_code(), ("uuid",), {"a": 1}, "uuid"),
        (samples.claude_code(), ("message", "content"), [{"type": "tool_use", "id": []}], "content.0.id"),
        (samples.claude_code(), ("message", "usage"), {"input_tokens": "4"}, "usage.input_tokens"),
        (samples.codex(), ("payload", "call_id"), {"a": 1}, "call_id"),
        (samples.codex(), ("payload", "tool_calls"), 3, "tool_calls"),
        (samples.codex(), ("payload", "type"), ["message"], "type"),
        ([samples.messages(), samples.messages("b")], ("messages",), [{"role": "tool", "tool_call_id": {}}], "messages.0.tool_call_id"),
        ([samples.messages(), samples.messages("b")], ("messages",), [{"role": "user", "content": [3]}], "messages.0.content.0"),
    ],
)
def test_a_line_of_another_shape_is_named(
    lines: list[dict[str, Any]], place: tuple[str, ...], odd: object, where: str, tmp_path: Path
) -> None:
    lines = copy.deepcopy(lines)
    holder: Any = lines[-1]
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = odd
    found = list(read([written(tmp_path / "a.jsonl", lines)]))
    (problem,) = [one for one in found if isinstance(one, Problem)]
    assert str(problem).startswith(f"{tmp_path / 'a.jsonl'}:{len(lines)}: {where}: ")
    assert [one for one in found if isinstance(one, Conversation)]
