"""The wire formats Headroom understands, by route."""

from headroom.dialects.anthropic import AnthropicMessages
from headroom.dialects.base import Dialect
from headroom.dialects.openai_chat import OpenAIChat

ANTHROPIC: Dialect = AnthropicMessages()
OPENAI_CHAT: Dialect = OpenAIChat()

DIALECTS: dict[str, Dialect] = {"/v1/messages": ANTHROPIC, "/v1/chat/completions": OPENAI_CHAT}

__all__ = ["ANTHROPIC", "DIALECTS", "OPENAI_CHAT", "Dialect"]
