"""A model reads back what was left out, inside its answer; the vendors' own clients see an ordinary answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from headroom.ccr import tool
from headroom.ccr.marker import TOOL_NAME
from headroom.model import content_hash
from tests.provider import Provider, Script
from tests.proxy.clients import CLIENTS, ON, Claude, Client, Codex, Gpt
from tests.proxy.faces import HTTP, answers_kept, await_answers_kept, rows, serving, settings_for
from tests.scripted import INPUT, OUTPUT, Part, Say, Think, Use

DATA = rows(7, 150)
HASH = content_hash(DATA)
ITEM = json.dumps(json.loads(DATA)[70])


@pytest.fixture(params=CLIENTS, ids=lambda client: client.api.name)
def client(request: pytest.FixtureRequest) -> Client:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def stream(request: pytest.FixtureRequest) -> bool:
    return request.param  # type: ignore[no-any-return]


def read(id: str = "r1", hash: str = HASH, **more: Any) -> Use:
    return Use(id, TOOL_NAME, json.dumps({"hash": hash, **more}))


def dictate(provider: Provider, client: Client, stream: bool, *answers: tuple[Part, ...]) -> None:
    """The provider's next answers, each with an id of its own."""
    provider.script(*(client.api.script(*parts, id=f"id_{number}", stream=stream) for number, parts in enumerate(answers)))


def bodies(provider: Provider) -> list[dict[str, Any]]:
    return [request.json for request in provider.requests]


def test_alone(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    dictate(provider, client, stream, (Say("Let me look. "), read(query='"id": 1070')), (Say("It is running."),))
    asked = client.opening(DATA)
    answer = client.ask(proxy, asked, stream)
    assert (answer.text, answer.calls, answer.stop) == ("Let me look. It is running.", [], client.ends["done"])
    assert answer.tokens == (2 * INPUT, 2 * OUTPUT)
    first, second = bodies(provider)
    assert client.tool_names(first) == ["look", TOOL_NAME]
    assert first["tools"] == second["tools"]
    assert second[client.history][: len(first[client.history])] == first[client.history]
    assert client.told(second)[-3:-1] == [("assistant", "Let me look. "), ("call", "r1")]
    assert ITEM in client.told(second)[-1][1]


def test_an_answer_that_read_something_back_is_given_again(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    dictate(provider, client, stream, (Say("Look. "), read()), (Say("It is."),))
    asked = client.opening(DATA, f"Is node-3 fine, {stream}?")
    kept = answers_kept(proxy)
    first = client.ask(proxy, asked, stream, extra_body={"temperature": 0})
    await_answers_kept(proxy, kept + 1)
    again = client.ask(proxy, asked, stream, extra_body={"temperature": 0})
    assert (first.text, again.text, again.calls) == ("Look. It is.", "Look. It is.", [])
    assert len(provider.requests) == 2


def test_what_was_read_is_put_back_where_it_was(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    dictate(provider, client, stream, (Say("Look. "), read()), (Say("Done."),), (Say("More."),), (Say("End."),))
    messages = client.opening(DATA)
    messages = [*messages, *client.ask(proxy, messages, stream).sent_back, {"role": "user", "content": "And now?"}]
    messages = [*messages, *client.ask(proxy, messages, stream).sent_back, {"role": "user", "content": "And then?"}]
    client.ask(proxy, messages, stream)
    _, continued, next_turn, last_turn = bodies(provider)
    told = client.told(continued)
    assert told[-1] == ("result", f"r1: {DATA}")
    assert client.told(next_turn) == [*told, ("assistant", "Done."), ("user", "And now?")]
    assert last_turn[client.history][: len(next_turn[client.history])] == next_turn[client.history]
    assert provider.requests[3].body.startswith(provider.requests[2].body[: provider.requests[2].body.rindex(b"And now?")])


def test_twice_and_two_at_once(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    both = (read("r2", query="node-3"), read("r3", query="node-4"))
    dictate(provider, client, stream, (read("r1", query="node-2"),), (Say("Hm. "), *both), (Say("Two of them."),), (Say("Yes."),))
    messages = client.opening(DATA)
    answer = client.ask(proxy, messages, stream)
    assert (answer.text, answer.calls, answer.tokens) == ("Hm. Two of them.", [], (3 * INPUT, 3 * OUTPUT))
    client.ask(proxy, [*messages, *answer.sent_back, {"role": "user", "content": "Sure?"}], stream)
    third, fourth = bodies(provider)[2:]
    told = client.told(third)
    assert [words.partition(":")[0] for kind, words in told if kind in ("call", "result")][-6:] == ["r1", "r1", "r2", "r3", "r2", "r3"]
    assert client.told(fourth) == [*told, ("assistant", "Two of them."), ("user", "Sure?")]


@pytest.mark.parametrize("first", [True, False])
def test_together_with_a_tool_of_the_client(proxy: str, provider: Provider, client: Client, stream: bool, first: bool) -> None:
    own, ours = Use("c1", "look", '{"page": 2}'), read(query="node-3")
    dictate(provider, client, stream, (Say("Both. "), *((ours, own) if first else (own, ours))), (Say("Fine."),), (Say("Ok."),))
    messages = client.opening(DATA, f"What about node-3, {first} {stream}?")
    answer = client.ask(proxy, messages, stream)
    assert (answer.text, answer.calls, answer.stop) == ("Both. ", [("c1", "look", {"page": 2})], client.ends["call"])
    assert answer.tokens == (INPUT, OUTPUT)
    assert len(provider.requests) == 1
    messages = [*messages, *answer.sent_back, *client.results("c1")]
    messages = [*messages, *client.ask(proxy, messages, stream).sent_back, {"role": "user", "content": "Thanks."}]
    client.ask(proxy, messages, stream)
    _, second, third = bodies(provider)
    told = client.told(second)
    opening = len(client.told(bodies(provider)[0]))
    assert told[opening : opening + 3] == [("assistant", "Both. "), *[("call", id) for id in (("r1", "c1") if first else ("c1", "r1"))]]
    results = dict(words.split(": ", 1) for kind, words in told[opening:] if kind == "result")
    assert results.keys() == {"r1", "c1"}
    assert "node-3" in results["r1"]
    assert results["c1"] == "result of c1"
    assert client.told(third)[: len(told)] == told


MISTAKES = {
    "malformed": ('{"hash": "', "not valid JSON"),
    "no_object": ('"all of it"', "must be an object"),
    "no_hash": ('{"query": "x"}', "16 hex digits"),
    "unknown": ('{"hash": "0123456789abcdef"}', "nothing is stored under"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_call_that_cannot_be_redeemed_is_told_to_the_model(
    proxy: str, provider: Provider, client: Client, stream: bool, mistake: str
) -> None:
    arguments, words = MISTAKES[mistake]
    dictate(provider, client, stream, (Use("r1", TOOL_NAME, arguments),), (Say("Sorry."),))
    answer = client.ask(proxy, client.opening(DATA), stream)
    assert (answer.text, answer.stop) == ("Sorry.", client.ends["done"])
    result = client.told(bodies(provider)[1])[-1][1]
    assert result.startswith("r1: Error: ")
    if stream or mistake == "unknown" or client.api.name == "openai":  # else the provider has read the arguments itself
        assert words in result


def test_somebody_elses_hash(provider: Provider, tmp_path: Path, client: Client, stream: bool) -> None:
    with serving(settings_for(provider, tmp_path, access={"callers": "credential"})) as url:
        dictate(provider, client, stream, (Say("Mine."),))
        client.ask(url, client.opening(DATA), stream, key="owner")
        provider.reset()
        dictate(provider, client, stream, (read(),), (Say("No."),))
        assert client.ask(url, client.opening(rows(8, 150)), stream, key="stranger").text == "No."
        result = client.told(bodies(provider)[1])[-1][1]
        assert "nothing is stored under" in result
        assert DATA not in result


def test_after_three_rounds_the_model_is_told(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    rounds = [(read(f"r{number}", query="node-3"),) for number in range(4)]
    dictate(provider, client, stream, *rounds, (Say("Enough then."),))
    answer = client.ask(proxy, client.opening(DATA), stream)
    assert (answer.text, answer.stop) == ("Enough then.", client.ends["done"])
    assert tool.ENOUGH not in json.dumps(bodies(provider)[3])
    assert client.told(bodies(provider)[4])[-1] == ("result", f"r3: {tool.ENOUGH}")


def test_a_model_that_does_not_stop_is_stopped(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    dictate(provider, client, stream, *[(Say(f"{number} "), read(f"r{number}")) for number in range(5)], (Say("fine"),))
    messages = client.opening(DATA)
    answer = client.ask(proxy, messages, stream)
    assert (answer.text, answer.calls, answer.stop) == ("0 1 2 3 4 ", [], client.ends["done"])
    assert len(provider.requests) == 5
    client.ask(proxy, [*messages, *answer.sent_back, {"role": "user", "content": "Go on."}], stream)
    assert client.told(bodies(provider)[5])[-2:] == [("assistant", "4 "), ("user", "Go on.")]


def test_an_answer_cut_in_our_call_ends_there(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    provider.script(client.api.script(Say("Let me "), Use("r1", TOOL_NAME, '{"ha'), stream=stream, stop=client.ends["cut"]))
    if not isinstance(client, Gpt) or not stream:
        answer = client.ask(proxy, client.opening(DATA), stream)
        assert (answer.text, answer.calls, answer.stop) == ("Let me ", [], client.ends["cut"])
    else:
        with pytest.raises(openai.LengthFinishReasonError) as caught:  # what this SDK makes of an answer that was cut
            client.ask(proxy, client.opening(DATA), stream)
        message = caught.value.completion.choices[0].message
        assert (message.content, message.tool_calls) == ("Let me ", None)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("client", [Claude(), Codex()], ids=["anthropic", "openai_responses"])
def test_thinking_goes_back_as_it_came(proxy: str, provider: Provider, client: Claude | Codex, stream: bool) -> None:
    dictate(
        provider,
        client,
        stream,
        (Think("hm, node", "sig-1"), Say("Look. "), read(query="node-3")),
        (Think("aha", "sig-2"), Say("Found.")),
        (Say("a"),),
        (Say("b"),),
    )
    messages = client.opening(DATA)
    answer = client.ask(proxy, messages, stream)
    thought, said = ("thinking", "text") if isinstance(client, Claude) else ("reasoning", "message")
    assert answer.kinds == [thought, said, thought, said]
    told = client.told(bodies(provider)[1])
    assert told[-4:-1] == [("thinking", "hm, node/sig-1"), ("assistant", "Look. "), ("call", "r1")]
    ask = {"role": "user", "content": "And?"}
    client.ask(proxy, [*messages, *answer.sent_back, ask], stream)
    assert client.told(bodies(provider)[2]) == [*told, ("thinking", "aha/sig-2"), ("assistant", "Found."), ("user", "And?")]
    kept = answer.sent_back
    if isinstance(client, Claude):
        kept = [{"role": "assistant", "content": [block for block in kept[0]["content"] if block["type"] != "thinking"]}]
    client.ask(proxy, [*messages, *[item for item in kept if item.get("type") != "reasoning"], ask], stream)
    without = [entry for entry in told if entry[0] != "thinking"]
    assert client.told(bodies(provider)[3]) == [*without, ("assistant", "Found."), ("user", "And?")]


def test_text_is_shown_while_the_provider_still_waits(proxy: str, provider: Provider, client: Client) -> None:
    held, following = client.api.script(Say("Shown at once. "), read()), client.api.script(Say("Then this."))
    before_call = next(number for number, event in enumerate(held.events or ()) if b'"r1"' in event)
    provider.script(
        client.api.script(Say("Shown at once. "), read(), hold_after=before_call),
        client.api.script(Say("Then this."), hold_after=len(following.events or ()) - 2),
    )
    request = client.body(DATA)
    with HTTP.stream("POST", f"{proxy}{client.api.path}", json=request, headers=ON) as answer:
        shown, pieces = b"", answer.iter_raw()
        while b" once. " not in shown:  # the first half of "Shown at once. " is an event of its own
            shown += next(pieces)
        provider.wait_until(lambda seen: seen.holds)
        assert len(provider.requests) == 1
        provider.release()
        while b"this." not in shown:
            shown += next(pieces)
        provider.wait_until(lambda seen: seen.holds)
        provider.release()
        shown += b"".join(pieces)
    assert b'"r1"' not in shown


def test_without_a_call_the_bytes_are_the_providers(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    script = client.api.script(Say(f"I could use {TOOL_NAME}, but"), Use("c1", "look", "{}"), stream=stream)
    provider.script(script)
    request = client.body(DATA, stream)
    answer = HTTP.post(f"{proxy}{client.api.path}", json=request, headers=ON)
    assert client.tool_names(bodies(provider)[0]) == ["look", TOOL_NAME]
    assert answer.content == (b"".join(script.events or ()) or script.body)
    assert provider.requests[0].header("accept-encoding") == ["identity"]


def test_an_answer_that_is_encoded_all_the_same(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    provider.script(client.api.script(Say("a "), read(), stream=stream, gzip=True), client.api.script(Say("b"), stream=stream, gzip=True))
    assert client.ask(proxy, client.opening(DATA), stream).text == "a b"


def test_a_stream_with_a_length(proxy: str, provider: Provider, client: Client) -> None:
    """The length is that of the provider's bytes, which are not those that the client gets."""
    for answer in (client.api.script(Say("a "), read()), client.api.script(Say("b"))):
        size = sum(map(len, answer.events or ()))
        provider.script(dataclasses.replace(answer, headers=(("content-length", str(size)),)))
    assert client.ask(proxy, client.opening(DATA), True).text == "a b"


def test_a_provider_that_refuses_to_go_on(proxy: str, provider: Provider, client: Client, stream: bool) -> None:
    provider.script(client.api.script(Say("a "), read(), stream=stream), Script(429, (("retry-after", "7"),)))
    with pytest.raises(client.refused, match="stand-in says 429") as caught:
        client.ask(proxy, client.opening(DATA), stream)
    if not stream:
        assert caught.value.response.headers["retry-after"] == "7"  # type: ignore[attr-defined]


def test_a_provider_that_breaks_off_later(proxy: str, provider: Provider, client: Client) -> None:
    provider.script(client.api.script(Say("a "), read()), client.api.script(Say("b"), die_after=3))
    request = client.body(DATA)
    with pytest.raises(httpx.RemoteProtocolError):
        HTTP.post(f"{proxy}{client.api.path}", json=request, headers=ON)


def test_a_client_that_goes_away_later_leaves_nothing_open(proxy: str, provider: Provider, client: Client) -> None:
    before_end = len(client.api.script(Say("some more")).events or ()) - 1
    provider.script(client.api.script(Say("a "), read()), client.api.script(Say("some more"), hold_after=before_end))
    request = client.body(DATA)
    with HTTP.stream("POST", f"{proxy}{client.api.path}", json=request, headers=ON) as answer:
        shown, pieces = b"", answer.iter_raw()
        while b"some" not in shown:
            shown += next(pieces)
    provider.wait_until(lambda seen: seen.open == 0)
    assert provider.abandoned == 1


def forbidding() -> Iterator[Any]:
    schema = {"type": "object", "properties": {}}
    own: dict[str, Any] = {
        "anthropic": {"name": f"mcp__headroom__{TOOL_NAME}", "description": "d", "input_schema": schema},
        "openai": {"type": "function", "function": {"name": TOOL_NAME, "strict": True, "parameters": schema}},
        "openai_responses": {"type": "function", "name": TOOL_NAME, "strict": True, "parameters": schema},
    }
    for client in CLIENTS:
        name = client.api.name
        yield pytest.param(client, ON, {"tools": [own[name]]}, id=f"{name}-brings-it")
        yield pytest.param(client, {"x-headroom-ccr": "off"}, {}, id=f"{name}-header")
        yield pytest.param(client, ON | {"x-headroom-mode": "lossless"}, {}, id=f"{name}-lossless")
        yield pytest.param(client, ON | {"x-headroom-bypass": "true"}, {}, id=f"{name}-bypass")
        yield pytest.param(client, {}, {}, id=f"{name}-too-little")
        yield pytest.param(client, ON, {"tools": []}, id=f"{name}-no-tools")
        yield pytest.param(client, ON, {"tool_choice": client.forbids}, id=f"{name}-forbidden")
    yield pytest.param(Codex(), ON, {"store": True}, id="openai_responses-stored")
    yield pytest.param(Codex(), ON, {"previous_response_id": "resp_0"}, id="openai_responses-continued")


@pytest.mark.parametrize(("client", "headers", "more"), list(forbidding()))
def test_when_it_is_not_offered(proxy: str, provider: Provider, client: Client, headers: dict[str, str], more: dict[str, Any]) -> None:
    dictate(provider, client, False, (Say("Fine."),))
    data = DATA if headers else rows(7, 40)
    client.ask(proxy, client.opening(data, f"What about {sorted(headers.items())} and {json.dumps(more)}?"), False, headers, **more)
    (body,) = bodies(provider)
    own = more.get("tools", client.tools)
    assert client.tool_names(body) == client.tool_names({"tools": own})


def test_no_ccr(provider: Provider, tmp_path: Path, client: Client) -> None:
    with serving(settings_for(provider, tmp_path, compression={"ccr": False})) as url:
        dictate(provider, client, False, (Say("Fine."),))
        client.ask(url, client.opening(DATA), False)
        assert client.tool_names(bodies(provider)[0]) == ["look"]


def test_it_neither_comes_nor_goes(provider: Provider, tmp_path: Path, client: Client) -> None:
    """The first request decides, for every server on the same store."""
    large = rows(9, 900)
    offered = [*client.opening(large, "first"), {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    refused: list[dict[str, Any]] = [{"role": "user", "content": "second"}]
    refused_later = [*refused, *client.opening(large, "second")[1:]]
    provider.always = client.api.script(Say("Fine."), stream=False)
    with serving(settings_for(provider, tmp_path)) as url:
        client.ask(url, offered[:-2], False, {})
        client.ask(url, refused, False, {})
    with serving(settings_for(provider, tmp_path)) as url:
        client.ask(url, offered, False, {}, tool_choice=client.forbids)
        client.ask(url, refused_later, False, {})
    assert [TOOL_NAME in client.tool_names(body) for body in bodies(provider)] == [True, False, True, False]
    assert bodies(provider)[0]["tools"] == bodies(provider)[2]["tools"]


def test_what_was_read_is_put_back_by_another_server(provider: Provider, tmp_path: Path, client: Client, stream: bool) -> None:
    dictate(provider, client, stream, (Say("Look. "), read()), (Say("Done."),), (Say("x"),), (Say("y"),))
    messages = client.opening(DATA)
    with serving(settings_for(provider, tmp_path)) as url:
        messages = [*messages, *client.ask(url, messages, stream).sent_back, {"role": "user", "content": "And now?"}]
        client.ask(url, messages, stream)
    with serving(settings_for(provider, tmp_path)) as url:
        client.ask(url, messages, stream)
    assert provider.requests[2].body == provider.requests[3].body
    assert ("call", "r1") in client.told(bodies(provider)[3])


def test_what_another_caller_read_is_not_put_back(provider: Provider, tmp_path: Path, client: Client, stream: bool) -> None:
    """Not even for one who sends the same conversation, its answer included."""
    dictate(provider, client, stream, (Say("Look. "), read()), (Say("Done."),), (Say("x"),), (Say("y"),))
    messages = client.opening(DATA)
    with serving(settings_for(provider, tmp_path, access={"callers": "credential"})) as url:
        messages = [*messages, *client.ask(url, messages, stream, key="owner").sent_back, {"role": "user", "content": "And now?"}]
        client.ask(url, messages, stream, key="owner")
        client.ask(url, messages, stream, key="stranger")
    owners, strangers = (client.told(body) for body in bodies(provider)[2:])
    assert ("call", "r1") in owners
    assert ("result", f"r1: {DATA}") in owners
    assert not any(kind in ("call", "result") and "r1" in text for kind, text in strangers)


def test_an_answer_that_the_client_changed_goes_without(proxy: str, provider: Provider, client: Client) -> None:
    dictate(provider, client, True, (Say("Look. "), read()), (Say("Done."),), (Say("x"),))
    messages = client.opening(DATA, "What is changed?")
    client.ask(proxy, messages, True)
    client.ask(proxy, [*messages, {"role": "assistant", "content": "Look. Done, she said."}, {"role": "user", "content": "?"}], True)
    assert ("call", "r1") not in client.told(bodies(provider)[2])


def test_it_is_counted(provider: Provider, tmp_path: Path, client: Client, stream: bool) -> None:
    log = tmp_path / "requests.jsonl"
    with serving(settings_for(provider, tmp_path, log_file=log)) as url:
        dictate(provider, client, stream, (read(), read("r2", hash="0" * 16)), (Say("Done."),))
        client.ask(url, client.opening(DATA), stream)
        stats = HTTP.get(f"{url}/stats").json()
        while not stats["requests"]["total"]:  # it is counted behind the last byte
            stats = HTTP.get(f"{url}/stats").json()
        assert stats["tokens"]["output"] == 2 * OUTPUT
        assert stats["compression"]["ccr_rounds"] == 1
        assert stats["compression"]["ccr_retrievals"] == 1
        metrics = HTTP.get(f"{url}/metrics").text
    assert "headroom_ccr_rounds_total 1.0" in metrics
    assert "headroom_ccr_retrievals_total 1.0" in metrics
