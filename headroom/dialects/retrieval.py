"""Retrieval inside an answer, as a wire format tells it: the tool, its calls, and an answer of several rounds.

A model that calls our tool ends its answer there. The call is taken out, the provider is asked
again with the call and its result behind the request, and what it answers then follows in the same
answer to the client. When the client sends that answer back, the calls and results are put where
they were, so that the provider reads what it read before.

`Retrieval` is one API's side of it, without state; `Answer` follows one answer through its rounds.
A frame without anything of ours is passed on as it is and not even parsed. Sans-I/O.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

from headroom.ccr.marker import TOOL_NAME
from headroom.ccr.tool import Ask, Reply
from headroom.dialects import wire
from headroom.dialects.base import word
from headroom.model import Call
from headroom.sse import completed, data_of, with_data

_NAME = TOOL_NAME.encode()
_END_MARK = b"[DONE]"


class Said(NamedTuple):
    """An answer that the client sends back: where it begins in the body's text, and a fingerprint of what it says."""

    start: int
    place: int
    fingerprint: str


class Record(NamedTuple):
    """What an answer has to get back when the client sends it again; `text` is the dialect's own."""

    fingerprint: str
    text: str


@dataclass(frozen=True, slots=True)
class Tools:
    """The client's own tools: the end of their list, their names, and whether the model may choose among them."""

    end: int
    names: tuple[str, ...]
    free: bool


class Retrieval(Protocol):
    """`definition` is the tool as this API describes one, as JSON."""

    definition: ClassVar[str]

    def tools(self, call: Call) -> Tools | None:
        """None for a call without tools."""

    def said(self, call: Call) -> Iterator[Said]:
        """The answers in a call, in order."""

    def put_back(self, call: Call, said: Said, record: str) -> Sequence[wire.Edit]:
        """The calls and results of that answer where they were; nothing when the client changed what we need to find the places."""

    def answer(self) -> Answer: ...


class Answer(ABC):
    """One answer through all its rounds. Feed it the frames of a stream, or one `whole` body per round; then `asks`."""

    def __init__(self) -> None:
        self.touched = False  # whether a call of ours was taken out
        self._unread: list[bytes] = []  # frames of the first round; read when a call of ours turns up
        self._tail: list[bytes] = []  # the end of a round, held until it is known whether another follows

    def frame(self, frame: bytes) -> Sequence[bytes]:
        """What the client gets of one frame, now."""
        if not self.touched:
            if not self._begins_in(frame):
                self._unread.append(frame)
                return (frame,)
            self.touched = True
            for earlier in self._unread:
                self._note(_json(earlier))
            self._unread.clear()
        event = _json(frame)
        return self._shown(frame, event) if event else self._end_mark(frame)

    def rest(self, rest: bytes) -> Sequence[bytes]:
        """What the client gets, now, of what came behind the last frame of a round.

        An event without its blank line is one all the same. Anything else ends the answer, if no other round follows.
        """
        if not rest or not (self.touched or self._begins_in(rest)):
            return (rest,)
        if _json(rest) or data_of(rest) == _END_MARK:
            return self.frame(completed(rest))
        self._tail.append(rest)
        return ()

    def _begins_in(self, frame: bytes) -> bool:
        """Whether a call of ours does."""
        return _NAME in frame and self._calls_us(_json(frame))

    def _end_mark(self, frame: bytes) -> Sequence[bytes]:
        """A frame that is no JSON object: a comment, or the mark at the end of a stream, which is held."""
        if data_of(frame) != _END_MARK:
            return (frame,)
        self._tail.append(frame)
        return ()

    @abstractmethod
    def whole(self, body: dict[str, Any]) -> None:
        """One round that was not streamed."""

    @abstractmethod
    def asks(self) -> Sequence[Ask]:
        """The calls of ours in this round that ended with it."""

    @abstractmethod
    def goes_on(self) -> bool:
        """Whether the provider has to be asked again: the model waits for our results and nobody else's."""

    @abstractmethod
    def continued(self, body: str, replies: Sequence[Reply]) -> str:
        """The request whose answer follows on this round; begins the next round."""

    @abstractmethod
    def ended(self, replies: Sequence[Reply]) -> Record:
        """The last round is over; `replies` are for calls that stood beside the client's own."""

    @abstractmethod
    def tail(self) -> Iterable[bytes]:
        """The frames that were held back, once `ended`."""

    @abstractmethod
    def body(self) -> bytes:
        """The answer that was not streamed, once `ended`."""

    @abstractmethod
    def failure(self, error: dict[str, Any]) -> bytes:
        """How a stream says that it cannot go on; `error` is an error body of this API."""

    @abstractmethod
    def _calls_us(self, event: dict[str, Any]) -> bool:
        """Whether this event begins a call of ours."""

    @abstractmethod
    def _note(self, event: dict[str, Any]) -> None:
        """Remember what an event says."""

    @abstractmethod
    def _shown(self, frame: bytes, event: dict[str, Any]) -> Sequence[bytes]:
        """Note an event and say what the client gets of it."""


def _json(frame: bytes) -> dict[str, Any]:
    """The event in a frame; empty for anything but an object."""
    try:
        event = json.loads(data_of(frame))
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


GONE: Any = object()  # instead of a value: the member leaves its object
_Changes = Sequence[tuple[tuple[str | int, ...], Any]]


def edited(frame: bytes, changes: _Changes) -> bytes:
    """The frame with other values at the given paths, or without them (GONE); all its other characters stay.

    Absent paths are passed over. An event that the reader in place refuses (`NaN`) is written anew; a frame that is no event stays.
    """
    data = data_of(frame).replace(b"\n", b" ")  # lines of an event end between tokens, where JSON may have blanks
    text = data.decode(errors="surrogateescape")
    try:
        edits = _edits(text, wire.parse(text).root, changes)
        new = wire.splice(text, edits).encode(errors="surrogateescape") if edits else b""
    except (ValueError, wire.TooManyValues):
        new = _anew(_json(frame), changes)
    return with_data(frame, new) if new else frame


def _edits(text: str, root: Any, changes: _Changes) -> list[wire.Edit]:
    edits: list[wire.Edit] = []
    for (*way, key), new in changes:
        holder: Any = _at(root, way)
        value = _at(holder, [key])
        if new is GONE:
            edits += _removal(text, holder, key)
        elif isinstance(value, wire.Str | wire.Number | wire.Arr | wire.Obj):
            edits.append(wire.Edit(value.start, value.end, dumped(new)))
    return edits


def _removal(text: str, holder: Any, key: str | int) -> Iterator[wire.Edit]:
    """A member of an object and the comma that it leaves behind."""
    if not isinstance(holder, wire.Obj) or key not in holder:
        return
    keys: list[Any] = list(holder)
    place = keys.index(key)
    if place + 1 < len(keys):
        yield wire.Edit(keys[place].start, keys[place + 1].start, "")
    else:
        start = text.rindex(",", 0, keys[place].start) if place else keys[place].start
        yield wire.Edit(start, holder.end - 1, "")


def _anew(event: dict[str, Any], changes: _Changes) -> bytes:
    """The event with other values, as compact JSON; nothing when it has none of the paths."""
    changed = False
    for (*way, key), new in changes:
        holder: Any = _at(event, way)
        value = _at(holder, [key])
        if new is GONE and isinstance(holder, dict) and key in holder:
            del holder[key]
        elif new is not GONE and isinstance(value, str | int | float | list | dict) and not isinstance(value, bool):
            holder[key] = new
        else:
            continue
        changed = True
    return dumped(event).encode() if changed else b""


def _at(value: Any, way: Iterable[str | int]) -> Any:
    for step in way:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def dumped(value: Any) -> str:
    """Compact JSON that UTF-8 can say."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() or _is_utf8(text) else json.dumps(value, separators=(",", ":"))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def appended(body: str, key: str, items: Iterable[Any]) -> str:
    """The request with items behind those of its list `key`; every other character stays."""
    target = wire.parse(body).root[key]
    new = ",".join(map(dumped, items))
    return wire.splice(body, [wire.Edit(target.end - 1, target.end - 1, f",{new}" if target else new)])


def fingerprint(text: str, calls: Iterable[str]) -> str:
    """What tells two answers to the same prompt apart: the words the client was shown, and the ids of its calls."""
    parts = (text, *calls)
    return hashlib.sha256(dumped(parts).encode()).hexdigest()


def summed(rounds: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Usage over several rounds: counts add up, also nested ones; of everything else the last counts."""
    total: dict[str, Any] = {}
    for usage in rounds:
        for key, value in usage.items():
            known = total.get(key)
            if isinstance(value, dict):
                total[key] = summed([known if isinstance(known, dict) else {}, value])
            elif isinstance(value, int | float) and not isinstance(value, bool) and isinstance(known, int | float):
                total[key] = known + value
            elif value is not None or key not in total:
                total[key] = value
    return total


def names(tools: Any) -> tuple[str, ...]:
    """The names of a list of tools, flat or under `function`."""
    found = []
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            function = tool.get("function")
            found.append(word(tool.get("name")) or (word(function.get("name")) if isinstance(function, dict) else ""))
    return tuple(found)


def inner(event: dict[str, Any], key: str) -> dict[str, Any]:
    """An object within an object, empty when there is none."""
    value = event.get(key)
    return value if isinstance(value, dict) else {}


Place = tuple[int, int]


def place_behind(solid: Sequence[bool]) -> Place:
    """A place in an answer, behind these pieces of it: how many they are, and how many of them a client surely sends back."""
    return len(solid), sum(solid)


def position(solid: Sequence[bool], place: Sequence[int], shown: int) -> int:
    """Where a place is among the pieces that a client sends back, of which it was shown `shown`."""
    count, behind = place
    if len(solid) == shown:
        return count
    where = 0
    while behind > 0:
        behind -= solid[where]
        where += 1
    return where


class Round(NamedTuple):
    """One answer of the provider as it goes back to it: its pieces in order, each with whether it is a call of ours."""

    pieces: Sequence[tuple[dict[str, Any], bool]]
    results: Sequence[dict[str, Any]]
    on: bool  # another round followed


def recorded(rounds: Iterable[Round], solid: Callable[[dict[str, Any]], bool]) -> tuple[list[dict[str, Any]], str]:
    """What the client was shown of an answer that comes in pieces, and the text of its record; `solid`: what it surely sends back."""
    shown: list[dict[str, Any]] = []
    kept = []

    def here() -> Place:
        return place_behind(list(map(solid, shown)))

    for part in rounds:
        calls = []
        for piece, ours in part.pieces:
            if not ours:
                shown.append(piece)
            elif part.results:
                calls.append([here(), piece])
        if part.results:
            kept.append({"calls": calls, "end": here(), "results": part.results, "on": part.on})
    return shown, dumped({"shown": len(shown), "solid": sum(map(solid, shown)), "rounds": kept})
