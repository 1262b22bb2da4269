"""Vertex AI: Anthropic Messages natively (rawPredict, streamRawPredict, count-tokens), Chat Completions over its OpenAI endpoint.

https://docs.anthropic.com/en/api/claude-on-vertex-ai
https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview
"""

from __future__ import annotations

import dataclasses
import re
import threading
from typing import Any, ClassVar
from urllib.parse import quote

from headroom.backends.base import CHAT, COUNT, MESSAGES, Ask, Body, Outgoing, Plain, changed, from_query, said, without_credentials
from headroom.errors import SettingsError, UpstreamUnreachable

_VERSION = "vertex-2023-10-16"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_DATED = re.compile(r"(claude-.+)-(\d{8})")
_HOSTS = {"global": "aiplatform.googleapis.com", "us": "aiplatform.us.rep.googleapis.com", "eu": "aiplatform.eu.rep.googleapis.com"}


class VertexAI(Plain):
    kind: ClassVar[str] = "vertex_ai"
    foreign: ClassVar[bool] = True
    takes: ClassVar[frozenset[str]] = frozenset((MESSAGES, CHAT, COUNT))

    def __post_init__(self) -> None:
        if not self.spec.region:
            raise SettingsError(f"backend {self.name}: no region; set --region, for example us-east5, europe-west1 or global")
        self._credentials, found = _credentials(self.name)
        project = self.spec.project or found
        if not project:
            raise SettingsError(f"backend {self.name}: no project; set HEADROOM_VERTEX_PROJECT, or GOOGLE_CLOUD_PROJECT")
        self._renewing = threading.Lock()
        region = self.spec.region
        host = _HOSTS.get(region, f"{region}-aiplatform.googleapis.com")
        self.spec = self.spec.model_copy(update={"url": (self.spec.url or f"https://{host}").rstrip("/").removesuffix("/v1")})
        super().__post_init__()
        self._place = f"/v1/projects/{project}/locations/{region}".encode()

    @property
    def credential(self) -> str:
        """Whose it is where Google says that, such as a service account's name."""
        return f"Google ({getattr(self._credentials, 'service_account_email', '') or 'application default'})"

    def model(self, name: str) -> str:
        """`claude-sonnet-4-5-20250929` is `claude-sonnet-4-5@20250929` there, `gemini-2.5-pro` is `google/gemini-2.5-pro`."""
        known = super().model(name)
        if known != name:
            return known
        dated = _DATED.fullmatch(name)
        return f"google/{name}" if name.startswith("gemini-") else f"{dated[1]}@{dated[2]}" if dated else name

    def billed(self, name: str) -> str:
        return self.model(name).rpartition("/")[2]

    def spoken(self, model: str) -> frozenset[str]:
        """Claude is in Messages only, Google's models in Chat Completions only."""
        name = self.model(model)
        absent = {CHAT} if name.startswith("claude-") else {MESSAGES, COUNT} if name.startswith("google/") else set()
        return super().spoken(model) - absent

    def outgoing(self, ask: Ask) -> Outgoing:
        self.check(ask)
        headers = [(name, value) for name, value in without_credentials(ask.headers) if name != b"anthropic-version"]
        if ask.dialect == CHAT:
            rest, body = b"/endpoints/openapi/chat/completions", self.renamed(ask)
        elif ask.dialect == COUNT:
            rest = b"/publishers/anthropic/models/count-tokens:rawPredict"
            body = changed(ask.text, put={"model": self.model(ask.model)}, add={"anthropic_version": _VERSION}).encode()
        else:
            verb = "streamRawPredict" if ask.stream else "rawPredict"
            rest = f"/publishers/anthropic/models/{quote(self.model(ask.model), safe='@')}:{verb}".encode()
            body = changed(ask.text, add={"anthropic_version": _VERSION}, drop=("model",)).encode()
        query = from_query(ask.query, b"beta")
        return self._to(rest + (b"?" + query if query else b""), headers, body)

    def _to(self, rest: bytes, headers: list[tuple[bytes, bytes]], body: Body) -> Outgoing:
        return Outgoing(self.base, "POST", self.root + self._place + rest, headers, body)

    def sign(self, out: Outgoing) -> Outgoing:
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            with self._renewing:
                if not self._credentials.valid:
                    self._credentials.refresh(Request())
                token = str(self._credentials.token)
        except GoogleAuthError as failure:
            raise UpstreamUnreachable(f"backend {self.name}: Google gives no token: {str(failure)[:300]}") from failure
        return dataclasses.replace(out, headers=[*out.headers, (b"authorization", b"Bearer " + token.encode())])

    def message(self, body: bytes) -> str | None:
        """Google's errors are `{"error": {"code", "message", "status"}}`, or a list of them; a model's own stay as they are."""
        found = said(body)
        error = found.get("error")
        if isinstance(error, dict) and error.get("type"):
            return None
        return str((error if isinstance(error, dict) else found).get("message") or error or "")


def _credentials(name: str) -> tuple[Any, str]:
    try:
        import google.auth
        import requests  # noqa: F401  # what google-auth renews tokens with
        from google.auth.exceptions import GoogleAuthError
    except ModuleNotFoundError as missing:
        raise SettingsError(f"backend {name}: {missing.name} is not installed: pip install 'headroom[vertex]'") from None
    try:
        found, project = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError:
        raise SettingsError(
            f"backend {name}: no Google credentials; set GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login"
        ) from None
    return found, project or ""
