"""Retrieval inside an answer of OpenAI Responses: items by index, a `function_call` taken out, its output behind it.

The tool is offered only where the client sends the whole conversation every time (`store` is false, as Codex
does): what a provider keeps by itself could not get back what was taken out. What the model said goes back
without the ids that such a provider does not know; what ran at the provider as it came, its API wants all of
it. Usage adds up over the rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from headroom.ccr.marker import TOOL_NAME
from headroom.ccr.tool import DESCRIPTION, PARAMETERS, Ask, Reply
from headroom.dialects import wire
from headroom.dialects.retrieval import (
    Answer,
    Record,
    Retrieval,
    Round,
    Said,
    Tools,
    appended,
    dumped,
    edited,
    fingerprint,
    inner,
    names,
    position,
    recorded,
    summed,
)
from headroom.model import Call

_KEPT_BY_PROVIDER = ("previous_response_id", "conversation", "prompt")
_OPENINGS = ("response.created", "response.queued", "response.in_progress")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_WITHOUT_ID = ("message", "reasoning", "function_call", "custom_tool_call")
_FOR_CLIENTS = (
    "function_call",
    "custom_tool_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
    "mcp_approval_request",
)


_BY_CLIENT = ("_output", "mcp_approval_response", "compaction_trigger")  # how the types of items end that no model says


class ResponsesRetrieval(Retrieval):
    definition: ClassVar[str] = dumped(
        {"type": "function", "name": TOOL_NAME, "description": DESCRIPTION, "parameters": PARAMETERS, "strict": False}
    )

    def tools(self, call: Call) -> Tools | None:
        body = call.body
        tools, choice = body.get("tools"), body.get("tool_choice")
        if not isinstance(tools, wire.Arr) or not tools or body.get("store") is not False or body.get("background") is True:
            return None
        if any(body.get(key) is not None for key in _KEPT_BY_PROVIDER) or not isinstance(body.get("input"), wire.Str | wire.Arr):
            return None
        return Tools(tools.end - 1, names(tools), choice in (None, "auto", "required"))

    def said(self, call: Call) -> Iterator[Said]:
        for first, end in _answers(call.body["input"]):
            yield Said(call.body["input"][first].start, first, _fingerprint(call.body["input"][first:end]))

    def put_back(self, call: Call, said: Said, record: str) -> Sequence[wire.Edit]:
        given, known = call.body["input"], json.loads(record)
        end = next(end for first, end in _answers(given) if first == said.place)
        items = given[said.place : end]
        solid = list(map(_solid, items))
        if sum(solid) != known["solid"]:
            return ()
        edits = []
        for part in known["rounds"]:
            for place, item in part["calls"]:
                edits.append(_insertion(items, position(solid, place, known["shown"]), [item]))
            behind = position(solid, part["end"], known["shown"]) if part["on"] else len(items)
            edits.append(_insertion(items, behind, part["results"]))
        return edits

    def answer(self) -> Answer:
        return _ResponsesAnswer()


@dataclass
class _Response:
    """What one answer of the provider holds: its items by index, complete ones and the indexes of ours."""

    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    ours: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    response: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    results: list[dict[str, Any]] = field(default_factory=list)
    on: bool = False  # another round followed

    def shown(self) -> list[dict[str, Any]]:
        return [self.items[index] for index in sorted(self.items) if index not in self.ours]

    def pieces(self) -> list[tuple[dict[str, Any], bool]]:
        return [(_sent(item) if index in self.ours else item, index in self.ours) for index, item in sorted(self.items.items())]

    def calls(self) -> list[dict[str, Any]]:
        return [self.items[index] for index in sorted(self.ours) if index in self.items]


class _ResponsesAnswer(Answer):
    def __init__(self) -> None:
        super().__init__()
        self._rounds = [_Response()]
        self._first: dict[str, Any] = {}  # the response as the client was told that it began
        self._number = 0  # of the last event that the client got

    @property
    def _now(self) -> _Response:
        return self._rounds[-1]

    def _calls_us(self, event: dict[str, Any]) -> bool:
        return event.get("type") == "response.output_item.added" and _is_ours(event.get("item"))

    def _note(self, event: dict[str, Any]) -> None:
        now, kind, index = self._now, event.get("type"), event.get("output_index")
        self._first = self._first or inner(event, "response")
        if kind in _ENDS:
            now.response, now.complete = inner(event, "response"), kind == "response.completed"
        if isinstance(index, int):
            now.seen.add(index)
            if kind == "response.output_item.done":
                now.items[index] = inner(event, "item")
            if _is_ours(event.get("item")):
                now.ours.add(index)
        if not any(part.ours for part in self._rounds) and isinstance(event.get("sequence_number"), int):
            self._number = event["sequence_number"]

    def _shown(self, frame: bytes, event: dict[str, Any]) -> Sequence[bytes]:
        self._note(event)
        kind, index = event.get("type"), event.get("output_index")
        if kind in _OPENINGS and len(self._rounds) > 1:
            return ()
        if kind in _ENDS:
            self._tail.append(frame)
            return ()
        if isinstance(index, int) and index in self._now.ours:
            return ()
        changes: list[tuple[tuple[str | int, ...], Any]] = [(("sequence_number",), self._next())]
        if isinstance(index, int):
            earlier = sum(len(part.seen - part.ours) for part in self._rounds[:-1])
            changes.append((("output_index",), earlier + index - sum(other < index for other in self._now.ours)))
        return (edited(frame, changes),)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def whole(self, body: dict[str, Any]) -> None:
        self._first = self._first or body
        now, output = self._now, body.get("output")
        now.response, now.complete = body, body.get("status") == "completed"
        now.items = {index: item for index, item in enumerate(output if isinstance(output, list) else ()) if isinstance(item, dict)}
        now.ours = {index for index, item in now.items.items() if _is_ours(item)}
        self.touched |= bool(now.ours)

    def asks(self) -> Sequence[Ask]:
        calls = self._now.calls() if self._now.complete else ()
        return [Ask(str(call.get("call_id")), str(call.get("arguments"))) for call in calls]

    def goes_on(self) -> bool:
        shown = self._now.shown()
        outputs = (item for item in shown if str(item.get("type")).endswith("_output"))
        answered = {str(id) for item in outputs if (id := item.get("call_id"))}  # by the provider itself
        waits = (item for item in shown if item.get("type") in _FOR_CLIENTS and str(item.get("call_id")) not in answered)
        return bool(self.asks()) and not any(waits)

    def continued(self, body: str, replies: Sequence[Reply]) -> str:
        now = self._now
        now.results, now.on = _results(replies), True
        items = [sent for index in sorted(now.items) if (sent := _sent(now.items[index]))]
        self._rounds.append(_Response())
        self._tail.clear()
        return appended(_listed(body), "input", [*items, *now.results])

    def ended(self, replies: Sequence[Reply]) -> Record:
        self._now.results = _results(replies)
        shown, text = recorded((Round(part.pieces(), part.results, part.on) for part in self._rounds), _solid)
        return Record(_fingerprint(shown), text)

    def tail(self) -> Iterable[bytes]:
        for frame in self._tail:
            response = self._response()
            changes = [(("response", key), response[key]) for key in ("id", "created_at", "output", "usage") if key in response]
            yield edited(frame, [(("sequence_number",), self._next()), *changes]) if self._now.response else frame

    def _response(self) -> dict[str, Any]:
        """The response that the client was told of, as it ended."""
        same = {key: self._first[key] for key in ("id", "created_at") if key in self._first}
        shown = [item for part in self._rounds for item in part.shown()]
        usage = summed(inner(part.response, "usage") for part in self._rounds)
        return self._now.response | same | {"output": shown} | ({"usage": usage} if usage else {})

    def body(self) -> bytes:
        return dumped(self._response()).encode()

    def failure(self, error: dict[str, Any]) -> bytes:
        told = inner(error, "error")
        why = {"code": told.get("code") or told.get("type") or "server_error", "message": told.get("message")}
        response = self._first | {"status": "failed", "error": why, "output": [item for part in self._rounds for item in part.shown()]}
        event = {"type": "response.failed", "sequence_number": self._next(), "response": response}
        return f"event: response.failed\ndata: {dumped(event)}\n\n".encode()


def _is_ours(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "function_call" and item.get("name") == TOOL_NAME


def _sent(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it goes back to a provider that keeps nothing; nothing of reasoning that it could not read."""
    if item.get("type") == "reasoning" and not item.get("encrypted_content"):
        return {}
    if item.get("type") not in _WITHOUT_ID:
        return item
    return {key: value for key, value in item.items() if key not in ("id", "status") and value is not None}


def _solid(item: dict[str, Any]) -> bool:
    """Whether a client that drops reasoning still sends this item back."""
    return item.get("type") != "reasoning"


def _results(replies: Sequence[Reply]) -> list[dict[str, Any]]:
    return [{"type": "function_call_output", "call_id": reply.id, "output": reply.text} for reply in replies]


def _answers(given: Any) -> Iterator[tuple[int, int]]:
    """Where each run of items that a model said begins and ends."""
    first: int | None = None
    items = given if isinstance(given, list) else []
    for place, item in enumerate([*items, {"role": "user"}]):
        kind = str(item.get("type") or "message")
        by_model = item.get("role") == "assistant" if kind == "message" else not kind.endswith(_BY_CLIENT)
        if by_model and first is None:
            first = place
        elif not by_model and first is not None:
            yield first, place
            first = None


def _fingerprint(items: Iterable[dict[str, Any]]) -> str:
    texts: list[str] = []
    calls: list[str] = []
    for item in items:
        content = item.get("content")
        if item.get("type") in _FOR_CLIENTS:
            calls.append(str(item.get("call_id")))
        elif item.get("type") != "reasoning" and isinstance(content, str):
            texts.append(content)
        elif item.get("type") != "reasoning" and isinstance(content, list):
            texts += [str(part.get("text")) for part in content if isinstance(part, dict) and part.get("type") == "output_text"]
    return fingerprint("".join(texts), calls)


def _insertion(items: Sequence[Any], place: int, new: Sequence[dict[str, Any]]) -> wire.Edit:
    """Items before the one at a place of an answer, or behind its last."""
    text = ",".join(map(dumped, new))
    if place < len(items):
        return wire.Edit(items[place].start, items[place].start, f"{text},")
    return wire.Edit(items[-1].end, items[-1].end, f",{text}")


def _listed(body: str) -> str:
    """The request with its input as a list of items."""
    given = wire.parse(body).root["input"]
    if isinstance(given, list):
        return body
    opening = wire.Edit(given.start, given.start, '[{"role":"user","content":')
    return wire.splice(body, [opening, wire.Edit(given.end, given.end, "}]")])
