"""Finished answers: which may be given again, and one form from the other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.cache.exact import Answer, told_for
from headroom.dialects import ANSWERS, ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, Dialect
from headroom.sse import EventReader

CLAUDE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hä 1", "citations": [{"type": "char_location", "cited_text": "a"}]},
        {"type": "text", "text": "two"},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}
CHAT: dict[str, Any] = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": n, "message": {"role": "assistant", "content": f"Hä {n}", "refusal": None}, "logprobs": None, "finish_reason": "stop"}
        for n in range(2)
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5},
}
RESPONSES: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "m",
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": []},
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hä", "annotations": []}],
        },
    ],
    "usage": {"input_tokens": 3, "output_tokens": 5},
}
ALL: list[tuple[Dialect, dict[str, Any]]] = [(ANTHROPIC, CLAUDE), (OPENAI_CHAT, CHAT), (OPENAI_RESPONSES, RESPONSES)]
IDS = [dialect.name for dialect, _ in ALL]


def events(raw: bytes) -> list[bytes]:
    return list(EventReader().feed(raw))


@pytest.mark.parametrize(("dialect", "whole"), ALL, ids=IDS)
def test_a_whole_answer_told_as_a_stream_is_the_same_answer(dialect: Dialect, whole: dict[str, Any]) -> None:
    form = ANSWERS[dialect]
    assert form.is_final(whole)
    assert form.usage_told(whole)
    assert form.whole(events(b"".join(form.events(whole, True)))) == whole


@pytest.mark.parametrize(("dialect", "whole"), ALL, ids=IDS)
def test_a_stream_that_breaks_off_or_fails_is_no_answer(dialect: Dialect, whole: dict[str, Any]) -> None:
    form = ANSWERS[dialect]
    told = events(b"".join(form.events(whole, True)))
    for end in range(len(told)):
        assert form.whole(told[:end]) is None
    failed = json.dumps({"type": "error", "error": {"message": "overloaded"}}).encode()
    assert form.whole([*told[:-1], failed]) is None
    if dialect is not OPENAI_RESPONSES:  # its last event tells everything
        assert form.whole([*told[:-2], failed, *told[-2:]]) is None
    assert form.whole([*told[:-1], b"{no json"]) is None


def changed(whole: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(whole))
    inner: Any = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return copy


@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        *((ANTHROPIC, changed(CLAUDE, "stop_reason", to=end)) for end in ("max_tokens", "tool_use", "refusal", "pause_turn", None)),
        (ANTHROPIC, changed(CLAUDE, "content", 3, to={"type": "tool_use", "id": "t", "name": "n", "input": {}})),
        (ANTHROPIC, changed(CLAUDE, "content", 3, to={"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}})),
        (ANTHROPIC, changed(CLAUDE, "content", to=[])),
        (ANTHROPIC, {"type": "error", "error": {}}),
        *((OPENAI_CHAT, changed(CHAT, "choices", 1, "finish_reason", to=end)) for end in ("length", "content_filter", "tool_calls", None)),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "refusal", to="no")),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "tool_calls", to=[{"id": "c"}])),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "content", to=None)),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, to="odd")),
        (OPENAI_CHAT, {"error": {}}),
        *((OPENAI_RESPONSES, changed(RESPONSES, "status", to=end)) for end in ("incomplete", "failed", "in_progress")),
        (OPENAI_RESPONSES, changed(RESPONSES, "output", 0, "type", to="function_call")),
        (OPENAI_RESPONSES, changed(RESPONSES, "output", 1, "content", 0, to={"type": "refusal", "refusal": "no"})),
        (OPENAI_RESPONSES, changed(RESPONSES, "incomplete_details", to={"reason": "content_filter"})),
    ],
)
def test_answers_that_must_not_be_given_again(dialect: Dialect, answer: dict[str, Any]) -> None:
    assert not ANSWERS[dialect].is_final(answer)


def test_a_stream_of_more_than_words_is_told_in_no_other_form() -> None:
    form = ANSWERS[OPENAI_CHAT]
    head = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": None}]}
    assert form.whole([json.dumps(head).encode(), b"[DONE]"]) is None
    start = json.dumps({"type": "message_start", "message": {"content": []}}).encode()
    stop = b'{"type":"message_stop"}'
    for odd in ({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}, {"type": "new_event", "index": 0}):
        assert ANSWERS[ANTHROPIC].whole([start, json.dumps(odd).encode(), stop]) is None


def test_what_was_billed_is_told_to_who_asked_for_it() -> None:
    form = ANSWERS[OPENAI_CHAT]

    def call(more: dict[str, Any]) -> bool:
        return form.tells_usage(OPENAI_CHAT.read(json.dumps({"messages": [{}]} | more).encode()))

    assert call({})
    assert not call({"stream": True})
    assert call({"stream": True, "stream_options": {"include_usage": True}})
    assert b'"usage"' not in b"".join(form.events(CHAT, False))


def test_what_providers_add_to_a_choice_is_told_in_both_forms() -> None:
    form = ANSWERS[OPENAI_CHAT]
    whole = changed(CHAT, "choices", 0, "native_finish_reason", to="STOP")
    told = events(b"".join(form.events(whole, True)))
    assert form.whole(told) == whole
    other = told[1].replace(b'"finish_reason":null', b'"finish_reason":null,"native_finish_reason":"LENGTH"')
    assert form.whole([told[0], other, *told[2:]]) is None


def test_what_anthropic_says_at_the_end_belongs_to_the_message() -> None:
    form = ANSWERS[ANTHROPIC]
    told = [json.loads(event) for event in events(b"".join(form.events(CLAUDE, True)))]
    told[-2]["context_management"] = {"applied_edits": [{"type": "clear"}]}
    again = form.whole([json.dumps(event).encode() for event in told])
    assert again == CLAUDE | {"context_management": {"applied_edits": [{"type": "clear"}]}}


def test_a_stream_of_responses_tells_summaries_and_logprobs_where_clients_look_for_them() -> None:
    logprobs = [{"token": "H", "logprob": -0.1, "top_logprobs": []}]
    whole = changed(RESPONSES, "output", 0, "summary", to=[{"type": "summary_text", "text": "Hm."}])
    whole = changed(whole, "output", 1, "content", 0, "logprobs", to=logprobs)
    told = [json.loads(event) for event in events(b"".join(ANSWERS[OPENAI_RESPONSES].events(whole, True)))]
    by_kind = {event["type"]: event for event in told}
    assert by_kind["response.reasoning_summary_text.delta"]["delta"] == "Hm."
    assert by_kind["response.output_text.delta"]["logprobs"] == logprobs
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert ANSWERS[OPENAI_RESPONSES].whole([json.dumps(event).encode() for event in told]) == whole


LOGPROBS = {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": []}]}


@pytest.mark.parametrize(
    ("dialect", "whole", "converted"),
    [
        *((dialect, whole, True) for dialect, whole in ALL),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "annotations", to=[]), True),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "reasoning", to="Hm."), True),
        (OPENAI_CHAT, CHAT | {"service_tier": None, "system_fingerprint": "f", "provider": "p"}, True),
        (OPENAI_CHAT, changed(CHAT, "choices", 1, "logprobs", to=LOGPROBS), False),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "reasoning", to={"text": "Hm."}), False),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "reasoning_details", to=[{"type": "reasoning.text"}]), False),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "annotations", to=[{"type": "url_citation"}]), False),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "audio", to={"id": "a"}), False),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "refusal", to="no"), False),
        (OPENAI_CHAT, changed(CHAT, "choices", 0, "message", "tool_calls", to=[{"id": "c"}]), False),
        (OPENAI_CHAT, CHAT | {"citations": ["https://x.example"]}, False),
        (ANTHROPIC, CLAUDE | {"container": {"id": "c"}}, True),
        (ANTHROPIC, changed(CLAUDE, "content", 2, "text", to=["odd"]), False),
        (ANTHROPIC, changed(CLAUDE, "content", 3, to={"type": "tool_use", "id": "t", "name": "n", "input": {}}), False),
    ],
)
@pytest.mark.parametrize("usage", [True, False])
def test_a_whole_answer_is_streamed_only_if_nothing_is_lost(dialect: Dialect, whole: dict[str, Any], converted: bool, usage: bool) -> None:
    call = dialect.read(json.dumps({"messages": [{}], "stream": True, "stream_options": {"include_usage": usage}}).encode())
    told = told_for(Answer(json.dumps(whole).encode(), stream=False, at=0), call, ANSWERS[dialect])
    assert (told is not None) == converted
