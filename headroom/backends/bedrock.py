"""Amazon Bedrock: Anthropic Messages natively (InvokeModel, InvokeModelWithResponseStream, CountTokens), and OpenAI Chat Completions
over Converse; signed with SigV4.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import threading
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from headroom.backends import converse
from headroom.backends.base import CHAT, COUNT, MESSAGES, Ask, HeaderList, Outgoing, Plain, Reader, changed, said
from headroom.backends.converse_stream import ConverseStream
from headroom.backends.eventstream import EVENT_STREAM, MessagesStream
from headroom.errors import SettingsError, UpstreamUnreachable
from headroom.settings import variable

_VERSION = "bedrock-2023-05-31"
_BEARER = "AWS_BEARER_TOKEN_BEDROCK"
_PASSED = (b"x-amzn-bedrock-guardrailidentifier", b"x-amzn-bedrock-guardrailversion", b"x-amzn-bedrock-trace", b"user-agent")
_PROFILE = re.compile(r"^(us|eu|apac|jp|au|us-gov|global)\.(?=anthropic\.)")
_OTHERS = re.compile(r"([a-z-]+\.)?(ai21|amazon|cohere|deepseek|google|meta|minimax|mistral|moonshot|nvidia|openai|qwen|writer|zai)\.")
# Cross-region inference profiles by the beginning of the region's name; elsewhere the global one.
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
_PROFILES: Mapping[str, str] = {
    "us-gov-": "us-gov.",
    "us-": "us.",
    "ca-": "us.",
    "eu-": "eu.",
    "ap-northeast-1": "jp.",
    "ap-northeast-3": "jp.",
    "ap-southeast-2": "au.",
    "ap-southeast-4": "au.",
}


class Bedrock(Plain):
    kind: ClassVar[str] = "bedrock"
    foreign: ClassVar[bool] = True
    takes: ClassVar[frozenset[str]] = frozenset((MESSAGES, COUNT, CHAT))

    def __post_init__(self) -> None:
        self._bearer = variable(self.spec.key or _BEARER).strip()
        if self.spec.key and not self._bearer:
            raise SettingsError(f"backend {self.name}: {self.spec.key} is not set; put a Bedrock API key in it")
        session = _session(self.name, self.spec.profile)
        self.region = self.spec.region or session.get_config_variable("region") or ""
        if not self.region:
            raise SettingsError(f"backend {self.name}: no region; set --region or AWS_REGION, for example us-east-1")
        self._credentials: Any = None if self._bearer else session.get_credentials()
        if not self._bearer and self._credentials is None:
            raise SettingsError(
                f"backend {self.name}: no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or {_BEARER}, "
                "or give this machine a role"
            )
        self._renewing = threading.Lock()
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        self.spec = self.spec.model_copy(update={"url": self.spec.url or f"https://bedrock-runtime.{self.region}.{suffix}"})
        super().__post_init__()

    @property
    def credential(self) -> str:
        return self.spec.key or _BEARER if self._bearer else f"AWS ({self._credentials.method})"

    def model(self, name: str) -> str:
        """`claude-sonnet-4-5` is the inference profile of the region; an id, profile or ARN stays."""
        known = super().model(name)
        if known != name and name in self.spec.models:
            return known
        id = known if known != name else f"anthropic.{name}" if name.startswith("claude-") else ""
        profile = next((prefix for begin, prefix in _PROFILES.items() if self.region.startswith(begin)), "global.")
        return profile + id if id else name

    def spoken(self, model: str) -> frozenset[str]:
        """Converse takes every model, Messages those of Anthropic; an ARN may be any."""
        others = _OTHERS.match(self.model(model)) is not None
        return super().spoken(model) - ({MESSAGES, COUNT} if others else set())

    def outgoing(self, ask: Ask) -> Outgoing:
        self.check(ask)
        model = self.model(ask.model)
        headers = [(name, value) for name, value in ask.headers if name in _PASSED]
        headers.append((b"content-type", b"application/json"))
        if ask.stream:
            headers.append((b"accept", EVENT_STREAM.encode()))
        if ask.dialect == CHAT:
            chat = json.dumps(converse.request(said(ask.text.encode())), separators=(",", ":")).encode()
            return self._to(model, "converse-stream" if ask.stream else "converse", headers, chat)
        body = self._body(ask).encode()
        if ask.dialect == COUNT:
            counted = {"input": {"invokeModel": {"body": base64.b64encode(body).decode()}}}
            return self._to(_PROFILE.sub("", model), "count-tokens", headers, json.dumps(counted).encode())
        return self._to(model, "invoke-with-response-stream" if ask.stream else "invoke", headers, body)

    def _to(self, model: str, operation: str, headers: HeaderList, body: bytes) -> Outgoing:
        return Outgoing(self.base, "POST", self.root + f"/model/{quote(model, safe='')}/{operation}".encode(), headers, body)

    def _body(self, ask: Ask) -> str:
        """The Messages body: model and stream are in the path, betas in the body, all else as it came."""
        given = [beta.strip() for name, value in ask.headers if name == b"anthropic-beta" for beta in value.decode("latin-1").split(",")]
        add: dict[str, Any] = {"anthropic_version": _VERSION}
        if betas := [beta for beta in given if beta]:
            add["anthropic_beta"] = betas
        if ask.dialect == COUNT:
            add["max_tokens"] = 1
        return changed(ask.text, add=add, drop=("model", "stream"))

    def sign(self, out: Outgoing) -> Outgoing:
        if self._bearer:
            return dataclasses.replace(out, headers=[*out.headers, (b"authorization", b"Bearer " + self._bearer.encode())])
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        signed = {name.decode(): value.decode("latin-1") for name, value in out.headers if name in (b"content-type", b"accept")}
        request = AWSRequest(out.method, out.base + out.target.decode("latin-1"), headers=signed, data=out.body)
        try:
            with self._renewing:
                credentials = self._credentials.get_frozen_credentials()
        except BotoCoreError as failure:
            raise UpstreamUnreachable(f"backend {self.name}: AWS credentials cannot be renewed: {failure}") from failure
        SigV4Auth(credentials, "bedrock", self.region).add_auth(request)
        kept = [(name, value) for name, value in out.headers if name.decode() not in signed]
        return dataclasses.replace(out, headers=kept + [(name.lower().encode(), value.encode()) for name, value in request.headers.items()])

    def reader(self, ask: Ask, content_type: str) -> Reader | None:
        if ask.dialect == COUNT:
            return _Count()
        if ask.dialect == CHAT and ask.stream:
            options = said(ask.text.encode()).get("stream_options")
            return ConverseStream(ask.model, usage_asked=isinstance(options, dict) and options.get("include_usage") is True)
        if ask.dialect == CHAT:
            return converse.Whole(ask.model)
        return MessagesStream() if content_type.startswith(EVENT_STREAM) else None

    def message(self, body: bytes) -> str | None:
        found = said(body)
        return str(found.get("message") or found.get("Message") or "")


class _Count:
    """`{"inputTokens"}` as Anthropic says it."""

    content_type = "application/json"

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._body += data
        return b""

    def end(self) -> bytes:
        return json.dumps({"input_tokens": said(bytes(self._body)).get("inputTokens")}).encode()


def _session(name: str, profile: str) -> Any:
    try:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ModuleNotFoundError:
        raise SettingsError(f"backend {name}: botocore is not installed: pip install 'headroom[bedrock]'") from None
    session = Session(profile=profile or None)
    try:
        session.get_scoped_config()
    except BotoCoreError as failure:
        raise SettingsError(f"backend {name}: {failure}") from None
    return session
