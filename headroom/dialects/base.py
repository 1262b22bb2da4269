"""The seam between wire formats and everything else: one Dialect per API, chosen by route.

A dialect reads a body once, names the segments that may become smaller, puts the smaller texts in
their place, writes errors in the words of its API, and reads usage from its answers. It never
changes what it does not understand: unknown fields, blocks and events are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol

from headroom.ccr.marker import TOOL_NAME
from headroom.dialects import documents, wire
from headroom.errors import InvalidRequest
from headroom.model import Call, Compressed, Segment, Turn
from headroom.outcome import Usage
from headroom.sections import Section, head_of_output, sections

Parse = Callable[[str], documents.Document]
_END = (-1, -1)  # the part behind the last character of a string
TOO_MANY_VALUES = "too_many_values"
_MODEL_CHARS = 200  # of a model name; a longer one is none
_MAX_COUNT = 1 << 53
_OPENAI_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_QUESTION_CHARS = 4000  # of a user's words, half from the beginning and half from the end


class Dialect(Protocol):
    """`name` is what headers and statistics show; `provider` is whose price list applies; `rows_key` is where a body has its messages."""

    name: ClassVar[str]
    provider: ClassVar[str]
    rows_key: ClassVar[str] = "messages"

    def read(self, raw: bytes, parse: Parse = documents.parse) -> Call:
        """Raises InvalidRequest where the provider would refuse the body too."""
        return read_call(self.name, raw, parse)

    def rows(self, call: Call) -> Sequence[Any]:
        """The messages of a call as they stand in its body."""
        return rows_under(self.rows_key, call)

    def heard(self, call: Call, row: Any, following: Any, walk: Walk) -> Iterator[Segment | Turn]:
        """The texts of one message that may become smaller, and the turn that ends with it, if one does.

        `walk` is what is known before it, and afterwards what is known behind it; `following` is the next message or an empty object.
        """

    def row_texts(self, call: Call, row: Any) -> Iterator[str]:
        """Every text a model reads in one message, segments included."""

    def walk(self, call: Call) -> Iterator[Segment | Turn]:
        """The texts that may become smaller and the ends of turns, in order; each knows only what stands before and at it."""
        walk = Walk()
        for row, following in pairwise([*self.rows(call), wire.Obj()]):
            yield from self.heard(call, row, following, walk)

    def segments(self, call: Call) -> tuple[Segment, ...]:
        """Only the texts."""
        return tuple(item for item in self.walk(call) if isinstance(item, Segment))

    def texts(self, call: Call) -> Iterator[str]:
        """Every text a model reads in the messages, segments included; what token counts are about."""
        for row in self.rows(call):
            yield from self.row_texts(call, row)

    def chars(self, call: Call) -> int:
        """How long these texts are together."""

        def step(before: int, row: Any) -> int:
            return before + sum(map(len, self.row_texts(call, row)))

        found = documents.along(call.document, self.rows(call), "chars", 0, step)
        return found[-1] if found else 0

    def error(self, status: int, kind: str, message: str) -> dict[str, Any]:
        """The body of an error as this API's clients expect it."""

    def usage(self, data: Any) -> Usage:
        """What one answer, or one event of a streamed answer, says was billed."""


def rows_under(key: str, call: Call) -> Sequence[Any]:
    """The list under a key of a body; a text in its place is one message."""
    given = call.body.get(key)
    return [given] if isinstance(given, wire.Str) else given or ()


def system_texts(body: Any) -> Iterator[str]:
    """What stands in a system prompt, wherever an API has it."""
    messages: list[Any] = next((body[key] for key in ("messages", "input") if isinstance(body.get(key), list)), [])
    said = [m.get("content") for m in messages if isinstance(m, dict) and m.get("role") in ("system", "developer")]
    for content in (body.get("system"), body.get("instructions"), *said):
        if isinstance(content, str):
            yield content
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict) and isinstance(block.get("text"), str):
                yield block["text"]


def read_body(dialect: str, raw: bytes, parse: Parse = documents.parse) -> Call:
    """A body that must be a JSON object. One that is too intricate to be read is a call without any messages."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as failure:
        raise InvalidRequest(f"The request body is not UTF-8: {failure.reason} at byte {failure.start}.") from None
    try:
        document = parse(text)
    except json.JSONDecodeError as failure:
        raise InvalidRequest(
            f"The request body is not valid JSON: {failure.msg} at line {failure.lineno}, column {failure.colno}."
        ) from None
    except wire.TooManyValues:
        return Call(dialect, raw, text, body=wire.Obj(messages=wire.Arr()), reason=TOO_MANY_VALUES)
    body = document.root
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    model = body.get("model")
    return Call(
        dialect=dialect,
        raw=raw,
        text=text,
        body=body,
        model=word(model).encode(errors="replace").decode()[:_MODEL_CHARS],
        stream=body.get("stream") is True,
        reason="duplicate_keys" if document.duplicate_keys else "",
        document=document,
    )


def read_call(dialect: str, raw: bytes, parse: Parse = documents.parse) -> Call:
    """A body that must be a JSON object with messages."""
    return with_messages(read_body(dialect, raw, parse))


def with_messages(call: Call) -> Call:
    """Raises InvalidRequest for a call that was read and has no messages."""
    messages = call.body.get("messages")
    if call.reason == TOO_MANY_VALUES:
        return call
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages: a list with at least one message is required.")
    if not all(isinstance(message, dict) for message in messages):
        raise InvalidRequest("messages: every message must be an object.")
    return call


def understood(call: Call) -> Call:
    """Raises InvalidRequest for a call that was not read; it can be passed on, but not answered."""
    if call.reason == TOO_MANY_VALUES:
        raise InvalidRequest(f"The request body holds more than {wire.MOST_VALUES:,} values.")
    return call


def splice(
    call: Call,
    segments: Sequence[Segment],
    results: Sequence[Compressed],
    turns: Sequence[Turn] = (),
    recalled: Sequence[Compressed] = (),
    more: Sequence[wire.Edit] = (),
) -> bytes:
    """The body with the compressed texts in place, the recalled ones appended and `more` edits; `call.raw` itself when nothing changed."""
    strings: dict[tuple[int, int], list[tuple[tuple[int, int] | None, str]]] = {}
    for segment, result in zip(segments, results, strict=True):
        if result.text is not None:
            strings.setdefault(segment.slot, []).append((segment.part, result.text))
    blocks: list[wire.Edit] = []
    for turn, result in zip(turns, recalled, strict=True):
        if result.text is None:
            continue
        if turn.form == "append":
            strings.setdefault(turn.slot, []).append((_END, f"\n\n{result.text}"))
        else:
            blocks += _append_block(turn, result.text)
    if not strings and not blocks and not more:
        return call.raw
    edits = (_edit(call.text, slot, parts) for slot, parts in strings.items())
    return wire.splice(call.text, [*edits, *blocks, *more]).encode()


def _edit(text: str, slot: tuple[int, int], parts: Sequence[tuple[tuple[int, int] | None, str]]) -> wire.Edit:
    """One string literal with its parts replaced; a part of None is all of it."""
    if len(parts) == 1 and parts[0][0] is None:
        return wire.Edit(*slot, wire.quote(parts[0][1]))
    decoded = wire.unquote(text, slot[0])
    size = len(decoded)
    ranges = {None: (0, size), _END: (size, size)}
    inner = wire.splice(decoded, (wire.Edit(*ranges.get(part, part or (0, size)), new) for part, new in parts))
    return wire.Edit(*slot, wire.quote(inner))


def _append_block(turn: Turn, text: str) -> list[wire.Edit]:
    """A text block behind the last block of a content, which becomes a list if it was a string."""
    start, end = turn.slot
    block = f'{{"type":"{turn.block}","text":{wire.quote(text)}}}'
    if turn.form == "block":
        return [wire.Edit(end, end, f",{block}")]
    return [wire.Edit(start, start, f'[{{"type":"{turn.block}","text":'), wire.Edit(end, end, f"}},{block}]")]


@dataclass
class Walk:
    """What is known at a point of the conversation, from what stands before and at it."""

    question: str = ""
    intent: str = ""
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)  # call id -> tool name, arguments
    results: dict[tuple[str, str], int] = field(default_factory=dict)  # tool name and arguments -> results so far
    programs: set[str] = field(default_factory=set)  # ids of calls whose result is read by a program, not by the model
    segments: int = 0  # so far
    before: int = 0  # segments before the turn that is being read
    words: str = ""  # a user's, in that turn
    asked: list[str] = field(default_factory=list)  # arguments of the calls it answers

    def copy(self) -> Walk:
        """The same at this point, whatever is walked on."""
        return replace(self, calls=dict(self.calls), results=dict(self.results), programs=set(self.programs), asked=list(self.asked))

    def end_turn(self, slot: tuple[int, int], form: Literal["append", "wrap", "block"], block: str = "text") -> Turn:
        """The turn that ends here; a user's words, if there are any, are what it is about."""
        query = self.words or "\n".join(dict.fromkeys(self.asked))
        turn = Turn(query, self.before, self.segments, slot, form, bool(self.words), block)
        self.before, self.words, self.asked = self.segments, "", []
        return turn

    def ask(self, words: str) -> None:
        if len(words) > _QUESTION_CHARS:
            words = words[: _QUESTION_CHARS // 2] + "\n" + words[-_QUESTION_CHARS // 2 :]
        self.question, self.intent, self.words = words, "", words

    def hear(self, parts: Sequence[wire.Str]) -> Iterator[Segment]:
        """The data pasted into a user's message; the words around it become the question."""
        found = [(part, sections(part)) for part in parts]
        words = "\n".join(_outside(part, pasted) for part, pasted in found)
        if words.strip():
            self.ask(words)
        for part, pasted in found:
            for section in pasted:
                text = part[section.start : section.end]
                self.segments += 1
                yield Segment(
                    text=text,
                    slot=(part.start, part.end),
                    part=(section.start, section.end),
                    question=self.question,
                    protected=protection(part, "", failed=False),
                )

    def say(self, words: str) -> None:
        self.intent = words[-_QUESTION_CHARS // 2 :]

    def called_by(self, caller: Any, call_id: str) -> None:
        """Note that a program made this call, if its `caller` says so."""
        if isinstance(caller, dict) and caller.get("type") != "direct":
            self.programs.add(call_id)

    def answered(self, call_id: str) -> None:
        """Note that a result of this call begins, which may have several texts, or none."""
        call = self.calls.get(call_id)
        if call is not None:
            self.results[call] = self.results.get(call, 0) + 1

    def result(self, text: wire.Str, call_id: str, failed: bool = False) -> Segment:
        """The segment of a tool result's text, without the head that the agent has put above it."""
        tool, arguments = self.calls.get(call_id, ("", ""))
        self.segments += 1
        self.asked.append(arguments)
        head = head_of_output(text)
        return Segment(
            text=str(text[head:]),
            slot=(text.start, text.end),
            part=(head, len(text)) if head else None,
            tool=tool,
            arguments=arguments,
            question=self.question,
            intent=self.intent,
            protected="for_a_program" if call_id in self.programs else protection(text, tool, failed),
            nth=self.results.get((tool, arguments), 0),
        )


def end_of_content(content: Any, walk: Walk, block: str = "text") -> Iterator[Turn]:
    """The turn that ends with a message, where a block of this type can be appended to its content.

    A text of blanks is no block: APIs take one as a whole content and refuse it as a block.
    """
    if isinstance(content, wire.Str):
        yield walk.end_turn((content.start, content.end), "wrap" if content.strip() else "append", block)
    elif isinstance(content, wire.Arr) and content and isinstance(content[-1], wire.Obj):
        yield walk.end_turn((content[-1].end, content[-1].end), "block", block)


def _outside(text: str, pasted: Sequence[Section]) -> str:
    """The words of a user's message, without the data in it."""
    starts = (0, *(section.end for section in pasted))
    ends = (*(section.start for section in pasted), len(text))
    return "\n".join(text[start:end] for start, end in zip(starts, ends, strict=True))


def protection(text: str, tool: str, failed: bool) -> str:
    """Why a text must stay as it is, or an empty string."""
    if failed:
        return "error_result"
    if tool.endswith(TOOL_NAME):
        return "retrieved"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "lone_surrogate"
    return ""


def word(value: Any) -> str:
    """A string or number of a body; empty for everything else."""
    return str(value) if isinstance(value, wire.Str | wire.Number) else ""


def text_parts(content: Any, types: Sequence[str] = ("text",)) -> Iterator[wire.Str]:
    """The strings of a message's content: itself, or its blocks of these types."""
    if isinstance(content, wire.Str):
        yield content
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and word(block.get("type")) in types and isinstance(block.get("text"), wire.Str):
                yield block["text"]


def openai_error(status: int, message: str) -> dict[str, Any]:
    """The body of an error as OpenAI's clients expect it."""
    kind = _OPENAI_KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def token_count(data: Any, key: str) -> int | None:
    """A count in an answer parsed by the standard library, None where it is absent or odd."""
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else None
