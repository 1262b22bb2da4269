"""The paths that cloud SDKs use, for clients that are pointed here: Bedrock's, Vertex AI's and Azure's.

Each becomes the request of the plain API that it stands for, takes the same way as that, and is answered as its SDK expects. Where
it goes the settings decide as for any other request, but never to Anthropic or OpenAI for want of a backend: who uses a cloud's SDK
did not mean them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headroom.backends.base import changed, members
from headroom.backends.eventstream import EVENT_STREAM, chunk
from headroom.backends.paths import COUNT_PATH, plain
from headroom.dialects import ANTHROPIC, DIALECTS, OPENAI_CHAT
from headroom.encodings import Decoder
from headroom.errors import HeadroomError, InvalidRequest
from headroom.proxy.body import ClientGone, read_body
from headroom.proxy.exchange import ProviderRoute
from headroom.proxy.passthrough import PassThrough
from headroom.proxy.refusal import send_error
from headroom.proxy.relay import STREAM, UpstreamBroke
from headroom.proxy.services import Services
from headroom.sse import FrameReader, data_of

_MESSAGES, _CHAT, _RESPONSES, _COUNT = "/v1/messages", "/v1/chat/completions", "/v1/responses", COUNT_PATH
_CLOUDS_OWN = ("anthropic_version", "anthropic_beta")
_OF_THE_BYTES = (b"content-type", b"content-encoding", b"content-length")
_DECODED_BYTES = 200_000_000  # of one answer
_VERB = re.compile(r"(.+):(rawPredict|streamRawPredict)")


@dataclass(frozen=True, slots=True)
class _Plain:
    """The request of the plain API: its path, what is set in the body, and whether the answer is an event stream of AWS."""

    path: str
    put: Mapping[str, Any]
    framed: bool = False


def _bedrock(parameters: Mapping[str, str], streams: bool) -> _Plain:
    return _Plain(_MESSAGES, {"model": parameters["model"], "stream": streams}, framed=streams)


def _invoke(parameters: Mapping[str, str]) -> _Plain:
    return _bedrock(parameters, False)


def _invoke_streaming(parameters: Mapping[str, str]) -> _Plain:
    return _bedrock(parameters, True)


def _vertex(parameters: Mapping[str, str]) -> _Plain:
    found = _VERB.fullmatch(parameters["model"])
    if found is None:
        raise InvalidRequest("Of Vertex AI's methods rawPredict and streamRawPredict are taken here.")
    if found[1] == "count-tokens":
        return _Plain(_COUNT, {})
    return _Plain(_MESSAGES, {"model": found[1], "stream": found[2] == "streamRawPredict"})


def _azure(parameters: Mapping[str, str]) -> _Plain:
    return _Plain(_CHAT, {"model": parameters["deployment"]})


_PATHS: tuple[tuple[str, Callable[[Mapping[str, str]], _Plain]], ...] = (
    ("/model/{model:path}/invoke", _invoke),
    ("/model/{model:path}/invoke-with-response-stream", _invoke_streaming),
    ("/projects/{project}/locations/{region}/publishers/anthropic/models/{model}", _vertex),
    ("/v1/projects/{project}/locations/{region}/publishers/anthropic/models/{model}", _vertex),
    ("/openai/deployments/{deployment}/chat/completions", _azure),
    ("/openai/v1/chat/completions", lambda _: _Plain(_CHAT, {})),
    ("/openai/v1/responses", lambda _: _Plain(_RESPONSES, {})),
    ("/openai/responses", lambda _: _Plain(_RESPONSES, {})),
)

_PATTERNS = tuple(compile_path(path.lower())[0] for path, _ in _PATHS)


def read_here(path: str) -> str:
    """The path that a server may take this one for, where requests to that are read, counted and charged here; else an empty string."""
    meant = plain(path).lower()
    return meant if meant in DIALECTS or any(pattern.match(meant) for pattern in _PATTERNS) else ""


def doors(services: Services) -> list[BaseRoute]:
    """Their routes."""
    inner: dict[str, ASGIApp] = {path: ProviderRoute(dialect, services) for path, dialect in DIALECTS.items()}
    inner[_COUNT] = PassThrough(services)
    return [Route(path, _Door(plain, inner, services), methods=["POST"]) for path, plain in _PATHS]


class _Door:
    """ASGI endpoint of one of the paths."""

    def __init__(self, plain: Callable[[Mapping[str, str]], _Plain], inner: Mapping[str, ASGIApp], services: Services) -> None:
        self._plain, self._inner, self._services = plain, inner, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect = OPENAI_CHAT if scope["path"].startswith("/openai/") else ANTHROPIC
        headers = Headers(scope=scope)
        try:
            plain = self._plain(scope["path_params"])
            body = await read_body(headers, receive, 1_000_000 * self._services.settings.max_body_mb)
            text = body.decoded.decode(errors="surrogateescape")
            content, betas = _as_plain(text, plain, headers, dialect is ANTHROPIC)
        except HeadroomError as failure:
            await send_error(send, dialect, failure, [])
            return
        except ClientGone:
            return
        pending: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def again() -> Message:
            return pending.pop() if pending else await receive()

        place = {"path": plain.path, "raw_path": plain.path.encode(), "query_string": b"", "headroom.home": False}
        asked: Scope = {**scope, **place, "headers": _headers(scope, len(content), betas, plain.framed)}
        await self._inner[plain.path](asked, again, _Framed(send) if plain.framed else send)


def _as_plain(text: str, plain: _Plain, headers: Headers, messages: bool) -> tuple[bytes, str]:
    """The body of the plain API, and the betas that it names, those of the header included."""
    if not messages:
        return changed(text, put=plain.put).encode(errors="surrogateescape") if plain.put else text.encode(errors="surrogateescape"), ""
    named: Any = next((value for name, _, _, value in members(text) if name == "anthropic_beta"), [])
    given = [beta.strip() for value in headers.getlist("anthropic-beta") for beta in value.split(",")]
    betas = dict.fromkeys([*given, *(beta for beta in named if isinstance(beta, str))] if isinstance(named, list) else given)
    return changed(text, put=plain.put, drop=_CLOUDS_OWN).encode(errors="surrogateescape"), ",".join(filter(None, betas))


def _headers(scope: Scope, size: int, betas: str, framed: bool) -> list[tuple[bytes, bytes]]:
    """The client's headers for the plain body; an answer that is framed here is asked for without an encoding."""
    drop = {b"content-length", b"content-encoding", b"transfer-encoding", b"anthropic-beta", *((b"accept-encoding",) if framed else ())}
    kept = [(name, value) for name, value in scope["headers"] if name not in drop]
    ours = [(b"content-length", str(size).encode()), *([(b"anthropic-beta", betas.encode("latin-1", "replace"))] if betas else [])]
    return [*kept, *ours, *([(b"accept-encoding", b"identity")] if framed else [])]


class _Framed:
    """Sends server-sent events as an event stream of AWS; whatever else is answered, or cannot be decoded, as it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._frames: FrameReader | None = None
        self._decoder: Decoder | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._begun(message)
        elif self._frames is not None:
            ends = not message.get("more_body")
            told = [data_of(frame) for frame in self._frames.feed(self._decoded(message.get("body", b""), ends=ends))]
            told += [data_of(self._frames.rest())] if ends else []
            message = {**message, "body": b"".join(chunk(data) for data in told if data)}
        await self._send(message)

    def _begun(self, message: Message) -> Message:
        headers = Headers(raw=message["headers"])
        encoding = ",".join(headers.getlist("content-encoding"))
        try:
            decoder = Decoder(encoding, _DECODED_BYTES) if encoding else None
        except HeadroomError:
            return message
        unnamed = STREAM if message["status"] == 200 else ""
        if not (headers.get("content-type") or unnamed).startswith(STREAM):
            return message
        self._frames, self._decoder = FrameReader(), decoder
        others = [(name, value) for name, value in message["headers"] if name not in _OF_THE_BYTES]
        return {**message, "headers": [*others, (b"content-type", EVENT_STREAM.encode())]}

    def _decoded(self, data: bytes, *, ends: bool) -> bytes:
        """Raises UpstreamBroke for what its encoding does not fit, and where the answer `ends` before that does."""
        if not self._decoder:
            return data
        try:
            found = self._decoder.feed(data) if data else data
            if ends:
                self._decoder.finish()
            return found
        except HeadroomError as failure:
            raise UpstreamBroke(failure.message) from failure
