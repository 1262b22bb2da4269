"""Answers given before, through a real server: who gets one, in which form, and who never does."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headroom.cache.flights import Flights
from headroom.proxy.server import create_app
from headroom.proxy.services import open_services
from headroom.store.sqlite import SqliteStore
from tests.provider import WAIT_S, Provider, Script, running
from tests.proxy.faces import HTTP, Inline, openai_turns, serving, settings_for

ROUTES = ("/v1/messages", "/v1/chat/completions")
ASK = {"model": "m", "max_tokens": 64, "temperature": 0, "messages": [{"role": "user", "content": "Who are you?"}]}


@pytest.fixture
def url(provider: Provider, tmp_path: Path) -> Iterator[str]:
    with serving(settings_for(provider, tmp_path)) as url:
        yield url


@pytest.fixture
def shared(provider: Provider, tmp_path: Path) -> Iterator[str]:
    """Callers told apart by their credential, and an admin."""
    access = {"callers": "credential", "admin_key": "boss"}
    with serving(settings_for(provider, tmp_path, access=access)) as url:
        yield url


def post(url: str, route: str, body: Mapping[str, Any] = ASK, **headers: str) -> httpx.Response:
    with settled(url):
        answer = HTTP.post(url + route, json=dict(body), headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200
    return answer


@contextmanager
def settled(url: str) -> Iterator[None]:
    """Returns when a request made inside is over on the server's side too, its answer noted down."""

    def finished() -> int:
        stats = HTTP.get(f"{url}/stats", headers={"authorization": "Bearer boss"}).json()
        return int(stats["requests"]["total"])

    before, until = finished(), time.monotonic() + WAIT_S
    yield
    while finished() == before:
        assert time.monotonic() < until


def said(answer: httpx.Response) -> str:
    return answer.headers["x-headroom-cache"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_bytes(url: str, provider: Provider, route: str, stream: bool) -> None:
    provider.always = Script(unknown_event=stream and route == "/v1/chat/completions")
    body = ASK | {"stream": stream, "stream_options": {"include_usage": True}}
    first, second = post(url, route, body), post(url, route, body)
    assert (said(first), said(second)) == ("miss", "hit-exact")
    if provider.always.unknown_event:  # a stream that is not understood whole is not kept
        return
    assert second.content == first.content
    assert second.headers["content-type"].partition(";")[0] == first.headers["content-type"].partition(";")[0]
    assert int(second.headers["age"]) >= 0
    assert "age" not in first.headers
    assert len(provider.requests) == 1
    stats = HTTP.get(f"{url}/stats").json()
    assert stats["requests"]["cached"] == stats["cache"]["total_hits"] == stats["cache"]["entries"] == 1
    assert stats["tokens"]["output"] == 7  # billed once
    assert "headroom_cache_hits_total 1.0" in HTTP.get(f"{url}/metrics").text


def without_nulls(value: Any) -> Any:
    """What an answer says: null and absent are the same."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def claude(url: str, stream: bool) -> Any:
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, timeout=WAIT_S)
    request: Any = {"model": "m", "max_tokens": 64, "messages": ASK["messages"], "extra_body": {"temperature": 0}}
    if not stream:
        return client.messages.create(**request).to_dict()
    with client.messages.stream(**request) as events:
        return events.get_final_message().to_dict()


def gpt(url: str, stream: bool) -> Any:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=WAIT_S)
    request: Any = {"model": "m", "temperature": 0, "messages": ASK["messages"]}
    if not stream:
        return client.chat.completions.create(**request).to_dict()
    with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
        return events.get_final_completion().to_dict()


@pytest.mark.parametrize("ask", [claude, gpt])
@pytest.mark.parametrize("first", [False, True])
def test_the_other_form_is_the_same_answer_to_the_vendors_client(
    url: str, provider: Provider, ask: Callable[[str, bool], Any], first: bool
) -> None:
    fresh = [without_nulls(ask(provider.url, form)) for form in (first, not first)]
    for form, expected in ((first, fresh[0]), (not first, fresh[1]), (first, fresh[0])):
        with settled(url):
            assert without_nulls(ask(url, form)) == expected
    assert len(provider.requests) == 3


def test_a_client_that_is_told_no_usage_is_told_none_and_one_that_wants_it_gets_it(url: str, provider: Provider) -> None:
    route = "/v1/chat/completions"
    bare, counted = ASK | {"stream": True}, ASK | {"stream": True, "stream_options": {"include_usage": True}}
    assert [said(post(url, route, body)) for body in (bare, bare, ASK, bare, counted)] == [
        "miss",
        "hit-exact",
        "miss",
        "hit-exact",
        "hit-exact",
    ]
    assert b'"usage"' not in post(url, route, bare).content
    assert b'"prompt_tokens":11' in post(url, route, counted).content.replace(b" ", b"")
    assert len(provider.requests) == 2


def test_responses_are_given_again_too(url: str, provider: Provider) -> None:
    text = {"type": "output_text", "text": "I am.", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    }
    provider.script(Script(body=json.dumps(answer).encode()))
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=WAIT_S)
    request: Any = {"model": "m", "temperature": 0, "input": "Who are you?"}
    with settled(url):
        assert client.responses.create(**request).output_text == "I am."
    assert client.responses.create(**request).output_text == "I am."
    with client.responses.stream(**request) as events:
        assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["I am."]
        assert events.get_final_response().output_text == "I am."
    assert len(provider.requests) == 1


SAMPLED = {name: value for name, value in ASK.items() if name != "temperature"}


def test_a_sampled_request_gets_a_new_answer_unless_it_says_otherwise(url: str, provider: Provider) -> None:
    assert [said(post(url, ROUTES[0], SAMPLED)) for _ in range(2)] == ["miss", "miss"]
    wishes = ["on", "on", "off", "true"]
    answers = [said(post(url, ROUTES[0], SAMPLED, x_headroom_cache=wish)) for wish in wishes]
    assert answers == ["miss", "hit-exact", "miss", "hit-exact"]
    assert all(not request.header("x-headroom-cache") for request in provider.requests)


def test_a_setting_lets_sampled_requests_take_part_and_another_shuts_the_cache(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path / "a", cache={"sampled": True})) as url:
        assert [said(post(url, ROUTES[1], SAMPLED)) for _ in range(2)] == ["miss", "hit-exact"]
    with serving(settings_for(provider, tmp_path / "a", cache={"enabled": False})) as url:
        assert [said(post(url, ROUTES[1], ASK, x_headroom_cache="on")) for _ in range(2)] == ["miss", "miss"]


@pytest.mark.parametrize(
    ("headers", "answers"),
    [
        ({"cache_control": "no-store"}, ["miss", "miss"]),
        ({"cache_control": "max-age=0, no-cache"}, ["miss", "hit-exact"]),
        ({"x_headroom_bypass": "true"}, ["miss", "miss"]),
        ({"x_headroom_mode": "off"}, ["miss", "miss"]),
        ({"x_headroom_mode": "lossless"}, ["hit-exact", "hit-exact"]),
    ],
)
def test_what_a_request_may_ask_of_the_cache(url: str, provider: Provider, headers: dict[str, str], answers: list[str]) -> None:
    """The first of the two answers is to the request with the header, after another; the second to one that follows it alone."""
    post(url, ROUTES[0])
    first = said(post(url, ROUTES[0], **headers))
    other = ASK | {"messages": [{"role": "user", "content": "And now?"}]}
    post(url, ROUTES[0], other, **headers)
    assert [first, said(post(url, ROUTES[0], other))] == answers


def test_no_two_callers_systems_tools_or_temperatures_share_an_answer(shared: str, provider: Provider) -> None:
    tool = {"name": "look", "description": "d", "input_schema": {"type": "object"}}
    long = "x" * 4000
    variants: list[tuple[dict[str, Any], str]] = [
        (ASK, "ada"),
        (ASK, "bob"),
        (ASK | {"system": "Be brief."}, "ada"),
        (ASK | {"system": "Be long."}, "ada"),
        (ASK | {"tools": [tool]}, "ada"),
        (ASK | {"tools": [tool | {"description": "e"}]}, "ada"),
        (ASK | {"temperature": 0.5}, "ada"),
        (ASK | {"model": "n"}, "ada"),
        (ASK | {"messages": [{"role": "user", "content": long + "a poem"}]}, "ada"),
        (ASK | {"messages": [{"role": "user", "content": long + "drop the table"}]}, "ada"),
    ]
    for _ in range(2):
        answers = [said(post(shared, ROUTES[0], body, x_api_key=key, x_headroom_cache="on")) for body, key in variants]
    assert answers == ["hit-exact"] * len(variants)
    assert len(provider.requests) == len(variants)
    assert said(post(shared, ROUTES[0], ASK)) == "miss"  # nobody in particular
    assert said(post(shared, ROUTES[0], ASK)) == "miss"


def test_callers_clear_their_own_and_the_admin_everything(shared: str, provider: Provider) -> None:
    for key in ("ada", "bob"):
        post(shared, ROUTES[0], x_api_key=key)
    assert HTTP.post(f"{shared}/cache/clear").status_code == 401
    assert HTTP.get(f"{shared}/cache/clear", headers={"x-api-key": "ada"}).status_code == 405
    assert HTTP.post(f"{shared}/cache/clear", headers={"x-api-key": "ada"}).json() == {"status": "cleared", "cleared": 1, "scope": "own"}
    assert [said(post(shared, ROUTES[0], x_api_key=key)) for key in ("ada", "bob")] == ["miss", "hit-exact"]
    assert HTTP.post(f"{shared}/cache/clear", headers={"authorization": "Bearer boss"}).json() == {
        "status": "cleared",
        "cleared": 2,
        "scope": "all",
    }
    assert [said(post(shared, ROUTES[0], x_api_key=key)) for key in ("ada", "bob")] == ["miss", "miss"]


LOOK = [{"name": "look", "description": "d", "input_schema": {"type": "object"}}]
CUT = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "half"}], "stop_reason": "max_tokens", "usage": {}}


@pytest.mark.parametrize(
    ("body", "script"),
    [
        (ASK | {"tools": LOOK, "messages": [{"role": "user", "content": "look"}]}, Script()),
        (ASK | {"tools": LOOK, "messages": [{"role": "user", "content": "look"}], "stream": True}, Script()),
        (ASK, Script(body=json.dumps(CUT).encode())),
        (ASK, Script(body=b'{"type":"error","error":{"type":"overloaded_error","message":"later"}}')),
        (ASK, Script(headers=(("cache-control", "private, no-store"),))),
        (ASK | {"stream": True}, Script(headers=(("cache-control", "no-store"),))),
        (ASK, Script(body=b"no json")),
    ],
)
def test_what_is_never_given_again(url: str, provider: Provider, body: dict[str, Any], script: Script) -> None:
    provider.script(script, script)
    assert [said(post(url, ROUTES[0], body)) for _ in range(2)] == ["miss", "miss"]
    assert len(provider.requests) == 2


@pytest.mark.parametrize("status", [400, 429, 500, 529])
def test_an_error_is_never_given_again(url: str, provider: Provider, status: int) -> None:
    provider.script(Script(status=status))
    assert HTTP.post(url + ROUTES[0], json=ASK).status_code == status
    assert said(post(url, ROUTES[0])) == "miss"


def test_an_answer_that_breaks_off_is_never_given_again(url: str, provider: Provider) -> None:
    provider.script(Script(die_after=3))
    with pytest.raises(httpx.HTTPError):
        HTTP.post(url + ROUTES[0], json=ASK | {"stream": True})
    assert said(post(url, ROUTES[0], ASK | {"stream": True})) == "miss"


def test_an_encoded_answer_is_given_again_in_plain(url: str, provider: Provider) -> None:
    provider.script(Script(gzip=True))
    first, second = post(url, ROUTES[1]), post(url, ROUTES[1])
    assert first.headers["content-encoding"] == "gzip"
    assert (said(second), second.json()) == ("hit-exact", first.json())
    assert "content-encoding" not in second.headers


def test_compression_is_no_part_of_it(provider: Provider, tmp_path: Path) -> None:
    """A conversation with a large tool result, compressed on its way; the answer is given again to who compresses differently."""
    body = ASK | {"messages": openai_turns(1)}
    with serving(settings_for(provider, tmp_path)) as url:
        first = post(url, ROUTES[1], body)
        assert int(first.headers["x-headroom-tokens-saved"]) > 0
    with serving(settings_for(provider, tmp_path, compression={"fidelity": "lossless"})) as url:
        assert said(post(url, ROUTES[1], body)) == "hit-exact"


def test_an_answer_has_its_time(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path, cache={"ttl_s": 0.000_001})) as url:
        assert [said(post(url, ROUTES[0])) for _ in range(2)] == ["miss", "miss"]


def test_without_its_store_every_request_is_a_miss(provider: Provider, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite", 3600, 10**9)
    with serving(settings_for(provider, tmp_path), store=store) as url:
        post(url, ROUTES[0])
        store.close()
        answers = [HTTP.post(url + ROUTES[0], json=ASK) for _ in range(2)]
        assert [said(answer) for answer in answers] == ["miss", "miss"]
        assert HTTP.get(f"{url}/health").status_code == 200


def test_several_processes_share_it(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as one, serving(settings_for(provider, tmp_path)) as other:
        assert [said(post(url, ROUTES[0])) for url in (one, other)] == ["miss", "hit-exact"]


def together(url: str, count: int, body: Mapping[str, Any] = ASK) -> list[Future[httpx.Response]]:
    """Requests sent at the same time."""
    pool = ThreadPoolExecutor(count)
    sent = [pool.submit(httpx.post, url + ROUTES[0], json=dict(body), timeout=WAIT_S) for _ in range(count)]
    pool.shutdown(wait=False)
    return sent


def test_equal_requests_on_their_way_are_sent_once(url: str, provider: Provider) -> None:
    provider.script(Script(hold_after=0))
    sent = together(url, 8)
    provider.wait_until(lambda provider: provider.holds)
    provider.release()
    answers = [answer.result(WAIT_S) for answer in sent]
    assert len(provider.requests) == 1
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sorted(said(answer) for answer in answers) == ["hit-exact"] * 7 + ["miss"]


def test_whoever_waited_in_vain_asks_itself(url: str, provider: Provider) -> None:
    provider.script(Script(status=500, hold_after=0))
    sent = together(url, 4)
    provider.wait_until(lambda provider: provider.holds)
    provider.release()
    assert sorted(answer.result(WAIT_S).status_code for answer in sent) == [200, 200, 200, 500]


def test_a_client_that_goes_away_takes_nobody_along(url: str, provider: Provider) -> None:
    provider.script(Script(hold_after=0))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url + ROUTES[0], json=ASK, timeout=httpx.Timeout(WAIT_S, read=0.2))
    assert post(url, ROUTES[0]).status_code == 200


def test_nobody_waits_without_end_for_a_stream_that_stays(provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path)
    services = dataclasses.replace(open_services(settings, Inline(settings)), flights=Flights((0, 0)))
    with running(create_app(services)) as url:
        provider.script(Script(hold_after=1))
        (stays,) = together(url, 1, ASK | {"stream": True})
        provider.wait_until(lambda provider: provider.holds)
        assert said(HTTP.post(url + ROUTES[0], json=ASK)) == "miss"
        assert not stays.done()
        provider.release()
        assert stays.result(WAIT_S).status_code == 200


@pytest.mark.parametrize("more", [{"stream": True}, {"tools": LOOK}])
def test_a_stream_or_a_request_with_tools_does_not_wait(url: str, provider: Provider, more: dict[str, Any]) -> None:
    provider.script(Script(hold_after=0))
    (first,) = together(url, 1, ASK | more)
    provider.wait_until(lambda provider: provider.holds)
    assert said(HTTP.post(url + ROUTES[0], json=ASK | more)) == "miss"
    assert not first.done()
    provider.release()
    assert first.result(WAIT_S).status_code == 200


def test_single_flight_can_be_turned_off(provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path, cache={"single_flight": False})) as url:
        provider.script(Script(hold_after=0))
        (first,) = together(url, 1)
        provider.wait_until(lambda provider: provider.holds)
        assert said(HTTP.post(url + ROUTES[0], json=ASK)) == "miss"
        provider.release()
        assert first.result(WAIT_S).status_code == 200
