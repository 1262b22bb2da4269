"""What two requests must have in common to have the same answer: the request contract, and its hash.

Part of the contract is everything a provider may answer differently for, known to us or not: the
whole body in the client's own words, the API, its address, and the headers that switch its
features. Not part of it is what only says how the answer is sent, billed or counted (`_ASIDE`), and
the marks that steer a provider's prompt cache, where marks stand; a member of that name inside a
tool's schema is a word like any other. Whether a response can be referred to later is part of it. The order
of members counts below the top of the body, because a model may be shown it.

`unfit` says which calls have no such contract: their answers depend on more than they say.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headroom.dialects import OPENAI_RESPONSES, wire
from headroom.dialects.base import word
from headroom.model import Call

_SENT = ("stream", "stream_options", "store")
_COUNTED = ("metadata", "user", "safety_identifier", "service_tier", "prompt_cache_key", "prompt_cache_retention", "cache_control")
_ASIDE = frozenset(_SENT + _COUNTED)
_MARK = "cache_control"
_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")  # which switch features; several values in any order
_SEARCHES = ("web_search_options", "plugins", "search_parameters", "enable_search")  # of OpenAI, OpenRouter, xAI, Qwen
_ELSEWHERE = ("previous_response_id", "conversation", "prompt", "container", "mcp_servers", *_SEARCHES, "audio", "background")
_SEARCHING = re.compile(r":online$|-search(?:-|$)|^(?:.*/)?sonar(?:-|$)")  # models that search by themselves
_CLIENT_TOOLS = ("", "custom", "function")
_INLINE = ("base64", "text", "content")  # sources that hold what they show
_REFERENCES = ("file_id", "file_ids", "file_url", "file")
_SHOWN = ("image_url", "video_url", "audio_url")
_SAFE = 1 << 53  # whole numbers up to here are the same as floating point


def unfit(call: Call) -> str:
    """Why no other request has the same answer as this one, or an empty string."""
    body = call.body
    if call.reason:
        return call.reason
    if body.get("store") is True:
        return "stored_at_provider"
    if any(body.get(key) for key in _ELSEWHERE) or _SEARCHING.search(call.model):
        return "depends_on_more"
    if any(word(tool.get("type")) not in _CLIENT_TOOLS for tool in _objects(body.get("tools"))):
        return "provider_tools"
    if any(_is_reference(block) for block in _blocks(body)):
        return "refers_elsewhere"
    return ""


def asks_for_sameness(call: Call) -> bool:
    """Whether the request itself wants the same answer every time: a temperature of 0, or a seed."""
    temperature, seed = call.body.get("temperature"), call.body.get("seed")
    return isinstance(seed, wire.Number) or (isinstance(temperature, wire.Number) and float(temperature) == 0)


def exact_key(call: Call, around: Iterable[str]) -> str:
    """SHA-256 over the whole contract, as hex. `around` is what `surroundings` gave.

    Raises RecursionError for a body nested too deeply to be compared.
    """
    kept = ["kept"] if _is_kept(call) else []
    return _digest([*around, call.dialect, *kept, _top(call.body)])


def _is_kept(call: Call) -> bool:
    """Whether the provider keeps the answer, so that a later request can name its id; Responses does unless it is told not to."""
    return call.dialect == OPENAI_RESPONSES.name and call.body.get("store") is not False


def surroundings(address: str, query: str, headers: Mapping[str, str]) -> tuple[str, ...]:
    """What stands around a body and shapes its answer: the provider's address, the query of the URL and some headers."""
    switched = [",".join(sorted(part.strip() for part in headers.get(name, "").split(","))) for name in _HEADERS]
    return (address, query, *switched)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def _top(body: Mapping[str, Any]) -> list[Any]:
    """The body as a list of names and values in one order."""
    return [[name, _PLAIN.get(name, plain)(body[name])] for name in sorted(body) if name not in _ASIDE]


def plain(value: Any) -> Any:
    """A value with every number in one spelling."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return _number(value) if isinstance(value, wire.Number) else value


def _number(literal: str) -> Any:
    if literal.lstrip("-").isdigit():
        return int(literal) if len(literal) < 4000 else literal
    value = float(literal)
    if math.isinf(value):
        return ["number", literal]  # a list, so that no string is mistaken for it
    return int(value) if value.is_integer() and abs(value) <= _SAFE else value


def _unmarked(value: Any) -> Any:
    """A list of blocks, or a tool, message or item, without marks; what is inside a tool's schema or a call's input stays."""
    if isinstance(value, list):
        return [_unmarked(inner) for inner in value]
    if not isinstance(value, dict):
        return plain(value)
    return {name: _unmarked(inner) if name == "content" else plain(inner) for name, inner in value.items() if name != _MARK}


_PLAIN = dict.fromkeys(("system", "messages", "tools", "input"), _unmarked)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _blocks(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object in what the model is told, at any depth; what a call was told stays out, it only looks like a block."""
    waiting = [body.get(name) for name in ("system", "messages", "input")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += (inner for name, inner in value.items() if not (name == "input" and "name" in value))
        elif isinstance(value, list):
            waiting += value


def _is_reference(block: Mapping[str, Any]) -> bool:
    """Whether what it shows stands somewhere else, where it may change."""
    source = block.get("source")
    if isinstance(source, dict) and word(source.get("type")) not in _INLINE:
        return True
    if any(block.get(name) for name in _REFERENCES) or any(_is_address(block.get(name)) for name in _SHOWN):
        return True
    return word(block.get("type")) == "item_reference" or (bool(block.get("id")) and block.keys() <= {"id", "type"})


def _is_address(shown: Any) -> bool:
    url = shown.get("url") if isinstance(shown, dict) else shown
    return bool(url) and not word(url).startswith("data:")
