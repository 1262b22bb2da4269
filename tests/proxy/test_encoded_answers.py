"""An answer that is read here ends when its encoding does: one that ends before is broken, and no client takes it for whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headroom.backends.base import Ask
from headroom.backends.translation import Translated
from headroom.errors import UpstreamUnreachable
from headroom.proxy.adapted import adapted, turned
from headroom.proxy.relay import UpstreamBroke
from tests.proxy.memory import Memory, Pieces
from tests.proxy.test_streams import CALL, ENCODERS, asked
from tests.scripted import SPEAKERS, Anthropic, Say, Speaker

STREAM, JSON = "text/event-stream", "application/json"
LONG = Say("It is long. " * 50)
encoded = pytest.mark.parametrize("encoding", ENCODERS)
streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def cut_off(encoding: str, pieces: tuple[bytes, ...]) -> list[bytes]:
    """All that was to be said, encoded, without the end of the encoding."""
    return ENCODERS[encoding](pieces)[:-1]


def pieces_of(api: Speaker, *parts: Any, stream: bool) -> tuple[bytes, ...]:
    script = api.script(*parts, stream=stream)
    return script.events or (script.body or b"",)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    memory = Memory(tmp_path)
    yield memory
    memory.close()


@encoded
@streamed
@pytest.mark.parametrize("api", SPEAKERS, ids=lambda api: api.name)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_an_answer_in_which_something_may_be_read_back(memory: Memory, api: Speaker, encoding: str, stream: bool, first: bool) -> None:
    """It is kept nowhere, and the same request is sent again. Where nothing of it was sent yet the client is told in words."""
    whole, cut = pieces_of(api, Say("Look. "), CALL, stream=stream), cut_off(encoding, pieces_of(api, LONG, stream=stream))
    memory.provider.headers = {"content-type": STREAM if stream else JSON, "content-encoding": encoding}
    answers: list[Any] = [cut] if first else [ENCODERS[encoding](whole), cut]
    body = json.dumps({**json.loads(asked(api.name, offered=True, stream=stream)), "temperature": 0}).encode()
    for asked_before in (0, 1):
        memory.provider.next = list(answers)
        if stream:
            with pytest.raises(UpstreamBroke, match="ends before its content-encoding does"):
                memory.ask(api.path, body, {"x-headroom-ccr": "on", "x-headroom-cache": "on"})
        else:
            told = memory.ask(api.path, body, {"x-headroom-ccr": "on", "x-headroom-cache": "on"})
            assert told.status == 502
            assert "The provider broke off in its answer: " in json.loads(told.body)["error"]["message"]
        assert "ends before its content-encoding does" in memory.outcomes[asked_before].error
        assert memory.outcomes[asked_before].rounds == len(answers) - 1
        assert len(memory.provider.bodies) == len(answers) * (asked_before + 1)
    memory.provider.next = [ENCODERS[encoding](pieces_of(api, LONG, stream=stream))]
    assert memory.ask(api.path, body, {"x-headroom-ccr": "on", "x-headroom-cache": "on"}).headers["x-headroom-cache"] == "miss"
    assert memory.outcomes[2].error == memory.outcomes[2].cache_hit == ""


@encoded
def test_a_stream_that_becomes_one_of_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setenv("OUR_ANTHROPIC_KEY", "sk-ant-ours")
    memory = Memory(tmp_path, backends={"use": "anthropic", "key": "OUR_ANTHROPIC_KEY"})
    events = pieces_of(Anthropic(), LONG, stream=True)
    memory.provider.headers = {"content-type": STREAM, "content-encoding": encoding}
    memory.provider.next = [ENCODERS[encoding](events), cut_off(encoding, events)]
    body = json.dumps({"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], "temperature": 0}).encode()
    path, off = "/model/m/invoke-with-response-stream", {"x-headroom-cache": "off"}
    assert memory.ask(path, body, off).status == 200
    for _ in range(2):
        with pytest.raises(UpstreamBroke, match="ends before its content-encoding does"):
            memory.ask(path, body)
        memory.provider.next = [cut_off(encoding, events)]
    assert [outcome.error.partition(":")[0] for outcome in memory.outcomes] == ["", "upstream_broke", "upstream_broke"]
    memory.close()


class _AsItIs:
    """A backend's reader that changes nothing."""

    content_type = STREAM

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b"(the end)"


TRANSLATED = Translated(Ask("anthropic", "POST", b"/", b"", [], b"", "m", True), "a>b", ())  # whose words stay
WHOLE = b'{"said":"' + b"It is long. " * 50 + b'"}'


async def _read_by_a_backend(response: httpx.Response) -> bytes:
    return await adapted(response, _AsItIs()).aread()


async def _translated(response: httpx.Response) -> bytes:
    return await (await turned(response, TRANSLATED)).aread()


def _answer(kind: str, encoding: str, pieces: list[bytes]) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": kind, "content-encoding": encoding}, stream=Pieces(pieces))


@encoded
@pytest.mark.parametrize(
    ("read", "kind", "raises"),
    [
        (_read_by_a_backend, STREAM, httpx.RemoteProtocolError),
        (_translated, STREAM, httpx.RemoteProtocolError),
        (_translated, JSON, UpstreamUnreachable),
    ],
    ids=["backend", "translated", "translated whole"],
)
def test_an_answer_of_a_backend(encoding: str, read: Callable[..., Any], kind: str, raises: type[Exception]) -> None:
    told = asyncio.run(read(_answer(kind, encoding, ENCODERS[encoding]([WHOLE]))))
    assert told.removesuffix(b"(the end)") == WHOLE
    with pytest.raises(raises):
        asyncio.run(read(_answer(kind, encoding, cut_off(encoding, (WHOLE,)))))
    assert asyncio.run(read(_answer(kind, "utf-8", [WHOLE]))).removesuffix(b"(the end)") == WHOLE
