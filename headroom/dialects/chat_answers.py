"""Answers of OpenAI Chat: chunks with deltas, one with usage where it was asked for, and `[DONE]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headroom.dialects.answers import AnswerForm, Event, frame, objects, part, parts
from headroom.model import Call

_DONE = b"[DONE]"
_WORDS = ("content", "reasoning_content", "reasoning")  # the latter two of compatible providers
_PADDING = "obfuscation"
_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier", "provider")
_CHOICE = frozenset(("index", "delta", "message", "finish_reason", "logprobs"))  # what else a provider adds stands there in both forms


class ChatAnswers(AnswerForm):
    def tells_usage(self, call: Call) -> bool:
        options = call.body.get("stream_options")
        return not call.stream or (isinstance(options, dict) and options.get("include_usage") is True)

    def usage_told(self, whole: Event) -> bool:
        return bool(part(whole, "usage"))

    def whole(self, events: Sequence[bytes]) -> Event | None:
        told = objects(events[:-1]) if events and events[-1] == _DONE else None
        if not told:
            return None
        answer: Event = {}
        choices: dict[int, Event] = {}
        for event in told:
            if "error" in event:
                return None
            answer |= {name: value for name, value in event.items() if value is not None and name not in ("choices", "object", _PADDING)}
            if not all(_add(choices, choice) for choice in parts(event, "choices")):
                return None
        ordered = [choices[index] for index in sorted(choices)]
        return {**{name: answer.pop(name) for name in ("id",) if name in answer}, "object": "chat.completion", **answer, "choices": ordered}

    def is_final(self, whole: Event) -> bool:
        choices = parts(whole, "choices")
        return bool(choices) and all(_is_final(choice) for choice in choices)

    def events(self, whole: Event, usage: bool) -> Iterator[bytes]:
        head = {"object": "chat.completion.chunk"} | {name: whole[name] for name in _HEAD if name in whole}
        billed = {"usage": None} if usage else {}

        def chunk(choice: Event, delta: Event, end: Event | None = None) -> bytes:
            told = {"index": choice.get("index", 0), "delta": delta, "logprobs": None, "finish_reason": None} | (end or {})
            return frame(head | {"choices": [told]} | billed)

        for choice in parts(whole, "choices"):
            message = part(choice, "message")
            yield chunk(choice, {"role": "assistant", "content": "", "refusal": None})
            for name in _WORDS:
                if message.get(name):
                    yield chunk(choice, {name: message[name]})
            yield chunk(choice, {}, {"finish_reason": choice.get("finish_reason")} | _added(choice))
        if usage:
            yield frame(head | {"choices": [], "usage": whole.get("usage")})
        yield b"data: " + _DONE + b"\n\n"


def _add(choices: dict[int, Event], choice: Event) -> bool:
    """Put what a choice of a chunk says where it belongs; False for what has no place here."""
    index, delta = choice.get("index"), part(choice, "delta")
    if not isinstance(index, int) or choice.get("logprobs"):
        return False
    empty: Event = {"role": "assistant", "content": "", "refusal": None}
    whole = choices.setdefault(index, {"index": index, "message": empty, "logprobs": None, "finish_reason": None})
    whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
    if any(whole.setdefault(name, value) != value for name, value in _added(choice).items()):
        return False
    for name, value in delta.items():
        if name in _WORDS and isinstance(value, str):
            whole["message"][name] = whole["message"].get(name, "") + value
        elif name != "role" and value:
            return False
    return True


def _added(choice: Event) -> Event:
    return {name: value for name, value in choice.items() if value and name not in _CHOICE}


def _is_final(choice: Event) -> bool:
    message = part(choice, "message")
    others = (name for name, value in message.items() if value and name not in ("role", *_WORDS))
    content = message.get("content")
    return choice.get("finish_reason") == "stop" and isinstance(content, str) and bool(content) and not any(others)
