"""Retrieval inside an answer of Anthropic Messages: blocks by index, a `tool_use` taken out, its result in a user message.

Usage adds up over the rounds, as the API itself does for tools that run on its side. Thinking
blocks go back with their signatures as they came. A text of blanks does not go back: the API sends it,
but does not take it where a message has no other text.
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

# type of a delta -> the texts in it, which grow under the same names in the block
_GROWS = {
    "text_delta": ("text",),
    "thinking_delta": ("thinking",),
    "signature_delta": ("signature",),
    "input_json_delta": ("partial_json",),
    "compaction_delta": ("content", "encrypted_content"),
}


class AnthropicRetrieval(Retrieval):
    definition: ClassVar[str] = dumped({"name": TOOL_NAME, "description": DESCRIPTION, "input_schema": PARAMETERS})

    def tools(self, call: Call) -> Tools | None:
        tools, choice = call.body.get("tools"), call.body.get("tool_choice")
        if not isinstance(tools, wire.Arr) or not tools:
            return None
        free = choice is None or (isinstance(choice, dict) and choice.get("type") in ("auto", "any"))
        return Tools(tools.end - 1, names(tools), free)

    def said(self, call: Call) -> Iterator[Said]:
        for place, message in enumerate(call.body["messages"]):
            if message.get("role") == "assistant":
                yield Said(message.start, place, _fingerprint(_listed(message.get("content"))))

    def put_back(self, call: Call, said: Said, record: str) -> Sequence[wire.Edit]:
        messages, known = call.body["messages"], json.loads(record)
        message = messages[said.place]
        blocks = _listed(message.get("content"))
        solid = list(map(_solid, blocks))
        if sum(solid) != known["solid"]:
            return ()
        written = [call.text[b.start : b.end] if isinstance(b, wire.Obj) else dumped(b) for b in blocks]
        told: list[str] = []  # the messages that stand for this one
        now: list[str] = []  # blocks of the one that is being written
        pending: list[str] = []
        taken = 0
        for part in known["rounds"]:
            for place, block in part["calls"]:
                end = position(solid, place, known["shown"])
                now += [*written[taken:end], dumped(block)]
                taken = max(taken, end)
            pending = [dumped(result) for result in part["results"]]
            if part["on"]:
                end = position(solid, part["end"], known["shown"])
                told += [_message("assistant", [*now, *written[taken:end]]), _message("user", pending)]
                taken, now, pending = max(taken, end), [], []
        now += written[taken:]
        told += [_message("assistant", now)] if now else []
        edits = [wire.Edit(message.start, message.end, ",".join(told))]
        if pending:
            following = messages[said.place + 1] if said.place + 1 < len(messages) else {}
            content = following.get("content")
            first = content[0] if isinstance(content, list) and content else None
            if following.get("role") != "user" or not isinstance(first, wire.Obj):
                return ()
            edits.append(wire.Edit(first.start, first.start, "".join(f"{result}," for result in pending)))
        return edits

    def answer(self) -> Answer:
        return _AnthropicAnswer()


@dataclass
class _Message:
    """What one answer of the provider holds: its blocks by index, ours and the client's."""

    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    grown: dict[tuple[int, str], list[str]] = field(default_factory=dict)  # pieces of a block's text
    closed: set[int] = field(default_factory=set)
    usage: dict[str, Any] = field(default_factory=dict)
    ending: dict[str, Any] = field(default_factory=dict)  # stop_reason and what stands beside it
    results: list[dict[str, Any]] = field(default_factory=list)
    on: bool = False  # another round followed

    def ours(self) -> list[int]:
        return [index for index in sorted(self.blocks) if _is_ours(self.blocks[index])]

    def shown(self) -> list[dict[str, Any]]:
        return [self.block(index) for index in sorted(self.blocks) if not _is_ours(self.blocks[index])]

    def block(self, index: int) -> dict[str, Any]:
        """A block as it goes back to the provider."""
        block = {key: value for key, value in self.blocks[index].items() if value is not None}
        for (at, key), pieces in self.grown.items():
            if at == index and key != "partial_json":
                block[key] = str(block.get(key, "")) + "".join(pieces)
        if (index, "partial_json") in self.grown:
            block["input"] = _object("".join(self.grown[index, "partial_json"]))
        return block

    def pieces(self) -> list[tuple[dict[str, Any], bool]]:
        """The blocks that go back to the provider, each with whether it is ours."""
        blocks = ((self.block(index), _is_ours(self.blocks[index])) for index in sorted(self.blocks))
        return [(block, ours) for block, ours in blocks if not _blank(block)]

    def arguments(self, index: int) -> str:
        pieces = self.grown.get((index, "partial_json"))
        return "".join(pieces) if pieces else dumped(self.blocks[index].get("input") or {})


class _AnthropicAnswer(Answer):
    def __init__(self) -> None:
        super().__init__()
        self._rounds = [_Message()]
        self._first: dict[str, Any] = {}
        self._last: dict[str, Any] = {}

    @property
    def _now(self) -> _Message:
        return self._rounds[-1]

    def _calls_us(self, event: dict[str, Any]) -> bool:
        return event.get("type") == "content_block_start" and _is_ours(event.get("content_block"))

    def _note(self, event: dict[str, Any]) -> None:
        now, delta = self._now, inner(event, "delta")
        match event.get("type"):
            case "message_start":
                now.usage |= inner(inner(event, "message"), "usage")
            case "message_delta":
                now.usage |= {key: value for key, value in inner(event, "usage").items() if value is not None}
                now.ending = delta
        index = event.get("index")
        if not isinstance(index, int):
            return
        match event.get("type"):
            case "content_block_start":
                now.blocks[index] = dict(inner(event, "content_block"))
            case "content_block_delta" if index in now.blocks:
                for key in _GROWS.get(str(delta.get("type")), ()):
                    if isinstance(piece := delta.get(key), str):
                        now.grown.setdefault((index, key), []).append(piece)
                if delta.get("type") == "citations_delta":
                    block = now.blocks[index]
                    block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
            case "content_block_stop":
                now.closed.add(index)

    def _shown(self, frame: bytes, event: dict[str, Any]) -> Sequence[bytes]:
        self._note(event)
        kind, index = event.get("type"), event.get("index")
        if kind == "message_start" and len(self._rounds) > 1:
            return ()
        if kind in ("message_delta", "message_stop"):
            self._tail.append(frame)
            return ()
        if not isinstance(index, int) or kind not in ("content_block_start", "content_block_delta", "content_block_stop"):
            return (frame,)
        ours = self._now.ours()
        if index in ours:
            return ()
        place = index - sum(other < index for other in ours) + sum(len(part.blocks) - len(part.ours()) for part in self._rounds[:-1])
        return (frame,) if place == index else (edited(frame, [(("index",), place)]),)

    def whole(self, body: dict[str, Any]) -> None:
        self._first, self._last = self._first or body, body
        content = body.get("content")
        blocks = content if isinstance(content, list) else []
        now = self._now
        now.blocks = {index: block for index, block in enumerate(blocks) if isinstance(block, dict)}
        now.closed = set(now.blocks)
        now.usage, now.ending = inner(body, "usage"), {"stop_reason": body.get("stop_reason"), "container": body.get("container")}
        self.touched |= bool(now.ours())

    def asks(self) -> Sequence[Ask]:
        now = self._now
        if now.ending.get("stop_reason") != "tool_use":
            return ()
        return [Ask(str(now.blocks[index].get("id")), now.arguments(index)) for index in now.ours() if index in now.closed]

    def goes_on(self) -> bool:
        return bool(self.asks()) and not any(block.get("type") == "tool_use" for block in self._now.shown())

    def continued(self, body: str, replies: Sequence[Reply]) -> str:
        now = self._now
        now.results, now.on = _results(replies), True
        blocks = [block for block, _ in now.pieces()]
        self._rounds.append(_Message())
        self._tail.clear()
        turn = [{"role": "assistant", "content": blocks}, {"role": "user", "content": now.results}]
        return _in_container(appended(body, "messages", turn), inner(now.ending, "container").get("id"))

    def ended(self, replies: Sequence[Reply]) -> Record:
        self._now.results = _results(replies)
        shown, text = recorded((Round(part.pieces(), part.results, part.on) for part in self._rounds), _solid)
        return Record(_fingerprint(shown), text)

    def tail(self) -> Iterable[bytes]:
        for frame in self._tail:
            yield edited(frame, self._corrections()) if b'"message_delta"' in frame else frame

    def _corrections(self) -> list[tuple[tuple[str | int, ...], Any]]:
        changes: list[tuple[tuple[str | int, ...], Any]] = []
        if len(self._rounds) > 1:
            changes.append((("usage",), self._usage()))
        if self._is_cut_short():
            changes.append((("delta", "stop_reason"), "end_turn"))
        return changes

    def _usage(self) -> dict[str, Any]:
        return summed(part.usage for part in self._rounds)

    def _is_cut_short(self) -> bool:
        """Whether the answer ends with a call that nobody but us could answer."""
        waits = self._now.ending.get("stop_reason") == "tool_use"
        return waits and not any(block.get("type") == "tool_use" for block in self._now.shown())

    def body(self) -> bytes:
        shown = [block for part in self._rounds for block in part.shown()]
        body = self._last | {"id": self._first.get("id"), "content": shown, "usage": self._usage()}
        if self._is_cut_short():
            body["stop_reason"] = "end_turn"
        return dumped(body).encode()

    def failure(self, error: dict[str, Any]) -> bytes:
        return f"event: error\ndata: {dumped(error)}\n\n".encode()


def _is_ours(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_use" and block.get("name") == TOOL_NAME


def _results(replies: Sequence[Reply]) -> list[dict[str, Any]]:
    return [
        {"type": "tool_result", "tool_use_id": reply.id, "content": reply.text} | ({"is_error": True} if reply.failed else {})
        for reply in replies
    ]


def _blank(block: dict[str, Any]) -> bool:
    """A text that shows nothing."""
    return block.get("type") == "text" and not str(block.get("text") or "").strip()


def _solid(block: dict[str, Any]) -> bool:
    """Whether a client that drops thinking still sends this block back."""
    return block.get("type") not in ("thinking", "redacted_thinking")


def _listed(content: Any) -> list[dict[str, Any]]:
    """The blocks of a content, which is one text block when it is a string; clients may have dropped those of blanks, so all are."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [block for block in blocks if isinstance(block, dict) and not _blank(block)] if isinstance(blocks, list) else []


def _fingerprint(blocks: Iterable[dict[str, Any]]) -> str:
    solid = [block for block in blocks if _solid(block)]
    texts = (str(block.get("text")) for block in solid if block.get("type") == "text")
    return fingerprint("".join(texts), (str(block.get("id")) for block in solid if block.get("type") == "tool_use"))


def _in_container(body: str, id: Any) -> str:
    """The request that goes on in the container where the answer so far ran code, unless it names one itself."""
    if not id:
        return body
    root = wire.parse(body).root
    given = root.get("container", root)
    if not isinstance(given, wire.Obj) or (given is not root and "id" in given):
        return body
    member = f'"container":{dumped(id)}' if given is root else f'"id":{dumped(id)}'
    return wire.splice(body, [wire.Edit(given.start + 1, given.start + 1, f"{member}," if given else member)])


def _message(role: str, blocks: Iterable[str]) -> str:
    return f'{{"role":"{role}","content":[{",".join(blocks)}]}}'


def _object(text: str) -> dict[str, Any]:
    """What a model wrote as arguments; an empty object where that is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
