"""Random mutations of requests: of their bytes, their values, their encoding and their headers. Pure, by a seed."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import brotli
import zstandard

from headroom.outcome import Outcome
from tests.proxy.faces import rows
from tests.proxy.memory import Answer

_GOLDEN = Path(__file__).parent / "golden"
_ROUTES = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions", "openai_responses": "/v1/responses"}


class Request(NamedTuple):
    path: str
    body: bytes
    headers: dict[str, str]


_BYTES = [
    b"",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\ud800",
    b"null",
    b"1e999",
    b"\r\n",
    b" ",
]
_KEYS = ["", "type", "role", "content", "text", "id", "output", "input", "messages", "cache_control", "tool_use_id", "call_id", "stream"]
_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1e308, 10**40, "", "x", "\ud800", "\u0000", [], {}, [[]], [{}], {"": {}}, "text", "tool_result", "user"),
    *("function_call_output", "headroom_retrieve", "<<ccr:0123456789abcdef>>", "a" * 5000, [1] * 300, {"type": "text", "text": "t"}),
]
_HEADERS: list[dict[str, str]] = [
    {"content-encoding": "gzip"},
    {"content-encoding": "gzip, br"},
    {"content-encoding": "identity"},
    {"content-encoding": "\xff"},
    {"content-type": "text/plain"},
    {"content-type": "\xe9"},
    {"x-headroom-mode": "lossless"},
    {"x-headroom-mode": "\xff"},
    {"x-headroom-bypass": "TRUE"},
    {"x-headroom-ccr": "on"},
    {"x-headroom-tag": "\xe9" * 300},
    {"x-api-key": "\xe9"},
    {"authorization": "Bearer"},
    {"authorization": "\x7f"},
    {"accept-encoding": "zstd, *;q=0"},
    {"connection": "x-odd, keep-alive", "x-odd": "1"},
    {"upgrade": "h2c"},
    {"expect": "100-continue"},
]
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": zstandard.ZstdCompressor().compress,
}


def recorded() -> list[Request]:
    """The golden requests with data in them, on their own route and on `/v1/compress`."""
    found = []
    for name, path in _ROUTES.items():
        for case in sorted((_GOLDEN / name).glob("*.json")):
            body = case.read_text().replace("@ROWS@", json.dumps(rows(1, 40))[1:-1]).replace("@KEPT@", "kept").encode()
            found += [Request(path, body, {"content-type": "application/json"}), Request("/v1/compress", body, {})]
    return found


def wrong(answer: Answer) -> str:
    """What is wrong with an answer; the provider never says anything but 200."""
    if answer.status == 200:
        return ""
    if answer.status >= 500:
        return f"status {answer.status}"
    try:
        error = json.loads(answer.body)["error"]
    except (ValueError, KeyError, TypeError):
        return "the error has no form"
    return "" if error.get("type") and error.get("message") else "the error says nothing"


def failed_open(outcomes: Iterable[Outcome]) -> list[str]:
    """What failed inside and was forwarded as it came."""
    return [f"failed open: {why}" for outcome in outcomes for why in {outcome.skip_reason, *outcome.reasons} if "failed" in why]


def mutated(draw: random.Random, recorded: Sequence[Request]) -> Request:
    """One of the recorded requests with one to four mutations, its length in its headers."""
    return mutation(draw, draw.choice(recorded), recorded)


def mutation(draw: random.Random, request: Request, recorded: Sequence[Request]) -> Request:
    """This request with one to four mutations, some of which take from the recorded ones."""
    for _ in range(draw.choice((1, 1, 2, 3, 4))):
        request = draw.choice(_MUTATIONS)(draw, request, recorded)
    return request


def _flip(draw: random.Random, request: Request, _: Sequence[Request]) -> Request:
    """Some bytes are others, there once more, or gone."""
    body = bytearray(request.body)
    for _ in range(draw.choice((1, 2, 8, 40))):
        place = draw.randrange(len(body) + 1)
        body[place : place + draw.randrange(4)] = draw.choice((draw.choice(_BYTES), draw.randbytes(draw.randrange(4))))
    return request._replace(body=bytes(body))


def _cut(draw: random.Random, request: Request, _: Sequence[Request]) -> Request:
    start, end = sorted(draw.randrange(len(request.body) + 1) for _ in range(2))
    return request._replace(body=draw.choice((request.body[start:end], request.body[:start] + request.body[end:], request.body[:end])))


def _graft(draw: random.Random, request: Request, recorded: Sequence[Request]) -> Request:
    other = draw.choice(recorded).body
    return request._replace(body=request.body[: draw.randrange(len(request.body) + 1)] + other[draw.randrange(len(other) + 1) :])


def _elsewhere(draw: random.Random, request: Request, recorded: Sequence[Request]) -> Request:
    """On the route of another API."""
    return request._replace(path=draw.choice(recorded).path)


def _values(draw: random.Random, request: Request, recorded: Sequence[Request]) -> Request:
    """Some values of the JSON are others, moved, doubled, or gone."""
    try:
        root = json.loads(request.body)
        other = json.loads(draw.choice(recorded).body)
    except (ValueError, RecursionError):
        return _flip(draw, request, recorded)
    for _ in range(draw.choice((1, 1, 2, 5))):
        places = list(_places(root))
        if not places:
            break
        holder, key = draw.choice(places)
        theirs = list(_places(other)) or places
        match draw.randrange(5):
            case 0:
                del holder[key]
                continue
            case 1 if isinstance(holder, list):
                holder.insert(key, _copy(draw.choice(_VALUES)))
                continue
            case 1:
                holder[draw.choice(_KEYS)] = _copy(holder[key])
                continue
            case 2:
                there, its = draw.choice(theirs)
                value = there[its]
            case 3:
                value = [holder[key]] if draw.random() < 0.5 else {draw.choice(_KEYS): holder[key]}
            case _:
                value = draw.choice(_VALUES)
        holder[key] = _copy(value)
    return request._replace(body=json.dumps(root, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass"))


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _places(value: Any) -> list[tuple[Any, Any]]:
    found, waiting = [], [value]
    while waiting:
        holder = waiting.pop()
        keys = range(len(holder)) if isinstance(holder, list) else list(holder) if isinstance(holder, dict) else ()
        found += [(holder, key) for key in keys]
        waiting += [holder[key] for key in keys]
    return found


def _deep(draw: random.Random, request: Request, _: Sequence[Request]) -> Request:
    """A value that is nested deeply stands somewhere."""
    depth = draw.choice((50, 1500, 20_000))
    place = draw.choice([place for place, byte in enumerate(request.body) if byte == ord(":")] or [0]) + 1
    nested = b"[" * depth + b"]" * depth + b"," if draw.random() < 0.5 else b'{"a":' * depth + b"1" + b"}" * depth + b',"b":'
    return request._replace(body=request.body[:place] + nested + request.body[place:])


def _headers(draw: random.Random, request: Request, _: Sequence[Request]) -> Request:
    return request._replace(headers=request.headers | draw.choice(_HEADERS))


def _encoded(draw: random.Random, request: Request, _: Sequence[Request]) -> Request:
    name = draw.choice(list(_ENCODERS))
    return request._replace(body=_ENCODERS[name](request.body), headers=request.headers | {"content-encoding": name})


_MUTATIONS = [_flip, _cut, _graft, _elsewhere, _values, _values, _values, _deep, _headers, _encoded]
