"""Any split of any recorded stream: the client gets the same bytes as they come, and the same usage is metered."""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.ccr.marker import TOOL_NAME
from headroom.outcome import Usage
from tests.proxy.faces import body_of
from tests.proxy.memory import Memory
from tests.scripted import OUTPUT, SPEAKERS, Anthropic, Chat, Say, Speaker, Use

GOLDEN = Path(__file__).parent.parent / "golden" / "streams"
ROUTES = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions", "openai_responses": "/v1/responses"}
BILLED = {
    "anthropic": Usage(10682, 510, 30721, 1042, 42),
    "openai": Usage(2006, 300, 1920, None),
    "openai_responses": Usage(36127, 291, 34688, None),
}
TOOLS: dict[str, dict[str, Any]] = {
    "anthropic": {"name": "look", "input_schema": {"type": "object"}},
    "openai": {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
    "openai_responses": {"type": "function", "name": "look", "parameters": {"type": "object"}},
}
NAMES = sorted(ROUTES)


def with_comments(stream: bytes) -> bytes:
    return b": open\n\n" + stream.replace(b"\n\n", b"\n: keep-alive\n\n: \xc3\xa9\n\n")


def with_lines(stream: bytes) -> bytes:
    """Every event's JSON in several data lines, with fields that nobody reads."""

    def lines(event: bytes) -> bytes:
        name, _, data = event.rpartition(b"data: ")
        written = data if data == b"[DONE]" else json.dumps(json.loads(data), indent=1, ensure_ascii=False).encode()
        return name + b"id: 1\n" + b"".join(b"data: " + line + b"\n" for line in written.split(b"\n")) + b"retry: 9\n"

    return b"\n".join(lines(event) for event in stream.split(b"\n\n")[:-1]) + b"\n"


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda stream: stream,
    "crlf": lambda stream: stream.replace(b"\n", b"\r\n"),
    "comments": with_comments,
    "lines": with_lines,
    "all of it": lambda stream: with_comments(with_lines(stream)).replace(b"\n", b"\r\n"),
}


def zstd_flushed(pieces: Sequence[bytes]) -> list[bytes]:
    state = zstandard.ZstdCompressor().compressobj()
    flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return [*(state.compress(piece) + state.flush(flush) for piece in pieces), state.flush()]


def zlib_flushed(pieces: Sequence[bytes], bits: int) -> list[bytes]:
    state = zlib.compressobj(wbits=bits)
    return [*(state.compress(piece) + state.flush(zlib.Z_SYNC_FLUSH) for piece in pieces), state.flush()]


def br_flushed(pieces: Sequence[bytes]) -> list[bytes]:
    state = brotli.Compressor()
    return [*(state.process(piece) + state.flush() for piece in pieces), state.finish()]


ENCODERS: dict[str, Callable[[Sequence[bytes]], list[bytes]]] = {
    "gzip": lambda pieces: zlib_flushed(pieces, zlib.MAX_WBITS | 16),
    "deflate": lambda pieces: zlib_flushed(pieces, zlib.MAX_WBITS),
    "br": br_flushed,
    "zstd": zstd_flushed,
}


def cut(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [*sorted({0, *(place % len(stream) for place in cuts)}), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    memory = Memory(tmp_path_factory.mktemp("streams"))
    yield memory
    memory.close()


def asked(name: str, offered: bool, stream: bool = True) -> bytes:
    """A request; when the retrieve tool is offered, something of it is left out."""
    body = body_of(ROUTES[name], 1) if offered else {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    return json.dumps({**body, "stream": stream, "store": False, "tools": [TOOLS[name]]}).encode()


def check(memory: Memory, name: str, pieces: Sequence[bytes], offered: bool = False, encoding: str = "") -> tuple[bytes, ...]:
    """What the client got, piece by piece."""
    memory.provider.pieces = pieces
    memory.provider.headers = {"content-type": "text/event-stream; charset=utf-8"} | ({"content-encoding": encoding} if encoding else {})
    memory.provider.bodies.clear()
    memory.outcomes.clear()
    answer = memory.ask(ROUTES[name], asked(name, offered), {"x-headroom-ccr": "on" if offered else "off"})
    assert answer.status == 200
    (outcome,) = memory.outcomes
    assert (outcome.error, outcome.usage) == ("", BILLED[name])
    assert len(memory.provider.bodies) == 1
    return answer.chunks


_CUTS = st.lists(st.integers(0, 1 << 20), max_size=40)
_QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offered", [False, True])
def test_any_split(memory: Memory, name: str, form: str, offered: bool) -> None:
    stream = FORMS[form]((GOLDEN / f"{name}.sse").read_bytes())

    @settings(max_examples=25, suppress_health_check=_QUIET)
    @given(_CUTS)
    def holds(cuts: list[int]) -> None:
        assert b"".join(check(memory, name, cut(stream, cuts), offered)) == stream

    holds()
    single = [stream[place : place + 1] for place in range(len(stream))]
    assert b"".join(check(memory, name, single, offered)) == stream


@pytest.mark.parametrize("api", [Anthropic(), Chat()], ids=["anthropic", "openai"])
@pytest.mark.parametrize("form", ["plain", "crlf", "comments"])
def test_any_split_of_an_answer_in_which_something_is_read_back(memory: Memory, api: Anthropic | Chat, form: str) -> None:
    call = Use("call_1", TOOL_NAME, '{"hash": "0123456789abcdef", "query": "größe"}')
    answers = (api.script(Say("Größe? "), call), api.script(Say("大小 🔎"), id="another"))
    streams = [FORMS[form](b"".join(answer.events or ())) for answer in answers]

    def shown(*cuts: Sequence[int]) -> bytes:
        memory.provider.next = [cut(stream, places) for stream, places in zip(streams, cuts, strict=True)]
        memory.provider.headers = {"content-type": "text/event-stream"}
        memory.outcomes.clear()
        answer = memory.ask(api.path, asked(api.name, offered=True), {"x-headroom-ccr": "on"})
        assert (memory.outcomes[0].rounds, memory.outcomes[0].usage.output_tokens) == (1, 2 * OUTPUT)
        return answer.body

    whole = shown((), ())
    assert TOOL_NAME.encode() not in whole

    @settings(max_examples=25, suppress_health_check=_QUIET)
    @given(_CUTS, _CUTS)
    def holds(first: list[int], second: list[int]) -> None:
        assert shown(first, second) == whole

    holds()


CALL = Use("call_1", TOOL_NAME, '{"hash": "0123456789abcdef"}')


@pytest.mark.parametrize("api", SPEAKERS, ids=lambda api: api.name)
@pytest.mark.parametrize("lacks", [1, 2])
def test_a_last_event_without_its_blank_line_is_followed_and_billed(memory: Memory, api: Speaker, lacks: int) -> None:
    def shown(lacks: int) -> bytes:
        streams = [b"".join(api.script(*parts, id="id").events or ()) for parts in ((Say("Look. "), CALL), (Say("It is."),))]
        memory.provider.next = [[stream[: len(stream) - lacks]] for stream in streams]
        memory.provider.headers = {"content-type": "text/event-stream"}
        memory.outcomes.clear()
        answer = memory.ask(api.path, asked(api.name, offered=True), {"x-headroom-ccr": "on"})
        assert (memory.outcomes[0].rounds, memory.outcomes[0].usage.output_tokens) == (1, 2 * OUTPUT)
        return answer.body

    assert shown(lacks) == shown(0)


@pytest.mark.parametrize("api", SPEAKERS, ids=lambda api: api.name)
@pytest.mark.parametrize("offered", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 9])
def test_a_stream_that_ends_in_the_middle_of_an_event(memory: Memory, api: Speaker, offered: bool, lost: int) -> None:
    stream = b"".join(api.script(Say("It is."), Use("c", "look", "{}")).events or ())[:-lost]
    memory.provider.pieces, memory.provider.headers = (stream,), {"content-type": "text/event-stream"}
    assert memory.ask(api.path, asked(api.name, offered), {"x-headroom-ccr": "on" if offered else "off"}).body == stream


@pytest.mark.parametrize("api", SPEAKERS, ids=lambda api: api.name)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("offered", [True, False])
def test_an_answer_of_no_named_kind_is_of_the_kind_asked_for(memory: Memory, api: Speaker, stream: bool, offered: bool) -> None:
    answers = [(Say("Look. "), CALL), (Say("It is."),)] if offered else [(Say("It is."),)]
    scripts = [api.script(*parts, id=f"id_{number}", stream=stream) for number, parts in enumerate(answers)]
    memory.provider.next = [list(script.events or (script.body or b"",)) for script in scripts]
    memory.provider.headers = {}
    memory.outcomes.clear()
    answer = memory.ask(api.path, asked(api.name, offered, stream), {"x-headroom-ccr": "on" if offered else "off"})
    assert (memory.outcomes[0].rounds, memory.outcomes[0].usage.output_tokens) == (len(answers) - 1, len(answers) * OUTPUT)
    assert CALL.id.encode() not in answer.body
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_held_back_or_joined(memory: Memory, name: str) -> None:
    pieces = cut((GOLDEN / f"{name}.sse").read_bytes(), range(0, 10_000, 7))
    assert list(check(memory, name, pieces)) == pieces


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("name", NAMES)
def test_an_encoded_stream_is_passed_encoded_and_metered(memory: Memory, name: str, encoding: str) -> None:
    events = [event + b"\n\n" for event in (GOLDEN / f"{name}.sse").read_bytes().split(b"\n\n")[:-1]]
    encoded = b"".join(ENCODERS[encoding](events))

    @settings(max_examples=15, suppress_health_check=_QUIET)
    @given(_CUTS)
    def holds(cuts: list[int]) -> None:
        assert b"".join(check(memory, name, cut(encoded, cuts), encoding=encoding)) == encoded

    holds()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_and_frames_follow_each_other(memory: Memory, encoding: str) -> None:
    stream = (GOLDEN / "anthropic.sse").read_bytes()
    compress = gzip.compress if encoding == "gzip" else zstandard.ZstdCompressor().compress
    encoded = compress(stream[:1000]) + compress(b"") + compress(stream[1000:])
    assert b"".join(check(memory, "anthropic", cut(encoded, range(0, 10_000, 11)), encoding=encoding)) == encoded
