"""What happens to one row: a batch request of OpenAI or Anthropic, or a conversation with `messages`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headroom.dialects import DIALECTS, Dialect, dialect_of
from headroom.dialects.base import read_call, understood
from headroom.errors import InvalidRequest
from headroom.library import compress_call
from headroom.settings import Settings
from headroom.store import Store

ADDED = ("tokens_before", "tokens_after", "transforms_applied", "ccr_hashes", "status", "error")


class BadRow(Exception):
    """A row that nothing can be done with; its message says why, and which id it has."""


@dataclass(frozen=True, slots=True)
class Done:
    row: dict[str, Any]
    before: int
    after: int


def compressed(row: Any, settings: Settings, store: Store, model: str = "") -> Done:
    """The row with smaller texts and what came of it beside them. `status` is `compressed` or `unchanged`. Raises BadRow."""
    if not isinstance(row, dict):
        raise BadRow("not a JSON object")
    key = next((name for name in ("body", "params") if isinstance(row.get(name), dict)), "")
    request = row[key] if key else row
    dialect, body = _request(row, request, model)
    try:
        call = dialect.read(json.dumps(body).encode())
    except InvalidRequest as failure:
        raise BadRow(str(failure)) from None
    if call.reason:
        raise BadRow(f"cannot be read: {call.reason}")
    done = compress_call(dialect, call, store, settings)
    smaller = json.loads(done.body)
    told = {
        "tokens_before": done.tokens_before,
        "tokens_after": done.tokens_after,
        "transforms_applied": list(done.transforms),
        "ccr_hashes": list(done.hashes),
        "status": "compressed" if done.transforms else "unchanged",
        "error": next(iter(Counter(done.reasons)), "") if not done.transforms else "",
    }
    changed = {name: smaller[name] for name in ("messages", "input") if name in request and name in smaller}
    return Done({**row, **({key: {**request, **changed}} if key else changed), **told}, done.tokens_before, done.tokens_after)


def _request(row: Mapping[str, Any], request: Mapping[str, Any], model: str) -> tuple[Dialect, dict[str, Any]]:
    """Whose API a row is for, and its request."""
    if not isinstance(request.get("messages", request.get("input")), list | str):
        raise BadRow("neither `messages` nor `input` is there")
    known = ("model", "system", "messages", "input", "instructions", "tools", "store")
    body = {"model": model or "gpt-4o", **{name: request[name] for name in known if request.get(name) is not None}}
    if model:
        body["model"] = model
    if "params" in row:
        return DIALECTS["/v1/messages"], body
    path = str(row.get("url", ""))
    if path in DIALECTS:
        return DIALECTS[path], body
    try:
        return dialect_of(understood(read_call("", json.dumps(body).encode()))), body
    except InvalidRequest as failure:
        raise BadRow(str(failure)) from None
