"""A server in small, for tests and benchmarks: forwards the requests of a conversation, remembering what it knows or not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headroom.conversation import by_key, read_conversation
from headroom.dialects import Dialect
from headroom.dialects.base import splice
from headroom.model import LOCAL, Caller, Compressed, Policy
from headroom.store import Store
from headroom.worker import Worker

Message = Mapping[str, Any]


class Face:
    """One owner, one dialect. `known` is what the server remembers of what it did; it may be cleared between requests.

    Faces on one store with different callers know nothing of each other.
    """

    def __init__(self, dialect: Dialect, store: Store, caller: Caller = LOCAL) -> None:
        self.dialect = dialect
        self.store = store
        self.caller = caller
        self.known: dict[str, Compressed] = {}
        self._worker = Worker(store)

    def forward(self, messages: Sequence[Message], model: str = "m") -> list[dict[str, Any]]:
        """The messages of the request that a provider gets."""
        return list(json.loads(self.body(json.dumps({"model": model, "messages": list(messages)}).encode()))["messages"])

    def body(self, raw: bytes) -> bytes:
        """The body that a provider gets."""
        call = self.dialect.read(raw)
        talk = read_conversation(self.dialect, call, Policy(), self.caller.scope)
        job = talk.job(self.known, call.model)
        if not job.idle:
            self.known |= by_key(job, self._worker.run(job))
        return splice(call, talk.segments, talk.results(self.known), talk.turns, talk.recalled(self.known))


def requests(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """What an agent sends: everything before each of its answers, and all when its answer is still to come."""
    for position, message in enumerate(messages):
        if message["role"] == "assistant" and position:
            yield messages[:position]
    if messages and messages[-1]["role"] != "assistant":
        yield messages
