"""Texts as tools print them, made from a seed: equal seeds give equal texts, different ones share hardly a line."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
_WORDS = re.findall(
    r"\w+",
    """account address batch billing bucket cache cart channel charge checkout client cluster config consumer customer delivery deploy
    device endpoint event export failure filter gateway header index invoice job journal key latency ledger limit lock message metric
    migration node offset order partition payment policy pool profile queue quota record region release replica report request retry
    rollback route schema search secret segment session shard signal snapshot storage stream subscription table tenant timeout token
    topic trace update upload user vault version volume webhook window worker zone""",
)
_VERBS = re.findall(
    r"\w+", "accepts archives checks closes compares counts drops keeps merges moves opens reads renews returns sends splits writes"
)
_ROW_BYTES, _ORDER_BYTES, _EVENT_BYTES = 310, 600, 180


def _row(chance: random.Random) -> dict[str, Any]:
    """One search result of _ROW_BYTES and about 78 tokens."""
    topic, when = chance.choice(_WORDS), _START + timedelta(seconds=chance.randrange(10**7))
    return {
        "id": f"doc-{chance.randrange(10**7)}",
        "title": _phrase(chance, 3).title(),
        "snippet": f"The {_sentence(chance, 12)}",
        "url": f"https://docs.example.com/{topic}/{chance.choice(_WORDS)}",
        "score": round(chance.random(), 3),
        "source": chance.choice(("wiki", "tickets", "runbooks")),
        "updated": when.strftime("%Y-%m-%d"),
    }


def _order(chance: random.Random) -> dict[str, Any]:
    """One record as an API answers: objects and lists inside, an address made of its id, keys that only some have."""
    number, name = chance.randrange(10**7), chance.choice(_WORDS)
    items = [
        {"sku": f"{chance.choice(_WORDS)[:3].upper()}-{chance.randrange(10**4)}", "count": chance.randrange(1, 9)}
        for _ in range(chance.randrange(1, 5))
    ]
    order = {
        "id": number,
        "url": f"https://api.example.com/orders/{number}",
        "customer": {"login": f"{name}{number % 97}", "address": {"city": chance.choice(_WORDS), "zip": f"{chance.randrange(10**5):05}"}},
        "items": items,
        "total": round(chance.uniform(5, 900), 2),
        "paid": chance.random() < 0.9,
        "closed_at": None if chance.random() < 0.5 else (_START + timedelta(seconds=chance.randrange(10**7))).isoformat(),
    }
    return order | ({"note": _sentence(chance, 9)} if chance.random() < 0.3 else {})


def _event(chance: random.Random) -> dict[str, Any]:
    """One line of a structured log."""
    event = {"time": (_START + timedelta(milliseconds=chance.randrange(10**9))).isoformat(), "service": chance.choice(_WORDS)}
    if chance.random() < 0.002:
        return event | {"level": "error", "message": f"{chance.choice(_WORDS)} refused", "attempt": chance.randrange(9)}
    return event | {
        "level": "info",
        "message": _sentence(chance, 6),
        "ms": chance.randrange(900),
        "trace": f"{chance.getrandbits(64):016x}",
    }


def _phrase(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))


def _sentence(chance: random.Random, words: int) -> str:
    return f"{_phrase(chance, words // 2)} {chance.choice(_VERBS)} the {_phrase(chance, words - words // 2)}"


def _log_line(chance: random.Random, number: int) -> str:
    stamp = (_START + timedelta(milliseconds=431 * number)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    worker, word, ms = f"[worker-{chance.randrange(9)}]", chance.choice(_WORDS), chance.randrange(900)
    if number % 700 == 523:
        return f"{stamp}Z ERROR {worker} {word}: no connection within {ms}ms"
    written = (
        f"INFO  {worker} GET /{word} 200 {ms}ms id={chance.getrandbits(32):08x}",
        f"DEBUG {worker} cache hit key={word}:{chance.getrandbits(24):06x} ttl={ms}",
        f"INFO  [db] query took {ms // 10}ms rows={chance.randrange(400)}",
    )
    return f"{stamp}Z {chance.choice(written)}"


def _log(chance: random.Random) -> Iterator[str]:
    number = 0
    while True:
        yield _log_line(chance, number)
        number += 1


def _search(chance: random.Random) -> Iterator[str]:
    while True:
        file = f"src/{chance.choice(_WORDS)}/{chance.choice(_WORDS)}_{chance.choice(_WORDS)}.py"
        for line in sorted(chance.sample(range(1, 900), chance.randrange(1, 12))):
            target, source, method, value = chance.choices(_WORDS, k=4)
            yield f"{file}:{line}:    {target} = self.{source}.{method}({value})"


def _diff(chance: random.Random) -> Iterator[str]:
    while True:
        file = f"src/{chance.choice(_WORDS)}/{chance.choice(_WORDS)}_{chance.randrange(10**4)}.py"
        yield f"diff --git a/{file} b/{file}"
        yield f"index {chance.getrandbits(28):07x}..{chance.getrandbits(28):07x} 100644"
        yield f"--- a/{file}\n+++ b/{file}"
        at = chance.randrange(1, 50)
        for _ in range(chance.randrange(1, 5)):
            context = [f"     {chance.choice(_WORDS)} = {chance.choice(_WORDS)}({chance.randrange(100)})" for _ in range(6)]
            changed = chance.choice(_WORDS)
            yield f"@@ -{at},7 +{at},7 @@ def {chance.choice(_WORDS)}():"
            yield from context[:3]
            yield f"-    return {changed}\n+    return {changed} or {chance.choice(_WORDS)}"
            yield from context[3:]
            at += chance.randrange(20, 90)


def _html(chance: random.Random) -> Iterator[str]:
    yield "<!DOCTYPE html><html><head><title>Handbook</title><style>p { margin: 0 }</style><script>var track = 1;</script></head><body>"
    yield "<nav>" + "".join(f'<a href="/{word}">{word}</a>' for word in _WORDS[:30]) + "</nav><main>"
    while True:
        yield f'<section class="block"><h2 id="{chance.choice(_WORDS)}">{_phrase(chance, 3).title()}</h2>'
        yield "".join(f'<p class="text">The {_sentence(chance, 9)} (<a href="/{chance.choice(_WORDS)}">more</a>).</p>' for _ in range(4))
        yield f"<ul>{''.join(f'<li>{_sentence(chance, 5)}</li>' for _ in range(5))}</ul></section>"


def _code(chance: random.Random) -> Iterator[str]:
    yield "from __future__ import annotations\n\nimport json\nimport time\n"
    while True:
        name, first, second = (chance.choice(_WORDS) for _ in range(3))
        yield f'\ndef {chance.choice(_VERBS)}_{name}_{chance.randrange(10**4)}({first}: int, {second}: str = "") -> list[int]:'
        yield f'    """{_sentence(chance, 6).capitalize()}."""\n    found: list[int] = []'
        for _ in range(chance.randrange(2, 9)):
            yield f"    for step in range({chance.randrange(90)}):\n        found.append(step * {chance.randrange(90)} + len(str({first})))"
        yield "    return found\n"


def _prose(chance: random.Random) -> Iterator[str]:
    while True:
        told = (f"The {_sentence(chance, chance.randrange(6, 16))}." for _ in range(chance.randrange(2, 7)))
        yield " ".join(told) + "\n"


_LINES: Mapping[str, Callable[[random.Random], Iterator[str]]] = {
    "log": _log,
    "search": _search,
    "diff": _diff,
    "html": _html,
    "code": _code,
    "prose": _prose,
}
KINDS = ("json", "nested json", "json lines", *_LINES)
_CALLS = {
    "json": ("search_documents", {"query": "invoice"}),
    "nested json": ("list_orders", {"state": "all"}),
    "json lines": ("query_events", {"service": "ledger"}),
    "log": ("bash", {"command": "kubectl logs deploy/checkout"}),
    "search": ("grep", {"pattern": "self"}),
    "diff": ("bash", {"command": "git diff main"}),
    "html": ("fetch", {"url": "https://docs.example.com/handbook"}),
    "code": ("read_file", {"path": "src/billing.py"}),
    "prose": ("read_file", {"path": "handbook.txt"}),
}


def rows(count: int, seed: str) -> str:
    """A JSON array with one record that is unlike the others."""
    chance = random.Random(f"json:{seed}")
    found = [_row(chance) for _ in range(count)]
    found[count * 5 // 7] |= {"source": "incidents", "score": 17.5}
    return json.dumps(found)


def _orders(size: int, chance: random.Random) -> str:
    orders = [_order(chance) for _ in range(max(1, size // _ORDER_BYTES))]
    return json.dumps({"total": len(orders), "orders": orders, "next": None}, indent=2)


def _events(size: int, chance: random.Random) -> str:
    return "".join(json.dumps(_event(chance)) + "\n" for _ in range(max(1, size // _EVENT_BYTES)))


def text(kind: str, size: int, seed: str) -> str:
    """A text of one of KINDS, of about `size` bytes."""
    if kind == "json":
        return rows(max(1, size // _ROW_BYTES), seed)
    if kind in ("nested json", "json lines"):
        return (_orders if kind == "nested json" else _events)(size, random.Random(f"{kind}:{seed}"))
    written: list[str] = []
    left = size
    for piece in _LINES[kind](random.Random(f"{kind}:{seed}")):
        written.append(piece)
        left -= len(piece) + 1
        if left <= 0:
            break
    return "\n".join(written) + "\n"


def conversation(kind: str, output: str, asked_again: bool = False) -> list[dict[str, Any]]:
    """A question, the tool call it led to, and what the tool printed, as OpenAI Chat messages; if wanted a second question."""
    tool, arguments = _CALLS[kind]
    call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
    later = [
        {"role": "assistant", "content": "The ledger's replica, I think."},
        {"role": "user", "content": "And what do the webhook and the tenant snapshot say about the quota of the vault?"},
    ]
    return [
        {"role": "user", "content": "Which replica of the ledger was renewed last, and why did the invoice fail?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": output},
        *(later if asked_again else ()),
    ]
