"""Bad input: an error in the words of the caller's API where the provider would refuse it too, otherwise it is passed on."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib
from typing import Any
from urllib.parse import urlsplit

import brotli
import httpx
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking

ROUTES = ["/v1/messages", "/v1/chat/completions"]
ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}
HELLO = json.dumps(asking([{"role": "user", "content": "hi"}])).encode()
LEFT_TO_ITSELF = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def post(url: str, body: bytes, **headers: str) -> httpx.Response:
    return HTTP.post(url, content=body, headers={"content-type": "application/json", **headers})


def check_refusal(answer: httpx.Response, route: str, status: int) -> str:
    """The error has the form of the route's API; its message."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert answer.headers["x-headroom-request-id"]
    if route == "/v1/messages":
        assert body["type"] == "error"
        assert body["error"]["type"] == ("request_too_large" if status == 413 else "invalid_request_error")
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    message: str = body["error"]["message"]
    return message


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"),
        (b'{"messages": [', "not valid JSON"),
        (b'{"messages": [{}], "x": NaN}', "not valid JSON"),
        (b'{"messages": [{}]} {}', "not valid JSON"),
        (b'\xff\xfe{"messages"', "not UTF-8"),
        (b"[]", "must be a JSON object"),
        (b"{}", "messages"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": {}}', "messages"),
        (b'{"messages": ["hi"]}', "every message"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"messages":' * 50_000, "not valid JSON"),
    ],
)
def test_what_no_provider_takes_is_refused(small: str, provider: Provider, route: str, body: bytes, says: str) -> None:
    assert says in check_refusal(post(small + route, body), route, 400)
    assert provider.requests == []


@pytest.mark.parametrize("route", ROUTES)
def test_deep_nesting_is_passed_on(small: str, provider: Provider, route: str) -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    for place in (b'{"messages":[{"role":"user","content":%b}]}', b'{"messages":[{"role":"user","content":"x"}],"metadata":%b}'):
        assert post(small + route, place % deep).status_code == 200
        assert provider.requests[-1].body == place % deep
    for key in (b"max_tokens", b"model", b"tools"):
        body = b'{"messages":[{"role":"user","content":"x"}],"%b":%b}' % (key, deep)
        answer = post(small + route, body)
        assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, "nothing_to_compress")
        assert provider.requests[-1].body == body
    for block in (b'{"type":"tool_use","id":%b,"name":%b,"input":{}}', b'{"type":"tool_result","tool_use_id":%b,"content":[%b]}'):
        body = b'{"messages":[{"role":"assistant","content":[%b]}]}' % (block % (deep, deep))
        answer = post(small + route, body)
        assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, "nothing_to_compress")
        assert provider.requests[-1].body == body


def test_what_would_fill_the_memory_is_passed_on_unread(proxy: str, provider: Provider) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":[' + b"[]," * 1_100_000 + b"[]]}"
    answer = post(f"{proxy}/v1/messages", body)
    assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, "too_many_values")
    assert provider.requests[0].body == body


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_over_the_limit(small: str, provider: Provider, route: str) -> None:
    large = json.dumps(asking([{"role": "user", "content": "x" * 1_000_000}])).encode()
    message = check_refusal(post(small + route, large), route, 413)
    assert "1 MB" in message
    chunks = HTTP.post(small + route, content=iter([large[:400_000], large[400_000:800_000], large[800_000:]]))
    check_refusal(chunks, route, 413)
    assert provider.requests == []
    assert post(small + route, HELLO).status_code == 200


@pytest.mark.parametrize("route", [*ROUTES, "/v1/compress"])
@pytest.mark.parametrize("encoding", sorted(ENCODERS))
def test_a_bomb_is_refused(small: str, provider: Provider, route: str, encoding: str) -> None:
    bomb = ENCODERS[encoding](b" " * 3_000_000 + HELLO)
    answer = post(small + route, bomb, **{"content-encoding": encoding})
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] in {"request_too_large", "invalid_request_error"}
    broken = post(small + route, ENCODERS[encoding](HELLO)[:-3], **{"content-encoding": encoding})
    assert broken.status_code == 400
    assert "content-encoding" in broken.json()["error"]["message"]
    assert provider.requests == []


@pytest.mark.parametrize("encoding", sorted(ENCODERS))
def test_an_encoded_body_is_understood(small: str, provider: Provider, encoding: str) -> None:
    answer = post(
        f"{small}/v1/messages", ENCODERS[encoding](json.dumps(asking(anthropic_turns(1))).encode()), **{"content-encoding": encoding}
    )
    assert int(answer.headers["x-headroom-tokens-saved"]) > 0
    assert provider.requests[0].json["model"] == "stand-in"


def test_an_unknown_encoding_is_refused(small: str, provider: Provider) -> None:
    check_refusal(post(f"{small}/v1/messages", HELLO, **{"content-encoding": "snappy"}), "/v1/messages", 400)


@pytest.mark.parametrize(
    "target", ["/v1/../../etc/passwd", "//other.example/v1/x", "/v1/a%2Fb?q=a+b&c=%7E[]|^", "/v1/x?", "/v1/messages/", "/%zz", "/é"]
)
def test_odd_targets_arrive_as_they_were_sent(small: str, provider: Provider, target: str) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(small).port or 0), timeout=WAIT_S) as link:
        link.sendall(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        status = http.client.HTTPResponse(link)
        status.begin()
        code = status.status
    assert code in (200, 400)
    if code == 200:
        assert [request.target for request in provider.requests] == [target.removesuffix("?")]


def test_an_absolute_target_goes_nowhere_else(small: str, provider: Provider) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(small).port or 0), timeout=WAIT_S) as link:
        link.sendall(b"GET http://other.example/v1/models HTTP/1.1\r\nhost: other.example\r\nconnection: close\r\n\r\n")
        status = http.client.HTTPResponse(link)
        status.begin()
    assert status.status == 200
    assert [request.target for request in provider.requests] == ["/v1/models"]


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
_WORDS = st.sampled_from(
    ["user", "assistant", "tool", "system", "text", "tool_use", "tool_result", "thinking", "image", "t1", "\ud800", ""]
)
_KEYS = st.sampled_from(
    ["role", "content", "type", "text", "id", "tool_use_id", "tool_call_id", "name", "input", "tool_calls", "function", "arguments"]
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS | _WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6), max_leaves=14
)
_BODIES = st.fixed_dictionaries(
    {"messages": st.lists(st.dictionaries(_KEYS, _JSON, max_size=5), min_size=1, max_size=5)},
    optional={"model": _JSON, "stream": _JSON, "system": _JSON, "config": _JSON, "tools": _JSON},
)


@settings(max_examples=150, suppress_health_check=LEFT_TO_ITSELF)
@given(body=_BODIES, route=st.sampled_from(ROUTES))
def test_odd_json_is_passed_on(small: str, provider: Provider, body: dict[str, Any], route: str) -> None:
    raw = json.dumps(body).encode()
    provider.reset()
    answer = post(small + route, raw)
    assert answer.status_code == 200
    assert [request.body for request in provider.requests] == [raw]


@settings(max_examples=150, suppress_health_check=LEFT_TO_ITSELF)
@given(body=_BODIES)
@example(body={"model": "m", "messages": [{"role": "user", "content": [{"type": []}]}]})
@example(body={"model": "\ud800", "messages": [{"role": "user", "content": "\ud800"}], "config": {"fidelity": []}})
def test_compress_answers_odd_json(small: str, body: dict[str, Any]) -> None:
    answer = post(f"{small}/v1/compress", json.dumps(body).encode())
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert answer.json()["messages"] == body["messages"]


@settings(max_examples=100, suppress_health_check=LEFT_TO_ITSELF)
@given(body=st.binary(max_size=40) | _JSON.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("route", [*ROUTES, "/v1/compress", "/v1/retrieve"])
def test_no_bytes_are_an_error_of_ours(small: str, provider: Provider, body: bytes, route: str) -> None:
    assert post(small + route, body).status_code < 500


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b"[]", 400),
        (b"", 400),
        (b'{"hash": 7}', 400),
        (b'{"hash": "0123456789abcdef", "query": 7}', 400),
        (b'{"hash": "0123456789abcdef"}', 404),
        (b'{"hash": "\\ud800"}', 404),
        (b'{"hash": ' + b"[" * 100_000, 400),
    ],
)
def test_retrieve_refuses_in_our_own_words(small: str, body: bytes, status: int) -> None:
    answer = post(f"{small}/v1/retrieve", body)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"type", "message"}


def test_what_was_said_with_lone_surrogates_is_told_with_them(small: str, provider: Provider) -> None:
    messages = anthropic_turns(1, count=99)
    messages[1]["content"][0]["name"] = "tool\ud800"
    reply = post(f"{small}/v1/compress", json.dumps(asking(messages, model="model\ud800")).encode()).json()
    (digest,) = reply["ccr_hashes"]
    assert HTTP.get(f"{small}/v1/retrieve/{digest}").json()["tool_name"] == "tool\ud800"
    assert post(f"{small}/v1/retrieve", json.dumps({"hash": digest, "query": "node \ud800"}).encode()).json()["query"] == "node \ud800"
    post(f"{small}/v1/messages", json.dumps(asking(messages, model="model\ud800" * 1000)).encode())
    assert HTTP.get(f"{small}/stats").status_code == 200
    assert HTTP.get(f"{small}/metrics").status_code == 200
