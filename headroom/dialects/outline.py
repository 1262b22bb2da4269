"""A conversation as a row of messages: who speaks, what a model reads, which tool calls are made and answered.

What context management needs to know of a wire format. The items of OpenAI Responses are messages here, each one of its own.
Shapes it does not know are read as far as they can be; nothing here raises over them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from headroom.dialects import documents, openai_chat, openai_responses, wire
from headroom.dialects.base import Parse, rows_under, text_parts, word
from headroom.model import Call

_IMAGE_TOKENS = 1600  # the most a provider charges for one of usual size
_OTHER_CHARS = 4  # per token of a block that is neither text nor an image
_ENCODED_CHARS = 40  # per token of a file in base64: a page of 80 KB costs about 2,000
_IMAGES = frozenset(("image", "image_url", "input_image"))
_FILES = frozenset(("file", "input_file", "input_audio"))
_ASKING = frozenset(("user", "system", "developer"))
_MOST_BEGINNINGS = 16
_ELSEWHERE = ("previous_response_id", "conversation")  # keys that stand for messages which the provider keeps
_CACHE_MARK = "cache_control"  # moves from turn to turn without changing what a model reads


class Asked(NamedTuple):
    """A tool call: its arguments are JSON as it stands in the body."""

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message, at `start`..`end` of the body's text.

    `texts` are what a model reads in it, `slots` those of them that a tool returned to it. `answers` are the ids of the calls
    whose results are in it, also of tools that the provider runs: a program that calls tools ends behind their results.
    `spoken` says that a user's own words are in it and no tool's. `other_tokens` is what cannot be read as text, estimated.
    `tail` is the content at whose end a text may be added, if there is any: the last result's where there is nothing but
    results; `block` is the type of such a text. `leads` says that the API takes it only with the message behind it.
    """

    role: str
    start: int
    end: int
    content: Any
    texts: tuple[str, ...] = ()
    slots: tuple[wire.Str, ...] = ()
    calls: tuple[Asked, ...] = ()
    answers: tuple[str, ...] = ()
    failed: bool = False
    spoken: bool = False
    other_tokens: int = 0
    tail: wire.Str | wire.Arr | None = None
    block: str = "text"
    leads: bool = False

    @property
    def side(self) -> str:
        """Whose turn it is: "user" (tools answer for him), "assistant", or "" for instructions."""
        return {"tool": "user", "function": "user", "user": "user", "assistant": "assistant"}.get(self.role, "")


@dataclass(frozen=True, slots=True)
class Outline:
    """The messages of a call, and the texts beside them that a model reads: system prompt and tools.

    `partial` says that the provider knows messages before them, which are not in the body.
    """

    messages: tuple[Message, ...]
    beside: tuple[str, ...]
    partial: bool = False


def outline(call: Call) -> Outline | None:
    """None for a wire format that has no outline yet."""
    read = _READERS.get(call.dialect)
    if read is None:
        return None
    beside = [call.text[value.start : value.end] for key in ("tools", "functions") if isinstance(value := call.body.get(key), wire.Arr)]
    told: list[_Told] = documents.along(call.document, rows(call), "outline", _Told(), partial(_read, read, call))
    messages = tuple(row.message for row in told if row.message)
    instructions = [text for key in ("system", "instructions") for text in text_parts(call.body.get(key))]
    return Outline(messages, (*instructions, *beside), any(call.body.get(key) for key in _ELSEWHERE))


@dataclass(frozen=True, slots=True)
class _Told:
    """A message, and the ids of the calls up to it that programs make."""

    message: Message | None = None
    programs: frozenset[str] = frozenset()


def _read(read: Callable[[Call, Any, set[str]], Message], call: Call, before: _Told, row: Any) -> _Told:
    programs = set(before.programs)
    message = read(call, row, programs)
    return _Told(message, frozenset(programs) if len(programs) > len(before.programs) else before.programs)


def rows(call: Call) -> Sequence[Any]:
    """The messages of a call as they stand in its body; an input that is one text is one message."""
    return rows_under("input" if call.dialect == "openai_responses" else "messages", call)


def read_again(call: Call, body: bytes, parse: Parse = documents.parse) -> Call:
    """The call whose texts were made smaller in `body`."""
    if body is call.raw:
        return call
    text = body.decode()
    document = parse(text)
    return dataclasses.replace(call, raw=body, text=text, body=document.root, document=document)


def chain(call: Call, salt: str) -> list[str]:
    """For each message a hash over `salt`, itself and all before it, the same however cache marks move."""
    return documents.along(call.document, rows(call), ("chain", salt), salt, _link)


def _link(before: str, message: Any) -> str:
    state = hashlib.sha256(before.encode("utf-8", "surrogatepass"))
    for piece in _pieces(message):
        state.update(piece.encode("utf-8", "surrogatepass"))
    return state.hexdigest()


class Beginning(NamedTuple):
    """Keys of what a conversation began with: all that was said before its first answer, then every part of that from the front (at
    most 16 in all), and with that answer, empty while there is none."""

    opening: list[str]
    answered: str


def beginning(call: Call, salt: str) -> Beginning:
    """Hashes over `salt` and messages, the same however cache marks move.

    Conversations may open with the same words; their first answers tell them apart.
    """
    messages = call.body.get("messages", call.body.get("input"))
    state = hashlib.sha256(salt.encode("utf-8", "surrogatepass"))
    opening: list[str] = []
    answered = ""
    for message in messages if isinstance(messages, list) else [messages]:
        for piece in _pieces(message):
            state.update(piece.encode("utf-8", "surrogatepass"))
        if opening and not (isinstance(message, dict) and word(message.get("role")) in _ASKING):
            answered = state.hexdigest()
            break
        opening.append(state.hexdigest())
    return Beginning(opening[::-1][:_MOST_BEGINNINGS], answered)


def _pieces(message: Any) -> Iterator[str]:
    """A message without cache marks; a text alone and a text in a list of one block are the same content."""
    waiting: list[tuple[str, Any]] = [("", message)]
    while waiting:
        key, value = waiting.pop()
        if key == "content" and isinstance(value, wire.Str):
            value = [{"type": "text", "text": value}]
        inner: list[tuple[str, Any]] = []
        if isinstance(value, dict):
            kind, inner = "{", [(name, member) for name, member in value.items() if name != _CACHE_MARK]
        elif isinstance(value, list):
            kind, inner = "[", [("", member) for member in value]
        else:
            kind = "n" if isinstance(value, wire.Number) else "s" if isinstance(value, str) else "v"
        shown = "" if inner else str(value)
        yield f"{len(key)}:{key}{kind}{len(inner)}:{len(shown)}:{shown}"
        waiting += reversed(inner)


def _anthropic(call: Call, message: wire.Obj, programs: set[str]) -> Message:
    content, role = message.get("content"), word(message.get("role"))
    texts: list[str] = list(text_parts(content))
    words = any(text.strip() for text in texts)
    slots: list[wire.Str] = []
    calls: list[Asked] = []
    results: list[wire.Obj] = []
    other = 0
    for block in _blocks(content):
        match word(block.get("type")):
            case "text":
                pass
            case "tool_use" | "server_tool_use":
                calls.append(Asked(word(block.get("id")), word(block.get("name")), _json(call, block.get("input"))))
                texts.append(calls[-1].arguments)
                if isinstance(block.get("caller"), dict) and block["caller"].get("type") != "direct":
                    programs.add(calls[-1].id)
            case "tool_result":
                results.append(block)
                printed = list(text_parts(block.get("content")))
                texts += printed
                slots += printed if word(block.get("tool_use_id")) not in programs else []
                other += sum(_other(inner) for inner in _blocks(block.get("content")) if word(inner.get("type")) != "text")
            case "thinking":
                texts.append(word(block.get("thinking")))
            case _:
                other += _other(block)
    answers = tuple(word(block.get("tool_use_id")) for block in _blocks(content) if word(block.get("type")).endswith("tool_result"))
    return Message(
        role=role,
        start=message.start,
        end=message.end,
        content=content,
        texts=tuple(texts),
        slots=tuple(slots),
        calls=tuple(calls),
        answers=answers,
        failed=any(block.get("is_error") is True for block in results),
        spoken=role == "user" and not results and (words or other > 0),
        other_tokens=other,
        tail=_tail(content, results, programs),
    )


def _tail(content: Any, results: Sequence[wire.Obj], programs: set[str]) -> wire.Str | wire.Arr | None:
    """Inside the last plain result of a message of results alone, which must stay one; else the message's own content."""
    if not results or len(results) < len(content):
        return content if _holds(content) else None
    if any(word(block.get("tool_use_id")) in programs for block in results):
        return None
    return next((inner for block in reversed(results) if _is_plain(inner := block.get("content"))), None)


def _holds(content: Any) -> bool:
    """Whether a text can be added to a content."""
    return isinstance(content, wire.Str) or (isinstance(content, wire.Arr) and bool(content) and len(_blocks(content)) == len(content))


def _is_plain(content: Any) -> bool:
    return isinstance(content, wire.Str) or (_holds(content) and all(word(b.get("type")) in ("text", "image") for b in _blocks(content)))


def _openai(call: Call, message: wire.Obj, programs: set[str]) -> Message:
    content, role = message.get("content"), word(message.get("role"))
    texts = tuple(text_parts(content))
    calls = tuple(Asked(*call) for call in openai_chat.calls(message))
    other = sum(_other(block) for block in _blocks(content) if word(block.get("type")) != "text")
    answers = (openai_chat.call_id(message),) if role in openai_chat.RESULTS else ()
    refusal = word(message.get("refusal"))
    return Message(
        role=role,
        start=message.start,
        end=message.end,
        content=content,
        texts=(*texts, *(call.arguments for call in calls), *([refusal] if refusal else [])),
        slots=texts if answers else (),
        calls=calls,
        answers=answers,
        spoken=role == "user" and (any(text.strip() for text in texts) or other > 0),
        other_tokens=other,
        tail=content if _holds(content) else None,
    )


def _responses(call: Call, item: wire.Obj | wire.Str, programs: set[str]) -> Message:
    """An item of OpenAI Responses. What is no message, no call, no result and no reasoning is kept like an instruction."""
    if isinstance(item, wire.Str):
        return Message("user", item.start, item.end, item, texts=(item,), spoken=True)
    kind = openai_responses.kind(item)
    id = word(item.get("call_id")) or word(item.get("id"))
    if kind == "message":
        return _responses_message(item)
    if kind.endswith("_call_output"):
        return _responses_result(item, id, programs)
    if kind.endswith("_call"):
        asked = Asked(id, openai_responses.tool(item), openai_responses.arguments(call, item))
        if isinstance(caller := item.get("caller"), dict) and caller.get("type") != "direct":
            programs.add(id)
        known = bool(asked.arguments)
        return Message(
            "assistant", item.start, item.end, None, (asked.arguments,), calls=(asked,), other_tokens=0 if known else _other(item)
        )
    if kind == "reasoning":
        summary = tuple(text_parts(item.get("summary"), ("summary_text",)))
        return Message("assistant", item.start, item.end, None, summary, other_tokens=_other(item), leads=True)
    return Message("", item.start, item.end, None, other_tokens=_other(item))


def _responses_message(item: wire.Obj) -> Message:
    content, role = item.get("content"), word(item.get("role"))
    texts = tuple(text_parts(content, openai_responses.TEXTS))
    other = sum(_other(block) for block in _blocks(content) if word(block.get("type")) not in openai_responses.TEXTS)
    spoken = role == "user" and (any(text.strip() for text in texts) or other > 0)
    tail = content if role == "user" and _holds(content) else None
    return Message(role, item.start, item.end, content, texts, spoken=spoken, other_tokens=other, tail=tail, block="input_text")


def _responses_result(item: wire.Obj, id: str, programs: set[str]) -> Message:
    output = item.get("output")
    if isinstance(caller := item.get("caller"), dict) and caller.get("type") != "direct":
        programs.add(id)
    texts = tuple(openai_responses.results(item))
    read = id not in programs
    other = sum(_other(block) for block in _blocks(output) if word(block.get("type")) not in openai_responses.TEXTS)
    return Message(
        role="tool",
        start=item.start,
        end=item.end,
        content=output,
        texts=texts,
        slots=texts if read else (),
        answers=(id,),
        failed=item.get("status") == "failed",
        other_tokens=other,
        tail=output if read and _holds(output) and openai_responses.kind(item) != "shell_call_output" else None,
        block="input_text",
    )


def _blocks(content: Any) -> list[wire.Obj]:
    return [block for block in content if isinstance(block, wire.Obj)] if isinstance(content, list) else []


def _other(block: wire.Obj) -> int:
    """Tokens of a block that is no text, roughly."""
    if word(block.get("type")) in _IMAGES:
        return _IMAGE_TOKENS
    source = block.get("source")
    encoded = word(block.get("type")) in _FILES or (isinstance(source, dict) and word(source.get("type")) == "base64")
    return (block.end - block.start) // (_ENCODED_CHARS if encoded else _OTHER_CHARS)


def _json(call: Call, value: Any) -> str:
    return call.text[value.start : value.end] if isinstance(value, wire.Obj | wire.Arr) else word(value)


_READERS: Mapping[str, Callable[[Call, Any, set[str]], Message]] = {
    "anthropic": _anthropic,
    "openai": _openai,
    "openai_responses": _responses,
}
