"""What is forwarded, byte for byte: untouched bodies, touched ones, and one turn after another."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from headroom.ccr import marker
from tests.provider import Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, body_of, rows, serving, settings_for

ROUTES = ["/v1/messages", "/v1/chat/completions"]
UNTOUCHED = [
    b'{"messages":[{"role":"user","content":"hi"}],"model":"m"}',
    b' \r\n{ "model" :\t"m" , "messages" : [ {"role":"user" ,"content": "\\u00e9\\/\\ud83d\\ude00 \xf0\x9f\x98\x80" } ] ,"x":-0.0}\n ',
    b'{"model":"m","x":1e5,"y":-0.0,"z":1.10,"messages":[{"role":"user","content":"hi"}]}',
    b'{"messages":[{"content":[{"type":"hologram","data":{"b":1,"a":[1E400,123456789012345678901234567890]}}],"role":"user"}]}',
    b'{"messages":[{"role":"tool","content":"an answer to nothing","tool_call_id":"gone"}]}',
    b'{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"gone","content":"x"}]}]}',
    b'{"messages":[{"role":"user","content":"lone \\ud800 surrogate \\udfff"}],"model":"\\ud800"}',
    b'{"messages":[{"role":7,"content":{"deep":[[[[]]]]}}],"stream":"yes","model":[]}',
    b'{"messages":[{}],"messages":[{"role":"user","content":"twice"}]}',
    b'{"messages":[{"role":"user","content":"control \x01 character"}]}',
]


def ask(url: str, route: str, body: bytes | dict[str, Any], **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HTTP.post(url + route, content=content, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", UNTOUCHED)
def test_an_untouched_body_is_forwarded_as_it_came(small: str, provider: Provider, route: str, body: bytes) -> None:
    assert ask(small, route, body).status_code == 200
    assert [request.body for request in provider.requests] == [body]


@pytest.mark.parametrize("kind", ["lone_surrogate", "duplicate_keys", "failed", "off"])
def test_a_large_text_with_a_reason_is_forwarded_as_it_came(small: str, provider: Provider, kind: str) -> None:
    text = rows(1) + "\ud800" if kind == "lone_surrogate" else rows(1)
    block = {"type": "tool_result", "tool_use_id": "t", "content": text, "is_error": kind == "failed"}
    body = json.dumps(asking([{"role": "user", "content": [block]}])).encode()
    if kind == "duplicate_keys":
        body = body[:-1] + b',"model":"other"}'
    mode = {"x-headroom-mode": "off"} if kind == "off" else {}
    answer = ask(small, "/v1/messages", body, **mode)
    reason = {"failed": "error_result", "off": "bypass"}.get(kind, kind)
    assert (answer.status_code, answer.headers["x-headroom-skip-reason"]) == (200, reason)
    assert provider.requests[0].body == body


def test_in_a_touched_body_only_the_text_differs(small: str, provider: Provider) -> None:
    text = rows(2)
    head = '{ "model":"m","temperature" : 1e5, "odd":"\\u00e9\\/", "messages":[\n {"content":[{"tool_use_id":"t","content": '
    tail = ' ,"type":"tool_result"}],"role":"user"} ],\t"n":-0.0 , "big":12345678901234567890123 }\n'
    answer = ask(small, "/v1/messages", f"{head}{json.dumps(text)}{tail}".encode())
    forwarded = provider.requests[0].body.decode()
    assert forwarded.startswith(head)
    assert forwarded.endswith(tail)
    inner = json.loads(forwarded[len(head) : len(forwarded) - len(tail)])
    (digest,) = set(marker.hashes(inner))
    assert len(inner) < len(text)
    assert int(answer.headers["x-headroom-tokens-after"]) < int(answer.headers["x-headroom-tokens-before"])
    assert HTTP.get(f"{small}/v1/retrieve/{digest}").json()["original_content"] == text


def test_the_content_encoding_of_a_touched_body_is_undone(small: str, provider: Provider) -> None:
    plain, large = json.dumps(asking([{"role": "user", "content": "hi"}])).encode(), json.dumps(asking(anthropic_turns(1))).encode()
    for body in (plain, large):
        assert ask(small, "/v1/messages", gzip.compress(body, mtime=0), **{"content-encoding": "gzip"}).status_code == 200
    untouched, touched = provider.requests
    assert (untouched.body, untouched.header("content-encoding")) == (gzip.compress(plain, mtime=0), ["gzip"])
    assert touched.header("content-encoding") == []
    assert touched.header("content-length") == [str(len(touched.body))]
    assert list(marker.hashes(touched.body.decode()))


def forwarded(provider: Provider, url: str, route: str, turns: int) -> str:
    """What reaches the provider for the first `turns` turns, up to the end of the last message."""
    ask(url, route, body_of(route, turns)).raise_for_status()
    text = provider.requests[-1].body.decode()
    assert list(marker.hashes(text))
    return text.removesuffix("]}")


@pytest.mark.parametrize("route", [*ROUTES, "/v1/responses"])
def test_what_was_forwarded_is_a_prefix_of_what_the_next_turn_forwards(provider: Provider, tmp_path: Path, route: str) -> None:
    settings, seen = settings_for(provider, tmp_path / "home"), ""
    with serving(settings) as url:
        for turns in (1, 2, 3):
            now = forwarded(provider, url, route, turns)
            assert now.startswith(seen)
            seen = now
        assert forwarded(provider, url, route, 3) == seen
    for turns in (4, 5):  # by a new process each time
        with serving(settings) as url:
            now = forwarded(provider, url, route, turns)
            assert now.startswith(seen)
            seen = now
    with serving(settings_for(provider, tmp_path / "another")) as url:
        assert forwarded(provider, url, route, 5) == seen


def test_every_marker_gives_back_what_was_left_out(proxy: str, provider: Provider) -> None:
    ask(proxy, "/v1/messages", asking(anthropic_turns(3))).raise_for_status()
    digests = dict.fromkeys(marker.hashes(provider.requests[0].body.decode()))
    wanted = {rows(turn) for turn in range(3)}
    posted = [HTTP.post(f"{proxy}/v1/retrieve", json={"hash": digest}).json()["original_content"] for digest in digests]
    assert set(posted) == wanted
    digest = next(iter(digests))
    found = HTTP.get(f"{proxy}/v1/retrieve/{digest}", params={"query": "1007"}).json()
    assert found["count"] == len(found["results"]) > 0
    assert '"id": 1007' in found["results"][0]["text"]
    assert HTTP.post(f"{proxy}/v1/retrieve", json={"hash": digest, "query": "1007"}).json()["results"] == found["results"]
