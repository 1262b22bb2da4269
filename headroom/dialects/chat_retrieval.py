"""Retrieval inside an answer of OpenAI Chat Completions: one message of text and tool calls, results in messages of the role `tool`.

The chunks of all rounds carry the id of the first, and the role is said once. Usage adds up over
the rounds. Answers with several choices are not followed: the tool is not offered for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from headroom.ccr.marker import TOOL_NAME
from headroom.ccr.tool import DESCRIPTION, PARAMETERS, Ask, Reply
from headroom.dialects import wire
from headroom.dialects.base import word
from headroom.dialects.retrieval import (
    GONE,
    Answer,
    Record,
    Retrieval,
    Said,
    Tools,
    appended,
    dumped,
    edited,
    fingerprint,
    inner,
    names,
    summed,
)
from headroom.model import Call

_WAITS = ("tool_calls", "stop", "function_call")  # finish reasons of an answer whose calls are complete; some servers say "stop"
_CARRIED = ("reasoning_content", "reasoning_details")  # what some providers want back beside the calls it led to


class ChatRetrieval(Retrieval):
    definition: ClassVar[str] = dumped(
        {"type": "function", "function": {"name": TOOL_NAME, "description": DESCRIPTION, "parameters": PARAMETERS}}
    )

    def tools(self, call: Call) -> Tools | None:
        tools, choice = call.body.get("tools"), call.body.get("tool_choice")
        if not isinstance(tools, wire.Arr) or not tools or call.body.get("n", "1") not in (None, "1"):
            return None
        return Tools(tools.end - 1, names(tools), choice in (None, "auto", "required"))

    def said(self, call: Call) -> Iterator[Said]:
        for place, message in enumerate(call.body["messages"]):
            if message.get("role") == "assistant":
                ids = (word(entry.get("id")) for entry in _entries(message))
                yield Said(message.start, place, fingerprint(_text(message.get("content")), ids))

    def put_back(self, call: Call, said: Said, record: str) -> Sequence[wire.Edit]:
        message, known = call.body["messages"][said.place], json.loads(record)
        content, text = message.get("content"), _text(message.get("content"))
        if not (content is None or isinstance(content, wire.Str)):
            return ()
        edits: list[wire.Edit] = []
        position = 0
        for part in known["rounds"]:
            if part["on"]:
                end = position + part["length"]
                turn = [_message(text[position:end], part["calls"], part["carried"]), *part["results"]]
                edits.append(wire.Edit(message.start, message.start, "".join(f"{dumped(entry)}," for entry in turn)))
                position = end
            else:
                calls = message.get("tool_calls")
                if not isinstance(calls, wire.Arr) or not calls:
                    return ()
                edits += _inserted(calls, part["calls"], part["places"])
                edits.append(wire.Edit(message.end, message.end, "".join(f",{dumped(entry)}" for entry in part["results"])))
        if position and isinstance(content, wire.Str):
            rest = dumped(text[position:]) if text[position:] or not message.get("tool_calls") else "null"
            edits.append(wire.Edit(content.start, content.end, rest))
        return edits

    def answer(self) -> Answer:
        return _ChatAnswer()


@dataclass
class _Round:
    """What one answer of the provider holds; calls by the index they came with."""

    text: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    carried: dict[str, Any] = field(default_factory=dict)
    logprobs: dict[str, Any] = field(default_factory=dict)  # of a whole answer
    usage: dict[str, Any] = field(default_factory=dict)
    finish: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    on: bool = False  # another round followed

    def ours(self) -> list[int]:
        return [index for index in sorted(self.calls) if _is_ours(self.calls[index])]

    def theirs(self) -> list[int]:
        return [index for index in sorted(self.calls) if not _is_ours(self.calls[index])]

    def call(self, index: int) -> dict[str, Any]:
        """A call as it goes back to the provider, with what it says beside it: Gemini refuses a call without its signature."""
        beside = {key: value for key, value in self.calls[index].items() if key != "index" and value is not None}
        function = inner(beside, "function") | {"arguments": "".join(self.arguments.get(index, ()))}
        return beside | {"id": beside.get("id") or f"call_{index}", "type": "function", "function": function}

    def add(self, delta: dict[str, Any]) -> None:
        if isinstance(delta.get("content"), str):
            self.text.append(delta["content"])
        for key in _CARRIED:
            piece, known = delta.get(key), self.carried.get(key)
            if isinstance(piece, str | list) and isinstance(piece, type(known or piece)):
                self.carried[key] = known + piece if known else piece
        for index, entry in _numbered(delta):
            self.calls[index] = entry | {key: value for key, value in self.calls.get(index, {}).items() if value is not None}
            if isinstance(piece := inner(entry, "function").get("arguments"), str):
                self.arguments.setdefault(index, []).append(piece)


class _ChatAnswer(Answer):
    def __init__(self) -> None:
        super().__init__()
        self._rounds = [_Round()]
        self._first: dict[str, Any] = {}
        self._last: dict[str, Any] = {}

    @property
    def _now(self) -> _Round:
        return self._rounds[-1]

    def _calls_us(self, event: dict[str, Any]) -> bool:
        return any(_is_ours(entry) for _, entry in _numbered(inner(_choice(event), "delta")))

    def _note(self, event: dict[str, Any]) -> None:
        choice = _choice(event)
        self._now.add(inner(choice, "delta"))
        self._now.finish = str(choice.get("finish_reason") or self._now.finish)
        if isinstance(event.get("usage"), dict):
            self._now.usage = event["usage"]
        self._first = self._first or event

    def _shown(self, frame: bytes, event: dict[str, Any]) -> Sequence[bytes]:
        self._note(event)
        if event.get("error"):
            return (frame,)
        frame = self._same_answer(frame)
        choice = _choice(event)
        delta = inner(choice, "delta")
        if choice.get("finish_reason"):
            self._tail.append(edited(frame, [(("choices", 0, "delta"), {})]))
            if not delta.get("content") and not delta.get("tool_calls"):
                return ()
            frame = edited(frame, [(("choices", 0, "finish_reason"), None)])
        elif not choice and "usage" in event:
            self._tail.append(frame)
            return ()
        entries = _numbered(delta)
        if not entries:
            return (frame,)
        kept = [entry | {"index": place} for index, entry in entries if (place := self._place(index)) is not None]
        if kept:
            return (edited(frame, [(("choices", 0, "delta", "tool_calls"), kept)]),)
        says_more = any(value for key, value in delta.items() if key != "tool_calls")
        return (edited(frame, [(("choices", 0, "delta", "tool_calls"), GONE)]),) if says_more else ()

    def _place(self, index: int) -> int | None:
        """The index under which the client sees a call; None for ours."""
        theirs = self._now.theirs()
        return theirs.index(index) if index in theirs else None

    def _same_answer(self, frame: bytes) -> bytes:
        if len(self._rounds) == 1:
            return frame
        same: list[tuple[tuple[str | int, ...], Any]] = [((key,), self._first[key]) for key in ("id", "created") if key in self._first]
        return edited(frame, [(("choices", 0, "delta", "role"), GONE), *same])

    def whole(self, body: dict[str, Any]) -> None:
        self._first, self._last = self._first or body, body
        now, choice = self._now, _choice(body)
        now.add(inner(choice, "message"))
        now.finish, now.usage = str(choice.get("finish_reason") or ""), inner(body, "usage")
        now.logprobs = inner(choice, "logprobs")
        self.touched |= bool(now.ours())

    def asks(self) -> Sequence[Ask]:
        now = self._now
        if now.finish not in _WAITS:
            return ()
        calls = (now.call(index) for index in now.ours())
        return [Ask(call["id"], call["function"]["arguments"]) for call in calls]

    def goes_on(self) -> bool:
        return bool(self.asks()) and not self._now.theirs()

    def continued(self, body: str, replies: Sequence[Reply]) -> str:
        now = self._now
        now.results, now.on = _results(replies), True
        message = _message("".join(now.text), [now.call(index) for index in sorted(now.calls)], now.carried)
        self._rounds.append(_Round())
        self._tail.clear()
        return appended(body, "messages", [message, *now.results])

    def ended(self, replies: Sequence[Reply]) -> Record:
        self._now.results = _results(replies)
        rounds = [
            {
                "length": len("".join(part.text)),
                "calls": [part.call(index) for index in part.ours()],
                "places": [sum(other < index for other in part.theirs()) for index in part.ours()],
                "carried": part.carried,
                "results": part.results,
                "on": part.on,
            }
            for part in self._rounds
            if part.results
        ]
        text = "".join(piece for part in self._rounds for piece in part.text)
        ids = (str(self._now.calls[index].get("id")) for index in self._now.theirs())
        return Record(fingerprint(text, ids), dumped({"rounds": rounds}))

    def tail(self) -> Iterable[bytes]:
        for frame in self._tail:
            changes: list[tuple[tuple[str | int, ...], Any]] = []
            if len(self._rounds) > 1 and self._now.usage:
                changes.append((("usage",), self._usage()))
            if self._is_cut_short():
                changes.append((("choices", 0, "finish_reason"), "stop"))
            yield edited(frame, changes)

    def _usage(self) -> dict[str, Any]:
        return summed(part.usage for part in self._rounds)

    def _is_cut_short(self) -> bool:
        """Whether the answer ends with a call that nobody but us could answer."""
        return self._now.finish == "tool_calls" and not self._now.theirs()

    def body(self) -> bytes:
        choice = dict(_choice(self._last))
        message = dict(inner(choice, "message"))
        text = "".join(piece for part in self._rounds for piece in part.text)
        message["content"] = text or message.get("content")
        message |= _joined([part.carried for part in self._rounds])
        message.pop("tool_calls", None)
        if theirs := self._now.theirs():
            message["tool_calls"] = [self._now.calls[index] for index in theirs]
        choice["message"] = message
        if any(part.logprobs for part in self._rounds):
            choice["logprobs"] = _joined([part.logprobs for part in self._rounds])
        if self._is_cut_short():
            choice["finish_reason"] = "stop"
        same = {key: self._first[key] for key in ("id", "created") if key in self._first}
        usage = {"usage": self._usage()} if self._now.usage else {}
        return dumped(self._last | same | {"choices": [choice]} | usage).encode()

    def failure(self, error: dict[str, Any]) -> bytes:
        return f"data: {dumped(error)}\n\n".encode()


def _joined(rounds: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Texts and lists one behind the other; of everything else the last counts."""
    joined: dict[str, Any] = {}
    for part in rounds:
        for key, value in part.items():
            known = joined.get(key)
            if isinstance(value, str) and isinstance(known, str):
                joined[key] = known + value
            elif isinstance(value, list) and isinstance(known, list):
                joined[key] = [*known, *value]
            elif value is not None or key not in joined:
                joined[key] = value
    return joined


def _choice(event: dict[str, Any]) -> dict[str, Any]:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _numbered(delta: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The tool calls of a delta with their index."""
    entries = delta.get("tool_calls")
    return [
        (entry["index"] if isinstance(entry.get("index"), int) else place, entry)
        for place, entry in enumerate(entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]


def _entries(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return [entry for entry in calls if isinstance(entry, dict)] if isinstance(calls, list) else []


def _is_ours(entry: dict[str, Any]) -> bool:
    function = entry.get("function")
    return isinstance(function, dict) and function.get("name") == TOOL_NAME


def _results(replies: Sequence[Reply]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": reply.id, "content": reply.text} for reply in replies]


def _message(text: str, calls: Sequence[dict[str, Any]], carried: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": text or None, **carried, "tool_calls": calls}


def _text(content: Any) -> str:
    return str(content) if isinstance(content, str) else ""


def _inserted(target: wire.Arr, calls: Sequence[dict[str, Any]], places: Sequence[int]) -> Iterator[wire.Edit]:
    """Our calls among the client's, each before as many of them as its place says."""
    for call, place in zip(calls, places, strict=True):
        if place < len(target) and isinstance(target[place], wire.Obj):
            yield wire.Edit(target[place].start, target[place].start, f"{dumped(call)},")
        else:
            yield wire.Edit(target.end - 1, target.end - 1, f",{dumped(call)}")
