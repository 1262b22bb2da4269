"""What `POST /v1/compress` adds for `config.default_mode: "simulate"`: where the tokens are, and what saving them is worth."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from headroom import waste
from headroom.dialects.base import word
from headroom.model import Call
from headroom.outcome import Usage
from headroom.stats import prices
from headroom.tokens import Estimate

_KINDS = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool_result"}


def wanted(call: Call) -> bool:
    config = call.body.get("config")
    return isinstance(config, dict) and config.get("default_mode") == "simulate"


def report(call: Call, messages: Any, figures: Mapping[str, Any]) -> dict[str, Any]:
    """`messages` are those that would be forwarded, `figures` the fields of every reply."""
    blocks = list(_blocks(call.body))
    system = [text for kind, text in blocks if kind == "system"]
    tokens: Counter[str] = Counter()
    for kind, text in blocks:
        tokens[kind] += Estimate().count(text)
    prefix = messages[:-1] if isinstance(messages, list) else []
    stable = json.dumps([call.body.get("system"), call.body.get("tools"), prefix], ensure_ascii=True, sort_keys=True)
    chars = sum(map(len, system))
    return {
        "transforms": figures["transforms_applied"],
        "estimated_savings": worth(call.model, figures["tokens_before"], figures["tokens_saved"]),
        "messages_optimized": messages,
        "block_breakdown": dict(tokens),
        "waste_signals": dict(waste.signals((text for _, text in blocks), system)),
        "stable_prefix_hash": hashlib.sha256(stable.encode()).hexdigest()[:16],
        "cache_alignment_score": round(1 - waste.dynamic_chars(system) / chars, 4) if chars else 1.0,
    }


def worth(model: str, before: int, saved: int) -> str:
    """`$0.0123 per request (41.2%)`; without a known price only the share."""
    share = f"{100 * saved / before:.1f}%" if before else "0.0%"
    provider = "anthropic" if "claude" in model else "openai"
    cost = prices.cost(provider, model, Usage(input_tokens=max(0, saved)))
    return f"{share} of tokens" if cost is None else f"${prices.dollars(cost):.4f} per request ({share})"


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, text) of everything a model reads in OpenAI or Anthropic messages."""
    yield from _content("system", body.get("system"))
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else []:
        kind = _KINDS.get(word(message.get("role")), "unknown")
        yield from _content(kind, message.get("content"))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                yield "tool_call", word(function.get("arguments"))


def _content(kind: str, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield kind, content
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        if block.get("type") == "tool_use":
            yield "tool_call", json.dumps(block.get("input"))
        elif block.get("type") == "tool_result":
            yield from _content("tool_result", block.get("content"))
        elif isinstance(block.get("text"), str):
            yield kind, block["text"]
