"""What only Bedrock does: frames with checksums, exceptions inside a stream, betas in the body, profiles by region."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.backends import Broken
from headroom.backends.bedrock import Bedrock as Backend
from headroom.backends.eventstream import MessagesStream
from headroom.settings import BackendSpec
from headroom.stats.prices import bundled
from tests.backends.clouds import Bedrock, Cloud, chunk, exception, frame, standing
from tests.provider import Provider, Script
from tests.proxy.clients import Claude
from tests.proxy.faces import HTTP, serving, settings_for
from tests.scripted import Anthropic, Say, Think, Use

EVENTS = [
    json.loads(event.partition(b"data: ")[2]) for event in Anthropic().script(Think("hm"), Say("Hello."), Use("t", "f", "{}")).events or ()
]
BODY = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


class Throttling(Bedrock):
    """Sends what a test gives it in place of the stream."""

    frames: bytes = b""

    def said(self, received, status, content_type, body):  # type: ignore[no-untyped-def]
        kind, told = super().said(received, status, content_type, body)
        if body and self.frames and kind.endswith("eventstream"):
            told, self.frames = self.frames, b""
        return kind, told


@pytest.fixture(scope="module")
def behind(_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Throttling]]:
    with pytest.MonkeyPatch.context() as patch, standing(Throttling, _provider) as cloud:
        for name, value in cloud.env.items():
            patch.setenv(name, value)
        backends = {"use": "bedrock", "url": cloud.url, "region": "us-east-1"}
        with serving(settings_for("http://127.0.0.1:9", tmp_path_factory.mktemp("bedrock"), backends=backends)) as url:
            assert isinstance(cloud, Throttling)
            yield url, cloud


def spoken(frames: bytes, *cuts: int) -> bytes:
    reader, places = MessagesStream(), sorted({0, len(frames), *(cut % (len(frames) + 1) for cut in cuts)})
    pieces = (frames[start:end] for start, end in itertools.pairwise(places))
    return b"".join([*(reader.feed(piece) for piece in pieces), reader.end()])


@given(st.lists(st.integers(0, 100_000), max_size=12))
def test_however_the_stream_is_cut(cuts: list[int]) -> None:
    told = spoken(b"".join(map(chunk, EVENTS)), *cuts)
    assert told == b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS)


@given(st.data())
def test_a_damaged_stream_is_never_told_as_a_whole_one(data: st.DataObject) -> None:
    frames = b"".join(map(chunk, EVENTS[:3]))
    place, bit = data.draw(st.integers(0, len(frames) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(frames)
    damaged[place] ^= 1 << bit
    with pytest.raises(Broken):
        spoken(bytes(damaged))
    with pytest.raises(Broken):
        spoken(frames[: len(frames) - 1 - place % len(chunk(EVENTS[2]))] + b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelStreamErrorException", "api_error"),
        ("internalServerException", "api_error"),
        ("validationException", "invalid_request_error"),
    ],
)
def test_throttled_in_the_middle(behind: tuple[str, Throttling], provider: Provider, name: str, kind: str) -> None:
    url, cloud = behind
    cloud.frames = b"".join(map(chunk, EVENTS[:4])) + exception(name, "Too many tokens, please wait.")
    provider.script(Anthropic().script(Say("x")))
    with (
        pytest.raises(anthropic.APIStatusError, match="Too many tokens") as caught,
        anthropic.Anthropic(base_url=url, api_key="k", max_retries=0).messages.stream(**BODY) as stream,  # type: ignore[arg-type]
    ):
        stream.get_final_message()
    assert caught.value.body["error"]["type"] == kind  # type: ignore[index]


def test_an_error_frame_and_what_nobody_knows() -> None:
    error = frame({":message-type": "error", ":error-code": "InternalError", ":error-message": "went wrong"}, b"")
    assert b'"message": "went wrong"' in spoken(error)
    assert spoken(frame({":message-type": "event", ":event-type": "later"}, b"{}")) == b""


def test_a_damaged_answer_breaks_the_clients_connection(behind: tuple[str, Throttling], provider: Provider) -> None:
    url, cloud = behind
    cloud.frames = b"".join(map(chunk, EVENTS[:3]))[:-5] + b"damag"
    provider.script(Anthropic().script(Say("x")))
    with pytest.raises(httpx.RemoteProtocolError):
        HTTP.post(f"{url}/v1/messages", json=BODY | {"stream": True})


def test_betas_and_counts(behind: tuple[str, Throttling], provider: Provider) -> None:
    url, cloud = behind
    client = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0)
    client.beta.messages.create(**BODY, betas=["context-1m-2025-08-07", "x-1"])  # type: ignore[call-overload]
    assert provider.requests[-1].json["anthropic_beta"] == ["context-1m-2025-08-07", "x-1"]
    counted = client.messages.count_tokens(model="claude-sonnet-4-5", messages=[{"role": "user", "content": "hello"}])
    assert counted.input_tokens > 0
    assert cloud.arrived[-1].target == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"


def test_a_bedrock_api_key(behind: tuple[str, Throttling], provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bearer(Bedrock):
        def _verify(self, received):  # type: ignore[no-untyped-def]
            assert received.header("authorization") == ["Bearer bedrock-api-key"]

    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key")
    with standing(Bearer, provider) as cloud:
        backends = {"use": "bedrock", "url": cloud.url, "region": "us-east-1"}
        with serving(settings_for("http://127.0.0.1:9", tmp_path, backends=backends)) as url:
            provider.script(Claude.api.script(Say("Hi."), stream=False))
            assert HTTP.post(f"{url}/v1/messages", json=BODY).json()["content"][0]["text"] == "Hi."
        assert_none_amiss(cloud)


def assert_none_amiss(cloud: Cloud) -> None:
    assert cloud.refusals == []


def test_throttled_at_once(behind: tuple[str, Throttling], provider: Provider) -> None:
    url, _ = behind
    provider.script(Script(429))
    answer = HTTP.post(f"{url}/v1/messages", json=BODY | {"stream": True})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")


@pytest.mark.parametrize(
    ("region", "name", "id"),
    [
        ("us-east-1", "claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("eu-central-1", "claude-haiku-4-5-20251001", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("ap-northeast-1", "claude-sonnet-4-6", "jp.anthropic.claude-sonnet-4-6"),
        ("ap-southeast-2", "claude-opus-4-6", "au.anthropic.claude-opus-4-6-v1"),
        ("us-gov-west-1", "claude-opus-5", "us-gov.anthropic.claude-opus-5"),
        ("sa-east-1", "claude-sonnet-5", "global.anthropic.claude-sonnet-5"),
        ("us-east-1", "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("us-east-1", "arn:aws:bedrock:us-east-1:1:inference-profile/x", "arn:aws:bedrock:us-east-1:1:inference-profile/x"),
        ("us-east-1", "ours", "arn:aws:bedrock:us-east-1:1:application-inference-profile/y"),
        ("us-east-1", "amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
    ],
)
def test_profiles(region: str, name: str, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in Bedrock.env.items():
        monkeypatch.setenv(variable, value)
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/y"
    backend = Backend("b", BackendSpec(kind="bedrock", region=region, models={"ours": arn}), table())
    assert backend.model(name) == id


def table() -> dict[str, str]:
    import tomllib
    from importlib.resources import files

    tables = tomllib.loads(files("headroom.backends").joinpath("models.toml").read_text())
    return dict(tables["bedrock"])


def test_every_model_of_the_table_has_a_price() -> None:
    assert [id for id in table().values() if bundled().rates("bedrock", f"us.{id}") is None] == []
