"""Whether the prefix ever moves and everything comes back, over any corpus: `python -m benchmarks.stability DATA`.

Of every conversation the requests are forwarded that an agent would have sent, one per answer.
What must hold at every request:

- prefix: it begins, byte for byte, with what the request before became.
- forgetting: a server that knows nothing forwards the same bytes.
- markers: every hash that we put in redeems exactly the text that stood there.
- roles: the messages are as many, in the same order, by the same speakers.

Exit status 1 when anything does not. One conversation is held in memory at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import corpus
from headroom.ccr import marker
from headroom.dialects import DIALECTS, Dialect, dialect_of
from headroom.dialects.base import read_call
from headroom.errors import HeadroomError, InvalidRequest
from headroom.model import LOCAL, Caller, content_hash
from headroom.store import Store
from headroom.store.sqlite import SqliteStore
from tests.forwarding import Face, requests

CHECKS = ("prefix", "forgetting", "markers", "roles")
_MOST_SHOWN = 20
_END = b"]}"  # of a body whose last member is `messages`


@dataclass
class Tally:
    """What was looked at, and what did not hold."""

    conversations: int = 0
    unread: int = 0
    requests: int = 0
    changed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    checked: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def check(self, name: str, holds: bool, where: str) -> None:
        self.checked[name] += 1
        if not holds:
            self.failed[name] += 1
            self.failures.append(f"{name}: {where}")


def examine(talk: corpus.Conversation, tally: Tally) -> None:
    """All requests of one conversation."""
    tally.conversations += 1
    try:
        dialect = _dialect(talk)
    except InvalidRequest:
        tally.unread += 1
        return
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / "store.sqlite", ttl_s=86_400, max_bytes=10**9)
        try:
            _follow(talk, dialect, store, tally)
        finally:
            store.close()


def _follow(talk: corpus.Conversation, dialect: Dialect, store: Store, tally: Tally) -> None:
    face, before = Face(dialect, store), b""
    for turn, messages in enumerate(requests(talk.messages), 1):
        raw, where = _body(talk, messages), f"{talk.id}, request {turn}"
        sent = face.body(raw)
        forgetful = Face(dialect, store, Caller(f"request {turn}"))
        tally.requests += 1
        tally.changed += sent != raw
        tally.bytes_in += len(raw)
        tally.bytes_out += len(sent)
        tally.check("prefix", sent.startswith(before.removesuffix(_END)), where)
        tally.check("forgetting", forgetful.body(raw) == sent, where)
        tally.check("roles", _roles(sent) == [message["role"] for message in messages], where)
        for hash, exact in _redeemed(dialect, store, raw, sent):
            tally.check("markers", exact, f"{where}, hash={hash}")
        before = sent


def _dialect(talk: corpus.Conversation) -> Dialect:
    named = next((dialect for dialect in DIALECTS.values() if dialect.name == talk.format), None)
    return named or dialect_of(read_call("", _body(talk, talk.messages)))


def _body(talk: corpus.Conversation, messages: Any) -> bytes:
    system = {} if talk.system is None else {"system": talk.system}
    return json.dumps({"model": "gpt-4o", **system, "messages": messages}).encode()


def _roles(sent: bytes) -> list[str]:
    return [message["role"] for message in json.loads(sent)["messages"]]


def _redeemed(dialect: Dialect, store: Store, raw: bytes, sent: bytes) -> Iterator[tuple[str, bool]]:
    """Every hash that stands only in what is forwarded, and whether it gives back a text of the request."""
    came = {content_hash(segment.text): segment.text for segment in dialect.segments(dialect.read(raw))}
    theirs = set(marker.hashes(raw.decode()))
    for hash in dict.fromkeys(marker.hashes(sent.decode())):
        if hash in theirs:
            continue
        try:
            yield hash, store.get_original(LOCAL.scope, hash, count=False).text == came.get(hash)
        except HeadroomError:
            yield hash, False


def _report(tally: Tally, console: Console) -> None:
    table = Table(title=f"{tally.conversations:,} conversations, {tally.requests:,} requests, {tally.changed:,} of them changed")
    table.add_column("what must hold")
    for head in ("checked", "failed"):
        table.add_column(head, justify="right")
    for name in CHECKS:
        failed = tally.failed[name]
        table.add_row(name, f"{tally.checked[name]:,}", f"[{'red' if failed else 'green'}]{failed:,}[/]")
    console.print(table)
    console.print(f"{tally.bytes_in / 1e6:,.1f} MB came, {tally.bytes_out / 1e6:,.1f} MB would have been forwarded.")
    if tally.unread:
        console.print(f"{tally.unread:,} conversations are no requests and were passed over.")
    for failure in tally.failures[:_MOST_SHOWN]:
        console.print(failure, style="red", markup=False)
    if len(tally.failures) > _MOST_SHOWN:
        console.print(f"... and {len(tally.failures) - _MOST_SHOWN:,} more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .jsonl file of conversations, or a directory of them")
    parser.add_argument("--limit", type=int, help="at most so many conversations, evenly from all files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts and all failures there")
    arguments = parser.parse_args()
    tally = Tally()
    talks = corpus.conversations(arguments.data, arguments.limit)
    total = corpus.count(arguments.data, arguments.limit)
    for talk in track(talks, "stability", total=total, console=Console(stderr=True), transient=True):
        examine(talk, tally)
    _report(tally, Console())
    if arguments.json:
        counts = {name: getattr(tally, name) for name in Tally.__dataclass_fields__}
        arguments.json.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
