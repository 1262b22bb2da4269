"""Tool outputs as agents see them, made on the spot for `headroom demo`: the same on every run of the same installation."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

_START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
_REGIONS = ("eu-central-1", "us-east-1", "ap-south-1")
_CUSTOMERS = ("acme", "globex", "initech", "umbrella", "hooli", "stark")


@dataclass(frozen=True, slots=True)
class Sample:
    """A question, the tool call it led to, what the tool printed, and the words in it that answer the question."""

    title: str
    question: str
    tool: str
    arguments: dict[str, Any]
    output: str
    needle: str

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation so far, as OpenAI Chat messages; the last one is the tool's output."""
        call = {"id": "call_1", "type": "function", "function": {"name": self.tool, "arguments": json.dumps(self.arguments)}}
        return [
            {"role": "user", "content": self.question},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": self.output},
        ]


def samples() -> list[Sample]:
    return [payments(), service_log(), source_search()]


def payments(rows: int = 400, failed: int = 287) -> Sample:
    """A REST answer with one failed record."""
    chance = random.Random(7)
    records = [_payment(chance, number, number == failed) for number in range(rows)]
    output = json.dumps({"object": "list", "has_more": False, "data": records}, indent=2)
    return Sample("API list, 400 rows", "Which payment failed today, and why?", "list_payments", {"limit": rows}, output, "card_expired")


def _payment(chance: random.Random, number: int, failed: bool) -> dict[str, Any]:
    created = _START + timedelta(seconds=37 * number)
    return {
        "id": f"pay_{chance.getrandbits(48):012x}",
        "object": "payment",
        "amount": chance.randrange(500, 90_000),
        "currency": "eur",
        "status": "failed" if failed else "succeeded",
        "failure_code": "card_expired" if failed else None,
        "customer": {"name": chance.choice(_CUSTOMERS), "region": chance.choice(_REGIONS)},
        "created_at": created.isoformat(),
        "livemode": True,
    }


def service_log(lines: int = 2000, error: int = 1423) -> Sample:
    """A log with one error and its stack."""
    chance = random.Random(11)
    written = []
    for number in range(lines):
        stamp = (_START + timedelta(milliseconds=431 * number)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        written += _failure(stamp) if number == error else [f"{stamp} {_log_line(chance)}"]
    question = "Checkout answered 500 for a few seconds this morning. What happened?"
    output = "\n".join(written) + "\n"
    return Sample("log, 2,000 lines", question, "bash", {"command": "kubectl logs deploy/checkout"}, output, "connection pool exhausted")


def _log_line(chance: random.Random) -> str:
    kind, worker = chance.random(), chance.randrange(8)
    request = f"{chance.getrandbits(32):08x}"
    if kind < 0.6:
        path = chance.choice(("/cart", "/checkout", "/products", "/login"))
        return f"INFO  [worker-{worker}] GET {path} 200 {chance.randrange(2, 80)}ms request_id={request}"
    if kind < 0.85:
        return f"DEBUG [worker-{worker}] cache hit key=session:{request} ttl={chance.randrange(60, 900)}"
    if kind < 0.97:
        return f"INFO  [worker-{worker}] db query took {chance.randrange(1, 30)}ms rows={chance.randrange(1, 40)}"
    return f"INFO  [scheduler] heartbeat ok jobs={chance.randrange(3, 9)}"


def _failure(stamp: str) -> list[str]:
    return [
        f"{stamp} ERROR [worker-3] connection pool exhausted (size=20, waiting=61) POST /checkout 500",
        "Traceback (most recent call last):",
        '  File "/srv/checkout/orders.py", line 212, in place_order',
        "    with pool.connection(timeout=5) as db:",
        '  File "/srv/checkout/pool.py", line 88, in connection',
        '    raise PoolTimeout(f"no connection within {timeout}s")',
        "checkout.pool.PoolTimeout: no connection within 5s",
    ]


def source_search(pattern: str = r"\b(def|class|raise)\b") -> Sample:
    """grep over the installed package itself."""
    found = []
    for file in sorted(_sources(), key=lambda item: item[0]):
        name, text = file
        found += [f"{name}:{number}:{line}" for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line)]
    question = "Where is the error for an original whose lifetime is over defined?"
    output = "\n".join(found) + "\n"
    return Sample(
        f"grep, {len(found):,} matches", question, "grep", {"pattern": pattern, "path": "headroom"}, output, "class Expired(HeadroomError)"
    )


def _sources() -> list[tuple[str, str]]:
    """Name and text of every module of this package."""
    found, waiting = [], [("headroom", files("headroom"))]
    while waiting:
        name, place = waiting.pop()
        for entry in place.iterdir():
            path = f"{name}/{entry.name}"
            if entry.is_dir():
                waiting.append((path, entry))
            elif path.endswith(".py"):
                found.append((path, entry.read_text(encoding="utf-8")))
    return found
