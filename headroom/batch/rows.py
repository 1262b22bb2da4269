"""What happens to one row: a batch request of OpenAI or Anthropic, or a conversation with `messages`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headroom.dialects import DIALECTS, Dialect, dialect_of
from headroom.dialects.base import read_call, understood
from headroom.errors import InvalidRequest
from headroom.library import Prepared
from headroom.model import Call, JobResult, Policy

ADDED = ("tokens_before", "tokens_after", "transforms_applied", "ccr_hashes", "status", "error", "embedding")
CHANGED = ("messages", "input", "body", "params")  # what may come out smaller
_DIGITS = 6  # of a vector's numbers; the rest is noise


class BadRow(Exception):
    """A row that nothing can be done with; its message says why."""


@dataclass(frozen=True, slots=True)
class Done:
    row: dict[str, Any]
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A row that was understood. Its request stands at `key`, "" where the row is one; `packed`: its messages are a text of JSON."""

    row: Mapping[str, Any]
    key: str
    packed: bool
    prepared: Prepared
    vector: Sequence[float] | None = None

    @property
    def question(self) -> str:
        """What was asked last."""
        return next((turn.query for turn in reversed(self.prepared.talk.turns) if turn.spoken and turn.query), "")

    def done(self, result: JobResult) -> Done:
        """The row with smaller texts and what came of it beside them. `status` is `compressed` or `unchanged`."""
        done = self.prepared.finished(result)
        told = {
            "tokens_before": done.tokens_before,
            "tokens_after": done.tokens_after,
            "transforms_applied": list(done.transforms),
            "ccr_hashes": list(done.hashes),
            "status": "compressed" if done.transforms else "unchanged",
            "error": next(iter(Counter(done.reasons)), "") if not done.transforms else "",
        }
        if self.vector is not None:
            told["embedding"] = [round(float(value), _DIGITS) for value in self.vector]
        request = self.row[self.key] if self.key else self.row
        smaller = json.loads(done.body) if done.transforms else {}
        changed = {name: smaller[name] for name in ("messages", "input") if name in request and name in smaller}
        if self.packed and changed:
            changed["messages"] = json.dumps(changed["messages"], ensure_ascii=False)
        new = {self.key: {**request, **changed}} if self.key else changed
        return Done({**self.row, **new, **told}, done.tokens_before, done.tokens_after)


def asked(row: Any, policy: Policy, model: str = "") -> Asked:
    """What is to be done about a row. Raises BadRow."""
    if not isinstance(row, dict):
        raise BadRow("not a JSON object")
    key = next((name for name in ("body", "params") if isinstance(row.get(name), dict)), "")
    request = row[key] if key else row
    packed = not key and isinstance(row.get("messages"), str)
    if packed:  # a column of Parquet that holds JSON
        try:
            request = {**row, "messages": json.loads(row["messages"])}
        except ValueError as failure:
            raise BadRow(f"messages: not JSON: {failure}") from None
    try:
        dialect, call = _read(row, request, model)
    except InvalidRequest as failure:
        raise BadRow(str(failure)) from None
    if call.reason:
        raise BadRow(f"cannot be read: {call.reason}")
    return Asked(row, key, packed, Prepared.of(dialect, call, policy))


def _read(row: Mapping[str, Any], request: Mapping[str, Any], model: str) -> tuple[Dialect, Call]:
    """Whose API a row is for, and its request. Raises BadRow, InvalidRequest."""
    if not isinstance(request.get("messages", request.get("input")), list | str):
        raise BadRow("neither `messages` nor `input` is there")
    known = ("model", "system", "messages", "input", "instructions", "tools", "store")
    body = {"model": model or "gpt-4o", **{name: request[name] for name in known if request.get(name) is not None}}
    if model:
        body["model"] = model
    raw = json.dumps(body).encode()
    path = "/v1/messages" if "params" in row else str(row.get("url", ""))
    if path in DIALECTS:
        return DIALECTS[path], DIALECTS[path].read(raw)
    call = understood(read_call("", raw))
    return dialect_of(call), call
