"""What is relied on in a transcript: the fields that are read, and what they hold. All others may hold anything.

A line that is otherwise is named as a problem, and the rest is read.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

_ANY_OTHER = ConfigDict(strict=True, extra="allow")
Count = float | None


@with_config(_ANY_OTHER)
class Block(TypedDict, total=False):
    """Of a message's content."""

    id: str | None
    tool_use_id: str | None
    type: str | None


@with_config(_ANY_OTHER)
class CacheCreation(TypedDict, total=False):
    ephemeral_1h_input_tokens: Count


@with_config(_ANY_OTHER)
class Billed(TypedDict, total=False):
    """As Anthropic tells it."""

    cache_creation: CacheCreation | None
    cache_creation_input_tokens: Count
    cache_read_input_tokens: Count
    input_tokens: Count
    output_tokens: Count


@with_config(_ANY_OTHER)
class Message(TypedDict, total=False):
    """Of Anthropic's Messages or of Chat Completions."""

    content: str | list[Block] | None
    id: str | None
    role: str | None
    tool_call_id: str | None
    tool_calls: list[Any] | None
    usage: Billed | None


@with_config(_ANY_OTHER)
class Line(TypedDict, total=False):
    """Of Claude Code."""

    parentUuid: str | None
    uuid: str | None


@with_config(_ANY_OTHER)
class Item(TypedDict, total=False):
    """Of Responses."""

    call_id: str | None
    role: str | None
    tool_calls: list[Any] | None
    type: str | None


@with_config(_ANY_OTHER)
class TurnUsage(TypedDict, total=False):
    cached_input_tokens: Count
    input_tokens: Count
    output_tokens: Count


@with_config(_ANY_OTHER)
class TokenInfo(TypedDict, total=False):
    last_token_usage: TurnUsage | None


@with_config(_ANY_OTHER)
class TokenCount(TypedDict, total=False):
    """An event of Codex."""

    info: TokenInfo | None


LINE: TypeAdapter[Any] = TypeAdapter(Line)
MESSAGE: TypeAdapter[Any] = TypeAdapter(Message)
ALL_MESSAGES: TypeAdapter[Any] = TypeAdapter(list[Message])
ITEM: TypeAdapter[Any] = TypeAdapter(Item)
TOKEN_COUNT: TypeAdapter[Any] = TypeAdapter(TokenCount)


def wrong(shape: TypeAdapter[Any], value: object) -> str:
    """Where a value is other than it must be; an empty string where it is as it should be."""
    try:
        shape.validate_python(value)
    except ValidationError as failure:
        deepest = max(failure.errors(include_url=False, include_input=False), key=lambda problem: len(problem["loc"]))
        named = (str(part) for part in deepest["loc"] if part not in ("str", "list[Block]"))
        return f"{'.'.join(named)}: {deepest['msg']}"
    return ""
