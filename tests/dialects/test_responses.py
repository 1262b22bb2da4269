"""OpenAI Responses, item by item: what is a segment, what a turn, and that everything else stays byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.dialects import OPENAI_CHAT, OPENAI_RESPONSES, dialect_of, read_any
from headroom.dialects.base import splice
from headroom.errors import InvalidRequest
from headroom.model import Compressed, Segment, Turn
from headroom.outcome import Usage

USER = {"role": "user", "content": "Which node is full?"}
SAID = {
    "type": "message",
    "role": "assistant",
    "id": "msg_1",
    "content": [{"type": "output_text", "text": "I will look.", "annotations": []}],
}


def walked(given: Any) -> tuple[list[Segment], list[Turn]]:
    call = OPENAI_RESPONSES.read(json.dumps({"model": "m", "input": given}).encode())
    found = list(OPENAI_RESPONSES.walk(call))
    return [item for item in found if isinstance(item, Segment)], [item for item in found if isinstance(item, Turn)]


CALLS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "df", "arguments": '{"path": "/"}'},
        {"type": "function_call_output", "call_id": "c", "output": "one"},
        "df",
        '{"path": "/"}',
    ),
    (
        {"type": "function_call", "call_id": "c", "name": "df", "namespace": "mcp__disk", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_image", "image_url": "data:..."}, {"type": "input_text", "text": "one"}],
        },
        "df",
        "{}",
    ),
    (
        {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "df -h"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "one"},
        "exec",
        "df -h",
    ),
    (
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "status": "completed", "action": {"type": "exec", "command": ["df"]}},
        {"type": "local_shell_call_output", "id": "c", "output": "one"},
        "local_shell",
        '{"type": "exec", "command": ["df"]}',
    ),
    (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["df"]}},
        {
            "type": "shell_call_output",
            "call_id": "c",
            "max_output_length": 9000,
            "output": [{"stdout": "one", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        "shell",
        '{"commands": ["df"]}',
    ),
    (
        {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "completed", "output": "one"},
        "apply_patch",
        '{"type": "delete_file", "path": "a"}',
    ),
]


@pytest.mark.parametrize(("call", "output", "tool", "arguments"), CALLS, ids=[f"{case[0]['type']}{n}" for n, case in enumerate(CALLS)])
def test_a_result_knows_its_call_and_its_question(call: dict[str, Any], output: dict[str, Any], tool: str, arguments: str) -> None:
    segments, turns = walked([USER, SAID, call, output])
    first = segments[0]
    assert (first.text, first.tool, first.arguments) == ("one", tool, arguments)
    assert (first.question, first.intent, first.protected) == ("Which node is full?", "I will look.", "")
    if output["type"] == "shell_call_output":  # it has a length of its own
        assert [segment.text for segment in segments] == ["one", ""]
        assert [turn.form for turn in turns] == ["wrap"]
    else:
        assert [(turn.form, turn.query) for turn in turns] == [("wrap", "Which node is full?"), ("append", arguments)]


def test_parallel_results_are_one_turn() -> None:
    call, output = CALLS[0][0], CALLS[0][1]
    other, result = {**call, "call_id": "d", "arguments": "[]"}, {**output, "call_id": "d", "output": "two"}
    segments, turns = walked([USER, SAID, call, other, output, result])
    assert [(segment.text, segment.arguments) for segment in segments] == [("one", '{"path": "/"}'), ("two", "[]")]
    assert [(turn.query, turn.before, turn.segments) for turn in turns] == [("Which node is full?", 0, 0), ('{"path": "/"}\n[]', 0, 2)]


def test_an_intent_lasts_until_its_results() -> None:
    call, output = CALLS[0][0], CALLS[0][1]
    segments, _ = walked([USER, SAID, call, output, {"type": "reasoning", "id": "rs_1", "summary": []}, call, output])
    assert [segment.intent for segment in segments] == ["I will look.", ""]


def test_the_tail_behind_an_earlier_response_names_its_tool_where_it_says_so() -> None:
    segments, turns = walked([{"type": "function_call_output", "call_id": "c", "name": "df", "output": "one"}])
    assert [(segment.text, segment.tool) for segment in segments] == [("one", "df")]
    assert len(turns) == 1


def test_a_failed_patch_is_protected() -> None:
    segments, _ = walked([{"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no such file"}])
    assert [segment.protected for segment in segments] == ["error_result"]


def test_what_was_retrieved_or_cannot_be_said_is_protected() -> None:
    call, output = CALLS[0][0], CALLS[0][1]
    segments, _ = walked([{**call, "name": "mcp__headroom_retrieve"}, output])
    assert [segment.protected for segment in segments] == ["retrieved"]
    segments, _ = walked([call, {**output, "output": "\ud800"}])
    assert [segment.protected for segment in segments] == ["lone_surrogate"]


UNTOUCHED: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "long"}], "encrypted_content": "gAAAA"},
    {"type": "item_reference", "id": "msg_0"},
    {"role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
    {"role": "system", "content": "rules"},
    {"type": "mcp_call", "id": "mcp_1", "name": "search", "server_label": "s", "arguments": "{}", "output": "rows", "error": None},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
    {"type": "mcp_approval_request", "id": "mcpr_1", "arguments": "{}", "name": "n", "server_label": "s"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": [{"text": "found"}]},
    {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "outputs": [{"type": "logs", "logs": "1"}]},
    {"type": "computer_call_output", "call_id": "cc", "output": {"type": "computer_screenshot", "image_url": "data:..."}},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBOR"},
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"},
    {"type": "compaction_trigger"},
    {"type": "tool_search_output", "call_id": "t", "tools": []},
    {"type": "program_output", "id": "po_1", "call_id": "p", "result": "text", "status": "completed"},
    {"type": "hologram", "output": "text", "content": [{"type": "input_text", "text": "text"}], "call_id": 7},
    {"type": [], "role": {}, "content": 1},
    {"type": "function_call_output", "call_id": "c", "output": None},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "data:..."}, 7]},
    {},
]


@pytest.mark.parametrize("item", UNTOUCHED, ids=lambda item: str(item.get("type", item.get("role"))))
def test_what_is_not_ours_is_no_segment(item: dict[str, Any]) -> None:
    assert walked([item]) == ([], [])


def test_a_string_is_the_users_words() -> None:
    segments, turns = walked("Which node is full?")
    assert segments == []
    assert [(turn.query, turn.form, turn.spoken) for turn in turns] == [("Which node is full?", "append", True)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("hi", [{"type": "input_text", "text": "hi"}, {"type": "input_text", "text": "BLOCK"}]),
        (
            [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:...", "detail": "auto"}],
            [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "image_url": "data:...", "detail": "auto"},
                {"type": "input_text", "text": "BLOCK"},
            ],
        ),
    ],
)
def test_what_is_recalled_stands_in_a_part_of_its_own(content: Any, expected: Any) -> None:
    call = OPENAI_RESPONSES.read(json.dumps({"input": [{"role": "user", "content": content}]}).encode())
    turns = [item for item in OPENAI_RESPONSES.walk(call) if isinstance(item, Turn)]
    spliced = json.loads(splice(call, [], [], turns, [Compressed("BLOCK")]))
    assert spliced == {"input": [{"role": "user", "content": expected}]}


def test_recall_behind_a_result_is_appended_to_its_text() -> None:
    call = OPENAI_RESPONSES.read(json.dumps({"input": [CALLS[0][1]]}).encode())
    segment, turn = OPENAI_RESPONSES.walk(call)
    assert isinstance(segment, Segment)
    assert isinstance(turn, Turn)
    spliced = json.loads(splice(call, [segment], [Compressed("less")], [turn], [Compressed("BLOCK")]))
    assert spliced["input"][0]["output"] == "less\n\nBLOCK"


def test_texts_are_what_a_model_reads() -> None:
    given = [USER, SAID, *(item for case in CALLS for item in case[:2]), *UNTOUCHED]
    texts = list(OPENAI_RESPONSES.texts(OPENAI_RESPONSES.read(json.dumps({"input": given}).encode())))
    assert texts[:4] == ["Which node is full?", "I will look.", '{"path": "/"}', "one"]
    assert texts.count("one") == len(CALLS)
    assert list(OPENAI_RESPONSES.texts(OPENAI_RESPONSES.read(b'{"input": "hello"}'))) == ["hello"]


@pytest.mark.parametrize("raw", [b'{"input":7}', b'{"input":{}}', b'{"input":[7]}', b'{"input":true}', b"[]", b"{", b"\xff"])
def test_refuses_what_is_no_call(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        OPENAI_RESPONSES.read(raw)


@pytest.mark.parametrize("raw", [b'{"model":"m"}', b'{"input":null,"prompt":{"id":"p"}}', b'{"input":[]}', b'{"input":""}'])
def test_a_call_without_items_is_the_providers_to_judge(raw: bytes) -> None:
    call = OPENAI_RESPONSES.read(raw)
    assert OPENAI_RESPONSES.segments(call) == ()


def test_the_dialect_is_told_by_the_shape() -> None:
    assert dialect_of(read_any(b'{"input": [{"role": "user", "content": "hi"}]}')) is OPENAI_RESPONSES
    assert dialect_of(read_any(b'{"messages": [{"role": "user", "content": "hi"}], "input": "x"}')) is OPENAI_CHAT
    for neither in (b"{}", b'{"input": null}', b'{"input": 7}'):
        with pytest.raises(InvalidRequest):
            read_any(neither)


def test_usage() -> None:
    usage = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 9, "total_tokens": 14}
    for kind in ("completed", "incomplete", "failed"):
        assert OPENAI_RESPONSES.usage({"type": f"response.{kind}", "response": {"usage": usage}}) == Usage(5, 9, 3, None)
    assert OPENAI_RESPONSES.usage({"object": "response", "usage": usage}) == Usage(5, 9, 3, None)
    for odd in ({"response": {"usage": None}}, {"response": None}, {"response": []}, {"response": {"usage": [1]}}):
        assert OPENAI_RESPONSES.usage(odd) == Usage()
