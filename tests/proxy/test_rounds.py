"""What goes back to the provider when a model has read something back: its answer so far as it came, if the API takes it so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headroom.ccr.marker import TOOL_NAME
from headroom.ccr.tool import Reply
from headroom.dialects import ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, RETRIEVALS, Dialect, wire
from headroom.model import content_hash
from tests.provider import Provider, Script
from tests.proxy.clients import CLIENTS, ON, Claude, Client, Gpt
from tests.proxy.faces import HTTP, rows
from tests.scripted import Say, Think, Use

DATA = rows(7, 150)
READ = Use("r1", TOOL_NAME, f'{{"hash": "{content_hash(DATA)}"}}')


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("dropped", [True, False])
def test_a_text_of_blanks_is_not_said(proxy: str, provider: Provider, stream: bool, dropped: bool) -> None:
    client = Claude()
    answers = ((Think("hm"), Say("\n\n"), READ), (Say("Done."),), (Say("End."),))
    provider.script(*(client.api.script(*parts, id=f"id_{number}", stream=stream) for number, parts in enumerate(answers)))
    messages = client.opening(DATA, f"What about node-3, {stream} {dropped}?")
    (answer,) = client.ask(proxy, messages, stream).sent_back
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "text"]
    if dropped:
        answer["content"] = [block for block in answer["content"] if block.get("text") != "\n\n"]
    client.ask(proxy, [*messages, answer, {"role": "user", "content": "And now?"}], stream)
    _, continued, next_turn = (request.json["messages"] for request in provider.requests)
    assert [block["type"] for block in continued[-2]["content"]] == ["thinking", "tool_use"]
    assert next_turn[: len(continued)] == continued
    assert next_turn[len(continued) :] == [
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
        {"role": "user", "content": "And now?"},
    ]


def continued(
    dialect: Dialect, request: dict[str, Any], whole: dict[str, Any] | None = None, events: list[dict[str, Any]] | None = None
) -> Any:
    """The request that follows on an answer, whole or in events."""
    answer = RETRIEVALS[dialect].answer()
    if whole:
        answer.whole(whole)
    for event in events or ():
        answer.frame(f"data: {json.dumps(event)}\n\n".encode())
    assert answer.goes_on()
    return json.loads(answer.continued(json.dumps(request), ()))


BLOCK = {"type": "tool_use", "id": "r1", "name": TOOL_NAME, "input": {}}


def claude_says(*blocks: tuple[dict[str, Any], list[dict[str, Any]]], **ending: Any) -> list[dict[str, Any]]:
    """The events of an answer that ends in a call of ours; each block as it starts, and its deltas."""
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "usage": {}}}]
    for index, (start, deltas) in enumerate([*blocks, (BLOCK, [])]):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    return [*events, {"type": "message_delta", "delta": {"stop_reason": "tool_use", **ending}, "usage": {}}, {"type": "message_stop"}]


def test_a_compaction_goes_back_whole() -> None:
    deltas = [{"type": "compaction_delta", "content": "So far.", "encrypted_content": "c2VhbGVk"}]
    events = claude_says(({"type": "compaction", "content": None}, deltas))
    said = continued(ANTHROPIC, {"messages": []}, events=events)["messages"][0]["content"]
    assert said == [{"type": "compaction", "content": "So far.", "encrypted_content": "c2VhbGVk"}, BLOCK]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"container": "c_1"}),
        ({"container": {"skills": [{"type": "custom"}]}}, {"container": {"id": "c_1", "skills": [{"type": "custom"}]}}),
        ({"container": {}}, {"container": {"id": "c_1"}}),
        ({"container": {"id": "c_0"}}, {"container": {"id": "c_0"}}),
        ({"container": "c_0"}, {"container": "c_0"}),
        ({"container": None}, {"container": None}),
    ],
)
def test_code_goes_on_in_its_container(stream: bool, given: dict[str, Any], expected: dict[str, Any]) -> None:
    container = {"id": "c_1", "expires_at": "2030-01-01T00:00:00Z"}
    whole = {"content": [BLOCK], "stop_reason": "tool_use", "usage": {}, "container": container}
    told = {"events": claude_says(container=container)} if stream else {"whole": whole}
    request = continued(ANTHROPIC, {"messages": [], **given}, **told)
    assert {name: value for name, value in request.items() if name != "messages"} == expected


def test_a_call_of_chat_goes_back_with_what_stands_beside_it(stream: bool) -> None:
    function = {"name": TOOL_NAME, "arguments": "{}"}
    call = {"id": "r1", "type": "function", "function": function, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    first = {**call, "index": 0, "function": {**function, "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": "{}"}}
    ends = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in (first, rest)]
    events = [*ends, {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}]
    whole = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    request = continued(OPENAI_CHAT, {"messages": []}, **({"events": events} if stream else {"whole": whole}))
    assert request["messages"] == [{"role": "assistant", "content": None, "tool_calls": [call]}]


def test_what_ran_at_the_provider_goes_back_as_it_came(stream: bool) -> None:
    search = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
    code = {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "code": "1", "container_id": "c", "outputs": None}
    said = {"id": "m_1", "type": "message", "role": "assistant", "status": "completed", "content": []}
    call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "r1", "name": TOOL_NAME, "arguments": "{}"}
    whole = {"status": "completed", "output": [search, code, said, call]}
    events = [{"type": "response.output_item.added", "output_index": 3, "item": call}]
    events += [{"type": "response.output_item.done", "output_index": place, "item": item} for place, item in enumerate(whole["output"])]
    events.append({"type": "response.completed", "response": whole})
    request = continued(OPENAI_RESPONSES, {"input": []}, **({"events": events} if stream else {"whole": whole}))
    assert request["input"][:2] == [search, code]
    assert [sorted(item) for item in request["input"][2:]] == [
        ["content", "role", "type"],
        ["arguments", "call_id", "name", "type"],
    ]


def test_a_call_that_the_provider_answered_itself_waits_for_nobody() -> None:
    """A shell in a container of the provider."""
    shell = {"id": "sh_1", "type": "shell_call", "status": "completed", "call_id": "s1", "action": {"commands": ["ls"]}}
    output = {"id": "sho_1", "type": "shell_call_output", "status": "completed", "call_id": "s1", "output": []}
    call = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "r1", "name": TOOL_NAME, "arguments": "{}"}
    request = continued(OPENAI_RESPONSES, {"input": []}, {"status": "completed", "output": [shell, output, call]})
    assert request["input"][:2] == [shell, output]
    answer = RETRIEVALS[OPENAI_RESPONSES].answer()
    answer.whole({"status": "completed", "output": [shell, call]})
    assert not answer.goes_on()


@pytest.mark.parametrize(
    "behind", [{"type": "mcp_approval_response", "approval_request_id": "a1", "approve": True}, {"type": "compaction_trigger"}]
)
def test_what_was_read_before_an_approval_is_put_back(behind: dict[str, Any]) -> None:
    call = {"type": "function_call", "call_id": "r1", "name": TOOL_NAME, "arguments": "{}"}
    asks = {"type": "mcp_approval_request", "id": "a1", "name": "drop", "arguments": "{}", "server_label": "s"}
    retrieval = RETRIEVALS[OPENAI_RESPONSES]
    answer = retrieval.answer()
    answer.whole({"status": "completed", "output": [call]})
    answer.continued('{"input": []}', [Reply("r1", "found")])
    answer.whole({"status": "completed", "output": [asks]})
    record = answer.ended(())
    request = OPENAI_RESPONSES.read(json.dumps({"input": [{"role": "user", "content": "q"}, asks, behind]}).encode())
    (said,) = retrieval.said(request)
    assert said.fingerprint == record.fingerprint
    items = json.loads(wire.splice(request.text, retrieval.put_back(request, said, record.text)))["input"]
    assert items[1:] == [call, {"type": "function_call_output", "call_id": "r1", "output": "found"}, asks, behind]


def test_a_further_round_is_another_request_than_the_clients(proxy: str, provider: Provider) -> None:
    """A server that knows the key would give the first answer again."""
    client = Claude()
    provider.script(client.api.script(READ), client.api.script(Say("Done.")))
    client.ask(proxy, client.opening(DATA), True, headers={**ON, "idempotency-key": "once", "anthropic-beta": "b"})
    assert [request.header("idempotency-key") for request in provider.requests] == [["once"], []]
    assert [request.header("anthropic-beta") for request in provider.requests] == [["b"], ["b"]]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.api.name)
@pytest.mark.parametrize("later", [True, False])
def test_an_answer_that_breaks_off_before_anything_of_it_was_sent_is_a_502(
    proxy: str, provider: Provider, client: Client, later: bool
) -> None:
    first = [client.api.script(READ, stream=False)] if later else []
    provider.script(*first, Script(body=b'{"id": "', claimed_bytes=900))
    answer = HTTP.post(f"{proxy}{client.api.path}", json=client.body(DATA, stream=False), headers=ON)
    assert answer.status_code == 502
    assert "broke off" in answer.json()["error"]["message"]
    assert answer.headers["x-headroom-request-id"]


def test_a_whole_answer_of_chat_tells_the_thoughts_and_probabilities_of_all_its_words(proxy: str, provider: Provider) -> None:
    client = Gpt()
    rounds: list[tuple[Say, *tuple[Use, ...]]] = [(Say("Look."), READ), (Say("Done."),)]
    for number, parts in enumerate(rounds):
        body = json.loads(client.api.script(*parts, stream=False).body or b"")
        (choice,) = body["choices"]
        choice["message"]["reasoning_content"] = f"{number}?"
        choice["logprobs"] = {"content": [{"token": parts[0].text, "logprob": -1}], "refusal": None}
        provider.script(Script(body=json.dumps(body).encode()))
    answer = HTTP.post(f"{proxy}{client.api.path}", json=client.body(DATA, stream=False), headers=ON).json()
    (choice,) = answer["choices"]
    assert (choice["message"]["content"], choice["message"]["reasoning_content"]) == ("Look.Done.", "0?1?")
    assert choice["logprobs"] == {"content": [{"token": text, "logprob": -1} for text in ("Look.", "Done.")], "refusal": None}
