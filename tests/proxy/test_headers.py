"""Headers on their way to the provider and back: what is the caller's stays, what is ours or the connection's goes."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.provider import WAIT_S, Provider, Script
from tests.proxy.faces import HTTP, anthropic_turns, asking

HELLO = json.dumps(asking([{"role": "user", "content": "hi"}])).encode()
TARGETS = ["/v1/messages", "/v1/chat/completions", "/v1/responses?a=1&a=2"]


def raw(url: str, target: str, headers: list[tuple[str, str]], body: bytes = HELLO) -> http.client.HTTPResponse:
    """A request with exactly these headers."""
    lines = [f"POST {target} HTTP/1.1", "Host: proxy.example", *(f"{name}: {value}" for name, value in headers)]
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=WAIT_S) as link:
        link.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        answer = http.client.HTTPResponse(link)
        answer.begin()
        answer.read()
        return answer


@pytest.mark.parametrize("target", TARGETS)
def test_the_callers_headers_are_forwarded_and_no_others(small: str, provider: Provider, target: str) -> None:
    own = [
        ("content-type", "application/json"),
        ("x-odd", "one"),
        ("x-odd", "two"),
        ("user-agent", "odd/1"),
        ("anthropic-beta", "a,b"),
        ("authorization", "Bearer k\xe9y"),
        ("cookie", "a=b; c=d"),
    ]
    ours = [("X-Headroom-Mode", "lossless"), ("x-headroom-session-id", "s"), ("x-headroom-team", "blue"), ("X-HEADROOM-Api-Key", "secret")]
    connection = [("connection", "close, x-hop"), ("x-hop", "1"), ("te", "trailers"), ("proxy-authorization", "Basic abc"), ("expect", "")]
    answer = raw(small, target, [*own, *ours, *connection, ("content-length", str(len(HELLO)))])
    assert answer.status == 200
    (request,) = provider.requests
    assert request.target == target
    sent = [(name, value) for name, value in request.headers if name not in ("host", "content-length")]
    assert sorted(sent) == sorted(own)
    assert request.header("host") == [urlsplit(provider.url).netloc]
    assert request.header("content-length") == [str(len(HELLO))]


@pytest.mark.parametrize("target", TARGETS)
def test_a_chunked_body_arrives_whole(small: str, provider: Provider, target: str) -> None:
    body = b"5\r\n" + HELLO[:5] + b"\r\n%x\r\n" % len(HELLO[5:]) + HELLO[5:] + b"\r\n0\r\n\r\n"
    assert raw(small, target, [("transfer-encoding", "chunked"), ("connection", "close")], body).status == 200
    assert provider.requests[0].body == HELLO


def test_what_headroom_says_about_a_request(small: str, provider: Provider) -> None:
    answer = HTTP.post(f"{small}/v1/messages", json=asking(anthropic_turns(2)))
    said = {name.removeprefix("x-headroom-"): value for name, value in answer.headers.items() if name.startswith("x-headroom-")}
    assert set(said) == {"request-id", "tokens-before", "tokens-after", "tokens-saved", "transforms", "overhead-ms", "cache"}
    assert int(said["tokens-before"]) - int(said["tokens-after"]) == int(said["tokens-saved"]) > 0
    assert said["transforms"].startswith("router:")
    assert float(said["overhead-ms"]) > 0
    assert said["cache"] == "miss"
    again = HTTP.post(f"{small}/v1/messages", json=asking(anthropic_turns(2)))
    assert again.headers["x-headroom-request-id"] != said["request-id"]
    assert again.headers["x-headroom-tokens-saved"] == said["tokens-saved"]


@pytest.mark.parametrize(
    ("headers", "reason", "smaller"),
    [
        ({"x-headroom-bypass": "true"}, "bypass", False),
        ({"x-headroom-mode": "off"}, "bypass", False),
        ({"x-headroom-mode": "passthrough"}, "bypass", False),
        ({"x-headroom-mode": "lossless"}, None, True),
        ({"x-headroom-mode": "optimize"}, None, True),
        ({"x-headroom-mode": "unheard-of"}, None, True),
    ],
)
def test_a_request_chooses_its_mode(small: str, provider: Provider, headers: dict[str, str], reason: str | None, smaller: bool) -> None:
    body = json.dumps(asking(anthropic_turns(1))).encode()
    answer = HTTP.post(f"{small}/v1/messages", content=body, headers=headers)
    assert answer.headers.get("x-headroom-skip-reason") == reason
    assert (len(provider.requests[0].body) < len(body)) is smaller
    assert (provider.requests[0].body == body) is not smaller


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/other"])
def test_the_answer_is_the_providers(small: str, provider: Provider, target: str) -> None:
    odd = (("x-odd", "a"), ("x-odd", "b"), ("set-cookie", "c=1"), ("set-cookie", "d=2"), ("date", "then"), ("x-headroom-cache", "spoofed"))
    script = Script(203, (*odd, ("connection", "x-hop"), ("x-hop", "1")), body=b'{"usage": {"output_tokens": -5}}', gzip=True)
    provider.script(script, script)
    direct, through = HTTP.post(provider.url + target, content=HELLO), HTTP.post(small + target, content=HELLO)
    assert (through.status_code, through.content) == (203, direct.content)
    gone = ("connection", "x-hop", "x-headroom-")
    kept = [pair for pair in direct.headers.multi_items() if not pair[0].startswith(gone)]
    assert [pair for pair in through.headers.multi_items() if not pair[0].startswith("x-headroom-")] == kept
    assert through.headers.get("x-headroom-cache", "miss") == "miss"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(small: str, provider: Provider, status: int) -> None:
    provider.always = Script(status, body=b"")
    assert HTTP.request("DELETE", f"{small}/v1/files/f").status_code == status
    provider.always = Script(200, body=b"")
    assert HTTP.head(f"{small}/v1/models").status_code == 200
    assert HTTP.get(f"{small}/livez").status_code == 200


def test_usage_is_read_from_whatever_comes(small: str, provider: Provider) -> None:
    odd = [
        b'"usage"',
        b'{"usage": 7}',
        b'{"usage": {"output_tokens": 1e400}}',
        b'{"usage": {"output_tokens": %b}}' % (b"9" * 400),
        b"[" * 200_000 + b'"usage"',
    ]
    for body in odd:
        provider.script(Script(body=body))
        assert HTTP.post(f"{small}/v1/messages", content=HELLO).content == body
        provider.script(Script(body=body))
        assert HTTP.post(f"{small}/v1/chat/completions", content=HELLO).content == body
    assert HTTP.get(f"{small}/metrics").status_code == 200


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("value", ["Bearer secret ", " Bearer secret", "Bearer\tsecret", "Bearer secret\x7f", "", "\xa0secret\xa0"])
def test_odd_header_values(small: str, provider: Provider, target: str, value: str) -> None:
    answer = raw(small, target, [("authorization", value), ("connection", "close"), ("content-length", str(len(HELLO)))])
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert provider.requests[0].header("authorization") == [value.strip(" \t")]
