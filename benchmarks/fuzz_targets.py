"""What `benchmarks.fuzz` feeds: each target takes bytes, and raises Found, or whatever else, where something is that must not be.

A target is made over a folder of its own, with inputs to begin from and, where plain bytes seldom make sense, a mutator of its own.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Mutator = Callable[[bytes, int, int], bytes]  # data, most bytes, seed


class Target(NamedTuple):
    feed: Callable[[bytes], None]
    seeds: list[bytes]
    mutate: Mutator | None = None


class Found(BaseException):
    """Something that must not be; no fence of ours catches it."""


class Loud(logging.Handler):
    """What is logged as an error was caught by a fence: found all the same."""

    def emit(self, record: logging.LogRecord) -> None:
        raise Found(self.format(record))  # with the traceback: libFuzzer prints no cause


def requests(home: Path) -> Target:
    from tests.mutations import Request, failed_open, mutation, recorded, wrong
    from tests.proxy.memory import Memory

    memory, seeds = Memory(home, max_body_mb=1), recorded()

    def written(request: Request) -> bytes:
        return json.dumps([request.path, request.headers]).encode() + b"\n" + request.body

    def read(data: bytes) -> Request:
        head, _, body = data.partition(b"\n")
        path, headers = json.loads(head)
        return Request(path, body, headers)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        changed = written(mutation(random.Random(seed), read(data), seeds))
        return changed if len(changed) <= most else data

    def feed(data: bytes) -> None:
        try:
            request = read(data)
        except ValueError:
            return  # libFuzzer begins with an empty input
        for what in filter(None, [wrong(memory.ask(*request)), *failed_open(memory.outcomes)]):
            raise Found(what)
        memory.outcomes.clear()
        memory.provider.bodies.clear()

    return Target(feed, [written(seed) for seed in seeds], mutate)


def answers(home: Path) -> Target:
    """An input is a byte that chooses the dialect, one that says where the stream is cut, and the answer."""
    from tests.provider import Received, Script, composed
    from tests.proxy.faces import body_of
    from tests.proxy.memory import Memory

    memory, routes = Memory(home, max_body_mb=1), ("/v1/messages", "/v1/chat/completions", "/v1/responses")
    asked = [json.dumps(body_of(route, 3) | {"stream": True}).encode() for route in routes]
    memory.provider.headers = {"content-type": "text/event-stream"}

    def feed(data: bytes) -> None:
        if len(data) < 3:
            return
        number, cut, answer = data[0] % len(routes), 1 + data[1], data[2:]
        memory.provider.pieces = [answer[start : start + cut] for start in range(0, len(answer), cut)]
        told = memory.ask(routes[number], asked[number])
        if told.status != 200:
            raise Found(f"status {told.status}")
        if b"headroom" not in answer and b"\\" not in answer and told.body != answer:
            raise Found("an answer that does not call us came changed")
        memory.outcomes.clear()
        memory.provider.bodies.clear()

    seeds = []
    for number, route in enumerate(routes):
        for body in (asked[number], json.dumps({"stream": True, "tools": []}).encode()):
            _, pieces = composed(Script(), Received("POST", route, (), body))
            seeds.append(bytes((number, 200)) + b"".join(pieces))
    return Target(feed, seeds)


def texts(home: Path) -> Target:
    """An input is a byte that chooses the tool, and a text."""
    from benchmarks.generated import KINDS, text
    from headroom.ccr import marker
    from headroom.dialects import ANTHROPIC
    from headroom.model import LOCAL, content_hash
    from headroom.store.sqlite import SqliteStore
    from tests.forwarding import Face
    from tests.proxy.faces import printed

    store = SqliteStore(home / "store.sqlite", ttl_s=86_400, max_bytes=10**8)
    tools = ("Bash", "Read", "Grep", "WebFetch", "list_orders", "read_page")

    def feed(data: bytes) -> None:
        said = data[1:].decode("utf-8", "replace")
        messages = printed(said, question="What failed, and why?") if data[:1] < b"\x80" else [{"role": "user", "content": said}]
        body = json.dumps({"model": "m", "messages": messages}).replace("read_page", tools[len(said) % len(tools)])
        sent = [Face(ANTHROPIC, store).body(body.encode()) for _ in range(2)]
        if sent[0] != sent[1]:
            raise Found("the same request became other bytes")
        for digest in {digest for digest in marker.hashes(sent[0].decode()) if digest not in said}:
            original = store.get_original(LOCAL.scope, digest).text
            if content_hash(original) != digest or original not in said:
                raise Found(f"{digest} redeems what did not stand there")

    return Target(feed, [bytes((side,)) + text(kind, size, kind).encode() for kind in KINDS for size in (600, 4000) for side in (0, 200)])


def parsers(home: Path) -> Target:
    """An input is a byte that chooses the parser, one that says where the data are cut, and the data."""
    import gzip
    import zlib

    import brotli
    import zstandard

    from headroom.backends.eventstream import chunk
    from headroom.transcripts.read import read
    from tests.transcripts.samples import claude_code, codex, messages

    def transcripts(data: bytes, size: int) -> None:
        file = home / ("t.json" if size % 2 else "t.jsonl")
        file.write_bytes(data)
        for _ in read([file]):
            pass

    lines = ["\n".join(map(json.dumps, found)).encode() for found in (claude_code(), codex(), [messages()])]
    each: list[tuple[Callable[[bytes, int], None], list[bytes]]] = [
        (_encodings, [encode(b"[1, 2, 3]" * 40) for encode in (gzip.compress, zlib.compress, brotli.compress, zstandard.compress)]),
        (_events, [b'event: a\r\ndata: {"x": 1}\r\n\r\n: note\ndata: one\ndata: two\n\nid: 3\rdata:x\r\r']),
        (_amazon, [chunk(b'{"type":"message_stop"}') * 2]),
        (transcripts, lines),
        (_policies, [b"rules:\n- name: a\n  match: {models: ['claude-*']}\n  fidelity: lossless\n"]),
    ]

    def feed(data: bytes) -> None:
        if len(data) > 2:
            each[data[0] % len(each)][0](data[2:], 1 + data[1])

    return Target(feed, [bytes((number, 7)) + seed for number, (_, seeds) in enumerate(each) for seed in seeds])


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _encodings(data: bytes, size: int) -> None:
    from headroom.encodings import Decoder
    from headroom.errors import InvalidRequest

    name = ("gzip", "deflate", "br", "zstd", "gzip, br")[size % 5]
    found: list[Any] = []
    for pieces in ([data], _cut(data, size)):
        decoder = Decoder(name, 1_000_000)
        try:
            out = b"".join(map(decoder.feed, pieces))
            decoder.finish()
            found.append(out)
        except InvalidRequest as failure:
            found.append(type(failure))
    refused = name == "zstd" and InvalidRequest in found  # libzstd holds a frame against its own size only when it gets it whole
    if found[0] != found[1] and not refused:
        raise Found(f"{name} decodes to something else in pieces")


def _events(data: bytes, size: int) -> None:
    from headroom.sse import EventReader, FrameReader

    whole, apart, frames = EventReader(), EventReader(), FrameReader()
    if list(whole.feed(data)) != [event for piece in _cut(data, size) for event in apart.feed(piece)]:
        raise Found("other events in pieces")
    if b"".join([frame for piece in _cut(data, size) for frame in frames.feed(piece)] + [frames.rest()]) != data:
        raise Found("the frames joined are not what came")


def _amazon(data: bytes, size: int) -> None:
    from headroom.backends.base import Broken
    from headroom.backends.eventstream import Frames, MessagesStream

    for reader in (Frames(), MessagesStream()):
        try:
            for piece in _cut(data, size):
                _ = list(reader.feed(piece))
            reader.end()
        except Broken:
            pass


def _policies(data: bytes, _: int) -> None:
    from headroom import policies
    from headroom.errors import SettingsError

    try:
        policies.parsed(data, "policies.yaml")
    except SettingsError:
        pass


TARGETS = {"requests": requests, "answers": answers, "texts": texts, "parsers": parsers}
