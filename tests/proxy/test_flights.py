"""Equal streamed requests on their way at the same time: sent once, shown to all who want them, whoever of them goes away."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import anthropic
import httpx
import openai
import pytest

from headroom.dialects import ANSWERS, DIALECTS
from headroom.proxy.body import ClientGone
from headroom.proxy.flights import LIMIT, Flight, Flights, Place
from headroom.proxy.relay import UpstreamBroke, until_gone
from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import HTTP, serving, settings_for, stats_of

ROUTES = ("/v1/messages", "/v1/chat/completions")
KEY, BOSS = {"x-api-key": "ada"}, {"authorization": "Bearer boss"}
HELD = 3  # events of an answer that pass before the provider pauses


@pytest.fixture(scope="module")
def _url(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    access = {"callers": "credential", "admin_key": "boss"}
    with serving(settings_for(_provider, tmp_path_factory.mktemp("flights"), access=access)) as url:
        yield url


class Reader:
    """A streamed request: what is told of it, and its bytes as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.said = answer.headers["x-headroom-cache"]
        self._pieces = answer.iter_raw()
        self._seen = b""

    def until(self, events: int) -> bytes:
        """What came when so many events have."""
        while self._seen.count(b"\n\n") < events:
            self._seen += next(self._pieces)
        return self._seen

    def rest(self) -> bytes:
        return self._seen + b"".join(self._pieces)


class Clients:
    """Of one proxy, asking what no other test has asked."""

    def __init__(self, url: str, question: str, opened: ExitStack) -> None:
        self.url = url
        self.messages: Any = [{"role": "user", "content": question}]
        self.body = {"model": "m", "max_tokens": 64, "temperature": 0, "stream": True, "messages": self.messages}
        self._opened = opened
        self._sent = 0
        self._before = stats_of(url, 0, BOSS)

    def open(self, stream: AbstractContextManager[Any]) -> Any:
        """The context of one request."""
        self._sent += 1
        return self._opened.enter_context(stream)

    def stream(self, route: str = ROUTES[0], key: str = "ada", **more: Any) -> Reader:
        headers = {"x-api-key": key, **more.pop("headers", {})}
        return Reader(self.open(HTTP.stream("POST", self.url + route, json=self.body | more, headers=headers)))

    def post(self, **more: Any) -> httpx.Response:
        self._sent += 1
        return httpx.post(self.url + ROUTES[0], json=self.body | more, headers=KEY, timeout=WAIT_S)

    def leave(self, reader: Reader) -> None:
        """Returns when the server has seen that the client is gone: what it reads later came later."""
        reader.answer.close()
        HTTP.get(f"{self.url}/health").raise_for_status()

    def counted(self) -> tuple[int, int]:
        """Of all that was sent: requests answered from the cache, tokens that were billed as output."""
        before = self._before
        stats = stats_of(self.url, before["requests"]["total"] + self._sent, BOSS)
        return stats["requests"]["cached"] - before["requests"]["cached"], stats["tokens"]["output"] - before["tokens"]["output"]


@pytest.fixture
def clients(_url: str, provider: Provider, request: pytest.FixtureRequest) -> Iterator[Clients]:
    """`provider` is behind the proxy."""
    with ExitStack() as opened:
        clients = Clients(_url, request.node.name, opened)
        yield clients
    provider.release()
    clients.counted()


@pytest.mark.parametrize("route", ROUTES)
def test_all_are_shown_what_passed_and_what_comes(clients: Clients, provider: Provider, route: str) -> None:
    provider.script(Script(hold_after=HELD))
    readers = [clients.stream(route)]
    began = readers[0].until(HELD)
    for _ in range(4):
        readers.append(clients.stream(route))
        assert readers[-1].until(HELD) == began
    provider.release()
    assert len({reader.rest() for reader in readers}) == 1
    assert [reader.said for reader in readers] == ["miss"] + ["hit-exact"] * 4
    assert {reader.answer.headers["content-type"] for reader in readers} == {"text/event-stream; charset=utf-8"}
    assert len(provider.requests) == 1
    assert clients.counted() == (4, 7 if route == ROUTES[0] else 0)
    assert clients.stream(route).said == "hit-exact"


def claude(url: str, messages: Any) -> Any:
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, timeout=WAIT_S)
    return client.messages.stream(model="m", max_tokens=64, messages=messages, extra_body={"temperature": 0})


def gpt(url: str, messages: Any) -> Any:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=WAIT_S)
    return client.chat.completions.stream(model="m", temperature=0, messages=messages, stream_options={"include_usage": True})


@pytest.mark.parametrize(("ask", "final"), [(claude, "get_final_message"), (gpt, "get_final_completion")])
def test_the_vendors_clients_make_one_answer_of_it(
    clients: Clients, provider: Provider, ask: Callable[[str, Any], Any], final: str
) -> None:
    with ask(provider.url, clients.messages) as events:
        expected = getattr(events, final)().to_dict()
    provider.script(Script(hold_after=HELD))
    streams = []
    for _ in range(3):
        streams.append(clients.open(ask(clients.url, clients.messages)))
        next(iter(streams[-1]))
    provider.release()
    assert [getattr(events, final)().to_dict() for events in streams] == [expected] * 3
    assert len(provider.requests) == 2


@pytest.mark.parametrize("leaving", [[0], [1], [0, 1], [2, 0]])
def test_whoever_leaves_takes_nobody_along(clients: Clients, provider: Provider, leaving: list[int]) -> None:
    provider.script(Script(hold_after=HELD))
    readers = [clients.stream() for _ in range(4)]
    for reader in readers:
        reader.until(HELD)
    for number in leaving:
        clients.leave(readers[number])
    late = clients.stream()
    provider.release()
    answers = {reader.rest() for number, reader in enumerate([*readers, late]) if number not in leaving}
    assert len(answers) == 1
    assert b"message_stop" in answers.pop()
    assert len(provider.requests) == 1
    assert provider.abandoned == 0
    assert clients.counted() == (4, 7)  # who asked is billed for it, there or not
    assert clients.stream().said == "hit-exact"


def test_when_all_have_left_the_provider_is_left_too(clients: Clients, provider: Provider) -> None:
    provider.script(Script(hold_after=HELD))
    readers = [clients.stream() for _ in range(3)]
    for reader in readers:
        reader.until(HELD)
        clients.leave(reader)
    provider.wait_until(lambda seen: not seen.open)
    assert clients.stream().said == "miss"
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ({}, {"key": "bob"}),
        ({}, {"stream_options": {"include_usage": True}}),
        ({}, {"headers": {"cache-control": "no-cache"}}),
        ({}, {"headers": {"cache-control": "no-store"}}),
        ({}, {"headers": {"x-headroom-bypass": "true"}}),
        ({}, {"temperature": 0.5}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        *[({"tools": tools}, {"tools": tools}) for tools in [[{"name": "look", "description": "d", "input_schema": {"type": "object"}}]]],
    ],
)
def test_what_is_not_the_same_is_asked(clients: Clients, provider: Provider, first: dict[str, Any], other: dict[str, Any]) -> None:
    provider.script(Script(hold_after=HELD))
    held = clients.stream(**first)
    held.until(HELD)
    second = clients.stream(**other)
    assert second.said == "miss"
    assert b"message_stop" in second.rest()
    assert len(provider.requests) == 2
    provider.release()
    assert b"message_stop" in held.rest()


ERROR = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"later"}}\n\n'


@pytest.mark.parametrize(
    "script", [Script(events=(ERROR, ERROR), hold_after=1), Script(headers=(("cache-control", "no-store"),), hold_after=3)]
)
def test_what_must_not_be_given_again_is_not_shared(clients: Clients, provider: Provider, script: Script) -> None:
    provider.script(script)
    first = clients.stream()
    first.until(1)
    second = clients.stream()
    assert second.said == "miss"
    assert b"message_stop" in second.rest()
    provider.release()
    assert b"event: " in first.rest()
    assert len(provider.requests) == 2


@pytest.mark.parametrize("script", [Script(body=b'{"type":"error"}', hold_after=0), Script(status=529, body=b"later", hold_after=0)])
def test_what_is_no_stream_is_not_shared(clients: Clients, provider: Provider, script: Script) -> None:
    provider.script(script)
    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(clients.post) for _ in range(4)]
        provider.wait_until(lambda seen: seen.holds)
        provider.release()
        answers = [one.result(WAIT_S) for one in sent]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, script.status]
    assert [answer.content for answer in answers].count(script.body or b"") == 1


def test_who_wants_the_whole_answer_waits_for_a_stream_whose_client_leaves(clients: Clients, provider: Provider) -> None:
    provider.script(Script(hold_after=HELD))
    first = clients.stream()
    first.until(HELD)
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(clients.post, stream=False)
        other = clients.stream()  # keeps the request on its way until the whole one is there too
        other.until(HELD)
        clients.leave(first)
        provider.release()
        assert whole.result(WAIT_S).json()["stop_reason"] == "end_turn"
    assert whole.result().headers["x-headroom-cache"] == "hit-exact"
    assert len(provider.requests) == 1


def test_an_answer_that_breaks_off_breaks_off_for_all(clients: Clients, provider: Provider) -> None:
    provider.script(Script(hold_after=HELD, die_after=HELD + 1))
    readers = [clients.stream() for _ in range(3)]
    for reader in readers:
        reader.until(HELD)
    provider.release()
    for reader in readers:
        with pytest.raises(httpx.RemoteProtocolError):
            reader.rest()
    assert clients.stream().said == "miss"


# ---- without a network ---------------------------------------------------------------------------------------------------------------
FORM = ANSWERS[DIALECTS["/v1/messages"]]
BEGIN = b'data: {"type":"message_start"}\n\n'


def begun(**headers: str) -> dict[str, Any]:
    named = {"content-type": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {"type": "http.response.start", "status": 200, "headers": [(name.encode(), value.encode()) for name, value in named.items()]}


def piece(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


class Client:
    """Takes what it is shown, as far as it is let."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def show(self, data: bytes) -> None:
        await self.may_go_on.wait()
        self.got += data

    async def send(self, message: Any) -> None:
        await self.show(message.get("body", b""))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_waits_before_the_first_byte_keeps_the_request_when_its_client_leaves() -> None:
    async def run() -> None:
        flights, flight, gone, answer = Flights(), Flight(Client().send, FORM, shared=True), asyncio.Event(), asyncio.Event()
        place, later = Place("s", "k"), Client()

        async def ask() -> None:
            async with flight.relayed():
                with flights.aloft([place], flight):
                    await answer.wait()
                    for message in (begun(), piece(BEGIN), piece(b"", more=False)):
                        await flight(message)

        async def join() -> None:
            joined = flights.at(place)
            assert joined is flight
            assert await joined.begun()
            await joined.show(later.show)

        leader = asyncio.create_task(until_gone(ask(), _waits(gone), lambda: False, flight.deserted))
        await settle()
        follower = asyncio.create_task(join())
        await settle()
        gone.set()
        await settle()
        leader.cancel()  # as Ray Serve does it
        await settle()
        assert not leader.done()
        answer.set()
        await follower
        assert later.got == BEGIN
        with pytest.raises(asyncio.CancelledError):
            await leader
        assert flights.at(place) is None

    asyncio.run(run())


def test_a_request_that_nobody_wants_any_more_ends_and_takes_nobody_in() -> None:
    async def run() -> None:
        flights, flight, gone = Flights(), Flight(Client().send, FORM, shared=True), asyncio.Event()

        async def ask() -> None:
            async with flight.relayed():
                with flights.aloft([Place("s", "k")], flight):
                    await flight(begun())
                    await asyncio.Event().wait()

        leader = asyncio.create_task(until_gone(ask(), _waits(gone), lambda: False, flight.deserted))
        await settle()
        follower = asyncio.create_task(flight.begun())
        await settle()
        gone.set()
        await settle()
        assert not leader.done()
        follower.cancel()
        with pytest.raises(ClientGone):
            await leader
        assert not await flight.begun()

    asyncio.run(run())


def test_a_client_that_stalls_holds_nobody_up_and_memory_has_a_bound() -> None:
    async def run() -> None:
        own, quick, slow = Client(), Client(), Client()
        flight, sent = Flight(own.send, FORM, shared=True), 0
        part = b"x" * 50_000
        parts = 3 * LIMIT // len(part)

        async def ask() -> None:
            nonlocal sent
            async with flight.relayed():
                await flight(begun())
                await flight(piece(BEGIN))
                for sent in range(1, parts + 1):  # noqa: B007
                    await flight(piece(part))
                await flight(piece(b"", more=False))
                flight.land()

        for client in (own, slow, quick):
            client.may_go_on.clear()
        leader = asyncio.create_task(ask())
        followers = [asyncio.create_task(flight.show(client.show)) for client in (quick, slow)]
        assert await flight.begun()
        await settle()
        assert (sent - 1) * len(part) <= LIMIT  # the provider waits while nobody reads
        quick.may_go_on.set()
        await followers[0]
        assert len(quick.got) == len(BEGIN) + parts * len(part)
        assert not await flight.begun()  # it is too long to join
        assert flight.told is None
        slow.may_go_on.set()
        own.may_go_on.set()
        for stalled in (followers[1], leader):
            with pytest.raises(UpstreamBroke, match="slowly"):
                await stalled

    asyncio.run(run())


def test_an_encoded_stream_is_shown_in_plain() -> None:
    async def run() -> None:
        own, other = Client(), Client()
        flight = Flight(own.send, FORM, shared=True)
        packed = gzip.compress(BEGIN * 3)
        async with flight.relayed():
            follower = asyncio.create_task(flight.show(other.show))
            await flight(begun(content_encoding="gzip"))
            for at in range(0, len(packed), 5):
                await flight(piece(packed[at : at + 5]))
            assert await flight.begun()
            await flight(piece(b"", more=False))
            flight.land()
            await follower
        assert (bytes(own.got), bytes(other.got)) == (packed, BEGIN * 3)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("route", "event", "begins"),
    [
        ("/v1/messages", {"type": "message_start"}, True),
        ("/v1/messages", {"type": "error"}, False),
        ("/v1/chat/completions", {"choices": []}, True),
        ("/v1/chat/completions", {"error": {"message": "later"}}, False),
        ("/v1/chat/completions", {"choices": [], "error": {"message": "later"}}, False),
        ("/v1/responses", {"type": "response.created"}, True),
        ("/v1/responses", {"type": "error"}, False),
        ("/v1/responses", {"type": "response.failed"}, False),
        ("/v1/responses", ["response.created"], False),
    ],
)
def test_what_begins_an_answer(route: str, event: Any, begins: bool) -> None:
    assert ANSWERS[DIALECTS[route]].begins(json.dumps(event).encode()) is begins


async def _waits(event: asyncio.Event) -> None:
    await event.wait()
