"""What a provider with a prompt cache bills for a conversation, request by request.

A prompt is read from the cache as far as it begins with the previous prompt, in whole blocks: tools, system prompt, then every part of
every message. Breakpoints are no part of a block. Anthropic bills what is new as written to the cache, OpenAI as plain input. A cache is
forgotten after a while, and prompts below a size are not cached; both as the providers document it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headroom.stats.prices import Prompt

_SMALLEST = 1024  # tokens of a prompt that is cached
_LIFETIME_S = {"anthropic": 300.0, "openai": 600.0}
_HOUR_S = 3600.0

Count = Callable[[str], int]


class Block(NamedTuple):
    key: str
    tokens: int


class Billed(NamedTuple):
    """`broke`: the prompt did not begin with the whole previous one."""

    prompt: Prompt
    broke: bool


@dataclass
class PromptCache:
    """One conversation's prompts at one provider; `hour` for prompts that are kept for an hour."""

    provider: str
    hour: bool = False
    _previous: Sequence[Block] = ()
    _at: float | None = None

    def billed(self, blocks: Sequence[Block], at: float | None = None) -> Billed:
        """What this prompt is billed, and the cache after it; `at` is Unix seconds."""
        kept = sum(1 for _ in _same(self._previous, blocks))
        broke = kept < len(self._previous)
        read = 0 if self._is_cold(at) else sum(block.tokens for block in blocks[:kept])
        new = sum(block.tokens for block in blocks) - read
        if read < _SMALLEST:
            read, new = 0, read + new
        self._previous, self._at = blocks, at
        if self.provider != "anthropic" or read + new < _SMALLEST:
            return Billed(Prompt(plain=new, read=read), broke)
        return Billed(Prompt(read=read, write_1h=new) if self.hour else Prompt(read=read, write_5m=new), broke)

    def _is_cold(self, at: float | None) -> bool:
        lifetime = _HOUR_S if self.hour else _LIFETIME_S[self.provider]
        return at is not None and self._at is not None and at - self._at > lifetime


def _same(left: Sequence[Block], right: Sequence[Block]) -> Iterator[Block]:
    for one, other in zip(left, right, strict=False):
        if one.key != other.key:
            return
        yield one


@dataclass
class Blocks:
    """Cuts request bodies into blocks; texts that were counted before are not counted again."""

    count: Count
    _known: dict[str, int] = field(default_factory=dict)

    def of(self, body: Mapping[str, Any]) -> list[Block]:
        return [Block(key, self._counted(texts)) for key, texts in _parts(body)]

    def _counted(self, texts: Sequence[str]) -> int:
        total = 0
        for text in texts:
            if text not in self._known:
                self._known[text] = self.count(text)
            total += self._known[text]
        return total


def texts(node: Any) -> Iterator[str]:
    """Every text that a model reads in a message, an item, a block or a list of them; the input of a tool call as JSON."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for one in node:
            yield from texts(one)
    elif isinstance(node, dict):
        for key in ("text", "thinking", "arguments", "output"):
            yield from texts(node.get(key))
        if node.get("type") == "tool_use":
            yield json.dumps(node.get("input"), ensure_ascii=False)
        yield from texts(node.get("content"))
        for call in node.get("tool_calls") or ():
            yield from texts(call.get("function") if isinstance(call, dict) else None)


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Keys and texts, in the order in which a provider caches them."""
    for tool in body.get("tools") or ():
        key = _canonical(tool)
        yield "tool " + key, [key]
    for name in ("instructions", "system"):
        for part in _listed(body.get(name)):
            yield f"{name} {_canonical(part)}", list(texts(part))
    for message in _listed(body.get("messages", body.get("input"))):
        if not isinstance(message, dict):
            continue
        label = f"{message.get('role')} {message.get('tool_call_id', '')} "
        if "content" not in message and "tool_calls" not in message:
            yield label + _canonical(message), list(texts(message))
            continue
        for part in [*_listed(message.get("content")), *_listed(message.get("tool_calls"))]:
            yield label + _canonical(part), list(texts(part.get("function", part) if isinstance(part, dict) else part))


def _listed(content: Any) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content if isinstance(content, list) else []


def _canonical(part: Any) -> str:
    return json.dumps(_bare(part), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _bare(part: Any) -> Any:
    """The part as a cache sees it: without breakpoints and nulls, a text as the block it stands for."""
    if isinstance(part, list):
        return [_bare(one) for one in part]
    if not isinstance(part, dict):
        return part
    bare = {key: _bare(value) for key, value in part.items() if key != "cache_control" and value is not None}
    if isinstance(bare.get("content"), str):
        bare["content"] = _listed(bare["content"])
    return bare
