"""The MCP server: `headroom_compress`, `headroom_retrieve` and `headroom_stats` for any MCP client.

What the tools do is a `Source`: a running Headroom, or the library and the store of this machine.
A tool answers in text that a model reads as it is: no JSON around an original.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, Protocol

import click
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from headroom.ccr import retrieve
from headroom.cli.banner import address
from headroom.cli.remote import ask
from headroom.errors import HeadroomError
from headroom.learning import open_learning
from headroom.library import compress
from headroom.model import LOCAL
from headroom.settings import Settings
from headroom.store import Store, open_store

_MODEL = "gpt-4o"  # whose vocabulary counts tokens when the caller names no model
_COMPRESS_TIMEOUT_S = 120.0
_INSTRUCTIONS = (
    "Some texts in this conversation may hold markers such as [... left out here, hash=0123456789abcdef]. Nothing behind them is lost: "
    "headroom_retrieve gives the original back, or with a query only the parts that have to do with it."
)


class Source(Protocol):
    """All methods block. They raise HeadroomError or ClickException, whose message is for the caller."""

    def compress(self, messages: Sequence[Mapping[str, Any]], model: str) -> Mapping[str, Any]:
        """The fields of `POST /v1/compress`."""

    def retrieve(self, digest: str, query: str | None) -> Mapping[str, Any]:
        """The fields of `GET /v1/retrieve/{hash}`."""

    def stats(self) -> Mapping[str, Any]:
        """The fields of `GET /stats`, or what is known of them."""


class Remote:
    """A running Headroom. `admin_key` is for its statistics where they need one."""

    def __init__(self, url: str, key: str, admin_key: str) -> None:
        self._url, self._key, self._admin_key = url, key, admin_key

    def compress(self, messages: Sequence[Mapping[str, Any]], model: str) -> Mapping[str, Any]:
        body = {"messages": messages, "model": model}
        return ask(self._url, "/v1/compress", key=self._key, body=body, timeout_s=_COMPRESS_TIMEOUT_S)

    def retrieve(self, digest: str, query: str | None) -> Mapping[str, Any]:
        return ask(self._url, "/v1/retrieve", key=self._key, body={"hash": digest, "query": query})

    def stats(self) -> Mapping[str, Any]:
        return ask(self._url, "/stats", key=self._admin_key or self._key)


class Local:
    """The library, on the store that `headroom proxy` uses too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store = open_store(settings)
        self._learning = open_learning(self._store, settings)

    def compress(self, messages: Sequence[Mapping[str, Any]], model: str) -> Mapping[str, Any]:
        done = compress(messages, model=model, store=self._store, settings=self._settings)
        return {
            "messages": done.messages,
            "tokens_before": done.tokens_before,
            "tokens_after": done.tokens_after,
            "transforms_applied": done.transforms_applied,
            "ccr_hashes": done.ccr_hashes,
            "skip_reasons": done.skip_reasons,
        }

    def retrieve(self, digest: str, query: str | None) -> Mapping[str, Any]:
        original = self._store.get_original(LOCAL.scope, digest)
        if self._learning:
            self._learning.asked(LOCAL.scope, original, query or "")
        return retrieve.answer(original, query)

    def stats(self) -> Mapping[str, Any]:
        """Of the proxy on this machine; without one, what the store holds."""
        try:
            return ask(address(self._settings), "/stats", key=self._settings.access.admin_key)
        except click.ClickException:
            stored = self._store.blob_stats()
            return {
                "proxy": f"none answers at {address(self._settings)}",
                "compression": {"ccr_entries": stored.entries, "ccr_retrievals": stored.retrievals},
            }


def source_of(settings: Settings) -> Source:
    """The Headroom that `client.base_url` names, else this machine. Raises StoreUnavailable."""
    client = settings.client
    return Remote(client.base_url, client.api_key, settings.access.admin_key) if client.base_url else Local(settings)


def build(source: Source) -> MCPServer[Any]:
    """The server over a source; run it with `server.run(...)`."""
    server: MCPServer[Any] = MCPServer(
        "headroom", title="Headroom", instructions=_INSTRUCTIONS, version=version("headroom"), log_level="WARNING"
    )

    @server.tool(structured_output=False)
    def headroom_compress(content: str, question: str = "", tool: str = "", model: str = _MODEL) -> list[str]:
        """Make a long text smaller: JSON, logs, search results, diffs, code, HTML, tables, prose.

        `question` is what you want to know from it, `tool` the tool that printed it. What is left out is stored; its marker says so in
        place, and headroom_retrieve gives it back. Answers the smaller text, then one line with the figures.
        """
        done = _told(lambda: source.compress(_conversation(content, question, tool), model))
        return [done["messages"][-1]["content"], _figures(done)]

    @server.tool(structured_output=False, annotations=ToolAnnotations(read_only_hint=True))
    def headroom_retrieve(hash: str, query: str = "") -> str:
        """Read back what a marker stands for: give the hash that it names, 16 hexadecimal digits.

        With `query` only the rows, lines or paragraphs that have to do with it, most relevant first; without, the whole original.
        """
        digest = hash.strip().removeprefix("hash=").strip("[]. ")
        answer = _told(lambda: source.retrieve(digest, query.strip() or None))
        if "original_content" in answer:
            return str(answer["original_content"])
        hits = [f"{hit['place']}:\n{hit['text']}" for hit in answer["results"]]
        return "\n\n".join(hits) or f"Nothing in {digest} has to do with {query!r}; call it without query for the whole original."

    @server.tool(structured_output=False, annotations=ToolAnnotations(read_only_hint=True))
    def headroom_stats() -> str:
        """What Headroom has saved so far: requests, tokens before and after, what was skipped and why, as JSON."""
        return json.dumps({name: part for name, part in _told(source.stats).items() if name != "recent_requests"})

    return server


def _told(question: Any) -> Mapping[str, Any]:
    """The answer, or the failure in words that the model gets. Raises ToolError."""
    try:
        answer: Mapping[str, Any] = question()
    except (HeadroomError, click.ClickException) as failure:
        raise ToolError(failure.message) from None
    return answer


def _conversation(content: str, question: str, tool: str) -> list[dict[str, Any]]:
    """The text as the output of a tool call in an OpenAI conversation."""
    call = {"id": "call_1", "type": "function", "function": {"name": tool or "read", "arguments": "{}"}}
    asked = [{"role": "user", "content": question}] if question.strip() else []
    return [
        *asked,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": content},
    ]


def _figures(done: Mapping[str, Any]) -> str:
    before, after = done["tokens_before"], done["tokens_after"]
    if before == after:
        reasons = ", ".join(done["skip_reasons"]) or "nothing to save"
        return f"[{before:,} tokens, kept as they are: {reasons}]"
    hashes = "".join(f"; hash={digest}" for digest in done["ccr_hashes"])
    return f"[{before:,} -> {after:,} tokens; {', '.join(done['transforms_applied'])}{hashes}]"


def serve(settings: Settings, transport: Literal["stdio", "http"], host: str, port: int) -> None:
    """Answer until the client hangs up, or until interrupted over HTTP. Blocks."""
    server = build(source_of(settings))
    if transport == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host=host, port=port)
