"""The wire formats Headroom understands, by route."""

from headroom.dialects.answers import AnswerForm
from headroom.dialects.anthropic import AnthropicMessages
from headroom.dialects.anthropic_answers import AnthropicAnswers
from headroom.dialects.anthropic_retrieval import AnthropicRetrieval
from headroom.dialects.base import Dialect, read_body, with_messages, word
from headroom.dialects.chat_answers import ChatAnswers
from headroom.dialects.chat_retrieval import ChatRetrieval
from headroom.dialects.openai_chat import OpenAIChat
from headroom.dialects.openai_responses import OpenAIResponses, with_input
from headroom.dialects.responses_answers import ResponsesAnswers
from headroom.dialects.responses_retrieval import ResponsesRetrieval
from headroom.dialects.retrieval import Retrieval
from headroom.model import Call

ANTHROPIC: Dialect = AnthropicMessages()
OPENAI_CHAT: Dialect = OpenAIChat()
OPENAI_RESPONSES: Dialect = OpenAIResponses()

DIALECTS: dict[str, Dialect] = {"/v1/messages": ANTHROPIC, "/v1/chat/completions": OPENAI_CHAT, "/v1/responses": OPENAI_RESPONSES}

RETRIEVALS: dict[Dialect, Retrieval] = {
    ANTHROPIC: AnthropicRetrieval(),
    OPENAI_CHAT: ChatRetrieval(),
    OPENAI_RESPONSES: ResponsesRetrieval(),
}

ANSWERS: dict[Dialect, AnswerForm] = {ANTHROPIC: AnthropicAnswers(), OPENAI_CHAT: ChatAnswers(), OPENAI_RESPONSES: ResponsesAnswers()}

_ANTHROPIC_BLOCKS = frozenset(
    ("tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use", "mcp_tool_use", "search_result", "document", "image")
)


def read_any(raw: bytes) -> Call:
    """A body whose dialect is told by its shape: `messages`, or `input` as Responses has it. Raises InvalidRequest."""
    call = read_body("", raw)
    return with_input(call) if "messages" not in call.body and call.body.get("input") is not None else with_messages(call)


def dialect_of(call: Call) -> Dialect:
    """Whose messages these are, from their shape: Responses calls them `input`, Anthropic has `system` and typed blocks."""
    if "messages" not in call.body:
        return OPENAI_RESPONSES
    if call.body.get("system") is not None:
        return ANTHROPIC
    for message in call.body["messages"]:
        content = message.get("content")
        if message.get("role") in ("tool", "developer", "system") or message.get("tool_calls"):
            return OPENAI_CHAT
        if isinstance(content, list) and any(isinstance(b, dict) and word(b.get("type")) in _ANTHROPIC_BLOCKS for b in content):
            return ANTHROPIC
    return OPENAI_CHAT


__all__ = [
    "ANSWERS",
    "ANTHROPIC",
    "DIALECTS",
    "OPENAI_CHAT",
    "OPENAI_RESPONSES",
    "RETRIEVALS",
    "Dialect",
    "Retrieval",
    "dialect_of",
    "read_any",
]
