"""A conversation as a row of messages: who speaks, what a model reads, which tool calls are made and answered.

What context management needs to know of a wire format, for the formats whose body holds `messages`.
Shapes it does not know are read as far as they can be; nothing here raises over them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headroom.dialects import openai_chat, wire
from headroom.dialects.base import text_parts, word
from headroom.model import Call

_IMAGE_TOKENS = 1600  # the most a provider charges for one of usual size
_OTHER_CHARS = 4  # per token of a block that is neither text nor an image
_ENCODED_CHARS = 40  # per token of a file in base64: a page of 80 KB costs about 2,000
_IMAGES = frozenset(("image", "image_url", "input_image"))
_FILES = frozenset(("file", "input_file", "input_audio"))
_ASKING = frozenset(("user", "system", "developer"))
_MOST_BEGINNINGS = 16
_CACHE_MARK = "cache_control"  # moves from turn to turn without changing what a model reads


class Asked(NamedTuple):
    """A tool call: its arguments are JSON as it stands in the body."""

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message, at `start`..`end` of the body's text.

    `texts` are what a model reads in it, `slots` those of them that a tool returned to it, `spoken` says that a user's
    own words are in it and no tool's. `other_tokens` is what cannot be read as text, estimated. `tail` is the content at
    whose end a text may be added, if there is any: the last result's where there is nothing but results.
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

    @property
    def side(self) -> str:
        """Whose turn it is: "user" (tools answer for him), "assistant", or "" for instructions."""
        return {"tool": "user", "function": "user", "user": "user", "assistant": "assistant"}.get(self.role, "")


@dataclass(frozen=True, slots=True)
class Outline:
    """The messages of a call, and the texts beside them that a model reads: system prompt and tools."""

    messages: tuple[Message, ...]
    beside: tuple[str, ...]


def outline(call: Call) -> Outline | None:
    """None for a wire format that has no outline yet."""
    read = _READERS.get(call.dialect)
    if read is None:
        return None
    beside = [call.text[value.start : value.end] for key in ("tools", "functions") if isinstance(value := call.body.get(key), wire.Arr)]
    programs: set[str] = set()
    return Outline(
        tuple(read(call, message, programs) for message in call.body["messages"]), (*text_parts(call.body.get("system")), *beside)
    )


def read_again(call: Call, body: bytes) -> Call:
    """The call whose texts were made smaller in `body`."""
    if body is call.raw:
        return call
    text = body.decode()
    return dataclasses.replace(call, raw=body, text=text, body=wire.parse(text).root)


def chain(call: Call, salt: str) -> list[str]:
    """For each message a hash over `salt`, itself and all before it, the same however cache marks move."""
    state = hashlib.sha256(salt.encode("utf-8", "surrogatepass"))
    found = []
    for message in call.body["messages"]:
        for piece in _pieces(message):
            state.update(piece.encode("utf-8", "surrogatepass"))
        found.append(state.hexdigest())
    return found


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
            case "tool_use":
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
    answers = tuple(word(block.get("tool_use_id")) for block in results)
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


_READERS: Mapping[str, Callable[[Call, wire.Obj, set[str]], Message]] = {"anthropic": _anthropic, "openai": _openai}
